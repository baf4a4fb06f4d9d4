/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "tests/unit/resolver/fake.h"

/* Everything in one folder of the test's own; removed at its end. */
static char folder[] = "/tmp/tls-test-XXXXXX";
static struct fake server;  /* TLS */
static struct fake careful; /* TLS, and clients need a certificate */

static const char make_certificates[] =
        "set -e; cd \"$0\"\n"
        "for ca in ca other; do\n"
        "  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \\\n"
        "    -subj \"/CN=$ca\" -keyout $ca.key -out $ca.pem\n"
        "done\n"
        "printf 'subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:registry.invented.test\\n' >names\n"
        "for who in server client; do\n"
        "  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj \"/CN=$who\" \\\n"
        "    -keyout $who.key -out $who.csr\n"
        "  openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \\\n"
        "    -extfile names -out $who.pem\n"
        "done\n"
        "cat client.pem client.key >both.pem; : >empty.pem\n";

static char *file(const char *name)
{
        return mem_printf("%s/%s", folder, name);
}

static int run_shell(const char *script)
{
        pid_t pid = fork();
        if (pid == 0) {
                if (freopen("/dev/null", "w", stderr) == NULL)
                        _exit(126);
                execl("/bin/sh", "sh", "-c", script, folder, (char *)NULL);
                _exit(127);
        }
        int status = -1;
        waitpid(pid, &status, 0);
        return status;
}

static int open_all(void **state)
{
        (void)state;
        if (mkdtemp(folder) == NULL || run_shell(make_certificates) != 0)
                return -1;
        cleanup_free char *certificate = file("server.pem");
        cleanup_free char *key = file("server.key");
        cleanup_free char *ca = file("ca.pem");
        const char *plain[] = {"--tls-cert", certificate, "--tls-key", key, NULL};
        const char *both[] = {"--tls-cert", certificate, "--tls-key", key, "--client-ca", ca, NULL};
        fake_start(&server, plain);
        fake_start(&careful, both);
        return 0;
}

static int close_all(void **state)
{
        (void)state;
        fake_stop(&server);
        fake_stop(&careful);
        return run_shell("rm -r \"$0\"");
}

/* A "*" at the end stands for what differs from one version of OpenSSL to the next, and with the
 * moment at which the server hangs up. */
static void expect_text(const char *is, const char *wanted)
{
        size_t size = strlen(wanted);
        if (size > 0 && wanted[size - 1] == '*')
                assert_memory_equal(is, wanted, size - 1);
        else
                assert_string_equal(is, wanted);
}

static void expect(
        struct fake *f, const struct http_trust *trust, enum err_code code, const char *message)
{
        struct http_pool *pool = http_pool_new();
        cleanup_free char *origin = mem_printf("https://127.0.0.1:%d", f->port);
        cleanup_free char *url = mem_printf("%s/v2/", origin);
        struct http_request q = {
                .url = url, .trust = trust, .max_body_bytes = 1000, .timeout_ms = 10000};
        struct http_response r;
        struct err e = {0};
        int result = http_do(pool, &q, &r, &e);
        assert_int_equal(result == 0 ? ERR_NONE : e.code, code);
        if (result < 0) {
                /* The origin stands where the message has its "@". */
                size_t before = strcspn(message, "@");
                cleanup_free char *wanted = message[before] == '\0'
                                                    ? mem_strdup(message)
                                                    : mem_printf("%.*s%s%s", (int)before, message,
                                                              origin, message + before + 1);
                expect_text(e.msg, wanted);
        } else {
                assert_int_equal(r.status, 200);
                http_response_fini(&r);
        }
        http_pool_free(pool);
}

#define UNTRUSTED                                                                                  \
        "TLS with @ failed: SSL certificate problem: unable to get local issuer certificate"

static void authorities(void **state)
{
        (void)state;
        cleanup_free char *ca = file("ca.pem");
        cleanup_free char *other = file("other.pem");
        cleanup_free char *empty = file("empty.pem");
        char *good[] = {ca};
        char *two[] = {other, ca};
        char *wrong[] = {other};
        char *none[] = {empty};
        char *missing[] = {(char *)"/nowhere/ca.pem"};
        cleanup_free char *is_empty = mem_printf("the CA file %s holds no certificate", empty);
        struct http_trust t = {.ca_files = good, .ca_file_count = 1};
        expect(&server, &t, ERR_NONE, NULL);
        t = (struct http_trust){.ca_files = two, .ca_file_count = 2};
        expect(&server, &t, ERR_NONE, NULL);
        t = (struct http_trust){.ca_files = wrong, .ca_file_count = 1};
        expect(&server, &t, ERR_UNREACHABLE, UNTRUSTED);
        expect(&server, NULL, ERR_UNREACHABLE, UNTRUSTED);
        t = (struct http_trust){.ca_files = none, .ca_file_count = 1};
        expect(&server, &t, ERR_CONFIG, is_empty);
        t = (struct http_trust){.ca_files = missing, .ca_file_count = 1};
        expect(&server, &t, ERR_CONFIG,
                "cannot read the CA file /nowhere/ca.pem: No such file or directory");
        t = (struct http_trust){.skip_verify = true};
        expect(&server, &t, ERR_NONE, NULL);
}

/* As for Go programs: the variable replaces the system's bundle, and further files add to it. */
static void the_bundle_of_the_environment(void **state)
{
        (void)state;
        cleanup_free char *ca = file("ca.pem");
        cleanup_free char *other = file("other.pem");
        char *more[] = {other};
        struct http_trust t = {.ca_files = more, .ca_file_count = 1};
        setenv("SSL_CERT_FILE", ca, 1);
        expect(&server, NULL, ERR_NONE, NULL);
        expect(&server, &t, ERR_NONE, NULL);
        unsetenv("SSL_CERT_FILE");
        expect(&server, NULL, ERR_UNREACHABLE, UNTRUSTED);
}

/* Parsed once, they count as long as the files say so. */
static void authorities_that_change(void **state)
{
        (void)state;
        cleanup_free char *changing = file("changing.pem");
        cleanup_free char *url = mem_printf("https://127.0.0.1:%d/v2/", server.port);
        char *files[] = {changing};
        const struct http_trust trust = {.ca_files = files, .ca_file_count = 1};
        const struct http_request q = {
                .url = url, .trust = &trust, .max_body_bytes = 1000, .timeout_ms = 10000};
        static const struct {
                const char *content;
                enum err_code code;
        } steps[] = {{"ca.pem", ERR_NONE}, {"other.pem", ERR_UNREACHABLE}, {"ca.pem", ERR_NONE},
                {"empty.pem", ERR_CONFIG}, {"broken.pem", ERR_CONFIG},
                {"ca.pem other.pem client.key", ERR_NONE}};
        struct http_pool *pool = http_pool_new();
        for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
                cleanup_free char *script = mem_printf("cd \"$0\" && sed 's/^M/-/' ca.pem "
                                                       ">broken.pem && cat %s >new.pem && "
                                                       "mv new.pem changing.pem",
                        steps[i].content);
                assert_int_equal(run_shell(script), 0);
                for (int k = 0; k < 2; k++) {
                        struct http_response r = {0};
                        struct err e = {0};
                        int result = http_do(pool, &q, &r, &e);
                        if ((result == 0 ? ERR_NONE : e.code) != steps[i].code)
                                fail_msg("%s: %s", steps[i].content, e.msg);
                        http_response_fini(&r);
                }
        }
        http_pool_free(pool);
}

/* An upstream's authorities do not vouch for the proxy before it. */
static void a_proxy_has_authorities_of_its_own(void **state)
{
        (void)state;
        cleanup_free char *ca = file("ca.pem");
        cleanup_free char *address = mem_printf("https://127.0.0.1:%d", server.port);
        char *files[] = {ca};
        const struct http_trust trust = {.ca_files = files, .ca_file_count = 1};
        const struct http_request q = {.url = "https://registry.invented.test/v2/",
                .trust = &trust,
                .max_body_bytes = 1000,
                .timeout_ms = 5000};
        struct http_response r;
        struct err e;
        fake_reset(&server);
        setenv("HTTPS_PROXY", address, 1);
        struct http_pool *pool = http_pool_new();
        unsetenv("HTTPS_PROXY");
        assert_int_equal(http_do(pool, &q, &r, &e), -1);
        assert_string_equal(e.msg,
                "TLS with https://registry.invented.test failed: SSL certificate problem: unable "
                "to get local issuer certificate");
        assert_int_equal(e.code, ERR_UNREACHABLE);
        cleanup_free char *story = fake_story(&server);
        assert_string_equal(story, "");
        http_pool_free(pool);
}

static void last_client_is(struct fake *f, const char *name)
{
        json_t *log = fake_log(f);
        const json_t *entry = json_array_get(log, json_array_size(log) - 1);
        const char *client = json_string_value(json_object_get(entry, "client"));
        assert_true((client == NULL) == (name == NULL));
        if (name != NULL)
                assert_string_equal(client, name);
        json_decref(log);
}

static void client_certificates(void **state)
{
        (void)state;
        cleanup_free char *ca = file("ca.pem");
        cleanup_free char *certificate = file("client.pem");
        cleanup_free char *key = file("client.key");
        cleanup_free char *both = file("both.pem");
        char *files[] = {ca};
        struct http_trust t = {.ca_files = files,
                .ca_file_count = 1,
                .client_cert = certificate,
                .client_key = key};
        expect(&careful, &t, ERR_NONE, NULL);
        last_client_is(&careful, "client");
        t.client_cert = both;
        t.client_key = NULL;
        expect(&careful, &t, ERR_NONE, NULL);
        last_client_is(&careful, "client");
        t.client_cert = NULL;
        expect(&careful, &t, ERR_UNREACHABLE, "the connection to @ broke: *");
        /* What is wrong on this side is not the server's failure. */
        t.client_cert = (char *)"/nowhere/client.pem";
        t.client_key = key;
        expect(&careful, &t, ERR_CONFIG,
                "our certificate for @ is of no use: could not load PEM client certificate*");
        t.client_cert = certificate;
        t.client_key = ca;
        expect(&careful, &t, ERR_CONFIG,
                "our certificate for @ is of no use: unable to set private key file*");
}

static void ask_and_expect_client(
        struct http_pool *pool, const struct http_trust *trust, const char *name)
{
        cleanup_free char *url = mem_printf("https://127.0.0.1:%d/v2/", careful.port);
        struct http_request q = {
                .url = url, .trust = trust, .max_body_bytes = 1000, .timeout_ms = 10000};
        struct http_response r;
        struct err e;
        if (http_do(pool, &q, &r, &e) < 0)
                fail_msg("%s", e.msg);
        http_response_fini(&r);
        last_client_is(&careful, name);
}

/* A warm connection is the client that it was opened as: not after the files have changed. */
static void rotated_files_count_at_once(void **state)
{
        (void)state;
        cleanup_free char *ca = file("ca.pem");
        cleanup_free char *certificate = file("rotated.pem");
        cleanup_free char *key = file("rotated.key");
        char *files[] = {ca};
        struct http_trust t = {.ca_files = files,
                .ca_file_count = 1,
                .client_cert = certificate,
                .client_key = key};
        assert_int_equal(run_shell("cd \"$0\" && cp client.pem rotated.pem && "
                                   "cp client.key rotated.key"),
                0);
        struct http_pool *pool = http_pool_new();
        long before = fake_connections(&careful);
        ask_and_expect_client(pool, &t, "client");
        ask_and_expect_client(pool, &t, "client");
        assert_int_equal(fake_connections(&careful) - before, 1);
        assert_int_equal(
                run_shell("cd \"$0\" && cp server.pem new.pem && mv new.pem rotated.pem && "
                          "cp server.key new.key && mv new.key rotated.key"),
                0);
        ask_and_expect_client(pool, &t, "server");
        http_pool_free(pool);
}

/* Records are as long as curl's pieces, and what OpenSSL holds back shows at no socket. */
static void bodies_in_pieces(void **state)
{
        (void)state;
        cleanup_free char *ca = file("ca.pem");
        cleanup_free char *url = mem_printf("https://127.0.0.1:%d/v2/", server.port);
        char *files[] = {ca};
        const struct http_trust trust = {.ca_files = files, .ca_file_count = 1};
        const struct http_request q = {.url = url, .trust = &trust, .timeout_ms = 10000};
        struct http_pool *pool = http_pool_new();
        fake_reset(&server);
        fake_rules(&server, "[{\"times\": 2, \"status\": 200, \"body\": \"0123456789\", "
                            "\"body_repeat\": 300000},"
                            "{\"hang_up\": true, \"after_bytes\": 500000, \"status\": 200, "
                            "\"body\": \"0123456789\", \"body_repeat\": 300000}]");
        long before = fake_connections(&server);
        for (int i = 0; i < 3; i++) {
                static char buffer[40000];
                struct http_response r;
                struct http_stream *stream;
                struct err e;
                int64_t waited_ms = 0;
                size_t total = 0;
                int result = http_open(pool, &q, &r, &stream, &e);
                assert_int_equal(result, 0);
                for (size_t got = 1; got > 0 && result == 0; total += got) {
                        result = http_stream_read(
                                stream, buffer, sizeof(buffer), 10000, &got, &waited_ms, &e);
                        for (size_t k = 0; k < got; k++)
                                assert_int_equal(buffer[k], '0' + (char)((total + k) % 10));
                }
                assert_int_equal(total, i < 2 ? 3000000 : 500000);
                assert_int_equal(result == 0 ? ERR_NONE : e.code, i < 2 ? ERR_NONE : ERR_BROKEN);
                http_stream_close(stream);
                http_response_fini(&r);
        }
        assert_int_equal(fake_connections(&server) - before, 1);
        http_pool_free(pool);
        fake_reset(&server);
}

/* Questions to a registry over TLS. */
static int ask(
        struct fake *f, const struct upstream *like, const struct credentials *c, struct err *e)
{
        struct registry *registry = registry_new();
        cleanup_free char *origin = mem_printf("https://127.0.0.1:%d", f->port);
        cleanup_free char *base = mem_printf("%s/v2", origin);
        struct upstream upstream = *like;
        upstream.host = origin + strlen("https://");
        upstream.base_url = base;
        upstream.origin = origin;
        struct registry_query q = {.upstream = &upstream,
                .credentials = c,
                .repository = "team/app",
                .reference = "v1",
                .timeout_ms = 5000,
                .budget_ms = 10000};
        struct registry_answer a;
        int result = registry_resolve(registry, &q, &a, e);
        registry_free(registry);
        return result;
}

static void redirect_to(const char *url)
{
        cleanup_free char *rules = mem_printf("[{\"redirect\": \"%s{path}\"}]", url);
        fake_rules(&careful, rules);
}

/* The upstream knows the client by its certificate; where it redirects to, nobody does. */
static void the_client_certificate_stays_with_the_upstream(void **state)
{
        (void)state;
        cleanup_free char *ca = file("ca.pem");
        cleanup_free char *both = file("both.pem");
        char *files[] = {ca};
        struct upstream like = {.ca_files = files, .ca_file_count = 1, .client_cert = both};
        char digest[DIGEST_SHA256_SIZE + 1];
        struct err e;
        fake_reset(&server);
        fake_reset(&careful);
        fake_manifest(&server, "team/app/v1", "{}", digest);
        fake_manifest(&careful, "team/app/v1", "{}", digest);
        assert_int_equal(ask(&careful, &like, NULL, &e), 0);
        last_client_is(&careful, "client");
        /* By another name of the same server, which is another origin: the handshake fails there.
         */
        cleanup_free char *elsewhere = mem_printf("https://localhost:%d", careful.port);
        redirect_to(elsewhere);
        assert_int_equal(ask(&careful, &like, NULL, &e), -1);
        assert_int_equal(e.code, ERR_UNREACHABLE);
        cleanup_free char *wanted = mem_printf("the connection to %s broke: *", elsewhere);
        expect_text(e.msg, wanted);
        /* The redirect is the last request that came through. */
        last_client_is(&careful, "client");
}

/* The realm is at the upstream and knows the client; where it redirects to, nobody does. */
static void the_client_certificate_stays_with_the_realm(void **state)
{
        (void)state;
        cleanup_free char *ca = file("ca.pem");
        cleanup_free char *both = file("both.pem");
        char *files[] = {ca};
        struct upstream like = {.ca_files = files, .ca_file_count = 1, .client_cert = both};
        struct err e;
        cleanup_free char *elsewhere = mem_printf("https://localhost:%d", careful.port);
        cleanup_free char *rules =
                mem_printf("[{\"path\": \"^/token\", \"redirect\": \"%s/stolen\"},"
                           "{\"path\": \"^/stolen\", \"body\": {\"token\": \"abc\"}},"
                           "{\"status\": 401, \"headers\": {\"WWW-Authenticate\": "
                           "\"Bearer realm=\\\"https://127.0.0.1:%d/token\\\"\"}}]",
                        elsewhere, careful.port);
        fake_reset(&careful);
        fake_rules(&careful, rules);
        assert_int_equal(ask(&careful, &like, NULL, &e), -1);
        cleanup_free char *wanted = mem_printf(
                "failed to authorize: failed to fetch anonymous token: the connection to %s "
                "broke: *",
                elsewhere);
        expect_text(e.msg, wanted);
        assert_int_equal(e.code, ERR_UNREACHABLE);
        cleanup_free char *story = fake_story(&careful);
        assert_null(strstr(story, "/stolen"));
        /* Nor is anybody exempt from being checked there. */
        like.skip_verify = true;
        cleanup_free char *stranger = mem_printf("https://127.0.0.1:%d", server.port);
        cleanup_free char *again =
                mem_printf("[{\"path\": \"^/token\", \"redirect\": \"%s/stolen\"},"
                           "{\"status\": 401, \"headers\": {\"WWW-Authenticate\": "
                           "\"Bearer realm=\\\"https://127.0.0.1:%d/token\\\"\"}}]",
                        stranger, careful.port);
        like.ca_file_count = 0;
        fake_rules(&careful, again);
        assert_int_equal(ask(&careful, &like, NULL, &e), -1);
        cleanup_free char *unknown = mem_printf(
                "failed to authorize: failed to fetch anonymous token: TLS with %s failed: SSL "
                "certificate problem: unable to get local issuer certificate",
                stranger);
        assert_string_equal(e.msg, unknown);
        fake_reset(&careful);
}

/* Whom not to check was said of the upstream alone. */
static void who_is_behind_a_redirect_is_checked(void **state)
{
        (void)state;
        cleanup_free char *both = file("both.pem");
        struct upstream like = {.skip_verify = true, .client_cert = both};
        char digest[DIGEST_SHA256_SIZE + 1];
        struct err e;
        fake_reset(&server);
        fake_reset(&careful);
        fake_manifest(&careful, "team/app/v1", "{}", digest);
        assert_int_equal(ask(&careful, &like, NULL, &e), 0);
        cleanup_free char *elsewhere = mem_printf("https://127.0.0.1:%d", server.port);
        redirect_to(elsewhere);
        assert_int_equal(ask(&careful, &like, NULL, &e), -1);
        cleanup_free char *wanted =
                mem_printf("TLS with %s failed: SSL certificate problem: unable "
                           "to get local issuer certificate",
                        elsewhere);
        assert_string_equal(e.msg, wanted);
        assert_int_equal(e.code, ERR_UNREACHABLE);
        fake_reset(&careful);
}

static void no_way_from_https_to_http(void **state)
{
        (void)state;
        cleanup_free char *ca = file("ca.pem");
        char *files[] = {ca};
        struct upstream like = {.ca_files = files, .ca_file_count = 1};
        struct credentials anna = {.username = "anna", .password = "word"};
        struct err e;
        fake_reset(&server);
        fake_rules(&server, "[{\"redirect\": \"http://127.0.0.1:1/x\"}]");
        assert_int_equal(ask(&server, &like, NULL, &e), -1);
        cleanup_free char *downgrade = mem_printf(
                "https://127.0.0.1:%d redirects from https to http: refused", server.port);
        assert_string_equal(e.msg, downgrade);
        assert_int_equal(e.code, ERR_PROTOCOL);
        fake_rules(&server, "[{\"status\": 401, \"headers\": {\"WWW-Authenticate\": \"Bearer "
                            "realm=\\\"http://127.0.0.1:1/token\\\"\"}}]");
        static const struct credentials nobody;
        const struct {
                const struct credentials *who;
                const char *kind;
        } cases[] = {{&anna, "oauth"}, {&nobody, "anonymous"}};
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                assert_int_equal(ask(&server, &like, cases[i].who, &e), -1);
                cleanup_free char *realm = mem_printf(
                        "failed to authorize: failed to fetch %s token: https://127.0.0.1:%d names "
                        "the token realm http://127.0.0.1:1: no way leads from https to http",
                        cases[i].kind, server.port);
                assert_string_equal(e.msg, realm);
                assert_int_equal(e.code, ERR_UNAUTHORIZED);
        }
}

/* A name that nobody can look up, through a proxy that leads to the server. */
static void through_a_proxy(void **state)
{
        (void)state;
        cleanup_free char *ca = file("ca.pem");
        cleanup_free char *address = mem_printf("http://user:proxyword@127.0.0.1:%d", server.port);
        char *files[] = {ca};
        struct http_trust trust = {.ca_files = files, .ca_file_count = 1};
        const char *headers[] = {"Authorization: Basic c2VjcmV0", NULL};
        fake_reset(&server);
        setenv("HTTPS_PROXY", address, 1);
        struct http_pool *pool = http_pool_new();
        unsetenv("HTTPS_PROXY");
        struct http_request q = {.url = "https://registry.invented.test/v2/",
                .trust = &trust,
                .headers = headers,
                .max_body_bytes = 1000,
                .timeout_ms = 5000};
        struct http_response r;
        struct err e;
        if (http_do(pool, &q, &r, &e) < 0)
                fail_msg("%s", e.msg);
        assert_int_equal(r.status, 200);
        http_response_fini(&r);
        json_t *log = fake_log(&server);
        const json_t *tunnel = json_array_get(log, 0);
        const json_t *inside = json_array_get(log, 1);
        assert_int_equal(json_array_size(log), 2);
        assert_string_equal(json_string_value(json_object_get(tunnel, "method")), "CONNECT");
        assert_string_equal(
                json_string_value(json_object_get(tunnel, "path")), "registry.invented.test:443");
        assert_null(fake_header(tunnel, "Authorization"));
        cleanup_free char *shown = fake_header(tunnel, "Proxy-Authorization");
        assert_string_equal(shown, "Basic dXNlcjpwcm94eXdvcmQ=");
        assert_true(json_is_true(json_object_get(inside, "tls")));
        cleanup_free char *told = fake_header(inside, "Authorization");
        assert_string_equal(told, "Basic c2VjcmV0");
        assert_null(fake_header(inside, "Proxy-Authorization"));
        json_decref(log);
        http_pool_free(pool);
}

static void a_proxy_that_refuses(void **state)
{
        (void)state;
        cleanup_free char *address = mem_printf("http://user:proxyword@127.0.0.1:%d", server.port);
        fake_reset(&server);
        fake_rules(&server, "[{\"method\": \"CONNECT\", \"status\": 403}]");
        setenv("HTTPS_PROXY", address, 1);
        struct http_pool *pool = http_pool_new();
        unsetenv("HTTPS_PROXY");
        struct http_request q = {
                .url = "https://registry.invented.test/v2/?secret", .timeout_ms = 5000};
        struct http_response r;
        struct err e;
        assert_int_equal(http_do(pool, &q, &r, &e), -1);
        assert_string_equal(e.msg,
                "cannot connect to https://registry.invented.test through its proxy: the proxy "
                "answers 403");
        assert_int_equal(e.code, ERR_UNREACHABLE);
        http_pool_free(pool);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(authorities),
                cmocka_unit_test(the_bundle_of_the_environment),
                cmocka_unit_test(client_certificates),
                cmocka_unit_test(rotated_files_count_at_once),
                cmocka_unit_test(authorities_that_change),
                cmocka_unit_test(a_proxy_has_authorities_of_its_own),
                cmocka_unit_test(bodies_in_pieces),
                cmocka_unit_test(the_client_certificate_stays_with_the_upstream),
                cmocka_unit_test(the_client_certificate_stays_with_the_realm),
                cmocka_unit_test(who_is_behind_a_redirect_is_checked),
                cmocka_unit_test(no_way_from_https_to_http),
                cmocka_unit_test(through_a_proxy),
                cmocka_unit_test(a_proxy_that_refuses),
        };
        return cmocka_run_group_tests(tests, open_all, close_all);
}

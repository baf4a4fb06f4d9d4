/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "config/trust.h"
#include "tests/unit/config/scratch.h"

enum { FILES_MAX = 6 };

/* One upstream as text, so that a case says all of it: base origin ca=... cert=... key=... skip
 * Name:value; "@" for the folder. */
static char *describe(const struct scratch *s, const struct upstream *u)
{
        char *out = mem_printf("%s %s", u->base_url, u->origin);
#define ADD(...)                                                                                   \
        do {                                                                                       \
                char *more = mem_printf(__VA_ARGS__);                                              \
                char *next = mem_printf("%s %s", out, more);                                       \
                free(more);                                                                        \
                free(out);                                                                         \
                out = next;                                                                        \
        } while (0)
        for (size_t i = 0; i < u->ca_file_count; i++)
                ADD("ca=%s", u->ca_files[i]);
        if (u->client_cert != NULL)
                ADD("cert=%s", u->client_cert);
        if (u->client_key != NULL)
                ADD("key=%s", u->client_key);
        if (u->skip_verify)
                ADD("skip");
        for (size_t i = 0; i < u->header_count; i++)
                ADD("%s:%s", u->headers[i].name, u->headers[i].value);
        if (u->username != NULL)
                ADD("username=%s", u->username);
        if (u->password != NULL)
                ADD("password=%s", u->password);
        if (u->identity_token != NULL)
                ADD("identity_token=%s", u->identity_token);
        if (u->auth != NULL)
                ADD("auth=%s", u->auth);
        if (u->note != NULL)
                ADD("note=%s", u->note);
#undef ADD
        for (char *at; (at = strstr(out, s->path)) != NULL;) {
                *at = '@';
                memmove(at + 1, at + strlen(s->path), strlen(at + strlen(s->path)) + 1);
        }
        return out;
}

static struct config *configure(const struct scratch *s, const char *text)
{
        cleanup_free char *expanded = scratch_expand(s, text);
        cleanup_free char *path = scratch_write(s, "c.toml", expanded);
        struct config *c = NULL;
        struct err e;
        if (config_load(path, &c, &e) < 0)
                fail_msg("%s", e.msg);
        return c;
}

static void expect(const struct scratch *s, const char *config, const char *host, const char *want)
{
        struct config *c = configure(s, config);
        cleanup_upstream struct upstream *u = NULL;
        struct err e;
        if (upstream_new(c, host, &u, &e) < 0)
                fail_msg("%s", e.msg);
        assert_string_equal(u->host, host);
        cleanup_free char *got = describe(s, u);
        assert_string_equal(got, want);
        config_put(c);
}

static int setup(void **state)
{
        trust_set_legacy(NULL);
        return scratch_setup(state);
}

#define CERTS_D "[shim]\ncerts_dir = \"@/certs.d\"\n"

static void hosts_without_configuration(void **state)
{
        static const char *const cases[][2] = {
                {"ghcr.io", "https://ghcr.io/v2 https://ghcr.io"},
                {"reg.io:5000", "https://reg.io:5000/v2 https://reg.io:5000"},
                {"docker.io", "https://registry-1.docker.io/v2 https://registry-1.docker.io"},
                {"localhost", "https://localhost/v2 https://localhost skip"},
                {"localhost:443", "https://localhost:443/v2 https://localhost:443 skip"},
                {"localhost:80", "http://localhost:80/v2 http://localhost:80"},
                {"localhost:5000", "http://localhost:5000/v2 http://localhost:5000 skip"},
                {"127.0.0.9:5000", "http://127.0.0.9:5000/v2 http://127.0.0.9:5000 skip"},
                {"[::1]:5000", "http://[::1]:5000/v2 http://[::1]:5000 skip"},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                expect(*state, CERTS_D, cases[i][0], cases[i][1]);
}

static const struct {
        const char *host;
        const char *files[FILES_MAX]; /* path under certs.d and text by turns */
        const char *want;
} certs_d[] = {
        /* address */
        {"a.io", {"a.io/hosts.toml", "server = \"https://b.io\""}, "https://b.io/v2 https://b.io"},
        {"a.io", {"a.io/hosts.toml", "server = \"b.io:5000\""},
                "https://b.io:5000/v2 https://b.io:5000"},
        {"a.io", {"a.io/hosts.toml", "server = \"http://b.io/\""}, "http://b.io/v2 http://b.io"},
        {"a.io", {"a.io/hosts.toml", "server = \"https://b.io/x\""},
                "https://b.io/x/v2 https://b.io"},
        {"a.io", {"a.io/hosts.toml", "server = \"https://b.io/x/v2/\""},
                "https://b.io/x/v2 https://b.io"},
        {"a.io", {"a.io/hosts.toml", "server = \"https://b.io/x\"\noverride_path = true"},
                "https://b.io/x https://b.io"},
        {"a.io", {"a.io/hosts.toml", "server = \"https://b.io\"\noverride_path = true"},
                "https://b.io https://b.io"},
        {"a.io", {"a.io/hosts.toml", "server = \"\"\noverride_path = true"},
                "https://a.io/v2 https://a.io"},
        {"docker.io", {"docker.io/hosts.toml", "skip_verify = true"},
                "https://registry-1.docker.io/v2 https://registry-1.docker.io skip"},
        {"localhost:5000", {"localhost_5000_/hosts.toml", "skip_verify = false"},
                "http://localhost:5000/v2 http://localhost:5000 skip"},
        {"localhost:5000", {"localhost:5000/hosts.toml", "server = \"http://localhost:5000\""},
                "http://localhost:5000/v2 http://localhost:5000"},
        /* directories: the first that is there, alone */
        {"a.io:5000",
                {"a.io_5000_/hosts.toml", "server = \"https://flat.io\"", "a.io:5000/hosts.toml",
                        "server = \"https://colon.io\"", "_default/hosts.toml",
                        "server = \"https://default.io\""},
                "https://flat.io/v2 https://flat.io"},
        {"a.io:5000",
                {"a.io:5000/hosts.toml", "server = \"https://colon.io\"", "_default/hosts.toml",
                        "server = \"https://default.io\""},
                "https://colon.io/v2 https://colon.io"},
        {"a.io:5000",
                {"a.io/hosts.toml", "server = \"https://portless.io\"", "_default/hosts.toml",
                        "server = \"https://default.io\""},
                "https://default.io/v2 https://default.io"},
        {"a.io", {"a.io/other", "", "_default/hosts.toml", "server = \"https://default.io\""},
                "https://a.io/v2 https://a.io"},
        {"a.io", {"_default/hosts.toml", "ca = \"ca.pem\""},
                "https://a.io/v2 https://a.io ca=@/certs.d/_default/ca.pem"},
        /* trust */
        {"a.io", {"a.io/hosts.toml", "ca = \"/x/ca.pem\""},
                "https://a.io/v2 https://a.io ca=/x/ca.pem"},
        {"a.io", {"a.io/hosts.toml", "ca = [\"one.pem\", \"/two.pem\"]"},
                "https://a.io/v2 https://a.io ca=@/certs.d/a.io/one.pem ca=/two.pem"},
        {"a.io", {"a.io/hosts.toml", "client = \"both.pem\""},
                "https://a.io/v2 https://a.io cert=@/certs.d/a.io/both.pem "
                "key=@/certs.d/a.io/both.pem"},
        {"a.io", {"a.io/hosts.toml", "client = [\"both.pem\", \"/second.pem\"]"},
                "https://a.io/v2 https://a.io cert=@/certs.d/a.io/both.pem "
                "key=@/certs.d/a.io/both.pem"},
        {"a.io", {"a.io/hosts.toml", "client = [[\"/c.pem\", \"k.pem\"], [\"/d\", \"/e\"]]"},
                "https://a.io/v2 https://a.io cert=/c.pem key=@/certs.d/a.io/k.pem"},
        {"a.io", {"a.io/hosts.toml", "[header]\nX-A = \"1\"\nX-B = [\"2\", \"3\"]"},
                "https://a.io/v2 https://a.io X-A:1 X-B:2 X-B:3"},
        /* mirrors are not for us, whatever they say */
        {"a.io",
                {"a.io/hosts.toml",
                        "server = \"https://b.io\"\n[host.\"https://mirror.io\"]\n"
                        "capabilities = [\"pull\", \"Resolve\"]\nca = \"/m.pem\"\n"
                        "skip_verify = true\n[host.\"https://mirror.io\".header]\nX-M = \"m\""},
                "https://b.io/v2 https://b.io"},
        {"a.io", {"a.io/hosts.toml", "[host.\"http://mirror.io\"]\ndial_timeout = \"1s\""},
                "https://a.io/v2 https://a.io"},
        {"a.io", {"a.io/hosts.toml", "sever = \"https://b.io\"\nskip_verify = true"},
                "https://a.io/v2 https://a.io skip"},
        /* docker's layout, also beside a hosts.toml that is empty */
        {"a.io", {"a.io/b.crt", "", "a.io/a.crt", "", "a.io/readme", ""},
                "https://a.io/v2 https://a.io ca=@/certs.d/a.io/a.crt ca=@/certs.d/a.io/b.crt"},
        {"a.io", {"a.io/c.cert", "", "a.io/c.key", "", "a.io/hosts.toml", ""},
                "https://a.io/v2 https://a.io cert=@/certs.d/a.io/c.cert "
                "key=@/certs.d/a.io/c.key"},
        {"a.io", {"a.io/c.cert", "", "a.io/d.key", ""},
                "https://a.io/v2 https://a.io cert=@/certs.d/a.io/c.cert "
                "key=@/certs.d/a.io/c.cert"},
};

static void certs_directories(void **state)
{
        struct scratch *s = *state;
        for (size_t i = 0; i < sizeof(certs_d) / sizeof(certs_d[0]); i++) {
                struct scratch own;
                snprintf(own.path, sizeof(own.path), "%.40s/%zu", s->path, i);
                free(scratch_write(&own, "certs.d/unrelated.io/hosts.toml", ""));
                for (size_t f = 0; f < FILES_MAX && certs_d[i].files[f] != NULL; f += 2) {
                        cleanup_free char *name = mem_printf("certs.d/%s", certs_d[i].files[f]);
                        free(scratch_write(&own, name, certs_d[i].files[f + 1]));
                }
                expect(&own, CERTS_D, certs_d[i].host, certs_d[i].want);
        }
}

/* containerd throws such a file away and looks for certificates beside it. */
static void faulty_files_are_discarded_whole(void **state)
{
        struct scratch *s = *state;
        static const char *const cases[][2] = {
                {"server = \"https://b.io",
                        "1:23: Error while parsing string: encountered end-of-file"},
                {"server = 3", "1: server is not valid"},
                {"server = \"https://b io\"", "1: server is not valid"},
                {"server = \"https://b.io\"\nca = 3", "2: ca is not valid"},
                {"server = \"https://b.io\"\nca = [\"a\", 3]", "2: ca is not valid"},
                {"server = \"https://b.io\"\nclient = true", "2: client is not valid"},
                {"server = \"https://b.io\"\nclient = [3]", "2: client is not valid"},
                {"server = \"https://b.io\"\nclient = [[\"only\"]]", "2: client is not valid"},
                {"server = \"https://b.io\"\nclient = [[\"a\", \"b\", \"c\"]]",
                        "2: client is not valid"},
                {"server = \"https://b.io\"\nskip_verify = \"yes\"", "2: skip_verify is not valid"},
                {"server = \"https://b.io\"\noverride_path = 1", "2: override_path is not valid"},
                {"server = \"https://b.io\"\nheader = \"X: y\"", "2: header is not valid"},
                {"server = \"https://b.io\"\n[header]\nX = 3", "2: header is not valid"},
                {"server = \"https://b.io\"\n[header]\nX = \"a\\r\\nY: b\"",
                        "2: header is not valid"},
                {"server = \"https://b.io\"\ncapabilities = \"pull\"",
                        "2: capabilities is not valid"},
                {"server = \"https://b.io\"\ncapabilities = [\"pul\"]",
                        "2: capabilities is not valid"},
                {"server = \"https://b.io\"\n[host.\"https://m.io\"]\ncapabilities = [\"all\"]",
                        "3: capabilities is not valid"},
                {"server = \"https://b.io\"\n[host.\"https://m.io\"]\nca = 3",
                        "3: ca is not valid"},
                {"server = \"https://b.io\"\n[host]\n\"https://m.io\" = 3",
                        "3: \"https://m.io\" is not valid"},
                {"server = \"https://b.io\"\nhost = []", "2: host is not valid"},
                {"server = \"https://b.io\"\n\n[host.\"https://m io\"]",
                        "3: \"https://m io\" is not valid"},
        };
        free(scratch_write(s, "certs.d/a.io/ca.crt", ""));
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                free(scratch_write(s, "certs.d/a.io/hosts.toml", cases[i][0]));
                cleanup_free char *note = mem_printf(
                        "note=@/certs.d/a.io/hosts.toml is broken and ignored, as containerd "
                        "does: line %s",
                        cases[i][1]);
                cleanup_free char *want = mem_printf(
                        "https://a.io/v2 https://a.io ca=@/certs.d/a.io/ca.crt %s", note);
                expect(s, CERTS_D, "a.io", want);
        }
}

static void changes_are_seen_at_once(void **state)
{
        struct scratch *s = *state;
        expect(s, CERTS_D, "a.io", "https://a.io/v2 https://a.io");
        free(scratch_write(s, "certs.d/a.io/hosts.toml", "server = \"https://b.io\""));
        expect(s, CERTS_D, "a.io", "https://b.io/v2 https://b.io");
        free(scratch_write(s, "certs.d/a.io/hosts.toml", "server = \"https://c.io\""));
        expect(s, CERTS_D, "a.io", "https://c.io/v2 https://c.io");
}

static void several_directories_are_tried_in_turn(void **state)
{
        struct scratch *s = *state;
        static const char both[] = "[shim]\ncerts_dir = \"@/missing:@/one:@/two\"\n";
        free(scratch_write(s, "one/a.io/hosts.toml", "server = \"https://one.io\""));
        free(scratch_write(s, "two/a.io/hosts.toml", "server = \"https://two.io\""));
        free(scratch_write(s, "two/b.io/hosts.toml", "server = \"https://two.io\""));
        expect(s, both, "a.io", "https://one.io/v2 https://one.io");
        expect(s, both, "b.io", "https://two.io/v2 https://two.io");
        expect(s, both, "c.io", "https://c.io/v2 https://c.io");
        free(scratch_write(s, "one/_default/hosts.toml", "server = \"https://one.io\""));
        expect(s, both, "b.io", "https://one.io/v2 https://one.io");
}

static void unreadable_places_are_errors(void **state)
{
        struct scratch *s = *state;
        struct config *c = configure(s, CERTS_D);
        struct upstream *u = NULL;
        struct err e = {0};
        free(scratch_write(s, "certs.d/a.io", "a file, no folder"));
        assert_int_equal(upstream_new(c, "a.io", &u, &e), -1);
        assert_null(u);
        assert_int_equal(e.code, ERR_CONFIG);
        cleanup_free char *want = mem_printf("registry configuration of a.io: cannot read "
                                             "%s/certs.d/a.io/hosts.toml: Not a directory",
                s->path);
        assert_string_equal(e.msg, want);
        free(scratch_write(s, "certs.d/b.io/hosts.toml/file", ""));
        cleanup_free char *other = mem_printf("registry configuration of b.io: cannot read "
                                              "%s/certs.d/b.io/hosts.toml: Is a directory",
                s->path);
        assert_int_equal(upstream_new(c, "b.io", &u, &e), -1);
        assert_string_equal(e.msg, other);
        config_put(c);
}

static void our_own_keys_come_first(void **state)
{
        struct scratch *s = *state;
        free(scratch_write(
                s, "f", "-----BEGIN CERTIFICATE-----\n-----BEGIN RSA PRIVATE KEY-----\n"));
        free(scratch_write(s, "certs.d/a.io/hosts.toml",
                "server = \"https://b.io\"\nca = \"/b.pem\"\n[header]\nX-B = \"b\""));
        expect(s, CERTS_D "[upstream.\"a.io\"]\nserver = \"http://c.io/x\"\n", "a.io",
                "http://c.io/x/v2 http://c.io");
        expect(s,
                CERTS_D "[upstream.\"a.io\"]\nca = \"@/f\"\nclient_cert = \"@/f\"\n"
                        "client_key = \"@/f\"\nheaders = { X-A = \"1\" }\n",
                "a.io", "https://a.io/v2 https://a.io ca=@/f cert=@/f key=@/f X-A:1");
        expect(s, CERTS_D "[upstream.\"a.io\"]\nskip_verify = false\n", "a.io",
                "https://a.io/v2 https://a.io");
        expect(s, CERTS_D "[upstream.\"docker.io\"]\nskip_verify = true\n", "docker.io",
                "https://registry-1.docker.io/v2 https://registry-1.docker.io skip");
        expect(s, CERTS_D "[upstream.\"localhost:5000\"]\nheaders = { X = \"y\" }\n",
                "localhost:5000", "http://localhost:5000/v2 http://localhost:5000 skip X:y");
        /* A table with policies only leaves trust where it was. */
        expect(s, CERTS_D "[upstream.\"a.io\"]\non_upstream_down = \"stale\"\n", "a.io",
                "https://b.io/v2 https://b.io ca=/b.pem X-B:b");
        expect(s,
                CERTS_D "[upstream.\"a.io\"]\nmode = \"resolve\"\n"
                        "[upstream.default]\nserver = \"http://127.0.0.1:1\"\n",
                "a.io", "http://127.0.0.1:1/v2 http://127.0.0.1:1");
        expect(s, CERTS_D "[upstream.default]\nserver = \"http://127.0.0.1:1\"\n", "z.io",
                "http://127.0.0.1:1/v2 http://127.0.0.1:1");
}

/* As containerd 1.6.20 and 1.7.24 print it. */
static const char report[] =
        "{\"configPath\": \"%s\", \"mirrors\": {\"a.io\": {\"endpoint\": [\"http://mirror.io\"]}},"
        " \"configs\": {"
        "  \"a.io\": {\"auth\": null, \"tls\": {\"insecure_skip_verify\": true, \"caFile\": "
        "\"/ca\","
        "   \"certFile\": \"/cert\", \"keyFile\": \"/key\"}},"
        "  \"b.io:5000\": {\"auth\": {\"username\": \"u\", \"password\": \"p\", \"auth\": \"\","
        "   \"identitytoken\": \"\"}, \"tls\": null},"
        "  \"c.io\": {\"auth\": {\"username\": \"\", \"password\": \"\", \"auth\": \"dTpw\","
        "   \"identitytoken\": \"t\"}, \"tls\": {\"insecure_skip_verify\": false, \"caFile\": \"\","
        "   \"certFile\": \"\", \"keyFile\": \"\"}},"
        "  \"registry-1.docker.io\": {\"auth\": {\"username\": \"hub\", \"password\": \"p\"}}},"
        " \"auths\": {\"https://d.io/v1/\": {\"username\": \"d\", \"password\": \"p\"},"
        "  \"b.io\": {\"username\": \"portless\", \"password\": \"p\"}},"
        " \"headers\": {\"X-All\": [\"1\", \"2\"]}}";

static void set_report(const char *config_path)
{
        cleanup_free char *start = mem_strndup(report, (size_t)(strstr(report, "%s") - report));
        cleanup_free char *text =
                mem_printf("%s%s%s", start, config_path, strstr(report, "%s") + strlen("%s"));
        json_t *registry = json_loads(text, 0, NULL);
        assert_non_null(registry);
        trust_set_legacy(registry);
        json_decref(registry);
}

static void report_without_config_path(void **state)
{
        set_report("");
        static const char *const cases[][2] = {
                {"a.io", "https://a.io/v2 https://a.io ca=/ca cert=/cert key=/key skip "
                         "X-All:1 X-All:2"},
                {"b.io:5000", "https://b.io:5000/v2 https://b.io:5000 X-All:1 X-All:2 username=u "
                              "password=p"},
                {"b.io", "https://b.io/v2 https://b.io X-All:1 X-All:2 username=portless "
                         "password=p"},
                {"c.io", "https://c.io/v2 https://c.io X-All:1 X-All:2 identity_token=t "
                         "auth=dTpw"},
                {"d.io", "https://d.io/v2 https://d.io X-All:1 X-All:2 username=d password=p"},
                {"docker.io", "https://registry-1.docker.io/v2 https://registry-1.docker.io "
                              "X-All:1 X-All:2 username=hub password=p"},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                expect(*state, "", cases[i][0], cases[i][1]);
        trust_set_legacy(NULL);
}

static void report_with_config_path(void **state)
{
        struct scratch *s = *state;
        cleanup_free char *dir = mem_printf("%s/reported", s->path);
        free(scratch_write(s, "reported/a.io/hosts.toml", "server = \"https://b.io:5000\""));
        free(scratch_write(s, "certs.d/a.io/hosts.toml", "server = \"https://c.io\""));
        set_report(dir);
        expect(s, "", "a.io",
                "https://b.io:5000/v2 https://b.io:5000 X-All:1 X-All:2 username=u password=p");
        /* shim.certs_dir is stronger; tls of registry.configs does not count beside certs.d. */
        expect(s, CERTS_D, "a.io",
                "https://c.io/v2 https://c.io X-All:1 X-All:2 identity_token=t auth=dTpw");
        free(scratch_write(s, "certs.d/a.io/hosts.toml", ""));
        expect(s, CERTS_D, "a.io", "https://a.io/v2 https://a.io X-All:1 X-All:2");
        /* Credentials go with the server, wherever its address came from. */
        expect(s, CERTS_D "[upstream.\"a.io\"]\nserver = \"https://d.io\"\n", "a.io",
                "https://d.io/v2 https://d.io username=d password=p");
        trust_set_legacy(NULL);
        expect(s, CERTS_D, "b.io:5000", "https://b.io:5000/v2 https://b.io:5000");
}

#define SCRATCH(f) cmocka_unit_test_setup_teardown(f, setup, scratch_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                SCRATCH(hosts_without_configuration),
                SCRATCH(certs_directories),
                SCRATCH(faulty_files_are_discarded_whole),
                SCRATCH(changes_are_seen_at_once),
                SCRATCH(several_directories_are_tried_in_turn),
                SCRATCH(unreadable_places_are_errors),
                SCRATCH(our_own_keys_come_first),
                SCRATCH(report_without_config_path),
                SCRATCH(report_with_config_path),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

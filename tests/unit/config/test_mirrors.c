/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "config/trust.h"
#include "tests/unit/config/scratch.h"

#define CERTIFICATE "-----BEGIN CERTIFICATE-----\n"
#define PRIVATE_KEY "-----BEGIN PRIVATE KEY-----\n"

enum { STRANGER = 4242 };

static struct config *load(const struct scratch *s, const char *text)
{
        cleanup_free char *expanded = scratch_expand(s, text);
        cleanup_free char *path = scratch_write(s, "c.toml", expanded);
        struct config *c = NULL;
        struct err e;
        if (config_load(path, &c, &e) < 0)
                fail_msg("%s", e.msg);
        return c;
}

/* `want` is what follows "@/c.toml:"; "@" is the folder. */
static void refuse(const struct scratch *s, const char *text, const char *want)
{
        cleanup_free char *expanded = scratch_expand(s, text);
        cleanup_free char *path = scratch_write(s, "c.toml", expanded);
        cleanup_free char *message = scratch_expand(s, want);
        cleanup_free char *whole = mem_printf("%s:%s", path, message);
        struct config *c = NULL;
        struct err e = {0};
        if (config_load(path, &c, &e) != -1 || c != NULL || e.code != ERR_CONFIG)
                fail_msg("accepted: %s", text);
        assert_string_equal(e.msg, whole);
        assert_null(strstr(e.msg, "secret"));
}

static void write_credentials(const struct scratch *s, const char *text, mode_t mode)
{
        cleanup_free char *path = scratch_write(s, "cred", text);
        assert_int_equal(chmod(path, mode), 0);
}

/* The mirrors of a host, with a space before each. */
static char *mirrors_of(const struct config *c, const char *host)
{
        bool has_entry = false;
        const struct config_upstream *u = config_upstream_for(c, host, &has_entry);
        char *out = mem_strdup("");
        for (size_t i = 0; i < u->mirror_count; i++) {
                assert_string_equal(config_mirror_for(c, u->mirrors[i])->url, u->mirrors[i]);
                char *next = mem_printf("%s %s", out, u->mirrors[i]);
                free(out);
                out = next;
        }
        return out;
}

static enum relay_mode relay_of(const struct config *c, const char *host)
{
        bool has_entry = false;
        return config_upstream_for(c, host, &has_entry)->relay;
}

static void assert_mirrors(const struct config *c, const char *host, const char *want)
{
        cleanup_free char *got = mirrors_of(c, host);
        assert_string_equal(got, want);
}

static void defaults_have_a_relay_and_no_mirror(void **state)
{
        (void)state;
        struct config *c = NULL;
        struct err e;
        assert_int_equal(config_load(NULL, &c, &e), 0);
        assert_int_equal(c->upstream_default.relay, RELAY_AUTO);
        assert_int_equal(c->relay_port, 7780);
        assert_int_equal(c->connect_timeout_ms, 1000);
        assert_int_equal(c->first_byte_timeout_ms, 10000);
        assert_int_equal(c->stall_timeout_ms, 10000);
        assert_string_equal(c->image_verifier_dir, "/opt/containerd/image-verifier/bin");
        assert_int_equal(c->upstream_default.mirror_count, 0);
        assert_int_equal(c->mirror_count, 0);
        assert_null(config_mirror_for(c, "https://a.io"));
        config_put(c);
}

static void relay_keys_arrive(void **state)
{
        struct config *c =
                load(*state, "[relay]\nmode = \"off\"\nport = 65535\nconnect_timeout = \"10ms\"\n"
                             "first_byte_timeout = \"10m\"\nstall_timeout = \"300ms\"\n"
                             "image_verifier_dir = \"\"\n");
        assert_int_equal(c->upstream_default.relay, RELAY_OFF);
        assert_int_equal(c->relay_port, 65535);
        assert_int_equal(c->connect_timeout_ms, 10);
        assert_int_equal(c->first_byte_timeout_ms, 600000);
        assert_int_equal(c->stall_timeout_ms, 300);
        assert_null(c->image_verifier_dir);
        config_put(c);
}

/* [upstream.default] is over [relay], a host's own word over both; the order of the tables makes no
 * difference. */
static void relay_is_inherited(void **state)
{
        static const struct {
                const char *text;
                enum relay_mode a, other;
        } cases[] = {
                {"", RELAY_AUTO, RELAY_AUTO},
                {"[upstream.\"a.io\"]\n[relay]\nmode = \"off\"\n", RELAY_OFF, RELAY_OFF},
                {"[upstream.\"a.io\"]\nrelay = \"auto\"\n[relay]\nmode = \"off\"\n", RELAY_AUTO,
                        RELAY_OFF},
                {"[upstream.\"a.io\"]\nrelay = \"off\"\n", RELAY_OFF, RELAY_AUTO},
                {"[upstream.\"a.io\"]\n[upstream.default]\nrelay = \"auto\"\n"
                 "[relay]\nmode = \"off\"\n",
                        RELAY_AUTO, RELAY_AUTO},
                {"[upstream.\"a.io\"]\nrelay = \"auto\"\n[upstream.default]\nrelay = \"off\"\n",
                        RELAY_AUTO, RELAY_OFF},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct config *c = load(*state, cases[i].text);
                assert_int_equal(relay_of(c, "a.io"), cases[i].a);
                assert_int_equal(relay_of(c, "other.io"), cases[i].other);
                config_put(c);
        }
}

static void mirrors_are_inherited_as_a_whole(void **state)
{
        struct config *c = load(*state,
                "[upstream.\"own.io\"]\nmirrors = [\"http://127.0.0.1:2\", \"https://a.io/x\"]\n"
                "[upstream.\"silent.io\"]\nmax_stale = \"1m\"\n"
                "[upstream.\"none.io\"]\nmirrors = []\n"
                "[upstream.\"string.io\"]\nmirrors = \"https://s.io/v2\"\n"
                "[upstream.default]\nmirrors = [\"https://a.io/x\", \"http://b.io\"]\n");
        assert_mirrors(c, "own.io", " http://127.0.0.1:2 https://a.io/x");
        assert_mirrors(c, "silent.io", " https://a.io/x http://b.io");
        assert_mirrors(c, "none.io", "");
        assert_mirrors(c, "string.io", " https://s.io");
        assert_mirrors(c, "other.io", " https://a.io/x http://b.io");
        assert_int_equal(c->mirror_count, 4); /* each once, whoever lists it */
        bool has_entry = false;
        assert_false(config_upstream_for(c, "own.io", &has_entry)->has_trust);
        assert_false(c->upstream_default.has_trust);
        config_put(c);
}

static void urls_are_kept_in_one_form(void **state)
{
        static const char *const cases[][2] = {
                {"https://a.io", " https://a.io"},
                {"HTTPS://a.io/", " https://a.io"},
                {"https://a.io/v2", " https://a.io"},
                {"https://a.io/v2/", " https://a.io"},
                {"https://a.io//v2//", " https://a.io"},
                {"https://a.io/x/v2/", " https://a.io/x"},
                {"https://a.io/xv2", " https://a.io/xv2"},
                {"https://a.io/v2/x", " https://a.io/v2/x"},
                {"http://[::1]:5000/", " http://[::1]:5000"},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_free char *text = mem_printf("[mirror.\"%s\"]\nskip_verify = true\n"
                                                     "[upstream.\"a.io\"]\nmirrors = [\"%s\"]\n",
                        cases[i][0], cases[i][0]);
                struct config *c = load(*state, text);
                assert_mirrors(c, "a.io", cases[i][1]);
                assert_true(config_mirror_for(c, cases[i][1] + 1)->skip_verify);
                config_put(c);
        }
}

/* A mirror is reached by its own table alone: nothing of its upstream's is there. */
static const char reached[] =
        "[upstream.\"a.io\"]\nserver = \"https://u.io\"\nskip_verify = true\nca = \"@/other.pem\"\n"
        "headers = { X-Upstream = \"u\" }\n"
        "mirrors = [\"https://full.io:8443/proxy\", \"http://127.0.0.1:5000\"]\n"
        "[mirror.\"https://full.io:8443/proxy/v2/\"]\nca = \"@/ca.pem\"\n"
        "client_cert = \"@/cert.pem\"\nclient_key = \"@/key.pem\"\nskip_verify = true\n"
        "credentials = \"@/cred\"\nheaders = { X-Team = \"platform\" }\n";

static struct config *load_reached(const struct scratch *s)
{
        free(scratch_write(s, "ca.pem", CERTIFICATE));
        free(scratch_write(s, "other.pem", CERTIFICATE));
        free(scratch_write(s, "cert.pem", CERTIFICATE));
        free(scratch_write(s, "key.pem", PRIVATE_KEY));
        write_credentials(s, "robot$x:secret:with colon\n", 0600);
        return load(s, reached);
}

static void a_mirror_has_what_its_table_says(void **state)
{
        struct scratch *s = *state;
        struct config *c = load_reached(s);
        cleanup_free char *ca = scratch_expand(s, "@/ca.pem");
        cleanup_free char *cert = scratch_expand(s, "@/cert.pem");
        cleanup_free char *key = scratch_expand(s, "@/key.pem");
        cleanup_upstream struct upstream *u = upstream_new_mirror(c, "https://full.io:8443/proxy");
        config_put(c); /* u is a copy */
        assert_string_equal(u->host, "https://full.io:8443/proxy");
        assert_string_equal(u->base_url, "https://full.io:8443/proxy/v2");
        assert_string_equal(u->origin, "https://full.io:8443");
        assert_int_equal(u->ca_file_count, 1);
        assert_string_equal(u->ca_files[0], ca);
        assert_string_equal(u->client_cert, cert);
        assert_string_equal(u->client_key, key);
        assert_true(u->skip_verify);
        assert_int_equal(u->header_count, 1);
        assert_string_equal(u->headers[0].name, "X-Team");
        assert_string_equal(u->headers[0].value, "platform");
        assert_string_equal(u->username, "robot$x");
        assert_string_equal(u->password, "secret:with colon");
        assert_null(u->auth);
        assert_null(u->identity_token);
        assert_null(u->note);
}

static void assert_bare(const struct upstream *u, const char *url)
{
        cleanup_free char *base = mem_printf("%s/v2", url);
        assert_string_equal(u->host, url);
        assert_string_equal(u->base_url, base);
        assert_string_equal(u->origin, url);
        assert_int_equal(u->ca_file_count, 0);
        assert_null(u->client_cert);
        assert_null(u->client_key);
        assert_false(u->skip_verify);
        assert_int_equal(u->header_count, 0);
        assert_null(u->username);
        assert_null(u->password);
}

/* Loopback too: where an upstream there would not be verified, a mirror is. */
static void a_mirror_without_a_table_has_its_url_alone(void **state)
{
        static const char *const urls[] = {"http://127.0.0.1:5000", "https://127.0.0.1:5001"};
        struct config *c = load_reached(*state);
        for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
                cleanup_upstream struct upstream *u = upstream_new_mirror(c, urls[i]);
                assert_bare(u, urls[i]); /* the second is listed by nobody */
        }
        config_put(c);
}

/* Harbor's proxy projects are behind /v2, not in front of it. */
static void a_url_with_more_behind_v2_is_the_root(void **state)
{
        struct config *c = load(*state, "[upstream.\"a.io\"]\nmirrors = [\"https://h.io/v2/hub/\", "
                                        "\"https://h.io/v22\"]\n");
        assert_mirrors(c, "a.io", " https://h.io/v2/hub https://h.io/v22");
        cleanup_upstream struct upstream *u = upstream_new_mirror(c, "https://h.io/v2/hub");
        assert_string_equal(u->base_url, "https://h.io/v2/hub");
        assert_string_equal(u->origin, "https://h.io");
        cleanup_upstream struct upstream *other = upstream_new_mirror(c, "https://h.io/v22");
        assert_string_equal(other->base_url, "https://h.io/v22/v2");
        config_put(c);
}

static void two_upstreams_share_a_mirror(void **state)
{
        struct config *c = load(*state,
                "[mirror.\"https://m.io\"]\nheaders = { A = \"b\" }\n"
                "[upstream.\"a.io\"]\nmirrors = \"https://m.io\"\n"
                "[upstream.\"b.io\"]\nmirrors = [\"https://m.io/\", \"http://n.io\"]\n");
        assert_int_equal(c->mirror_count, 2);
        assert_string_equal(config_mirror_for(c, "https://m.io")->headers[0].value, "b");
        assert_null(config_mirror_for(c, "https://m.io")->username);
        assert_int_equal(config_mirror_for(c, "http://n.io")->header_count, 0);
        config_put(c);
}

#define A       "[upstream.\"a.io\"]\nmirrors = [\"https://m.io/p\"]\n[mirror.\"https://m.io/p\"]\n"
#define MIRROR  "4: mirror.\"https://m.io/p\"."
#define MIRRORS "2: upstream.\"a.io\".mirrors: "
#define NOT_A_URL                                                                                  \
        "not a URL of the form \"https://host:port/path\" or \"http://...\" (without user, query " \
        "and fragment)"
#define UNLISTED            "no upstream has this URL among its mirrors; "
#define TIMES               "; allowed: \"10ms\" to \"10m\", as a number with ms, s, m or h"
#define CREDENTIALS_ALLOWED "; allowed: the absolute path of a file with one line user:password"

static const struct {
        const char *text;
        const char *message;
} bad[] = {
        /* relay */
        {"[relay]\nmode = \"on\"\n", "2: relay.mode: got \"on\"; allowed: \"auto\" or \"off\""},
        {"[relay]\nmode = true\n", "2: relay.mode: got a boolean; allowed: \"auto\" or \"off\""},
        {"[upstream.\"a.io\"]\nrelay = \"\"\n",
                "2: upstream.\"a.io\".relay: got \"\"; allowed: \"auto\" or \"off\""},
        {"[relay]\nport = 0\n", "2: relay.port: got 0; allowed: an integer, 1 to 65535"},
        {"[relay]\nport = -1\n", "2: relay.port: got -1; allowed: an integer, 1 to 65535"},
        {"[relay]\nport = 65536\n", "2: relay.port: got 65536; allowed: an integer, 1 to 65535"},
        {"[relay]\nport = 9223372036854775807\n",
                "2: relay.port: got 9223372036854775807; allowed: an integer, 1 to 65535"},
        {"[relay]\nport = \"7780\"\n",
                "2: relay.port: got a string; allowed: an integer, 1 to 65535"},
        {"[relay]\nport = 7780.0\n", "2: relay.port: got a float; allowed: an integer, 1 to 65535"},
        {"[relay]\nconnect_timeout = \"9ms\"\n", "2: relay.connect_timeout: got \"9ms\"" TIMES},
        {"[relay]\nfirst_byte_timeout = \"11m\"\n",
                "2: relay.first_byte_timeout: got \"11m\"" TIMES},
        {"[relay]\nstall_timeout = 10\n", "2: relay.stall_timeout: got an integer" TIMES},
        {"[relay]\nimage_verifier_dir = \"bin\"\n",
                "2: relay.image_verifier_dir: got \"bin\"; allowed: the absolute path of a "
                "directory"},
        {"[relay]\nimage_verifier_dir = false\n",
                "2: relay.image_verifier_dir: got a boolean; allowed: the absolute path of a "
                "directory"},
        {"relay = \"off\"\n", "1: relay: not a table"},
        {"[relays]\n", "1: relays: unknown table; did you mean \"relay\"?"},
        {"[relay]\nports = 1\n", "2: relay.ports: unknown key; did you mean \"port\"?"},
        {"[relay]\nmirrors = []\n", "2: relay.mirrors: unknown key here; there is "
                                    "upstream.*.mirrors"},
        /* lists */
        {"[upstream.\"a.io\"]\nmirror = []\n",
                "2: upstream.\"a.io\".mirror: unknown key; did you mean \"mirrors\"?"},
        {"[upstream.\"a.io\"]\nmirrors = \"\"\n", MIRRORS NOT_A_URL},
        {"[upstream.\"a.io\"]\nmirrors = 3\n", MIRRORS NOT_A_URL},
        {"[upstream.\"a.io\"]\nmirrors = { x = \"https://m.io\" }\n", MIRRORS NOT_A_URL},
        {"[upstream.\"a.io\"]\nmirrors = [\"https://m.io\", 3]\n", MIRRORS "number 2: " NOT_A_URL},
        {"[upstream.\"a.io\"]\nmirrors = [\"m.io\"]\n", MIRRORS "number 1: " NOT_A_URL},
        {"[upstream.\"a.io\"]\nmirrors = [\"https://u:secret@m.io\"]\n",
                MIRRORS "number 1: " NOT_A_URL},
        {"[upstream.\"a.io\"]\nmirrors = [\"https://m.io/?token=secret\"]\n",
                MIRRORS "number 1: " NOT_A_URL},
        {"[upstream.\"a.io\"]\nmirrors = [\"https://m.io/#secret\"]\n",
                MIRRORS "number 1: " NOT_A_URL},
        {"[upstream.\"a.io\"]\nmirrors = [\"https://m.io\\u0000secret\"]\n",
                MIRRORS "number 1: " NOT_A_URL},
        {"[upstream.\"a.io\"]\nmirrors = [\"https://m.io:0\"]\n",
                MIRRORS "number 1: got the port 0; allowed: 1 to 65535"},
        {"[upstream.\"a.io\"]\nmirrors = [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]\n",
                MIRRORS "got 17 mirrors; allowed: at most 16"},
        {"[upstream.\"a.io\"]\nmirrors = [\"http://n.io\", \"https://m.io\", \"HTTPS://m.io/v2/\"]",
                MIRRORS "number 3: the same as number 2 (https://m.io)"},
        /* tables of mirrors */
        {"[mirror.\"https://m.io\"]\n",
                "1: mirror.https://m.io: " UNLISTED "name it there, or remove this table"},
        {"[upstream.\"a.io\"]\nmirrors = [\"https://m.io\"]\n\n[mirror.\"http://m.io/\"]\n",
                "4: mirror.http://m.io: " UNLISTED "did you mean \"https://m.io\"?"},
        {"[upstream.\"a.io\"]\nmirrors = [\"https://m.io\", \"http://10.0.0.1:5000\"]\n"
         "[mirror.\"http://10.0.0.1:500\"]\n",
                "3: mirror.http://10.0.0.1:500: " UNLISTED
                "did you mean \"http://10.0.0.1:5000\"?"},
        {"[upstream.\"a.io\"]\nmirrors = [\"https://m.io\"]\n"
         "[mirror.\"http://registry.example.com:5000/proxy\"]\n",
                "3: mirror.http://registry.example.com:5000/proxy: " UNLISTED
                "name it there, or remove this table"},
        {"[mirror.\"https://u:secret@m.io\"]\n", "1: mirror: " NOT_A_URL},
        {"[mirror.\"https://m.io/?secret\"]\n", "1: mirror: " NOT_A_URL},
        {"[mirror.\"https://m.io:65536\"]\n", "1: mirror: got the port 65536; allowed: 1 to 65535"},
        {"[mirror.m.io]\n", "1: mirror: " NOT_A_URL},
        {"[mirror]\nca = \"/x\"\n", "2: mirror: " NOT_A_URL},
        {"mirror = []\n", "1: mirror: not a table"},
        {"[mirror]\n\"https://m.io\" = 3\n",
                "2: mirror.https://m.io: not a table; write [mirror.\"<url>\"]"},
        {A "[mirror.\"https://m.io/p/v2\"]\n",
                "4: mirror.https://m.io/p: a second table for the same mirror; /v2 or a slash at "
                "the end make no difference"},
        {A "server = \"https://x\"\n",
                MIRROR "server: unknown key here; there is upstream.*.server"},
        {A "credential = \"/x\"\n",
                MIRROR "credential: unknown key; did you mean \"credentials\"?"},
        {A "password = \"secret\"\n", MIRROR "password: unknown key; allowed: ca, client_cert, "
                                             "client_key, skip_verify, credentials, headers"},
        {A "ca = \"@/key.pem\"\n", MIRROR "ca: @/key.pem holds no PEM certificate"},
        {A "client_key = \"@/key.pem\"\n",
                "3: mirror.\"https://m.io/p\".client_cert: missing; client_key needs it"},
        {A "client_cert = \"@/cert.pem\"\n",
                "3: mirror.\"https://m.io/p\".client_key: missing; client_cert needs it"},
        {A "skip_verify = \"yes\"\n", MIRROR "skip_verify: got \"yes\"; allowed: true or false"},
        {A "headers = { X = \"secret\\n\" }\n",
                MIRROR "headers: header \"X\": the value has control characters"},
        {A "credentials = \"cred\"\n", MIRROR "credentials: got \"cred\"" CREDENTIALS_ALLOWED},
        {A "credentials = { user = \"secret\" }\n",
                MIRROR "credentials: got a table" CREDENTIALS_ALLOWED},
        {A "credentials = \"/nonexistent/file\"\n",
                MIRROR "credentials: cannot read /nonexistent/file: No such file or directory"},
        {A "credentials = \"@\"\n", MIRROR "credentials: @ is not a regular file"},
        {A "credentials = \"/dev/null\"\n", MIRROR "credentials: /dev/null is not a regular file"},
};

static void errors_name_place_key_and_what_is_allowed(void **state)
{
        struct scratch *s = *state;
        free(scratch_write(s, "cert.pem", CERTIFICATE));
        free(scratch_write(s, "key.pem", PRIVATE_KEY));
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                refuse(s, bad[i].text, bad[i].message);
}

/* Pods name registries of their own, too, and those say yes to every digest. */
static void default_mirrors_take_no_credentials(void **state)
{
        struct scratch *s = *state;
        write_credentials(s, "ann:secret\n", 0600);
        free(scratch_write(s, "cert.pem", CERTIFICATE));
        free(scratch_write(s, "key.pem", PRIVATE_KEY));
#define DEFAULT "[upstream.default]\nmirrors = [\"https://m.io\"]\n[mirror.\"https://m.io\"]\n"
#define WHY                                                                                        \
        "not for a mirror of [upstream.\"default\"]: pods could read with it what their own "      \
        "credentials do not open; list this mirror at the upstreams that it belongs to"
        refuse(s, DEFAULT "credentials = \"@/cred\"\n",
                "3: mirror.\"https://m.io\".credentials: " WHY);
        refuse(s, DEFAULT "client_cert = \"@/cert.pem\"\nclient_key = \"@/key.pem\"\n",
                "3: mirror.\"https://m.io\".client_cert: " WHY);
        config_put(load(s, DEFAULT "skip_verify = true\n"));
}

static const char with_credentials[] = A "credentials = \"@/cred\"\n";

static void credentials_are_one_line(void **state)
{
        static const struct {
                const char *text, *user, *password;
        } cases[] = {
                {"ann:secret", "ann", "secret"},
                {"ann:secret\n", "ann", "secret"},
                {"ann:secret\r\n", "ann", "secret"},
                {"ann: a secret: with ends \n", "ann", " a secret: with ends "},
                {"ann:\n", "ann", ""},
                {"ann:\xc3\xa9\n", "ann", "\xc3\xa9"},
                {"", NULL, NULL},
                {"\n", NULL, NULL},
                {"secret\n", NULL, NULL},
                {":secret\n", NULL, NULL},
                {"ann:secret\n\n", NULL, NULL},
                {"ann:secret\nbob:secret\n", NULL, NULL},
                {"ann\n:secret\n", NULL, NULL},
                {"ann:secret\t\n", NULL, NULL},
                {"ann:\x7fsecret\n", NULL, NULL},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                write_credentials(*state, cases[i].text, 0600);
                if (cases[i].user == NULL) {
                        refuse(*state, with_credentials,
                                MIRROR "credentials: @/cred is not one line of the form "
                                       "user:password (a user and no control characters)");
                        continue;
                }
                struct config *c = load(*state, with_credentials);
                assert_string_equal(c->mirrors[0].username, cases[i].user);
                assert_string_equal(c->mirrors[0].password, cases[i].password);
                config_put(c);
        }
}

static void a_nul_does_not_end_the_credentials(void **state)
{
        struct scratch *s = *state;
        static const char text[] = "ann:short\0secret\n";
        write_credentials(s, "", 0600);
        cleanup_free char *path = scratch_expand(s, "@/cred");
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        assert_int_equal(fwrite(text, 1, sizeof(text) - 1, f), sizeof(text) - 1);
        assert_int_equal(fclose(f), 0);
        refuse(s, with_credentials,
                MIRROR "credentials: @/cred is not one line of the form user:password (a user and "
                       "no control characters)");
}

static void credentials_are_for_their_owner_alone(void **state)
{
        static const mode_t good[] = {0400, 0600, 0700, 0711};
        static const mode_t open[] = {0604, 0602, 0640, 0620, 0644, 0660, 0666, 02640, 0777};
        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
                write_credentials(*state, "ann:secret\n", 0600);
                cleanup_free char *path = scratch_expand(*state, "@/cred");
                assert_int_equal(chmod(path, good[i]), 0);
                config_put(load(*state, with_credentials));
                assert_int_equal(chmod(path, 0600), 0);
        }
        for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++) {
                write_credentials(*state, "ann:secret\n", open[i]);
                cleanup_free char *message = mem_printf(MIRROR
                        "credentials: @/cred has the mode %04o, so that others than its "
                        "owner may read or write it; remedy: chmod 0600 @/cred",
                        (unsigned)open[i]);
                refuse(*state, with_credentials, message);
        }
}

/* The mode that counts is that of the file, not that of a link to it. */
static void credentials_may_be_a_link(void **state)
{
        struct scratch *s = *state;
        cleanup_free char *file = scratch_write(s, "file", "ann:secret\n");
        cleanup_free char *link = scratch_expand(s, "@/cred");
        assert_int_equal(symlink(file, link), 0);
        assert_int_equal(chmod(file, 0600), 0);
        config_put(load(s, with_credentials));
        assert_int_equal(chmod(file, 0640), 0);
        refuse(s, with_credentials,
                MIRROR "credentials: @/cred has the mode 0640, so that others than its owner may "
                       "read or write it; remedy: chmod 0600 @/cred");
}

/* Only root can give a file away: for others this says that one's own is good. */
static void credentials_of_a_stranger_are_refused(void **state)
{
        struct scratch *s = *state;
        write_credentials(s, "ann:secret\n", 0600);
        cleanup_free char *path = scratch_expand(s, "@/cred");
        if (chown(path, STRANGER, (gid_t)-1) < 0)
                config_put(load(s, with_credentials));
        else
                refuse(s, with_credentials,
                        MIRROR "credentials: @/cred belongs to the user 4242, neither root nor the "
                               "one we run as; remedy: chown root @/cred");
}

static void a_fifo_for_credentials_holds_nobody_up(void **state)
{
        cleanup_free char *path = scratch_expand(*state, "@/cred");
        assert_int_equal(mkfifo(path, 0600), 0);
        refuse(*state, with_credentials, MIRROR "credentials: @/cred is not a regular file");
}

static void empty_credentials_are_none(void **state)
{
        struct config *c = load(*state, A "credentials = \"\"\n");
        assert_null(c->mirrors[0].username);
        assert_null(c->mirrors[0].password);
        config_put(c);
}

static void a_new_port_needs_a_restart(void **state)
{
        char *note = NULL;
        config_publish(load(*state, ""), &note);
        assert_null(note);
        config_publish(load(*state, "[relay]\nmode = \"off\"\nport = 7781\nstall_timeout = \"1s\"\n"
                                    "image_verifier_dir = \"\"\n"
                                    "[upstream.default]\nmirrors = \"https://m.io\"\n"),
                &note);
        assert_string_equal(note, "relay.port");
        free(note);
        config_publish(NULL, NULL);
}

#define SCRATCH(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(defaults_have_a_relay_and_no_mirror),
                SCRATCH(relay_keys_arrive),
                SCRATCH(relay_is_inherited),
                SCRATCH(mirrors_are_inherited_as_a_whole),
                SCRATCH(urls_are_kept_in_one_form),
                SCRATCH(a_mirror_has_what_its_table_says),
                SCRATCH(a_mirror_without_a_table_has_its_url_alone),
                SCRATCH(a_url_with_more_behind_v2_is_the_root),
                SCRATCH(two_upstreams_share_a_mirror),
                SCRATCH(errors_name_place_key_and_what_is_allowed),
                SCRATCH(default_mirrors_take_no_credentials),
                SCRATCH(credentials_are_one_line),
                SCRATCH(a_nul_does_not_end_the_credentials),
                SCRATCH(credentials_are_for_their_owner_alone),
                SCRATCH(credentials_may_be_a_link),
                SCRATCH(credentials_of_a_stranger_are_refused),
                SCRATCH(a_fifo_for_credentials_holds_nobody_up),
                SCRATCH(empty_credentials_are_none),
                SCRATCH(a_new_port_needs_a_restart),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

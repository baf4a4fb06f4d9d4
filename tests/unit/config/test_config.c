/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "config/config.h"
#include "tests/unit/config/scratch.h"

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

#define CERTIFICATE "-----BEGIN CERTIFICATE-----\n"

static void defaults_are_sound(void **state)
{
        (void)state;
        struct config *c = NULL;
        struct err e;
        assert_int_equal(config_load(NULL, &c, &e), 0);
        assert_int_equal(c->listen_count, 1);
        assert_string_equal(c->listen[0], "unix:///run/cri-resolved/cri-resolved.sock");
        assert_int_equal(c->listen_mode, 0660);
        assert_int_equal(c->listen_gid, -1);
        assert_int_equal(c->allow_group_count, 0);
        assert_string_equal(c->backend, "unix:///run/containerd/containerd.sock");
        assert_string_equal(c->containerd, c->backend);
        assert_null(c->certs_dir);
        assert_int_equal(c->backend_wait_ms, 15000);
        assert_string_equal(c->admin_listen, "unix:///run/cri-resolved/admin.sock");
        assert_null(c->metrics_listen);
        assert_int_equal(c->timeout_ms, 5000);
        assert_int_equal(c->budget_ms, 10000);
        assert_int_equal(c->token_reuse_ms, 60000);
        assert_false(c->nri_enabled || c->nri_annotate);
        assert_string_equal(c->nri_socket, "unix:///var/run/nri/nri.sock");
        assert_int_equal(c->nri_check_interval_s, 0);
        assert_int_equal(c->log_level, LOG_LEVEL_INFO);
        assert_false(c->log_json);
        assert_int_equal(c->upstream_count, 0);
        assert_string_equal(c->upstream_default.host, "");
        assert_int_equal(c->upstream_default.mode, UPSTREAM_RESOLVE);
        assert_int_equal(c->upstream_default.on_upstream_down, UPSTREAM_DOWN_FAIL);
        assert_int_equal(c->upstream_default.max_stale_s, 3600);
        assert_false(c->upstream_default.degraded_without_authorisation);
        assert_false(c->upstream_default.has_trust);
        assert_int_equal(c->upstream_default.enforce, ENFORCE_OFF);
        config_put(c);
}

static void every_key_arrives(void **state)
{
        struct scratch *s = *state;
        free(scratch_write(s, "ca.pem", "CA\n" CERTIFICATE));
        free(scratch_write(s, "cert.pem", CERTIFICATE));
        free(scratch_write(s, "key.pem", CERTIFICATE "-----BEGIN EC PRIVATE KEY-----\n"));
        free(scratch_write(s, "token", "from a file\r\n"));
        struct config *c = load(s,
                "[shim]\n"
                "listen = [\"unix:///a.sock\", \"unix:///b.sock\"]\n"
                "listen_mode = \"0600\"\nlisten_group = \"0\"\nallow_groups = [\"root\", "
                "\"4242\"]\n"
                "backend = \"unix:///cri.sock\"\ncontainerd = \"unix:///api.sock\"\n"
                "certs_dir = \"/one:/two\"\nbackend_wait = \"300ms\"\n"
                "[resolve]\ntimeout = \"2s\"\nbudget = \"1m\"\ntoken_reuse = \"1h\"\n"
                "on_upstream_down = \"stale\"\nmax_stale = \"10m\"\n"
                "degraded_without_authorisation = true\n"
                "[admin]\nlisten = \"unix:///admin.sock\"\n"
                "[metrics]\nlisten = \"[::1]:9779\"\n"
                "[nri]\nenabled = true\nsocket = \"unix:///nri.sock\"\nannotate = true\n"
                "check_interval = \"2h\"\n"
                "[log]\nlevel = \"debug\"\nformat = \"json\"\n"
                "[upstream.\"enforced.io\"]\nenforce = \"refuse\"\n"
                "[upstream.\"R.example.com:5000\"]\nserver = \"https://h.example.com/x/v2/\"\n"
                "mode = \"passthrough\"\nca = \"@/ca.pem\"\nclient_cert = \"@/cert.pem\"\n"
                "client_key = \"@/key.pem\"\nskip_verify = true\n"
                "headers = { X-A = \"b c\", X-T = { file = \"@/token\" } }\n"
                "on_upstream_down = \"mirror\"\nmax_stale = \"2h\"\n"
                "degraded_without_authorisation = false\n");
        assert_int_equal(c->listen_count, 2);
        assert_string_equal(c->listen[1], "unix:///b.sock");
        assert_int_equal(c->listen_mode, 0600);
        assert_int_equal(c->listen_gid, 0);
        assert_int_equal(c->allow_group_count, 2);
        assert_string_equal(c->allow_groups[1], "4242");
        assert_string_equal(c->backend, "unix:///cri.sock");
        assert_string_equal(c->containerd, "unix:///api.sock");
        assert_string_equal(c->certs_dir, "/one:/two");
        assert_int_equal(c->backend_wait_ms, 300);
        assert_string_equal(c->admin_listen, "unix:///admin.sock");
        assert_string_equal(c->metrics_listen, "[::1]:9779");
        assert_int_equal(c->timeout_ms, 2000);
        assert_int_equal(c->budget_ms, 60000);
        assert_int_equal(c->token_reuse_ms, 3600000);
        assert_true(c->nri_enabled && c->nri_annotate);
        assert_string_equal(c->nri_socket, "unix:///nri.sock");
        assert_int_equal(c->nri_check_interval_s, 7200);
        assert_int_equal(c->log_level, LOG_LEVEL_DEBUG);
        assert_true(c->log_json);
        assert_int_equal(c->upstream_default.on_upstream_down, UPSTREAM_DOWN_STALE);
        assert_int_equal(c->upstream_default.max_stale_s, 600);
        assert_true(c->upstream_default.degraded_without_authorisation);
        bool has_entry = false;
        assert_int_equal(
                config_upstream_for(c, "enforced.io", &has_entry)->enforce, ENFORCE_REFUSE);
        const struct config_upstream *u = config_upstream_for(c, "r.EXAMPLE.com:5000", &has_entry);
        assert_true(has_entry);
        assert_string_equal(u->host, "r.example.com:5000");
        assert_string_equal(u->server, "https://h.example.com/x");
        assert_int_equal(u->mode, UPSTREAM_PASSTHROUGH);
        assert_non_null(strstr(u->ca_file, "/ca.pem"));
        assert_non_null(strstr(u->client_cert, "/cert.pem"));
        assert_non_null(strstr(u->client_key, "/key.pem"));
        assert_true(u->skip_verify && u->has_trust);
        assert_int_equal(u->header_count, 2);
        bool first = strcmp(u->headers[0].name, "X-A") == 0;
        assert_string_equal(u->headers[first ? 0 : 1].value, "b c");
        assert_string_equal(u->headers[first ? 1 : 0].value, "from a file");
        assert_int_equal(u->on_upstream_down, UPSTREAM_DOWN_MIRROR);
        assert_int_equal(u->max_stale_s, 7200);
        assert_false(u->degraded_without_authorisation);
        config_put(c);
}

/* The order of the tables in the file makes no difference. */
static void policies_are_inherited_and_trust_is_not(void **state)
{
        struct config *c = load(*state,
                "[upstream.\"a.io\"]\nmode = \"resolve\"\n"
                "[upstream.\"docker.io\"]\nmax_stale = \"5m\"\n"
                "[upstream.\"default\"]\nserver = \"http://127.0.0.1:1\"\nmode = \"passthrough\"\n"
                "max_stale = \"7m\"\n"
                "[resolve]\non_upstream_down = \"stale\"\nmax_stale = \"9m\"\n");
        bool has_entry = false;
        const struct config_upstream *a = config_upstream_for(c, "a.io", &has_entry);
        assert_true(has_entry);
        assert_int_equal(a->mode, UPSTREAM_RESOLVE);
        assert_int_equal(a->max_stale_s, 420);
        assert_int_equal(a->on_upstream_down, UPSTREAM_DOWN_STALE);
        assert_null(a->server);
        assert_false(a->has_trust);
        const struct config_upstream *d = config_upstream_for(c, "docker.io", &has_entry);
        assert_true(has_entry);
        assert_int_equal(d->mode, UPSTREAM_PASSTHROUGH);
        assert_int_equal(d->max_stale_s, 300);
        const struct config_upstream *other = config_upstream_for(c, "other.io", &has_entry);
        assert_false(has_entry);
        assert_ptr_equal(other, &c->upstream_default);
        assert_string_equal(other->server, "http://127.0.0.1:1");
        assert_true(other->has_trust);
        assert_int_equal(other->max_stale_s, 420);
        config_put(c);
}

static void one_socket_and_one_group_need_no_array(void **state)
{
        struct config *c =
                load(*state, "[shim]\nlisten = \"unix:///a.sock\"\nallow_groups = "
                             "\"root\"\nlisten_group = \"root\"\n"
                             "containerd = \"\"\ncerts_dir = \"\"\nbackend = \"unix:///b.sock\"\n");
        assert_int_equal(c->listen_count, 1);
        assert_string_equal(c->listen[0], "unix:///a.sock");
        assert_int_equal(c->allow_group_count, 1);
        assert_int_equal(c->listen_gid, 0);
        assert_string_equal(c->containerd, "unix:///b.sock");
        assert_null(c->certs_dir);
        config_put(c);
}

#define SOCKET_ALLOWED "allowed: \"unix:///path\", at most 107 bytes of path"
#define GROUP_ALLOWED  "allowed: the name or number of a group on this machine, as a string"
#define ADDRESS_ALLOWED                                                                            \
        "allowed: an IP address and a port, as in \"127.0.0.1:9779\" or \"[::1]:9779\"; \"\": "    \
        "nowhere"
#define URL_ALLOWED                                                                                \
        "not a URL of the form \"https://host:port/path\" or \"http://...\" (without user, query " \
        "and fragment)"
#define HOST_ALLOWED                                                                               \
        "not the host of a reference; allowed: \"default\", \"localhost\", or a name or address "  \
        "with a dot or a port, as in \"ghcr.io\" or \"10.0.0.1:5000\""
#define HEADER_ALLOWED "allowed: name = \"value\", or name = { file = \"path\" }"
#define TO_EVERYBODY                                                                               \
        "without server it would be shown to every registry that a pod names; move it to the "     \
        "upstreams that it is meant for, or name a server here"
#define FILE_ALLOWED "allowed: the absolute path of a PEM file"
#define FILE_MISSING "cannot read /nonexistent/file: No such file or directory"
#define DUPLICATE                                                                                  \
        "a second table for the same host; upper case and index.docker.io make no difference"

/* "@" is the folder; the file is @/c.toml. */
static const struct {
        const char *text;
        const char *message; /* after "@/c.toml:" */
} bad[] = {
        /* syntax */
        {"[shim\n", "1:6: Error while parsing table header: expected ']'"},
        {"[log]\nlevel = secretive\n",
                "2:9: Error while parsing value: could not determine value type "
                "(text stands in double quotes)"},
        {"[log]\nlevel = \"info\" x\n",
                "2:16: Error while parsing key-value pair: expected a comment or whitespace"},
        {"[log]\nlevel = \"info\"\nlevel = \"info\"\n",
                "3:9: Error while parsing key-value pair: cannot redefine existing string 'level'"},
        {"[log]\n[log]\n",
                "2:1: Error while parsing table header: cannot redefine existing table 'log'"},
        {"[log]\n\n[:]\n", "3: not TOML"},
        {"[=", "1: not TOML"},
        {"[log]\nlevel = \"info\"\n[\n[resolve]\n", "3: not TOML"},
        {"# caf\xc3\xa9\n[log]\nlevel = \xe2\x80\x9cinfo\xe2\x80\x9d\n",
                "3: only strings and comments may have characters beyond ASCII"},
        {"x = \"a\\\"\xc3\xa9\"\ny = '''\xc3\xa9''''\nz = \"\"\"\\\"\n\"\"\" \xc5\xab\n",
                "4: only strings and comments may have characters beyond ASCII"},
        /* names */
        {"[shin]\n", "1: shin: unknown table; did you mean \"shim\"?"},
        {"\n\n[mirrors]\n", "3: mirrors: unknown table; did you mean \"mirror\"?"},
        {"[caches]\n", "1: caches: unknown table; allowed: shim, resolve, relay, admin, metrics, "
                       "nri, log, "
                       "upstream.\"<host>\", mirror.\"<url>\""},
        {"listen = \"unix:///x\"\n", "1: listen: unknown table; there is the key shim.listen"},
        {"[resolve]\n\ntime_out = \"5s\"\n",
                "3: resolve.time_out: unknown key; did you mean \"timeout\"?"},
        {"[resolve]\nbackend = 1\n", "2: resolve.backend: unknown key here; there is shim.backend"},
        {"[log]\ncolours = true\n", "2: log.colours: unknown key; allowed: level, format"},
        {"[upstream.\"a.io\"]\nsever = \"x\"\n",
                "2: upstream.\"a.io\".sever: unknown key; did you mean \"server\"?"},
        {"[upstream.\"a.io\"]\nendpoints = [\"http://x\"]\n",
                "2: upstream.\"a.io\".endpoints: unknown key; allowed: server, mode, ca, "
                "client_cert, "
                "client_key, skip_verify, headers, relay, mirrors, on_upstream_down, max_stale, "
                "degraded_without_authorisation, enforce"},
        {"shim = 3\n", "1: shim: not a table"},
        {"[[log]]\nlevel = \"info\"\n", "1: log: not a table"},
        {"upstream = \"a.io\"\n", "1: upstream: not a table"},
        /* hosts */
        {"[upstream]\nserver = \"https://a.io\"\n", "2: upstream.server: " HOST_ALLOWED},
        {"[upstream.\"https://a.io\"]\n", "1: upstream.https://a.io: " HOST_ALLOWED},
        {"[upstream.ghcr.io]\n",
                "1: upstream.ghcr: " HOST_ALLOWED "; write [upstream.\"ghcr.io\"] with quotes"},
        {"[upstream.my.registry.example]\nheaders = { X = \"y\" }\n",
                "1: upstream.my: " HOST_ALLOWED
                "; write [upstream.\"my.registry.example\"] with quotes"},
        {"[upstream.ghcr]\nheaders = { X = \"y\" }\n", "1: upstream.ghcr: " HOST_ALLOWED},
        {"[upstream]\n\"a.io\" = 3\n",
                "2: upstream.a.io: not a table; write [upstream.\"<host>\"]"},
        {"[upstream.\"a.io\"]\n[upstream.\"A.io\"]\n", "2: upstream.A.io: " DUPLICATE},
        {"[upstream.\"docker.io\"]\n\n[upstream.\"index.docker.io\"]\n",
                "3: upstream.index.docker.io: " DUPLICATE},
        /* values */
        {"[shim]\nlisten = 3\n", "2: shim.listen: got an integer; " SOCKET_ALLOWED},
        {"[shim]\nlisten = []\n", "2: shim.listen: got an empty array; " SOCKET_ALLOWED},
        {"[shim]\nlisten = [\"unix:///a\", \"/b\"]\n",
                "2: shim.listen: got \"/b\"; " SOCKET_ALLOWED},
        {"[shim]\nlisten = [\"unix:///a\", 4.5]\n", "2: shim.listen: got a float; " SOCKET_ALLOWED},
        {"[shim]\nlisten = \"unix://relative\"\n",
                "2: shim.listen: got \"unix://relative\"; " SOCKET_ALLOWED},
        {"[shim]\nlisten = \"unix:///\"\n", "2: shim.listen: got \"unix:///\"; " SOCKET_ALLOWED},
        {"[shim]\nbackend = \"\"\n", "2: shim.backend: got \"\"; " SOCKET_ALLOWED},
        {"[shim]\nbackend = \"unix:///a\\u0000b\"\n",
                "2: shim.backend: got \"unix:///a\"; " SOCKET_ALLOWED},
        {"[shim]\ncontainerd = \"tcp://1\"\n",
                "2: shim.containerd: got \"tcp://1\"; " SOCKET_ALLOWED},
        {"[shim]\nlisten = \"unix:///x\"\nbackend = \"unix:///x\"\n",
                "2: shim.listen: the same socket as shim.backend"},
        {"[admin]\nlisten = \"/run/a.sock\"\n",
                "2: admin.listen: got \"/run/a.sock\"; " SOCKET_ALLOWED},
        {"[metrics]\nlisten = \"localhost:9779\"\n",
                "2: metrics.listen: got \"localhost:9779\"; " ADDRESS_ALLOWED},
        {"[metrics]\nlisten = \"[::1]:7780\"\n", "2: metrics.listen: the same port as relay.port"},
        {"[metrics]\nlisten = 9779\n", "2: metrics.listen: got an integer; " ADDRESS_ALLOWED},
        {"[shim]\nbackend = \"unix:///x\"\n[admin]\nlisten = \"unix:///x\"\n",
                "4: admin.listen: the same socket as shim.backend"},
        {"[admin]\nlisten = \"unix:///x\"\n[shim]\nlisten = [\"unix:///y\", \"unix:///x\"]\n",
                "2: admin.listen: the same socket as shim.listen"},
        {"[shim]\nlisten_mode = 432\n",
                "2: shim.listen_mode: got an integer; allowed: four octal digits as a string, "
                "\"0000\" to \"0777\""},
        {"[shim]\nlisten_mode = \"4755\"\n",
                "2: shim.listen_mode: got \"4755\"; allowed: four octal digits as a string, "
                "\"0000\" to \"0777\""},
        {"[shim]\nlisten_mode = \"0689\"\n",
                "2: shim.listen_mode: got \"0689\"; allowed: four octal digits as a string, "
                "\"0000\" to \"0777\""},
        {"[shim]\nlisten_group = \"no-such-group\"\n",
                "2: shim.listen_group: got \"no-such-group\"; " GROUP_ALLOWED},
        {"[shim]\nallow_groups = [\"root\", \"\"]\n",
                "2: shim.allow_groups: got \"\"; " GROUP_ALLOWED},
        {"[shim]\nallow_groups = true\n", "2: shim.allow_groups: got a boolean; " GROUP_ALLOWED},
        {"[shim]\ncerts_dir = \"/a:b\"\n",
                "2: shim.certs_dir: got \"/a:b\"; allowed: absolute paths of directories, with ':' "
                "between them"},
        {"[shim]\nbackend_wait = \"11m\"\n", "2: shim.backend_wait: got \"11m\"; allowed: \"0s\" "
                                             "to \"10m\", as a number with ms, "
                                             "s, m or h"},
        {"[resolve]\ntimeout = 5\n",
                "2: resolve.timeout: got an integer; allowed: \"10ms\" to \"5m\", as a number with "
                "ms, s, m or h"},
        {"[resolve]\ntimeout = \"5\"\n", "2: resolve.timeout: got \"5\"; allowed: \"10ms\" to "
                                         "\"5m\", as a number with ms, s, "
                                         "m or h"},
        {"[resolve]\ntimeout = \"9ms\"\n", "2: resolve.timeout: got \"9ms\"; allowed: \"10ms\" to "
                                           "\"5m\", as a number with ms, "
                                           "s, m or h"},
        {"[resolve]\ntimeout = \"1m30s\"\n",
                "2: resolve.timeout: got \"1m30s\"; allowed: \"10ms\" to \"5m\", as a number with "
                "ms, s, m or h"},
        {"[resolve]\ntimeout = \"99999999999999999999h\"\n",
                "2: resolve.timeout: got \"99999999999999999999h\"; allowed: \"10ms\" to \"5m\", "
                "as "
                "a number with ms, s, m or h"},
        {"[resolve]\ntimeout = 07:32:00\n",
                "2: resolve.timeout: got a date, a time or not a number; allowed: \"10ms\" to "
                "\"5m\", as a number with ms, s, m or h"},
        {"[resolve]\nmax_stale = \"1500ms\"\n", "2: resolve.max_stale: got \"1500ms\"; allowed: "
                                                "\"1s\" to \"720h\", as a number with "
                                                "s, m or h"},
        {"[resolve]\ntimeout = \"20s\"\nbudget = \"10s\"\n",
                "3: resolve.budget: less than resolve.timeout: no request could take its time"},
        {"[resolve]\non_upstream_down = \"never\"\n",
                "2: resolve.on_upstream_down: got \"never\"; allowed: \"fail\", \"stale\" or "
                "\"mirror\""},
        {"[resolve]\ndegraded_without_authorisation = \"true\"\n",
                "2: resolve.degraded_without_authorisation: got \"true\"; allowed: true or false"},
        {"[log]\nlevel = \"INFO\"\n", "2: log.level: got \"INFO\"; allowed: \"error\", "
                                      "\"warning\", \"info\" or \"debug\""},
        {"[log]\nformat = [\"text\"]\n",
                "2: log.format: got an array; allowed: \"text\" or \"json\""},
        {"[upstream.\"a.io\"]\nenforce = \"refuse\"\n",
                "2: upstream.\"a.io\".enforce: \"refuse\" needs [nri] enabled = true"},
        {"[nri]\nenabled = true\n[upstream.\"a.io\"]\nenforce = \"refuse\"\nmode = "
         "\"passthrough\"\n",
                "5: upstream.\"a.io\".mode: nothing is verified with \"passthrough\": enforce = "
                "\"refuse\" would refuse all that is pulled"},
        {"[upstream.\"a.io\"]\nenforce = true\n",
                "2: upstream.\"a.io\".enforce: got a boolean; allowed: \"off\" or \"refuse\""},
        {"[nri]\nsocket = \"/run/nri.sock\"\n",
                "2: nri.socket: got \"/run/nri.sock\"; " SOCKET_ALLOWED},
        {"[upstream.\"a.io\"]\nmode = {}\n",
                "2: upstream.\"a.io\".mode: got a table; allowed: \"resolve\" or \"passthrough\""},
        {"[upstream.\"a.io\"]\nserver = \"https://user:secret@a.io\"\n",
                "2: upstream.\"a.io\".server: " URL_ALLOWED},
        {"[upstream.\"a.io\"]\nserver = \"https://a.io:0\"\n",
                "2: upstream.\"a.io\".server: got the port 0; allowed: 1 to 65535"},
        {"[upstream.\"a.io\"]\nserver = \"https://a.io:65536/x\"\n",
                "2: upstream.\"a.io\".server: got the port 65536; allowed: 1 to 65535"},
        {"[upstream.\"a.io\"]\nserver = \"https://[::1]:99999\"\n",
                "2: upstream.\"a.io\".server: got the port 99999; allowed: 1 to 65535"},
        {"[upstream.\"a.io\"]\nserver = 3\n", "2: upstream.\"a.io\".server: " URL_ALLOWED},
        {"[upstream.\"a.io\"]\nca = \"/nonexistent/file\"\n",
                "2: upstream.\"a.io\".ca: " FILE_MISSING},
        {"[upstream.\"a.io\"]\nca = [\"/x\"]\n",
                "2: upstream.\"a.io\".ca: got an array; " FILE_ALLOWED},
        {"[upstream.\"a.io\"]\nca = \"ca.pem\"\n",
                "2: upstream.\"a.io\".ca: got \"ca.pem\"; " FILE_ALLOWED},
        {"[upstream.\"a.io\"]\nclient_key = \"./c.toml\"\n",
                "2: upstream.\"a.io\".client_key: got \"./c.toml\"; " FILE_ALLOWED},
        {"[upstream.\"a.io\"]\nca = \"@/key.pem\"\n",
                "2: upstream.\"a.io\".ca: @/key.pem holds no PEM certificate"},
        {"[upstream.\"a.io\"]\nclient_cert = \"@/c.toml\"\n",
                "2: upstream.\"a.io\".client_cert: @/c.toml holds no PEM certificate"},
        {"[upstream.\"a.io\"]\nclient_key = \"@/cert.pem\"\n",
                "2: upstream.\"a.io\".client_key: @/cert.pem holds no PEM private key"},
        {"[upstream.\"a.io\"]\nca = \"/tmp\"\n",
                "2: upstream.\"a.io\".ca: cannot read /tmp: Is a directory"},
        {"[upstream.\"a.io\"]\nclient_key = \"@/open.pem\"\n",
                "2: upstream.\"a.io\".client_key: @/open.pem has the mode 0640, so that others "
                "than "
                "its owner may read or write it; remedy: chmod 0600 @/open.pem"},
        {"[upstream.\"a.io\"]\nclient_cert = \"@/cert.pem\"\n",
                "1: upstream.\"a.io\".client_key: missing; client_cert needs it"},
        {"\n[upstream.\"a.io\"]\nclient_key = \"@/key.pem\"\n",
                "2: upstream.\"a.io\".client_cert: missing; client_key needs it"},
        {"[upstream.default]\nclient_key = \"@/key.pem\"\n",
                "1: upstream.\"default\".client_cert: missing; client_key needs it"},
        {"[upstream.default]\nclient_cert = \"@/cert.pem\"\nclient_key = \"@/key.pem\"\n",
                "2: upstream.\"default\".client_cert: " TO_EVERYBODY},
        {"[upstream.default]\nca = \"@/cert.pem\"\nheaders = { X = \"secret\" }\n",
                "3: upstream.\"default\".headers: " TO_EVERYBODY},
        {"[upstream.\"a.io\"]\nheaders = \"X: secret\"\n",
                "2: upstream.\"a.io\".headers: got a string; " HEADER_ALLOWED},
        {"[upstream.\"a.io\"]\nheaders = { \"Authorization: secret\" = 1 }\n",
                "2: upstream.\"a.io\".headers: \"Authorization\" is no header name"},
        {"[upstream.\"a.io\"]\nheaders = { \"X Y\" = \"z\" }\n",
                "2: upstream.\"a.io\".headers: \"X Y\" is no header name"},
        {"[upstream.\"a.io\"]\nheaders = { X = 1 }\n",
                "2: upstream.\"a.io\".headers: header \"X\": " HEADER_ALLOWED},
        {"[upstream.\"a.io\"]\nheaders = { X = \"secret\\r\\nY: z\" }\n",
                "2: upstream.\"a.io\".headers: header \"X\": the value has control characters"},
        {"[upstream.\"a.io\"]\nheaders = { X = { file = \"/nonexistent/file\" } }\n",
                "2: upstream.\"a.io\".headers: header \"X\": " FILE_MISSING},
        {"[upstream.\"a.io\"]\nheaders = { X = { file = \"@/open.pem\" } }\n",
                "2: upstream.\"a.io\".headers: header \"X\": @/open.pem has the mode 0640, so that "
                "others than its owner may read or write it; remedy: chmod 0600 @/open.pem"},
        {"[upstream.\"a.io\"]\nheaders = { X = { file = \"@/c.toml\" } }\n",
                "2: upstream.\"a.io\".headers: header \"X\": the value has control characters"},
        {"[upstream.\"a.io\"]\nheaders = { X = { file = \"@/c.toml\", y = 1 } }\n",
                "2: upstream.\"a.io\".headers: header \"X\": " HEADER_ALLOWED},
};

static void errors_name_place_key_and_what_is_allowed(void **state)
{
        struct scratch *s = *state;
        free(scratch_write(s, "cert.pem", CERTIFICATE));
        free(scratch_write(s, "key.pem", "-----BEGIN PRIVATE KEY-----\n"));
        cleanup_free char *others = scratch_write(s, "open.pem", "-----BEGIN PRIVATE KEY-----\n");
        assert_int_equal(chmod(others, 0640), 0);
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                cleanup_free char *text = scratch_expand(s, bad[i].text);
                cleanup_free char *path = scratch_write(s, "c.toml", text);
                cleanup_free char *message = scratch_expand(s, bad[i].message);
                cleanup_free char *want = mem_printf("%s:%s", path, message);
                struct config *c = NULL;
                struct err e = {0};
                if (config_load(path, &c, &e) != -1 || c != NULL || e.code != ERR_CONFIG)
                        fail_msg("accepted: %s", text);
                assert_string_equal(e.msg, want);
                assert_null(strstr(e.msg, "secret"));
        }
}

static void missing_and_huge_files_are_errors(void **state)
{
        struct scratch *s = *state;
        struct config *c = NULL;
        struct err e;
        assert_int_equal(config_load("/nonexistent/file", &c, &e), -1);
        assert_int_equal(e.code, ERR_CONFIG);
        assert_string_equal(e.msg, FILE_MISSING);
        assert_int_equal(config_load("/dev/zero", &c, &e), -1);
        assert_int_equal(e.code, ERR_TOO_LARGE);
        enum { HUGE_BYTES = (1 << 20) + 1 };
        cleanup_free char *text = mem_zalloc(HUGE_BYTES + 1);
        memset(text, '#', HUGE_BYTES);
        cleanup_free char *path = scratch_write(s, "huge.toml", text);
        cleanup_free char *want = mem_printf("%s is larger than 1048576 bytes", path);
        assert_int_equal(config_load(path, &c, &e), -1);
        assert_int_equal(e.code, ERR_TOO_LARGE);
        assert_string_equal(e.msg, want);
}

static void publish_notes_what_needs_a_restart(void **state)
{
        struct scratch *s = *state;
        char *note = NULL;
        config_publish(load(s, "[log]\nlevel = \"info\"\n"), &note);
        assert_null(note);
        config_publish(load(s, "[log]\nlevel = \"debug\"\n[shim]\ncerts_dir = \"/x\"\n"), &note);
        assert_null(note);
        config_publish(load(s, "[shim]\nlisten = [\"unix:///x\"]\nlisten_mode = \"0600\"\n"
                               "allow_groups = [\"root\"]\nbackend_wait = \"1s\"\n"),
                &note);
        assert_string_equal(
                note, "shim.listen, shim.listen_mode, shim.allow_groups, shim.backend_wait");
        free(note);
        /* The listener is still the first one's, so one more reload does not make it current ... */
        config_publish(load(s, "[shim]\nlisten = [\"unix:///x\"]\n"), &note);
        assert_string_equal(note, "shim.listen");
        free(note);
        /* ... and going back to the first one's needs no restart. */
        config_publish(load(s, ""), &note);
        assert_null(note);
        config_publish(load(s, "[shim]\nlisten = [\"unix:///x\"]\n"), NULL);
        cleanup_config const struct config *c = config_get();
        assert_string_equal(c->listen[0], "unix:///x");
        config_publish(load(s, ""), NULL);
        assert_string_equal(c->listen[0], "unix:///x");
        config_publish(NULL, NULL);
        assert_null(config_get());
}

struct reader {
        pthread_t thread;
        atomic_bool *stop;
        int torn;
        int reads;
};

/* Each snapshot is whole: timeout and budget always come from one file. */
static void *read_on(void *arg)
{
        struct reader *r = arg;
        do {
                const struct config *c = config_get();
                r->torn += c->budget_ms != c->timeout_ms * 2;
                r->reads++;
                config_put(c);
        } while (!atomic_load(r->stop));
        return NULL;
}

static void readers_see_whole_snapshots(void **state)
{
        struct scratch *s = *state;
        atomic_bool stop = false;
        struct reader readers[3];
        config_publish(load(s, ""), NULL);
        for (int i = 0; i < 3; i++) {
                readers[i] = (struct reader){.stop = &stop};
                pthread_create(&readers[i].thread, NULL, read_on, &readers[i]);
        }
        for (int i = 1; i <= 200; i++) {
                cleanup_free char *text =
                        mem_printf("[resolve]\ntimeout = \"%ds\"\nbudget = \"%ds\"\n", i, 2 * i);
                config_publish(load(s, text), NULL);
        }
        atomic_store(&stop, true);
        for (int i = 0; i < 3; i++) {
                pthread_join(readers[i].thread, NULL);
                assert_int_equal(readers[i].torn, 0);
                assert_true(readers[i].reads > 0);
        }
        config_publish(NULL, NULL);
}

#define SCRATCH(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(defaults_are_sound),
                SCRATCH(every_key_arrives),
                SCRATCH(policies_are_inherited_and_trust_is_not),
                SCRATCH(one_socket_and_one_group_need_no_array),
                SCRATCH(errors_name_place_key_and_what_is_allowed),
                SCRATCH(missing_and_huge_files_are_errors),
                SCRATCH(publish_notes_what_needs_a_restart),
                SCRATCH(readers_see_whole_snapshots),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

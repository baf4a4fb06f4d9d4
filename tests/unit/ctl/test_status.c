/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "base/mem.h"
#include "ctl/status.h"
#include "ctl/text.h"

enum { NOW = 1772368200 }; /* 2026-03-01T12:30:00Z */

static char *shown(const char *status_text, const char *pulls_text, int width)
{
        struct cli cli = {.width = width};
        json_t *status = json_loads(status_text, 0, NULL);
        json_t *pulls = json_loads(pulls_text, 0, NULL);
        assert_non_null(status);
        assert_non_null(pulls);
        char *out = NULL;
        size_t size = 0;
        FILE *to = open_memstream(&out, &size);
        status_print(&cli, to, status, pulls, NOW);
        fclose(to);
        json_decref(status);
        json_decref(pulls);
        return out;
}

static const char status[] =
        "{\"version\": \"0.1.0\", \"pid\": 1234, \"started_at\": \"2026-03-01T09:10:00Z\","
        " \"configuration\": \"/etc/cri-resolved/config.toml\","
        " \"backend\": {\"socket\": \"unix:///run/containerd/containerd.sock\", \"reachable\": "
        "true,"
        "  \"runtime_name\": \"containerd\", \"runtime_version\": \"1.7.24\", \"error\": null},"
        " \"relay\": {\"port\": 7780, \"state\": \"serving\"},"
        " \"upstreams\": [{\"host\": \"ghcr.io\", \"server\": \"https://ghcr.io\","
        "  \"configured\": true, \"mirrors\": ["
        "   {\"url\": \"http://10.0.20.10:5010\", \"state\": \"up\","
        "    \"since\": \"2026-03-01T12:00:00Z\", \"last_error\": null, \"bytes\": 31457280,"
        "    \"share\": 0.75},"
        "   {\"url\": \"http://10.0.20.11:5010\", \"state\": \"down\","
        "    \"since\": \"2026-03-01T12:29:50Z\", \"last_error\": \"cannot connect\","
        "    \"bytes\": 0, \"share\": 0}],"
        "  \"bytes_from_upstream\": 10485760, \"share_of_upstream\": 0.25,"
        "  \"pulls\": {\"total\": 12, \"failed\": 1, \"current\": 9, \"relayed\": 3, \"direct\": 0,"
        "   \"degraded\": 1}}],"
        " \"counters\": {\"pulls\": 12, \"pulls_failed\": 1},"
        " \"degraded\": {\"stale\": 1, \"mirror\": 0}}";

static const char pulls[] =
        "{\"running\": [{}], \"recent\": ["
        " {\"reference\": \"ghcr.io/team/app:stable\", \"outcome\": \"ok\", \"source\": \"relay\","
        "  \"started_at\": \"2026-03-01T12:29:15Z\", \"duration_ms\": 2417},"
        " {\"reference\": \"ghcr.io/team/app:gone\", \"outcome\": \"failed\","
        "  \"error\": \"not found\", \"started_at\": \"2026-03-01T12:20:00.5Z\","
        "  \"duration_ms\": 31},"
        " {\"reference\": \"ghcr.io/a/b:1\", \"outcome\": \"ok\", \"source\": \"stale\","
        "  \"degraded\": \"no answer\", \"started_at\": \"2026-03-01T11:20:00Z\","
        "  \"duration_ms\": 10001}]}";

static void all_of_it(void **state)
{
        (void)state;
        cleanup_free char *out = shown(status, pulls, 80);
        assert_string_equal(out,
                "cri-resolved  0.1.0, pid 1234, since 2026-03-01 09:10 UTC (3 h 20 min)\n"
                "configuration /etc/cri-resolved/config.toml\n"
                "containerd    containerd 1.7.24 at unix:///run/containerd/containerd.sock\n"
                "relay         serves on 127.0.0.1:7780\n"
                "pulls         12 answered, 1 failed, 1 running\n"
                "degraded      1 by what was verified last, 0 by a mirror's word\n"
                "\n"
                "SOURCE                  STATE     SINCE   BYTES     SHARE  PULLS\n"
                "ghcr.io                 upstream          10.0 MiB  25 %   12 (1 failed)\n"
                "http://10.0.20.10:5010  up        30 min  30.0 MiB  75 %\n"
                "http://10.0.20.11:5010  down      10 s    0 B       0 %\n"
                "down          http://10.0.20.11:5010: cannot connect\n"
                "\n"
                "AGO         PULLED                   OUTCOME  FROM   TOOK    REMARK\n"
                "45 s        ghcr.io/team/app:stable  ok       relay  2.4 s\n"
                "10 min      ghcr.io/team/app:gone    failed          0.0 s   not found\n"
                "1 h 10 min  ghcr.io/a/b:1            ok       stale  10.0 s  degraded: no "
                "answer\n");
}

static void what_stands_in_the_way(void **state)
{
        (void)state;
        static const struct {
                const char *relay, *line;
        } cases[] = {
                {"off", "relay         off: no mirror is configured\n"},
                {"port taken", "relay         port 7780 is taken by another process: pulls go "
                               "directly\n"},
                {"captured", "relay         containerd asks a mirror of its own instead of "
                             "127.0.0.1:7780:\n"
                             "              pulls go directly; the daemon's log says what to do\n"},
                {"of a later version", "relay         of a later version\n"},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_free char *text = mem_printf(
                        "{\"backend\": {\"reachable\": false, \"socket\": \"unix:///c.sock\","
                        " \"error\": \"no answer\"}, \"relay\": {\"port\": 7780, \"state\": "
                        "\"%s\"}}",
                        cases[i].relay);
                cleanup_free char *out = shown(text, "{}", 80);
                if (strstr(out, cases[i].line) == NULL)
                        fail_msg("%s", out);
                assert_non_null(strstr(
                        out, "containerd    cannot be asked at unix:///c.sock: no answer\n"));
        }
}

/* Of another version, or nonsense: it is shown as far as it goes. */
static void fields_that_are_missing(void **state)
{
        (void)state;
        cleanup_free char *nothing = shown("{}", "{}", 80);
        assert_non_null(strstr(nothing, "pulls         0 answered, 0 failed, 0 running\n"));
        cleanup_free char *odd = shown("{\"upstreams\": [1, {\"mirrors\": 5}, {\"mirrors\": [{}]}],"
                                       " \"counters\": []}",
                "{\"recent\": [null, {\"duration_ms\": \"x\"}]}", 80);
        assert_non_null(strstr(odd, "SOURCE"));
}

static void tables_fit_and_long_errors_are_cut(void **state)
{
        (void)state;
        cleanup_free char *error = mem_zalloc(3001);
        memset(error, 'e', 3000);
        cleanup_free char *text =
                mem_printf("{\"recent\": [{\"reference\": "
                           "\"registry.example.com/a/long/path/of/an/image:and-a-"
                           "tag\", \"outcome\": \"failed\", \"error\": \"%s\","
                           " \"started_at\": \"2026-03-01T12:29:15Z\", \"duration_ms\": 123456}]}",
                        error);
        cleanup_free char *out = shown(status, text, 80);
        size_t es = 0;
        char *rest = out;
        for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
                assert_true(text_width(line, strlen(line)) <= 80);
                for (const char *at = line; *at != '\0'; at++)
                        es += *at == 'e';
        }
        assert_true(es < STATUS_ERROR_BYTES + 100);
}

static void only_the_last_ones(void **state)
{
        (void)state;
        json_t *recent = json_array();
        for (int i = 0; i < 30; i++)
                json_array_append_new(
                        recent, json_pack("{s:s, s:s}", "reference", "r/x:1", "outcome", "ok"));
        json_t *document = json_pack("{s:o}", "recent", recent);
        cleanup_free char *text = json_dumps(document, 0);
        json_decref(document);
        cleanup_free char *out = shown("{}", text, 80);
        size_t found = 0;
        for (const char *at = out; (at = strstr(at, "r/x:1")) != NULL; at++)
                found++;
        assert_int_equal(found, STATUS_RECENT_MAX);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(all_of_it),
                cmocka_unit_test(what_stands_in_the_way),
                cmocka_unit_test(fields_that_are_missing),
                cmocka_unit_test(tables_fit_and_long_errors_are_cut),
                cmocka_unit_test(only_the_last_ones),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "ctl/created.h"
#include "ctl/resolve.h"

static void what_comes_next(void **state)
{
        (void)state;
        static const struct {
                const char *document, *digest;
                bool is_config;
        } cases[] = {
                {"{'config': {'digest': 'c'}, 'layers': []}", "c", true},
                {"{'manifests': [{'digest': 'a', 'platform': {'os': 'linux', 'architecture': "
                 "'arm64'}},"
                 " {'digest': 'b', 'platform': {'os': 'linux', 'architecture': 'amd64'}}]}",
                        "b", false},
                {"{'manifests': [{'digest': 'u', 'platform': {'os': 'unknown'}},"
                 " {'digest': 'a', 'platform': {'os': 'linux', 'architecture': 'arm64'}}]}",
                        "a", false},
                {"{'manifests': [{'digest': 'w', 'platform': {'os': 'windows', 'architecture': "
                 "'amd64'}}, {'digest': 'a', 'platform': {'os': 'linux', 'architecture': "
                 "'amd64'}}]}",
                        "a", false},
                {"{'manifests': [{'digest': 'x'}, {'digest': 'y'}]}", "x", false},
                {"{'manifests': []}", NULL, false},
                {"{'manifests': 7}", NULL, false},
                {"{'config': {'digest': 7}}", NULL, true},
                {"[]", NULL, false},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_free char *text = mem_strdup(cases[i].document);
                for (char *c = text; *c != '\0'; c++)
                        *c = *c == '\'' ? '"' : *c;
                json_t *document = json_loads(text, 0, NULL);
                assert_non_null(document);
                bool is_config = false;
                const char *digest = created_next(document, "amd64", &is_config);
                if (cases[i].digest == NULL)
                        assert_null(digest);
                else
                        assert_string_equal(digest, cases[i].digest);
                assert_int_equal(is_config, cases[i].is_config);
                json_decref(document);
        }
}

struct said {
        const char *digest, *created;
};

static void check_state(struct said upstream, struct said mirror, enum err_code failure,
        enum source_state state, int64_t behind_s)
{
        struct source_answer sources[2] = {0};
        struct resolve_answer a = {.sources = sources, .source_count = 2};
        strcpy(sources[0].digest, upstream.digest);
        strcpy(sources[1].digest, mirror.digest);
        sources[0].created = (char *)upstream.created;
        sources[1].created = (char *)mirror.created;
        sources[1].err.code = failure;
        resolve_compare(&a);
        assert_int_equal(sources[1].state, state);
        assert_int_equal(sources[1].behind_s, behind_s);
}

static void who_is_stale(void **state)
{
        (void)state;
        const struct said now = {"a", "2026-11-20T10:00:00Z"};
        check_state(now, now, ERR_NONE, SOURCE_CURRENT, 0);
        check_state(now, (struct said){"b", "2026-11-18T09:00:00Z"}, ERR_NONE, SOURCE_STALE,
                2 * 86400 + 3600);
        check_state(now, (struct said){"b", "2026-11-21T09:00:00Z"}, ERR_NONE, SOURCE_DIFFERS, 0);
        check_state(now, (struct said){"b", now.created}, ERR_NONE, SOURCE_DIFFERS, 0);
        check_state(now, (struct said){"b", NULL}, ERR_NONE, SOURCE_DIFFERS, 0);
        check_state(now, (struct said){"b", "yesterday"}, ERR_NONE, SOURCE_DIFFERS, 0);
        check_state(now, (struct said){"b", "0001-01-01T00:00:00Z"}, ERR_NONE, SOURCE_DIFFERS, 0);
        check_state(now, (struct said){"b", "1970-01-01T00:00:00Z"}, ERR_NONE, SOURCE_DIFFERS, 0);
        check_state((struct said){"a", NULL}, (struct said){"b", now.created}, ERR_NONE,
                SOURCE_DIFFERS, 0);
        check_state(now, (struct said){"", NULL}, ERR_NOT_FOUND, SOURCE_ABSENT, 0);
        check_state(now, (struct said){"", NULL}, ERR_TIMEOUT, SOURCE_FAILED, 0);
        check_state((struct said){"", NULL}, now, ERR_NONE, SOURCE_UNKNOWN, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_comes_next),
                cmocka_unit_test(who_is_stale),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

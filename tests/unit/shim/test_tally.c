/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>
#include <stdio.h>

#include "shim/admin_json.h"
#include "shim/tally.h"

#define MIRROR "http://10.0.0.1:5000"

static void end(struct tally *t, const char *host, const char *source, const char *error)
{
        struct tally_outcome o = {
                .host = host, .source = source, .error = error, .digest = "sha256:x"};
        tally_end(t, tally_begin(t), &o);
}

static struct tally_upstream found;
static size_t visited;

static void see_upstream(void *arg, const struct tally_upstream *u)
{
        visited++;
        if (strcmp(u->host, arg) == 0)
                found = *u;
}

/* The strings in it are good until the next change. */
static struct tally_upstream upstream_of(struct tally *t, const char *host)
{
        found = (struct tally_upstream){0};
        visited = 0;
        tally_each_upstream(t, see_upstream, (void *)host);
        return found;
}

static void pulls_by_upstream_and_outcome(void **state)
{
        (void)state;
        struct tally *t = tally_new();
        end(t, "a.io", "current", NULL);
        end(t, "a.io", "relay", NULL);
        end(t, "a.io", "upstream", "it broke");
        end(t, "a.io", NULL, "");
        end(t, NULL, "containerd", NULL); /* of no upstream that we know */
        struct tally_outcome degraded = {
                .host = "b.io", .source = "stale", .degraded = "no answer"};
        tally_end(t, tally_begin(t), &degraded);
        struct tally_upstream a = upstream_of(t, "a.io");
        assert_int_equal(visited, 2);
        assert_int_equal(a.pulls, 4);
        assert_int_equal(a.failed, 2);
        assert_int_equal(a.current, 1);
        assert_int_equal(a.relayed, 1);
        assert_int_equal(a.direct, 1);
        assert_int_equal(a.degraded, 0);
        assert_int_equal(upstream_of(t, "b.io").degraded, 1);
        tally_free(t);
        tally_free(NULL);
}

static void who_was_not_pulled_from_for_longest_makes_room(void **state)
{
        (void)state;
        char host[32];
        struct tally *t = tally_new();
        end(t, "old.io", "current", NULL);
        end(t, "used.io", "current", NULL);
        for (int i = 0; i < TALLY_UPSTREAMS_MAX; i++) {
                snprintf(host, sizeof(host), "h%d.io", i);
                end(t, host, "current", NULL);
                end(t, "used.io", "current", NULL);
        }
        assert_null(upstream_of(t, "old.io").host);
        assert_int_equal(visited, TALLY_UPSTREAMS_MAX);
        assert_int_equal(upstream_of(t, "used.io").pulls, TALLY_UPSTREAMS_MAX + 1);
        assert_null(upstream_of(t, "h0.io").host);
        assert_non_null(upstream_of(t, "h1.io").host);
        tally_free(t);
}

static void bytes_by_source(void **state)
{
        (void)state;
        struct tally *t = tally_new();
        for (int i = 0; i < 2; i++) {
                cleanup_progress struct progress *p = progress_new();
                progress_gave(p, MIRROR, true, 30);
                progress_gave(p, "a.io", false, 10);
                tally_count(t, "a.io", p);
        }
        struct tally_upstream a = upstream_of(t, "a.io");
        assert_int_equal(a.source_count, 2);
        assert_string_equal(a.sources[0].source, MIRROR);
        assert_int_equal(a.sources[0].bytes, 60);
        assert_true(a.sources[0].is_mirror);
        assert_int_equal(a.sources[1].bytes, 20);
        assert_false(a.sources[1].is_mirror);
        assert_int_equal(a.pulls, 0);
        for (int i = 0; i < 2 * TALLY_SOURCES_MAX; i++) {
                char source[32];
                snprintf(source, sizeof(source), "http://m%d", i);
                cleanup_progress struct progress *p = progress_new();
                progress_gave(p, source, true, 1);
                tally_count(t, "a.io", p);
        }
        assert_int_equal(upstream_of(t, "a.io").source_count, TALLY_SOURCES_MAX);
        tally_free(t);
}

/* ---- the lists ---- */

static json_t *pulls_of(struct tally *t)
{
        return admin_json_pulls(t, NULL);
}

static const char *text_at(const json_t *list, size_t index, const char *name)
{
        return json_string_value(json_object_get(json_array_get(list, index), name));
}

static void a_pull_is_in_one_of_the_lists(void **state)
{
        (void)state;
        struct tally *t = tally_new();
        struct tally_pull *p = tally_begin(t);
        json_t *pulls = pulls_of(t);
        const json_t *running = json_object_get(pulls, "running");
        assert_int_equal(json_array_size(running), 1);
        assert_true(json_is_null(json_object_get(json_array_get(running, 0), "reference")));
        json_decref(pulls);
        tally_refers(t, p, "a.io/x:1");
        cleanup_progress struct progress *progress = progress_new();
        char digest[DIGEST_SHA256_SIZE + 1];
        snprintf(digest, sizeof(digest), "sha256:%064d", 1);
        struct progress_content *c = progress_content(progress, REGISTRY_MANIFEST, digest);
        progress_feeds(progress, c, MIRROR);
        progress_left(progress, c, "http://other", "it broke");
        progress_gave(progress, MIRROR, true, 17);
        tally_flew(t, p, NULL); /* a direct flight tells nothing */
        tally_flew(t, p, progress);
        pulls = pulls_of(t);
        running = json_object_get(pulls, "running");
        assert_string_equal(text_at(running, 0, "reference"), "a.io/x:1");
        const json_t *contents = json_object_get(json_array_get(running, 0), "contents");
        assert_string_equal(text_at(contents, 0, "kind"), "manifest");
        assert_string_equal(text_at(contents, 0, "source"), MIRROR);
        assert_true(json_is_null(json_object_get(json_array_get(contents, 0), "size_bytes")));
        assert_string_equal(
                text_at(json_object_get(json_array_get(contents, 0), "failovers"), 0, "error"),
                "it broke");
        json_decref(pulls);
        struct tally_outcome o = {.host = "a.io",
                .source = "relay",
                .digest = "sha256:x",
                .previous = "",
                .duration_ms = 12};
        tally_end(t, p, &o);
        pulls = pulls_of(t);
        assert_int_equal(json_array_size(json_object_get(pulls, "running")), 0);
        const json_t *recent = json_object_get(pulls, "recent");
        const json_t *record = json_array_get(recent, 0);
        assert_string_equal(text_at(recent, 0, "reference"), "a.io/x:1");
        assert_string_equal(text_at(recent, 0, "outcome"), "ok");
        assert_true(json_is_null(json_object_get(record, "previous")));
        assert_true(json_is_null(json_object_get(record, "error")));
        assert_int_equal(json_integer_value(json_object_get(record, "duration_ms")), 12);
        assert_string_equal(text_at(json_object_get(record, "bytes"), 0, "source"), MIRROR);
        assert_string_equal(
                text_at(json_object_get(record, "failovers"), 0, "source"), "http://other");
        json_decref(pulls);
        tally_free(t);
}

static void the_newest_come_first_and_the_oldest_go(void **state)
{
        (void)state;
        char name[64];
        struct tally *t = tally_new();
        for (int i = 0; i < TALLY_RECENT_MAX + 10; i++) {
                struct tally_pull *p = tally_begin(t);
                struct tally_outcome o = {.source = "current"};
                snprintf(name, sizeof(name), "a.io/x:%d", i);
                tally_refers(t, p, name);
                tally_end(t, p, &o);
        }
        json_t *pulls = pulls_of(t);
        const json_t *recent = json_object_get(pulls, "recent");
        assert_int_equal(json_array_size(recent), TALLY_RECENT_MAX);
        assert_string_equal(text_at(recent, 0, "reference"), "a.io/x:265");
        assert_string_equal(text_at(recent, TALLY_RECENT_MAX - 1, "reference"), "a.io/x:10");
        json_decref(pulls);
        tally_free(t);
}

static void texts_are_cut_between_characters(void **state)
{
        (void)state;
        struct tally *t = tally_new();
        struct tally_pull *p = tally_begin(t);
        char name[TALLY_NAME_BYTES + 8];
        memset(name, 'n', TALLY_NAME_BYTES - 2);
        memcpy(name + TALLY_NAME_BYTES - 2, "\xe2\x82\xac!", 5); /* a character of three bytes */
        tally_refers(t, p, name);
        struct tally_outcome o = {.error = ""};
        tally_end(t, p, &o);
        json_t *pulls = pulls_of(t);
        const json_t *recent = json_object_get(pulls, "recent");
        assert_int_equal(strlen(text_at(recent, 0, "reference")), TALLY_NAME_BYTES - 2);
        assert_string_equal(text_at(recent, 0, "outcome"), "failed");
        assert_null(text_at(recent, 0, "error"));
        json_decref(pulls);
        tally_free(t);
}

/* ---- values ---- */

static void texts_are_utf8(void **state)
{
        (void)state;
        static const char *const cases[][2] = {
                {"plain", "plain"},
                {"", ""},
                {"\xe2\x82\xac", "\xe2\x82\xac"},
                {"a\xff z", "a? z"},
                {"\xe2\x82", "??"},
                {"\xc0\xaf", "??"},
                {"\xed\xa0\x80", "???"},
                {"ok \xe2\x82\xac \xf5\x80\x80\x80 ok", "ok \xe2\x82\xac ???? ok"},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                json_t *text = admin_json_text(cases[i][0]);
                assert_string_equal(json_string_value(text), cases[i][1]);
                json_decref(text);
        }
        assert_true(json_is_null(admin_json_text(NULL)));
}

static void times(void **state)
{
        (void)state;
        static const struct {
                int64_t unix_ms;
                const char *text;
        } cases[] = {
                {0, "1970-01-01T00:00:00Z"},
                {INT64_C(1772366403007), "2026-03-01T12:00:03.007Z"},
                {INT64_C(1772366403000), "2026-03-01T12:00:03Z"},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                json_t *time = admin_json_time(cases[i].unix_ms);
                assert_string_equal(json_string_value(time), cases[i].text);
                json_decref(time);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(pulls_by_upstream_and_outcome),
                cmocka_unit_test(who_was_not_pulled_from_for_longest_makes_room),
                cmocka_unit_test(bytes_by_source),
                cmocka_unit_test(a_pull_is_in_one_of_the_lists),
                cmocka_unit_test(the_newest_come_first_and_the_oldest_go),
                cmocka_unit_test(texts_are_cut_between_characters),
                cmocka_unit_test(texts_are_utf8),
                cmocka_unit_test(times),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* feed.c, through streams: which source is asked, when it is left, and where the next one goes on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "tests/unit/relay/kitchen.h"

#define CUT_AT "300003"
#define CUT    "[{\"hang_up\": true, \"after_bytes\": " CUT_AT "}]"
#define REST   "GET blobs bytes=" CUT_AT "-\n"
#define BLOB   "GET blobs -\n"

static void the_first_mirror_serves(void **state)
{
        struct meal m;
        meal_begin(&m, *state, NULL);
        meal_expect(&m, &m.k->large);
        meal_expect(&m, &m.k->small);
        json_t *log = fake_log(&m.k->first);
        const json_t *entry = json_array_get(log, 0);
        assert_string_equal(json_string_value(json_object_get(entry, "query")), "ns=ghcr.io");
        cleanup_free char *coding = fake_header(entry, "Accept-Encoding");
        assert_string_equal(coding, "identity");
        json_decref(log);
        meal_expect_story(&m, BLOB BLOB, "", "");
        meal_expect_sources(&m, "$1: 1005000 bytes");
        meal_expect_failures(&m, "");
        cleanup_free char *log_text = meal_end(&m);
        assert_string_equal(log_text, "");
}

/* The pod's credentials are for the upstream, and a mirror that asks for some is left. */
static void credentials_stay_off_mirrors(void **state)
{
        static const char basic[] =
                "{\".*\": {\"scheme\": \"basic\", \"users\": {\"pod\": \"word\"}}}";
        struct meal m;
        meal_begin(&m, *state, NULL);
        fake_auth(&m.k->first, basic);
        fake_auth(&m.k->second, basic);
        fake_auth(&m.k->home, basic);
        meal_expect(&m, &m.k->small);
        struct fake *mirrors[] = {&m.k->first, &m.k->second};
        for (size_t i = 0; i < 2; i++) {
                cleanup_free char *story = fake_story(mirrors[i]);
                assert_non_null(strstr(story, "?ns=ghcr.io -\n"));
                assert_null(strstr(story, "Basic"));
        }
        cleanup_free char *story = fake_story(&m.k->home);
        assert_non_null(strstr(story, " Basic cG9kOndvcmQ=\n"));
        assert_null(strstr(story, "ns="));
        meal_expect_sources(&m, "ghcr.io: 5000 bytes");
        assert_true(meal_is_up(&m, 1)); /* it cannot serve us, but that is no fault */
        meal_end_silently(&m);
}

static void who_has_it_not_is_left(void **state)
{
        struct meal m;
        meal_begin(&m, *state, NULL);
        fake_rules(&m.k->first, "[{\"status\": 404}]");
        fake_rules(&m.k->second, "[{\"status\": 500}]");
        meal_expect(&m, &m.k->small);
        meal_expect_story(&m, BLOB, BLOB, BLOB);
        assert_true(meal_is_up(&m, 1));
        assert_true(meal_is_up(&m, 2));
        for (int i = 0; i < 3; i++)
                meal_expect(&m, &m.k->small);
        assert_true(meal_is_up(&m, 1)); /* 404 says nothing about a mirror */
        assert_false(meal_is_up(&m, 2));
        meal_expect_story(&m, BLOB BLOB BLOB, BLOB BLOB, BLOB BLOB BLOB);
        meal_expect_sources(&m, "ghcr.io: 20000 bytes");
        cleanup_free char *url = meal_text(&m, "$2");
        cleanup_free char *down =
                mem_printf("warning mirror went down mirror=%s upstream=ghcr.io error=", url);
        cleanup_free char *next = mem_printf("next=%s", url);
        cleanup_free char *log = meal_end(&m);
        assert_int_equal(capture_count(log, down), 1);
        assert_int_equal(capture_count(log, "info source failed reference=ghcr.io/team/app:1"), 7);
        assert_int_equal(capture_count(log, next), 3);
        assert_int_equal(capture_count(log, "next=ghcr.io"), 4);
}

static void another_goes_on_where_one_broke_off(void **state)
{
        struct meal m;
        meal_begin(&m, *state, NULL);
        fake_rules(&m.k->first, CUT);
        meal_expect(&m, &m.k->large);
        meal_expect_story(&m, BLOB, REST, "");
        meal_expect_sources(&m, "$1: " CUT_AT " bytes, $2: 699997 bytes");
        meal_end_silently(&m);
}

static void all_three_give_a_part(void **state)
{
        struct meal m;
        meal_begin(&m, *state, NULL);
        fake_rules(&m.k->first, CUT);
        fake_rules(&m.k->second, "[{\"hang_up\": true, \"after_bytes\": 400000}]");
        meal_expect(&m, &m.k->large);
        meal_expect_story(&m, BLOB, REST, "GET blobs bytes=700003-\n");
        meal_expect_sources(&m, "$1: 300003 bytes, $2: 400000 bytes, ghcr.io: 299997 bytes");
        meal_end_silently(&m);
}

/* It begins at 0, and what we have is read once more. */
static void a_source_that_ignores_range(void **state)
{
        struct meal m;
        meal_begin(&m, *state, NULL);
        fake_rules(&m.k->first, CUT);
        cleanup_free char *rules =
                mem_printf("[{\"status\": 200, \"body\": \"%s\"}]", m.k->large.text);
        fake_rules(&m.k->second, rules);
        meal_expect(&m, &m.k->large);
        meal_expect_story(&m, BLOB, REST, "");
        meal_expect_sources(&m, "$1: 300003 bytes, $2: 699997 bytes");
        meal_end_silently(&m);
}

static void ranges_that_lie(void **state)
{
        static const char *const ranges[] = {"bytes 300004-999999/1000000",
                "bytes 300003-999998/1000000", "bytes 300003-999999/1000001", "bytes */1000000"};
        for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
                struct meal m;
                meal_begin(&m, *state, NULL);
                fake_rules(&m.k->first, CUT);
                cleanup_free char *rules =
                        mem_printf("[{\"set_headers\": {\"Content-Range\": \"%s\"}}]", ranges[i]);
                fake_rules(&m.k->second, rules);
                meal_expect(&m, &m.k->large);
                meal_expect_story(&m, BLOB, REST, REST);
                meal_expect_sources(&m, "$1: 300003 bytes, ghcr.io: 699997 bytes");
                meal_end_silently(&m);
        }
}

static void who_stalls_is_left(void **state)
{
        struct meal m;
        meal_begin(&m, *state, NULL);
        fake_rules(&m.k->first, "[{\"silence\": true, \"after_bytes\": " CUT_AT "}]");
        meal_expect(&m, &m.k->large);
        meal_expect_story(&m, BLOB, REST, "");
        assert_false(meal_is_up(&m, 1));
        meal_expect_failures(&m, "$1: not a byte from $1 in 1000 ms");
        meal_end_silently(&m);
}

static void who_says_nothing_is_left(void **state)
{
        struct meal m;
        meal_begin(&m, *state, NULL);
        fake_rules(&m.k->first, "[{\"silence\": true}]");
        meal_expect(&m, &m.k->large);
        meal_expect(&m, &m.k->small); /* it is not even asked */
        meal_expect_story(&m, BLOB, BLOB BLOB, "");
        cleanup_free char *failures = grant_failures_text(m.grant);
        cleanup_free char *start = meal_text(&m, "$1: no answer from $1 within ");
        assert_memory_equal(failures, start, strlen(start));
        meal_end_silently(&m);
}

static void the_upstream_resumes(void **state)
{
        struct meal m;
        meal_begin(&m, *state, "[]");
        fake_rules(&m.k->home, "[{\"hang_up\": true, \"after_bytes\": 200000, \"times\": 3}]");
        meal_expect(&m, &m.k->large);
        meal_expect_story(&m, "", "",
                BLOB "GET blobs bytes=200000-\nGET blobs bytes=400000-\nGET blobs bytes=600000-\n");
        meal_expect_sources(&m, "ghcr.io: 1000000 bytes");
        meal_end_silently(&m);
}

static void but_not_for_ever(void **state)
{
        struct meal m;
        meal_begin(&m, *state, "[]");
        fake_rules(&m.k->home, "[{\"hang_up\": true, \"after_bytes\": 200000}]");
        assert_int_equal(meal_expect_cut(&m, &m.k->large), 800000);
        meal_expect_sources(&m, "ghcr.io: 800000 bytes");
        assert_int_equal(grant_count(m.grant, GRANT_SPOILT), 1);
        spoilt_unlock(m.parts.spoilt, m.k->large.digest);
        meal_end_silently(&m);
}

static void nobody_is_left(void **state)
{
        struct meal m;
        meal_begin(&m, *state, NULL);
        fake_rules(&m.k->first, "[{\"status\": 404}]");
        fake_rules(&m.k->second, "[{\"status\": 403}]");
        fake_rules(&m.k->home, "[{\"status\": 404}]");
        meal_expect_failure(&m, &m.k->small, ERR_NOT_FOUND, ": not found");
        cleanup_free char *failures = grant_failures_text(m.grant);
        cleanup_free char *first = meal_text(&m, "$1: ");
        cleanup_free char *second = meal_text(&m, "; $2: ");
        assert_memory_equal(failures, first, strlen(first));
        assert_non_null(strstr(failures, second));
        assert_non_null(strstr(failures, "; ghcr.io: "));
        meal_expect_sources(&m, "");
        cleanup_free char *log = meal_end(&m);
        assert_int_equal(capture_count(log, "source failed"), 3);
        assert_int_equal(capture_count(log, " next="), 2);
}

static void take_down(struct meal *m, int number)
{
        cleanup_mirror_use struct mirror_use use = {0};
        struct err why;
        err_set(&why, ERR_UNREACHABLE, "by the test");
        assert_true(mirror_admit(meal_mirror(m, number), &use));
        mirror_report(&use, MIRROR_SILENT, -1, &why);
        assert_false(meal_is_up(m, number));
}

static void a_mirror_that_is_down_is_passed_over(void **state)
{
        struct meal m;
        meal_begin(&m, *state, NULL);
        take_down(&m, 1);
        meal_expect(&m, &m.k->small);
        meal_expect_story(&m, "", BLOB, "");
        take_down(&m, 2);
        meal_expect(&m, &m.k->small);
        meal_expect_story(&m, "", "", BLOB);
        meal_expect_failures(&m, "");
        meal_end_silently(&m);
}

static void but_asked_where_nothing_else_is_left(void **state)
{
        struct meal m;
        meal_begin(&m, *state, NULL);
        take_down(&m, 1);
        fake_rules(&m.k->second, "[{\"status\": 500}]");
        fake_rules(&m.k->home, "[{\"hang_up\": true}]");
        meal_expect(&m, &m.k->small);
        meal_expect_story(&m, BLOB, BLOB, BLOB BLOB); /* the upstream is asked twice */
        meal_expect_sources(&m, "$1: 5000 bytes");
        meal_end_silently(&m);
}

static void a_mirror_that_lied_is_not_asked_even_then(void **state)
{
        struct meal m;
        meal_begin(&m, *state, NULL);
        mirror_quarantine(meal_mirror(&m, 1), m.k->small.digest);
        grant_exclude(m.grant, 1);
        fake_rules(&m.k->home, "[{\"status\": 404}]");
        meal_expect_failure(&m, &m.k->small, ERR_NOT_FOUND, ": not found");
        meal_expect_story(&m, "", "", BLOB);
        fake_rules(&m.k->home, "[]");
        meal_expect(&m, &m.k->large); /* of this digest the first has told no lie */
        meal_expect_story(&m, BLOB, "", "");
        meal_end_silently(&m);
}

/* ---- sizes ---- */

static void a_wrong_length_is_known_before_a_byte_leaves(void **state)
{
        struct meal m;
        meal_begin(&m, *state, NULL);
        grant_learn(m.grant, m.k->large.digest, LARGE_BYTES, NULL);
        fake_rules(&m.k->first, "[{\"status\": 200, \"body\": \"0123456789\", \"body_repeat\": "
                                "100001}]");
        meal_expect(&m, &m.k->large);
        meal_expect_story(&m, BLOB, BLOB, "");
        meal_expect_sources(&m, "$2: 1000000 bytes");
        /* The manifest's author may be the one who is wrong. */
        assert_false(mirror_quarantined(meal_mirror(&m, 1), m.k->large.digest));
        assert_true(meal_is_up(&m, 1));
        cleanup_free char *wanted = mem_printf(
                "$1: %s is said to have 1000010 bytes, but it has 1000000", m.k->large.digest);
        meal_expect_failures(&m, wanted);
        meal_end_silently(&m);
}

/* A tenant's manifest that is wrong about a popular layer puts no mirror away for the others. */
static void a_manifest_that_is_wrong_about_a_size(void **state)
{
        struct meal m;
        meal_begin(&m, *state, NULL);
        grant_learn(m.grant, m.k->large.digest, LARGE_BYTES + 1, NULL);
        for (int i = 0; i < 8; i++) {
                struct err e;
                struct stream *none = NULL;
                assert_int_equal(stream_open(&m.parts, m.grant, REGISTRY_BLOB, m.k->large.digest,
                                         -1, &none, &e),
                        -1);
        }
        for (int mirror = 1; mirror <= 2; mirror++) {
                assert_false(mirror_quarantined(meal_mirror(&m, mirror), m.k->large.digest));
                assert_true(meal_is_up(&m, mirror));
        }
        cleanup_free char *log = meal_end(&m);
        assert_int_equal(capture_count(log, "mirror went down"), 0);
}

/* Nobody knows the size, and the one who was wrong about it has left: the next one is believed. */
static void who_is_right_about_an_unknown_length(void **state)
{
        static const char *const rules[] = {
                /* breaks off before the first byte, and in the middle */
                "[{\"set_headers\": {\"Content-Length\": \"6000\"}, \"hang_up\": true, "
                "\"after_bytes\": 0}]",
                "[{\"set_headers\": {\"Content-Length\": \"6000\"}, \"hang_up\": true, "
                "\"after_bytes\": 2000}]",
                "[{\"set_headers\": {\"Content-Length\": \"100\"}, \"hang_up\": true, "
                "\"after_bytes\": 50}]",
                /* a million bytes are no small blob */
                "[{\"set_headers\": {\"Content-Length\": \"260000\"}, \"hang_up\": true, "
                "\"after_bytes\": 2000}]",
        };
        for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
                struct meal m;
                meal_begin(&m, *state, NULL);
                fake_rules(&m.k->first, rules[i]);
                meal_expect(&m, &m.k->small);
                assert_false(mirror_quarantined(meal_mirror(&m, 2), m.k->small.digest));
                assert_int_equal(grant_bytes_of(m.grant, 1), SMALL_BYTES);
                assert_int_equal(grant_bytes_of(m.grant, 2), 0);
                meal_end_silently(&m);
        }
}

static void a_manifest_that_is_too_large_is_another_sources(void **state)
{
        struct meal m;
        meal_begin(&m, *state, NULL);
        fake_rules(&m.k->first, "[{\"status\": 200, \"body\": \"0123456789\", \"body_repeat\": "
                                "500000}]");
        meal_expect(&m, &m.k->manifest);
        meal_expect_story(&m, "GET manifests -\n", "GET manifests -\n", "");
        meal_end_silently(&m);
}

static void answers_without_length(void **state)
{
        struct meal m;
        meal_begin(&m, *state, NULL);
        fake_rules(&m.k->first, "[{\"drop_headers\": [\"Content-Length\"]}]");
        meal_expect(&m, &m.k->small);
        meal_expect_story(&m, BLOB, BLOB, "");
        meal_end_silently(&m);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_first_mirror_serves),
                cmocka_unit_test(credentials_stay_off_mirrors),
                cmocka_unit_test(who_has_it_not_is_left),
                cmocka_unit_test(another_goes_on_where_one_broke_off),
                cmocka_unit_test(all_three_give_a_part),
                cmocka_unit_test(a_source_that_ignores_range),
                cmocka_unit_test(ranges_that_lie),
                cmocka_unit_test(who_stalls_is_left),
                cmocka_unit_test(who_says_nothing_is_left),
                cmocka_unit_test(the_upstream_resumes),
                cmocka_unit_test(but_not_for_ever),
                cmocka_unit_test(nobody_is_left),
                cmocka_unit_test(a_mirror_that_is_down_is_passed_over),
                cmocka_unit_test(but_asked_where_nothing_else_is_left),
                cmocka_unit_test(a_mirror_that_lied_is_not_asked_even_then),
                cmocka_unit_test(a_wrong_length_is_known_before_a_byte_leaves),
                cmocka_unit_test(a_manifest_that_is_wrong_about_a_size),
                cmocka_unit_test(who_is_right_about_an_unknown_length),
                cmocka_unit_test(a_manifest_that_is_too_large_is_another_sources),
                cmocka_unit_test(answers_without_length),
        };
        return cmocka_run_group_tests(tests, kitchen_open, kitchen_close);
}

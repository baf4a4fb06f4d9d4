/* SPDX-License-Identifier: Apache-2.0 */
/* stream.c: what is verified, what leaves before that, and what happens to liars. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "tests/unit/relay/kitchen.h"

#define BLOB     "GET blobs -\n"
#define MANIFEST "GET manifests -\n"
#define CORRUPT  "[{\"corrupt\": 100}]"

static void assert_listed(struct meal *m, enum grant_list list, const struct content *c)
{
        char digest[DIGEST_SHA256_SIZE + 1];
        assert_int_equal(grant_count(m->grant, list), 1);
        grant_at(m->grant, list, 0, digest);
        assert_string_equal(digest, c->digest);
}

static void all_sizes(void **state)
{
        static const size_t sizes[] = {0, 1, 2, 65535, 65536, 65537, BODY_BLOB_MAX_BYTES - 1,
                BODY_BLOB_MAX_BYTES, BODY_BLOB_MAX_BYTES + 1, 294911, 294912, 294913, 327680,
                5000000};
        struct meal m;
        meal_begin(&m, *state, NULL);
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
                struct content c = content_make(REGISTRY_BLOB, "", sizes[i]);
                kitchen_put(&m.k->first, &c);
                meal_expect(&m, &c);
                free(c.text);
        }
        meal_end_silently(&m);
}

static void expect_silent_change(void **state, const struct content *c, const char *rules)
{
        struct meal m;
        meal_begin(&m, *state, NULL);
        fake_rules(&m.k->first, rules);
        meal_expect(&m, c);
        assert_true(mirror_quarantined(meal_mirror(&m, 1), c->digest));
        assert_false(mirror_quarantined(meal_mirror(&m, 2), c->digest));
        assert_false(mirror_quarantined(meal_mirror(&m, 1), m.k->large.digest));
        assert_true(grant_excluded(m.grant, 0));
        assert_int_equal(grant_count(m.grant, GRANT_SPOILT), 0);
        meal_expect_failures(&m, "$1: wrong content");
        cleanup_free char *url = meal_text(&m, "$1");
        cleanup_free char *line = mem_printf("warning mirror served wrong content mirror=%s "
                                             "digest=%s error=\"the content has the digest sha256:",
                url, c->digest);
        cleanup_free char *log = meal_end(&m);
        assert_int_equal(capture_count(log, line), 1);
}

static void a_wrong_small_blob_is_nobodys_trouble(void **state)
{
        struct kitchen *k = *state;
        expect_silent_change(state, &k->small, CORRUPT);
        expect_silent_change(state, &k->small, "[{\"status\": 200, \"body\": \"short\"}]");
        expect_silent_change(state, &k->small, "[{\"status\": 200}]");
}

static void nor_a_wrong_manifest(void **state)
{
        struct kitchen *k = *state;
        expect_silent_change(state, &k->manifest, CORRUPT);
        expect_silent_change(state, &k->manifest, "[{\"status\": 200, \"body\": \"{}\"}]");
}

/* One that gave a half is as suspect as the one who gave the other. */
static void all_who_gave_a_part_are_suspects(void **state)
{
        struct meal m;
        meal_begin(&m, *state, NULL);
        fake_rules(&m.k->first, "[{\"hang_up\": true, \"after_bytes\": 2000}]");
        fake_rules(&m.k->second, "[{\"corrupt\": 100}]");
        meal_expect(&m, &m.k->small);
        assert_true(mirror_quarantined(meal_mirror(&m, 1), m.k->small.digest));
        assert_true(mirror_quarantined(meal_mirror(&m, 2), m.k->small.digest));
        meal_expect_story(&m, BLOB, "GET blobs bytes=2000-\n", BLOB);
        meal_end_silently(&m);
}

static void the_upstream_is_not_quarantined(void **state)
{
        struct meal m;
        meal_begin(&m, *state, NULL);
        fake_rules(&m.k->first, CORRUPT);
        fake_rules(&m.k->second, CORRUPT);
        fake_rules(&m.k->home, CORRUPT);
        meal_expect_failure(&m, &m.k->small, ERR_PROTOCOL, " has the digest sha256:");
        meal_expect_story(&m, BLOB, BLOB, BLOB);
        fake_rules(&m.k->home, "[]");
        meal_expect(&m, &m.k->small);
        meal_expect_story(&m, "", "", BLOB);
        meal_end_silently(&m);
}

/* Bytes have left: nobody is served that digest until the flight has cleaned. */
static void a_wrong_large_blob_is_cut(void **state)
{
        static const char *const rules[] = {
                "[{\"corrupt\": 300000}]", "[{\"corrupt\": 0}]", "[{\"corrupt\": 999999}]"};
        for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
                struct meal m;
                meal_begin(&m, *state, NULL);
                fake_rules(&m.k->first, rules[i]);
                size_t left = meal_expect_cut(&m, &m.k->large);
                assert_true(left > LARGE_BYTES / 2 && left <= LARGE_BYTES - STREAM_WITHHELD_BYTES);
                assert_listed(&m, GRANT_SPOILT, &m.k->large);
                assert_true(mirror_quarantined(meal_mirror(&m, 1), m.k->large.digest));
                assert_true(grant_excluded(m.grant, 0));
                meal_expect_failure(&m, &m.k->large, ERR_UPSTREAM, " is being cleaned up");
                assert_int_equal(
                        grant_count(m.grant, GRANT_REFUSED), 0); /* we clean it ourselves */
                meal_expect(&m, &m.k->small);                    /* other digests are not locked */
                spoilt_unlock(m.parts.spoilt, m.k->large.digest);
                meal_expect(&m, &m.k->large);
                assert_int_equal(grant_bytes_of(m.grant, 1), SMALL_BYTES + LARGE_BYTES);
                cleanup_free char *log = meal_end(&m);
                assert_int_equal(capture_count(log, "mirror served wrong content"), 1);
        }
}

static void what_another_pull_has_spoilt_is_waited_for(void **state)
{
        struct meal m;
        meal_begin(&m, *state, "[]");
        assert_true(spoilt_lock(m.parts.spoilt, m.k->large.digest));
        meal_expect_failure(&m, &m.k->large, ERR_UPSTREAM, " is being cleaned up");
        assert_listed(&m, GRANT_REFUSED, &m.k->large);
        spoilt_unlock(m.parts.spoilt, m.k->large.digest);
        meal_expect(&m, &m.k->large);
        meal_end_silently(&m);
}

static void a_large_blob_that_the_upstream_has_wrong(void **state)
{
        struct meal m;
        meal_begin(&m, *state, "[]");
        fake_rules(&m.k->home, "[{\"corrupt\": 5}]");
        meal_expect_cut(&m, &m.k->large);
        assert_listed(&m, GRANT_SPOILT, &m.k->large);
        spoilt_unlock(m.parts.spoilt, m.k->large.digest);
        cleanup_free char *log = meal_end(&m);
        assert_int_equal(capture_count(log, "wrong content"), 0);
}

/* Two streams of one digest: the first that is spoilt has to be cleaned; the other is told. */
static void two_at_once_are_spoilt(void **state)
{
        struct meal m;
        meal_begin(&m, *state, NULL);
        fake_rules(&m.k->first, "[{\"corrupt\": 300000}]");
        struct err e;
        struct stream *one = NULL;
        struct stream *two = NULL;
        cleanup_buf struct buf got;
        buf_init(&got, SIZE_MAX / 2);
        assert_int_equal(meal_open(&m, &m.k->large, &one, &e), 0);
        assert_int_equal(meal_open(&m, &m.k->large, &two, &e), 0);
        assert_false(meal_read(one, &got));
        buf_reset(&got);
        assert_false(meal_read(two, &got));
        assert_listed(&m, GRANT_SPOILT, &m.k->large);
        assert_listed(&m, GRANT_REFUSED, &m.k->large);
        stream_free(one);
        stream_free(two);
        spoilt_unlock(m.parts.spoilt, m.k->large.digest);
        meal_end_silently(&m);
}

/* The flight has read its lists: what breaks off now is left to the next pull, and not locked. */
static void who_is_revoked_locks_nothing(void **state)
{
        struct meal m;
        meal_begin(&m, *state, NULL);
        fake_rules(&m.k->first, "[{\"silence\": true, \"after_bytes\": 300000}]");
        struct err e;
        struct stream *s = NULL;
        struct grant *g = meal_grant(&m);
        cleanup_buf struct buf got;
        buf_init(&got, SIZE_MAX / 2);
        const struct content *c = &m.k->large;
        assert_int_equal(stream_open(&m.parts, g, c->kind, c->digest, NOBODY, &s, &e), 0);
        grant_revoke(m.grants, g);
        assert_false(meal_read(s, &got));
        stream_free(s);
        assert_int_equal(grant_count(g, GRANT_SPOILT), 0);
        assert_true(spoilt_claim(m.parts.spoilt, c->digest));
        spoilt_unlock(m.parts.spoilt, c->digest);
        grant_put(g);
        assert_true(meal_is_up(&m, 1)); /* it is we who have gone */
        meal_end_silently(&m);
}

/* ---- manifests ---- */

static void a_manifest_is_what_it_says(void **state)
{
        struct meal m;
        meal_begin(&m, *state, NULL);
        fake_rules(&m.k->first, "[{\"set_headers\": {\"Content-Type\": \"text/html\"}}]");
        struct err e;
        struct stream *s = NULL;
        assert_int_equal(meal_open(&m, &m.k->manifest, &s, &e), 0);
        assert_string_equal(stream_content_type(s), MANIFEST_TYPE);
        stream_free(s);
        assert_int_equal(grant_size_of(m.grant, m.k->small.digest), SMALL_BYTES);
        cleanup_free char *ref = grant_ref_of(m.grant, m.k->small.digest);
        cleanup_free char *wanted = mem_printf("config-%s", m.k->small.digest);
        assert_string_equal(ref, wanted);
        /* One that does not say is what its source says; blobs are blobs. */
        struct content mute = content_make(REGISTRY_MANIFEST, "{}", 2);
        kitchen_put(&m.k->first, &mute);
        assert_int_equal(meal_open(&m, &mute, &s, &e), 0);
        assert_string_equal(stream_content_type(s), "text/html");
        stream_free(s);
        assert_int_equal(meal_open(&m, &m.k->small, &s, &e), 0);
        assert_string_equal(stream_content_type(s), "application/octet-stream");
        stream_free(s);
        free(mute.text);
        meal_end_silently(&m);
}

/* Too many brackets for the relay to look at what they hold. */
static void a_manifest_that_is_not_read_passes(void **state)
{
        struct meal m;
        struct err e;
        struct stream *s = NULL;
        meal_begin(&m, *state, NULL);
        cleanup_buf struct buf text;
        buf_init(&text, BODY_MANIFEST_MAX_BYTES);
        buf_printf(&text, "{\"mediaType\":\"x/y\",\"layers\":[{\"digest\":\"%s\",\"size\":1}",
                m.k->small.digest);
        for (int i = 0; i < 100000; i++)
                buf_puts(&text, ",{}");
        buf_puts(&text, "]}");
        struct content flood = content_make(REGISTRY_MANIFEST, buf_str(&text), text.size);
        kitchen_put(&m.k->first, &flood);
        meal_expect(&m, &flood);
        assert_int_equal(meal_open(&m, &flood, &s, &e), 0);
        assert_string_equal(stream_content_type(s), MANIFEST_TYPE); /* the source's word */
        stream_free(s);
        assert_int_equal(grant_size_of(m.grant, m.k->small.digest), -1);
        meal_expect(&m, &m.k->small); /* whose size in there is wrong */
        free(flood.text);
        meal_end_silently(&m);
}

static void a_manifest_is_fetched_once(void **state)
{
        struct meal m;
        meal_begin(&m, *state, NULL);
        for (int i = 0; i < 3; i++)
                meal_expect(&m, &m.k->manifest);
        meal_expect_story(&m, MANIFEST, "", "");
        /* By one pull: another may have lost the right to it. */
        struct grant *first = m.grant;
        m.grant = meal_grant(&m);
        meal_expect(&m, &m.k->manifest);
        meal_expect_story(&m, MANIFEST, "", "");
        grant_revoke(m.grants, m.grant);
        grant_put(m.grant);
        m.grant = first;
        meal_end_silently(&m);
}

struct opening {
        struct meal *meal;
        const struct content *content;
        int client_fd;
        pthread_t thread;
        struct stream *stream;
        int result;
        struct err err;
};

static void *open_it(void *arg)
{
        struct opening *o = arg;
        const struct content *c = o->content;
        o->result = stream_open(&o->meal->parts, o->meal->grant, c->kind, c->digest, o->client_fd,
                &o->stream, &o->err);
        return NULL;
}

static void begin_to_open(struct opening *o, struct meal *m, const struct content *c, int client_fd)
{
        *o = (struct opening){.meal = m, .content = c, .client_fd = client_fd};
        pthread_create(&o->thread, NULL, open_it, o);
}

static void wait_for_state(struct fake *f, const char *what, int count)
{
        cleanup_free char *path = mem_printf("wait?state=%s&count=%d", what, count);
        json_decref(fake_call(f, "GET", path, "text/plain", ""));
}

static void two_ask_for_the_manifest_at_once(void **state)
{
        struct meal m;
        struct opening both[2];
        meal_begin(&m, *state, NULL);
        fake_rules(&m.k->first, "[{\"hold\": \"both\"}]");
        for (size_t i = 0; i < 2; i++)
                begin_to_open(&both[i], &m, &m.k->manifest, NOBODY);
        wait_for_state(&m.k->first, "held", 2);
        fake_order(&m.k->first, "POST", "release", "{\"name\": \"both\"}");
        for (size_t i = 0; i < 2; i++) {
                pthread_join(both[i].thread, NULL);
                assert_int_equal(both[i].result, 0);
                assert_int_equal(stream_size(both[i].stream), m.k->manifest.size);
                stream_free(both[i].stream);
        }
        fake_rules(&m.k->first, "[]");
        meal_expect(&m, &m.k->manifest);
        meal_expect_story(&m, MANIFEST MANIFEST, "", "");
        meal_end_silently(&m);
}

static void there_is_room_for_so_much_only(void **state)
{
        struct meal m;
        struct err e;
        meal_begin(&m, *state, NULL);
        struct body *all = body_new(m.parts.room, BODY_ALL_MAX_BYTES, 0, &e);
        meal_expect_failure(&m, &m.k->small, ERR_TIMEOUT, "no memory for 5000 bytes");
        meal_expect(&m, &m.k->large); /* is not held whole */
        body_put(all);
        meal_expect(&m, &m.k->small);
        assert_true(meal_is_up(&m, 1));
        meal_end_silently(&m);
}

/* A registry that a pod names holds what it likes; the mirrors of those that are configured go on.
 */
static void others_have_a_room_of_their_own(void **state)
{
        struct meal m;
        struct err e;
        meal_begin(&m, *state, NULL);
        struct body *all = body_new(m.parts.room_of_others, BODY_ALL_MAX_BYTES, 0, &e);
        meal_expect(&m, &m.k->small);
        body_put(all);
        meal_end_silently(&m);
        meal_host = "default";
        meal_begin(&m, *state, NULL);
        all = body_new(m.parts.room_of_others, BODY_ALL_MAX_BYTES, 0, &e);
        meal_expect_failure(&m, &m.k->small, ERR_TIMEOUT, "no memory for 5000 bytes");
        body_put(all);
        all = body_new(m.parts.room, BODY_ALL_MAX_BYTES, 0, &e);
        meal_expect(&m, &m.k->small);
        body_put(all);
        meal_end_silently(&m);
        meal_host = "ghcr.io";
}

static void an_honest_manifest_that_is_too_large(void **state)
{
        struct meal m;
        meal_begin(&m, *state, NULL);
        struct content huge = content_make(REGISTRY_MANIFEST, "", BODY_MANIFEST_MAX_BYTES + 1);
        kitchen_put(&m.k->first, &huge);
        kitchen_put(&m.k->second, &huge);
        kitchen_put(&m.k->home, &huge);
        meal_expect_failure(&m, &huge, ERR_TOO_LARGE, " is said to have 4194305 bytes");
        free(huge.text);
        huge = content_make(REGISTRY_MANIFEST, "", BODY_MANIFEST_MAX_BYTES);
        kitchen_put(&m.k->first, &huge);
        meal_expect(&m, &huge);
        free(huge.text);
        meal_end_silently(&m);
}

/* ---- those who leave ---- */

static void who_hangs_up_lets_go_of_the_source(void **state)
{
        struct meal m;
        struct opening o;
        int ends[2];
        meal_begin(&m, *state, NULL);
        meal_expect(&m, &m.k->large); /* a warm connection, too */
        fake_rules(&m.k->first, "[{\"silence\": true}]");
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        begin_to_open(&o, &m, &m.k->small, ends[0]);
        wait_for_state(&m.k->first, "held", 1);
        close(ends[1]);
        pthread_join(o.thread, NULL);
        assert_int_equal(o.result, -1);
        assert_int_equal(o.err.code, ERR_CANCELLED);
        wait_for_state(&m.k->first, "gone", 1);
        close(ends[0]);
        assert_true(meal_is_up(&m, 1));
        meal_expect_story(&m, BLOB BLOB, "", "");
        meal_expect_failures(&m, "");
        meal_end_silently(&m);
}

struct reading {
        struct stream *stream;
        struct buf got;
        pthread_t thread;
        bool whole;
};

static void *read_it(void *arg)
{
        struct reading *r = arg;
        r->whole = meal_read(r->stream, &r->got);
        return NULL;
}

/* In the middle, or in what is held back: no source has failed, and nobody else has to wait. */
static void who_hangs_up_locks_nothing(void **state)
{
        static const char *const rules[] = {"[{\"silence\": true, \"after_bytes\": 300000}]",
                "[{\"silence\": true, \"after_bytes\": 990000}]"};
        meal_stall_timeout = "60s";
        for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
                struct meal m;
                struct reading r = {0};
                struct err e;
                int ends[2];
                meal_begin(&m, *state, NULL);
                const struct content *c = &m.k->large;
                fake_rules(&m.k->first, rules[i]);
                buf_init(&r.got, SIZE_MAX / 2);
                assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
                assert_int_equal(
                        stream_open(&m.parts, m.grant, c->kind, c->digest, ends[0], &r.stream, &e),
                        0);
                pthread_create(&r.thread, NULL, read_it, &r);
                wait_for_state(&m.k->first, "held", 1);
                close(ends[1]);
                pthread_join(r.thread, NULL);
                assert_false(r.whole);
                stream_free(r.stream);
                buf_fini(&r.got);
                close(ends[0]);
                assert_int_equal(grant_count(m.grant, GRANT_SPOILT), 0);
                assert_int_equal(grant_count(m.grant, GRANT_REFUSED), 0);
                assert_true(
                        spoilt_claim(m.parts.spoilt, c->digest)); /* neither locked nor served */
                spoilt_unlock(m.parts.spoilt, c->digest);
                assert_true(meal_is_up(&m, 1));
                meal_end_silently(&m);
        }
        meal_stall_timeout = "1s";
}

static void so_does_the_end_of_the_flight(void **state)
{
        struct meal m;
        struct opening o;
        meal_begin(&m, *state, NULL);
        fake_rules(&m.k->first, "[{\"silence\": true}]");
        begin_to_open(&o, &m, &m.k->small, NOBODY);
        wait_for_state(&m.k->first, "held", 1);
        cancel_fire(grant_cancel(m.grant));
        pthread_join(o.thread, NULL);
        assert_int_equal(o.result, -1);
        assert_int_equal(o.err.code, ERR_CANCELLED);
        wait_for_state(&m.k->first, "gone", 1);
        meal_expect_story(&m, BLOB, "", "");
        meal_end_silently(&m);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(all_sizes),
                cmocka_unit_test(a_wrong_small_blob_is_nobodys_trouble),
                cmocka_unit_test(nor_a_wrong_manifest),
                cmocka_unit_test(all_who_gave_a_part_are_suspects),
                cmocka_unit_test(the_upstream_is_not_quarantined),
                cmocka_unit_test(a_wrong_large_blob_is_cut),
                cmocka_unit_test(what_another_pull_has_spoilt_is_waited_for),
                cmocka_unit_test(a_large_blob_that_the_upstream_has_wrong),
                cmocka_unit_test(two_at_once_are_spoilt),
                cmocka_unit_test(who_is_revoked_locks_nothing),
                cmocka_unit_test(a_manifest_is_what_it_says),
                cmocka_unit_test(a_manifest_that_is_not_read_passes),
                cmocka_unit_test(a_manifest_is_fetched_once),
                cmocka_unit_test(two_ask_for_the_manifest_at_once),
                cmocka_unit_test(there_is_room_for_so_much_only),
                cmocka_unit_test(others_have_a_room_of_their_own),
                cmocka_unit_test(an_honest_manifest_that_is_too_large),
                cmocka_unit_test(who_hangs_up_lets_go_of_the_source),
                cmocka_unit_test(who_hangs_up_locks_nothing),
                cmocka_unit_test(so_does_the_end_of_the_flight),
        };
        return cmocka_run_group_tests(tests, kitchen_open, kitchen_close);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "relay/grant.h"
#include "resolver/base64.h"

#define NAME "cri-resolved/ghcr.io/a/b"
#define A    "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B    "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

/* Two mirrors and the upstream, by name alone. */
static struct route *made_route(void)
{
        static const char *const names[] = {
                "http://127.0.0.1:5000", "http://127.0.0.1:5001", "ghcr.io"};
        struct route *r = mem_zalloc(sizeof(*r));
        r->count = 3;
        r->sources = mem_zalloc(r->count * sizeof(*r->sources));
        for (size_t i = 0; i < r->count; i++) {
                struct upstream *access = mem_zalloc(sizeof(*access));
                access->host = mem_strdup(names[i]);
                r->sources[i] = (struct source){.name = mem_strdup(names[i]), .access = access};
        }
        return r;
}

static struct grant *issue(struct grants *t, const char *name, struct cancel *on_capture)
{
        struct credentials credentials = {.username = "user", .password = "word"};
        struct grant_spec spec = {.name = name,
                .host = "ghcr.io",
                .repository = "a/b",
                .reference = "ghcr.io/a/b@" A,
                .route = made_route(),
                .credentials = &credentials,
                .on_capture = on_capture};
        return grant_issue(t, &spec);
}

static char *header_of(const char *user, const char *password)
{
        cleanup_free char *pair = mem_printf("%s:%s", user, password);
        cleanup_free char *code = base64_encode(pair, strlen(pair));
        return mem_printf("Basic %s", code);
}

static void assert_finds(struct grants *t, const char *header, const struct grant *wanted)
{
        cleanup_grant struct grant *found = grants_find(t, header);
        if (found != wanted)
                fail_msg("%s opens %s", header, found == NULL ? "nothing" : "something else");
}

static void the_password_opens_its_grant_alone(void **state)
{
        (void)state;
        struct grants *t = grants_new();
        struct grant *one = issue(t, NAME, NULL);
        struct grant *other = issue(t, NAME, NULL);
        assert_string_not_equal(grant_password(one), grant_password(other));
        cleanup_free char *header = header_of(GRANT_USER, grant_password(one));
        cleanup_free char *second = header_of(GRANT_USER, grant_password(other));
        assert_finds(t, header, one);
        assert_finds(t, second, other);
        grant_revoke(t, one);
        assert_finds(t, header, NULL);
        assert_finds(t, second, other);
        grant_revoke(t, other);
        assert_finds(t, second, NULL);
        grant_put(one);
        grant_put(other);
        grant_put(NULL);
        grants_free(t);
        grants_free(NULL);
}

static void nothing_else_opens_it(void **state)
{
        (void)state;
        struct grants *t = grants_new();
        struct grant *g = issue(t, NAME, NULL);
        cleanup_free char *right = header_of(GRANT_USER, grant_password(g));
        cleanup_free char *nearly = mem_strdup(grant_password(g));
        nearly[strlen(nearly) - 1] = nearly[strlen(nearly) - 1] == '0' ? '1' : '0';
        char *wrong[] = {
                mem_strdup(""),
                mem_strdup("Basic "),
                mem_printf("Bearer %s", grant_password(g)),
                mem_strdup(grant_password(g)),
                mem_printf("%s ", right),
                mem_printf(" %s", right),
                mem_printf("basic%s", right + strlen("Basic")),
                mem_strndup(right, strlen(right) - 1),
                header_of(GRANT_USER, nearly),
                header_of(GRANT_USER, ""),
                header_of("", grant_password(g)),
                header_of("root", grant_password(g)),
                header_of("user", "word"),
        };
        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
                assert_finds(t, wrong[i], NULL);
                free(wrong[i]);
        }
        assert_finds(t, right, g);
        grant_revoke(t, g);
        grant_put(g);
        grants_free(t);
}

static void what_it_is_for(void **state)
{
        (void)state;
        struct grants *t = grants_new();
        struct grant *g = issue(t, NAME, NULL);
        const struct grant_spec *spec = grant_spec_of(g);
        assert_string_equal(spec->name, NAME);
        assert_string_equal(spec->host, "ghcr.io");
        assert_string_equal(spec->repository, "a/b");
        assert_string_equal(spec->credentials->username, "user");
        assert_string_equal(spec->credentials->password, "word");
        assert_null(spec->credentials->auth);
        assert_false(cancel_fired(grant_cancel(g)));
        struct grant *other = grant_share(g);
        grant_revoke(t, g);
        assert_true(cancel_fired(grant_cancel(g)));
        grant_put(g);
        assert_string_equal(grant_spec_of(other)->name, NAME); /* as long as somebody has it */
        grant_put(other);
        grants_free(t);
}

static void who_does_not_ask_in_time_is_captured(void **state)
{
        (void)state;
        struct grants *t = grants_new();
        struct cancel caught;
        struct cancel free_one;
        cancel_init(&caught);
        cancel_init(&free_one);
        struct grant *g = issue(t, NAME, &caught);
        struct grant *other = issue(t, "cri-resolved/ghcr.io/a/bc", &free_one);
        assert_true(grants_check_reach(t));
        assert_false(cancel_fired(&caught)); /* there is time yet */
        /* Paths that are of neither, or not of this one. */
        grants_reached(t, "/v2/");
        grants_reached(t, "/v2/cri-resolved/ghcr.io/a");
        grants_reached(t, "/v2/" NAME);
        grants_reached(t, NAME "/manifests/" A);
        grants_reached(t, "/v2/cri-resolved/ghcr.io/a/bc/manifests/" A);
        grants_set_reach(t, 0);
        assert_false(grants_check_reach(t)); /* nobody is waited for any more */
        assert_true(cancel_fired(&caught));
        assert_false(cancel_fired(&free_one));
        grant_revoke(t, g);
        grant_revoke(t, other);
        assert_true(grant_captured(g));
        assert_false(grant_captured(other));
        grant_put(g);
        grant_put(other);
        grants_free(t);
        cancel_fini(&caught);
        cancel_fini(&free_one);
}

static void who_has_asked_once_is_free(void **state)
{
        (void)state;
        struct grants *t = grants_new();
        struct cancel caught;
        cancel_init(&caught);
        assert_false(grants_check_reach(t)); /* there is none */
        struct grant *g = issue(t, NAME, &caught);
        struct grant *same = issue(t, NAME, &caught);
        grants_set_reach(t, 0);
        grants_reached(t, "/v2/" NAME "/manifests/" A); /* whoever it was: both */
        assert_false(grants_check_reach(t));
        assert_false(grants_check_reach(t));
        assert_false(cancel_fired(&caught));
        grant_revoke(t, g);
        grant_revoke(t, same);
        assert_false(grant_captured(g));
        grant_put(g);
        grant_put(same);
        grants_free(t);
        cancel_fini(&caught);
}

static void what_happened(void **state)
{
        (void)state;
        struct grants *t = grants_new();
        struct grant *g = issue(t, NAME, NULL);
        cleanup_free char *nothing = grant_sources_text(g);
        assert_string_equal(nothing, "");
        grant_count_bytes(g, 2, 17);
        cleanup_free char *one = grant_sources_text(g);
        assert_string_equal(one, "ghcr.io: 17 bytes");
        grant_count_bytes(g, 0, 1000);
        grant_count_bytes(g, 0, 234);
        cleanup_free char *two = grant_sources_text(g);
        assert_string_equal(two, "http://127.0.0.1:5000: 1234 bytes, ghcr.io: 17 bytes");
        assert_int_equal(grant_bytes_of(g, 0), 1234);
        assert_int_equal(grant_bytes_of(g, 1), 0);
        assert_false(grant_excluded(g, 1));
        grant_exclude(g, 1);
        assert_true(grant_excluded(g, 1));
        assert_false(grant_excluded(g, 0));
        grant_revoke(t, g);
        grant_put(g);
        grants_free(t);
}

static void expect_failures(struct grant *g, const char *wanted)
{
        cleanup_free char *text = grant_failures_text(g);
        assert_string_equal(text, wanted);
}

static void failures(void **state)
{
        (void)state;
        struct grants *t = grants_new();
        struct grant *g = issue(t, NAME, NULL);
        expect_failures(g, "");
        grant_note_failure(g, 2, "500");
        grant_note_failure(g, 0, "too slow");
        grant_note_failure(g, 0, "refused"); /* the first reason is the one */
        expect_failures(g, "http://127.0.0.1:5000: too slow; ghcr.io: 500");
        grant_revoke(t, g);
        struct grant *next = issue(t, NAME, NULL);
        grant_note_failure(next, 2, "503");
        grant_inherit(next, g);
        grant_note_failure(next, 0, "wrong content");
        grant_note_failure(next, 1, "404");
        expect_failures(next, "http://127.0.0.1:5000: too slow; http://127.0.0.1:5001: 404; "
                              "ghcr.io: 503");
        grant_revoke(t, next);
        grant_put(g);
        grant_put(next);
        grants_free(t);
}

static void reasons_are_short(void **state)
{
        (void)state;
#define FROM "unexpected status from GET request to "
        static const struct {
                const char *why, *reason;
        } cases[] = {
                {FROM "http://m:5000/v2/a/b/blobs/" A ": 500 Internal Server Error",
                        FROM "http://m:5000: 500 Internal Server Error"},
                {FROM "http://m:5000/v2/a/b/blobs/" A ": 599", FROM "http://m:5000: 599"},
                {"https://m: http://n/x redirects to https://o/y?z", "https://m: http://n "
                                                                     "redirects to https://o"},
                {"http://", "http://"},
                {"http://m/", "http://m"},
                {"http:///: ", "http://: "},
                {"", ""},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct grants *t = grants_new();
                struct grant *g = issue(t, NAME, NULL);
                grant_note_failure(g, 2, cases[i].why);
                cleanup_free char *wanted = mem_printf("ghcr.io: %s", cases[i].reason);
                expect_failures(g, wanted);
                grant_revoke(t, g);
                grant_put(g);
                grants_free(t);
        }
}

/* However much there is to say of the first ones, for however many blobs. */
static void each_source_is_named(void **state)
{
        (void)state;
        struct grants *t = grants_new();
        struct grant *g = issue(t, NAME, NULL);
        cleanup_buf struct buf endless;
        buf_init(&endless, 4096);
        buf_puts(&endless, "x");
        while (endless.size < 1000)
                buf_puts(&endless, "\u00e9"); /* two bytes: the 160th is the first of one */
        for (int blob = 0; blob < 100; blob++) {
                cleanup_free char *why = mem_printf("%d %s", blob, buf_str(&endless));
                for (size_t source = 0; source < 3; source++)
                        grant_note_failure(g, source, why);
        }
        cleanup_free char *clipped = mem_printf("0 %.*s", 157, buf_str(&endless));
        cleanup_free char *wanted = mem_printf("http://127.0.0.1:5000: %s; "
                                               "http://127.0.0.1:5001: %s; ghcr.io: %s",
                clipped, clipped, clipped);
        expect_failures(g, wanted);
        grant_revoke(t, g);
        grant_put(g);
        grants_free(t);
}

static void sizes(void **state)
{
        (void)state;
        struct grants *t = grants_new();
        struct grant *g = issue(t, NAME, NULL);
        assert_int_equal(grant_size_of(g, A), -1);
        grant_learn(g, A, -5, NULL);
        assert_int_equal(grant_size_of(g, A), -1);
        grant_learn(g, A, 0, NULL);
        grant_learn(g, B, INT64_MAX, NULL);
        grant_learn(g, A, 7, NULL); /* the first manifest that said it was verified, too */
        assert_int_equal(grant_size_of(g, A), 0);
        assert_true(grant_size_of(g, B) == INT64_MAX);
        for (int i = 0; i < 5000; i++) {
                char digest[DIGEST_SHA256_SIZE + 1];
                digest_of(&i, sizeof(i), digest);
                grant_learn(g, digest, i, NULL);
        }
        assert_true(grant_size_of(g, B) == INT64_MAX);
        grant_revoke(t, g);
        grant_put(g);
        grants_free(t);
}

static void expect_ref(struct grant *g, const char *digest, const char *wanted)
{
        cleanup_free char *ref = grant_ref_of(g, digest);
        if (wanted == NULL)
                assert_null(ref);
        else
                assert_string_equal(ref, wanted);
}

static void refs(void **state)
{
        (void)state;
        struct grants *t = grants_new();
        struct grant *g = issue(t, NAME, NULL);
        expect_ref(g, A, NULL);
        grant_learn(g, A, 1, "layer-" A);
        grant_learn(g, B, 1, "layer-x@" B);
        grant_learn(g, A, 1, "layer-" A); /* containerd asks for a manifest twice */
        expect_ref(g, A, "layer-" A);
        expect_ref(g, B, "layer-x@" B);
        grant_learn(g, A, 1, "config-" A); /* which of the two was it? */
        expect_ref(g, A, NULL);
        grant_learn(g, A, 1, "layer-" A);
        expect_ref(g, A, NULL);
        grant_learn(g, B, 1, NULL);
        expect_ref(g, B, NULL);
        grant_revoke(t, g);
        grant_put(g);
        grants_free(t);
}

static void refs_are_bounded(void **state)
{
        (void)state;
        struct grants *t = grants_new();
        struct grant *g = issue(t, NAME, NULL);
        cleanup_free char *longest = mem_zalloc(1024 + 1);
        memset(longest, 'x', 1024);
        cleanup_free char *longer = mem_printf("%sx", longest);
        grant_learn(g, A, 1, longest);
        expect_ref(g, A, longest);
        grant_learn(g, B, 1, longer);
        expect_ref(g, B, NULL);
        char digest[DIGEST_SHA256_SIZE + 1];
        for (int i = 0; i < 5000; i++) {
                digest_of(&i, sizeof(i), digest);
                grant_learn(g, digest, i, "layer");
        }
        expect_ref(g, digest, NULL);
        grant_learn(g, A, 1, "config-" A); /* is seen all the same */
        expect_ref(g, A, NULL);
        grant_revoke(t, g);
        grant_put(g);
        grants_free(t);
}

/* A size that is none hides no ref: containerd may write it nevertheless. */
static void refs_of_odd_sizes(void **state)
{
        (void)state;
        struct grants *t = grants_new();
        struct grant *g = issue(t, NAME, NULL);
        grant_learn(g, A, -1, "config-" A);
        grant_learn(g, A, 7, "layer-" A);
        expect_ref(g, A, NULL);
        assert_int_equal(grant_size_of(g, A), 7);
        grant_revoke(t, g);
        grant_put(g);
        grants_free(t);
}

static void the_next_try_knows_what_this_one_knew(void **state)
{
        (void)state;
        struct grants *t = grants_new();
        struct grant *g = issue(t, NAME, NULL);
        grant_learn(g, A, 5, "layer-" A);
        grant_learn(g, B, 6, "layer-" B);
        grant_learn(g, B, 6, "config-" B);
        grant_revoke(t, g);
        struct grant *next = issue(t, NAME, NULL);
        grant_inherit(next, g);
        grant_put(g);
        expect_ref(next, A, "layer-" A);
        expect_ref(next, B, NULL);
        assert_int_equal(grant_size_of(next, A), 5);
        grant_learn(next, A, 5, "config-" A);
        expect_ref(next, A, NULL);
        grant_revoke(t, next);
        grant_put(next);
        grants_free(t);
}

static void lists(void **state)
{
        (void)state;
        struct grants *t = grants_new();
        struct grant *g = issue(t, NAME, NULL);
        char digest[DIGEST_SHA256_SIZE + 1];
        assert_true(grant_add(g, GRANT_SPOILT, A));
        assert_true(grant_add(g, GRANT_SPOILT, B));
        assert_true(grant_add(g, GRANT_SPOILT, A));
        assert_true(grant_add(g, GRANT_REFUSED, A));
        assert_int_equal(grant_count(g, GRANT_SPOILT), 2);
        assert_int_equal(grant_count(g, GRANT_REFUSED), 1);
        grant_at(g, GRANT_SPOILT, 1, digest);
        assert_string_equal(digest, B);
        grant_revoke(t, g);
        assert_false(grant_add(g, GRANT_SPOILT, A));
        assert_false(grant_add(g, GRANT_REFUSED, A));
        assert_int_equal(grant_count(g, GRANT_REFUSED), 1);
        assert_int_equal(grant_count(g, GRANT_SPOILT), 2); /* for the flight to read */
        grant_put(g);
        grants_free(t);
}

static struct body *made_body(struct body_room *room, const char *digest, size_t size)
{
        struct err e;
        struct body *b = body_new(room, size, 0, &e);
        assert_non_null(b);
        strcpy(b->digest, digest);
        return b;
}

static void kept_manifests(void **state)
{
        (void)state;
        struct body_room *room = body_room_new();
        struct grants *t = grants_new();
        struct grant *g = issue(t, NAME, NULL);
        struct body *a = made_body(room, A, BODY_KEPT_MAX_BYTES);
        struct body *b = made_body(room, B, 1);
        assert_null(grant_kept(g, A));
        grant_keep(g, a);
        grant_keep(g, a); /* once */
        grant_keep(g, b); /* no room for it */
        body_put(a);
        body_put(b);
        cleanup_body struct body *kept = grant_kept(g, A);
        assert_ptr_equal(kept, a);
        assert_null(grant_kept(g, B));
        grant_revoke(t, g);
        grant_put(g);
        assert_int_equal(kept->size, BODY_KEPT_MAX_BYTES); /* a request may still have it */
        body_put(take(&kept));
        body_put(made_body(room, A, BODY_ALL_MAX_BYTES)); /* all is given back */
        grants_free(t);
        body_room_free(room);
}

enum { WORKERS = 4, ROUNDS = 300 };

struct crowd {
        struct grants *table;
        atomic_bool done;
        atomic_int mistakes;
};

static void *live_and_die(void *arg)
{
        struct crowd *c = arg;
        for (int i = 0; i < ROUNDS; i++) {
                struct cancel captured;
                cancel_init(&captured);
                struct grant *g = issue(c->table, NAME, &captured);
                cleanup_free char *header = header_of(GRANT_USER, grant_password(g));
                struct grant *found = grants_find(c->table, header);
                if (found != g)
                        atomic_fetch_add(&c->mistakes, 1);
                grants_reached(c->table, "/v2/" NAME "/blobs/" A);
                grant_count_bytes(found, 0, 1);
                grant_add(found, GRANT_SPOILT, A);
                grant_revoke(c->table, g);
                cancel_fini(&captured);
                if (grant_captured(g) || grants_find(c->table, header) != NULL)
                        atomic_fetch_add(&c->mistakes, 1);
                grant_put(found);
                grant_put(g);
        }
        return NULL;
}

static void *check(void *arg)
{
        struct crowd *c = arg;
        while (!atomic_load(&c->done))
                grants_check_reach(c->table);
        return NULL;
}

static void a_crowd(void **state)
{
        (void)state;
        struct crowd c = {.table = grants_new()};
        pthread_t threads[WORKERS];
        pthread_t checker;
        pthread_create(&checker, NULL, check, &c);
        for (size_t i = 0; i < WORKERS; i++)
                pthread_create(&threads[i], NULL, live_and_die, &c);
        for (size_t i = 0; i < WORKERS; i++)
                pthread_join(threads[i], NULL);
        atomic_store(&c.done, true);
        pthread_join(checker, NULL);
        assert_int_equal(c.mistakes, 0);
        grants_free(c.table);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_password_opens_its_grant_alone),
                cmocka_unit_test(nothing_else_opens_it),
                cmocka_unit_test(what_it_is_for),
                cmocka_unit_test(who_does_not_ask_in_time_is_captured),
                cmocka_unit_test(who_has_asked_once_is_free),
                cmocka_unit_test(what_happened),
                cmocka_unit_test(failures),
                cmocka_unit_test(reasons_are_short),
                cmocka_unit_test(each_source_is_named),
                cmocka_unit_test(sizes),
                cmocka_unit_test(refs),
                cmocka_unit_test(refs_are_bounded),
                cmocka_unit_test(refs_of_odd_sizes),
                cmocka_unit_test(the_next_try_knows_what_this_one_knew),
                cmocka_unit_test(lists),
                cmocka_unit_test(kept_manifests),
                cmocka_unit_test(a_crowd),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

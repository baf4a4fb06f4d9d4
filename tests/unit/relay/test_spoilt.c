/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "relay/spoilt.h"

#define A "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static const int64_t never_ms = INT64_C(1000000000000); /* decades of the monotonic clock */

static void a_locked_digest_is_not_served(void **state)
{
        (void)state;
        struct spoilt *t = spoilt_new();
        assert_true(spoilt_serve_begin(t, A));
        assert_true(spoilt_serve_begin(t, A));
        assert_true(spoilt_lock(t, A));
        assert_false(spoilt_lock(t, A)); /* has an owner */
        assert_false(spoilt_serve_begin(t, A));
        assert_true(spoilt_serve_begin(t, B)); /* is another */
        spoilt_serve_end(t, B);
        spoilt_serve_end(t, A);
        spoilt_serve_end(t, A);
        assert_false(spoilt_serve_begin(t, A));
        spoilt_unlock(t, A);
        assert_true(spoilt_serve_begin(t, A));
        spoilt_serve_end(t, A);
        spoilt_free(t); /* asserts that nothing is left of it */
        spoilt_free(NULL);
}

/* Another flight is writing an ingest of its own. */
static void what_is_served_is_not_claimed(void **state)
{
        (void)state;
        struct spoilt *t = spoilt_new();
        assert_true(spoilt_serve_begin(t, A));
        assert_false(spoilt_claim(t, A));
        spoilt_serve_end(t, A);
        assert_true(spoilt_claim(t, A));
        assert_false(spoilt_claim(t, A));
        assert_false(spoilt_lock(t, A));
        assert_false(spoilt_serve_begin(t, A));
        assert_true(spoilt_claim(t, B));
        spoilt_unlock(t, B);
        spoilt_unlock(t, A);
        spoilt_free(t);
}

static void nobody_waits_for_what_is_clean(void **state)
{
        (void)state;
        struct spoilt *t = spoilt_new();
        struct cancel fired;
        cancel_init(&fired);
        cancel_fire(&fired);
        assert_true(spoilt_wait(t, A, never_ms, NULL));
        assert_true(spoilt_wait(t, A, never_ms, &fired));
        assert_true(spoilt_serve_begin(t, A));
        assert_true(spoilt_wait(t, A, never_ms, NULL)); /* being served is not being spoilt */
        spoilt_serve_end(t, A);
        assert_true(spoilt_lock(t, A));
        assert_false(spoilt_wait(t, A, never_ms, &fired));
        spoilt_unlock(t, A);
        spoilt_free(t);
        cancel_fini(&fired);
}

typedef bool (*wait_fn)(
        struct spoilt *t, const char *digest, int64_t until_ms, struct cancel *cancel);

struct waiter {
        struct spoilt *table;
        wait_fn wait;
        struct cancel cancel;
        pthread_t thread;
        atomic_bool begun;
        bool clean;
};

static void *wait_for_it(void *arg)
{
        struct waiter *w = arg;
        atomic_store(&w->begun, true);
        w->clean = w->wait(w->table, A, never_ms, &w->cancel);
        return NULL;
}

static void begin(struct waiter *w, struct spoilt *t, wait_fn wait)
{
        *w = (struct waiter){.table = t, .wait = wait};
        cancel_init(&w->cancel);
        pthread_create(&w->thread, NULL, wait_for_it, w);
        while (!atomic_load(&w->begun))
                sched_yield();
}

static void expect(struct waiter *w, bool clean)
{
        pthread_join(w->thread, NULL);
        assert_int_equal(w->clean, clean);
        cancel_fini(&w->cancel);
}

/* Whether they are asleep already or only about to be makes no difference. */
static void all_who_wait_are_woken(void **state)
{
        (void)state;
        enum { WAITERS = 4 };
        struct spoilt *t = spoilt_new();
        struct waiter waiters[WAITERS];
        assert_true(spoilt_lock(t, A));
        for (size_t i = 0; i < WAITERS; i++)
                begin(&waiters[i], t, spoilt_wait);
        spoilt_unlock(t, A);
        for (size_t i = 0; i < WAITERS; i++)
                expect(&waiters[i], true);
        spoilt_free(t);
}

static void who_leaves_does_not_wait(void **state)
{
        (void)state;
        struct spoilt *t = spoilt_new();
        struct waiter leaves;
        struct waiter stays;
        assert_true(spoilt_claim(t, A));
        begin(&leaves, t, spoilt_wait);
        begin(&stays, t, spoilt_wait);
        cancel_fire(&leaves.cancel);
        expect(&leaves, false);
        spoilt_unlock(t, A);
        expect(&stays, true);
        spoilt_free(t);
}

/* An abort while another is served would end that one. */
static void who_aborts_waits_for_those_who_are_served(void **state)
{
        (void)state;
        struct spoilt *t = spoilt_new();
        struct waiter owner;
        assert_true(spoilt_serve_begin(t, A)); /* our own, and another's */
        assert_true(spoilt_serve_begin(t, A));
        assert_true(spoilt_serve_begin(t, B));
        assert_true(spoilt_lock(t, A));
        begin(&owner, t, spoilt_wait_unserved);
        spoilt_serve_end(t, A);
        struct cancel now;
        cancel_init(&now);
        cancel_fire(&now);
        assert_false(spoilt_wait_unserved(t, A, never_ms, &now));
        spoilt_serve_end(t, A);
        expect(&owner, true);
        assert_true(spoilt_wait_unserved(t, A, never_ms, &now));
        assert_false(spoilt_serve_begin(t, A)); /* is locked until it is clean */
        spoilt_unlock(t, A);
        spoilt_serve_end(t, B);
        spoilt_free(t);
        cancel_fini(&now);
}

static void unless_it_leaves(void **state)
{
        (void)state;
        struct spoilt *t = spoilt_new();
        struct waiter owner;
        assert_true(spoilt_serve_begin(t, A));
        assert_true(spoilt_lock(t, A));
        begin(&owner, t, spoilt_wait_unserved);
        cancel_fire(&owner.cancel);
        expect(&owner, false);
        spoilt_unlock(t, A);
        spoilt_serve_end(t, A);
        spoilt_free(t);
}

/* Who is served may make it last: nobody is waited for without end. */
static void no_wait_is_endless(void **state)
{
        (void)state;
        enum { A_MOMENT_MS = 20 };
        struct spoilt *t = spoilt_new();
        int64_t moments[] = {0, clock_mono_ms(), clock_mono_ms() + A_MOMENT_MS};
        assert_true(spoilt_serve_begin(t, A));
        assert_true(spoilt_lock(t, A));
        for (size_t i = 0; i < sizeof(moments) / sizeof(moments[0]); i++) {
                assert_false(spoilt_wait(t, A, moments[i], NULL));
                assert_false(spoilt_wait_unserved(t, A, moments[i], NULL));
                assert_true(clock_mono_ms() >= moments[i]);
        }
        assert_false(spoilt_claim(t, A)); /* the lock is its owner's, until he gives it up */
        struct waiter other;
        begin(&other, t, spoilt_wait);
        spoilt_unlock(t, A);
        expect(&other, true);
        assert_true(spoilt_wait(t, A, 0, NULL)); /* what needs no wait needs no time */
        assert_false(spoilt_wait_unserved(t, A, 0, NULL));
        spoilt_serve_end(t, A);
        assert_true(spoilt_wait_unserved(t, A, 0, NULL));
        spoilt_free(t);
}

enum { WORKERS = 6, ROUNDS = 3000 };

struct crowd {
        struct spoilt *table;
        atomic_int owners;
        atomic_int served;
        atomic_int collisions;
        atomic_int cleaned;
};

/* Serves; now and then spoils, and cleans: never two at once. */
static void *serve_and_spoil(void *arg)
{
        struct crowd *c = arg;
        for (int i = 0; i < ROUNDS; i++) {
                if (!spoilt_serve_begin(c->table, A)) {
                        spoilt_wait(c->table, A, never_ms, NULL);
                        continue;
                }
                atomic_fetch_add(&c->served, 1);
                bool mine = i % 3 == 0 && spoilt_lock(c->table, A);
                atomic_fetch_sub(&c->served, 1);
                spoilt_serve_end(c->table, A);
                if (!mine)
                        continue;
                spoilt_wait_unserved(c->table, A, never_ms, NULL);
                if (atomic_fetch_add(&c->owners, 1) != 0 || atomic_load(&c->served) != 0)
                        atomic_fetch_add(&c->collisions, 1);
                atomic_fetch_add(&c->cleaned, 1);
                atomic_fetch_sub(&c->owners, 1);
                spoilt_unlock(c->table, A);
        }
        return NULL;
}

static void a_crowd(void **state)
{
        (void)state;
        struct crowd c = {.table = spoilt_new()};
        pthread_t threads[WORKERS];
        for (size_t i = 0; i < WORKERS; i++)
                pthread_create(&threads[i], NULL, serve_and_spoil, &c);
        for (size_t i = 0; i < WORKERS; i++)
                pthread_join(threads[i], NULL);
        assert_true(c.cleaned > 0);
        assert_int_equal(c.collisions, 0);
        spoilt_free(c.table);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_locked_digest_is_not_served),
                cmocka_unit_test(what_is_served_is_not_claimed),
                cmocka_unit_test(nobody_waits_for_what_is_clean),
                cmocka_unit_test(all_who_wait_are_woken),
                cmocka_unit_test(who_leaves_does_not_wait),
                cmocka_unit_test(who_aborts_waits_for_those_who_are_served),
                cmocka_unit_test(unless_it_leaves),
                cmocka_unit_test(no_wait_is_endless),
                cmocka_unit_test(a_crowd),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

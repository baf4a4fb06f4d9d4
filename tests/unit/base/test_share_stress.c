/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/share.h"

enum { STRESS_THREADS = 8, STRESS_CALLS = 500, STRESS_KEYS = 3 };

/* Threads call, and fire each other's tokens, at random; the rules are checked at every step. */
struct stress {
        struct share_group *group;
        atomic_int live_results;
        atomic_int clock;
        atomic_int running[STRESS_KEYS];
        atomic_int broken; /* rules seen broken */
        atomic_int done, cancelled, jobs;
        pthread_mutex_t tokens_lock;
        struct cancel *tokens[STRESS_THREADS];
};

struct stress_call {
        struct stress *stress;
        int key;
        int arrived;
};

struct stress_result {
        struct share_result base; /* first, as share.h wants it */
        struct stress *stress;
        int key;
        int began; /* by the stress' clock */
};

static void stress_result_free(struct share_result *base)
{
        struct stress_result *r = (struct stress_result *)base;
        atomic_fetch_sub(&r->stress->live_results, 1);
        free(r);
}

static struct share_result *stress_work(void *arg, struct cancel *cancel)
{
        struct stress_call *c = arg;
        struct stress *s = c->stress;
        struct stress_result *r = mem_zalloc(sizeof(*r));
        share_result_init(&r->base, stress_result_free);
        r->stress = s;
        r->key = c->key;
        r->began = atomic_fetch_add(&s->clock, 1);
        atomic_fetch_add(&s->live_results, 1);
        if (atomic_fetch_add(&s->running[c->key], 1) != 0)
                atomic_fetch_add(&s->broken, 1);
        for (int i = 0; i < 20 && !cancel_fired(cancel); i++)
                sched_yield();
        atomic_fetch_sub(&s->running[c->key], 1);
        atomic_fetch_add(&s->jobs, 1);
        return &r->base;
}

static void fire_somebody(struct stress *s, unsigned *seed)
{
        pthread_mutex_lock(&s->tokens_lock);
        struct cancel *victim = s->tokens[rand_r(seed) % STRESS_THREADS];
        if (victim != NULL)
                cancel_fire(victim);
        pthread_mutex_unlock(&s->tokens_lock);
}

static void stress_token(struct stress *s, int slot, struct cancel *token)
{
        pthread_mutex_lock(&s->tokens_lock);
        s->tokens[slot] = token;
        pthread_mutex_unlock(&s->tokens_lock);
}

static void stress_one(struct stress *s, int slot, unsigned *seed)
{
        static const char *const keys[STRESS_KEYS] = {"a", "b", "c"};
        struct cancel token;
        cancel_init(&token);
        stress_token(s, slot, &token);
        enum share_join join = rand_r(seed) % 2 ? SHARE_JOIN_NEXT : SHARE_JOIN_RUNNING;
        struct stress_call c = {.stress = s, .key = rand_r(seed) % STRESS_KEYS};
        c.arrived = atomic_fetch_add(&s->clock, 1);
        if (rand_r(seed) % 4 == 0)
                fire_somebody(s, seed);
        struct share_result *out = NULL;
        struct err e = {0};
        if (share_run(s->group, keys[c.key], join, stress_work, &c, &token, &out, &e) == 0) {
                struct stress_result *r = (struct stress_result *)out;
                bool fresh = join == SHARE_JOIN_RUNNING || r->began > c.arrived;
                if (!fresh || r->key != c.key || out->members > STRESS_THREADS)
                        atomic_fetch_add(&s->broken, 1);
                /* Only who has been cancelled may hold a result that served nobody. */
                if (out->members == 0 && !cancel_fired(&token))
                        atomic_fetch_add(&s->broken, 1);
                atomic_fetch_add(&s->done, 1);
        } else {
                if (e.code != ERR_CANCELLED || !cancel_fired(&token) || out != NULL)
                        atomic_fetch_add(&s->broken, 1);
                atomic_fetch_add(&s->cancelled, 1);
        }
        share_result_put(out);
        stress_token(s, slot, NULL);
        cancel_fini(&token);
}

struct stress_thread {
        struct stress *stress;
        int slot;
        pthread_t thread;
};

static void *stress_main(void *arg)
{
        struct stress_thread *t = arg;
        unsigned seed = (unsigned)t->slot + 1;
        for (int i = 0; i < STRESS_CALLS; i++)
                stress_one(t->stress, t->slot, &seed);
        return NULL;
}

static void thousands_of_calls_keep_the_rules(void **state)
{
        (void)state;
        struct stress s = {.group = share_group_new()};
        pthread_mutex_init(&s.tokens_lock, NULL);
        struct stress_thread threads[STRESS_THREADS];
        for (int i = 0; i < STRESS_THREADS; i++) {
                threads[i] = (struct stress_thread){.stress = &s, .slot = i};
                pthread_create(&threads[i].thread, NULL, stress_main, &threads[i]);
        }
        for (int i = 0; i < STRESS_THREADS; i++)
                pthread_join(threads[i].thread, NULL);
        print_message("%d calls: %d done by %d jobs, %d cancelled\n", STRESS_THREADS * STRESS_CALLS,
                s.done, s.jobs, s.cancelled);
        assert_int_equal(s.broken, 0);
        assert_int_equal(s.done + s.cancelled, STRESS_THREADS * STRESS_CALLS);
        assert_true(s.jobs < s.done);
        assert_true(s.cancelled > 0);
        assert_int_equal(s.live_results, 0);
        share_group_free(s.group);
        pthread_mutex_destroy(&s.tokens_lock);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(thousands_of_calls_keep_the_rules),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/share.h"

enum { PATIENCE_MS = 30000, CALLS_MAX = 8 };

/* One job's work as the tests script it: it says that it began, and ends when the gate opens or
 * its token fires. */
struct stage {
        struct share_group *group;
        pthread_mutex_t lock;
        pthread_cond_t changed;
        bool open;
        int begun;
        int live_results;
        int stopped_by_token;
};

struct result {
        struct share_result base;
        struct stage *stage;
        int number; /* of the job, from 1 */
        bool stopped;
};

struct call {
        struct stage *stage;
        const char *key;
        enum share_join join;
        struct cancel token;
        pthread_t thread;
        struct share_result *result;
        struct err err;
        int status;
};

static void result_free(struct share_result *base)
{
        struct result *r = (struct result *)base;
        pthread_mutex_lock(&r->stage->lock);
        r->stage->live_results--;
        pthread_mutex_unlock(&r->stage->lock);
        free(r);
}

static void stage_wake(void *arg)
{
        struct stage *s = arg;
        pthread_mutex_lock(&s->lock);
        pthread_cond_broadcast(&s->changed);
        pthread_mutex_unlock(&s->lock);
}

static struct share_result *work_until_open(void *arg, struct cancel *cancel)
{
        struct stage *s = ((struct call *)arg)->stage;
        struct result *r = mem_zalloc(sizeof(*r));
        share_result_init(&r->base, result_free);
        struct cancel_hook hook;
        cancel_hook(cancel, &hook, stage_wake, s);
        pthread_mutex_lock(&s->lock);
        r->stage = s;
        r->number = ++s->begun;
        s->live_results++;
        pthread_cond_broadcast(&s->changed);
        while (!s->open && !cancel_fired(cancel))
                pthread_cond_wait(&s->changed, &s->lock);
        r->stopped = !s->open;
        s->stopped_by_token += r->stopped;
        pthread_mutex_unlock(&s->lock);
        cancel_unhook(cancel, &hook);
        return &r->base;
}

static int stage_setup(void **state)
{
        struct stage *s = mem_zalloc(sizeof(*s));
        s->group = share_group_new();
        pthread_mutex_init(&s->lock, NULL);
        pthread_cond_init(&s->changed, NULL);
        *state = s;
        return 0;
}

/* Every result must have been given back: a leak fails the test that made it. */
static int stage_teardown(void **state)
{
        struct stage *s = *state;
        int live = s->live_results;
        share_group_free(s->group);
        pthread_cond_destroy(&s->changed);
        pthread_mutex_destroy(&s->lock);
        free(s);
        return live == 0 ? 0 : -1;
}

static void stage_open(struct stage *s)
{
        pthread_mutex_lock(&s->lock);
        s->open = true;
        pthread_cond_broadcast(&s->changed);
        pthread_mutex_unlock(&s->lock);
}

static void wait_begun(struct stage *s, int jobs)
{
        pthread_mutex_lock(&s->lock);
        while (s->begun < jobs)
                pthread_cond_wait(&s->changed, &s->lock);
        pthread_mutex_unlock(&s->lock);
}

static void wait_count(struct stage *s, const char *key, unsigned running, unsigned waiting)
{
        int64_t end = clock_mono_ms() + PATIENCE_MS;
        for (;;) {
                struct share_count c = share_count_of(s->group, key);
                if (c.running == running && c.waiting == waiting)
                        return;
                if (clock_mono_ms() > end)
                        fail_msg("%s: %u run, %u wait; not %u, %u", key, c.running, c.waiting,
                                running, waiting);
                sched_yield();
        }
}

static void *call_main(void *arg)
{
        struct call *c = arg;
        c->status = share_run(c->stage->group, c->key, c->join, work_until_open, c, &c->token,
                &c->result, &c->err);
        return NULL;
}

static void call_init(struct call *c, struct stage *s, enum share_join join)
{
        *c = (struct call){.stage = s, .key = "key", .join = join};
        cancel_init(&c->token);
}

static void call_start(struct call *c, struct stage *s, enum share_join join)
{
        call_init(c, s, join);
        assert_int_equal(pthread_create(&c->thread, NULL, call_main, c), 0);
}

static void calls_start(struct call *c, int count, struct stage *s, enum share_join join)
{
        for (int i = 0; i < count; i++)
                call_start(&c[i], s, join);
}

static void call_end(struct call *c)
{
        share_result_put(c->result);
        cancel_fini(&c->token);
}

static void expect_result(struct call *c, int number, unsigned members, bool stopped)
{
        pthread_join(c->thread, NULL);
        assert_int_equal(c->status, 0);
        struct result *r = (struct result *)c->result;
        assert_int_equal(r->number, number);
        assert_int_equal(r->base.members, members);
        assert_int_equal(r->stopped, stopped);
        call_end(c);
}

static void expect_cancelled(struct call *c)
{
        pthread_join(c->thread, NULL);
        assert_int_equal(c->status, -1);
        assert_int_equal(c->err.code, ERR_CANCELLED);
        assert_string_equal(c->err.msg, "cancelled by the caller");
        assert_null(c->result);
        call_end(c);
}

static void alone_does_the_work(void **state)
{
        struct stage *s = *state;
        struct call c[2];
        stage_open(s);
        call_start(&c[0], s, SHARE_JOIN_RUNNING);
        expect_result(&c[0], 1, 1, false);
        call_start(&c[1], s, SHARE_JOIN_NEXT);
        expect_result(&c[1], 2, 1, false);
}

static void null_token_never_leaves(void **state)
{
        struct stage *s = *state;
        struct call c = {.stage = s};
        stage_open(s);
        struct err e;
        struct share_result *out = NULL;
        assert_int_equal(
                share_run(s->group, "key", SHARE_JOIN_NEXT, work_until_open, &c, NULL, &out, &e),
                0);
        assert_int_equal(out->members, 1);
        share_result_put(out);
}

static void running_job_is_joined(void **state)
{
        struct stage *s = *state;
        struct call c[CALLS_MAX];
        calls_start(c, CALLS_MAX, s, SHARE_JOIN_RUNNING);
        wait_count(s, "key", CALLS_MAX, 0);
        stage_open(s);
        for (int i = 0; i < CALLS_MAX; i++)
                expect_result(&c[i], 1, CALLS_MAX, false);
        assert_int_equal(s->begun, 1);
}

static void next_waits_for_running_and_shares(void **state)
{
        struct stage *s = *state;
        struct call first, next[CALLS_MAX];
        call_start(&first, s, SHARE_JOIN_NEXT);
        wait_begun(s, 1);
        calls_start(next, CALLS_MAX, s, SHARE_JOIN_NEXT);
        wait_count(s, "key", 1, CALLS_MAX);
        assert_int_equal(s->begun, 1);
        stage_open(s);
        expect_result(&first, 1, 1, false);
        for (int i = 0; i < CALLS_MAX; i++)
                expect_result(&next[i], 2, CALLS_MAX, false);
        assert_int_equal(s->begun, 2);
}

static void both_joins_meet_under_one_key(void **state)
{
        struct stage *s = *state;
        struct call first, next, running;
        call_start(&first, s, SHARE_JOIN_RUNNING);
        wait_begun(s, 1);
        call_start(&next, s, SHARE_JOIN_NEXT);
        wait_count(s, "key", 1, 1);
        call_start(&running, s, SHARE_JOIN_RUNNING);
        wait_count(s, "key", 2, 1);
        stage_open(s);
        expect_result(&first, 1, 2, false);
        expect_result(&running, 1, 2, false);
        expect_result(&next, 2, 1, false);
}

static void keys_do_not_wait_for_each_other(void **state)
{
        struct stage *s = *state;
        struct call first, other;
        call_start(&first, s, SHARE_JOIN_NEXT);
        wait_begun(s, 1);
        call_init(&other, s, SHARE_JOIN_NEXT);
        other.key = "other";
        assert_int_equal(pthread_create(&other.thread, NULL, call_main, &other), 0);
        wait_begun(s, 2);
        stage_open(s);
        expect_result(&first, 1, 1, false);
        expect_result(&other, 2, 1, false);
}

static void cancelled_on_arrival_does_nothing(void **state)
{
        struct stage *s = *state;
        struct call c;
        call_init(&c, s, SHARE_JOIN_RUNNING);
        cancel_fire(&c.token);
        assert_int_equal(pthread_create(&c.thread, NULL, call_main, &c), 0);
        expect_cancelled(&c);
        assert_int_equal(s->begun, 0);
}

/* The waiter returns while the work still runs, and the work is not disturbed. */
static void cancelled_waiter_leaves_at_once(void **state)
{
        struct stage *s = *state;
        struct call leader, waiter, other;
        call_start(&leader, s, SHARE_JOIN_RUNNING);
        wait_begun(s, 1);
        call_start(&waiter, s, SHARE_JOIN_RUNNING);
        call_start(&other, s, SHARE_JOIN_RUNNING);
        wait_count(s, "key", 3, 0);
        cancel_fire(&waiter.token);
        expect_cancelled(&waiter);
        wait_count(s, "key", 2, 0);
        stage_open(s);
        expect_result(&leader, 1, 2, false);
        expect_result(&other, 1, 2, false);
}

static void cancelled_leader_stays_for_the_others(void **state)
{
        struct stage *s = *state;
        struct call leader, other;
        call_start(&leader, s, SHARE_JOIN_RUNNING);
        wait_begun(s, 1);
        call_start(&other, s, SHARE_JOIN_RUNNING);
        wait_count(s, "key", 2, 0);
        cancel_fire(&leader.token);
        wait_count(s, "key", 1, 0);
        stage_open(s);
        expect_result(&other, 1, 1, false);
        expect_result(&leader, 1, 1, false);
}

static void lone_leader_stops_the_work(void **state)
{
        struct stage *s = *state;
        struct call leader;
        call_start(&leader, s, SHARE_JOIN_NEXT);
        wait_begun(s, 1);
        cancel_fire(&leader.token);
        expect_result(&leader, 1, 0, true);
        assert_int_equal(s->stopped_by_token, 1);
}

static void last_to_leave_stops_the_work(void **state)
{
        struct stage *s = *state;
        struct call leader, others[2];
        call_start(&leader, s, SHARE_JOIN_RUNNING);
        wait_begun(s, 1);
        calls_start(others, 2, s, SHARE_JOIN_RUNNING);
        wait_count(s, "key", 3, 0);
        cancel_fire(&others[0].token);
        cancel_fire(&leader.token);
        expect_cancelled(&others[0]);
        wait_count(s, "key", 1, 0);
        assert_int_equal(s->stopped_by_token, 0);
        cancel_fire(&others[1].token);
        expect_cancelled(&others[1]);
        expect_result(&leader, 1, 0, true);
}

/* The work of a job that nobody wanted any more ends late; who comes meanwhile gets a new job, and
 * gets it after that end. */
static struct share_result *work_deaf_to_its_token(void *arg, struct cancel *cancel)
{
        (void)cancel;
        return work_until_open(arg, NULL);
}

static void *deaf_main(void *arg)
{
        struct call *c = arg;
        c->status = share_run(c->stage->group, c->key, c->join, work_deaf_to_its_token, c,
                &c->token, &c->result, &c->err);
        return NULL;
}

static void stopped_job_is_not_joined(void **state)
{
        struct stage *s = *state;
        struct call leader, late;
        call_init(&leader, s, SHARE_JOIN_RUNNING);
        assert_int_equal(pthread_create(&leader.thread, NULL, deaf_main, &leader), 0);
        wait_begun(s, 1);
        cancel_fire(&leader.token);
        call_start(&late, s, SHARE_JOIN_RUNNING);
        wait_count(s, "key", 0, 1);
        assert_int_equal(s->begun, 1);
        stage_open(s);
        expect_result(&leader, 1, 0, false);
        expect_result(&late, 2, 1, false);
}

static void waiting_job_that_all_left_never_runs(void **state)
{
        struct stage *s = *state;
        struct call leader, next[3];
        call_start(&leader, s, SHARE_JOIN_NEXT);
        wait_begun(s, 1);
        calls_start(next, 3, s, SHARE_JOIN_NEXT);
        wait_count(s, "key", 1, 3);
        for (int i = 0; i < 3; i++)
                cancel_fire(&next[i].token);
        for (int i = 0; i < 3; i++)
                expect_cancelled(&next[i]);
        wait_count(s, "key", 1, 0);
        stage_open(s);
        expect_result(&leader, 1, 1, false);
        assert_int_equal(s->begun, 1);
}

/* Whoever created the waiting job is not needed for it to run. */
static void waiting_job_outlives_its_first_member(void **state)
{
        struct stage *s = *state;
        struct call leader, first, second;
        call_start(&leader, s, SHARE_JOIN_NEXT);
        wait_begun(s, 1);
        call_start(&first, s, SHARE_JOIN_NEXT);
        wait_count(s, "key", 1, 1);
        call_start(&second, s, SHARE_JOIN_NEXT);
        wait_count(s, "key", 1, 2);
        cancel_fire(&first.token);
        expect_cancelled(&first);
        stage_open(s);
        expect_result(&leader, 1, 1, false);
        expect_result(&second, 2, 1, false);
}

/* A pull shares a HEAD: the outer job's token is the inner call's, in the same group even. */
static struct share_result *work_within_work(void *arg, struct cancel *cancel)
{
        struct call *outer = arg;
        struct share_result *inner = NULL;
        struct err e;
        int status = share_run(outer->stage->group, "inner", SHARE_JOIN_NEXT, work_until_open,
                outer, cancel, &inner, &e);
        return status == 0 ? inner : work_until_open(outer, cancel);
}

static void *outer_main(void *arg)
{
        struct call *c = arg;
        c->status = share_run(c->stage->group, c->key, c->join, work_within_work, c, &c->token,
                &c->result, &c->err);
        return NULL;
}

static void cancel_reaches_nested_work(void **state)
{
        struct stage *s = *state;
        struct call outer;
        call_init(&outer, s, SHARE_JOIN_RUNNING);
        assert_int_equal(pthread_create(&outer.thread, NULL, outer_main, &outer), 0);
        wait_begun(s, 1);
        wait_count(s, "inner", 1, 0);
        cancel_fire(&outer.token);
        expect_result(&outer, 1, 0, true);
        assert_int_equal(s->stopped_by_token, 1);
}

#define STAGED(f) cmocka_unit_test_setup_teardown(f, stage_setup, stage_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                STAGED(alone_does_the_work),
                STAGED(null_token_never_leaves),
                STAGED(running_job_is_joined),
                STAGED(next_waits_for_running_and_shares),
                STAGED(both_joins_meet_under_one_key),
                STAGED(keys_do_not_wait_for_each_other),
                STAGED(cancelled_on_arrival_does_nothing),
                STAGED(cancelled_waiter_leaves_at_once),
                STAGED(cancelled_leader_stays_for_the_others),
                STAGED(lone_leader_stops_the_work),
                STAGED(last_to_leave_stops_the_work),
                STAGED(stopped_job_is_not_joined),
                STAGED(waiting_job_that_all_left_never_runs),
                STAGED(waiting_job_outlives_its_first_member),
                STAGED(cancel_reaches_nested_work),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

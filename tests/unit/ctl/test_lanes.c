/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>
#include <pthread.h>
#include <stdbool.h>

#include "base/mem.h"
#include "ctl/lanes.h"

enum { COUNT = 60, LANES = 3 };

struct seen {
        pthread_mutex_t lock;
        pthread_cond_t changed;
        const size_t *lane_of;
        size_t done[COUNT];
        size_t order[COUNT], begun;
        size_t busy[LANES], busy_all;
        size_t most[LANES], most_all;
        size_t meet; /* so many are at work before anybody ends; 0: nobody waits */
};

static size_t greater(size_t a, size_t b)
{
        return a > b ? a : b;
}

static void work(void *arg, size_t i)
{
        struct seen *s = arg;
        size_t lane = s->lane_of[i];
        pthread_mutex_lock(&s->lock);
        s->order[s->begun++] = i;
        s->done[i]++;
        s->most[lane] = greater(s->most[lane], ++s->busy[lane]);
        s->most_all = greater(s->most_all, ++s->busy_all);
        pthread_cond_broadcast(&s->changed);
        while (s->most_all < s->meet)
                pthread_cond_wait(&s->changed, &s->lock);
        s->busy[lane]--;
        s->busy_all--;
        pthread_mutex_unlock(&s->lock);
}

static void run(struct seen *s, size_t count, size_t meet, struct lanes_limits limits)
{
        static size_t lane_of[COUNT];
        *s = (struct seen){.lane_of = lane_of, .meet = meet};
        pthread_mutex_init(&s->lock, NULL);
        pthread_cond_init(&s->changed, NULL);
        for (size_t i = 0; i < count; i++)
                lane_of[i] = i < count / 2 ? 0 : 1 + i % (LANES - 1);
        lanes_run(lane_of, count, LANES, limits, work, s);
        for (size_t i = 0; i < count; i++)
                assert_int_equal(s->done[i], 1);
        assert_int_equal(s->begun, count);
        pthread_cond_destroy(&s->changed);
        pthread_mutex_destroy(&s->lock);
}

/* All that may be at work are, at some moment: two of the first lane, and what comes after it. */
static void as_many_as_may(void **state)
{
        (void)state;
        struct seen s;
        run(&s, COUNT, 4, (struct lanes_limits){.overall = 4, .per_lane = 2});
        assert_int_equal(s.most_all, 4);
        for (size_t i = 0; i < LANES; i++)
                assert_in_range(s.most[i], 1, 2);
}

static void one_at_a_time_in_their_order(void **state)
{
        (void)state;
        struct seen s;
        run(&s, COUNT, 0, (struct lanes_limits){.overall = 1, .per_lane = 5});
        assert_int_equal(s.most_all, 1);
        for (size_t i = 0; i < COUNT; i++)
                assert_int_equal(s.order[i], i);
}

/* More threads than lanes have room for: they wait, and find work when somebody leaves. */
static void more_threads_than_room(void **state)
{
        (void)state;
        struct seen s;
        run(&s, COUNT, LANES, (struct lanes_limits){.overall = 8, .per_lane = 1});
        assert_int_equal(s.most_all, LANES);
}

static void nothing_to_do(void **state)
{
        (void)state;
        struct seen s;
        run(&s, 0, 0, (struct lanes_limits){.overall = 4, .per_lane = 2});
        assert_int_equal(s.most_all, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(as_many_as_may),
                cmocka_unit_test(one_at_a_time_in_their_order),
                cmocka_unit_test(more_threads_than_room),
                cmocka_unit_test(nothing_to_do),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* order.c: what may be written to a tag, and that turns come one after another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "shim/order.h"

static struct registry_answer answer(const char *digest, int64_t sent_ns, int64_t answered_ns)
{
        struct registry_answer a = {.sent_ns = sent_ns, .answered_ns = answered_ns};
        snprintf(a.digest, sizeof(a.digest), "%s", digest);
        return a;
}

static void test_verdicts(void **state)
{
        (void)state;
        static const struct {
                const char *story;
                const char *last; /* NULL: nobody has written yet */
                int64_t last_sent, last_answered;
                const char *own;
                int64_t own_sent, own_answered;
                const char *record; /* NULL: no record */
                enum order_verdict verdict;
        } cases[] = {
                {"first pull of all", NULL, 0, 0, "A", 1, 2, NULL, ORDER_WRITE},
                {"first pull since we run", NULL, 0, 0, "A", 1, 2, "B", ORDER_WRITE},
                {"unchanged", NULL, 0, 0, "A", 1, 2, "A", ORDER_NOTHING_TO_WRITE},
                {"asked after the last answer", "A", 1, 2, "B", 3, 4, "A", ORDER_WRITE},
                {"asked the moment it came", "A", 1, 3, "B", 3, 4, "A", ORDER_ASK_AGAIN},
                {"overlapping", "A", 1, 4, "B", 2, 3, "A", ORDER_ASK_AGAIN},
                {"the last writer is later", "B", 5, 6, "A", 1, 2, "B", ORDER_ASK_AGAIN},
                {"later but the same", "A", 5, 6, "A", 1, 2, "A", ORDER_NOTHING_TO_WRITE},
                {"moved away by a stranger", "A", 5, 6, "A", 1, 2, "X", ORDER_WRITE},
                {"removed by a stranger", "A", 5, 6, "A", 1, 2, NULL, ORDER_WRITE},
                {"a stranger wrote ours", "B", 5, 6, "A", 1, 2, "A", ORDER_NOTHING_TO_WRITE},
        };
        struct order *o = order_new();
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct order_tag *t = order_enter(o, "ghcr.io/a/b:1");
                if (cases[i].last != NULL) {
                        struct registry_answer last =
                                answer(cases[i].last, cases[i].last_sent, cases[i].last_answered);
                        order_confirm(t, &last);
                }
                struct registry_answer own =
                        answer(cases[i].own, cases[i].own_sent, cases[i].own_answered);
                if (order_judge(t, &own, cases[i].record) != cases[i].verdict)
                        fail_msg("wrong verdict: %s", cases[i].story);
                order_leave(o, t);
        }
        order_free(o);
}

/* An unchanged answer counts as the last word too: an older one must not be written after it. */
static void test_confirming_the_same_extends_the_interval(void **state)
{
        (void)state;
        struct order *o = order_new();
        struct order_tag *t = order_enter(o, "ghcr.io/a/b:1");
        struct registry_answer first = answer("A", 1, 2);
        struct registry_answer slow = answer("B", 3, 4);
        struct registry_answer again = answer("A", 5, 6);
        order_confirm(t, &first);
        order_confirm(t, &again);
        assert_int_equal(order_judge(t, &slow, "A"), ORDER_ASK_AGAIN);
        order_confirm(t, &first); /* a late confirmation of an early answer takes nothing back */
        assert_int_equal(order_judge(t, &slow, "A"), ORDER_ASK_AGAIN);
        order_leave(o, t);
        order_free(o);
}

/* Nothing is remembered once nobody pulls the tag: whoever comes then asks later than all before.
 */
static void test_memory_ends_with_the_last_pull(void **state)
{
        (void)state;
        struct order *o = order_new();
        struct order_tag *t = order_enter(o, "ghcr.io/a/b:1");
        struct order_tag *same = order_enter(o, "ghcr.io/a/b:1");
        assert_ptr_equal(t, same);
        struct order_tag *other = order_enter(o, "ghcr.io/a/b:2");
        assert_ptr_not_equal(t, other);
        order_leave(o, other);
        struct registry_answer last = answer("A", 1, 9);
        struct registry_answer own = answer("B", 2, 3);
        order_confirm(t, &last);
        order_leave(o, t);
        assert_int_equal(order_judge(same, &own, "A"), ORDER_ASK_AGAIN);
        order_leave(o, same);
        t = order_enter(o, "ghcr.io/a/b:1");
        assert_int_equal(order_judge(t, &own, "A"), ORDER_WRITE);
        order_leave(o, t);
        order_free(o);
}

enum { THREADS = 8, TURNS = 500 };

struct crowd {
        struct order *order;
        atomic_int inside;
        atomic_int worst;
        int count; /* guarded by the turn alone */
};

static void *take_turns(void *arg)
{
        struct crowd *c = arg;
        for (int i = 0; i < TURNS; i++) {
                struct order_tag *t = order_enter(c->order, "ghcr.io/a/b:1");
                order_turn_begin(c->order, t);
                int inside = atomic_fetch_add(&c->inside, 1) + 1;
                if (inside > atomic_load(&c->worst))
                        atomic_store(&c->worst, inside);
                c->count++;
                atomic_fetch_sub(&c->inside, 1);
                order_turn_end(c->order, t);
                order_leave(c->order, t);
        }
        return NULL;
}

static void test_turns_exclude_each_other(void **state)
{
        (void)state;
        struct crowd c = {.order = order_new()};
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, take_turns, &c), 0);
        for (int i = 0; i < THREADS; i++)
                pthread_join(threads[i], NULL);
        assert_int_equal(c.count, THREADS * TURNS);
        assert_int_equal(atomic_load(&c.worst), 1);
        order_free(c.order);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_verdicts),
                cmocka_unit_test(test_confirming_the_same_extends_the_interval),
                cmocka_unit_test(test_memory_ends_with_the_last_pull),
                cmocka_unit_test(test_turns_exclude_each_other),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

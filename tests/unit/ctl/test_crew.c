/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include "base/mem.h"
#include "ctl/crew.h"

enum { MANY = 200, AT_MOST = 3 };

struct hall {
        atomic_uint calls[MANY];
        pthread_barrier_t *meet; /* NULL: nobody waits for the others */
        atomic_int present, most;
};

static void enter(void *arg, size_t i)
{
        struct hall *h = arg;
        int present = atomic_fetch_add(&h->present, 1) + 1;
        int most = atomic_load(&h->most);
        while (present > most && !atomic_compare_exchange_weak(&h->most, &most, present))
                ;
        if (h->meet != NULL)
                pthread_barrier_wait(h->meet);
        atomic_fetch_add(&h->calls[i], 1);
        atomic_fetch_sub(&h->present, 1);
}

static void each_once(void **state)
{
        (void)state;
        struct hall *h = mem_zalloc(sizeof(*h));
        crew_run(MANY, AT_MOST, enter, h);
        for (size_t i = 0; i < MANY; i++)
                assert_int_equal(atomic_load(&h->calls[i]), 1);
        assert_true(atomic_load(&h->most) <= AT_MOST);
        free(h);
}

/* The barrier lets go only of as many as may be there at once: fewer would wait for ever. */
static void side_by_side(void **state)
{
        (void)state;
        pthread_barrier_t meet;
        struct hall *h = mem_zalloc(sizeof(*h));
        assert_int_equal(pthread_barrier_init(&meet, NULL, AT_MOST), 0);
        h->meet = &meet;
        crew_run((size_t)AT_MOST * 4, AT_MOST, enter, h);
        assert_int_equal(atomic_load(&h->most), AT_MOST);
        pthread_barrier_destroy(&meet);
        free(h);
}

static void little_work(void **state)
{
        (void)state;
        struct hall *h = mem_zalloc(sizeof(*h));
        crew_run(0, AT_MOST, enter, h);
        assert_int_equal(atomic_load(&h->most), 0);
        crew_run(1, AT_MOST, enter, h);
        assert_int_equal(atomic_load(&h->calls[0]), 1);
        free(h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_once),
                cmocka_unit_test(side_by_side),
                cmocka_unit_test(little_work),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

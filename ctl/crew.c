/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/crew.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/mem.h"

struct crew {
        void (*work)(void *arg, size_t i);
        void *arg;
        size_t count;
        atomic_size_t next;
};

static void *labour(void *arg)
{
        struct crew *c = arg;
        for (size_t i = 0; (i = atomic_fetch_add(&c->next, 1)) < c->count;)
                c->work(c->arg, i);
        return NULL;
}

void crew_run(size_t count, size_t at_most, void (*work)(void *arg, size_t i), void *arg)
{
        struct crew c = {.work = work, .arg = arg, .count = count};
        size_t helpers = (count < at_most ? count : at_most), started = 0;
        cleanup_free pthread_t *threads = mem_zalloc(helpers * sizeof(*threads));
        atomic_init(&c.next, 0);
        /* The caller works, too: it takes longer where no thread can be had, that is all. */
        while (started + 1 < helpers && pthread_create(&threads[started], NULL, labour, &c) == 0)
                started++;
        labour(&c);
        for (size_t i = 0; i < started; i++)
                pthread_join(threads[i], NULL);
}

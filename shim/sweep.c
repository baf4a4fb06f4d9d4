/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/sweep.h"

#include <pthread.h>
#include <stdbool.h>

#include "base/cancel.h"
#include "base/log.h"
#include "base/mem.h"
#include "resolver/pause.h"

enum { PAUSE_MS = 60 * 60 * 1000, RETRY_MS = 10 * 1000 };

struct sweep {
        struct flights *flights;
        struct cancel stop;
        pthread_t thread;
};

static void *sweep_main(void *arg)
{
        struct sweep *s = arg;
        int64_t next_ms;
        do {
                struct err e;
                bool swept = flights_sweep(s->flights, &s->stop, &e) == 0;
                if (!swept && e.code != ERR_CANCELLED)
                        log_line(LOG_LEVEL_DEBUG, "not swept, again soon", "error", e.msg, NULL);
                next_ms = swept ? PAUSE_MS : RETRY_MS;
        } while (pause_ms(&s->stop, next_ms));
        return NULL;
}

struct sweep *sweep_new(struct flights *flights)
{
        struct sweep *s = mem_zalloc(sizeof(*s));
        s->flights = flights;
        cancel_init(&s->stop);
        if (pthread_create(&s->thread, NULL, sweep_main, s) != 0)
                abort();
        return s;
}

void sweep_free(struct sweep *s)
{
        if (s == NULL)
                return;
        cancel_fire(&s->stop);
        pthread_join(s->thread, NULL);
        cancel_fini(&s->stop);
        free(s);
}

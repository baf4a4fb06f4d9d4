/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/sweep.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

enum { PAUSE_MS = 60 * 60 * 1000, RETRY_MS = 10 * 1000 };

struct sweep {
        struct flights *flights;
        pthread_mutex_t lock;
        pthread_cond_t changed;
        bool stopping;
        pthread_t thread;
};

/* False when it is time to end. */
static bool pause_for(struct sweep *s, int64_t pause_ms)
{
        int64_t at_ms = clock_mono_ms() + pause_ms;
        struct timespec until = {.tv_sec = at_ms / 1000, .tv_nsec = at_ms % 1000 * 1000000};
        int late = 0;
        pthread_mutex_lock(&s->lock);
        while (!s->stopping && late != ETIMEDOUT)
                late = pthread_cond_timedwait(&s->changed, &s->lock, &until);
        bool go_on = !s->stopping;
        pthread_mutex_unlock(&s->lock);
        return go_on;
}

static void *sweep_main(void *arg)
{
        struct sweep *s = arg;
        int64_t pause_ms;
        do {
                struct err e;
                bool swept = flights_sweep(s->flights, &e) == 0;
                if (!swept)
                        log_line(LOG_LEVEL_DEBUG, "not swept, again soon", "error", e.msg, NULL);
                pause_ms = swept ? PAUSE_MS : RETRY_MS;
        } while (pause_for(s, pause_ms));
        return NULL;
}

struct sweep *sweep_new(struct flights *flights)
{
        struct sweep *s = mem_zalloc(sizeof(*s));
        pthread_condattr_t monotonic;
        s->flights = flights;
        pthread_condattr_init(&monotonic);
        pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        pthread_mutex_init(&s->lock, NULL);
        pthread_cond_init(&s->changed, &monotonic);
        pthread_condattr_destroy(&monotonic);
        if (pthread_create(&s->thread, NULL, sweep_main, s) != 0)
                abort();
        return s;
}

void sweep_free(struct sweep *s)
{
        if (s == NULL)
                return;
        pthread_mutex_lock(&s->lock);
        s->stopping = true;
        pthread_cond_signal(&s->changed);
        pthread_mutex_unlock(&s->lock);
        pthread_join(s->thread, NULL);
        pthread_cond_destroy(&s->changed);
        pthread_mutex_destroy(&s->lock);
        free(s);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/pause.h"

#include <errno.h>
#include <time.h>

struct sleeper {
        pthread_mutex_t lock;
        pthread_cond_t woken;
        bool fired;
};

static void wake(void *arg)
{
        struct sleeper *s = arg;
        pthread_mutex_lock(&s->lock);
        s->fired = true;
        pthread_cond_signal(&s->woken);
        pthread_mutex_unlock(&s->lock);
}

static struct timespec in_ms(int64_t duration_ms)
{
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        t.tv_sec += (time_t)(duration_ms / 1000);
        t.tv_nsec += (long)(duration_ms % 1000) * 1000000;
        if (t.tv_nsec >= 1000000000) {
                t.tv_sec++;
                t.tv_nsec -= 1000000000;
        }
        return t;
}

bool pause_ms(struct cancel *cancel, int64_t duration_ms)
{
        struct sleeper s = {.fired = false};
        pthread_mutex_init(&s.lock, NULL);
        pthread_cond_init(&s.woken, NULL);
        struct timespec until = in_ms(duration_ms);
        struct cancel_hook hook;
        cancel_hook(cancel, &hook, wake, &s);
        pthread_mutex_lock(&s.lock);
        int rc = 0;
        while (!s.fired && rc != ETIMEDOUT)
                rc = pthread_cond_clockwait(&s.woken, &s.lock, CLOCK_MONOTONIC, &until);
        bool fired = s.fired;
        pthread_mutex_unlock(&s.lock);
        cancel_unhook(cancel, &hook);
        pthread_cond_destroy(&s.woken);
        pthread_mutex_destroy(&s.lock);
        return !fired;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/pause.h"

#include "base/clock.h"

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

bool pause_ms(struct cancel *cancel, int64_t duration_ms)
{
        struct sleeper s = {.fired = false};
        pthread_mutex_init(&s.lock, NULL);
        pthread_cond_init(&s.woken, NULL);
        int64_t until_ms = clock_mono_ms() + duration_ms;
        struct cancel_hook hook;
        cancel_hook(cancel, &hook, wake, &s);
        pthread_mutex_lock(&s.lock);
        bool late = false;
        while (!s.fired && !late)
                late = !clock_wait_until(&s.woken, &s.lock, until_ms);
        bool fired = s.fired;
        pthread_mutex_unlock(&s.lock);
        cancel_unhook(cancel, &hook);
        pthread_cond_destroy(&s.woken);
        pthread_mutex_destroy(&s.lock);
        return !fired;
}

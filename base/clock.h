/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two clocks: a monotonic one for order and deadlines, the calendar for what outlives the
 * process. Usable from any thread.
 */
#ifndef CRI_RESOLVED_CLOCK_H
#define CRI_RESOLVED_CLOCK_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

static inline int64_t clock_read_ns(clockid_t id)
{
        struct timespec t;
        clock_gettime(id, &t);
        return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline int64_t clock_mono_ns(void)
{
        return clock_read_ns(CLOCK_MONOTONIC);
}

static inline int64_t clock_mono_ms(void)
{
        return clock_mono_ns() / 1000000;
}

static inline int64_t clock_unix_s(void)
{
        return (int64_t)time(NULL);
}

/* Under the lock: until the condition is signalled, or wakes for nothing; false: it is that late on
 * the monotonic clock. Any condition will do, whatever clock its attributes name. */
static inline bool clock_wait_until(pthread_cond_t *c, pthread_mutex_t *lock, int64_t mono_ms)
{
        const struct timespec until = {
                .tv_sec = (time_t)(mono_ms / 1000),
                .tv_nsec = (long)(mono_ms % 1000) * 1000000,
        };
        return pthread_cond_clockwait(c, lock, CLOCK_MONOTONIC, &until) != ETIMEDOUT;
}

#endif

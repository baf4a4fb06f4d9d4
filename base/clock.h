/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two clocks: a monotonic one for order and deadlines, the calendar for what outlives the
 * process. Usable from any thread.
 */
#ifndef CRI_RESOLVED_CLOCK_H
#define CRI_RESOLVED_CLOCK_H

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

#endif

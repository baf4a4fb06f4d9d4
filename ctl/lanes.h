/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same work on many things, by a few threads, of which only some at a time work on things that
 * belong together: questions to one server, say.
 */
#ifndef CRI_RESOLVED_LANES_H
#define CRI_RESOLVED_LANES_H

#include <stddef.h>

struct lanes_limits {
        size_t overall;
        size_t per_lane; /* at least 1 */
};

/*
 * Calls work(arg, i) once for each i below count, within the limits, and returns when all have
 * returned. lane_of[i] (below lane_count) is the lane of i; within a lane things are begun in their
 * order.
 */
void lanes_run(const size_t *lane_of, size_t count, size_t lane_count, struct lanes_limits limits,
        void (*work)(void *arg, size_t i), void *arg);

#endif

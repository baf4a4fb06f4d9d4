/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same work on many things, by a few threads. The work itself looks at cancel tokens.
 */
#ifndef CRI_RESOLVED_CREW_H
#define CRI_RESOLVED_CREW_H

#include <stddef.h>

/* Calls work(arg, i) once for each i below count, at most at_most of them at a time, and returns
 * when all have returned. */
void crew_run(size_t count, size_t at_most, void (*work)(void *arg, size_t i), void *arg);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which known name somebody may have meant who wrote another. Pure; usable from any thread.
 */
#ifndef CRI_RESOLVED_NEAREST_H
#define CRI_RESOLVED_NEAREST_H

#include <stdbool.h>

/* Zeroed: nothing was tried. */
struct nearest {
        const char *name; /* borrowed from nearest_try */
        unsigned distance;
};

void nearest_try(struct nearest *n, const char *written, const char *known);
/* Whether the nearest name that was tried is so near that a slip of the hand explains it. */
bool nearest_is_slip(const struct nearest *n);

#endif

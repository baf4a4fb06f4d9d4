/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dates and spans of time for people, and dates as images have them. Pure; usable from any thread.
 */
#ifndef CRI_RESOLVED_WHEN_H
#define CRI_RESOLVED_WHEN_H

#include <stdbool.h>
#include <stdint.h>

/* RFC 3339, fractions of seconds cut off. False, and *unix_s untouched, for anything else. */
bool when_parse(const char *s, int64_t *unix_s);
/* "2026-11-20 10:11", in UTC; the caller frees. */
char *when_date(int64_t unix_s);
/* "45 s", "12 min", "3 h 20 min", "5 d 4 h"; the caller frees. */
char *when_span(int64_t seconds);

#endif

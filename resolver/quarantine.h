/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The digests for which a mirror served something else, for a while. Bounded: the one that would
 * end first makes room. No lock of its own: health.c's guards it.
 */
#ifndef CRI_RESOLVED_QUARANTINE_H
#define CRI_RESOLVED_QUARANTINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { QUARANTINE_MAX = 256 };

/* Zeroed is empty. */
struct quarantine {
        struct quarantined {
                char *digest; /* NULL: free */
                int64_t until_ms;
        } entries[QUARANTINE_MAX];
};

void quarantine_fini(struct quarantine *q);
void quarantine_add(struct quarantine *q, const char *digest, int64_t until_ms);
bool quarantine_holds(const struct quarantine *q, const char *digest, int64_t now_ms);
size_t quarantine_count(const struct quarantine *q, int64_t now_ms);

#endif

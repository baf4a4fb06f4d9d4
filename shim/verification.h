/* SPDX-License-Identifier: Apache-2.0 */
/* Our label on image records: when the upstream said that this name is this digest. Pure; usable
 * from any thread. */
#ifndef CRI_RESOLVED_VERIFICATION_H
#define CRI_RESOLVED_VERIFICATION_H

#include <stdbool.h>
#include <stdint.h>

#define VERIFICATION_LABEL "cri-resolved/verified"

/* When the upstream last said so, and whether it said so to anybody: an image that was given to a
 * request with credentials is not for a request without, whatever happens to the upstream later. */
struct verification {
        int64_t unix_s; /* 0: never */
        bool anonymous;
};

/*
 * "<name> <digest> <unix seconds>[ anonymous]", or "<name> <digest> 0 mirror" for what the upstream
 * has never said; the caller frees. read takes NULL for no label, and what belongs to another name
 * or digest, or makes no sense, for never: `ctr images tag` copies labels, and a native pull may
 * have moved the record under a label of ours.
 */
char *verification_text(const char *name, const char *digest, struct verification v);
struct verification verification_read(const char *label, const char *name, const char *digest);

/* Whether the upstream said so at most max_age_s ago, by this machine's clock. */
bool verification_is_young(struct verification v, int64_t max_age_s);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which digests containerd may hold a spoilt beginning of.
 *
 * What the relay sent of a large blob cannot be called back: when the bytes turn out to be wrong,
 * or end, containerd keeps an ingest with an unverified beginning and would put the rest of the
 * right blob behind it (content/local). Such an ingest must be aborted, and Content.Abort ends
 * whoever writes it. So a spoilt digest is locked: nobody is served that digest until its owner has
 * cleaned up, and who is refused waits for that and asks again.
 *
 * An ingest can also be spoilt by somebody else (containerd's own mirrors): a flight that learns of
 * it from an error claims the digest, unless it is being served at that moment: then another flight
 * writes an ingest of its own. Safe from any thread.
 */
#ifndef CRI_RESOLVED_SPOILT_H
#define CRI_RESOLVED_SPOILT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cancel.h"

struct spoilt;
struct spoilt *spoilt_new(void);
void spoilt_free(struct spoilt *t); /* accepts NULL */

/* A body of this digest is on its way to containerd. False: the digest is locked. */
bool spoilt_serve_begin(struct spoilt *t, const char *digest);
void spoilt_serve_end(struct spoilt *t, const char *digest);

/* By whoever serves it: locks the digest. False if somebody else has done so. */
bool spoilt_lock(struct spoilt *t, const char *digest);
/* By whoever does not serve it. False while somebody serves it or has locked it. */
bool spoilt_claim(struct spoilt *t, const char *digest);
/* By who has locked or claimed it, once it is clean. */
void spoilt_unlock(struct spoilt *t, const char *digest);

/* Waits until the digest is not locked; false when the token fired, or it was until_ms (monotonic),
 * first: whoever serves or is served may do so for ever, and must not keep others for ever. */
bool spoilt_wait(struct spoilt *t, const char *digest, int64_t until_ms, struct cancel *cancel);
/* By whoever has locked it, before an abort: waits until nobody is served the digest any more;
 * false as above. */
bool spoilt_wait_unserved(
        struct spoilt *t, const char *digest, int64_t until_ms, struct cancel *cancel);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What runs on this node, and whether it is what was verified (docs/nri.md).
 *
 * A table in memory, fed by NRI (who is there), by CRI and containerd's image store (which image it
 * runs), by containerd's events (an image was written, a container started) and by our own pulls
 * (what the upstream has vouched for).
 * containerd waits for NRI's listener, so that one takes a lock, which nobody holds across I/O or
 * for more than a few containers, looks into memory, and returns; three threads do the rest: one
 * looks at containerd when something has changed, at most once a second, and now and then while
 * somebody is not known to run; one reads its events, and one asks the upstreams, where that is
 * configured.
 *
 * Bounds: CONTAINERS_MAX containers and NAMES_MAX image names (names.h); what is beyond is left
 * out, says so in the log, and is refused nothing. A text of more than 1 KiB counts as absent.
 * Safe from any thread. What pulls call accepts NULL: NRI is off.
 */
#ifndef CRI_RESOLVED_CONTAINERS_H
#define CRI_RESOLVED_CONTAINERS_H

#include "nri/plugin.h"
#include "resolver/resolve.h"
#include "shim/container_verdict.h"
#include "shim/images.h"

enum { CONTAINERS_MAX = 4096 };

struct containers;
struct containers *containers_new(void);
/* Starts the threads, and connects to NRI. Once; all is borrowed. */
int containers_start(struct containers *c, struct images *images, struct resolver *resolver,
        const char *nri_socket, struct err *e) ERR_MUST_CHECK;
/* Disconnects and ends the threads. Accepts NULL. */
void containers_free(struct containers *c);

/* What NRI calls; c is its arg. */
struct nri_listener containers_listener(struct containers *c);

/* ---- for pulls ---- */

/* Before a record is pointed at a digest, by the upstream's word or by a mirror's. */
void containers_writing(struct containers *c, const char *name, const char *digest, bool verified);
/* The upstream says so, and the record says so now: in the tag's turn. */
void containers_verified(
        struct containers *c, const char *name, const char *digest, int64_t unix_s);
/* A pull has ended: CRI shows what it brought. */
void containers_pulled(struct containers *c);

/* The configuration has been read again. */
void containers_reloaded(struct containers *c);

/* ---- for people ---- */

/* Waits until what has happened so far is in the table, or so long. */
void containers_settle(struct containers *c, int64_t timeout_ms);

/* Texts may be NULL where something is not known, times 0. */
struct container_view {
        const char *id, *name, *pod, *namespace_name, *image_id, *digest;
        const struct container_image *image;
        enum nri_state state;
        enum container_verdict verdict;
        int64_t created_s;
        const struct name *reference; /* what is known of it */
        enum container_restart restart;
};

struct containers_state {
        bool connected;       /* to NRI, and all containers are known */
        bool following;       /* containerd's events */
        bool pods_own_string; /* NRI tells what pods say their images are */
        char runtime[64], version[64], error[256];
        size_t left_out;
};
void containers_state(struct containers *c, struct containers_state *out);

/* By ID, under the lock, nothing may call back. *began is the state at the beginning, and these are
 * its containers, whatever becomes of the connection meanwhile: nobody is visited when NRI was not
 * connected, since then nothing is known. */
void containers_each(struct containers *c, struct containers_state *began,
        void (*visit)(void *arg, const struct container_view *v), void *arg);
/* Containers that run, by what they are worth: added to one of `counts` for each entry of the
 * configuration, in its order, and to one more, the last, for all hosts without a table of their
 * own. False: NRI is not connected, nothing is known and nothing added. */
struct container_counts {
        size_t by_verdict[CONTAINER_VERDICTS];
};
bool containers_count(
        struct containers *c, const struct config *config, struct container_counts *counts);
/* Tags that somebody else has moved, in the same way. */
void containers_each_foreign(
        struct containers *c, void (*visit)(void *arg, const struct name *n), void *arg);

#endif

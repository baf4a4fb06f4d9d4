/* SPDX-License-Identifier: Apache-2.0 */
/*
 * containerd's image store and CRI's view of it, as typed questions (containerd:
 * api/services/images/v1, api/services/snapshots/v1; k8s.io/cri-api runtime/v1).
 *
 * Questions have a time limit of their own, writes none; they have no parent, but for images_list:
 * what must be written is written whoever has gone meanwhile. Errors: ERR_NOT_FOUND, ERR_BACKEND
 * when containerd cannot be asked, ERR_PROTOCOL when its answer makes no sense, ERR_INTERNAL with
 * containerd's words for all else. Safe from any thread; blocks.
 */
#ifndef CRI_RESOLVED_IMAGES_H
#define CRI_RESOLVED_IMAGES_H

#include <stdbool.h>

#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/lists.h"
#include "shim/rpc.h"
#include "shim/verification.h"

struct images {
        struct rpc *cri;        /* the CRI backend */
        struct rpc *containerd; /* containerd's API; may be the same channel */
};

/* What the store says of one name. */
struct image_record {
        const char *digest;           /* borrowed from the record */
        struct verification verified; /* our label, if it belongs to this name and digest; else 0 */
        struct Containerd__ImageResponse
                *answer; /* private: the whole record, unknown fields too */
};
void image_record_fini(struct image_record *r);
#define cleanup_image_record cleanup(image_record_fini)

int images_get(struct images *im, const char *name, struct image_record *out,
        struct err *e) ERR_MUST_CHECK;

/* Adds the names of all records that begin with the prefix; what was in the list stays. Wakes on
 * its token: ERR_CANCELLED. */
int images_list(struct images *im, const char *prefix, struct cancel *stop, struct strings *names,
        struct err *e) ERR_MUST_CHECK;

/* CRI ImageStatus by any reference. *id is the image ID ("sha256:..."); *chain_id, unless chain_id
 * is NULL, comes from the verbose answer and may be NULL. The caller frees both. */
int images_status(struct images *im, const char *reference, char **id, char **chain_id,
        struct err *e) ERR_MUST_CHECK;

/*
 * Is the image that `tagged` names the one that `digested` names, and unpacked for `snapshotter`?
 * (`digested` never moves, so CRI's answer for it cannot lag behind the store.) 0 with *id set to
 * the image's ID for yes (the caller frees), to NULL for no.
 */
int images_current(struct images *im, const char *tagged, const char *digested,
        const char *snapshotter, char **id, struct err *e) ERR_MUST_CHECK;

struct image_alias {
        const char *name;
        const struct image_record *from; /* the target to take over, whatever its own name */
        /* For our label; 0 for what only a mirror says. Replaces what a label said before: who
         * has not asked the upstream looks first whether there is a good one to lose. */
        struct verification verified;
        /* Set CRI's managed label. Off for the sandbox image: containerd then labels the new name
         * itself, `pinned` included (1.7 adds that only to names that lack `managed`). On
         * otherwise: containerd's own labelling reads the record and writes its target back, and
         * could undo a move of the tag that happens in between. */
        bool managed;
};

/* Creates the name or moves it. */
int images_alias(struct images *im, const struct image_alias *a, struct err *e) ERR_MUST_CHECK;

/* Removes the name, not the image that others name; a name that has gone already is no error.
 * Returns before what nothing names any more is collected. */
int images_delete(struct images *im, const char *name, struct err *e) ERR_MUST_CHECK;

/* Writes our label on a record and nothing else. It does not count should the record have moved. */
int images_mark(struct images *im, const char *name, const char *digest,
        struct verification verified, struct err *e) ERR_MUST_CHECK;

/* Pins `digested` if containerd has pinned `tagged`: of a native pull of its sandbox image it pins
 * all names, but of a pull by digest it cannot tell. Names that have gone meanwhile are no error.
 */
int images_pin_alike(
        struct images *im, const char *tagged, const char *digested, struct err *e) ERR_MUST_CHECK;

/* Waits until CRI shows `id` under `name`, or the store's record of `name` has left `digest`; error
 * after 10 s, and ERR_NOT_FOUND when the name has been removed meanwhile. CRI follows the store by
 * events, and kubelet asks it right after the pull. */
int images_wait_visible(struct images *im, const char *name, const char *digest, const char *id,
        struct err *e) ERR_MUST_CHECK;

#endif

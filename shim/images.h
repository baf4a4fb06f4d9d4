/* SPDX-License-Identifier: Apache-2.0 */
/*
 * containerd's image store and CRI image view, as typed questions (facts: containerd
 * api/services/images/v1, plugins/cri images). Every call names its own time limit; those that write
 * run without a parent: a pull that containerd finished is aliased whoever has gone meanwhile.
 * Safe from any thread; blocks.
 */
#ifndef CRI_RESOLVED_IMAGES_H
#define CRI_RESOLVED_IMAGES_H

#include "base/digest.h"
#include "base/err.h"
#include "shim/rpc.h"

#define IMAGES_LABEL_VERIFIED "cri-resolved/verified"

struct images {
        struct rpc *cri;        /* the backend */
        struct rpc *containerd; /* its API */
};

/* What the record of a name says. */
struct image_record {
        char *name;
        char *media_type;
        char *digest;
        int64_t size_bytes;
        /* The verified label, when it belongs to this very name and digest; else 0. */
        int64_t verified_unix_s;
        void *target; /* private: the packed descriptor, unknown fields included */
        size_t target_size;
};
void image_record_fini(struct image_record *r);
#define cleanup_image_record cleanup(image_record_fini)

/* 0; -1 ERR_NOT_FOUND, ERR_BACKEND (message from containerd). */
int images_get(struct images *im, const char *name, struct image_record *out, struct err *e)
        ERR_MUST_CHECK;

/* CRI ImageStatus: the image's ID ("sha256:..."), and with `chain_id` its chain ID from the verbose
 * info. ERR_NOT_FOUND when the image is not there. The caller frees both. `v1alpha2`: ask that. */
int images_status(struct images *im, const char *ref, char **id, char **chain_id, struct err *e)
        ERR_MUST_CHECK;

/* Is the image under `tagged` complete and the same as under `digested` (step 5)? 0 with *id set to
 * the image ID (the caller frees) or NULL for no. */
int images_current(struct images *im, const char *tagged, const char *digested, const char *digest,
        char **id, struct err *e) ERR_MUST_CHECK;

/* Points `name` at the same target as `from`, with the managed label and ours (verified = "<name>
 * <digest> <unix seconds>"; not when verified_unix_s is 0). The recipe of facts.md section 5. */
int images_alias(struct images *im, const struct image_record *from, const char *name,
        int64_t verified_unix_s, struct err *e) ERR_MUST_CHECK;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * containerd's ingests: content that is being written, and what failed pulls have left of it.
 *
 * An ingest that holds wrong bytes spoils every other pull of its digest, from whatever source:
 * containerd goes on where it ends, or commits it again without a fetch. It is collected some
 * tenths of a second after its pull has ended; but one that a killed containerd leaves has a lease
 * and stays for a day. An abort heals at once, and fails whoever is writing the ingest at that
 * moment. So it goes by the whole ref: what one image calls its config another may have as a layer,
 * in an ingest of its own that is as it should be. Safe from any thread.
 */
#ifndef CRI_RESOLVED_INGESTS_H
#define CRI_RESOLVED_INGESTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/digest.h"
#include "base/err.h"
#include "shim/rpc.h"

/* What a failed PullImage says of the ingests that it used. */
enum ingest_trouble {
        INGEST_TROUBLE_NONE = 0, /* nothing: it failed for another reason */
        INGEST_TROUBLE_SPOILT,   /* wrong bytes: to be aborted, or every other try fails too */
        /* Somebody aborted it, or collected what belongs to it, meanwhile: another try is enough.
         */
        INGEST_TROUBLE_TAKEN,
};

/* Of containerd's answer to a PullImage, by its words; wrong bytes by its status too, since a
 * registry's own words can be among them. Pure. */
enum ingest_trouble ingests_trouble_of(const struct rpc_answer *a);

enum { INGEST_REF_MAX = 1024 }; /* with NUL; longer ones are left alone */

struct ingest_ref {
        char ref[INGEST_REF_MAX]; /* "layer-sha256:...", "layer-<ref.name>@sha256:..." */
        char digest[DIGEST_MAX];  /* what it ends in */
};

/* The ingests that a message says could not be committed, each once, at most max of them; how many.
 * message may be NULL. Only where the trouble is INGEST_TROUBLE_SPOILT are these containerd's
 * words. Pure. */
size_t ingests_of_error(const char *message, struct ingest_ref *refs, size_t max);

/* Aborts one ingest, whoever writes it. One that has gone meanwhile is no error: *was_there tells.
 * Blocks, at most 10 s; has no parent. Errors as in images.h. */
int ingests_abort(
        struct rpc *containerd, const char *ref, bool *was_there, struct err *e) ERR_MUST_CHECK;

#endif

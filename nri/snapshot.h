/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the runtime says there is, read: NRI's pods and containers as plugin.h shows them, and all
 * of them together, however many Synchronize messages they come in. For session.c. One owner, one
 * thread.
 */
#ifndef CRI_RESOLVED_NRI_SNAPSHOT_H
#define CRI_RESOLVED_NRI_SNAPSHOT_H

#include "base/err.h"
#include "nri/plugin.h"
#include "proto/nri_api.pb-c.h"

/* Views: their strings are the message's. p may be NULL: a pod without a name. */
struct nri_pod nri_pod_of(const Nri__PodSandbox *p);
struct nri_container nri_container_of(const Nri__Container *c);

struct nri_snapshot {
        Nri__SynchronizeRequest **parts;
        size_t count;
        size_t bytes;
};

void nri_snapshot_init(struct nri_snapshot *s);
/* Forgets all parts; the snapshot can be used again. */
void nri_snapshot_fini(struct nri_snapshot *s);

/* Takes part, which came in so many bytes, whatever it returns. -1: more than a node can have. */
int nri_snapshot_add(struct nri_snapshot *s, Nri__SynchronizeRequest *part, size_t bytes,
        struct err *e) ERR_MUST_CHECK;
/* Tells the listener of all parts. */
void nri_snapshot_tell(const struct nri_snapshot *s, const struct nri_listener *l);

#endif

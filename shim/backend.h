/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the running containerd says of itself, as far as a pull needs it: asked over CRI, kept for
 * some seconds (its configuration changes only by a restart). 1.x also reports its registry
 * configuration, which goes to config/trust. Safe from any thread; blocks while asking.
 */
#ifndef CRI_RESOLVED_BACKEND_H
#define CRI_RESOLVED_BACKEND_H

#include "base/err.h"
#include "base/mem.h"
#include "shim/rpc.h"

struct backend_facts {
        char *snapshotter;   /* CRI's default; NULL: not to be learnt */
        char *sandbox_image; /* normalised; NULL: not reported (2.x) */
};
void backend_facts_fini(struct backend_facts *f);
#define cleanup_backend_facts cleanup(backend_facts_fini)

struct backend;
struct backend *backend_new(struct rpc *cri);
void backend_free(struct backend *b); /* accepts NULL */

/* Copies into *out. ERR_BACKEND when containerd cannot be asked and never could. */
int backend_ask(struct backend *b, struct backend_facts *out, struct err *e) ERR_MUST_CHECK;

/* What containerd calls itself; asked each time, for people. ERR_BACKEND when it does not answer
 * within some seconds. The caller frees both. */
int backend_version(struct backend *b, char **name, char **version, struct err *e) ERR_MUST_CHECK;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What containerd's content store has, and from where (containerd: api/services/content/v1).
 *
 * Blocks, at most 10 s for each question; has no parent. Errors as in images.h. Safe from any
 * thread.
 */
#ifndef CRI_RESOLVED_CONTENT_H
#define CRI_RESOLVED_CONTENT_H

#include "base/err.h"
#include "shim/rpc.h"

/* A repository at a host: "ghcr.io", "a/b" */
struct content_source {
        const char *host; /* its port does not matter */
        const char *repository;
};

/*
 * Makes the content look as if it had been pulled from `to`, and not from `from`: containerd's
 * labels of where content can be had. Content that has gone meanwhile is no error. Somebody who
 * labels the same content at the same time may win or lose: containerd takes them for hints.
 */
int content_move_source(struct rpc *containerd, const char *digest,
        const struct content_source *from, const struct content_source *to,
        struct err *e) ERR_MUST_CHECK;

#endif

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
 * Makes all content that containerd has labelled as from `from` look as if it had been pulled from
 * `to` instead: the labels of where content can be had, which containerd gives to each part of an
 * image, fetched or there before. Content that goes meanwhile is no error. Somebody who labels the
 * same content at the same time may win or lose: containerd takes the labels for hints.
 */
int content_move_source(struct rpc *containerd, const struct content_source *from,
        const struct content_source *to, struct err *e) ERR_MUST_CHECK;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conversation on one NRI connection, without the connection: what the runtime sends is fed,
 * the listener hears it, and the answers gather in `out`. One owner, one thread; nothing blocks.
 *
 * After an error the connection is of no use. An event that comes before Synchronize, or that names
 * no container, is answered and not passed on.
 */
#ifndef CRI_RESOLVED_NRI_SESSION_H
#define CRI_RESOLVED_NRI_SESSION_H

#include <stdbool.h>

#include "nri/frame.h"
#include "nri/plugin.h"
#include "nri/snapshot.h"

struct nri_session {
        const struct nri_listener *listener;
        struct nri_frame_reader in;
        struct buf out; /* for the runtime; who has sent it resets it */
        struct nri_snapshot snapshot;
        bool configured, synchronized;
};

/* The first thing to send, the registration, is in `out` then. */
void nri_session_init(struct nri_session *s, const struct nri_listener *listener);
void nri_session_fini(struct nri_session *s);

/* ERR_PROTOCOL or ERR_TOO_LARGE for what a runtime does not send; ERR_INVALID when it refuses the
 * registration; ERR_BROKEN when it does not take the answers. */
int nri_session_feed(
        struct nri_session *s, const uint8_t *data, size_t size, struct err *e) ERR_MUST_CHECK;

#endif

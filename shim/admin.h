/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admin socket: the daemon's state as JSON over HTTP on a Unix socket, read-only
 * (docs/admin.md). Who may connect to the shim's sockets may connect here. A thread accepts; each
 * connection has a thread of its own.
 */
#ifndef CRI_RESOLVED_ADMIN_H
#define CRI_RESOLVED_ADMIN_H

#include "shim/peers.h"
#include "shim/pull.h"
#include "shim/unix_socket.h"

struct admin_options {
        struct unix_socket socket;
        int inherited; /* listens already, and is the admin's from now on; -1: socket is made */
        struct peers peers;
        struct pull_service *service; /* borrowed */
        const char *config_path;      /* NULL: defaults; borrowed */
        const char *backend;          /* "unix:///..."; borrowed */
};

/* What /readyz says; until the first word, that it starts. */
enum admin_phase { ADMIN_STARTS, ADMIN_SERVES, ADMIN_STOPS };

struct admin;
/* Listens and answers from now on. ERR_CONFIG and ERR_SYSTEM. */
int admin_new(const struct admin_options *o, struct admin **out, struct err *e) ERR_MUST_CHECK;
void admin_phase(struct admin *a, enum admin_phase phase); /* accepts NULL */
/* Ends running requests and removes the socket that it made. Accepts NULL. */
void admin_free(struct admin *a);

#endif

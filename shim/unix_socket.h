/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A listening Unix socket of our own. A stale file of a socket that nobody serves is replaced; a
 * socket that somebody serves, or another file, is an error. Any thread.
 */
#ifndef CRI_RESOLVED_UNIX_SOCKET_H
#define CRI_RESOLVED_UNIX_SOCKET_H

#include <stdint.h>

#include "base/err.h"

struct unix_socket {
        const char *path; /* its last folder is made where it is missing */
        const char *key;  /* of the configuration, for messages: "shim.listen" */
        const char *unit; /* in which systemd can make it, for messages, too */
        uint32_t mode;
        int64_t gid; /* -1: as it comes */
};

/* The caller owns *fd, and removes the file before closing it. ERR_CONFIG, ERR_SYSTEM. */
int unix_socket_listen(const struct unix_socket *s, int *fd, struct err *e) ERR_MUST_CHECK;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether somebody serves a Unix socket, in words that say what to do when not. Any thread.
 */
#ifndef CRI_RESOLVED_CTL_SOCKET_H
#define CRI_RESOLVED_CTL_SOCKET_H

#include "base/err.h"

/* The path of "unix:///path". */
const char *socket_path(const char *target);

/* ERR_BACKEND when no daemon answers there, ERR_UNAUTHORIZED when we may not ask it. */
int socket_check(const char *path, struct err *e) ERR_MUST_CHECK;

/* "; it lets in root and members of ...", for who was hung up on and is not root; else "". */
const char *socket_hint(void);

#endif

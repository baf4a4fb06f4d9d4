/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Docker's credential helpers: programs docker-credential-<name> that are asked by their standard
 * input (docker/docker-credential-helpers, README "Development"). Blocks its caller;
 * SIGPIPE is ignored.
 */
#ifndef CRI_RESOLVED_CREDENTIAL_HELPER_H
#define CRI_RESOLVED_CREDENTIAL_HELPER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/cancel.h"
#include "base/err.h"

/* The caller frees both with mem_free_secret. Both NULL: it has none for this server. A name
 * "<token>" means that the secret is an identity token. ERR_CONFIG, ERR_TIMEOUT, ERR_CANCELLED;
 * never with what the helper said: that may be the secret. */
int credential_helper_get(const char *helper, const char *server, int64_t timeout_ms,
        struct cancel *cancel, char **name, char **secret, struct err *e) ERR_MUST_CHECK;

/* Reads up to the end, or a line feed where that is enough. ERR_SYSTEM, ERR_TOO_LARGE, ERR_TIMEOUT
 * (timeout_ms 0: none), ERR_CANCELLED; the messages end in "... from <what>". */
int credential_read(int fd, const char *what, bool one_line, int64_t timeout_ms,
        struct cancel *cancel, struct buf *b, struct err *e) ERR_MUST_CHECK;

#endif

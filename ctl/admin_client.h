/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the daemon's admin socket (docs/admin.md). One thread.
 */
#ifndef CRI_RESOLVED_ADMIN_CLIENT_H
#define CRI_RESOLVED_ADMIN_CLIENT_H

#include <jansson.h>

#include "base/cancel.h"
#include "base/mem.h"
#include "config/config.h"

struct admin_client;
/* ERR_CONFIG where the configuration has no such socket; errors of socket_check. c is not kept. */
int admin_client_open(
        const struct config *c, struct admin_client **out, struct err *e) ERR_MUST_CHECK;
void admin_client_free(struct admin_client *a); /* accepts NULL */
DEFINE_CLEANUP(struct admin_client, admin_client_free)
#define cleanup_admin_client cleanup(admin_client_free_at)

/* The document at "/v1/status" or another path; the caller decrefs. ERR_BACKEND when the daemon
 * does not answer, ERR_PROTOCOL when it answers something else, ERR_CANCELLED. */
int admin_client_get(struct admin_client *a, const char *path, struct cancel *cancel, json_t **out,
        struct err *e) ERR_MUST_CHECK;

#endif

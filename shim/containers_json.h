/* SPDX-License-Identifier: Apache-2.0 */
/* The document /v1/containers of the admin socket (docs/admin.md). Any thread; may wait for the
 * table to settle. */
#ifndef CRI_RESOLVED_CONTAINERS_JSON_H
#define CRI_RESOLVED_CONTAINERS_JSON_H

#include <jansson.h>

#include "shim/containers.h"

/* c NULL: NRI is off. `backend` is CRI's socket: whose containers these are. The caller owns it. */
json_t *containers_json(struct containers *c, const char *backend);

#endif

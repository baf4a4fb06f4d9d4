/* SPDX-License-Identifier: Apache-2.0 */
/* Between the parts of the network's check. */
#ifndef CRI_RESOLVED_CHECK_NETWORK_H
#define CRI_RESOLVED_CHECK_NETWORK_H

#include "ctl/check.h"

/* Asks mirrors for images that their upstreams have, and compares what both say of tags. */
void check_images(struct check *c);

/* Steps that take the mirror out where it is used. */
void check_remove_mirror(const struct check *c, json_t *finding, const struct mirror_use *u);

#endif

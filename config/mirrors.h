/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The [mirror."<url>"] tables, as a part of config_load; config_mirror_for of config.h is here,
 * too. For one thread, that of config_load.
 */
#ifndef CRI_RESOLVED_MIRRORS_H
#define CRI_RESOLVED_MIRRORS_H

#include "config/load.h"

/*
 * One config_mirror for each mirror that an upstream of l->config lists, then the tables over them;
 * `values` and `lines` are of [mirror], NULL if the file has none. A table for a mirror that nobody
 * lists is an error.
 */
int mirrors_load(struct load *l, const json_t *values, const json_t *lines) ERR_MUST_CHECK;
void mirrors_clear(struct config *c);

#endif

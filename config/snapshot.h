/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The counting behind config.h: which struct config is the current one, and who still reads it.
 * Safe from any thread.
 */
#ifndef CRI_RESOLVED_SNAPSHOT_H
#define CRI_RESOLVED_SNAPSHOT_H

#include "config/config.h"

/* Zeroed, with one reference; config_put ends it, through config_fini. */
struct config *snapshot_new(void);

/* Frees what the fields hold (config.c). */
void config_fini(struct config *c);

#endif

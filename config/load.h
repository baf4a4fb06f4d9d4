/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of config_load share: one file on its way into one struct config, and errors that
 * say where in it. For one thread, that of config_load.
 */
#ifndef CRI_RESOLVED_LOAD_H
#define CRI_RESOLVED_LOAD_H

#include <jansson.h>

#include "config/config.h"

struct load {
        const char *name; /* of the file */
        struct config *config;
        struct err *err;
};

/* Puts "file:line: table.key: " (`table` may be "") before what l->err says. -1. */
int load_at_key(struct load *l, int line, const char *table, const char *key);
/* The same with `why` as what it says. */
int load_reject(struct load *l, int line, const char *table, const char *key, const char *why);

/* Sets each key of one table. `kind` is the table's name in keys.def, `table` the one to show,
 * `base` the struct of its keys. */
int load_table(struct load *l, const char *kind, const char *table, void *base,
        const json_t *values, const json_t *lines);

/* A client's certificate and its key go together. `line` is that of the table. */
int load_check_client(
        struct load *l, int line, const char *table, const char *cert, const char *key);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of a TOML text that leave all other bytes of it as they are: comments, order, spacing and
 * quotes. What comes out is parsed, and compared with what the change should mean; where they
 * differ the change is refused. Texts may hold secrets: results are for mem_free_secret. Pure;
 * usable from any thread.
 */
#ifndef CRI_RESOLVED_TOML_EDIT_H
#define CRI_RESOLVED_TOML_EDIT_H

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"
#include "config/lists.h"

/* A path of keys, the last argument is NULL. For strings_clear. */
struct strings toml_path(const char *first, ...) __attribute__((sentinel));

/*
 * Takes the key or table `path`, and all below it, out of the text. Comments go where they stand
 * within what goes; those in front of it stay. Nothing there is no error. ERR_CONFIG if the text is
 * not TOML, ERR_INVALID "line N: ..." if it cannot be changed.
 */
int toml_edit_remove(
        const char *text, const struct strings *path, char **out, struct err *e) ERR_MUST_CHECK;

/*
 * Gives `path` (two keys or more) this value: a string, a boolean, an integer, an array or object
 * of these. Where it is not there it is added to its table, and that, where need be, behind its
 * next relatives.
 */
int toml_edit_set(const char *text, const struct strings *path, const json_t *value, char **out,
        struct err *e) ERR_MUST_CHECK;

/* The value as TOML; strings in `quote` ('"' or '\'') where they can be. */
void toml_put_value(struct buf *b, const json_t *value, char quote);
/* A key as TOML: bare, or quoted. */
void toml_put_key(struct buf *b, const char *key, char quote);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TOML text as JSON values with the lines they stand on. The one user of toml++, and the only C++.
 *
 * Tables become objects, arrays arrays, strings, booleans, integers and floats their like; dates
 * and times, which no key of ours or of containerd takes, become null. No exception leaves this
 * module. Pure; usable from any thread.
 */
#ifndef CRI_RESOLVED_TOML_H
#define CRI_RESOLVED_TOML_H

#include <jansson.h>
#include <stddef.h>

#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * `name` is the file's, for messages: a syntax error is ERR_CONFIG "name:line:column: what". New
 * references in *values and *lines; *lines has an entry [line, lines of the table below or null]
 * for each key, and may be NULL if nobody asks. On failure both are NULL.
 */
int toml_parse(const char *text, size_t size, const char *name, json_t **values, json_t **lines,
        struct err *e) ERR_MUST_CHECK;

#ifdef __cplusplus
}
#endif

/* Reads the lines: where `key` stands (0 if it does not), and the lines of the table under it. */
static inline int toml_line(const json_t *lines, const char *key)
{
        return (int)json_integer_value(json_array_get(json_object_get(lines, key), 0));
}

static inline const json_t *toml_below(const json_t *lines, const char *key)
{
        return json_array_get(json_object_get(lines, key), 1);
}

#endif

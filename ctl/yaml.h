/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML text as events with their places, or as JSON values with the lines they stand on. The one
 * user of libyaml.
 *
 * Everything is bounded: the text (16 MiB), its depth (64), and the nodes of a document with all
 * aliases written out (100000), so that no text costs more than its size says. Text is UTF-8.
 * Errors are ERR_CONFIG "name:line:column: what" and quote nothing of the text. Pure; usable from
 * any thread.
 */
#ifndef CRI_RESOLVED_YAML_H
#define CRI_RESOLVED_YAML_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* A place in the text: `offset` in bytes from 0, line and column (in characters) from 1. */
struct yaml_place {
        size_t offset;
        int line;
        int column;
};

enum yaml_kind {
        YAML_DOCUMENT_START,
        YAML_DOCUMENT_END,
        YAML_MAPPING_START,
        YAML_MAPPING_END,
        YAML_SEQUENCE_START,
        YAML_SEQUENCE_END,
        YAML_SCALAR,
        YAML_ALIAS,
};

enum yaml_style { YAML_PLAIN, YAML_SINGLE_QUOTED, YAML_DOUBLE_QUOTED, YAML_LITERAL, YAML_FOLDED };

/* Valid during the callback. Keys of a mapping are events like its values, in turns. */
struct yaml_event {
        enum yaml_kind kind;
        struct yaml_place start, end; /* end: of the first byte behind it */
        const char *text;             /* a scalar's value, an alias's name; else NULL */
        size_t size;
        const char *anchor; /* NULL: none */
        bool tagged;        /* by a tag that is written out, "!!str" */
        enum yaml_style style;
};

/* Calls on_event for each event, in order; -1 from it ends the walk. */
int yaml_walk(const char *text, size_t size, const char *name,
        int (*on_event)(void *arg, const struct yaml_event *event, struct err *e), void *arg,
        struct err *e) ERR_MUST_CHECK;

/*
 * All documents of the text. *values is an array with one value for each: mappings as objects,
 * plain scalars as null, booleans or integers where they look like it, all else as strings. *lines
 * (may be NULL) has for each document what toml.h has for a table: an object with an entry [line,
 * below] for each key; for a sequence, below is an array of such entries. New references; NULL on
 * failure.
 */
int yaml_parse(const char *text, size_t size, const char *name, json_t **values, json_t **lines,
        struct err *e) ERR_MUST_CHECK;

#endif

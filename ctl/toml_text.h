/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where things stand in a TOML text: its table headers, its keys and values, and the members of
 * its inline tables, each with its whole path and its bytes. Everything between them is white
 * space and comments. For editors that leave the rest of a text as it is (toml_edit.h). Pure;
 * usable from any thread.
 */
#ifndef CRI_RESOLVED_TOML_TEXT_H
#define CRI_RESOLVED_TOML_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "config/lists.h"

enum toml_kind {
        TOML_HEADER,       /* [a.b] */
        TOML_ARRAY_HEADER, /* [[a.b]] */
        TOML_VALUE         /* a.b = ... */
};

#define TOML_STATEMENT ((size_t)-1)

struct toml_item {
        enum toml_kind kind;
        struct strings path; /* whole, with that of the table it stands in */
        size_t table_depth;  /* how many keys of the path are those of the table */
        size_t parent;       /* index of the value that it is a member of, or TOML_STATEMENT */
        /* Of a statement: from the beginning of its first line to behind the end of its last one.
         * Of a member: its key and value alone. */
        size_t begin, end;
        size_t value_begin, value_end; /* of a value */
};

struct toml_text {
        const char *text; /* borrowed */
        size_t size;
        struct toml_item *items; /* in the order of the text; members follow their value */
        size_t count;
};

/*
 * The text must be one that toml_parse accepts; ERR_INVALID with the line where this reader does
 * not understand it.
 */
int toml_text_scan(
        const char *text, size_t size, struct toml_text *out, struct err *e) ERR_MUST_CHECK;
void toml_text_fini(struct toml_text *t);
#define cleanup_toml_text cleanup(toml_text_fini)

/* Whether the first keys of `path` are those of `prefix`. */
bool toml_path_below(const struct strings *path, const struct strings *prefix);
/* The index of the next statement behind item i, t->count if there is none. */
size_t toml_text_next(const struct toml_text *t, size_t i);

#endif

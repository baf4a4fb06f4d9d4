/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which lines of a TOML text to change, so that everything else stays as it is: comments, order,
 * blanks. Pure; usable from any thread.
 */
#ifndef CRI_RESOLVED_EDIT_TOML_H
#define CRI_RESOLVED_EDIT_TOML_H

#include <stdbool.h>
#include <stddef.h>

struct edit_lines {
        int first, last; /* from 1 */
};

/*
 * The lines of the tables at `path` (names from the top, `depth` of them) and below it: each from
 * its header to its last value. At most max; how many. 0 too where the tables are not written with
 * headers of their own, or where taking the lines out would change anything else: who asks then
 * leaves the edit to people.
 */
size_t edit_toml_tables(const char *text, const char *const *path, size_t depth,
        struct edit_lines *out, size_t max);

/* The line of the header [path]; 0: there is none. */
int edit_toml_header(const char *text, const char *const *path, size_t depth);

/* `text` without the lines; the caller frees. */
char *edit_without(const char *text, const struct edit_lines *lines, size_t count);

int edit_count_lines(const char *text);
/* Line n without its end; the caller frees. */
char *edit_line(const char *text, int n);

#endif

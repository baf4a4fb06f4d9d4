/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text for terminals: what may be shown, how wide it is, where it may be broken. Pure; usable from
 * any thread.
 */
#ifndef CRI_RESOLVED_TEXT_H
#define CRI_RESOLVED_TEXT_H

#include <stddef.h>
#include <stdio.h>

/* A copy in which control characters, marks that turn the direction of writing, and bytes that are
 * not UTF-8 are \n, \t, \xNN: nothing from the network steers a terminal. The caller frees. */
char *text_escape(const char *s, size_t size);

/* A copy in which "***" stands for the user and password of each URL, with and without its scheme.
 * The caller frees. */
char *text_without_passwords(const char *s);

/* Columns that valid UTF-8 takes: 2 for wide characters of East Asia and pictures, 0 for combining
 * ones. */
size_t text_width(const char *s, size_t size);

/*
 * How many bytes of s go on one line of `columns` (at least one character): up to a blank, else
 * after a mark such as '/', else what fits. *next is where the following line begins, at its first
 * character that is no blank; size when there is none.
 */
size_t text_line(const char *s, size_t size, size_t columns, size_t *next);

/* Prints words, filled to `columns` with `indent` blanks before each line; lines that begin with a
 * blank stay as they are, empty lines too. */
void text_fill(FILE *to, const char *s, size_t indent, size_t columns);

#endif

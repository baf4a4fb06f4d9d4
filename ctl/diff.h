/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Differences of two texts, line by line (Myers, "An O(ND) Difference Algorithm", 1986). Pure;
 * usable from any thread.
 */
#ifndef CRI_RESOLVED_DIFF_H
#define CRI_RESOLVED_DIFF_H

#include <stddef.h>

/* A line with its line feed; the last one may have none. */
struct diff_line {
        const char *at;
        size_t size;
};

struct diff_edit {
        char kind; /* ' ', '-', '+' */
        struct diff_line line;
        size_t before, after; /* lines of each text that stand before this one */
};

/*
 * All lines of both texts as the edits that lead from `before` to `after`; the lines point into the
 * texts. Texts that differ in thousands of lines are shown as one block. The caller frees *edits.
 */
size_t diff_edits(const char *before, const char *after, struct diff_edit **edits);

#endif

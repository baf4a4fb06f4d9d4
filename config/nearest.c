/* SPDX-License-Identifier: Apache-2.0 */
#include "config/nearest.h"

#include <stddef.h>
#include <string.h>

enum { NAME_MAX_BYTES = 256 };

static unsigned least(unsigned a, unsigned b, unsigned c)
{
        unsigned m = a < b ? a : b;
        return m < c ? m : c;
}

/* Levenshtein's distance, one row at a time. Names beyond all measure are far from all. */
static unsigned distance(const char *a, const char *b)
{
        size_t size = strlen(b);
        unsigned row[NAME_MAX_BYTES + 1];
        if (strlen(a) > NAME_MAX_BYTES || size > NAME_MAX_BYTES)
                return NAME_MAX_BYTES;
        for (size_t j = 0; j <= size; j++)
                row[j] = (unsigned)j;
        for (size_t i = 0; a[i] != '\0'; i++) {
                unsigned diagonal = row[0];
                row[0] = (unsigned)i + 1;
                for (size_t j = 0; j < size; j++) {
                        unsigned replace = diagonal + (a[i] != b[j]);
                        diagonal = row[j + 1];
                        row[j + 1] = least(row[j] + 1, row[j + 1] + 1, replace);
                }
        }
        return row[size];
}

void nearest_try(struct nearest *n, const char *written, const char *known)
{
        unsigned d = distance(written, known);
        if (n->name == NULL || d < n->distance)
                *n = (struct nearest){.name = known, .distance = d};
}

/* A slip of the hand changes a third of a name, not more. */
bool nearest_is_slip(const struct nearest *n)
{
        return n->name != NULL && n->distance <= strlen(n->name) / 3 + 1;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owned lists of strings and of headers, as the configuration's structs hold them: a pointer and,
 * after it, a count. Usable from any thread.
 */
#ifndef CRI_RESOLVED_LISTS_H
#define CRI_RESOLVED_LISTS_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "config/config.h"

struct strings {
        char **items;
        size_t count;
};

struct headers {
        struct config_header *items;
        size_t count;
};

void strings_add(struct strings *list, const char *s);
bool strings_has(const struct strings *list, const char *s);
void strings_clear(struct strings *list);
bool strings_equal(const struct strings *a, const struct strings *b);

/* Values are secrets: clear wipes them. */
void headers_add(struct headers *list, const char *name, const char *value);
void headers_add_unread(struct headers *list, const char *name, const char *file);
void headers_clear(struct headers *list);
bool headers_equal(const struct headers *a, const struct headers *b);

/* RFC 9110: a name is a token, a value has no control characters but tabs. */
bool header_name_valid(const char *s);
bool header_value_valid(const char *s);

#define cleanup_strings cleanup(strings_clear)
#define cleanup_headers cleanup(headers_clear)

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a JSON text would cost, before it is parsed. Parsed, two bytes of text can take a hundred
 * times their room, and brackets within brackets take stack: what somebody else has written is
 * measured first, and parsed only where that is within what an honest one has. Pure.
 */
#ifndef CRI_RESOLVED_JSON_TEXT_H
#define CRI_RESOLVED_JSON_TEXT_H

#include <stddef.h>

/* Never less than a parser makes of it, whatever the text is; for JSON, `depth` is exact. */
struct json_text {
        size_t depth;  /* of brackets within brackets */
        size_t values; /* arrays, objects and what they hold */
};
struct json_text json_text_measure(const char *text, size_t size);

#endif

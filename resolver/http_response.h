/* SPDX-License-Identifier: Apache-2.0 */
/* Filling a struct http_response from the lines of its head. Pure. */
#ifndef CRI_RESOLVED_HTTP_RESPONSE_H
#define CRI_RESOLVED_HTTP_RESPONSE_H

#include "resolver/http.h"

/* A status line, with a NUL after it: the headers of an interim answer before it do not count. */
void http_response_begin(struct http_response *r, const char *line, size_t size);
void http_response_header(struct http_response *r, const char *line, size_t size);
/* Digits alone, of a number that fits; -1 for anything else. */
int64_t http_response_number(const char *text, size_t size);

#endif

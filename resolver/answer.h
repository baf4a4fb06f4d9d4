/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What registries and token servers have in common: lines of a request's head, statuses as errors
 * in containerd's words (core/remotes/errors), redirects, Retry-After. Pure.
 */
#ifndef CRI_RESOLVED_ANSWER_H
#define CRI_RESOLVED_ANSWER_H

#include <stdint.h>

#include "resolver/http.h"

enum { ANSWER_REDIRECTS_MAX = 5 };

/* "Name: value" lines for struct http_request; may hold secrets. Ends with NULL once a line is in.
 */
struct lines {
        char **at;
        size_t count;
};
void lines_add(struct lines *l, char *line); /* takes it; NULL adds nothing */
void lines_fini(struct lines *l);            /* wipes */
#define cleanup_lines cleanup(lines_fini)

/* The headers that all requests have, and an upstream's extra ones (but a second Authorization). */
void lines_add_common(struct lines *l);
void lines_add_extra(
        struct lines *l, const struct config_header *headers, size_t count, bool authorised);

bool answer_is_redirect(int status);
/* Where the answer to a request for `url` leads: http(s), never from https to http. The caller
 * frees *next. ERR_PROTOCOL. */
int answer_redirect(
        const char *url, const struct http_response *r, char **next, struct err *e) ERR_MUST_CHECK;

/* Sets the error that belongs to the status; `err.http` has it too. Returns -1. */
int answer_refuse(const char *method, const char *url, int status, struct err *e);

/* Retry-After (RFC 9110 section 10.2.3): seconds or a date. -1 when absent or malformed. */
int64_t answer_retry_after_ms(const char *value, int64_t now_unix_s);

/* Milliseconds for the next request: all that is left of the deadline, at most timeout_ms. */
int64_t answer_time_left_ms(int64_t deadline_ms, int64_t timeout_ms);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bearer tokens (distribution docs/spec/auth/token.md and oauth.md): one from the realm that a
 * challenge names. GET, with Basic where there is a password; POST for an identity token, and GET
 * where the server does not know POST. Blocks its caller; safe from any thread.
 */
#ifndef CRI_RESOLVED_TOKEN_H
#define CRI_RESOLVED_TOKEN_H

#include "resolver/challenge.h"
#include "resolver/http.h"
#include "resolver/login.h"

struct token_query {
        struct http_pool *pool;
        const struct http_trust *trust;
        const struct login *login;
        const struct challenge *challenge; /* Bearer */
        const char *origin;                /* who made the challenge */
        const char *upstream_origin;       /* may be local to this node all the same */
        bool refuse_local_addresses;
        const char *repository;
        const struct config_header *headers; /* for realms on that origin alone */
        size_t header_count;
        int64_t timeout_ms;
        int64_t connect_timeout_ms; /* as in http.h; watch_fd too */
        int64_t deadline_ms;        /* monotonic */
        int watch_fd;
        struct cancel *cancel;
};

struct token {
        char *text; /* visible ASCII alone: safe in a header */
        int64_t lifetime_s;
        int64_t retry_after_ms; /* with ERR_RATE_LIMITED: what the server asks for; else -1 */
};
void token_fini(struct token *t);
#define cleanup_token cleanup(token_fini)

/* ERR_UNAUTHORIZED when the server refuses, or may not be given credentials; ERR_PROTOCOL for an
 * answer that is none; ERR_UPSTREAM, ERR_RATE_LIMITED and those of http_do. */
int token_fetch(const struct token_query *q, struct token *t, struct err *e) ERR_MUST_CHECK;

/* A token server's JSON. ERR_PROTOCOL. */
int token_parse(const char *json, size_t size, struct token *t, struct err *e) ERR_MUST_CHECK;

#endif

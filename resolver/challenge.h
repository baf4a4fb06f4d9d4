/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WWW-Authenticate (RFC 9110 section 11.6.1; distribution docs/spec/auth/token.md): finds the
 * strongest challenge that a client of registries can answer: Bearer, else Basic. Pure; bounded.
 */
#ifndef CRI_RESOLVED_CHALLENGE_H
#define CRI_RESOLVED_CHALLENGE_H

#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"

enum challenge_scheme { CHALLENGE_NONE, CHALLENGE_BASIC, CHALLENGE_BEARER };

struct challenge {
        enum challenge_scheme scheme;
        char *realm;   /* Bearer: URL; never NULL then */
        char *service; /* may be NULL */
        char *scope;   /* may be NULL */
        char *error;   /* may be NULL: "insufficient_scope", "invalid_token" */
};

/* One header value that may hold several challenges; call again for each header line: a better
 * challenge replaces a worse one in *c (zeroed by the caller before the first). ERR_PROTOCOL when a
 * header does not parse. */
int challenge_parse(
        const char *value, size_t size, struct challenge *c, struct err *e) ERR_MUST_CHECK;
void challenge_fini(struct challenge *c);
#define cleanup_challenge cleanup(challenge_fini)

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is remembered of registries' authorisation: the challenge of a place, so that no request
 * has to be refused first, and tokens by place and login, until they expire. What a server behind a
 * redirect says belongs into a memory of that question alone: who chose the redirect may have
 * chosen the words too. Bounded: the entry unused for longest makes room. Secrets are wiped. Safe
 * from any thread.
 */
#ifndef CRI_RESOLVED_AUTH_MEMORY_H
#define CRI_RESOLVED_AUTH_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "resolver/challenge.h"

/* Borrowed strings. The host is that of the reference: hosts that lead to one origin may trust it
 * differently, and share nothing. */
struct auth_place {
        const char *host, *origin, *repository;
};

struct auth_memory;
struct auth_memory *auth_memory_new(void);
void auth_memory_free(struct auth_memory *m); /* accepts NULL */

/* A copy in *c (zeroed by the caller), or false. */
bool auth_memory_challenge(
        struct auth_memory *m, const struct auth_place *place, struct challenge *c);
void auth_memory_keep_challenge(
        struct auth_memory *m, const struct auth_place *place, const struct challenge *c);
/* It led nowhere: the registry is asked afresh what it wants. */
void auth_memory_drop_challenge(struct auth_memory *m, const struct auth_place *place);

/* A copy of a token that is good at now_ms, the caller's to free with mem_free_secret; or NULL. */
char *auth_memory_token(struct auth_memory *m, const struct auth_place *place,
        const char *login_key, int64_t now_ms);
void auth_memory_keep_token(struct auth_memory *m, const struct auth_place *place,
        const char *login_key, const char *token, int64_t expires_ms);
/* Forgets this very token; a newer one that another request has got stays. */
void auth_memory_drop_token(struct auth_memory *m, const struct auth_place *place,
        const char *login_key, const char *token);

#endif

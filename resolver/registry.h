/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One registry, asked for the digest of one manifest (OCI distribution-spec 1.1, "Pulling
 * manifests"; token dance: distribution docs/spec/auth/{token,oauth}.md). HEAD with containerd's
 * Accept; GET and hash where the digest header is missing or malformed or HEAD is refused;
 * redirects without credentials across origins; 429 within the budget. Credentials go to the
 * upstream and to the token realm that it names, over the same trust, and nowhere else.
 * Safe from any thread; blocks its caller.
 */
#ifndef CRI_RESOLVED_REGISTRY_H
#define CRI_RESOLVED_REGISTRY_H

#include <stdint.h>

#include "base/cancel.h"
#include "base/digest.h"
#include "base/err.h"
#include "config/trust.h"
#include "resolver/http.h"

/* AuthConfig of the CRI request, as it came; NULL and "" mean absent. Borrowed secrets. A field of
 * more than 1 MiB makes it unusable: ERR_UNAUTHORIZED where the upstream asks for credentials. */
struct credentials {
        const char *username, *password;
        const char *auth; /* base64 of username:password */
        const char *server_address;
        const char *identity_token;
        const char *registry_token;
};
bool credentials_present(const struct credentials *c);
/* A digest of all six fields, to tell requests apart without holding secrets. */
void credentials_key(const struct credentials *c, char out[DIGEST_SHA256_SIZE + 1]);

struct registry; /* connection pool, tokens, known challenges */
struct registry *registry_new(void);
void registry_free(struct registry *r);

struct registry_query {
        const struct upstream *upstream;
        const struct credentials *credentials;
        const char *repository;
        const char *reference; /* a tag or a digest */
        int64_t timeout_ms;    /* of one request */
        int64_t budget_ms;     /* of all */
        int64_t token_reuse_ms;
        struct cancel *cancel;
};

struct registry_answer {
        char digest[DIGEST_MAX];
        /* The interval in which the upstream said so, on the monotonic clock: from before the
         * request that was answered was sent until after its answer had arrived. */
        int64_t sent_ns;
        int64_t answered_ns;
};

/*
 * ERR_NOT_FOUND 404; ERR_UNAUTHORIZED 401/403 (worded as containerd words it); ERR_RATE_LIMITED
 * 429 past the budget; ERR_UPSTREAM 5xx; ERR_PROTOCOL an answer that lies; and those of http_do.
 * A digest reference that is answered with another digest is ERR_PROTOCOL.
 */
int registry_resolve(struct registry *r, const struct registry_query *q, struct registry_answer *a,
        struct err *e) ERR_MUST_CHECK;

#endif

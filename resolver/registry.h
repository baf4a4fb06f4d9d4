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
        const char *
                host; /* where a mirror is asked: of the upstream that is meant (?ns=); else NULL */
        int64_t timeout_ms; /* of one request */
        int64_t budget_ms;  /* of all */
        int64_t token_reuse_ms;
        struct metrics_series *heads; /* counts the HEAD requests; NULL: nobody does */
        struct cancel *cancel;
};

struct registry_answer {
        char digest[DIGEST_MAX];
        /* The interval in which the upstream said so, on the monotonic clock: from before the
         * request that was answered was sent until after its answer had arrived. */
        int64_t sent_ns;
        int64_t answered_ns;
        int64_t retry_after_ms; /* of a failure: what a 429 or 503 asked for; else -1 */
};

/*
 * ERR_NOT_FOUND 404; ERR_UNAUTHORIZED 401/403 (worded as containerd words it); ERR_RATE_LIMITED
 * 429 past the budget; ERR_UPSTREAM 5xx; ERR_PROTOCOL an answer that lies; and those of http_do.
 * A digest reference that is answered with another digest is ERR_PROTOCOL.
 */
int registry_resolve(struct registry *r, const struct registry_query *q, struct registry_answer *a,
        struct err *e) ERR_MUST_CHECK;

/* ---- content by digest, from an upstream or from a mirror of it ---- */

enum registry_content { REGISTRY_MANIFEST, REGISTRY_BLOB };

struct registry_fetch {
        const struct upstream *from;           /* an upstream, or a mirror (upstream_new_mirror) */
        const struct credentials *credentials; /* the request's: for its upstream only. NULL: none
                                                  but those in `from` */
        const char *repository;
        const char *digest; /* sha256 */
        enum registry_content kind;
        const char *
                host; /* of the reference: a mirror is told by ?ns=, as containerd does. NULL: no */
        int64_t offset; /* where to begin: asked for with Range */
        int64_t connect_timeout_ms;
        int64_t timeout_ms; /* until the first byte may be read: tokens, redirects and all */
        int64_t token_reuse_ms;
        bool patient; /* repeat once what may pass, and wait for Retry-After within timeout_ms: for
                         the upstream. A mirror is simply left. */
        int watch_fd; /* as in http.h */
        struct cancel *cancel;
};

/* A body on its way. It is not verified: the reader hashes it. */
struct registry_body {
        struct http_stream *stream;
        int64_t offset;      /* of its first byte: what was asked for, or 0 when Range is ignored */
        int64_t total_bytes; /* of the whole content */
        char *content_type;  /* NULL: not said */
};
void registry_body_fini(struct registry_body *b);
#define cleanup_registry_body cleanup(registry_body_fini)

/*
 * Asks for the content and returns when its head has come. Errors as registry_resolve; an answer
 * without a length, of another length than its Content-Range says, or with a Content-Range that
 * does not begin at `offset`, is ERR_PROTOCOL. *retry_after_ms (may be NULL) is what a 429 or 503
 * asked for, else -1.
 */
int registry_open(struct registry *r, const struct registry_fetch *f, struct registry_body *out,
        int64_t *retry_after_ms, struct err *e) ERR_MUST_CHECK;

/* Whether a registry lives there: 0 if <base>/v2/ answers with a status below 500. */
int registry_ping(struct registry *r, const struct upstream *u, int64_t timeout_ms,
        struct cancel *cancel, struct err *e) ERR_MUST_CHECK;

#endif

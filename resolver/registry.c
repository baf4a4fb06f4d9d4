/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/registry.h"

#include <string.h>

#include "base/clock.h"
#include "resolver/question.h"

struct registry *registry_new(void)
{
        struct registry *r = mem_zalloc(sizeof(*r));
        r->pool = http_pool_new();
        r->memory = auth_memory_new();
        return r;
}

void registry_free(struct registry *r)
{
        if (r == NULL)
                return;
        auth_memory_free(r->memory);
        http_pool_free(r->pool);
        free(r);
}

static bool is_digest(const char *s)
{
        return s != NULL && digest_valid(s, strlen(s));
}

static bool same_algorithm(const char *a, const char *b)
{
        return strncmp(a, b, strcspn(a, ":") + 1) == 0;
}

static void answer_with(const struct question *s, const char *digest, struct registry_answer *a)
{
        memcpy(a->digest, digest, strlen(digest) + 1);
        a->sent_ns = s->sent_ns;
        a->answered_ns = s->answered_ns;
}

/* The digest that was found, against the one that was asked for. */
static int accept_digest(
        const struct question *s, const char *found, struct registry_answer *a, struct err *e)
{
        const char *asked = s->terms.reference;
        if (!is_digest(asked) || strcmp(asked, found) == 0) {
                answer_with(s, found, a);
                return 0;
        }
        if (same_algorithm(asked, found))
                return err_set(e, ERR_PROTOCOL, "%s was asked for %s and answers with %s",
                        s->origin, asked, found);
        /* Named by another algorithm: the request was allowed, and content is checked on its way.
         */
        answer_with(s, asked, a);
        return 0;
}

static int accept_body(const struct question *s, const struct http_response *r,
        struct registry_answer *a, struct err *e)
{
        char hash[DIGEST_SHA256_SIZE + 1];
        digest_of(buf_str(&r->body), r->body.size, hash);
        const char *said = r->docker_content_digest;
        if (!is_digest(said)) {
                /* Its digest is that of the unsigned part, which is not what containerd pulls. */
                if (r->content_type != NULL && strstr(r->content_type, "manifest.v1+") != NULL &&
                        strstr(r->content_type, "docker") != NULL)
                        return err_set(e, ERR_PROTOCOL,
                                "%s answers with a schema 1 manifest and no digest", s->origin);
                return accept_digest(s, hash, a, e);
        }
        if (same_algorithm(said, hash) && strcmp(said, hash) != 0)
                return err_set(e, ERR_PROTOCOL,
                        "%s says that the digest is %s, but what it sends has %s", s->origin, said,
                        hash);
        return accept_digest(s, said, a, e);
}

static int ask_by_get(struct question *s, struct registry_answer *a, struct err *e)
{
        cleanup_http_response struct http_response r = {0};
        if (question_ask(s, HTTP_GET, &r, NULL, e) < 0)
                return -1;
        if (r.status != 200)
                return question_refuse(s, r.status, e);
        return accept_body(s, &r, a, e);
}

static int ask_by_head(struct question *s, struct registry_answer *a, struct err *e)
{
        cleanup_http_response struct http_response r = {0};
        if (question_ask(s, HTTP_HEAD, &r, NULL, e) < 0)
                return -1;
        if (r.status == 405 || r.status == 501)
                return ask_by_get(s, a, e);
        if (r.status != 200)
                return question_refuse(s, r.status, e);
        if (!is_digest(r.docker_content_digest))
                return ask_by_get(s, a, e);
        return accept_digest(s, r.docker_content_digest, a, e);
}

int registry_resolve(struct registry *r, const struct registry_query *q, struct registry_answer *a,
        struct err *e)
{
        cleanup_question struct question s;
        cleanup_free char *host = http_url_escape(q->host);
        cleanup_free char *path =
                mem_printf("manifests/%s%s%s", q->reference, q->host != NULL ? "?ns=" : "", host);
        const struct question_terms terms = {
                .upstream = q->upstream,
                .credentials = q->credentials,
                .repository = q->repository,
                .reference = q->reference,
                .path = path,
                .accept = QUESTION_ACCEPT_MANIFEST,
                .deadline_ms = clock_mono_ms() + q->budget_ms,
                .timeout_ms = q->timeout_ms,
                .token_reuse_ms = q->token_reuse_ms,
                .patient = true,
                .heads = q->heads,
                .cancel = q->cancel,
        };
        *a = (struct registry_answer){.retry_after_ms = -1};
        if (question_init(&s, r, &terms, e) < 0)
                return -1;
        int result = ask_by_head(&s, a, e);
        if (result < 0 && (e->http == 429 || e->http == 503))
                a->retry_after_ms = s.retry_after_ms;
        return result;
}

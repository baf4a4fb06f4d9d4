/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/question.h"

#include <string.h>

#include "base/clock.h"
#include "base/metrics.h"
#include "resolver/pause.h"

enum {
        MANIFEST_MAX_BYTES = 4 * 1024 * 1024,
        REQUESTS_MAX = 24, /* of one question, whatever a server invents */
        RETRY_PAUSE_MS = 100,
        RATE_PAUSE_MS = 1000, /* where Retry-After is missing */
};

int question_init(
        struct question *s, struct registry *r, const struct question_terms *t, struct err *e)
{
        *s = (struct question){.registry = r, .terms = *t, .retry_after_ms = -1};
        login_init(&s->own, t->credentials, t->upstream);
        login_init_anonymous(&s->anonymous);
        s->home = http_url_origin(t->upstream->base_url);
        if (s->home == NULL)
                return err_set(e, ERR_CONFIG, "the address of %s is no http or https URL",
                        t->upstream->host);
        s->home_is_local = http_url_is_local(s->home);
        return 0;
}

void question_fini(struct question *s)
{
        login_fini(&s->own);
        login_fini(&s->anonymous);
        auth_memory_free(s->elsewhere);
        free(s->home);
        free(s->url);
        free(s->origin);
        mem_free_secret(s->token);
}

const char *question_method(const struct question *s)
{
        return s->method == HTTP_HEAD ? "HEAD" : "GET";
}

bool question_is_home(const struct question *s)
{
        return strcmp(s->origin, s->home) == 0;
}

/* Elsewhere the same authorities are trusted, but the client's certificate stays home, and nobody
 * is exempt from being checked. */
struct http_trust question_trust(const struct question *s)
{
        const struct upstream *u = s->terms.upstream;
        return (struct http_trust){
                .ca_files = u->ca_files,
                .ca_file_count = u->ca_file_count,
                .client_cert = question_is_home(s) ? u->client_cert : NULL,
                .client_key = question_is_home(s) ? u->client_key : NULL,
                .skip_verify = question_is_home(s) && u->skip_verify,
        };
}

/* One exchange with the registry, with whatever token it takes. */
static int exchange(
        struct question *s, struct http_response *r, struct http_stream **stream, struct err *e)
{
        cleanup_lines struct lines lines = {0};
        const struct question_terms *t = &s->terms;
        const struct upstream *u = t->upstream;
        lines_add_common(&lines);
        lines_add(&lines, mem_strdup(t->accept));
        if (t->offset > 0)
                lines_add(&lines, mem_printf("Range: bytes=%lld-", (long long)t->offset));
        if (question_authorize(s, &lines, e) < 0)
                return -1;
        if (question_is_home(s))
                lines_add_extra(
                        &lines, u->headers, u->header_count, s->shown != QUESTION_SHOWN_NOTHING);
        struct http_trust trust = question_trust(s);
        struct http_request request = {
                .method = s->method,
                .url = s->url,
                .trust = &trust,
                .headers = (const char *const *)lines.at,
                .refuse_local_addresses = !question_is_home(s) && !s->home_is_local,
                .max_body_bytes = MANIFEST_MAX_BYTES,
                .timeout_ms = answer_time_left_ms(t->deadline_ms, t->timeout_ms),
                .connect_timeout_ms = t->connect_timeout_ms,
                .watch_fd = t->watch_fd,
                .cancel = t->cancel,
        };
        if (s->method == HTTP_HEAD)
                metrics_series_add(t->heads, 1);
        /* Behind a redirect it was the first answer that chose the content. */
        if (s->redirects == 0)
                s->sent_ns = clock_mono_ns();
        struct http_pool *pool = s->registry->pool;
        int result = stream != NULL ? http_open(pool, &request, r, stream, e)
                                    : http_do(pool, &request, r, e);
        s->answered_ns = clock_mono_ns();
        return result;
}

/* Fails with e as it is where the pause does not fit into the budget. */
static enum question_next retry_after(const struct question *s, int64_t wait_ms, struct err *e)
{
        if (clock_mono_ms() + wait_ms >= s->terms.deadline_ms)
                return QUESTION_FAIL;
        if (!pause_ms(s->terms.cancel, wait_ms)) {
                err_set(e, ERR_CANCELLED, "cancelled while waiting to ask %s again", s->origin);
                return QUESTION_FAIL;
        }
        return QUESTION_AGAIN;
}

static enum question_next after_rate_limit(const struct question *s, int64_t wait_ms, struct err *e)
{
        if (wait_ms < 0)
                return retry_after(s, RATE_PAUSE_MS, e);
        enum question_next next = retry_after(s, wait_ms, e);
        if (next == QUESTION_FAIL && e->code == ERR_RATE_LIMITED) {
                struct err plain = *e;
                err_set(e, ERR_RATE_LIMITED, "%s: it asks to wait %lld s", plain.msg,
                        (long long)(wait_ms + 999) / 1000);
                e->http = plain.http;
        }
        return next;
}

static enum question_next after_failure(struct question *s, struct err *e)
{
        if (!s->terms.patient)
                return QUESTION_FAIL;
        if (e->code == ERR_RATE_LIMITED)
                return after_rate_limit(s, s->retry_after_ms, e);
        bool passing =
                e->code == ERR_UNREACHABLE || e->code == ERR_TIMEOUT || e->code == ERR_UPSTREAM;
        if (!passing || s->retried)
                return QUESTION_FAIL;
        s->retried = true;
        return retry_after(s, RETRY_PAUSE_MS, e);
}

static enum question_next after_redirect(
        struct question *s, const struct http_response *r, struct err *e)
{
        if (++s->redirects > ANSWER_REDIRECTS_MAX) {
                err_set(e, ERR_PROTOCOL, "%s redirects more than %d times", s->home,
                        ANSWER_REDIRECTS_MAX);
                return QUESTION_FAIL;
        }
        char *url = NULL;
        if (answer_redirect(s->url, r, &url, e) < 0)
                return QUESTION_FAIL;
        free(s->url);
        free(s->origin);
        s->url = url;
        s->origin = http_url_origin(url);
        return QUESTION_AGAIN;
}

static enum question_next after_answer(
        struct question *s, const struct http_response *r, struct err *e)
{
        if (r->status == 401)
                return question_after_challenge(s, r, e);
        if (answer_is_redirect(r->status))
                return after_redirect(s, r, e);
        bool cannot = s->method == HTTP_HEAD && r->status == 501;
        bool passing = r->status == 408 || r->status == 429 || r->status >= 500;
        if (!passing || cannot)
                return QUESTION_DONE;
        answer_refuse(question_method(s), s->url, r->status, e);
        s->retry_after_ms = answer_retry_after_ms(r->retry_after, clock_unix_s());
        return after_failure(s, e);
}

int question_ask(struct question *s, enum http_method method, struct http_response *r,
        struct http_stream **stream, struct err *e)
{
        const struct question_terms *t = &s->terms;
        free(s->url);
        free(s->origin);
        s->method = method;
        s->redirects = 0;
        s->url = mem_printf("%s/%s/%s", t->upstream->base_url, t->repository, t->path);
        s->origin = mem_strdup(s->home);
        while (s->requests++ < REQUESTS_MAX) {
                s->retry_after_ms = -1;
                enum question_next next =
                        exchange(s, r, stream, e) < 0 ? after_failure(s, e) : after_answer(s, r, e);
                if (next == QUESTION_DONE)
                        return 0;
                http_response_fini(r);
                if (next == QUESTION_FAIL)
                        return -1;
        }
        return err_set(
                e, ERR_PROTOCOL, "%s comes to no answer in %d requests", s->home, REQUESTS_MAX);
}

int question_refuse(const struct question *s, int status, struct err *e)
{
        if (status != 404)
                return answer_refuse(question_method(s), s->url, status, e);
        const struct question_terms *t = &s->terms;
        bool by_digest = digest_valid(t->reference, strlen(t->reference));
        err_set(e, ERR_NOT_FOUND, "%s/%s%s%s: not found", t->upstream->host, t->repository,
                by_digest ? "@" : ":", t->reference);
        e->http = status;
        return -1;
}

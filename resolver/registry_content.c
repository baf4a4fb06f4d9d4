/* SPDX-License-Identifier: Apache-2.0 */
/* The second half of registry.h: content by digest, on its way. */
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "resolver/http_response.h"
#include "resolver/question.h"

enum {
        SERVER_TEXT_MAX_BYTES = 64,
        PING_MAX_BYTES = 1024 * 1024,
};

void registry_body_fini(struct registry_body *b)
{
        http_stream_close(b->stream);
        free(b->content_type);
        *b = (struct registry_body){0};
}

/* A mirror of several upstreams learns from `ns` which is meant. */
static char *content_path(const struct registry_fetch *f)
{
        cleanup_free char *host = http_url_escape(f->host);
        return mem_printf("%s/%s%s%s", f->kind == REGISTRY_MANIFEST ? "manifests" : "blobs",
                f->digest, f->host != NULL ? "?ns=" : "", host);
}

/* RFC 9110 section 14.4, where all is known: "bytes 5-9/10". */
static bool parse_range(const char *text, int64_t *first, int64_t *last, int64_t *total)
{
        static const char unit[] = "bytes ";
        if (text == NULL || strncasecmp(text, unit, strlen(unit)) != 0)
                return false;
        text += strlen(unit);
        size_t to_dash = strcspn(text, "-");
        size_t to_slash = strcspn(text, "/");
        if (to_dash >= to_slash || text[to_slash] == '\0')
                return false;
        *first = http_response_number(text, to_dash);
        *last = http_response_number(text + to_dash + 1, to_slash - to_dash - 1);
        *total = http_response_number(text + to_slash + 1, strlen(text + to_slash + 1));
        return *first >= 0 && *last >= 0 && *total >= 0;
}

/* From the first byte, whether a range was asked for or not. */
static int accept_whole(const struct question *s, const struct http_response *r,
        struct registry_body *b, struct err *e)
{
        if (r->content_length < 0)
                return err_set(e, ERR_PROTOCOL, "%s sends %s and says no length", s->origin,
                        s->terms.reference);
        b->offset = 0;
        b->total_bytes = r->content_length;
        return 0;
}

static int accept_rest(const struct question *s, const struct http_response *r,
        struct registry_body *b, struct err *e)
{
        int64_t first;
        int64_t last;
        int64_t total;
        if (!parse_range(r->content_range, &first, &last, &total) || first != s->terms.offset ||
                last != total - 1 || first > last)
                return err_set(e, ERR_PROTOCOL,
                        "%s was asked for %s from byte %lld on and answers with the range %.*s",
                        s->origin, s->terms.reference, (long long)s->terms.offset,
                        SERVER_TEXT_MAX_BYTES,
                        r->content_range != NULL ? r->content_range : "(none)");
        if (r->content_length != total - first)
                return err_set(e, ERR_PROTOCOL,
                        "%s sends the range %.*s of %s, but not with this length", s->origin,
                        SERVER_TEXT_MAX_BYTES, r->content_range, s->terms.reference);
        b->offset = first;
        b->total_bytes = total;
        return 0;
}

static int accept_answer(const struct question *s, const struct http_response *r,
        struct registry_body *b, struct err *e)
{
        if (r->status == 200)
                return accept_whole(s, r, b, e);
        if (r->status == 206)
                return accept_rest(s, r, b, e);
        return question_refuse(s, r->status, e);
}

static int open_body(struct question *s, struct registry_body *out, struct err *e)
{
        cleanup_http_response struct http_response r = {0};
        cleanup_registry_body struct registry_body b = {0};
        if (question_ask(s, HTTP_GET, &r, &b.stream, e) < 0 || accept_answer(s, &r, &b, e) < 0)
                return -1;
        b.content_type = take(&r.content_type);
        *out = b;
        b = (struct registry_body){0};
        return 0;
}

int registry_open(struct registry *r, const struct registry_fetch *f, struct registry_body *out,
        int64_t *retry_after_ms, struct err *e)
{
        cleanup_question struct question s;
        cleanup_free char *path = content_path(f);
        const struct question_terms terms = {
                .upstream = f->from,
                .credentials = f->credentials,
                .repository = f->repository,
                .reference = f->digest,
                .path = path,
                .accept = f->kind == REGISTRY_MANIFEST ? QUESTION_ACCEPT_MANIFEST : "Accept: */*",
                .offset = f->offset,
                .deadline_ms = clock_mono_ms() + f->timeout_ms,
                .timeout_ms = f->timeout_ms,
                .connect_timeout_ms = f->connect_timeout_ms,
                .token_reuse_ms = f->token_reuse_ms,
                .patient = f->patient,
                .watch_fd = f->watch_fd,
                .cancel = f->cancel,
        };
        *out = (struct registry_body){0};
        *e = (struct err){0};
        int result = question_init(&s, r, &terms, e);
        if (result == 0)
                result = open_body(&s, out, e);
        if (retry_after_ms != NULL)
                *retry_after_ms =
                        result < 0 && (e->http == 429 || e->http == 503) ? s.retry_after_ms : -1;
        return result;
}

int registry_ping(struct registry *r, const struct upstream *u, int64_t timeout_ms,
        struct cancel *cancel, struct err *e)
{
        cleanup_free char *url = mem_printf("%s/", u->base_url);
        cleanup_lines struct lines lines = {0};
        cleanup_http_response struct http_response answer = {0};
        lines_add_common(&lines);
        lines_add_extra(&lines, u->headers, u->header_count, false);
        const struct http_trust trust = {
                .ca_files = u->ca_files,
                .ca_file_count = u->ca_file_count,
                .client_cert = u->client_cert,
                .client_key = u->client_key,
                .skip_verify = u->skip_verify,
        };
        const struct http_request request = {
                .method = HTTP_GET,
                .url = url,
                .trust = &trust,
                .headers = (const char *const *)lines.at,
                .max_body_bytes = PING_MAX_BYTES,
                .timeout_ms = timeout_ms,
                .cancel = cancel,
        };
        if (http_do(r->pool, &request, &answer, e) < 0)
                return -1;
        return answer.status < 500 ? 0 : answer_refuse("GET", url, answer.status, e);
}

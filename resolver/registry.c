/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/registry.h"

#include <string.h>

#include "base/clock.h"
#include "resolver/answer.h"
#include "resolver/auth_memory.h"
#include "resolver/challenge.h"
#include "resolver/login.h"
#include "resolver/pause.h"
#include "resolver/token.h"

enum {
        MANIFEST_MAX_BYTES = 4 * 1024 * 1024,
        REQUESTS_MAX = 24, /* of one question, whatever a server invents */
        FRESH_TOKENS_MAX = 2,
        RETRY_PAUSE_MS = 100,
        RATE_PAUSE_MS = 1000, /* where Retry-After is missing */
        SERVER_TEXT_MAX_BYTES = 64,
};

#define DENIED "pull access denied, repository does not exist or may require authorization: "

/* What containerd's resolver accepts: the answer must be the digest that containerd would get. */
#define ACCEPT                                                                                     \
        "Accept: application/vnd.docker.distribution.manifest.v2+json, "                           \
        "application/vnd.docker.distribution.manifest.list.v2+json, "                              \
        "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*"

struct registry {
        struct http_pool *pool;
        struct auth_memory *memory;
};

enum shown { SHOWN_NOTHING, SHOWN_BASIC, SHOWN_GIVEN_TOKEN, SHOWN_OLD_TOKEN, SHOWN_NEW_TOKEN };

/* One question to a registry, through its redirects, refusals and retries. */
struct question {
        struct registry *registry;
        const struct registry_query *query;
        struct login own;
        struct login anonymous;
        char *home; /* the upstream's origin: the only one that sees credentials */
        struct auth_memory *elsewhere; /* of servers behind redirects; NULL: none yet */
        bool home_is_local;
        int64_t deadline_ms;

        enum http_method method;
        char *url;
        char *origin;
        enum shown shown;
        char *token; /* that was shown */
        unsigned requests, redirects, fresh_tokens;
        bool retried;
        bool challenged;        /* by an answer to this very question */
        int64_t retry_after_ms; /* what a token server asks for; -1: nothing */
        int64_t sent_ns, answered_ns;
};

/* What to do after an answer or a failure; FAIL comes with an error. */
enum next { NEXT_FAIL = -1, NEXT_DONE, NEXT_AGAIN };

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

static int question_init(
        struct question *s, struct registry *r, const struct registry_query *q, struct err *e)
{
        *s = (struct question){
                .registry = r,
                .query = q,
                .deadline_ms = clock_mono_ms() + q->budget_ms,
                .retry_after_ms = -1,
        };
        login_init(&s->own, q->credentials, q->upstream);
        login_init_anonymous(&s->anonymous);
        s->home = http_url_origin(q->upstream->base_url);
        if (s->home == NULL)
                return err_set(e, ERR_CONFIG, "the address of %s is no http or https URL",
                        q->upstream->host);
        s->home_is_local = http_url_is_local(s->home);
        return 0;
}

static void question_fini(struct question *s)
{
        login_fini(&s->own);
        login_fini(&s->anonymous);
        auth_memory_free(s->elsewhere);
        free(s->home);
        free(s->url);
        free(s->origin);
        mem_free_secret(s->token);
}

static const char *method_name(const struct question *s)
{
        return s->method == HTTP_HEAD ? "HEAD" : "GET";
}

static bool is_home(const struct question *s)
{
        return strcmp(s->origin, s->home) == 0;
}

static const struct login *login_here(const struct question *s)
{
        return is_home(s) ? &s->own : &s->anonymous;
}

/* A registry that redirects to a page of its own writing on another upstream would name the realm
 * for everybody who asks there: what is heard elsewhere ends with the question. */
static struct auth_memory *memory_here(struct question *s)
{
        if (is_home(s))
                return s->registry->memory;
        if (s->elsewhere == NULL)
                s->elsewhere = auth_memory_new();
        return s->elsewhere;
}

static struct auth_place place_here(const struct question *s)
{
        return (struct auth_place){.host = s->query->upstream->host,
                .origin = s->origin,
                .repository = s->query->repository};
}

/* Elsewhere the same authorities are trusted, but the client's certificate stays home, and nobody
 * is exempt from being checked. */
static struct http_trust trust_here(const struct question *s)
{
        const struct upstream *u = s->query->upstream;
        return (struct http_trust){
                .ca_files = u->ca_files,
                .ca_file_count = u->ca_file_count,
                .client_cert = is_home(s) ? u->client_cert : NULL,
                .client_key = is_home(s) ? u->client_key : NULL,
                .skip_verify = is_home(s) && u->skip_verify,
        };
}

static int64_t token_expiry_ms(const struct question *s, int64_t granted_ms, int64_t lifetime_s)
{
        int64_t reuse_ms = s->query->token_reuse_ms;
        return granted_ms + (lifetime_s < reuse_ms / 1000 ? lifetime_s * 1000 : reuse_ms);
}

static int fetch_token(struct question *s, const struct challenge *challenge, struct err *e)
{
        struct auth_place place = place_here(s);
        struct http_trust trust = trust_here(s);
        const struct upstream *u = s->query->upstream;
        struct token_query q = {
                .pool = s->registry->pool,
                .trust = &trust,
                .login = login_here(s),
                .challenge = challenge,
                .origin = s->origin,
                .upstream_origin = s->home,
                .refuse_local_addresses = !s->home_is_local,
                .repository = s->query->repository,
                .headers = is_home(s) ? u->headers : NULL,
                .header_count = is_home(s) ? u->header_count : 0,
                .timeout_ms = s->query->timeout_ms,
                .deadline_ms = s->deadline_ms,
                .cancel = s->query->cancel,
        };
        cleanup_token struct token token;
        int64_t granted_ms = clock_mono_ms();
        s->fresh_tokens++;
        if (token_fetch(&q, &token, e) < 0) {
                s->retry_after_ms = token.retry_after_ms;
                return -1;
        }
        auth_memory_keep_token(memory_here(s), &place, login_here(s)->key, token.text,
                token_expiry_ms(s, granted_ms, token.lifetime_s));
        s->token = take(&token.text);
        s->shown = SHOWN_NEW_TOKEN;
        return 0;
}

static int choose_token(struct question *s, const struct challenge *challenge, struct err *e)
{
        struct auth_place place = place_here(s);
        const struct login *login = login_here(s);
        if (login->registry_token != NULL) {
                s->token = mem_strdup(login->registry_token);
                s->shown = SHOWN_GIVEN_TOKEN;
                return 0;
        }
        s->token = auth_memory_token(memory_here(s), &place, login->key, clock_mono_ms());
        if (s->token == NULL)
                return fetch_token(s, challenge, e);
        s->shown = SHOWN_OLD_TOKEN;
        return 0;
}

/* Adds what the registry is known to ask for; nothing as long as it has not asked. */
static int authorize(struct question *s, struct lines *lines, struct err *e)
{
        struct auth_place place = place_here(s);
        const struct login *login = login_here(s);
        cleanup_challenge struct challenge challenge = {0};
        s->shown = SHOWN_NOTHING;
        mem_free_secret(take(&s->token));
        if (!auth_memory_challenge(memory_here(s), &place, &challenge))
                return 0;
        if (login->broken != NULL)
                return err_set(e, ERR_UNAUTHORIZED, "the request's credentials are unusable: %s",
                        login->broken);
        if (challenge.scheme == CHALLENGE_BASIC) {
                char *line = login_basic(login);
                s->shown = line != NULL ? SHOWN_BASIC : SHOWN_NOTHING;
                lines_add(lines, line);
                return 0;
        }
        if (choose_token(s, &challenge, e) < 0)
                return -1;
        lines_add(lines, mem_printf("Authorization: Bearer %s", s->token));
        return 0;
}

/* A challenge that cannot be met is forgotten, or one bad answer of a registry would outlast it.
 * One that was remembered may be out of date: without it, the registry says anew what it wants.
 * Refused credentials are not tried again: token servers lock accounts. */
static int authorize_or_ask(struct question *s, struct lines *lines, struct err *e)
{
        if (authorize(s, lines, e) == 0)
                return 0;
        struct auth_place place = place_here(s);
        auth_memory_drop_challenge(memory_here(s), &place);
        if (s->challenged || e->http == 401 || e->http == 403 || e->code == ERR_CANCELLED)
                return err_wrap(e, "failed to authorize");
        s->fresh_tokens = 0;
        return 0;
}

/* One exchange with the registry, with whatever token it takes. */
static int exchange(struct question *s, struct http_response *r, struct err *e)
{
        cleanup_lines struct lines lines = {0};
        const struct upstream *u = s->query->upstream;
        lines_add_common(&lines);
        lines_add(&lines, mem_strdup(ACCEPT));
        if (authorize_or_ask(s, &lines, e) < 0)
                return -1;
        if (is_home(s))
                lines_add_extra(&lines, u->headers, u->header_count, s->shown != SHOWN_NOTHING);
        struct http_trust trust = trust_here(s);
        struct http_request request = {
                .method = s->method,
                .url = s->url,
                .trust = &trust,
                .headers = (const char *const *)lines.at,
                .refuse_local_addresses = !is_home(s) && !s->home_is_local,
                .max_body_bytes = MANIFEST_MAX_BYTES,
                .timeout_ms = answer_time_left_ms(s->deadline_ms, s->query->timeout_ms),
                .cancel = s->query->cancel,
        };
        /* Behind a redirect it was the first answer that chose the content. */
        if (s->redirects == 0)
                s->sent_ns = clock_mono_ns();
        int result = http_do(s->registry->pool, &request, r, e);
        s->answered_ns = clock_mono_ns();
        return result;
}

/* Fails with e as it is where the pause does not fit into the budget. */
static enum next retry_after(const struct question *s, int64_t wait_ms, struct err *e)
{
        if (clock_mono_ms() + wait_ms >= s->deadline_ms)
                return NEXT_FAIL;
        if (!pause_ms(s->query->cancel, wait_ms)) {
                err_set(e, ERR_CANCELLED, "cancelled while waiting to ask %s again", s->origin);
                return NEXT_FAIL;
        }
        return NEXT_AGAIN;
}

static enum next after_rate_limit(const struct question *s, int64_t wait_ms, struct err *e)
{
        if (wait_ms < 0)
                return retry_after(s, RATE_PAUSE_MS, e);
        enum next next = retry_after(s, wait_ms, e);
        if (next == NEXT_FAIL && e->code == ERR_RATE_LIMITED) {
                struct err plain = *e;
                err_set(e, ERR_RATE_LIMITED, "%s: it asks to wait %lld s", plain.msg,
                        (long long)(wait_ms + 999) / 1000);
                e->http = plain.http;
        }
        return next;
}

static enum next after_failure(struct question *s, struct err *e)
{
        if (e->code == ERR_RATE_LIMITED)
                return after_rate_limit(s, s->retry_after_ms, e);
        bool passing =
                e->code == ERR_UNREACHABLE || e->code == ERR_TIMEOUT || e->code == ERR_UPSTREAM;
        if (!passing || s->retried)
                return NEXT_FAIL;
        s->retried = true;
        return retry_after(s, RETRY_PAUSE_MS, e);
}

static bool same_text(const char *a, const char *b)
{
        return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Whether the registry asks for just what it was known to ask for. */
static bool is_known(struct question *s, const struct challenge *c)
{
        struct auth_place place = place_here(s);
        cleanup_challenge struct challenge known = {0};
        return auth_memory_challenge(memory_here(s), &place, &known) && known.scheme == c->scheme &&
               same_text(known.realm, c->realm) && same_text(known.service, c->service) &&
               same_text(known.scope, c->scope);
}

static enum next refuse(const struct question *s, const struct challenge *c, struct err *e)
{
        if (c->error != NULL && c->error[0] != '\0') {
                err_set(e, ERR_UNAUTHORIZED, DENIED "server message: %.*s: authorization failed",
                        SERVER_TEXT_MAX_BYTES, c->error);
                e->http = 401;
        } else {
                answer_refuse(method_name(s), s->url, 401, e);
        }
        return NEXT_FAIL;
}

static enum next after_basic_challenge(
        const struct question *s, const struct challenge *c, struct err *e)
{
        const struct login *login = login_here(s);
        if (s->shown == SHOWN_BASIC)
                return refuse(s, c, e);
        if (login->broken == NULL && login->secret[0] == '\0') {
                err_set(e, ERR_UNAUTHORIZED,
                        DENIED "authorization failed: no basic auth credentials");
                e->http = 401;
                return NEXT_FAIL;
        }
        return NEXT_AGAIN;
}

static enum next after_bearer_challenge(
        struct question *s, const struct challenge *c, struct err *e)
{
        struct auth_place place = place_here(s);
        if (s->shown == SHOWN_OLD_TOKEN || s->shown == SHOWN_NEW_TOKEN)
                auth_memory_drop_token(memory_here(s), &place, login_here(s)->key, s->token);
        bool again = s->shown != SHOWN_GIVEN_TOKEN && s->fresh_tokens < FRESH_TOKENS_MAX &&
                     (s->shown != SHOWN_NEW_TOKEN || !is_known(s, c));
        return again ? NEXT_AGAIN : refuse(s, c, e);
}

static enum next after_challenge(struct question *s, const struct http_response *r, struct err *e)
{
        cleanup_challenge struct challenge c = {0};
        for (size_t i = 0; i < r->www_authenticate_count; i++) {
                const char *value = r->www_authenticate[i];
                if (challenge_parse(value, strlen(value), &c, e) < 0) {
                        err_wrap(e, "%s", s->origin);
                        return NEXT_FAIL;
                }
        }
        s->challenged = true;
        struct auth_place place = place_here(s);
        enum next next = NEXT_FAIL;
        if (c.scheme == CHALLENGE_NONE)
                answer_refuse(method_name(s), s->url, 401, e);
        else if (c.scheme == CHALLENGE_BASIC)
                next = after_basic_challenge(s, &c, e);
        else
                next = after_bearer_challenge(s, &c, e);
        if (next == NEXT_AGAIN)
                auth_memory_keep_challenge(memory_here(s), &place, &c);
        return next;
}

static enum next after_redirect(struct question *s, const struct http_response *r, struct err *e)
{
        if (++s->redirects > ANSWER_REDIRECTS_MAX) {
                err_set(e, ERR_PROTOCOL, "%s redirects more than %d times", s->home,
                        ANSWER_REDIRECTS_MAX);
                return NEXT_FAIL;
        }
        char *url = NULL;
        if (answer_redirect(s->url, r, &url, e) < 0)
                return NEXT_FAIL;
        free(s->url);
        free(s->origin);
        s->url = url;
        s->origin = http_url_origin(url);
        return NEXT_AGAIN;
}

static enum next after_answer(struct question *s, const struct http_response *r, struct err *e)
{
        if (r->status == 401)
                return after_challenge(s, r, e);
        if (answer_is_redirect(r->status))
                return after_redirect(s, r, e);
        bool cannot = s->method == HTTP_HEAD && r->status == 501;
        bool passing = r->status == 408 || r->status == 429 || r->status >= 500;
        if (!passing || cannot)
                return NEXT_DONE;
        answer_refuse(method_name(s), s->url, r->status, e);
        s->retry_after_ms = answer_retry_after_ms(r->retry_after, clock_unix_s());
        return after_failure(s, e);
}

/* Asks until there is an answer that no retry changes. */
static int ask(struct question *s, enum http_method method, struct http_response *r, struct err *e)
{
        const struct registry_query *q = s->query;
        free(s->url);
        free(s->origin);
        s->method = method;
        s->redirects = 0;
        s->url = mem_printf(
                "%s/%s/manifests/%s", q->upstream->base_url, q->repository, q->reference);
        s->origin = mem_strdup(s->home);
        while (s->requests++ < REQUESTS_MAX) {
                s->retry_after_ms = -1;
                enum next next =
                        exchange(s, r, e) < 0 ? after_failure(s, e) : after_answer(s, r, e);
                if (next == NEXT_DONE)
                        return 0;
                http_response_fini(r);
                if (next == NEXT_FAIL)
                        return -1;
        }
        return err_set(
                e, ERR_PROTOCOL, "%s comes to no answer in %d requests", s->home, REQUESTS_MAX);
}

static bool is_digest(const char *s)
{
        return s != NULL && digest_valid(s, strlen(s));
}

static bool same_algorithm(const char *a, const char *b)
{
        return strncmp(a, b, strcspn(a, ":") + 1) == 0;
}

static int refuse_status(const struct question *s, int status, struct err *e)
{
        if (status != 404)
                return answer_refuse(method_name(s), s->url, status, e);
        const struct registry_query *q = s->query;
        err_set(e, ERR_NOT_FOUND, "%s/%s%s%s: not found", q->upstream->host, q->repository,
                is_digest(q->reference) ? "@" : ":", q->reference);
        e->http = status;
        return -1;
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
        const char *asked = s->query->reference;
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
        if (ask(s, HTTP_GET, &r, e) < 0)
                return -1;
        if (r.status != 200)
                return refuse_status(s, r.status, e);
        return accept_body(s, &r, a, e);
}

static int ask_by_head(struct question *s, struct registry_answer *a, struct err *e)
{
        cleanup_http_response struct http_response r = {0};
        if (ask(s, HTTP_HEAD, &r, e) < 0)
                return -1;
        if (r.status == 405 || r.status == 501)
                return ask_by_get(s, a, e);
        if (r.status != 200)
                return refuse_status(s, r.status, e);
        if (!is_digest(r.docker_content_digest))
                return ask_by_get(s, a, e);
        return accept_digest(s, r.docker_content_digest, a, e);
}

int registry_resolve(struct registry *r, const struct registry_query *q, struct registry_answer *a,
        struct err *e)
{
        cleanup(question_fini) struct question s;
        *a = (struct registry_answer){0};
        if (question_init(&s, r, q, e) < 0)
                return -1;
        return ask_by_head(&s, a, e);
}

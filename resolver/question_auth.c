/* SPDX-License-Identifier: Apache-2.0 */
/* What a question shows to the registry, and what it does where that is not enough. */
#include <string.h>

#include "base/clock.h"
#include "resolver/challenge.h"
#include "resolver/question.h"
#include "resolver/token.h"

enum {
        FRESH_TOKENS_MAX = 2,
        SERVER_TEXT_MAX_BYTES = 64,
};

#define DENIED "pull access denied, repository does not exist or may require authorization: "

static const struct login *login_here(const struct question *s)
{
        return question_is_home(s) ? &s->own : &s->anonymous;
}

/* A registry that redirects to a page of its own writing on another upstream would name the realm
 * for everybody who asks there: what is heard elsewhere ends with the question. */
static struct auth_memory *memory_here(struct question *s)
{
        if (question_is_home(s))
                return s->registry->memory;
        if (s->elsewhere == NULL)
                s->elsewhere = auth_memory_new();
        return s->elsewhere;
}

static struct auth_place place_here(const struct question *s)
{
        return (struct auth_place){.host = s->terms.upstream->host,
                .origin = s->origin,
                .repository = s->terms.repository};
}

static int64_t token_expiry_ms(const struct question *s, int64_t granted_ms, int64_t lifetime_s)
{
        int64_t reuse_ms = s->terms.token_reuse_ms;
        return granted_ms + (lifetime_s < reuse_ms / 1000 ? lifetime_s * 1000 : reuse_ms);
}

static int fetch_token(struct question *s, const struct challenge *challenge, struct err *e)
{
        struct auth_place place = place_here(s);
        struct http_trust trust = question_trust(s);
        const struct upstream *u = s->terms.upstream;
        struct token_query q = {
                .pool = s->registry->pool,
                .trust = &trust,
                .login = login_here(s),
                .challenge = challenge,
                .origin = s->origin,
                .upstream_origin = s->home,
                .refuse_local_addresses = !s->home_is_local,
                .repository = s->terms.repository,
                .headers = question_is_home(s) ? u->headers : NULL,
                .header_count = question_is_home(s) ? u->header_count : 0,
                .timeout_ms = s->terms.timeout_ms,
                .connect_timeout_ms = s->terms.connect_timeout_ms,
                .deadline_ms = s->terms.deadline_ms,
                .watch_fd = s->terms.watch_fd,
                .cancel = s->terms.cancel,
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
        s->shown = QUESTION_SHOWN_NEW_TOKEN;
        return 0;
}

static int choose_token(struct question *s, const struct challenge *challenge, struct err *e)
{
        struct auth_place place = place_here(s);
        const struct login *login = login_here(s);
        if (login->registry_token != NULL) {
                s->token = mem_strdup(login->registry_token);
                s->shown = QUESTION_SHOWN_GIVEN_TOKEN;
                return 0;
        }
        s->token = auth_memory_token(memory_here(s), &place, login->key, clock_mono_ms());
        if (s->token == NULL)
                return fetch_token(s, challenge, e);
        s->shown = QUESTION_SHOWN_OLD_TOKEN;
        return 0;
}

/* Adds what the registry is known to ask for; nothing as long as it has not asked. */
static int authorize(struct question *s, struct lines *lines, struct err *e)
{
        struct auth_place place = place_here(s);
        const struct login *login = login_here(s);
        cleanup_challenge struct challenge challenge = {0};
        s->shown = QUESTION_SHOWN_NOTHING;
        mem_free_secret(take(&s->token));
        if (!auth_memory_challenge(memory_here(s), &place, &challenge))
                return 0;
        if (login->broken != NULL)
                return err_set(e, ERR_UNAUTHORIZED, "the request's credentials are unusable: %s",
                        login->broken);
        if (challenge.scheme == CHALLENGE_BASIC) {
                char *line = login_basic(login);
                s->shown = line != NULL ? QUESTION_SHOWN_BASIC : QUESTION_SHOWN_NOTHING;
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
 * Refused credentials are not tried again: token servers lock accounts. Without patience a token
 * server that does not answer is not either. */
int question_authorize(struct question *s, struct lines *lines, struct err *e)
{
        if (authorize(s, lines, e) == 0)
                return 0;
        struct auth_place place = place_here(s);
        auth_memory_drop_challenge(memory_here(s), &place);
        bool refused = e->http == 401 || e->http == 403;
        bool left = !s->terms.patient && err_try_next_source(e->code);
        if (s->challenged || refused || left || e->code == ERR_CANCELLED)
                return err_wrap(e, "failed to authorize");
        s->fresh_tokens = 0;
        return 0;
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

static enum question_next refuse(const struct question *s, const struct challenge *c, struct err *e)
{
        if (c->error != NULL && c->error[0] != '\0') {
                err_set(e, ERR_UNAUTHORIZED, DENIED "server message: %.*s: authorization failed",
                        SERVER_TEXT_MAX_BYTES, c->error);
                e->http = 401;
        } else {
                answer_refuse(question_method(s), s->url, 401, e);
        }
        return QUESTION_FAIL;
}

static enum question_next after_basic_challenge(
        const struct question *s, const struct challenge *c, struct err *e)
{
        const struct login *login = login_here(s);
        if (s->shown == QUESTION_SHOWN_BASIC)
                return refuse(s, c, e);
        if (login->broken == NULL && login->secret[0] == '\0') {
                err_set(e, ERR_UNAUTHORIZED,
                        DENIED "authorization failed: no basic auth credentials");
                e->http = 401;
                return QUESTION_FAIL;
        }
        return QUESTION_AGAIN;
}

static enum question_next after_bearer_challenge(
        struct question *s, const struct challenge *c, struct err *e)
{
        struct auth_place place = place_here(s);
        if (s->shown == QUESTION_SHOWN_OLD_TOKEN || s->shown == QUESTION_SHOWN_NEW_TOKEN)
                auth_memory_drop_token(memory_here(s), &place, login_here(s)->key, s->token);
        bool again = s->shown != QUESTION_SHOWN_GIVEN_TOKEN && s->fresh_tokens < FRESH_TOKENS_MAX &&
                     (s->shown != QUESTION_SHOWN_NEW_TOKEN || !is_known(s, c));
        return again ? QUESTION_AGAIN : refuse(s, c, e);
}

enum question_next question_after_challenge(
        struct question *s, const struct http_response *r, struct err *e)
{
        cleanup_challenge struct challenge c = {0};
        for (size_t i = 0; i < r->www_authenticate_count; i++) {
                const char *value = r->www_authenticate[i];
                if (challenge_parse(value, strlen(value), &c, e) < 0) {
                        err_wrap(e, "%s", s->origin);
                        return QUESTION_FAIL;
                }
        }
        s->challenged = true;
        struct auth_place place = place_here(s);
        enum question_next next = QUESTION_FAIL;
        if (c.scheme == CHALLENGE_NONE)
                answer_refuse(question_method(s), s->url, 401, e);
        else if (c.scheme == CHALLENGE_BASIC)
                next = after_basic_challenge(s, &c, e);
        else
                next = after_bearer_challenge(s, &c, e);
        if (next == QUESTION_AGAIN)
                auth_memory_keep_challenge(memory_here(s), &place, &c);
        return next;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The upstreams, and their mirrors, asked for each tag: a lane for each of them. */
#include <pthread.h>
#include <string.h>

#include "ctl/drift.h"
#include "ctl/lanes.h"
#include "resolver/resolve.h"

enum { AT_ONCE = 4, AT_ONCE_EACH = 2, IN_VAIN_MAX = 2 };

struct question {
        struct drift_tag *tag;
        struct drift_mirror *mirror; /* NULL: the upstream */
};

struct asking {
        const struct config *config;
        struct resolver *resolver;
        struct cancel *cancel;
        struct question *questions;
        size_t *lane_of; /* by question */
        size_t count;
        pthread_mutex_t lock; /* of the lanes */
        struct drift_lane *lanes;
        size_t lane_count;
};

void drift_lane_note(struct drift_lane *lane, const struct err *outcome)
{
        bool in_vain = outcome->code == ERR_UNREACHABLE || outcome->code == ERR_TIMEOUT;
        lane->in_vain = in_vain ? lane->in_vain + 1 : 0;
        if (outcome->code == ERR_RATE_LIMITED || lane->in_vain >= IN_VAIN_MAX)
                lane->given_up = *outcome;
}

static int ask_upstream(
        const struct asking *a, struct drift_tag *t, char digest[DIGEST_MAX], struct err *e)
{
        struct registry_answer answer;
        unsigned members = 0;
        if (resolve(a->resolver, a->config, &t->ref, &t->credentials.shown, a->cancel, &answer,
                    &members, e) < 0)
                return -1;
        memcpy(digest, answer.digest, DIGEST_MAX);
        return 0;
}

static int ask_mirror(
        const struct asking *a, const struct question *q, char digest[DIGEST_MAX], struct err *e)
{
        static const struct credentials nobody; /* ours are for the upstream alone */
        struct registry_answer answer;
        cleanup_upstream struct upstream *mirror = upstream_new_mirror(a->config, q->mirror->url);
        const struct registry_query query = {
                .upstream = mirror,
                .credentials = &nobody,
                .repository = q->tag->ref.repository,
                .reference = q->tag->ref.tag,
                .timeout_ms = a->config->timeout_ms,
                .budget_ms = a->config->budget_ms,
                .token_reuse_ms = a->config->token_reuse_ms,
                .cancel = a->cancel,
        };
        if (upstream_read_secrets(mirror, e) < 0 ||
                registry_resolve(resolver_registry(a->resolver), &query, &answer, e) < 0)
                return -1;
        memcpy(digest, answer.digest, DIGEST_MAX);
        return 0;
}

/* What is known without asking: 0 when it must be asked. */
static struct err forbidden(struct asking *a, const struct drift_lane *lane)
{
        struct err e = {0};
        if (cancel_fired(a->cancel)) {
                (void)err_set(&e, ERR_CANCELLED, "cancelled");
                return e;
        }
        pthread_mutex_lock(&a->lock);
        e = lane->given_up;
        pthread_mutex_unlock(&a->lock);
        return e;
}

/* On a thread of the crew. */
static void ask(void *arg, size_t i)
{
        struct asking *a = arg;
        const struct question *q = &a->questions[i];
        struct drift_lane *lane = &a->lanes[a->lane_of[i]];
        struct err *out = q->mirror != NULL ? &q->mirror->err : &q->tag->err;
        char *digest = q->mirror != NULL ? q->mirror->digest : q->tag->digest;
        struct err e = forbidden(a, lane);
        if (e.code == ERR_NONE) {
                int failed = q->mirror != NULL ? ask_mirror(a, q, digest, &e)
                                               : ask_upstream(a, q->tag, digest, &e);
                if (failed == 0)
                        e = (struct err){0};
                pthread_mutex_lock(&a->lock);
                drift_lane_note(lane, &e);
                pthread_mutex_unlock(&a->lock);
        }
        *out = e;
}

/* ---- who is asked what ---- */

static size_t lane_named(struct asking *a, const char *name)
{
        for (size_t i = 0; i < a->lane_count; i++)
                if (strcmp(a->lanes[i].name, name) == 0)
                        return i;
        a->lanes = mem_resize(a->lanes, (a->lane_count + 1) * sizeof(*a->lanes));
        a->lanes[a->lane_count] = (struct drift_lane){.name = name};
        return a->lane_count++;
}

static void add_question(struct asking *a, struct drift_tag *t, struct drift_mirror *m)
{
        a->questions = mem_resize(a->questions, (a->count + 1) * sizeof(*a->questions));
        a->lane_of = mem_resize(a->lane_of, (a->count + 1) * sizeof(*a->lane_of));
        a->questions[a->count] = (struct question){.tag = t, .mirror = m};
        a->lane_of[a->count++] = lane_named(a, m != NULL ? m->url : t->ref.host);
}

static void add_mirrors(struct asking *a, struct drift_tag *t)
{
        bool unused = false;
        const struct config_upstream *u = config_upstream_for(a->config, t->ref.host, &unused);
        t->mirror_count = u->mirror_count;
        t->mirrors = mem_zalloc(t->mirror_count * sizeof(*t->mirrors));
        for (size_t i = 0; i < t->mirror_count; i++) {
                t->mirrors[i].url = u->mirrors[i];
                add_question(a, t, &t->mirrors[i]);
        }
}

void drift_ask(struct drift *d, const struct config *c, bool mirrors, struct cancel *cancel)
{
        struct asking a = {.config = c, .cancel = cancel};
        for (size_t i = 0; i < d->tag_count; i++) {
                struct drift_tag *t = &d->tags[i];
                if (!t->wanted && !t->named)
                        continue;
                if (t->err.code == ERR_NONE)
                        add_question(&a, t, NULL); /* else its credentials cannot be had */
                if (mirrors)
                        add_mirrors(&a, t);
        }
        a.resolver = resolver_new();
        pthread_mutex_init(&a.lock, NULL);
        const struct lanes_limits limits = {.overall = AT_ONCE, .per_lane = AT_ONCE_EACH};
        lanes_run(a.lane_of, a.count, a.lane_count, limits, ask, &a);
        pthread_mutex_destroy(&a.lock);
        resolver_free(a.resolver);
        free(a.questions);
        free(a.lane_of);
        free(a.lanes);
}

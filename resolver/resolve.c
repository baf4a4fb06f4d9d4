/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/resolve.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/share.h"
#include "config/trust.h"

struct resolver {
        struct registry *registry;
        struct share_group *group;
};

struct resolver *resolver_new(void)
{
        struct resolver *rs = mem_zalloc(sizeof(*rs));
        rs->registry = registry_new();
        rs->group = share_group_new();
        return rs;
}

void resolver_free(struct resolver *rs)
{
        if (rs == NULL)
                return;
        share_group_free(rs->group);
        registry_free(rs->registry);
        free(rs);
}

struct registry *resolver_registry(struct resolver *rs)
{
        return rs->registry;
}

/* What one question brought: an answer, or why there is none. */
struct outcome {
        struct share_result shared;
        bool ok;
        struct registry_answer answer;
        struct err err;
};

struct work {
        struct registry *registry;
        struct registry_query query;
        bool asked; /* by this member, for all */
};

static void outcome_free(struct share_result *r)
{
        free(r);
}

/* What does not fit is cut off. */
static void append_note(struct err *e, const char *note)
{
        size_t size = strlen(e->msg);
        snprintf(e->msg + size, sizeof(e->msg) - size, " (%s)", note);
}

static struct share_result *ask(void *arg, struct cancel *cancel)
{
        struct work *work = arg;
        struct outcome *o = mem_zalloc(sizeof(*o));
        share_result_init(&o->shared, outcome_free);
        work->asked = true;
        work->query.cancel = cancel;
        o->ok = registry_resolve(work->registry, &work->query, &o->answer, &o->err) == 0;
        const char *note = work->query.upstream->note;
        if (!o->ok && note != NULL)
                append_note(&o->err, note);
        return &o->shared;
}

static int ask_once(struct resolver *rs, const struct config *c, const struct ref *r,
        const struct credentials *credentials, struct cancel *cancel, struct registry_answer *a,
        unsigned *members, struct err *e)
{
        *members = 0;
        cleanup_upstream struct upstream *upstream = NULL;
        if (upstream_new(c, r->host, &upstream, e) < 0 || upstream_read_secrets(upstream, e) < 0)
                return -1;
        struct work work = {
                .registry = rs->registry,
                .query =
                        {
                                .upstream = upstream,
                                .credentials = credentials,
                                .repository = r->repository,
                                .reference = r->tag != NULL ? r->tag : r->digest,
                                .timeout_ms = c->timeout_ms,
                                .budget_ms = c->budget_ms,
                                .token_reuse_ms = c->token_reuse_ms,
                        },
        };
        const char *label = config_upstream_label(c, r->host);
        work.query.heads = metrics_series(METRIC_HEADS_SENT, METRICS_WORDS(label));
        char who[DIGEST_SHA256_SIZE + 1];
        credentials_key(credentials, who);
        cleanup_free char *key = mem_printf("%s\n%s\n%s", upstream->base_url, r->text, who);
        struct share_result *shared = NULL;
        if (share_run(rs->group, key, SHARE_JOIN_NEXT, ask, &work, cancel, &shared, e) < 0)
                return -1;
        const struct outcome *o = (const struct outcome *)shared;
        if (!work.asked)
                metrics_add(METRIC_HEADS_SAVED, 1, METRICS_WORDS(label));
        *members = shared->members;
        *a = o->answer;
        int result = o->ok ? 0 : -1;
        if (!o->ok)
                *e = o->err;
        share_result_put(shared);
        return result;
}

int resolve(struct resolver *rs, const struct config *c, const struct ref *r,
        const struct credentials *credentials, struct cancel *cancel, struct registry_answer *a,
        unsigned *members, struct err *e)
{
        const char *label = config_upstream_label(c, r->host);
        int64_t began_ns = clock_mono_ns();
        int result = ask_once(rs, c, r, credentials, cancel, a, members, e);
        const char *kind = err_label(result == 0 ? ERR_NONE : e->code);
        metrics_add(METRIC_RESOLVES, 1, METRICS_WORDS(label, kind));
        metrics_observe(
                METRIC_RESOLVE_DURATION, (clock_mono_ns() - began_ns) / 1000, METRICS_WORDS(label));
        return result;
}

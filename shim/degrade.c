/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/degrade.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/clock.h"
#include "resolver/route.h"

enum { REASONS_MAX_BYTES = 600 };

/* The policy does not help, for this reason: the resolve's own error stands, its code too. */
static int refuse(const struct err *why, struct err *e, const char *reason)
{
        *e = *why;
        struct err context = *why;
        snprintf(e->msg, sizeof(e->msg), "%.800s (%s)", context.msg, reason);
        return -1;
}

/* Why the record's verification does not help, into `reason`; false if it does. */
static bool is_of_no_use(const struct degrade_question *q, const struct image_record *record,
        char *reason, size_t size)
{
        int64_t age_s = clock_unix_s() - record->verified.unix_s;
        const char *why = NULL;
        if (record->verified.unix_s == 0)
                why = "was never verified by us";
        else if (age_s < 0) /* a clock was wrong; it must not count until the time has come */
                why = "was verified in the future";
        else if (!verification_is_young(record->verified, q->policy->max_stale_s))
                why = "was verified too long ago";
        else if (!record->verified.anonymous && !q->policy->degraded_without_authorisation)
                why = "was verified for a request with credentials; see "
                      "degraded_without_authorisation";
        if (why == NULL)
                return false;
        snprintf(reason, size, "on_upstream_down = \"stale\", but what is here %s", why);
        if (record->verified.unix_s != 0 && age_s > q->policy->max_stale_s)
                snprintf(reason, size,
                        "on_upstream_down = \"stale\", but what is here was verified %" PRId64
                        " s ago and max_stale is %" PRId64 " s",
                        age_s, q->policy->max_stale_s);
        return true;
}

/* What was verified last for the name itself, if that is young enough. */
static int last_verified(const struct degrade_question *q, const struct err *why,
        char digest[DIGEST_MAX], struct err *e)
{
        struct err missing;
        char reason[192];
        cleanup_image_record struct image_record record = {0};
        if (images_get(q->images, q->ref->text, &record, &missing) < 0)
                return refuse(why, e,
                        missing.code == ERR_NOT_FOUND
                                ? "on_upstream_down = \"stale\", but the image is not here"
                                : missing.msg);
        if (is_of_no_use(q, &record, reason, sizeof(reason)))
                return refuse(why, e, reason);
        snprintf(digest, DIGEST_MAX, "%s", record.digest);
        return 0;
}

/* Has the upstream vouched for the tag within max_stale? Then no mirror moves it. */
static bool has_young(const struct degrade_question *q)
{
        struct err unused;
        cleanup_image_record struct image_record record = {0};
        return images_get(q->images, q->ref->text, &record, &unused) == 0 &&
               verification_is_young(record.verified, q->policy->max_stale_s);
}

struct asking {
        const struct degrade_question *question;
        struct route *route;
        struct registry_answer answer;
        struct buf reasons; /* why those that were asked do not know it */
};

static void asking_fini(struct asking *a)
{
        route_free(a->route);
        buf_fini(&a->reasons);
}

static int ask(struct asking *a, const struct source *s, struct err *e)
{
        static const struct credentials nobody; /* the pod's are for its upstream alone */
        const struct degrade_question *q = a->question;
        struct registry_query query = {
                .upstream = s->access,
                .credentials = &nobody,
                .repository = q->ref->repository,
                .reference = q->ref->tag != NULL ? q->ref->tag : q->ref->digest,
                .host = q->ref->host,
                .timeout_ms = q->config->timeout_ms,
                .budget_ms = q->config->timeout_ms,
                .token_reuse_ms = q->config->token_reuse_ms,
                .cancel = q->cancel,
        };
        return registry_resolve(q->registry, &query, &a->answer, e);
}

static void note_reason(struct asking *a, const struct source *s, const char *why)
{
        buf_printf(&a->reasons, "%s%s: %.160s", a->reasons.size > 0 ? "; " : "", s->name, why);
}

/* What a mirror opens to us alone is not for everybody: only the upstream could say whether it is
 * for this pod. */
static bool may_say(struct asking *a, const struct source *s)
{
        bool may = a->question->policy->degraded_without_authorisation ||
                   !upstream_shows_secrets(s->access);
        if (!may)
                note_reason(a, s,
                        "is not asked, because it gets credentials, a client certificate or "
                        "headers of ours; see degraded_without_authorisation");
        return may;
}

/* *use is empty for a mirror that is not admitted: then nothing is reported. */
static bool knows(struct asking *a, const struct source *s, struct mirror_use *use)
{
        struct err e;
        if (ask(a, s, &e) == 0) {
                mirror_report(use, MIRROR_GOOD, -1, NULL);
                return true;
        }
        mirror_report(use, mirror_verdict_of(&e), a->answer.retry_after_ms, &e);
        note_reason(a, s, e.msg);
        return false;
}

/* The first that knows the name; last those that are down or on trial. There is nobody else left to
 * ask, and what brings a cache down is often the very upstream that is away: what it has, it has.
 */
static bool ask_each(struct asking *a)
{
        uint64_t passed_over = 0;
        const struct source *sources = a->route->sources;
        for (size_t i = 0; i < a->route->count && sources[i].mirror != NULL; i++) {
                cleanup_mirror_use struct mirror_use use = {0};
                if (!may_say(a, &sources[i]))
                        continue;
                if (!mirror_admit(sources[i].mirror, &use))
                        passed_over |= UINT64_C(1) << i;
                else if (knows(a, &sources[i], &use))
                        return true;
        }
        for (size_t i = 0; i < a->route->count; i++) {
                struct mirror_use nobody = {0};
                if ((passed_over >> i & 1) != 0 && knows(a, &sources[i], &nobody))
                        return true;
        }
        return false;
}

static int ask_mirrors(const struct degrade_question *q, const struct err *why,
        char digest[DIGEST_MAX], struct err *e)
{
        cleanup(asking_fini) struct asking a = {.question = q};
        buf_init(&a.reasons, REASONS_MAX_BYTES);
        if (route_new(q->health, q->config, q->ref->host, &a.route, e) < 0)
                return -1;
        if (ask_each(&a)) {
                snprintf(digest, DIGEST_MAX, "%s", a.answer.digest);
                return 0;
        }
        cleanup_free char *all = mem_printf("on_upstream_down = \"mirror\", but %s",
                a.reasons.size > 0 ? buf_str(&a.reasons) : "no mirror is configured");
        return refuse(why, e, all);
}

int degrade(const struct degrade_question *q, const struct err *why, char digest[DIGEST_MAX],
        bool *by_mirror, struct err *e)
{
        *e = *why;
        *by_mirror = false;
        if (!err_try_next_source(why->code) || q->policy->on_upstream_down == UPSTREAM_DOWN_FAIL)
                return -1;
        if (q->has_credentials && !q->policy->degraded_without_authorisation)
                return refuse(why, e,
                        "on_upstream_down is not applied to a request with credentials: nobody can "
                        "check them now; see degraded_without_authorisation");
        *by_mirror = q->policy->on_upstream_down == UPSTREAM_DOWN_MIRROR && !has_young(q);
        return *by_mirror ? ask_mirrors(q, why, digest, e) : last_verified(q, why, digest, e);
}

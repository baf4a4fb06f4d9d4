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

static int ask_mirror(const struct degrade_question *q, const struct source *s,
        struct registry_answer *a, struct err *e)
{
        static const struct credentials nobody; /* the pod's are for its upstream alone */
        cleanup_mirror_use struct mirror_use use = {0};
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
        if (!mirror_admit(s->mirror, &use))
                return err_set(e, ERR_UNREACHABLE, "it is down");
        int r = registry_resolve(q->registry, &query, a, e);
        mirror_report(&use, r == 0 ? MIRROR_GOOD : mirror_verdict_of(e), -1, r == 0 ? NULL : e);
        return r;
}

/* The first that knows the name. Why the others do not is told where none does. */
static int ask_mirrors(const struct degrade_question *q, const struct err *why,
        char digest[DIGEST_MAX], struct err *e)
{
        cleanup_route struct route *route = NULL;
        cleanup_buf struct buf reasons;
        buf_init(&reasons, REASONS_MAX_BYTES);
        if (route_new(q->health, q->config, q->ref->host, &route, e) < 0)
                return -1;
        for (size_t i = 0; i < route->count && route->sources[i].mirror != NULL; i++) {
                struct err failed;
                struct registry_answer a;
                if (ask_mirror(q, &route->sources[i], &a, &failed) == 0) {
                        snprintf(digest, DIGEST_MAX, "%s", a.digest);
                        return 0;
                }
                buf_printf(&reasons, "%s%s: %.160s", i > 0 ? "; " : "", route->sources[i].name,
                        failed.msg);
        }
        cleanup_free char *all = mem_printf("on_upstream_down = \"mirror\", but %s",
                reasons.size > 0 ? buf_str(&reasons) : "no mirror is configured");
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

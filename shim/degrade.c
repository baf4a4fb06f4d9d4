/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/degrade.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"

/* The policy does not help, for this reason: the resolve's own error stands, its code too. */
static int refuse(const struct err *why, struct err *e, const char *reason)
{
        *e = *why;
        struct err context = *why;
        snprintf(e->msg, sizeof(e->msg), "%.800s (%s)", context.msg, reason);
        return -1;
}

/* What was verified last for the name itself, if that is young enough. */
static int last_verified(struct images *im, const struct config_upstream *policy,
        const struct ref *r, const struct err *why, char digest[DIGEST_MAX], struct err *e)
{
        struct err missing;
        cleanup_image_record struct image_record record = {0};
        if (images_get(im, r->text, &record, &missing) < 0)
                return refuse(why, e,
                        missing.code == ERR_NOT_FOUND
                                ? "on_upstream_down = \"stale\", but the image is not here"
                                : missing.msg);
        if (record.verified.unix_s == 0)
                return refuse(why, e,
                        "on_upstream_down = \"stale\", but what is here was never verified by us");
        int64_t age_s = clock_unix_s() - record.verified.unix_s;
        if (age_s < 0) /* a clock was wrong; such an answer must not last until the time has come */
                return refuse(why, e,
                        "on_upstream_down = \"stale\", but what is here was verified in the "
                        "future");
        if (age_s > policy->max_stale_s) {
                char reason[160];
                snprintf(reason, sizeof(reason),
                        "on_upstream_down = \"stale\", but what is here was verified %" PRId64
                        " s ago and max_stale is %" PRId64 " s",
                        age_s, policy->max_stale_s);
                return refuse(why, e, reason);
        }
        if (!record.verified.anonymous && !policy->degraded_without_authorisation)
                return refuse(why, e,
                        "on_upstream_down = \"stale\", but what is here was verified for a request "
                        "with credentials; see degraded_without_authorisation");
        snprintf(digest, DIGEST_MAX, "%s", record.digest);
        return 0;
}

int degrade(struct images *im, const struct config_upstream *policy, const struct ref *r,
        bool has_credentials, const struct err *why, char digest[DIGEST_MAX], struct err *e)
{
        *e = *why;
        if (!err_try_next_source(why->code) || policy->on_upstream_down == UPSTREAM_DOWN_FAIL)
                return -1;
        if (has_credentials && !policy->degraded_without_authorisation)
                return refuse(why, e,
                        "on_upstream_down is not applied to a request with credentials: nobody can "
                        "check them now; see degraded_without_authorisation");
        if (policy->on_upstream_down == UPSTREAM_DOWN_MIRROR)
                return refuse(why, e, "on_upstream_down = \"mirror\", but no mirror is configured");
        return last_verified(im, policy, r, why, digest, e);
}

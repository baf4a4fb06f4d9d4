/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "resolver/resolve.h"
#include "shim/pull_internal.h"

enum { CLOCK_SKEW_S = 60 };

/* What the label says after this call. */
static struct verification own_verification(const struct pull *p)
{
        return (struct verification){
                .unix_s = p->verified_unix_s,
                .anonymous = !credentials_present(&p->request.credentials),
        };
}

/* Is our verification worth a label? Not if a good one would be lost: "to anybody" is said anew
 * only by a request without credentials, and it ends with max_stale. */
static bool improves(const struct pull *p, struct verification was, int64_t old_enough_s)
{
        struct verification own = own_verification(p);
        int64_t age_s = own.unix_s - was.unix_s;
        if (own.anonymous != was.anonymous)
                return own.anonymous || age_s > p->entry->max_stale_s;
        return age_s > old_enough_s || age_s < -CLOCK_SKEW_S; /* a label from the future */
}

static bool is_sandbox_image(const struct pull *p)
{
        return p->backend.sandbox_image != NULL &&
               strcmp(p->backend.sandbox_image, p->request.ref.text) == 0;
}

/* The digest's own record bears the label too; it is there since containerd pulled it. */
static int mark_digest(struct pull *p, struct image_record *digested, struct err *e)
{
        if (images_get(&p->service->images, p->digested, digested, e) < 0)
                return err_wrap(e, "containerd has pulled %s, but now", p->digested);
        if (!improves(p, digested->verified, p->entry->max_stale_s))
                return 0;
        containers_writing(p->service->containers, p->digested, p->resolved.digest, true);
        return images_mark(
                &p->service->images, p->digested, p->resolved.digest, own_verification(p), e);
}

static int write_tag(struct pull *p, struct err *e)
{
        cleanup_image_record struct image_record digested = {0};
        if (mark_digest(p, &digested, e) < 0)
                return -1;
        struct image_alias alias = {
                .name = p->request.ref.text,
                .from = &digested,
                .verified = own_verification(p),
                .managed = !is_sandbox_image(p),
        };
        containers_writing(p->service->containers, alias.name, digested.digest, true);
        return images_alias(&p->service->images, &alias, e);
}

/* In the turn nobody else writes: if the upstream still says what we pulled, it says so later than
 * all that was written. The last round ends here, so that overlapping answers alone cannot fail a
 * pull. */
static bool still_so(struct pull *p)
{
        struct err unused;
        struct registry_answer again;
        if (p->rounds < PULL_ROUNDS_MAX ||
                resolve(p->service->resolver, p->config, &p->request.ref, &p->request.credentials,
                        proxy_call_cancel(p->call), &again, &p->heads_shared_by, &unused) < 0 ||
                strcmp(again.digest, p->resolved.digest) != 0)
                return false;
        p->resolved = again;
        p->verified_unix_s = clock_unix_s();
        return true;
}

/* At the end of a write: `record` is what the tag was before. */
static void count_move(const struct pull *p, const struct image_record *record)
{
        if (record->digest == NULL || strcmp(record->digest, p->resolved.digest) == 0)
                return;
        metrics_add(METRIC_TAGS_MOVED, 1,
                METRICS_WORDS(config_upstream_label(p->config, p->request.ref.host)));
}

static enum step settle_in_turn(struct pull *p, struct err *e)
{
        cleanup_image_record struct image_record record = {0};
        if (images_get(&p->service->images, p->request.ref.text, &record, e) < 0 &&
                e->code != ERR_NOT_FOUND)
                return STEP_FAILED;
        switch (order_judge(p->tag, &p->resolved, record.digest)) {
        case ORDER_ASK_AGAIN:
                if (!still_so(p))
                        return STEP_AGAIN;
                __attribute__((fallthrough));
        case ORDER_WRITE:
                if (write_tag(p, e) < 0)
                        return pull_failed_or_removed(p, e);
                count_move(p, &record);
                break;
        case ORDER_NOTHING_TO_WRITE:
                break;
        }
        order_confirm(p->tag, &p->resolved);
        containers_verified(p->service->containers, p->request.ref.text, p->resolved.digest,
                p->verified_unix_s);
        return STEP_DONE;
}

/* In the turn: a mirror's word moves no tag that the upstream has vouched for lately. */
static enum step settle_by_mirror(struct pull *p, struct err *e)
{
        cleanup_image_record struct image_record tagged = {0};
        cleanup_image_record struct image_record digested = {0};
        if (images_get(&p->service->images, p->request.ref.text, &tagged, e) < 0 &&
                e->code != ERR_NOT_FOUND)
                return STEP_FAILED;
        if (verification_is_young(tagged.verified, p->entry->max_stale_s))
                return STEP_DONE;
        if (images_get(&p->service->images, p->digested, &digested, e) < 0)
                return pull_failed_or_removed(p, e);
        struct image_alias alias = {
                .name = p->request.ref.text, .from = &digested, .managed = !is_sandbox_image(p)};
        containers_writing(p->service->containers, alias.name, digested.digest, false);
        if (images_alias(&p->service->images, &alias, e) < 0)
                return pull_failed_or_removed(p, e);
        count_move(p, &tagged);
        return STEP_DONE;
}

/* A digest cannot move: its record bears the label, and that is all. */
static enum step settle_digest(struct pull *p, struct err *e)
{
        cleanup_image_record struct image_record digested = {0};
        if (mark_digest(p, &digested, e) < 0)
                return pull_failed_or_removed(p, e);
        containers_verified(
                p->service->containers, p->digested, p->resolved.digest, p->verified_unix_s);
        return STEP_DONE;
}

enum step pull_settle(struct pull *p, struct err *e)
{
        if (!p->verified && !(p->by_mirror && p->tag != NULL)) /* what was here stays */
                return STEP_DONE;
        if (p->tag == NULL)
                return settle_digest(p, e);
        order_turn_begin(p->service->order, p->tag);
        enum step s = p->verified ? settle_in_turn(p, e) : settle_by_mirror(p, e);
        order_turn_end(p->service->order, p->tag);
        return s;
}

enum { FIRST_ONLY = -1 };

static void renew(struct pull *p, const char *name, int64_t old_enough_s)
{
        struct err e;
        struct images *im = &p->service->images;
        cleanup_image_record struct image_record record = {0};
        if (images_get(im, name, &record, &e) < 0 || strcmp(record.digest, p->resolved.digest) != 0)
                return;
        if (old_enough_s == FIRST_ONLY ? record.verified.unix_s != 0
                                       : !improves(p, record.verified, old_enough_s))
                return;
        containers_writing(p->service->containers, name, record.digest, true);
        if (images_mark(im, name, record.digest, own_verification(p), &e) < 0)
                log_line(LOG_LEVEL_WARNING, "label not renewed", "reference", name, "error", e.msg,
                        NULL);
}

/* With the policy "stale", and where containers are followed, an unchanged answer renews the label,
 * now and then: each write is a transaction of containerd's database and an event. After the
 * answer: nobody waits for it. The digest's own label tells after a restart that an older image was
 * verified once. */
void pull_renew(struct pull *p)
{
        bool followed = p->service->containers != NULL;
        bool unchanged = p->source != NULL && strcmp(p->source, "current") == 0;
        if (p->answer.code != 0 || !p->verified || !unchanged ||
                (p->entry->on_upstream_down != UPSTREAM_DOWN_STALE && !followed))
                return;
        if (p->tag != NULL)
                order_turn_begin(p->service->order, p->tag);
        renew(p, p->request.ref.text, p->entry->max_stale_s / 4);
        if (p->tag != NULL && followed)
                renew(p, p->digested, FIRST_ONLY);
        if (p->tag != NULL)
                order_turn_end(p->service->order, p->tag);
}

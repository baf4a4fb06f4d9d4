/* SPDX-License-Identifier: Apache-2.0 */
/* What the answers mean. Pure. */
#include <string.h>

#include "ctl/drift.h"

/* Reasons that are no failures of an upstream. */
#define NO_TAG   "no_tag"   /* containerd does not say what the container was started from */
#define NO_IMAGE "no_image" /* containerd has no record of the image any more */

const char *drift_state_name(enum drift_state state)
{
        static const char *const names[DRIFT_STATES] = {
                [DRIFT_CURRENT] = "current",
                [DRIFT_MOVED] = "moved",
                [DRIFT_OLDER] = "older",
                [DRIFT_RESTART_NEEDED] = "restart-needed",
                [DRIFT_GONE] = "gone",
                [DRIFT_UNKNOWN] = "unknown",
        };
        return names[state];
}

const char *drift_mirror_state_name(enum drift_mirror_state state)
{
        static const char *const names[DRIFT_MIRROR_STATES] = {
                [DRIFT_MIRROR_CURRENT] = "current",
                [DRIFT_MIRROR_STALE] = "stale",
                [DRIFT_MIRROR_ABSENT] = "absent",
                [DRIFT_MIRROR_DOWN] = "down",
                [DRIFT_MIRROR_UNKNOWN] = "unknown",
        };
        return names[state];
}

int64_t drift_as_of(const struct drift_tag *t)
{
        if (t->image == NULL)
                return 0;
        return t->image->verified_s > 0 ? t->image->verified_s : t->image->updated_s;
}

static void judge_mirror(const struct drift_tag *t, struct drift_mirror *m)
{
        if (m->err.code != ERR_NONE)
                m->state = m->err.code == ERR_NOT_FOUND ? DRIFT_MIRROR_ABSENT : DRIFT_MIRROR_DOWN;
        else if (t->err.code == ERR_NOT_FOUND)
                m->state = DRIFT_MIRROR_STALE; /* it has what is no more */
        else if (t->err.code != ERR_NONE)
                m->state = DRIFT_MIRROR_UNKNOWN;
        else
                m->state = strcmp(m->digest, t->digest) == 0 ? DRIFT_MIRROR_CURRENT
                                                             : DRIFT_MIRROR_STALE;
}

static void judge_tag(struct drift_tag *t)
{
        if (t->err.code == ERR_NOT_FOUND)
                t->state = DRIFT_GONE;
        else if (t->err.code != ERR_NONE)
                t->state = DRIFT_UNKNOWN;
        else if (t->image == NULL || strcmp(t->digest, t->image->digest) == 0)
                t->state = DRIFT_CURRENT;
        else
                t->state = DRIFT_MOVED;
        t->reason = t->state == DRIFT_UNKNOWN ? err_label(t->err.code) : NULL;
        for (size_t i = 0; i < t->mirror_count; i++)
                judge_mirror(t, &t->mirrors[i]);
}

static void unknown(struct drift_container *c, const char *reason)
{
        c->state = DRIFT_UNKNOWN;
        c->reason = reason;
}

/* Whether containerd has another image under the tag than the one that runs. */
static bool is_left_behind(const struct drift *d, const struct drift_container *c)
{
        const struct drift_image *here = c->tag->image;
        return here != NULL && !drift_has_digest(d, c->image_id, here->digest);
}

static void judge_unanswered(const struct drift *d, struct drift_container *c)
{
        enum err_code code = c->tag->err.code;
        if (code == ERR_NOT_FOUND)
                c->state = DRIFT_GONE;
        else if (is_left_behind(d, c))
                c->state = DRIFT_RESTART_NEEDED; /* that much is known without the upstream */
        else
                unknown(c, err_label(code));
}

/* A container that is left behind needs but a restart, unless the upstream has something newer
 * still. */
static void judge_answered(const struct drift *d, struct drift_container *c)
{
        const struct drift_tag *t = c->tag;
        if (drift_has_digest(d, c->image_id, t->digest))
                c->state = DRIFT_CURRENT;
        else if (is_left_behind(d, c) && strcmp(t->image->digest, t->digest) == 0)
                c->state = DRIFT_RESTART_NEEDED;
        else
                c->state = DRIFT_OLDER;
}

static void judge_container(const struct drift *d, struct drift_container *c)
{
        c->reason = NULL;
        if (c->ref.text == NULL)
                unknown(c, NO_TAG);
        else if (c->tag == NULL)
                c->state = DRIFT_CURRENT; /* a digest does not move */
        else if (c->digest == NULL)
                unknown(c, NO_IMAGE);
        else if (c->tag->err.code != ERR_NONE)
                judge_unanswered(d, c);
        else
                judge_answered(d, c);
}

void drift_judge(struct drift *d)
{
        for (size_t i = 0; i < d->tag_count; i++)
                judge_tag(&d->tags[i]);
        for (size_t i = 0; i < d->container_count; i++)
                judge_container(d, &d->containers[i]);
}

bool drift_shows_tag(const struct drift_only *only, const struct drift_tag *t)
{
        return t->wanted && only->states[t->state];
}

bool drift_shows_container(const struct drift_only *only, const struct drift_container *c)
{
        return only->states[c->state];
}

struct drift_counts drift_count(const struct drift *d)
{
        struct drift_counts counts = {0};
        for (size_t i = 0; i < d->tag_count; i++)
                counts.tags[d->tags[i].state] += d->tags[i].wanted;
        for (size_t i = 0; i < d->container_count; i++)
                counts.containers[d->containers[i].state]++;
        return counts;
}

static bool is_found(enum drift_state state)
{
        return state != DRIFT_CURRENT && state != DRIFT_UNKNOWN;
}

static bool has_stale_mirror(const struct drift_tag *t)
{
        for (size_t i = 0; i < t->mirror_count; i++)
                if (t->mirrors[i].state == DRIFT_MIRROR_STALE)
                        return true;
        return false;
}

static int code_of_tag(const struct drift_only *only, const struct drift_tag *t, bool *found)
{
        if (drift_shows_tag(only, t) && (is_found(t->state) || has_stale_mirror(t)))
                *found = true;
        return t->wanted && t->state == DRIFT_UNKNOWN ? cli_exit_code(&t->err) : CLI_OK;
}

static int code_of_container(
        const struct drift_only *only, const struct drift_container *c, bool *found)
{
        if (drift_shows_container(only, c) && is_found(c->state))
                *found = true;
        if (c->state != DRIFT_UNKNOWN)
                return CLI_OK;
        bool failed = c->tag != NULL && c->tag->err.code != ERR_NONE;
        return failed ? cli_exit_code(&c->tag->err) : err_exit_code(ERR_NOT_FOUND);
}

int drift_exit_code(const struct drift *d, const struct drift_only *only)
{
        bool found = false;
        int worst = CLI_OK;
        for (size_t i = 0; i < d->tag_count; i++) {
                int code = code_of_tag(only, &d->tags[i], &found);
                worst = code > worst ? code : worst;
        }
        for (size_t i = 0; i < d->container_count; i++) {
                int code = code_of_container(only, &d->containers[i], &found);
                worst = code > worst ? code : worst;
        }
        return found ? CLI_FOUND : worst;
}

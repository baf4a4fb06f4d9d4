/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The background pass: which running containers would come up different if they were started now?
 * One HEAD a tag, one after the other, without credentials (the pods' are theirs), as often as
 * nri.check_interval says, give or take a tenth, so that a thousand nodes do not ask at once. An
 * upstream that asks for more patience than resolve.budget has, or cannot be reached twice on end,
 * is left alone until the next pass.
 */
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "shim/containers_internal.h"

enum { TAGS_MAX = 1024, PORTION = 64, IN_VAIN_MAX = 2, MS_PER_S = 1000, TENTHS = 10 };

/* ---- what is asked ---- */

struct tag {
        char *text;
};

static void free_tag(void *thing)
{
        struct tag *t = thing;
        free(t->text);
        free(t);
}

static void add_tag(struct shelf *tags, const struct container *c)
{
        const struct ref *ref = &c->image.ref;
        if (c->state != NRI_RUNNING || ref->tag == NULL || shelf_find(tags, ref->text) != NULL)
                return;
        struct tag *t = mem_zalloc(sizeof(*t));
        t->text = mem_strdup(ref->text);
        if (!shelf_put(tags, t, TAGS_MAX))
                free_tag(t);
}

static void gather(struct containers *c, struct shelf *tags)
{
        cleanup_free char *last = NULL;
        const struct container *one = NULL;
        do {
                pthread_mutex_lock(&c->lock);
                one = shelf_after(&c->all, last);
                for (size_t n = 0; one != NULL && n < PORTION; n++) {
                        add_tag(tags, one);
                        free(last);
                        last = mem_strdup(one->id);
                        one = shelf_after(&c->all, last);
                }
                pthread_mutex_unlock(&c->lock);
        } while (one != NULL);
}

/* ---- who is asked ---- */

struct lane {
        char *host;
        unsigned in_vain;    /* on end */
        struct err given_up; /* code ERR_NONE: it is asked */
};

static void free_lane(void *thing)
{
        struct lane *l = thing;
        free(l->host);
        free(l);
}

static struct lane *lane_of(struct shelf *lanes, const char *host)
{
        struct lane *l = shelf_find(lanes, host);
        if (l != NULL)
                return l;
        l = mem_zalloc(sizeof(*l));
        l->host = mem_strdup(host);
        (void)shelf_put(lanes, l, TAGS_MAX); /* there are no more than tags */
        return l;
}

static void note(struct lane *l, const struct err *outcome)
{
        bool in_vain = outcome->code == ERR_UNREACHABLE || outcome->code == ERR_TIMEOUT;
        l->in_vain = in_vain ? l->in_vain + 1 : 0;
        if (outcome->code == ERR_RATE_LIMITED || l->in_vain >= IN_VAIN_MAX)
                l->given_up = *outcome;
}

/* ---- the pass ---- */

static void record(struct containers *c, const char *text, const char *digest, enum err_code code)
{
        pthread_mutex_lock(&c->lock);
        bool is_news = names_checked(&c->names, text, digest, code, clock_unix_s());
        const struct name *name = names_find(&c->names, text);
        cleanup_free char *here = mem_strdup_or_null(name != NULL ? name->digest : NULL);
        pthread_mutex_unlock(&c->lock);
        if (is_news)
                log_line(LOG_LEVEL_INFO, "a restart would bring another image", "reference", text,
                        "digest", digest, "here", log_or(here), NULL);
}

static int ask(struct containers *c, const struct config *config, const struct ref *ref,
        struct registry_answer *answer, struct err *e)
{
        static const struct credentials nobody; /* the pods' are not kept */
        unsigned members = 0;
        return resolve(c->resolver, config, ref, &nobody, &c->stop, answer, &members, e);
}

static void check_tag(struct containers *c, struct shelf *lanes, const char *text)
{
        struct err e;
        cleanup_ref struct ref ref = {0};
        cleanup_config const struct config *config = config_get();
        if (ref_parse(text, strlen(text), &ref, &e) < 0)
                return;
        bool has_entry = false;
        if (config_upstream_for(config, ref.host, &has_entry)->mode == UPSTREAM_PASSTHROUGH)
                return; /* it is containerd's business alone */
        struct lane *lane = lane_of(lanes, ref.host);
        struct registry_answer answer = {0};
        e = lane->given_up;
        if (e.code == ERR_NONE) {
                int failed = ask(c, config, &ref, &answer, &e);
                if (cancel_fired(&c->stop))
                        return;
                if (failed == 0)
                        e = (struct err){0};
                note(lane, &e);
        }
        record(c, text, e.code == ERR_NONE ? answer.digest : NULL, e.code);
}

static void pass(struct containers *c)
{
        struct shelf tags = {0}, lanes = {0};
        gather(c, &tags);
        for (size_t i = 0; i < tags.count && !cancel_fired(&c->stop); i++)
                check_tag(c, &lanes, ((const struct tag *)tags.things[i])->text);
        shelf_fini(&lanes, free_lane);
        shelf_fini(&tags, free_tag);
}

/* ---- when ---- */

/* From nine to eleven tenths of it. */
static int64_t with_jitter(int64_t ms)
{
        uint32_t noise = 0;
        if (getrandom(&noise, sizeof(noise), GRND_NONBLOCK) != (ssize_t)sizeof(noise))
                noise = UINT32_MAX / 2;
        return ms - ms / TENTHS + (int64_t)((double)noise / UINT32_MAX * 2 * (double)ms / TENTHS);
}

/* -1: never. */
static int64_t next_pass_ms(void)
{
        cleanup_config const struct config *config = config_get();
        int64_t interval_s = config->nri_check_interval_s;
        return interval_s > 0 ? with_jitter(interval_s * MS_PER_S) : -1;
}

/* True: it is time for a pass. False: the configuration has changed, or it is time to stop. */
static bool wait_for_pass(struct containers *c)
{
        pthread_mutex_lock(&c->lock);
        uint64_t reloads = c->reloads; /* before the configuration is read */
        pthread_mutex_unlock(&c->lock);
        int64_t wait_ms = next_pass_ms();
        int64_t until_ms = clock_mono_ms() + wait_ms;
        int64_t left_ms = wait_ms;
        pthread_mutex_lock(&c->lock);
        while (!c->stopping && c->reloads == reloads && left_ms != 0) {
                containers_wait(c, left_ms);
                if (wait_ms >= 0)
                        left_ms = until_ms > clock_mono_ms() ? until_ms - clock_mono_ms() : 0;
        }
        bool due = !c->stopping && c->reloads == reloads;
        pthread_mutex_unlock(&c->lock);
        return due;
}

void *containers_check(void *arg)
{
        struct containers *c = arg;
        while (!cancel_fired(&c->stop))
                if (wait_for_pass(c))
                        pass(c);
        return NULL;
}

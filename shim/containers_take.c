/* SPDX-License-Identifier: Apache-2.0 */
/* A look at containerd, into the table: in small portions, since the node's containers wait for
 * whoever holds the lock. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "shim/containers_internal.h"

enum {
        PORTION = 64,
        LINES_MAX = 32, /* of the log, for one look */
        NS_PER_S = 1000000000,
};

/* What goes to the log when the lock is free: one line for all containers of an image. */
struct change {
        char *reference, *digest;
        enum container_verdict from, to;
        size_t count;
};

struct changes {
        struct change lines[LINES_MAX];
        size_t count, left_out;
};

/* ---- names ---- */

struct moved {
        char *reference, *digest, *before;
};

struct moves {
        struct moved lines[LINES_MAX];
        size_t count, left_out;
};

static void note_move(struct moves *m, const struct name *n)
{
        if (m->count == LINES_MAX) {
                m->left_out++;
                return;
        }
        const char *before = n->verified != NULL ? n->verified : n->first;
        m->lines[m->count++] = (struct moved){
                .reference = mem_strdup(n->text),
                .digest = mem_strdup(n->foreign),
                .before = mem_strdup(log_or(before)),
        };
}

/* With mode = "passthrough" whatever containerd pulls is right. */
static bool is_passed_through(const struct config *config, const char *text)
{
        bool has_entry = false;
        cleanup_free char *host = mem_strndup(text, strcspn(text, "/"));
        return config_upstream_for(config, host, &has_entry)->mode == UPSTREAM_PASSTHROUGH;
}

static void take_names(
        struct containers *c, const struct inventory *i, uint64_t at, struct moves *m)
{
        cleanup_config const struct config *config = config_get();
        pthread_mutex_lock(&c->lock);
        names_look_begin(&c->names, at);
        for (size_t n = 0; n < i->images.count; n++) {
                if (n % PORTION == PORTION - 1) {
                        pthread_mutex_unlock(&c->lock);
                        pthread_mutex_lock(&c->lock);
                }
                struct name_record record = inventory_record(i, i->images.things[n]);
                record.exempt |= is_passed_through(config, record.text);
                if (names_look_at(&c->names, &record))
                        note_move(m, names_find(&c->names, record.text));
        }
        names_look_end(&c->names);
        pthread_mutex_unlock(&c->lock);
}

static void log_moves(struct moves *m)
{
        char more[32] = "";
        if (m->left_out > 0)
                snprintf(more, sizeof(more), "%zu", m->left_out);
        for (size_t i = 0; i < m->count; i++) {
                log_line(LOG_LEVEL_WARNING, "tag written behind our back", "reference",
                        m->lines[i].reference, "digest", m->lines[i].digest, "previous",
                        m->lines[i].before, "and_more", i + 1 == m->count ? more : "", NULL);
                free(m->lines[i].reference);
                free(m->lines[i].digest);
                free(m->lines[i].before);
        }
}

/* ---- containers ---- */

static void fill(char **to, const char *text)
{
        if (*to == NULL)
                *to = mem_strdup_or_null(text);
}

/* CRI's word comes late: it never takes back what was heard since. */
static enum nri_state later(enum nri_state now, int32_t cri)
{
        if (cri == INVENTORY_EXITED)
                return NRI_STOPPED;
        return now != NRI_STOPPED && cri == INVENTORY_RUNNING ? NRI_RUNNING : now;
}

/* What the pod says is known to CRI, of containerd 1.7 too. */
static void take_cri(struct container *c, const struct inventory_container *from)
{
        c->image_id = mem_strdup_or_null(from->image_id);
        c->created_s = from->created_ns / NS_PER_S;
        fill(&c->pod, from->pod);
        fill(&c->namespace_name, from->namespace_name);
        fill(&c->name, from->name);
        if (from->said != NULL)
                container_set_reference(c, from->said);
}

/* What an image that is gone had stays true for who runs it. */
static void take_digests(struct container *c, const struct inventory *i)
{
        const struct inventory_id *id =
                c->image_id != NULL ? shelf_find(&i->ids, c->image_id) : NULL;
        if (id == NULL || strings_equal(&c->image.digests, &id->digests))
                return;
        strings_clear(&c->image.digests);
        for (size_t d = 0; d < id->digests.count; d++)
                strings_add(&c->image.digests, id->digests.items[d]);
}

/* The same image, the same story: counted there already? */
static bool add_to_line(struct changes *to, const struct change *c)
{
        for (size_t i = 0; i < to->count; i++) {
                struct change *l = &to->lines[i];
                if (l->from != c->from || l->to != c->to ||
                        strcmp(l->reference, c->reference) != 0 ||
                        strcmp(l->digest, c->digest) != 0)
                        continue;
                l->count++;
                return true;
        }
        return false;
}

/* A container that starts is worth a line only if it is the first of its kind: others may come back
 * every minute. */
static void note_change(struct containers *c, struct changes *to, const struct container *one,
        enum container_verdict from)
{
        const char *digest = log_or(container_digest(&c->names, &one->image));
        const char *reference = log_or(one->image.ref.text);
        bool starts = from == CONTAINER_UNKNOWN;
        struct change line = {.reference = (char *)reference,
                .digest = (char *)digest,
                .from = from,
                .to = one->verdict,
                .count = 1};
        if (one->verdict == CONTAINER_UNKNOWN || add_to_line(to, &line))
                return;
        bool is_news = names_tell(&c->names, reference, digest, (int)one->verdict);
        if (starts && (!is_news || one->verdict == CONTAINER_CURRENT))
                return;
        if (to->count == LINES_MAX) {
                to->left_out++;
                return;
        }
        line.reference = mem_strdup(reference);
        line.digest = mem_strdup(digest);
        to->lines[to->count++] = line;
}

static void take_one(struct containers *c, struct container *one, const struct inventory *i,
        struct changes *changes)
{
        const struct inventory_container *from = shelf_find(&i->containers, one->id);
        if (from != NULL && one->image_id == NULL)
                take_cri(one, from);
        if (from != NULL)
                one->state = later(one->state, from->state);
        take_digests(one, i);
        enum container_verdict was = one->verdict;
        one->verdict = container_judge(&c->names, &one->image);
        if (one->verdict != was)
                note_change(c, changes, one, was);
}

/* The table may change between two portions: the next one is found by name. */
static void take_containers(
        struct containers *c, const struct inventory *i, struct changes *changes)
{
        cleanup_free char *last = NULL;
        struct container *one = NULL;
        do {
                pthread_mutex_lock(&c->lock);
                one = shelf_after(&c->all, last);
                for (size_t n = 0; one != NULL && n < PORTION; n++) {
                        take_one(c, one, i, changes);
                        free(last);
                        last = mem_strdup(one->id);
                        one = shelf_after(&c->all, last);
                }
                pthread_mutex_unlock(&c->lock);
        } while (one != NULL);
}

static void log_changes(struct changes *c)
{
        for (size_t i = 0; i < c->count; i++) {
                struct change *l = &c->lines[i];
                char count[24], more[24] = "";
                snprintf(count, sizeof(count), "%zu", l->count);
                if (c->left_out > 0 && i + 1 == c->count)
                        snprintf(more, sizeof(more), "%zu", c->left_out);
                log_line(LOG_LEVEL_INFO, "containers", "reference", l->reference, "verdict",
                        container_verdict_name(l->to), "was",
                        l->from != CONTAINER_UNKNOWN ? container_verdict_name(l->from) : "",
                        "digest", l->digest, "count", count, "and_more", more, NULL);
                free(l->reference);
                free(l->digest);
        }
}

/* What others than kubelet make, such as crictl, says nothing about kubelet. */
static void take_kubelet(struct containers *c, const struct inventory *i)
{
        struct kubelet_habit seen = {0};
        for (size_t n = 0; n < i->containers.count; n++) {
                const struct inventory_container *of = i->containers.things[n];
                if (of->pod != NULL)
                        kubelet_made(&seen, of->created_ns, of->gave_string);
        }
        pthread_mutex_lock(&c->lock);
        kubelet_made(&c->kubelet, seen.newest_ns, seen.gives_string);
        pthread_mutex_unlock(&c->lock);
}

static bool is_new_loss(struct containers *c)
{
        pthread_mutex_lock(&c->lock);
        bool is_new = c->left_out > 0 && !c->told_left_out;
        c->told_left_out = c->left_out > 0;
        pthread_mutex_unlock(&c->lock);
        return is_new;
}

void containers_take(struct containers *c, const struct inventory *i, uint64_t at)
{
        struct moves moves = {0};
        struct changes changes = {0};
        take_kubelet(c, i);
        take_names(c, i, at, &moves);
        take_containers(c, i, &changes);
        log_moves(&moves);
        log_changes(&changes);
        if (is_new_loss(c))
                log_line(LOG_LEVEL_WARNING,
                        "containers: there are more than can be followed, some are left out", NULL);
}

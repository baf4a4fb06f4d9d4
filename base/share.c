/* SPDX-License-Identifier: Apache-2.0 */
#include "base/share.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"

/*
 * Each key has at most one job that runs and one that waits for its turn. Everything here is
 * guarded by the group's lock but `cancel`, which has its own. A token is fired and unhooked
 * without the group's lock: a caller's token calls member_leave under its own lock, so the order is
 * caller's token, group, and never the other way round.
 */
struct job {
        struct entry *entry; /* NULL once it is done or has been given up before it began */
        unsigned references; /* share_run calls that still look at it */
        unsigned members;    /* callers that still want the result */
        bool done;
        struct share_result *result; /* the job's own reference, once done */
        struct cancel cancel;
        pthread_cond_t changed;
};

struct entry {
        char *key;
        struct job *running;
        struct job *waiting;
        struct entry *next;
};

struct share_group {
        pthread_mutex_t lock;
        struct entry *entries;
};

struct member {
        struct share_group *group;
        struct job *job;
        bool gone; /* its caller has been cancelled */
};

void share_result_init(struct share_result *r, void (*free)(struct share_result *r))
{
        atomic_init(&r->references, 1);
        r->free = free;
        r->members = 0;
}

void share_result_put(struct share_result *r)
{
        if (r != NULL && atomic_fetch_sub(&r->references, 1) == 1)
                r->free(r);
}

struct share_group *share_group_new(void)
{
        struct share_group *g = mem_zalloc(sizeof(*g));
        pthread_mutex_init(&g->lock, NULL);
        return g;
}

void share_group_free(struct share_group *g)
{
        if (g == NULL)
                return;
        assert(g->entries == NULL);
        pthread_mutex_destroy(&g->lock);
        free(g);
}

static struct entry *entry_of(struct share_group *g, const char *key)
{
        for (struct entry *n = g->entries; n != NULL; n = n->next)
                if (strcmp(n->key, key) == 0)
                        return n;
        struct entry *n = mem_zalloc(sizeof(*n));
        n->key = mem_strdup(key);
        n->next = g->entries;
        g->entries = n;
        return n;
}

static void entry_drop_if_empty(struct share_group *g, struct entry *n)
{
        if (n->running != NULL || n->waiting != NULL)
                return;
        struct entry **at = &g->entries;
        while (*at != n)
                at = &(*at)->next;
        *at = n->next;
        free(n->key);
        free(n);
}

static struct job *job_new(struct entry *n)
{
        struct job *j = mem_zalloc(sizeof(*j));
        j->entry = n;
        cancel_init(&j->cancel);
        pthread_cond_init(&j->changed, NULL);
        return j;
}

static void job_free(struct job *j)
{
        share_result_put(j->result);
        pthread_cond_destroy(&j->changed);
        cancel_fini(&j->cancel);
        free(j);
}

static struct job *join_job(struct share_group *g, const char *key, enum share_join join)
{
        struct entry *n = entry_of(g, key);
        struct job *j = n->running;
        /* A running job without members has been told to stop: its result is good for nobody. */
        if (join == SHARE_JOIN_NEXT || j == NULL || j->members == 0) {
                if (n->waiting == NULL)
                        n->waiting = job_new(n);
                j = n->waiting;
        }
        j->references++;
        j->members++;
        return j;
}

/* Hook of the caller's token. */
static void member_leave(void *arg)
{
        struct member *m = arg;
        struct job *j = m->job;
        bool last = false;
        pthread_mutex_lock(&m->group->lock);
        if (!j->done) {
                m->gone = true;
                last = --j->members == 0;
                if (last && j->entry->waiting == j) {
                        j->entry->waiting = NULL;
                        entry_drop_if_empty(m->group, j->entry);
                        j->entry = NULL;
                }
                pthread_cond_broadcast(&j->changed);
        }
        pthread_mutex_unlock(&m->group->lock);
        if (last)
                cancel_fire(&j->cancel);
}

/* Waits until the job is done (returns false), the member is gone (false), or the member is the
 * one that has to do the work (true). */
static bool wait_or_claim(struct member *m)
{
        struct job *j = m->job;
        bool mine = false;
        pthread_mutex_lock(&m->group->lock);
        while (!j->done && !m->gone && !mine) {
                if (j->entry->waiting == j && j->entry->running == NULL) {
                        j->entry->running = j;
                        j->entry->waiting = NULL;
                        mine = true;
                } else {
                        pthread_cond_wait(&j->changed, &m->group->lock);
                }
        }
        pthread_mutex_unlock(&m->group->lock);
        return mine;
}

static void finish(struct share_group *g, struct job *j, struct share_result *r)
{
        assert(r != NULL);
        pthread_mutex_lock(&g->lock);
        r->members = j->members;
        j->result = r;
        j->done = true;
        struct entry *n = j->entry;
        j->entry = NULL;
        n->running = NULL;
        if (n->waiting != NULL)
                pthread_cond_broadcast(&n->waiting->changed);
        entry_drop_if_empty(g, n);
        pthread_cond_broadcast(&j->changed);
        pthread_mutex_unlock(&g->lock);
}

/* The member's last look at its job: its reference on the result, or NULL if it is gone. */
static struct share_result *part(struct member *m, bool worked)
{
        struct job *j = m->job;
        struct share_result *r = NULL;
        pthread_mutex_lock(&m->group->lock);
        if (worked || !m->gone) {
                r = j->result;
                atomic_fetch_add(&r->references, 1);
        }
        bool last = --j->references == 0;
        pthread_mutex_unlock(&m->group->lock);
        if (last)
                job_free(j);
        return r;
}

int share_run(struct share_group *g, const char *key, enum share_join join, share_work_fn work,
        void *arg, struct cancel *caller, struct share_result **out, struct err *e)
{
        *out = NULL;
        if (cancel_fired(caller))
                return err_set(e, ERR_CANCELLED, "cancelled by the caller");
        pthread_mutex_lock(&g->lock);
        struct member m = {.group = g, .job = join_job(g, key, join)};
        pthread_mutex_unlock(&g->lock);
        struct cancel_hook hook;
        cancel_hook(caller, &hook, member_leave, &m);
        bool mine = wait_or_claim(&m);
        if (mine)
                finish(g, m.job, work(arg, &m.job->cancel));
        cancel_unhook(caller, &hook);
        *out = part(&m, mine);
        if (*out == NULL)
                return err_set(e, ERR_CANCELLED, "cancelled by the caller");
        return 0;
}

struct share_count share_count_of(struct share_group *g, const char *key)
{
        struct share_count count = {0};
        pthread_mutex_lock(&g->lock);
        for (struct entry *n = g->entries; n != NULL; n = n->next) {
                if (strcmp(n->key, key) != 0)
                        continue;
                count.running = n->running != NULL ? n->running->members : 0;
                count.waiting = n->waiting != NULL ? n->waiting->members : 0;
        }
        pthread_mutex_unlock(&g->lock);
        return count;
}

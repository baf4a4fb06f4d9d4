/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/lanes.h"

#include <pthread.h>
#include <stdbool.h>

#include "base/mem.h"
#include "ctl/crew.h"

struct lanes {
        const size_t *lane_of;
        size_t count;
        struct lanes_limits limits;
        void (*work)(void *arg, size_t i);
        void *arg;
        pthread_mutex_t lock;
        pthread_cond_t freed;
        size_t first; /* all before it are taken */
        bool *taken;
        size_t *busy; /* by lane */
};

/* Under the lock. `count` when no lane that has something left is free. */
static size_t find(struct lanes *l)
{
        while (l->first < l->count && l->taken[l->first])
                l->first++;
        for (size_t i = l->first; i < l->count; i++)
                if (!l->taken[i] && l->busy[l->lane_of[i]] < l->limits.per_lane)
                        return i;
        return l->count;
}

/* As many calls as things: each finds one, if only when somebody else has left its lane. */
static void serve_one(void *arg, size_t unused)
{
        (void)unused;
        struct lanes *l = arg;
        size_t i;
        pthread_mutex_lock(&l->lock);
        while ((i = find(l)) == l->count)
                pthread_cond_wait(&l->freed, &l->lock);
        l->taken[i] = true;
        l->busy[l->lane_of[i]]++;
        pthread_mutex_unlock(&l->lock);
        l->work(l->arg, i);
        pthread_mutex_lock(&l->lock);
        l->busy[l->lane_of[i]]--;
        pthread_cond_broadcast(&l->freed);
        pthread_mutex_unlock(&l->lock);
}

void lanes_run(const size_t *lane_of, size_t count, size_t lane_count, struct lanes_limits limits,
        void (*work)(void *arg, size_t i), void *arg)
{
        struct lanes l = {
                .lane_of = lane_of, .count = count, .limits = limits, .work = work, .arg = arg};
        l.taken = mem_zalloc(count * sizeof(*l.taken));
        l.busy = mem_zalloc(lane_count * sizeof(*l.busy));
        pthread_mutex_init(&l.lock, NULL);
        pthread_cond_init(&l.freed, NULL);
        crew_run(count, limits.overall, serve_one, &l);
        pthread_cond_destroy(&l.freed);
        pthread_mutex_destroy(&l.lock);
        free(l.busy);
        free(l.taken);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/containers_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

enum { PORTION = 64 };

void container_free(void *thing)
{
        struct container *c = thing;
        if (c == NULL)
                return;
        ref_fini(&c->image.ref);
        strings_clear(&c->image.digests);
        free(c->id);
        free(c->pod_id);
        free(c->pod);
        free(c->namespace_name);
        free(c->name);
        free(c->annotated);
        free(c->image_id);
        free(c);
}

uint64_t containers_happened(struct containers *c)
{
        c->dirty = true;
        pthread_cond_broadcast(&c->changed);
        return ++c->at;
}

void containers_wait(struct containers *c, int64_t timeout_ms)
{
        if (timeout_ms < 0)
                pthread_cond_wait(&c->changed, &c->lock);
        else
                clock_wait_until(&c->changed, &c->lock, clock_mono_ms() + timeout_ms);
}

/* ---- for pulls ---- */

void containers_writing(struct containers *c, const char *name, const char *digest, bool verified)
{
        if (c == NULL)
                return;
        pthread_mutex_lock(&c->lock);
        names_writing(&c->names, name, digest, verified, containers_happened(c));
        pthread_mutex_unlock(&c->lock);
}

void containers_verified(struct containers *c, const char *name, const char *digest, int64_t unix_s)
{
        if (c == NULL)
                return;
        pthread_mutex_lock(&c->lock);
        names_verified(&c->names, name, digest, unix_s, containers_happened(c));
        pthread_mutex_unlock(&c->lock);
}

void containers_pulled(struct containers *c)
{
        if (c == NULL)
                return;
        pthread_mutex_lock(&c->lock);
        containers_happened(c);
        pthread_mutex_unlock(&c->lock);
}

void containers_reloaded(struct containers *c)
{
        if (c == NULL)
                return;
        pthread_mutex_lock(&c->lock);
        c->reloads++;
        pthread_cond_broadcast(&c->changed);
        pthread_mutex_unlock(&c->lock);
}

/* ---- for people ---- */

bool containers_hear_pods_string(const struct containers *c)
{
        return c->exact_runtime && c->kubelet.gives_string;
}

bool containers_has_unknown(const struct containers *c)
{
        for (size_t i = 0; i < c->all.count; i++) {
                const struct container *one = c->all.things[i];
                if (one->image_id == NULL || one->state == NRI_CREATED)
                        return true;
        }
        return false;
}

void containers_settle(struct containers *c, int64_t timeout_ms)
{
        int64_t until_ms = clock_mono_ms() + timeout_ms;
        int64_t left_ms = timeout_ms;
        pthread_mutex_lock(&c->lock);
        c->waiting++;
        c->dirty |= containers_has_unknown(c); /* a container that was created, and not started */
        pthread_cond_broadcast(&c->changed);   /* the worker need not pause */
        while ((c->dirty || c->looking) && !c->stopping && left_ms > 0) {
                containers_wait(c, left_ms);
                left_ms = until_ms - clock_mono_ms();
        }
        c->waiting--;
        pthread_mutex_unlock(&c->lock);
}

static struct container_view view_of(const struct containers *c, const struct container *of)
{
        struct container_view v = {
                .id = of->id,
                .name = of->name,
                .pod = of->pod,
                .namespace_name = of->namespace_name,
                .image_id = of->image_id,
                .digest = container_digest(&c->names, &of->image),
                .image = &of->image,
                .state = of->state,
                .verdict = of->verdict,
                .created_s = of->created_s,
        };
        v.restart = container_restart(&c->names, &of->image, &v.reference);
        return v;
}

static void read_state(const struct containers *c, struct containers_state *out)
{
        *out = c->state;
        out->left_out = c->left_out;
        out->pods_own_string = containers_hear_pods_string(c);
}

/* A portion at a time: the node's containers wait for whoever holds the lock. Who comes or goes
 * between two portions is met or not; all others are met once, and what is true of the connection
 * at the beginning is what counts: a table that is lost meanwhile is shown to its end. */
static void walk(struct containers *c, struct containers_state *began,
        void (*visit)(void *arg, const struct containers *c, const struct container *one),
        void *arg)
{
        cleanup_free char *last = NULL;
        const struct container *one = NULL;
        do {
                pthread_mutex_lock(&c->lock);
                if (last == NULL)
                        read_state(c, began);
                one = began->connected ? shelf_after(&c->all, last) : NULL;
                for (size_t n = 0; one != NULL && n < PORTION; n++) {
                        visit(arg, c, one);
                        free(last);
                        last = mem_strdup(one->id);
                        one = shelf_after(&c->all, last);
                }
                pthread_mutex_unlock(&c->lock);
        } while (one != NULL);
}

struct viewer {
        void (*visit)(void *arg, const struct container_view *v);
        void *arg;
};

static void show(void *arg, const struct containers *c, const struct container *one)
{
        const struct viewer *viewer = arg;
        struct container_view v = view_of(c, one);
        viewer->visit(viewer->arg, &v);
}

void containers_each(struct containers *c, struct containers_state *began,
        void (*visit)(void *arg, const struct container_view *v), void *arg)
{
        struct viewer viewer = {visit, arg};
        walk(c, began, show, &viewer);
}

struct counting {
        const struct config *config;
        struct container_counts *counts;
};

static void count(void *arg, const struct containers *c, const struct container *one)
{
        (void)c;
        const struct counting *to = arg;
        bool has_entry = false;
        if (one->state != NRI_RUNNING || one->image.ref.host == NULL)
                return;
        const struct config_upstream *entry =
                config_upstream_for(to->config, one->image.ref.host, &has_entry);
        size_t at =
                has_entry ? (size_t)(entry - to->config->upstreams) : to->config->upstream_count;
        to->counts[at].by_verdict[one->verdict]++;
}

bool containers_count(
        struct containers *c, const struct config *config, struct container_counts *counts)
{
        struct counting to = {config, counts};
        struct containers_state began;
        walk(c, &began, count, &to);
        return began.connected;
}

void containers_each_foreign(
        struct containers *c, void (*visit)(void *arg, const struct name *n), void *arg)
{
        pthread_mutex_lock(&c->lock);
        for (size_t i = 0; i < c->names.all.count; i++)
                if (name_is_foreign(c->names.all.things[i]))
                        visit(arg, c->names.all.things[i]);
        pthread_mutex_unlock(&c->lock);
}

void containers_state(struct containers *c, struct containers_state *out)
{
        pthread_mutex_lock(&c->lock);
        read_state(c, out);
        pthread_mutex_unlock(&c->lock);
}

/* ---- life ---- */

struct containers *containers_new(void)
{
        struct containers *c = mem_zalloc(sizeof(*c));
        pthread_mutex_init(&c->lock, NULL);
        pthread_cond_init(&c->changed, NULL);
        cancel_init(&c->stop);
        snprintf(c->state.error, sizeof(c->state.error), "not connected yet");
        memcpy(c->told_error, c->state.error, sizeof(c->told_error)); /* that is no news */
        return c;
}

static int start_threads(struct containers *c, struct err *e)
{
        static void *(*const mains[])(void *) = {
                containers_watch, containers_follow, containers_check};
        pthread_t *const threads[] = {&c->watcher, &c->follower, &c->checker};
        for (; c->threads < sizeof(mains) / sizeof(mains[0]); c->threads++) {
                int failed = pthread_create(threads[c->threads], NULL, mains[c->threads], c);
                if (failed != 0)
                        return err_set_sys(e, failed, "no thread to follow containers");
        }
        return 0;
}

int containers_start(struct containers *c, struct images *images, struct resolver *resolver,
        const char *nri_socket, struct err *e)
{
        c->images = images;
        c->resolver = resolver;
        c->dirty = true; /* what is there before anything happens */
        if (start_threads(c, e) < 0)
                return -1;
        struct nri_plugin_options o = {
                .socket_path = nri_socket, .listener = containers_listener(c)};
        c->plugin = nri_plugin_new(&o);
        return c->plugin != NULL ? 0 : err_set(e, ERR_SYSTEM, "no thread for NRI");
}

static void stop_threads(struct containers *c)
{
        pthread_t *const threads[] = {&c->watcher, &c->follower, &c->checker};
        pthread_mutex_lock(&c->lock);
        c->stopping = true;
        pthread_cond_broadcast(&c->changed);
        pthread_mutex_unlock(&c->lock);
        cancel_fire(&c->stop);
        while (c->threads > 0)
                pthread_join(*threads[--c->threads], NULL);
}

void containers_free(struct containers *c)
{
        if (c == NULL)
                return;
        nri_plugin_free(c->plugin);
        stop_threads(c);
        for (size_t i = 0; i < c->refusal_count; i++) {
                free(c->refusals[i].reference);
                free(c->refusals[i].digest);
                free(c->refusals[i].pod);
        }
        shelf_fini(&c->all, container_free);
        names_fini(&c->names);
        cancel_fini(&c->stop);
        pthread_cond_destroy(&c->changed);
        pthread_mutex_destroy(&c->lock);
        free(c);
}

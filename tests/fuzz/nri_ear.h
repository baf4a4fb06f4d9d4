/* SPDX-License-Identifier: Apache-2.0 */
/* For the fuzzers of nri/: a listener that checks that it is called as plugin.h says, and writes
 * down what it hears. It refuses every third container and annotates every third. */
#ifndef CRI_RESOLVED_NRI_EAR_H
#define CRI_RESOLVED_NRI_EAR_H

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "nri/session.h"

struct nri_ear {
        struct buf heard;
        bool configured, synchronized;
        size_t created;
};

static inline void nri_ear_check(struct nri_ear *ear, const struct nri_container *c)
{
        assert(c->id != NULL && c->pod_id != NULL && c->name != NULL && c->state <= NRI_UNKNOWN);
        buf_printf(&ear->heard, "%s %s %s %d %s\n", c->id, c->pod_id, c->name, (int)c->state,
                c->image != NULL ? c->image : "");
}

static inline void nri_ear_configured(void *arg, const char *runtime, const char *version)
{
        struct nri_ear *ear = arg;
        assert(runtime != NULL && version != NULL);
        ear->configured = true;
        ear->synchronized = false;
        buf_printf(&ear->heard, "configured %s %s\n", runtime, version);
}

static inline void nri_ear_synchronized(void *arg, const struct nri_pod *pods, size_t pod_count,
        const struct nri_container *containers, size_t container_count)
{
        struct nri_ear *ear = arg;
        ear->synchronized = true;
        for (size_t i = 0; i < pod_count; i++)
                buf_printf(&ear->heard, "%s %s %s %s\n", pods[i].id, pods[i].name,
                        pods[i].namespace_name, pods[i].uid);
        for (size_t i = 0; i < container_count; i++)
                nri_ear_check(ear, &containers[i]);
}

static inline void nri_ear_creating(void *arg, const struct nri_pod *pod,
        const struct nri_container *container, struct nri_creation *answer)
{
        struct nri_ear *ear = arg;
        assert(ear->synchronized && container->id[0] != '\0' && container->state == NRI_CREATED);
        buf_printf(&ear->heard, "%s %s %s %s\n", pod->id, pod->name, pod->namespace_name, pod->uid);
        nri_ear_check(ear, container);
        if (ear->created % 3 == 1)
                snprintf(answer->refusal, sizeof(answer->refusal), "refused");
        if (ear->created++ % 3 == 2)
                answer->annotations[answer->annotation_count++].key = "cri-resolved/key";
}

static inline void nri_ear_stopped(void *arg, const char *container_id)
{
        struct nri_ear *ear = arg;
        assert(ear->synchronized && container_id[0] != '\0');
        buf_printf(&ear->heard, "stopped %s\n", container_id);
}

static inline void nri_ear_removed(void *arg, const char *container_id)
{
        struct nri_ear *ear = arg;
        assert(ear->synchronized && container_id[0] != '\0');
        buf_printf(&ear->heard, "removed %s\n", container_id);
}

/* A session knows no connection: it never calls this. */
static inline void nri_ear_disconnected(void *arg, const char *reason)
{
        (void)arg;
        (void)reason;
        assert(false);
}

static inline struct nri_listener nri_ear_listener(struct nri_ear *ear)
{
        *ear = (struct nri_ear){0};
        buf_init(&ear->heard, 1 << 24);
        return (struct nri_listener){ear, nri_ear_configured, nri_ear_synchronized,
                nri_ear_creating, nri_ear_stopped, nri_ear_removed, nri_ear_disconnected};
}

#endif

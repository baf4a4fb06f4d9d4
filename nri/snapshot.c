/* SPDX-License-Identifier: Apache-2.0 */
#include "nri/snapshot.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"

/* A container is a few kilobytes, and a node has some hundreds. */
enum { SNAPSHOT_MAX_BYTES = 64 << 20 };

#define IMAGE_NAME "io.kubernetes.cri.image-name"

struct nri_pod nri_pod_of(const Nri__PodSandbox *p)
{
        static const Nri__PodSandbox none = NRI__POD_SANDBOX__INIT;
        p = p != NULL ? p : &none;
        return (struct nri_pod){
                .id = log_or(p->id),
                .name = log_or(p->name),
                .namespace_name = log_or(p->namespace_),
                .uid = log_or(p->uid),
        };
}

static enum nri_state state_of(int32_t state)
{
        switch (state) {
        case NRI__CONTAINER_STATE__CREATED:
                return NRI_CREATED;
        case NRI__CONTAINER_STATE__PAUSED:
        case NRI__CONTAINER_STATE__RUNNING:
                return NRI_RUNNING;
        case NRI__CONTAINER_STATE__STOPPED:
                return NRI_STOPPED;
        default:
                return NRI_UNKNOWN;
        }
}

static const char *annotation(const Nri__Container *c, const char *key)
{
        for (size_t i = 0; i < c->n_annotations; i++) {
                const Nri__Entry *entry = c->annotations[i];
                if (entry->key != NULL && strcmp(entry->key, key) == 0)
                        return entry->value;
        }
        return NULL;
}

struct nri_container nri_container_of(const Nri__Container *c)
{
        return (struct nri_container){
                .id = log_or(c->id),
                .pod_id = log_or(c->pod_sandbox_id),
                .name = log_or(c->name),
                .state = state_of(c->state),
                .image = annotation(c, IMAGE_NAME),
        };
}

void nri_snapshot_init(struct nri_snapshot *s)
{
        *s = (struct nri_snapshot){0};
}

void nri_snapshot_fini(struct nri_snapshot *s)
{
        for (size_t i = 0; i < s->count; i++)
                nri__synchronize_request__free_unpacked(s->parts[i], NULL);
        free(s->parts);
        *s = (struct nri_snapshot){0};
}

int nri_snapshot_add(
        struct nri_snapshot *s, Nri__SynchronizeRequest *part, size_t bytes, struct err *e)
{
        s->parts = mem_resize(s->parts, (s->count + 1) * sizeof(Nri__SynchronizeRequest *));
        s->parts[s->count++] = part;
        s->bytes += bytes;
        if (s->bytes > SNAPSHOT_MAX_BYTES)
                return err_set(e, ERR_TOO_LARGE, "NRI: pods and containers of more than %d bytes",
                        SNAPSHOT_MAX_BYTES);
        return 0;
}

void nri_snapshot_tell(const struct nri_snapshot *s, const struct nri_listener *l)
{
        size_t pod_count = 0;
        size_t container_count = 0;
        for (size_t i = 0; i < s->count; i++) {
                pod_count += s->parts[i]->n_pods;
                container_count += s->parts[i]->n_containers;
        }
        cleanup_free struct nri_pod *pods = mem_zalloc((pod_count + 1) * sizeof(pods[0]));
        cleanup_free struct nri_container *containers =
                mem_zalloc((container_count + 1) * sizeof(containers[0]));
        pod_count = container_count = 0;
        for (size_t i = 0; i < s->count; i++) {
                for (size_t j = 0; j < s->parts[i]->n_pods; j++)
                        pods[pod_count++] = nri_pod_of(s->parts[i]->pods[j]);
                for (size_t j = 0; j < s->parts[i]->n_containers; j++)
                        containers[container_count++] =
                                nri_container_of(s->parts[i]->containers[j]);
        }
        l->synchronized(l->arg, pods, pod_count, containers, container_count);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * containerd's second door: a connection to its NRI socket as a plugin that watches containers.
 *
 * One thread of its own connects, registers, answers every call at once from what the listener
 * says, and connects again with back-off when the runtime goes away. The listener's functions run
 * on that thread, one at a time; the runtime waits for each of them and blocks the node's
 * containers meanwhile, so they look into memory and return: no I/O, no lock that anybody holds
 * across I/O. Strings in arguments are borrowed for the call.
 *
 * The runtime is asked for three events only: each one costs it a call, and while it waits for the
 * answer nobody else's call gets through: adaptation.go has one lock for all. A container's pod
 * comes with its creation, so there are no events of pods. That it runs is not asked either: two
 * calls for each start would be twice the wait, and runtimes have other ways to tell.
 *
 * Source of the rules: containerd/nri pkg/api/api.proto, pkg/net/multiplex, pkg/adaptation;
 * containerd/ttrpc PROTOCOL.md.
 */
#ifndef CRI_RESOLVED_NRI_PLUGIN_H
#define CRI_RESOLVED_NRI_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Strings are "" where the runtime says nothing. */
struct nri_pod {
        const char *id, *name, *namespace_name, *uid;
};

enum nri_state { NRI_CREATED, NRI_RUNNING, NRI_STOPPED, NRI_UNKNOWN };

struct nri_container {
        const char *id, *pod_id, *name;
        enum nri_state state;
        const char *image; /* annotation io.kubernetes.cri.image-name; NULL: it is not told */
};

enum { NRI_ANNOTATIONS_MAX = 4, NRI_REFUSAL_BYTES = 512 };

/* What the listener says to the creation of a container. Zeroed: let it start as it is. */
struct nri_creation {
        struct {
                const char *key; /* static */
                char value[256];
        } annotations[NRI_ANNOTATIONS_MAX];
        size_t annotation_count;
        char refusal[NRI_REFUSAL_BYTES]; /* not "": refuse, with this reason */
};

struct nri_listener {
        void *arg;
        /* Registered with this runtime ("containerd", "v2.1.9"); what was known before is void. */
        void (*configured)(void *arg, const char *runtime, const char *version);
        /* All pods, and all containers that are created or run, in one call however many messages
         * it took. Before it nothing else is heard. */
        void (*synchronized)(void *arg, const struct nri_pod *pods, size_t pod_count,
                const struct nri_container *containers, size_t container_count);
        /* state is NRI_CREATED. If the runtime fails to create it all the same, container_removed
         * follows. */
        void (*container_creating)(void *arg, const struct nri_pod *pod,
                const struct nri_container *container, struct nri_creation *answer);
        /* Maybe of one that was refused, or is not known any more; so is the next one. */
        void (*container_stopped)(void *arg, const char *container_id);
        void (*container_removed)(void *arg, const char *container_id);
        /* There is no connection, and why; until synchronized() nothing is heard. Also when the
         * first attempt fails; not again while attempts fail for the same reason. */
        void (*disconnected)(void *arg, const char *reason);
};

struct nri_plugin_options {
        const char *socket_path;        /* borrowed for ever */
        int64_t synchronize_timeout_ms; /* from the connection to synchronized(); 0: five minutes */
        struct nri_listener listener;
};

struct nri_plugin;
/* Starts the thread. NULL: no thread could be made. An absent socket is no error: it is tried
 * again. */
struct nri_plugin *nri_plugin_new(const struct nri_plugin_options *o);
/* Disconnects and joins the thread; the listener is not called any more after it. Accepts NULL. */
void nri_plugin_free(struct nri_plugin *p);

#endif

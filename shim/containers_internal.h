/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the table of containers share (containers*.c); for nobody else. */
#ifndef CRI_RESOLVED_CONTAINERS_INTERNAL_H
#define CRI_RESOLVED_CONTAINERS_INTERNAL_H

#include <pthread.h>

#include "shim/containers.h"
#include "shim/inventory.h"

enum { REFUSALS_MAX = 32 };

struct container {
        char *id;
        char *pod_id, *pod, *namespace_name, *name;
        char *annotated; /* what NRI says the image is */
        char *image_id;  /* NULL: CRI has not said yet */
        struct container_image image;
        enum nri_state state;
        int64_t created_s;
        enum container_verdict verdict;
};

/* Told to the log by the worker: NRI's thread may not wait for a log. */
struct refusal {
        char *reference, *digest, *pod;
};

struct containers {
        pthread_mutex_t lock;   /* of all below; never held across I/O */
        pthread_cond_t changed; /* on the monotonic clock */
        uint64_t at;            /* number of the last thing that happened (names.h) */
        struct names names;
        struct shelf all;
        size_t left_out;
        bool told_left_out;
        struct containers_state state;
        bool told_connected; /* to the log */
        char told_error[sizeof(((struct containers_state *)0)->error)];
        bool exact_runtime; /* its image string is the pod's, if kubelet gives it that */
        struct kubelet_habit kubelet;
        bool dirty;  /* something has happened since the last look began */
        bool urgent; /* and images were written, or there is something to log */
        bool looking;
        unsigned waiting; /* for the table to settle */
        struct refusal refusals[REFUSALS_MAX];
        size_t refusal_count, refusals_lost;
        uint64_t reloads;
        bool stopping;

        struct cancel stop;
        struct images *images;
        struct resolver *resolver;
        struct nri_plugin *plugin;
        pthread_t watcher, follower, checker;
        unsigned threads; /* of these that run */
};

/* Under the lock: something has happened. */
uint64_t containers_happened(struct containers *c);
/* Under the lock: waits for a change, at most so long (-1: as long as it takes). */
void containers_wait(struct containers *c, int64_t timeout_ms);
/* Under the lock: does NRI tell what pods say their images are? */
bool containers_hear_pods_string(const struct containers *c);
/* Under the lock: is there anybody of whom CRI has to say what it runs, or that it runs? */
bool containers_has_unknown(const struct containers *c);
/* containerd says so, by an event that may come late: who has ended since stays ended. Takes the
 * lock. */
void containers_started(struct containers *c, const char *container_id);
void container_free(void *thing); /* a struct container; accepts NULL */
/* Under the lock. `said` may be NULL, or no reference. */
void container_set_reference(struct container *c, const char *said);

void *containers_watch(void *arg);  /* looks at containerd (containers_watch.c) */
void *containers_follow(void *arg); /* reads its events (containers_watch.c) */
void *containers_check(void *arg);  /* asks upstreams (containers_check.c) */

/* Puts one look into the table, and says in the log what has changed. `at` is the number at its
 * beginning. */
void containers_take(struct containers *c, const struct inventory *i, uint64_t at);

#endif

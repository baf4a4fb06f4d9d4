/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cancel token: says "nobody waits for this any more" to work that runs on another thread.
 *
 * It fires once and for ever. Work that blocks registers a hook that wakes it: the hook runs on the
 * firing thread, under the token's lock, or at once on the registering thread when the token has
 * fired before. cancel_unhook returns only when the hook does not run and will not: what the hook
 * touches may be freed after it. A hook must be short, must not block on I/O and must not touch its
 * own token. All functions are safe from any thread; NULL is a token that never fires.
 */
#ifndef CRI_RESOLVED_CANCEL_H
#define CRI_RESOLVED_CANCEL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct cancel_hook {
        void (*wake)(void *arg);
        void *arg;
        struct cancel_hook *next; /* private */
        bool linked;              /* private */
};

struct cancel {
        pthread_mutex_t lock;
        atomic_bool fired;
        struct cancel_hook *hooks;
};

void cancel_init(struct cancel *c);
/* No hook may be left. */
void cancel_fini(struct cancel *c);

void cancel_fire(struct cancel *c);
bool cancel_fired(const struct cancel *c);

/* The hook struct is the caller's and must live until cancel_unhook. */
void cancel_hook(struct cancel *c, struct cancel_hook *h, void (*wake)(void *arg), void *arg);
void cancel_unhook(struct cancel *c, struct cancel_hook *h);

#endif

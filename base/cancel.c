/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cancel.h"

#include <assert.h>
#include <stddef.h>

void cancel_init(struct cancel *c)
{
        pthread_mutex_init(&c->lock, NULL);
        atomic_init(&c->fired, false);
        c->hooks = NULL;
}

void cancel_fini(struct cancel *c)
{
        assert(c->hooks == NULL);
        pthread_mutex_destroy(&c->lock);
}

void cancel_fire(struct cancel *c)
{
        pthread_mutex_lock(&c->lock);
        if (!atomic_exchange(&c->fired, true))
                for (struct cancel_hook *h = c->hooks; h != NULL; h = h->next)
                        h->wake(h->arg);
        pthread_mutex_unlock(&c->lock);
}

bool cancel_fired(const struct cancel *c)
{
        return c != NULL && atomic_load(&c->fired);
}

void cancel_hook(struct cancel *c, struct cancel_hook *h, void (*wake)(void *arg), void *arg)
{
        *h = (struct cancel_hook){.wake = wake, .arg = arg};
        if (c == NULL)
                return;
        pthread_mutex_lock(&c->lock);
        if (atomic_load(&c->fired)) {
                wake(arg);
        } else {
                h->next = c->hooks;
                h->linked = true;
                c->hooks = h;
        }
        pthread_mutex_unlock(&c->lock);
}

void cancel_unhook(struct cancel *c, struct cancel_hook *h)
{
        if (c == NULL)
                return;
        pthread_mutex_lock(&c->lock);
        if (h->linked) {
                struct cancel_hook **at = &c->hooks;
                while (*at != h)
                        at = &(*at)->next;
                *at = h->next;
                h->linked = false;
        }
        pthread_mutex_unlock(&c->lock);
}

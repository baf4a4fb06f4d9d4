/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/order.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"

struct order_tag {
        char *name;
        unsigned inside;             /* pulls between enter and leave */
        uint64_t next_ticket;        /* of whoever asks for a turn next */
        uint64_t serving;            /* whose turn it is */
        bool written;                /* is there a last writer? */
        struct registry_answer last; /* the last writer's answer: touched in the turn only */
        struct order_tag *next;
};

struct order {
        pthread_mutex_t lock; /* never held across I/O */
        pthread_cond_t turn_given_back;
        struct order_tag *tags; /* a list: one entry per tag that is pulled at this moment */
};

struct order *order_new(void)
{
        struct order *o = mem_zalloc(sizeof(*o));
        pthread_mutex_init(&o->lock, NULL);
        pthread_cond_init(&o->turn_given_back, NULL);
        return o;
}

void order_free(struct order *o)
{
        if (o == NULL)
                return;
        assert(o->tags == NULL);
        pthread_cond_destroy(&o->turn_given_back);
        pthread_mutex_destroy(&o->lock);
        free(o);
}

struct order_tag *order_enter(struct order *o, const char *name)
{
        pthread_mutex_lock(&o->lock);
        struct order_tag *t = o->tags;
        while (t != NULL && strcmp(t->name, name) != 0)
                t = t->next;
        if (t == NULL) {
                t = mem_zalloc(sizeof(*t));
                t->name = mem_strdup(name);
                t->next = o->tags;
                o->tags = t;
        }
        t->inside++;
        pthread_mutex_unlock(&o->lock);
        return t;
}

static void unlink_tag(struct order *o, struct order_tag *t)
{
        struct order_tag **at = &o->tags;
        while (*at != t)
                at = &(*at)->next;
        *at = t->next;
        free(t->name);
        free(t);
}

void order_leave(struct order *o, struct order_tag *t)
{
        if (t == NULL)
                return;
        pthread_mutex_lock(&o->lock);
        if (--t->inside == 0)
                unlink_tag(o, t);
        pthread_mutex_unlock(&o->lock);
}

void order_turn_begin(struct order *o, struct order_tag *t)
{
        pthread_mutex_lock(&o->lock);
        uint64_t ticket = t->next_ticket++;
        while (t->serving != ticket)
                pthread_cond_wait(&o->turn_given_back, &o->lock);
        pthread_mutex_unlock(&o->lock);
}

void order_turn_end(struct order *o, struct order_tag *t)
{
        pthread_mutex_lock(&o->lock);
        t->serving++;
        pthread_cond_broadcast(&o->turn_given_back);
        pthread_mutex_unlock(&o->lock);
}

enum order_verdict order_judge(
        const struct order_tag *t, const struct registry_answer *a, const char *record_digest)
{
        if (record_digest != NULL && strcmp(record_digest, a->digest) == 0)
                return ORDER_NOTHING_TO_WRITE;
        if (!t->written || t->last.answered_ns < a->sent_ns)
                return ORDER_WRITE;
        /* Somebody else moved our digest away behind our back (ctr, a native pull): put it back. */
        if (strcmp(t->last.digest, a->digest) == 0)
                return ORDER_WRITE;
        return ORDER_ASK_AGAIN;
}

void order_confirm(struct order_tag *t, const struct registry_answer *a)
{
        if (t->written && t->last.answered_ns >= a->answered_ns)
                return;
        t->last = *a;
        t->written = true;
}

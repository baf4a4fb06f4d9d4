/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/body.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

struct body_room {
        pthread_mutex_t lock;
        pthread_cond_t more;
        size_t held_bytes;
        size_t kept_bytes;
};

/* What stands before the body itself. */
struct held {
        struct body_room *room;
        atomic_uint references;
        struct body body; /* last: its data follows */
};

static struct held *held_of(struct body *b)
{
        return (struct held *)((char *)b - offsetof(struct held, body));
}

struct body_room *body_room_new(void)
{
        struct body_room *r = mem_zalloc(sizeof(*r));
        pthread_mutex_init(&r->lock, NULL);
        pthread_cond_init(&r->more, NULL);
        return r;
}

void body_room_free(struct body_room *r)
{
        if (r == NULL)
                return;
        pthread_cond_destroy(&r->more);
        pthread_mutex_destroy(&r->lock);
        free(r);
}

static bool take_room(struct body_room *r, size_t size, int64_t wait_ms)
{
        int64_t until_ms = clock_mono_ms() + wait_ms;
        bool late = false;
        pthread_mutex_lock(&r->lock);
        while (r->held_bytes + size > BODY_ALL_MAX_BYTES && !late)
                late = !clock_wait_until(&r->more, &r->lock, until_ms);
        bool room = r->held_bytes + size <= BODY_ALL_MAX_BYTES;
        if (room)
                r->held_bytes += size;
        pthread_mutex_unlock(&r->lock);
        return room;
}

static void give_room(struct body_room *r, size_t size)
{
        pthread_mutex_lock(&r->lock);
        r->held_bytes -= size;
        pthread_cond_broadcast(&r->more);
        pthread_mutex_unlock(&r->lock);
}

struct body *body_new(struct body_room *r, size_t size, int64_t wait_ms, struct err *e)
{
        if (!take_room(r, size, wait_ms)) {
                err_set(e, ERR_TIMEOUT,
                        "no memory for %zu bytes: too many manifests and small blobs are under way",
                        size);
                return NULL;
        }
        struct held *h = mem_zalloc(sizeof(*h) + size + 1);
        h->room = r;
        atomic_init(&h->references, 1);
        h->body.size = size;
        return &h->body;
}

struct body *body_share(struct body *b)
{
        atomic_fetch_add(&held_of(b)->references, 1);
        return b;
}

void body_put(struct body *b)
{
        if (b == NULL || atomic_fetch_sub(&held_of(b)->references, 1) != 1)
                return;
        give_room(held_of(b)->room, b->size);
        free(b->content_type);
        free(held_of(b));
}

bool body_keep(struct body *b)
{
        struct body_room *r = held_of(b)->room;
        pthread_mutex_lock(&r->lock);
        bool room = r->kept_bytes + b->size <= BODY_KEPT_MAX_BYTES;
        if (room)
                r->kept_bytes += b->size;
        pthread_mutex_unlock(&r->lock);
        return room;
}

void body_unkeep(struct body *b)
{
        struct body_room *r = held_of(b)->room;
        pthread_mutex_lock(&r->lock);
        r->kept_bytes -= b->size;
        pthread_mutex_unlock(&r->lock);
}

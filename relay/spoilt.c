/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/spoilt.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/mem.h"

/* There is an entry for a digest while it is served, locked or waited for. */
struct entry {
        char digest[DIGEST_SHA256_SIZE + 1];
        unsigned served;
        unsigned waiting;
        bool locked;
        struct entry *next;
};

struct spoilt {
        pthread_mutex_t lock;
        pthread_cond_t changed;
        struct entry *entries;
};

struct spoilt *spoilt_new(void)
{
        struct spoilt *t = mem_zalloc(sizeof(*t));
        pthread_mutex_init(&t->lock, NULL);
        pthread_cond_init(&t->changed, NULL);
        return t;
}

void spoilt_free(struct spoilt *t)
{
        if (t == NULL)
                return;
        assert(t->entries == NULL);
        pthread_cond_destroy(&t->changed);
        pthread_mutex_destroy(&t->lock);
        free(t);
}

static struct entry *entry_of(struct spoilt *t, const char *digest)
{
        struct entry *n = t->entries;
        while (n != NULL && strcmp(n->digest, digest) != 0)
                n = n->next;
        if (n != NULL)
                return n;
        n = mem_zalloc(sizeof(*n));
        memcpy(n->digest, digest, DIGEST_SHA256_SIZE);
        n->next = t->entries;
        t->entries = n;
        return n;
}

static void drop_if_idle(struct spoilt *t, struct entry *n)
{
        if (n->served > 0 || n->waiting > 0 || n->locked)
                return;
        struct entry **at = &t->entries;
        while (*at != n)
                at = &(*at)->next;
        *at = n->next;
        free(n);
}

bool spoilt_serve_begin(struct spoilt *t, const char *digest)
{
        pthread_mutex_lock(&t->lock);
        struct entry *n = entry_of(t, digest);
        bool free_to_serve = !n->locked;
        if (free_to_serve)
                n->served++;
        pthread_mutex_unlock(&t->lock);
        return free_to_serve;
}

void spoilt_serve_end(struct spoilt *t, const char *digest)
{
        pthread_mutex_lock(&t->lock);
        struct entry *n = entry_of(t, digest);
        n->served--;
        pthread_cond_broadcast(&t->changed);
        drop_if_idle(t, n);
        pthread_mutex_unlock(&t->lock);
}

static bool lock_entry(struct spoilt *t, const char *digest, bool even_if_served)
{
        pthread_mutex_lock(&t->lock);
        struct entry *n = entry_of(t, digest);
        bool mine = !n->locked && (even_if_served || n->served == 0);
        if (mine)
                n->locked = true;
        pthread_mutex_unlock(&t->lock);
        return mine;
}

bool spoilt_lock(struct spoilt *t, const char *digest)
{
        return lock_entry(t, digest, true);
}

bool spoilt_claim(struct spoilt *t, const char *digest)
{
        return lock_entry(t, digest, false);
}

void spoilt_unlock(struct spoilt *t, const char *digest)
{
        pthread_mutex_lock(&t->lock);
        struct entry *n = entry_of(t, digest);
        n->locked = false;
        pthread_cond_broadcast(&t->changed);
        drop_if_idle(t, n);
        pthread_mutex_unlock(&t->lock);
}

static void wake(void *arg)
{
        struct spoilt *t = arg;
        pthread_mutex_lock(&t->lock);
        pthread_cond_broadcast(&t->changed);
        pthread_mutex_unlock(&t->lock);
}

static bool is_unlocked(const struct entry *n)
{
        return !n->locked;
}

static bool is_unserved(const struct entry *n)
{
        return n->served == 0;
}

static bool wait_until(struct spoilt *t, const char *digest, bool (*is_so)(const struct entry *n),
        int64_t until_ms, struct cancel *cancel)
{
        struct cancel_hook hook;
        bool late = false;
        cancel_hook(cancel, &hook, wake, t);
        pthread_mutex_lock(&t->lock);
        struct entry *n = entry_of(t, digest);
        n->waiting++;
        while (!is_so(n) && !cancel_fired(cancel) && !late)
                late = !clock_wait_until(&t->changed, &t->lock, until_ms);
        bool reached = is_so(n);
        n->waiting--;
        drop_if_idle(t, n);
        pthread_mutex_unlock(&t->lock);
        cancel_unhook(cancel, &hook);
        return reached;
}

bool spoilt_wait(struct spoilt *t, const char *digest, int64_t until_ms, struct cancel *cancel)
{
        return wait_until(t, digest, is_unlocked, until_ms, cancel);
}

bool spoilt_wait_unserved(
        struct spoilt *t, const char *digest, int64_t until_ms, struct cancel *cancel)
{
        return wait_until(t, digest, is_unserved, until_ms, cancel);
}

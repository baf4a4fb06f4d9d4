/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/progress.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

struct progress {
        atomic_uint references;
        pthread_mutex_t lock;                                     /* guards what follows */
        struct progress_content *contents[PROGRESS_CONTENTS_MAX]; /* they never move */
        size_t content_count;
        struct progress_source sources[PROGRESS_SOURCES_MAX];
        size_t source_count;
};

struct progress *progress_new(void)
{
        struct progress *p = mem_zalloc(sizeof(*p));
        atomic_init(&p->references, 1);
        pthread_mutex_init(&p->lock, NULL);
        return p;
}

struct progress *progress_share(struct progress *p)
{
        atomic_fetch_add(&p->references, 1);
        return p;
}

static void content_free(struct progress_content *c)
{
        for (size_t i = 0; i < c->left_count; i++)
                free(c->left[i].source);
        free(c->source);
        free(c);
}

void progress_put(struct progress *p)
{
        if (p == NULL || atomic_fetch_sub(&p->references, 1) != 1)
                return;
        for (size_t i = 0; i < p->content_count; i++)
                content_free(p->contents[i]);
        for (size_t i = 0; i < p->source_count; i++)
                free(p->sources[i].name);
        pthread_mutex_destroy(&p->lock);
        free(p);
}

/* ---- contents ---- */

static struct progress_content *find(const struct progress *p, const char *digest)
{
        for (size_t i = 0; i < p->content_count; i++)
                if (strcmp(p->contents[i]->digest, digest) == 0)
                        return p->contents[i];
        return NULL;
}

static struct progress_content *add(
        struct progress *p, enum registry_content kind, const char *digest)
{
        if (p->content_count == PROGRESS_CONTENTS_MAX)
                return NULL;
        struct progress_content *c = mem_zalloc(sizeof(*c));
        snprintf(c->digest, sizeof(c->digest), "%s", digest);
        c->kind = kind;
        atomic_init(&c->size_bytes, -1);
        p->contents[p->content_count++] = c;
        return c;
}

struct progress_content *progress_content(
        struct progress *p, enum registry_content kind, const char *digest)
{
        if (p == NULL)
                return NULL;
        pthread_mutex_lock(&p->lock);
        struct progress_content *c = find(p, digest);
        if (c == NULL)
                c = add(p, kind, digest);
        pthread_mutex_unlock(&p->lock);
        return c;
}

void progress_size(struct progress_content *c, int64_t size_bytes)
{
        if (c != NULL && size_bytes >= 0)
                atomic_store_explicit(&c->size_bytes, size_bytes, memory_order_relaxed);
}

void progress_sent(struct progress_content *c, int64_t sent_bytes)
{
        if (c != NULL)
                atomic_store_explicit(&c->sent_bytes, sent_bytes, memory_order_relaxed);
}

void progress_feeds(struct progress *p, struct progress_content *c, const char *source)
{
        if (c == NULL)
                return;
        pthread_mutex_lock(&p->lock);
        free(c->source);
        c->source = mem_strdup(source);
        pthread_mutex_unlock(&p->lock);
}

static bool knows(const struct progress_content *c, const char *source, const char *error)
{
        for (size_t i = 0; i < c->left_count; i++)
                if (strcmp(c->left[i].source, source) == 0 &&
                        strncmp(c->left[i].error, error, PROGRESS_ERROR_BYTES - 1) == 0)
                        return true;
        return false;
}

void progress_left(
        struct progress *p, struct progress_content *c, const char *source, const char *error)
{
        if (c == NULL)
                return;
        pthread_mutex_lock(&p->lock);
        if (c->left_count < PROGRESS_LEFT_MAX && !knows(c, source, error)) {
                struct progress_left *l = &c->left[c->left_count++];
                l->source = mem_strdup(source);
                snprintf(l->error, sizeof(l->error), "%s", error);
        }
        pthread_mutex_unlock(&p->lock);
}

void progress_each_content(
        struct progress *p, void (*visit)(void *arg, const struct progress_content *c), void *arg)
{
        pthread_mutex_lock(&p->lock);
        for (size_t i = 0; i < p->content_count; i++)
                visit(arg, p->contents[i]);
        pthread_mutex_unlock(&p->lock);
}

/* ---- sources ---- */

static struct progress_source *source_of(struct progress *p, const char *name, bool is_mirror)
{
        for (size_t i = 0; i < p->source_count; i++)
                if (strcmp(p->sources[i].name, name) == 0)
                        return &p->sources[i];
        if (p->source_count == PROGRESS_SOURCES_MAX)
                return NULL;
        struct progress_source *s = &p->sources[p->source_count++];
        *s = (struct progress_source){.name = mem_strdup(name), .is_mirror = is_mirror};
        return s;
}

void progress_gave(struct progress *p, const char *source, bool is_mirror, uint64_t bytes)
{
        if (p == NULL || bytes == 0)
                return;
        pthread_mutex_lock(&p->lock);
        struct progress_source *s = source_of(p, source, is_mirror);
        if (s != NULL)
                s->bytes += bytes;
        pthread_mutex_unlock(&p->lock);
}

void progress_each_source(
        struct progress *p, void (*visit)(void *arg, const struct progress_source *s), void *arg)
{
        pthread_mutex_lock(&p->lock);
        for (size_t i = 0; i < p->source_count; i++)
                visit(arg, &p->sources[i]);
        pthread_mutex_unlock(&p->lock);
}

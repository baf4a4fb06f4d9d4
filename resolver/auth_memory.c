/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/auth_memory.h"

#include <pthread.h>
#include <string.h>

enum { ENTRIES_MAX = 1024 };

/* A challenge, or a token. */
struct entry {
        char *key; /* NULL: free */
        uint64_t used;
        struct challenge challenge;
        char *token;
        int64_t expires_ms;
};

struct auth_memory {
        pthread_mutex_t lock;
        uint64_t clock; /* counts uses */
        struct entry entries[ENTRIES_MAX];
};

struct auth_memory *auth_memory_new(void)
{
        struct auth_memory *m = mem_zalloc(sizeof(*m));
        pthread_mutex_init(&m->lock, NULL);
        return m;
}

static void clear(struct entry *e)
{
        free(e->key);
        challenge_fini(&e->challenge);
        mem_free_secret(e->token);
        *e = (struct entry){0};
}

void auth_memory_free(struct auth_memory *m)
{
        if (m == NULL)
                return;
        for (size_t i = 0; i < ENTRIES_MAX; i++)
                clear(&m->entries[i]);
        pthread_mutex_destroy(&m->lock);
        free(m);
}

static struct entry *find(struct auth_memory *m, const char *key)
{
        for (size_t i = 0; i < ENTRIES_MAX; i++)
                if (m->entries[i].key != NULL && strcmp(m->entries[i].key, key) == 0) {
                        m->entries[i].used = ++m->clock;
                        return &m->entries[i];
                }
        return NULL;
}

/* The entry of this key, emptied; a new one if there is none. */
static struct entry *claim(struct auth_memory *m, const char *key)
{
        struct entry *e = find(m, key);
        for (size_t i = 0; e == NULL && i < ENTRIES_MAX; i++)
                if (m->entries[i].key == NULL)
                        e = &m->entries[i];
        if (e == NULL) {
                e = &m->entries[0];
                for (size_t i = 1; i < ENTRIES_MAX; i++)
                        if (m->entries[i].used < e->used)
                                e = &m->entries[i];
        }
        clear(e);
        e->key = mem_strdup(key);
        e->used = ++m->clock;
        return e;
}

static char *challenge_key(const struct auth_place *place)
{
        return mem_printf("challenge\n%s\n%s\n%s", place->host, place->origin, place->repository);
}

static char *token_key(const struct auth_place *place, const char *login_key)
{
        return mem_printf(
                "token\n%s\n%s\n%s\n%s", place->host, place->origin, place->repository, login_key);
}

static void copy_challenge(const struct challenge *from, struct challenge *to)
{
        *to = (struct challenge){
                .scheme = from->scheme,
                .realm = mem_strdup_or_null(from->realm),
                .service = mem_strdup_or_null(from->service),
                .scope = mem_strdup_or_null(from->scope),
        };
}

bool auth_memory_challenge(
        struct auth_memory *m, const struct auth_place *place, struct challenge *c)
{
        cleanup_free char *key = challenge_key(place);
        pthread_mutex_lock(&m->lock);
        const struct entry *e = find(m, key);
        if (e != NULL)
                copy_challenge(&e->challenge, c);
        pthread_mutex_unlock(&m->lock);
        return e != NULL;
}

void auth_memory_keep_challenge(
        struct auth_memory *m, const struct auth_place *place, const struct challenge *c)
{
        cleanup_free char *key = challenge_key(place);
        pthread_mutex_lock(&m->lock);
        copy_challenge(c, &claim(m, key)->challenge);
        pthread_mutex_unlock(&m->lock);
}

void auth_memory_drop_challenge(struct auth_memory *m, const struct auth_place *place)
{
        cleanup_free char *key = challenge_key(place);
        pthread_mutex_lock(&m->lock);
        struct entry *e = find(m, key);
        if (e != NULL)
                clear(e);
        pthread_mutex_unlock(&m->lock);
}

char *auth_memory_token(struct auth_memory *m, const struct auth_place *place,
        const char *login_key, int64_t now_ms)
{
        cleanup_free char *key = token_key(place, login_key);
        char *token = NULL;
        pthread_mutex_lock(&m->lock);
        struct entry *e = find(m, key);
        if (e != NULL && e->expires_ms > now_ms)
                token = mem_strdup(e->token);
        else if (e != NULL)
                clear(e);
        pthread_mutex_unlock(&m->lock);
        return token;
}

void auth_memory_keep_token(struct auth_memory *m, const struct auth_place *place,
        const char *login_key, const char *token, int64_t expires_ms)
{
        cleanup_free char *key = token_key(place, login_key);
        pthread_mutex_lock(&m->lock);
        struct entry *e = claim(m, key);
        e->token = mem_strdup(token);
        e->expires_ms = expires_ms;
        pthread_mutex_unlock(&m->lock);
}

void auth_memory_drop_token(struct auth_memory *m, const struct auth_place *place,
        const char *login_key, const char *token)
{
        cleanup_free char *key = token_key(place, login_key);
        pthread_mutex_lock(&m->lock);
        struct entry *e = find(m, key);
        if (e != NULL && strcmp(e->token, token) == 0)
                clear(e);
        pthread_mutex_unlock(&m->lock);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/http_pool.h"

#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "resolver/http_authorities.h"
#include "resolver/http_url.h"
#include "resolver/proxy_rule.h"

enum {
        IDLE_MAX = 16,
        IDLE_PER_KEY_MAX = 4,
        IDLE_MAX_MS = 60 * 1000,
};

struct http_pool {
        pthread_mutex_t lock;
        struct http_connection *idle; /* newest first */
        unsigned idle_count;
        struct proxy_rule proxies;
        struct http_authorities *authorities;
};

static void connection_free(struct http_connection *c)
{
        if (c == NULL)
                return;
        curl_easy_cleanup(c->easy);
        curl_multi_cleanup(c->multi);
        mem_free_secret(c->key);
        free(c);
}

static struct http_connection *connection_new(const char *key)
{
        struct http_connection *c = mem_zalloc(sizeof(*c));
        c->easy = curl_easy_init();
        c->multi = curl_multi_init();
        c->key = mem_strdup(key);
        if (c->easy == NULL || c->multi == NULL)
                abort();
        curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, 2L);
        return c;
}

struct http_pool *http_pool_new(void)
{
        curl_global_init(CURL_GLOBAL_DEFAULT);
        struct http_pool *p = mem_zalloc(sizeof(*p));
        pthread_mutex_init(&p->lock, NULL);
        proxy_rule_init(&p->proxies);
        p->authorities = http_authorities_new();
        return p;
}

static void free_list(struct http_connection *list)
{
        while (list != NULL) {
                struct http_connection *next = list->next;
                connection_free(list);
                list = next;
        }
}

void http_pool_free(struct http_pool *p)
{
        if (p == NULL)
                return;
        free_list(p->idle);
        proxy_rule_fini(&p->proxies);
        http_authorities_free(p->authorities);
        pthread_mutex_destroy(&p->lock);
        free(p);
        curl_global_cleanup();
}

/* Cuts what was idle for too long, or is one too many, off the end of the list. */
static struct http_connection *cut_stale(struct http_pool *p)
{
        int64_t oldest_ms = clock_mono_ms() - IDLE_MAX_MS;
        struct http_connection **at = &p->idle;
        unsigned kept = 0;
        while (*at != NULL && kept < IDLE_MAX && (*at)->idle_since_ms >= oldest_ms) {
                at = &(*at)->next;
                kept++;
        }
        struct http_connection *stale = *at;
        *at = NULL;
        p->idle_count = kept;
        return stale;
}

struct http_connection *http_pool_check_out(struct http_pool *p, const char *key)
{
        pthread_mutex_lock(&p->lock);
        struct http_connection *stale = cut_stale(p);
        struct http_connection **at = &p->idle;
        while (*at != NULL && strcmp((*at)->key, key) != 0)
                at = &(*at)->next;
        struct http_connection *c = *at;
        if (c != NULL) {
                *at = c->next;
                p->idle_count--;
        }
        pthread_mutex_unlock(&p->lock);
        free_list(stale); /* closing may write to the network */
        return c != NULL ? c : connection_new(key);
}

static bool has_enough(const struct http_pool *p, const char *key)
{
        unsigned same = 0;
        for (const struct http_connection *c = p->idle; c != NULL; c = c->next)
                same += strcmp(c->key, key) == 0;
        return same >= IDLE_PER_KEY_MAX;
}

void http_pool_check_in(struct http_pool *p, struct http_connection *c)
{
        curl_easy_reset(c->easy); /* keeps connections, forgets the request and its secrets */
        c->idle_since_ms = clock_mono_ms();
        pthread_mutex_lock(&p->lock);
        bool surplus = has_enough(p, c->key);
        if (!surplus) {
                c->next = p->idle;
                p->idle = c;
        }
        struct http_connection *stale = cut_stale(p);
        pthread_mutex_unlock(&p->lock);
        free_list(stale);
        if (surplus)
                connection_free(c);
}

const char *http_pool_proxy(const struct http_pool *p, const char *url)
{
        cleanup_http_place struct http_place place;
        if (!http_place_of(url, &place))
                return NULL;
        return proxy_rule_for(&p->proxies, place.https, place.host, place.port);
}

struct http_authorities *http_pool_authorities(const struct http_pool *p)
{
        return p->authorities;
}

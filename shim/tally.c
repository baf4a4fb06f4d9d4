/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/tally.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#include "base/clock.h"

struct tally_pull {
        char *reference;
        char *pulled_name;
        int64_t started_unix_ms;
        struct progress *progress;
        struct tally_pull *next;
};

struct tally {
        pthread_mutex_t lock; /* never held across I/O */
        struct tally_upstream upstreams[TALLY_UPSTREAMS_MAX];
        size_t upstream_count;
        uint64_t used; /* grows with each pull that ends */
        struct tally_record *recent[TALLY_RECENT_MAX];
        size_t recent_next;         /* the place of the oldest, or an empty one */
        struct tally_pull *running; /* oldest first */
};

/* A copy of at most max - 1 bytes that does not end in the middle of a character; NULL for nothing.
 */
static char *cut(const char *s, size_t max)
{
        if (s == NULL || s[0] == '\0')
                return NULL;
        size_t size = strnlen(s, max);
        if (size == max)
                do
                        size--;
                while (size > 0 && ((unsigned char)s[size] & 0xC0) == 0x80);
        return mem_strndup(s, size);
}

struct tally *tally_new(void)
{
        struct tally *t = mem_zalloc(sizeof(*t));
        pthread_mutex_init(&t->lock, NULL);
        return t;
}

static void upstream_fini(struct tally_upstream *u)
{
        for (size_t i = 0; i < u->source_count; i++)
                free(u->sources[i].source);
        free(u->host);
}

static void record_free(struct tally_record *r)
{
        if (r == NULL)
                return;
        for (size_t i = 0; i < r->byte_count; i++)
                free(r->bytes[i].source);
        for (size_t i = 0; i < r->failover_count; i++) {
                free(r->failovers[i].source);
                free(r->failovers[i].error);
        }
        free(r->bytes);
        free(r->failovers);
        free(r->reference);
        free(r->digest);
        free(r->previous);
        free(r->source);
        free(r->error);
        free(r->degraded);
        free(r);
}

void tally_free(struct tally *t)
{
        if (t == NULL)
                return;
        assert(t->running == NULL);
        for (size_t i = 0; i < t->upstream_count; i++)
                upstream_fini(&t->upstreams[i]);
        for (size_t i = 0; i < TALLY_RECENT_MAX; i++)
                record_free(t->recent[i]);
        pthread_mutex_destroy(&t->lock);
        free(t);
}

/* ---- upstreams ---- */

/* A place for one more: a new one, or that of who has had no pull for longest. */
static struct tally_upstream *make_room(struct tally *t)
{
        if (t->upstream_count < TALLY_UPSTREAMS_MAX)
                return &t->upstreams[t->upstream_count++];
        struct tally_upstream *oldest = &t->upstreams[0];
        for (size_t i = 1; i < t->upstream_count; i++)
                if (t->upstreams[i].last < oldest->last)
                        oldest = &t->upstreams[i];
        upstream_fini(oldest);
        return oldest;
}

static struct tally_upstream *upstream_of(struct tally *t, const char *host)
{
        struct tally_upstream *u = NULL;
        for (size_t i = 0; i < t->upstream_count && u == NULL; i++)
                if (strcmp(t->upstreams[i].host, host) == 0)
                        u = &t->upstreams[i];
        if (u == NULL) {
                u = make_room(t);
                *u = (struct tally_upstream){.host = mem_strdup(host)};
        }
        u->last = ++t->used;
        return u;
}

static void count_pull(struct tally *t, const struct tally_outcome *o)
{
        struct tally_upstream *u = upstream_of(t, o->host);
        const char *source = o->source != NULL ? o->source : "";
        u->pulls++;
        u->failed += o->error != NULL;
        u->current += o->error == NULL && strcmp(source, "current") == 0;
        u->relayed += strcmp(source, "relay") == 0;
        u->direct += strcmp(source, "upstream") == 0;
        u->degraded += o->error == NULL && o->degraded != NULL && o->degraded[0] != '\0';
}

static void add_bytes(void *arg, const struct progress_source *s)
{
        struct tally_upstream *u = arg;
        size_t i = 0;
        while (i < u->source_count && strcmp(u->sources[i].source, s->name) != 0)
                i++;
        if (i == TALLY_SOURCES_MAX)
                return;
        struct tally_bytes *b = &u->sources[i];
        if (i == u->source_count) {
                *b = (struct tally_bytes){.source = mem_strdup(s->name), .is_mirror = s->is_mirror};
                u->source_count++;
        }
        b->bytes += s->bytes;
}

void tally_count(struct tally *t, const char *host, struct progress *progress)
{
        pthread_mutex_lock(&t->lock);
        progress_each_source(progress, add_bytes, upstream_of(t, host));
        pthread_mutex_unlock(&t->lock);
}

void tally_each_upstream(
        struct tally *t, void (*visit)(void *arg, const struct tally_upstream *u), void *arg)
{
        pthread_mutex_lock(&t->lock);
        for (size_t i = 0; i < t->upstream_count; i++)
                visit(arg, &t->upstreams[i]);
        pthread_mutex_unlock(&t->lock);
}

/* ---- pulls that run ---- */

struct tally_pull *tally_begin(struct tally *t)
{
        struct tally_pull *p = mem_zalloc(sizeof(*p));
        p->started_unix_ms = clock_read_ns(CLOCK_REALTIME) / 1000000;
        pthread_mutex_lock(&t->lock);
        struct tally_pull **end = &t->running;
        while (*end != NULL)
                end = &(*end)->next;
        *end = p;
        pthread_mutex_unlock(&t->lock);
        return p;
}

static void replace(struct tally *t, char **field, const char *s)
{
        char *copy = cut(s, TALLY_NAME_BYTES);
        pthread_mutex_lock(&t->lock);
        char *old = *field;
        *field = copy;
        pthread_mutex_unlock(&t->lock);
        free(old);
}

void tally_refers(struct tally *t, struct tally_pull *p, const char *reference)
{
        replace(t, &p->reference, reference);
}

void tally_pulls(struct tally *t, struct tally_pull *p, const char *pulled_name)
{
        replace(t, &p->pulled_name, pulled_name);
}

void tally_flew(struct tally *t, struct tally_pull *p, struct progress *progress)
{
        if (progress == NULL)
                return;
        pthread_mutex_lock(&t->lock);
        struct progress *old = p->progress;
        p->progress = progress_share(progress);
        pthread_mutex_unlock(&t->lock);
        progress_put(old);
}

void tally_each_running(
        struct tally *t, void (*visit)(void *arg, const struct tally_running *r), void *arg)
{
        pthread_mutex_lock(&t->lock);
        for (const struct tally_pull *p = t->running; p != NULL; p = p->next) {
                struct tally_running r = {
                        .reference = p->reference,
                        .pulled_name = p->pulled_name,
                        .started_unix_ms = p->started_unix_ms,
                        .progress = p->progress,
                };
                visit(arg, &r);
        }
        pthread_mutex_unlock(&t->lock);
}

/* ---- pulls that have ended ---- */

static void keep_bytes(void *arg, const struct progress_source *s)
{
        struct tally_record *r = arg;
        if (r->byte_count == TALLY_SOURCES_MAX)
                return;
        r->bytes = mem_resize(r->bytes, (r->byte_count + 1) * sizeof(*r->bytes));
        r->bytes[r->byte_count++] = (struct tally_bytes){
                .source = mem_strdup(s->name), .is_mirror = s->is_mirror, .bytes = s->bytes};
}

static bool has_failover(const struct tally_record *r, const struct progress_left *l)
{
        for (size_t i = 0; i < r->failover_count; i++)
                if (strcmp(r->failovers[i].source, l->source) == 0 &&
                        strcmp(r->failovers[i].error, l->error) == 0)
                        return true;
        return false;
}

static void keep_failovers(void *arg, const struct progress_content *c)
{
        struct tally_record *r = arg;
        for (size_t i = 0; i < c->left_count && r->failover_count < TALLY_FAILOVERS_MAX; i++) {
                const struct progress_left *l = &c->left[i];
                if (has_failover(r, l))
                        continue;
                r->failovers =
                        mem_resize(r->failovers, (r->failover_count + 1) * sizeof(*r->failovers));
                r->failovers[r->failover_count++] = (struct tally_failover){
                        .source = mem_strdup(l->source), .error = mem_strdup(l->error)};
        }
}

static struct tally_record *record_new(struct tally_pull *p, const struct tally_outcome *o)
{
        struct tally_record *r = mem_zalloc(sizeof(*r));
        *r = (struct tally_record){
                .reference = take(&p->reference),
                .digest = cut(o->digest, TALLY_NAME_BYTES),
                .previous = cut(o->previous, TALLY_NAME_BYTES),
                .source = cut(o->source, TALLY_NAME_BYTES),
                .error = cut(o->error, TALLY_TEXT_BYTES),
                .degraded = cut(o->degraded, TALLY_TEXT_BYTES),
                .failed = o->error != NULL,
                .started_unix_ms = p->started_unix_ms,
                .duration_ms = o->duration_ms,
        };
        if (p->progress != NULL) {
                progress_each_source(p->progress, keep_bytes, r);
                progress_each_content(p->progress, keep_failovers, r);
        }
        return r;
}

/* Nobody sees it in neither list, or in both. */
void tally_end(struct tally *t, struct tally_pull *p, const struct tally_outcome *o)
{
        pthread_mutex_lock(&t->lock);
        struct tally_pull **at = &t->running;
        while (*at != p)
                at = &(*at)->next;
        *at = p->next;
        if (o->host != NULL)
                count_pull(t, o);
        struct tally_record *old = t->recent[t->recent_next];
        t->recent[t->recent_next] = record_new(p, o);
        t->recent_next = (t->recent_next + 1) % TALLY_RECENT_MAX;
        pthread_mutex_unlock(&t->lock);
        record_free(old);
        progress_put(p->progress);
        free(p->reference);
        free(p->pulled_name);
        free(p);
}

void tally_each_recent(
        struct tally *t, void (*visit)(void *arg, const struct tally_record *r), void *arg)
{
        pthread_mutex_lock(&t->lock);
        for (size_t i = 1; i <= TALLY_RECENT_MAX; i++) {
                size_t at = (t->recent_next + TALLY_RECENT_MAX - i) % TALLY_RECENT_MAX;
                if (t->recent[at] == NULL)
                        break;
                visit(arg, t->recent[at]);
        }
        pthread_mutex_unlock(&t->lock);
}

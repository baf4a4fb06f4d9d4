/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/grant.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "relay/secret.h"
#include "resolver/base64.h"

enum {
        REASON_MAX_BYTES = 160, /* why one source failed */
        SOURCES_TEXT_MAX_BYTES = 4096,
        SIZES_MAX = 4096,
        REF_MAX_BYTES = 1024
};

struct digest_list {
        char (*items)[DIGEST_SHA256_SIZE + 1];
        size_t count;
};

struct size_entry {
        char digest[DIGEST_SHA256_SIZE + 1];
        int64_t bytes; /* -1: not known */
        char *ref;     /* NULL: not known */
        bool refs_differ;
};

struct kept {
        struct body *body;
        struct kept *next;
};

struct grant {
        atomic_uint references;
        struct grant_spec spec; /* strings, route and credentials are the grant's own */
        struct credentials credentials;
        char password[SECRET_DIGITS + 1];
        char *authorization; /* the header that opens it */
        struct cancel cancel;
        int64_t issued_ms;
        struct grant *next; /* guarded by the table's lock, as the next two */
        bool reached;
        bool captured;

        pthread_mutex_t lock; /* guards what follows */
        bool revoked;
        uint64_t excluded; /* a bit for each source */
        uint64_t *bytes;   /* of each source */
        char **failures;   /* of each source, why it failed first; NULL: it has not */
        struct size_entry *sizes;
        size_t size_count;
        struct digest_list lists[GRANT_LISTS];
        struct kept *kept;
};

struct grants {
        pthread_mutex_t lock;
        struct grant *living;
        int64_t reach_ms;
};

/* ---- the table ---- */

struct grants *grants_new(void)
{
        struct grants *t = mem_zalloc(sizeof(*t));
        t->reach_ms = GRANT_REACH_MS;
        pthread_mutex_init(&t->lock, NULL);
        return t;
}

void grants_set_reach(struct grants *t, int64_t reach_ms)
{
        pthread_mutex_lock(&t->lock);
        t->reach_ms = reach_ms;
        pthread_mutex_unlock(&t->lock);
}

void grants_free(struct grants *t)
{
        if (t == NULL)
                return;
        assert(t->living == NULL);
        pthread_mutex_destroy(&t->lock);
        free(t);
}

static char *opening_header(const char *password)
{
        cleanup_secret char *pair = mem_printf(GRANT_USER ":%s", password);
        cleanup_secret char *code = base64_encode(pair, strlen(pair));
        return mem_printf("Basic %s", code);
}

static struct credentials copy_credentials(const struct credentials *c)
{
        return (struct credentials){
                .username = mem_strdup_or_null(c->username),
                .password = mem_strdup_or_null(c->password),
                .auth = mem_strdup_or_null(c->auth),
                .server_address = mem_strdup_or_null(c->server_address),
                .identity_token = mem_strdup_or_null(c->identity_token),
                .registry_token = mem_strdup_or_null(c->registry_token),
        };
}

static void free_credentials(struct credentials *c)
{
        mem_free_secret((char *)c->username);
        mem_free_secret((char *)c->password);
        mem_free_secret((char *)c->auth);
        mem_free_secret((char *)c->server_address);
        mem_free_secret((char *)c->identity_token);
        mem_free_secret((char *)c->registry_token);
}

struct grant *grant_issue(struct grants *t, const struct grant_spec *spec)
{
        struct grant *g = mem_zalloc(sizeof(*g));
        atomic_init(&g->references, 1);
        g->credentials = copy_credentials(spec->credentials);
        g->spec = (struct grant_spec){
                .name = mem_strdup(spec->name),
                .host = mem_strdup(spec->host),
                .repository = mem_strdup(spec->repository),
                .reference = mem_strdup(spec->reference),
                .route = spec->route,
                .credentials = &g->credentials,
                .on_capture = spec->on_capture,
                .progress = spec->progress != NULL ? progress_share(spec->progress) : NULL,
        };
        secret_make(g->password);
        g->authorization = opening_header(g->password);
        cancel_init(&g->cancel);
        pthread_mutex_init(&g->lock, NULL);
        g->bytes = mem_zalloc(spec->route->count * sizeof(*g->bytes));
        g->failures = mem_zalloc(spec->route->count * sizeof(*g->failures));
        g->issued_ms = clock_mono_ms();
        pthread_mutex_lock(&t->lock);
        g->next = t->living;
        t->living = g;
        pthread_mutex_unlock(&t->lock);
        return g;
}

static void free_kept(struct kept *kept)
{
        while (kept != NULL) {
                struct kept *next = kept->next;
                body_unkeep(kept->body);
                body_put(kept->body);
                free(kept);
                kept = next;
        }
}

struct grant *grant_share(struct grant *g)
{
        atomic_fetch_add(&g->references, 1);
        return g;
}

void grant_put(struct grant *g)
{
        if (g == NULL || atomic_fetch_sub(&g->references, 1) != 1)
                return;
        free_credentials(&g->credentials);
        mem_wipe(g->password, sizeof(g->password));
        mem_free_secret(g->authorization);
        free((char *)g->spec.name);
        free((char *)g->spec.host);
        free((char *)g->spec.repository);
        free((char *)g->spec.reference);
        for (size_t i = 0; i < g->spec.route->count; i++)
                free(g->failures[i]);
        free(g->failures);
        route_free(g->spec.route);
        progress_put(g->spec.progress);
        cancel_fini(&g->cancel);
        pthread_mutex_destroy(&g->lock);
        free(g->bytes);
        for (size_t i = 0; i < g->size_count; i++)
                free(g->sizes[i].ref);
        free(g->sizes);
        for (size_t i = 0; i < GRANT_LISTS; i++)
                free(g->lists[i].items);
        free_kept(g->kept);
        free(g);
}

void grant_revoke(struct grants *t, struct grant *g)
{
        pthread_mutex_lock(&t->lock);
        struct grant **at = &t->living;
        while (*at != g)
                at = &(*at)->next;
        *at = g->next;
        pthread_mutex_unlock(&t->lock);
        pthread_mutex_lock(&g->lock);
        g->revoked = true;
        pthread_mutex_unlock(&g->lock);
        cancel_fire(&g->cancel);
}

struct grant *grants_find(struct grants *t, const char *authorization)
{
        struct grant *found = NULL;
        pthread_mutex_lock(&t->lock);
        for (struct grant *g = t->living; g != NULL; g = g->next)
                if (secret_equal(g->authorization, authorization))
                        found = g;
        if (found != NULL)
                grant_share(found);
        pthread_mutex_unlock(&t->lock);
        return found;
}

/* "/v2/<name>/..." */
static bool path_is_of(const char *path, const char *name)
{
        static const char root[] = "/v2/";
        size_t size = strlen(name);
        return strncmp(path, root, sizeof(root) - 1) == 0 &&
               strncmp(path + sizeof(root) - 1, name, size) == 0 &&
               path[sizeof(root) - 1 + size] == '/';
}

void grants_reached(struct grants *t, const char *path)
{
        pthread_mutex_lock(&t->lock);
        for (struct grant *g = t->living; g != NULL; g = g->next)
                g->reached = g->reached || path_is_of(path, g->spec.name);
        pthread_mutex_unlock(&t->lock);
}

bool grants_check_reach(struct grants *t)
{
        bool waiting = false;
        pthread_mutex_lock(&t->lock);
        int64_t oldest_ms = clock_mono_ms() - t->reach_ms;
        for (struct grant *g = t->living; g != NULL; g = g->next) {
                if (g->reached || g->captured)
                        continue;
                g->captured = g->issued_ms <= oldest_ms;
                waiting = waiting || !g->captured;
                if (g->captured)
                        cancel_fire(g->spec.on_capture); /* a hook only wakes somebody */
        }
        pthread_mutex_unlock(&t->lock);
        return waiting;
}

/* ---- constants ---- */

const char *grant_password(const struct grant *g)
{
        return g->password;
}

const struct grant_spec *grant_spec_of(const struct grant *g)
{
        return &g->spec;
}

struct cancel *grant_cancel(struct grant *g)
{
        return &g->cancel;
}

/* The table changes neither of the two after grant_revoke. */
bool grant_unreached(struct grant *g)
{
        return !g->reached;
}

bool grant_captured(struct grant *g)
{
        return g->captured;
}

/* ---- what happened ---- */

void grant_exclude(struct grant *g, size_t source)
{
        pthread_mutex_lock(&g->lock);
        g->excluded |= UINT64_C(1) << source;
        pthread_mutex_unlock(&g->lock);
}

bool grant_excluded(struct grant *g, size_t source)
{
        pthread_mutex_lock(&g->lock);
        bool excluded = (g->excluded >> source & 1) != 0;
        pthread_mutex_unlock(&g->lock);
        return excluded;
}

void grant_count_bytes(struct grant *g, size_t source, size_t bytes)
{
        pthread_mutex_lock(&g->lock);
        g->bytes[source] += bytes;
        pthread_mutex_unlock(&g->lock);
}

uint64_t grant_bytes_of(struct grant *g, size_t source)
{
        pthread_mutex_lock(&g->lock);
        uint64_t bytes = g->bytes[source];
        pthread_mutex_unlock(&g->lock);
        return bytes;
}

char *grant_sources_text(struct grant *g)
{
        cleanup_buf struct buf text;
        buf_init(&text, SOURCES_TEXT_MAX_BYTES);
        for (size_t i = 0; i < g->spec.route->count; i++) {
                uint64_t bytes = grant_bytes_of(g, i);
                if (bytes > 0)
                        buf_printf(&text, "%s%s: %" PRIu64 " bytes", text.size > 0 ? ", " : "",
                                g->spec.route->sources[i].name, bytes);
        }
        return mem_strdup(buf_str(&text));
}

/* No more than there is room for, and no half of a character of UTF-8. */
static size_t clipped_size(const char *text)
{
        size_t size = strnlen(text, REASON_MAX_BYTES);
        while (size > 0 && ((unsigned char)text[size] & 0xC0) == 0x80)
                size--;
        return size;
}

/* Of a URL the origin is enough: its path is as long as all else together. */
static char *short_reason(const char *why)
{
        static const char mark[] = "://";
        cleanup_buf struct buf text;
        buf_init(&text, strlen(why));
        for (const char *origin; (origin = strstr(why, mark)) != NULL;) {
                origin += sizeof(mark) - 1;
                const char *path = origin + strcspn(origin, "/ ");
                buf_append(&text, why, (size_t)(path - why));
                why = path + strcspn(path, " ");
                if (why > path && why[-1] == ':')
                        why--;
        }
        buf_puts(&text, why);
        return mem_strndup(buf_str(&text), clipped_size(buf_str(&text)));
}

void grant_note_failure(struct grant *g, size_t source, const char *why)
{
        cleanup_free char *reason = short_reason(why);
        pthread_mutex_lock(&g->lock);
        if (g->failures[source] == NULL)
                g->failures[source] = take(&reason);
        pthread_mutex_unlock(&g->lock);
}

char *grant_failures_text(struct grant *g)
{
        cleanup_buf struct buf text;
        buf_init(&text, SIZE_MAX / 2); /* the route bounds it */
        pthread_mutex_lock(&g->lock);
        for (size_t i = 0; i < g->spec.route->count; i++)
                if (g->failures[i] != NULL)
                        buf_printf(&text, "%s%s: %s", text.size > 0 ? "; " : "",
                                g->spec.route->sources[i].name, g->failures[i]);
        pthread_mutex_unlock(&g->lock);
        return mem_strdup(buf_str(&text));
}

static struct size_entry *find_size(struct grant *g, const char *digest)
{
        for (size_t i = 0; i < g->size_count; i++)
                if (strcmp(g->sizes[i].digest, digest) == 0)
                        return &g->sizes[i];
        return NULL;
}

/* NULL: there is no room for it. */
static struct size_entry *found_or_made(struct grant *g, const char *digest)
{
        struct size_entry *s = find_size(g, digest);
        if (s != NULL || g->size_count == SIZES_MAX)
                return s;
        g->sizes = mem_resize(g->sizes, (g->size_count + 1) * sizeof(*g->sizes));
        s = &g->sizes[g->size_count++];
        *s = (struct size_entry){.bytes = -1};
        memcpy(s->digest, digest, sizeof(s->digest));
        return s;
}

static void learn_ref(struct size_entry *s, const char *ref)
{
        bool usable = ref != NULL && strlen(ref) <= REF_MAX_BYTES;
        if (!usable || (s->ref != NULL && strcmp(s->ref, ref) != 0))
                s->refs_differ = true;
        else if (s->ref == NULL)
                s->ref = mem_strdup(ref);
}

void grant_learn(struct grant *g, const char *digest, int64_t size_bytes, const char *ref)
{
        pthread_mutex_lock(&g->lock);
        struct size_entry *s = found_or_made(g, digest);
        if (s != NULL) {
                if (s->bytes < 0 && size_bytes >= 0)
                        s->bytes = size_bytes;
                learn_ref(s, ref);
        }
        pthread_mutex_unlock(&g->lock);
}

void grant_inherit(struct grant *g, struct grant *earlier)
{
        pthread_mutex_lock(&earlier->lock);
        for (size_t i = 0; i < earlier->size_count; i++) {
                const struct size_entry *s = &earlier->sizes[i];
                grant_learn(g, s->digest, s->bytes, s->refs_differ ? NULL : s->ref);
        }
        for (size_t i = 0; i < g->spec.route->count; i++)
                if (earlier->failures[i] != NULL)
                        grant_note_failure(g, i, earlier->failures[i]);
        pthread_mutex_unlock(&earlier->lock);
}

char *grant_ref_of(struct grant *g, const char *digest)
{
        pthread_mutex_lock(&g->lock);
        const struct size_entry *s = find_size(g, digest);
        char *ref = s != NULL && !s->refs_differ ? mem_strdup_or_null(s->ref) : NULL;
        pthread_mutex_unlock(&g->lock);
        return ref;
}

int64_t grant_size_of(struct grant *g, const char *digest)
{
        pthread_mutex_lock(&g->lock);
        const struct size_entry *s = find_size(g, digest);
        int64_t bytes = s != NULL ? s->bytes : -1;
        pthread_mutex_unlock(&g->lock);
        return bytes;
}

static bool contains(const struct digest_list *list, const char *digest)
{
        for (size_t i = 0; i < list->count; i++)
                if (strcmp(list->items[i], digest) == 0)
                        return true;
        return false;
}

bool grant_add(struct grant *g, enum grant_list which, const char *digest)
{
        pthread_mutex_lock(&g->lock);
        struct digest_list *list = &g->lists[which];
        bool living = !g->revoked;
        if (living && !contains(list, digest)) {
                list->items = mem_resize(list->items, (list->count + 1) * sizeof(*list->items));
                memcpy(list->items[list->count++], digest, DIGEST_SHA256_SIZE + 1);
        }
        pthread_mutex_unlock(&g->lock);
        return living;
}

bool grant_has(struct grant *g, enum grant_list which, const char *digest)
{
        pthread_mutex_lock(&g->lock);
        bool has = contains(&g->lists[which], digest);
        pthread_mutex_unlock(&g->lock);
        return has;
}

size_t grant_count(struct grant *g, enum grant_list which)
{
        pthread_mutex_lock(&g->lock);
        size_t count = g->lists[which].count;
        pthread_mutex_unlock(&g->lock);
        return count;
}

void grant_at(
        struct grant *g, enum grant_list which, size_t index, char digest[DIGEST_SHA256_SIZE + 1])
{
        pthread_mutex_lock(&g->lock);
        memcpy(digest, g->lists[which].items[index], DIGEST_SHA256_SIZE + 1);
        pthread_mutex_unlock(&g->lock);
}

void grant_keep(struct grant *g, struct body *b)
{
        cleanup_body struct body *present = grant_kept(g, b->digest);
        if (present != NULL || !body_keep(b))
                return;
        struct kept *k = mem_zalloc(sizeof(*k));
        k->body = body_share(b);
        pthread_mutex_lock(&g->lock);
        k->next = g->kept;
        g->kept = k;
        pthread_mutex_unlock(&g->lock);
}

struct body *grant_kept(struct grant *g, const char *digest)
{
        struct body *found = NULL;
        pthread_mutex_lock(&g->lock);
        for (struct kept *k = g->kept; k != NULL && found == NULL; k = k->next)
                if (strcmp(k->body->digest, digest) == 0)
                        found = body_share(k->body);
        pthread_mutex_unlock(&g->lock);
        return found;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/stream.h"

#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "relay/manifest.h"

static const char type_of_blobs[] = "application/octet-stream";

struct stream {
        const struct stream_parts *parts;
        struct grant *grant;
        struct feed feed;
        struct body *whole; /* verified; NULL: it is pumped */
        size_t whole_sent;
        int64_t size;
        int64_t sent; /* to containerd */

        /* of what is pumped: */
        bool serving; /* spoilt_serve_begin */
        bool left;    /* it is the client, or the flight, who has gone */
        struct digest_hash *hash;
        char *withheld; /* the verified end; NULL until it is read */
        size_t withheld_size, withheld_sent;
};

/* ---- whole ---- */

/* How long others may have to wait for its room: all sources, one after the other. */
static int64_t most_time_ms(const struct feed *f, size_t size)
{
        const struct route *r = grant_spec_of(f->grant)->route;
        int64_t each_ms = r->first_byte_timeout_ms + r->stall_timeout_ms +
                          (int64_t)size / STREAM_HELD_SLOWEST_BYTES_PER_MS;
        return (int64_t)r->count * each_ms;
}

/* Reads all of it from whatever sources it takes, as it comes. */
static int read_whole(struct feed *f, struct body *b, struct err *e)
{
        /* The room behind the last byte is for the last piece. */
        cleanup_free char *piece = mem_zalloc(HTTP_PIECE_MIN);
        size_t got = 1;
        size_t size = 0;
        int64_t until_ms = clock_mono_ms() + most_time_ms(f, b->size);
        while (got > 0) {
                if (clock_mono_ms() > until_ms) /* others wait for the room */
                        return err_set(e, ERR_TIMEOUT, "%s comes too slowly to be held", f->digest);
                if (feed_read(f, piece, HTTP_PIECE_MIN, &got, e) < 0)
                        return -1;
                memcpy(b->data + size, piece, got);
                size += got;
        }
        return 0;
}

static size_t most_bytes(enum registry_content kind)
{
        return kind == REGISTRY_MANIFEST ? BODY_MANIFEST_MAX_BYTES : BODY_BLOB_MAX_BYTES;
}

static struct body_room *room_for(const struct stream *s)
{
        return grant_spec_of(s->grant)->route->has_entry ? s->parts->room
                                                         : s->parts->room_of_others;
}

/* One try; ERR_DIGEST when it may be worth another. */
static int fetch_once(struct stream *s, struct body **out, struct err *e)
{
        struct feed *f = &s->feed;
        if (feed_open(f, e) < 0)
                return -1;
        if (f->total_bytes > (int64_t)most_bytes(f->kind))
                return err_set(e, ERR_TOO_LARGE, "%s has %lld bytes", f->digest,
                        (long long)f->total_bytes);
        cleanup_body struct body *b = body_new(room_for(s), (size_t)f->total_bytes,
                grant_spec_of(s->grant)->route->first_byte_timeout_ms, e);
        if (b == NULL)
                return -1;
        b->content_type = mem_strdup_or_null(feed_content_type(f));
        if (read_whole(f, b, e) < 0)
                return -1;
        digest_of(b->data, b->size, b->digest);
        if (strcmp(b->digest, f->digest) == 0) {
                *out = take(&b);
                return 0;
        }
        bool blamed = feed_blame(f, b->digest);
        err_set(e, blamed ? ERR_DIGEST : ERR_PROTOCOL,
                "the content offered as %s has the digest %s", f->digest, b->digest);
        return -1;
}

/* Ends: each wrong try leaves one mirror less. */
static int fetch_whole(struct stream *s, struct body **out, struct err *e)
{
        int r;
        do
                r = fetch_once(s, out, e);
        while (r < 0 && e->code == ERR_DIGEST);
        return r;
}

static void learn(void *grant, const char *digest, int64_t size_bytes, const char *ref)
{
        grant_learn(grant, digest, size_bytes, ref);
}

/* A manifest is what it says it is: containerd would believe the header of whoever sent it. Nobody
 * else has b yet. Parsed, it takes many times the room that it has in b: so there is one at a time.
 */
static void read_manifest(struct grant *g, struct body *b)
{
        static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
        pthread_mutex_lock(&one_at_a_time);
        struct manifest *m = manifest_parse(b->data, b->size);
        const char *type = manifest_media_type(m);
        if (type != NULL) {
                free(b->content_type);
                b->content_type = mem_strdup(type);
        }
        manifest_each(m, learn, g);
        manifest_free(m);
        pthread_mutex_unlock(&one_at_a_time);
        grant_keep(g, b);
}

static int open_whole(struct stream *s, struct err *e)
{
        if (s->feed.kind == REGISTRY_MANIFEST)
                s->whole = grant_kept(s->grant, s->feed.digest);
        if (s->whole == NULL) {
                if (fetch_whole(s, &s->whole, e) < 0)
                        return -1;
                if (s->feed.kind == REGISTRY_MANIFEST)
                        read_manifest(s->grant, s->whole);
        }
        s->size = (int64_t)s->whole->size;
        return 0;
}

/* ---- pumped ---- */

static int open_pumped(struct stream *s, struct err *e)
{
        s->serving = spoilt_serve_begin(s->parts->spoilt, s->feed.digest);
        if (!s->serving) {
                /* What this pull has spoilt itself, it cleans: there is nothing to wait for. */
                if (!grant_has(s->grant, GRANT_SPOILT, s->feed.digest))
                        grant_add(s->grant, GRANT_REFUSED, s->feed.digest);
                return err_set(e, ERR_UPSTREAM, "%s is being cleaned up", s->feed.digest);
        }
        s->size = s->feed.total_bytes;
        s->hash = digest_hash_new();
        return 0;
}

/* Some of it has left, and the rest will not come. Where nobody wants the rest, no source has
 * failed: should the beginning be wrong, the next pull's error says so. */
static void spoil(struct stream *s)
{
        if (s->left)
                return;
        if (!spoilt_lock(s->parts->spoilt, s->feed.digest))
                grant_add(s->grant, GRANT_REFUSED, s->feed.digest);
        else if (!grant_add(s->grant, GRANT_SPOILT, s->feed.digest))
                spoilt_unlock(s->parts->spoilt, s->feed.digest); /* nobody is there to clean */
}

static ssize_t pump(struct stream *s, char *buf, size_t size)
{
        struct err e;
        size_t got = 0;
        if (feed_read(&s->feed, buf, size, &got, &e) < 0) {
                s->left = e.code == ERR_CANCELLED;
                return -1;
        }
        if (got == 0)
                return -1;
        digest_hash_update(s->hash, buf, got);
        return (ssize_t)got;
}

/* Reads what is left into memory and looks at the digest of all. */
static bool withhold(struct stream *s)
{
        size_t left = (size_t)(s->size - s->feed.position);
        s->withheld = mem_zalloc(left + HTTP_PIECE_MIN);
        while (s->withheld_size < left) {
                ssize_t n = pump(s, s->withheld + s->withheld_size,
                        left + HTTP_PIECE_MIN - s->withheld_size);
                if (n < 0)
                        return false;
                s->withheld_size += (size_t)n;
        }
        char found[DIGEST_SHA256_SIZE + 1];
        digest_hash_final(take(&s->hash), found);
        if (strcmp(found, s->feed.digest) == 0)
                return true;
        feed_blame(&s->feed, found);
        return false;
}

static ssize_t give_withheld(struct stream *s, char *buf, size_t max)
{
        size_t left = s->withheld_size - s->withheld_sent;
        size_t n = left < max ? left : max;
        memcpy(buf, s->withheld + s->withheld_sent, n);
        s->withheld_sent += n;
        return (ssize_t)n;
}

static ssize_t read_pumped(struct stream *s, char *buf, size_t max)
{
        if (s->withheld != NULL)
                return give_withheld(s, buf, max);
        int64_t before_end = s->size - s->feed.position - STREAM_WITHHELD_BYTES;
        if (before_end >= HTTP_PIECE_MIN) {
                size_t size = before_end < (int64_t)max ? (size_t)before_end : max;
                ssize_t n = pump(s, buf, size);
                if (n < 0)
                        spoil(s);
                return n;
        }
        if (withhold(s))
                return give_withheld(s, buf, max);
        spoil(s);
        return -1;
}

/* ---- both ---- */

/* A blob that is not known to be small has to be asked for to learn how large it is. */
static int open_content(struct stream *s, struct err *e)
{
        if (s->feed.kind == REGISTRY_MANIFEST)
                return open_whole(s, e);
        if (feed_open(&s->feed, e) < 0)
                return -1;
        return s->feed.total_bytes <= BODY_BLOB_MAX_BYTES ? open_whole(s, e) : open_pumped(s, e);
}

int stream_open(const struct stream_parts *parts, struct grant *g, enum registry_content kind,
        const char *digest, int client_fd, struct stream **out, struct err *e)
{
        struct stream *s = mem_zalloc(sizeof(*s));
        s->parts = parts;
        s->grant = g;
        feed_init(&s->feed, parts->registry, g, kind, digest, client_fd);
        *out = NULL;
        if (open_content(s, e) < 0) {
                stream_free(s);
                return -1;
        }
        progress_size(s->feed.progress, s->size);
        *out = s;
        return 0;
}

void stream_free(struct stream *s)
{
        if (s == NULL)
                return;
        feed_fini(&s->feed);
        if (s->serving)
                spoilt_serve_end(s->parts->spoilt, s->feed.digest);
        digest_hash_free(s->hash);
        body_put(s->whole);
        free(s->withheld);
        free(s);
}

int64_t stream_size(const struct stream *s)
{
        return s->size;
}

const char *stream_content_type(const struct stream *s)
{
        bool manifest = s->feed.kind == REGISTRY_MANIFEST;
        return manifest && s->whole->content_type != NULL ? s->whole->content_type : type_of_blobs;
}

static ssize_t read_held(struct stream *s, char *buf, size_t max)
{
        size_t left = s->whole->size - s->whole_sent;
        size_t n = left < max ? left : max;
        memcpy(buf, s->whole->data + s->whole_sent, n);
        s->whole_sent += n;
        return n > 0 ? (ssize_t)n : -1;
}

ssize_t stream_read(struct stream *s, char *buf, size_t max)
{
        ssize_t n = s->whole != NULL ? read_held(s, buf, max) : read_pumped(s, buf, max);
        if (n > 0) {
                s->sent += n;
                progress_sent(s->feed.progress, s->sent);
        }
        return n;
}

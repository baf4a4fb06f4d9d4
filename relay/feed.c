/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/feed.h"

#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "base/metrics.h"

static const struct route *route_of(const struct feed *f)
{
        return grant_spec_of(f->grant)->route;
}

static const struct source *source_at(const struct feed *f, size_t at)
{
        return &route_of(f)->sources[at];
}

static bool is_open(const struct feed *f)
{
        return f->at < route_of(f)->count;
}

static uint64_t bit(size_t source)
{
        return UINT64_C(1) << source;
}

void feed_init(struct feed *f, struct registry *registry, struct grant *g,
        enum registry_content kind, const char *digest, int client_fd)
{
        *f = (struct feed){
                .registry = registry,
                .grant = g,
                .kind = kind,
                .client_fd = client_fd,
                .total_bytes = grant_size_of(g, digest),
                .progress = progress_content(grant_spec_of(g)->progress, kind, digest),
                .at = grant_spec_of(g)->route->count,
        };
        memcpy(f->digest, digest, DIGEST_SHA256_SIZE + 1);
        progress_size(f->progress, f->total_bytes);
}

static void close_source(struct feed *f)
{
        registry_body_fini(&f->body);
        mirror_leave(&f->use);
        f->at = route_of(f)->count;
}

void feed_fini(struct feed *f)
{
        close_source(f);
}

const char *feed_content_type(const struct feed *f)
{
        return f->body.content_type;
}

/* ---- choosing ---- */

static bool is_liar(const struct feed *f, size_t at)
{
        struct mirror *m = source_at(f, at)->mirror;
        return m != NULL && (grant_excluded(f->grant, at) || mirror_quarantined(m, f->digest));
}

/* Sets f->at to the next source to ask; false when there is none. */
static bool choose(struct feed *f)
{
        size_t count = route_of(f)->count;
        for (size_t i = 0; i < count; i++) {
                if ((f->tried & bit(i)) != 0 || (f->passed_over & bit(i)) != 0)
                        continue;
                if (is_liar(f, i)) {
                        f->tried |= bit(i);
                } else if (!mirror_admit(source_at(f, i)->mirror, &f->use)) {
                        f->passed_over |= bit(i);
                } else {
                        f->tried |= bit(i);
                        f->at = i;
                        return true;
                }
        }
        for (size_t i = 0; i < count; i++) {
                if ((f->tried & bit(i)) != 0)
                        continue;
                f->tried |= bit(i);
                f->at = i;
                return true;
        }
        return false;
}

/* Whether there is somebody to go to from a source that is merely slow. */
static bool has_other(const struct feed *f)
{
        for (size_t i = 0; i < route_of(f)->count; i++)
                if ((f->tried & bit(i)) == 0 && (f->passed_over & bit(i)) == 0 && !is_liar(f, i))
                        return true;
        return false;
}

/* ---- leaving ---- */

static void tell(const struct feed *f, size_t left, const struct err *why)
{
        const struct grant_spec *spec = grant_spec_of(f->grant);
        progress_left(spec->progress, f->progress, source_at(f, left)->name, why->msg);
        log_line(LOG_LEVEL_INFO, "source failed", "reference", spec->reference, "source",
                source_at(f, left)->name, "digest", f->digest, "error", why->msg, "next",
                is_open(f) ? source_at(f, f->at)->name : "", NULL);
}

static void count_left(const struct feed *f, size_t left, const struct err *why, bool found)
{
        const char *upstream = route_of(f)->label;
        const struct source *s = source_at(f, left);
        if (found)
                metrics_add(METRIC_FAILOVERS, 1,
                        METRICS_WORDS(upstream, route_source_label(s), err_label(why->code)));
        /* What is pulled is what the upstream has just named. */
        if (s->mirror != NULL && f->kind == REGISTRY_MANIFEST && why->code == ERR_NOT_FOUND)
                metrics_add(METRIC_STALE_MIRRORS, 1, METRICS_WORDS(upstream, s->name));
}

/* Leaves the open source for `why` and chooses the next. False when there is none, or when it is we
 * who have gone. */
static bool leave(
        struct feed *f, enum mirror_verdict verdict, int64_t retry_after_ms, const struct err *why)
{
        size_t left = f->at;
        bool ours = why->code == ERR_CANCELLED;
        bool again = source_at(f, left)->mirror == NULL && f->read_since_open &&
                     f->resumes < FEED_RESUMES_MAX;
        bool slow = f->crawls;
        if (!ours)
                mirror_report(&f->use, verdict, retry_after_ms, why);
        close_source(f);
        if (ours)
                return false;
        if (again)
                f->resumes++;
        if (again || slow)
                f->tried &= ~bit(left);
        if (slow)
                f->passed_over |= bit(left);
        grant_note_failure(f->grant, left, why->msg);
        bool found = choose(f);
        count_left(f, left, why, found);
        tell(f, left, why);
        return found;
}

/* ---- opening ---- */

/* What a source names is checked against what is known, or was told to the reader. */
static int check_size(const struct feed *f, struct err *e)
{
        int64_t total_bytes = f->body.total_bytes;
        if (f->total_bytes >= 0 && total_bytes != f->total_bytes)
                return err_set(e, ERR_DIGEST,
                        "%s is said to have %" PRId64 " bytes, but it has %" PRId64, f->digest,
                        total_bytes, f->total_bytes);
        if (f->kind == REGISTRY_MANIFEST && total_bytes > BODY_MANIFEST_MAX_BYTES)
                return err_set(e, ERR_TOO_LARGE, "%s is said to have %" PRId64 " bytes", f->digest,
                        total_bytes);
        return 0;
}

static int ask(struct feed *f, int64_t *retry_after_ms, struct err *e)
{
        const struct grant_spec *spec = grant_spec_of(f->grant);
        const struct source *s = source_at(f, f->at);
        const struct route *r = spec->route;
        bool upstream = s->mirror == NULL;
        struct registry_fetch fetch = {
                .from = s->access,
                .credentials = upstream ? spec->credentials : NULL,
                .repository = spec->repository,
                .digest = f->digest,
                .kind = f->kind,
                .host = upstream ? NULL : spec->host,
                .offset = f->position,
                .connect_timeout_ms = upstream ? r->resolve_timeout_ms : r->connect_timeout_ms,
                .timeout_ms = r->first_byte_timeout_ms,
                .token_reuse_ms = r->token_reuse_ms,
                .patient = upstream,
                .watch_fd = f->client_fd,
                .cancel = grant_cancel(f->grant),
        };
        return registry_open(f->registry, &fetch, &f->body, retry_after_ms, e);
}

static bool is_size_known(const struct feed *f)
{
        return grant_size_of(f->grant, f->digest) >= 0;
}

/* Opens the chosen source, if what it names can be right. */
static int open_chosen(struct feed *f, int64_t *retry_after_ms, struct err *e)
{
        f->read_since_open = f->crawls = false;
        f->window_waited_ms = f->window_bytes = 0;
        if (ask(f, retry_after_ms, e) < 0)
                return -1;
        if (check_size(f, e) == 0) {
                progress_feeds(
                        grant_spec_of(f->grant)->progress, f->progress, source_at(f, f->at)->name);
                return 0;
        }
        return -1;
}

/* A size that contradicts a manifest proves nothing: its author may have written a wrong one there,
 * and would otherwise have honest mirrors put away for everybody. Only a wrong hash is proof. */
static enum mirror_verdict opening_verdict(const struct err *e)
{
        bool size = e->code == ERR_DIGEST || e->code == ERR_TOO_LARGE;
        return size ? MIRROR_NEUTRAL : mirror_verdict_of(e);
}

/* The open source contradicts those before it, which have all been left. */
static int start_over(struct feed *f)
{
        f->tried &= ~bit(f->at);
        close_source(f);
        f->position = 0;
        f->gave = 0;
        return -1;
}

/* told: the reader goes by total_bytes. */
static int open_next(struct feed *f, bool told, struct err *e)
{
        if (!is_open(f) && !choose(f))
                return err_set(e, ERR_UPSTREAM, "no source is left for %s", f->digest);
        while (f->body.stream == NULL) {
                int64_t retry_after_ms = -1;
                if (!told)
                        f->total_bytes = grant_size_of(f->grant, f->digest);
                if (open_chosen(f, &retry_after_ms, e) == 0)
                        break;
                if (told && e->code == ERR_DIGEST && !is_size_known(f))
                        return start_over(f);
                if (!leave(f, opening_verdict(e), retry_after_ms, e))
                        return -1;
        }
        f->total_bytes = f->body.total_bytes;
        if (f->total_bytes == 0) /* there will be no byte to be blamed for */
                f->gave |= bit(f->at);
        progress_size(f->progress, f->total_bytes);
        return 0;
}

int feed_open(struct feed *f, struct err *e)
{
        return open_next(f, false, e);
}

/* ---- reading ---- */

/* Once per stall_timeout of waiting: does it crawl? */
static int check_speed(struct feed *f, struct err *e)
{
        if (f->window_waited_ms < route_of(f)->stall_timeout_ms)
                return 0;
        int64_t bytes = f->window_bytes;
        int64_t waited_ms = f->window_waited_ms;
        f->window_waited_ms = f->window_bytes = 0;
        bool silent = bytes < waited_ms * FEED_SILENT_BYTES_PER_S / 1000;
        bool slow = bytes < waited_ms * FEED_SLOWEST_BYTES_PER_S / 1000;
        f->crawls = slow && !silent && has_other(f);
        if (!silent && !f->crawls)
                return 0;
        return err_set(
                e, ERR_TIMEOUT, "too slow: %" PRId64 " bytes in %" PRId64 " ms", bytes, waited_ms);
}

/* One piece of the open source. *got 0: it was a piece that had been read before, or the end. */
static int read_piece(struct feed *f, void *buf, size_t size, size_t *got, struct err *e)
{
        size_t n = 0;
        int64_t waited_ms = 0;
        *got = 0;
        if (http_stream_read(f->body.stream, buf, size, route_of(f)->stall_timeout_ms, &n,
                    &waited_ms, e) < 0)
                return -1;
        f->window_waited_ms += waited_ms;
        f->window_bytes += (int64_t)n;
        if (n == 0 || f->body.offset + (int64_t)n > f->total_bytes)
                return err_set(e, ERR_BROKEN, "the answer does not end where it said it would");
        if (!f->read_since_open) /* one use, one word */
                mirror_report(&f->use, MIRROR_GOOD, -1, NULL);
        f->read_since_open = true;
        int64_t begin = f->body.offset;
        f->body.offset += (int64_t)n;
        if (f->body.offset > f->position) { /* a source that ignores Range begins at 0 */
                size_t old = (size_t)(f->position - begin);
                *got = n - old;
                memmove(buf, (char *)buf + old, *got);
                f->gave |= bit(f->at);
                f->position = f->body.offset;
                grant_count_bytes(f->grant, f->at, *got);
                metrics_series_add(source_at(f, f->at)->received, *got);
        }
        return check_speed(f, e);
}

int feed_read(struct feed *f, void *buf, size_t size, size_t *got, struct err *e)
{
        *got = 0;
        while (*got == 0 && f->position < f->total_bytes) {
                if (open_next(f, true, e) < 0)
                        return -1;
                if (read_piece(f, buf, size, got, e) < 0 &&
                        !leave(f, mirror_verdict_of(e), -1, e) && *got == 0)
                        return -1;
        }
        return 0;
}

/* ---- blame ---- */

static void accuse(struct feed *f, size_t at, const char *found_digest)
{
        const struct source *s = source_at(f, at);
        struct err why;
        err_set(&why, ERR_DIGEST, "the content has the digest %s", found_digest);
        if (f->at == at)
                mirror_report(&f->use, MIRROR_FAILED, -1, &why);
        mirror_quarantine(s->mirror, f->digest);
        grant_exclude(f->grant, at);
        grant_note_failure(f->grant, at, "wrong content");
        progress_left(grant_spec_of(f->grant)->progress, f->progress, s->name, why.msg);
        metrics_add(METRIC_WRONG_CONTENTS, 1, METRICS_WORDS(route_of(f)->label, s->name));
        log_line(LOG_LEVEL_WARNING, "mirror served wrong content", "mirror", s->name, "digest",
                f->digest, "error", why.msg, NULL);
}

bool feed_blame(struct feed *f, const char *found_digest)
{
        bool blamed = false;
        for (size_t i = 0; i < route_of(f)->count; i++) {
                if ((f->gave & bit(i)) == 0 || source_at(f, i)->mirror == NULL)
                        continue;
                accuse(f, i, found_digest);
                blamed = true;
        }
        close_source(f);
        f->position = 0;
        f->total_bytes = grant_size_of(f->grant, f->digest);
        f->gave = f->tried = f->passed_over = 0;
        return blamed;
}

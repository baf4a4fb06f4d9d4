/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/health.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "resolver/quarantine.h"

/* health, url, upstream and next are set once; the rest is guarded by the health's lock. */
struct mirror {
        struct health *health;
        char *url;
        char *upstream; /* the entry's host; "": the default one */
        struct breaker breaker;
        struct quarantine quarantine;
        bool relapsed; /* it answered a probe, and failed its trial: its answers say little now */
        int64_t since_unix_s;
        char last_error[sizeof(((struct mirror_state *)0)->last_error)];
        struct mirror *next;
};

struct health {
        health_probe_fn probe;
        void *arg;
        struct cancel cancel; /* of the probe that runs */

        pthread_mutex_t lock;
        pthread_cond_t changed; /* something became due earlier, or stopping */
        struct mirror *mirrors;
        int64_t backoff_first_ms;
        int64_t backoff_max_ms;
        bool stopping;
        bool started; /* the thread */
        pthread_t thread;
};

struct health *health_new(health_probe_fn probe, void *arg)
{
        struct health *h = mem_zalloc(sizeof(*h));
        h->probe = probe;
        h->arg = arg;
        h->backoff_first_ms = HEALTH_BACKOFF_FIRST_MS;
        h->backoff_max_ms = HEALTH_BACKOFF_MAX_MS;
        cancel_init(&h->cancel);
        pthread_mutex_init(&h->lock, NULL);
        pthread_cond_init(&h->changed, NULL);
        return h;
}

void health_set_backoff(struct health *h, int64_t first_ms, int64_t max_ms)
{
        pthread_mutex_lock(&h->lock);
        h->backoff_first_ms = first_ms;
        h->backoff_max_ms = max_ms;
        pthread_mutex_unlock(&h->lock);
}

static void mirror_free(struct mirror *m)
{
        quarantine_fini(&m->quarantine);
        free(m->upstream);
        free(m->url);
        free(m);
}

static void stop_thread(struct health *h)
{
        pthread_mutex_lock(&h->lock);
        h->stopping = true;
        bool started = h->started;
        pthread_cond_signal(&h->changed);
        pthread_mutex_unlock(&h->lock);
        cancel_fire(&h->cancel);
        if (started)
                pthread_join(h->thread, NULL);
}

void health_free(struct health *h)
{
        if (h == NULL)
                return;
        stop_thread(h);
        for (struct mirror *m = h->mirrors; m != NULL;) {
                struct mirror *next = m->next;
                mirror_free(m);
                m = next;
        }
        pthread_cond_destroy(&h->changed);
        pthread_mutex_destroy(&h->lock);
        cancel_fini(&h->cancel);
        free(h);
}

static struct mirror *add_mirror(struct health *h, const char *url, const char *upstream)
{
        struct mirror *m = mem_zalloc(sizeof(*m));
        uint64_t noise = 0;
        if (getrandom(&noise, sizeof(noise), GRND_NONBLOCK) != (ssize_t)sizeof(noise))
                noise = 0; /* the same jitter each time, then */
        breaker_init(&m->breaker, h->backoff_first_ms, h->backoff_max_ms, noise);
        m->health = h;
        m->url = mem_strdup(url);
        m->upstream = mem_strdup(upstream);
        m->since_unix_s = clock_unix_s();
        m->next = h->mirrors;
        h->mirrors = m;
        return m;
}

struct mirror *health_mirror(struct health *h, const char *url, const char *upstream)
{
        pthread_mutex_lock(&h->lock);
        struct mirror *m = h->mirrors;
        while (m != NULL && (strcmp(m->url, url) != 0 || strcmp(m->upstream, upstream) != 0))
                m = m->next;
        if (m == NULL)
                m = add_mirror(h, url, upstream);
        pthread_mutex_unlock(&h->lock);
        return m;
}

/* For the log; no host is called so. */
static const char *upstream_name(const struct mirror *m)
{
        return m->upstream[0] != '\0' ? m->upstream : "default";
}

static void remember_error(struct mirror *m, const struct err *why)
{
        snprintf(m->last_error, sizeof(m->last_error), "%.*s", (int)sizeof(m->last_error) - 1,
                why->msg);
}

/* ---- the thread ---- */

static bool lists(const struct config_upstream *u, const char *url)
{
        for (size_t i = 0; i < u->mirror_count; i++)
                if (strcmp(u->mirrors[i], url) == 0)
                        return true;
        return false;
}

static bool is_listed(const struct config *c, const char *url)
{
        if (c == NULL)
                return false;
        for (size_t i = 0; i < c->upstream_count; i++)
                if (lists(&c->upstreams[i], url))
                        return true;
        return lists(&c->upstream_default, url);
}

/* NULL: nobody lists it any more. */
static struct upstream *access_to(const char *url)
{
        cleanup_config const struct config *c = config_get();
        return is_listed(c, url) ? upstream_new_mirror(c, url) : NULL;
}

/* On trial it is asked, too; but who has failed one is up when it has served. */
static bool is_up(const struct mirror *m)
{
        return m->breaker.state == BREAKER_UP ||
               (m->breaker.state == BREAKER_TRIAL && !m->relapsed);
}

static void keep_time(struct mirror *m, bool was_up)
{
        if (is_up(m) != was_up)
                m->since_unix_s = clock_unix_s();
}

static void probe_ended(struct mirror *m, bool answers, const struct err *why)
{
        struct health *h = m->health;
        pthread_mutex_lock(&h->lock);
        bool was_up = is_up(m);
        breaker_probed(&m->breaker, answers, clock_mono_ms());
        keep_time(m, was_up);
        if (!answers && !h->stopping)
                remember_error(m, why);
        pthread_mutex_unlock(&h->lock);
}

static void probe(struct mirror *m)
{
        struct health *h = m->health;
        struct err why = {0};
        cleanup_upstream struct upstream *access = access_to(m->url);
        if (access == NULL) {
                pthread_mutex_lock(&h->lock);
                breaker_put_off(&m->breaker);
                pthread_mutex_unlock(&h->lock);
                return;
        }
        bool answers = h->probe(h->arg, access, &h->cancel, &why) == 0;
        probe_ended(m, answers, &why);
        log_line(LOG_LEVEL_DEBUG,
                answers ? "mirror answers: the next pull tries it" : "mirror is still down",
                "mirror", m->url, "upstream", upstream_name(m), "error", why.msg, NULL);
}

static struct mirror *first_due(struct health *h)
{
        struct mirror *first = NULL;
        for (struct mirror *m = h->mirrors; m != NULL; m = m->next)
                if (m->breaker.state == BREAKER_DOWN && m->breaker.probe_at_ms != BREAKER_NEVER &&
                        (first == NULL || m->breaker.probe_at_ms < first->breaker.probe_at_ms))
                        first = m;
        return first;
}

static void *probe_main(void *arg)
{
        struct health *h = arg;
        pthread_mutex_lock(&h->lock);
        while (!h->stopping) {
                struct mirror *m = first_due(h);
                if (m == NULL) {
                        pthread_cond_wait(&h->changed, &h->lock);
                } else if (m->breaker.probe_at_ms > clock_mono_ms()) {
                        clock_wait_until(&h->changed, &h->lock, m->breaker.probe_at_ms);
                } else {
                        pthread_mutex_unlock(&h->lock);
                        probe(m);
                        pthread_mutex_lock(&h->lock);
                }
        }
        pthread_mutex_unlock(&h->lock);
        return NULL;
}

/* A thread that cannot be started is tried again by the next who asks for a mirror that is down. */
static void look_again(struct health *h)
{
        if (!h->started)
                h->started = pthread_create(&h->thread, NULL, probe_main, h) == 0;
        pthread_cond_signal(&h->changed);
}

/* ---- uses ---- */

bool mirror_admit(struct mirror *m, struct mirror_use *use)
{
        *use = (struct mirror_use){0};
        if (m == NULL)
                return true;
        struct health *h = m->health;
        pthread_mutex_lock(&h->lock);
        bool yes = breaker_admit(&m->breaker, &use->term);
        if (yes)
                use->mirror = m;
        else if (breaker_wanted(&m->breaker, clock_mono_ms()) || !h->started)
                look_again(h);
        pthread_mutex_unlock(&h->lock);
        return yes;
}

static void log_change(const struct mirror *m, enum breaker_change change, const struct err *why)
{
        const char *error = why != NULL ? why->msg : "";
        switch (change) {
        case BREAKER_SAME:
                break;
        case BREAKER_WENT_DOWN:
                metrics_add(METRIC_MIRRORS_WENT_DOWN, 1,
                        METRICS_WORDS(m->upstream[0] != '\0' ? m->upstream : NULL, m->url));
                log_line(LOG_LEVEL_WARNING, "mirror went down", "mirror", m->url, "upstream",
                        upstream_name(m), "error", error, NULL);
                break;
        case BREAKER_STAYS_DOWN:
                log_line(LOG_LEVEL_DEBUG, "mirror failed its trial", "mirror", m->url, "upstream",
                        upstream_name(m), "error", error, NULL);
                break;
        case BREAKER_CAME_BACK:
                log_line(LOG_LEVEL_INFO, "mirror came back", "mirror", m->url, "upstream",
                        upstream_name(m), NULL);
                break;
        }
}

void mirror_report(struct mirror_use *use, enum mirror_verdict verdict, int64_t retry_after_ms,
        const struct err *why)
{
        struct mirror *m = use->mirror;
        if (m == NULL)
                return;
        use->told = true;
        struct health *h = m->health;
        pthread_mutex_lock(&h->lock);
        bool was_up = is_up(m);
        enum breaker_change change =
                breaker_report(&m->breaker, &use->term, verdict, retry_after_ms, clock_mono_ms());
        if (why != NULL && (verdict == MIRROR_FAILED || verdict == MIRROR_SILENT))
                remember_error(m, why);
        if (change == BREAKER_STAYS_DOWN || change == BREAKER_CAME_BACK)
                m->relapsed = change == BREAKER_STAYS_DOWN;
        keep_time(m, was_up);
        if (change == BREAKER_WENT_DOWN || change == BREAKER_STAYS_DOWN)
                look_again(h);
        pthread_mutex_unlock(&h->lock);
        log_change(m, change, why);
}

void mirror_leave(struct mirror_use *use)
{
        if (use->mirror != NULL && !use->told)
                mirror_report(use, MIRROR_NEUTRAL, -1, NULL);
        *use = (struct mirror_use){0};
}

enum mirror_verdict mirror_verdict_of(const struct err *e)
{
        switch (e->code) {
        case ERR_UNREACHABLE:
        case ERR_TIMEOUT:
                return MIRROR_SILENT;
        case ERR_NOT_FOUND:
        case ERR_UNAUTHORIZED:
        case ERR_CANCELLED:
                return MIRROR_NEUTRAL;
        default:
                return MIRROR_FAILED;
        }
}

void mirror_quarantine(struct mirror *m, const char *digest)
{
        pthread_mutex_lock(&m->health->lock);
        quarantine_add(&m->quarantine, digest, clock_mono_ms() + HEALTH_QUARANTINE_MS);
        pthread_mutex_unlock(&m->health->lock);
}

bool mirror_quarantined(struct mirror *m, const char *digest)
{
        pthread_mutex_lock(&m->health->lock);
        bool held = quarantine_holds(&m->quarantine, digest, clock_mono_ms());
        pthread_mutex_unlock(&m->health->lock);
        return held;
}

void mirror_state(struct mirror *m, struct mirror_state *out)
{
        pthread_mutex_lock(&m->health->lock);
        out->up = is_up(m);
        out->since_unix_s = m->since_unix_s;
        out->quarantined = quarantine_count(&m->quarantine, clock_mono_ms());
        memcpy(out->last_error, m->last_error, sizeof(out->last_error));
        pthread_mutex_unlock(&m->health->lock);
}

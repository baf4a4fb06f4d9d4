/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/metrics_page.h"

#include "base/metrics_text.h"
#include "shim/containers.h"
#include "shim/process_figures.h"
#include "shim/text_answer.h"

enum { STATUS_OK = 200, STATUS_ERROR = 500, PAGE_MAX_BYTES = 64 << 20 };

/* What collectors read from. */
struct page {
        struct pull_service *service;
        const struct config *config;
        struct process_figures process;
        struct buf text;
};

static void put(struct page *p, enum metric m, double value)
{
        metrics_text_sample(&p->text, m, METRICS_WORDS(NULL), value);
}

/* ---- collectors ---- */

static void count_one(void *arg, const struct tally_running *r)
{
        (void)r;
        ++*(size_t *)arg;
}

static void pulls_running(struct page *p, enum metric m)
{
        size_t count = 0;
        tally_each_running(p->service->tally, count_one, &count);
        put(p, m, (double)count);
}

static void mirrors_of(struct page *p, enum metric m, const struct config_upstream *u)
{
        const char *upstream = u->host[0] != '\0' ? u->host : NULL;
        for (size_t i = 0; i < u->mirror_count; i++) {
                struct mirror_state s;
                mirror_state(health_mirror(p->service->health, u->mirrors[i], u->host), &s);
                double value = m == METRIC_MIRROR_UP ? s.up : (double)s.quarantined;
                metrics_text_sample(&p->text, m, METRICS_WORDS(upstream, u->mirrors[i]), value);
        }
}

static void mirrors(struct page *p, enum metric m)
{
        for (size_t i = 0; i < p->config->upstream_count; i++)
                mirrors_of(p, m, &p->config->upstreams[i]);
        mirrors_of(p, m, &p->config->upstream_default);
}

static void relay_states(struct page *p, enum metric m)
{
        static const char *const words[] = {
                [RELAY_STATE_OFF] = "off",
                [RELAY_STATE_PORT_TAKEN] = "port_taken",
                [RELAY_STATE_CAPTURED] = "captured",
                [RELAY_STATE_SERVING] = "serving",
        };
        enum relay_state now = relay_state(p->service->relay);
        for (enum relay_state s = 0; s < sizeof(words) / sizeof(words[0]); s++)
                metrics_text_sample(&p->text, m, METRICS_WORDS(words[s]), s == now);
}

static void relay_served(struct page *p, enum metric m)
{
        put(p, m, relay_connections(p->service->relay));
}

static void backend_up(struct page *p, enum metric m)
{
        struct err unused;
        cleanup_free char *name = NULL;
        cleanup_free char *version = NULL;
        put(p, m, backend_version(p->service->backend, &name, &version, &unused) == 0);
}

static void containers_of(
        struct page *p, enum metric m, const char *upstream, const struct container_counts *counts)
{
        for (enum container_verdict v = 0; v < CONTAINER_VERDICTS; v++)
                metrics_text_sample(&p->text, m, METRICS_WORDS(upstream, container_verdict_name(v)),
                        (double)counts->by_verdict[v]);
}

static void nri_connected(struct page *p, enum metric m)
{
        struct containers_state state = {0};
        if (p->service->containers != NULL)
                containers_state(p->service->containers, &state);
        put(p, m, state.connected);
}

static void containers(struct page *p, enum metric m)
{
        if (p->service->containers == NULL)
                return;
        const struct config *config = p->config;
        cleanup_free struct container_counts *counts =
                mem_zalloc((config->upstream_count + 1) * sizeof(*counts));
        if (!containers_count(p->service->containers, config, counts))
                return;
        for (size_t i = 0; i < config->upstream_count; i++)
                containers_of(p, m, config->upstreams[i].host, &counts[i]);
        containers_of(p, m, config_upstream_label(config, NULL), &counts[config->upstream_count]);
}

static void build_info(struct page *p, enum metric m)
{
        metrics_text_sample(&p->text, m, METRICS_WORDS(CRI_RESOLVED_VERSION), 1);
}

static void process(struct page *p, enum metric m)
{
        const struct process_figures *f = &p->process;
        put(p, m,
                m == METRIC_PROCESS_CPU       ? f->cpu_s
                : m == METRIC_PROCESS_MEMORY  ? f->resident_bytes
                : m == METRIC_PROCESS_FDS     ? f->open_fds
                : m == METRIC_PROCESS_FDS_MAX ? f->max_fds
                : m == METRIC_PROCESS_START   ? f->started_unix_s
                                              : f->threads);
}

static void (*const collectors[METRIC_COUNT])(struct page *p, enum metric m) = {
        [METRIC_PULLS_RUNNING] = pulls_running,
        [METRIC_QUARANTINED_CONTENTS] = mirrors,
        [METRIC_MIRROR_UP] = mirrors,
        [METRIC_RELAY_STATE] = relay_states,
        [METRIC_RELAY_CONNECTIONS] = relay_served,
        [METRIC_CONTAINERS] = containers,
        [METRIC_NRI_CONNECTED] = nri_connected,
        [METRIC_BACKEND_UP] = backend_up,
        [METRIC_BUILD_INFO] = build_info,
        [METRIC_PROCESS_CPU] = process,
        [METRIC_PROCESS_MEMORY] = process,
        [METRIC_PROCESS_FDS] = process,
        [METRIC_PROCESS_FDS_MAX] = process,
        [METRIC_PROCESS_START] = process,
        [METRIC_PROCESS_THREADS] = process,
};

/* ---- the page ---- */

static void put_metric(struct page *p, enum metric m)
{
        metrics_text_head(&p->text, m);
        if (collectors[m] != NULL)
                collectors[m](p, m);
        else
                metrics_text_series(&p->text, m);
}

void metrics_page_answer(struct pull_service *s, struct httpd_answer *a)
{
        cleanup_config const struct config *c = config_get();
        struct page p = {.service = s, .config = c};
        buf_init(&p.text, PAGE_MAX_BYTES);
        process_figures_read(&p.process);
        for (enum metric m = 0; m < METRIC_COUNT; m++)
                put_metric(&p, m);
        bool whole = !p.text.overflow; /* half a page would look like a restart */
        text_answer(a, whole ? STATUS_OK : STATUS_ERROR, METRICS_TEXT_TYPE,
                mem_strdup(whole ? buf_str(&p.text) : "too many series\n"));
        buf_fini(&p.text);
}

/* ---- before anything happens ---- */

static void prime_words(enum metric m, const char *const *words, size_t count)
{
        for (size_t i = 0; i < count; i++)
                metrics_series(m, METRICS_WORDS(words[i]));
}

static void prime_upstream(const struct config_upstream *u)
{
        const char *upstream = u->host[0] != '\0' ? u->host : NULL;
        metrics_series(METRIC_PULLS, METRICS_WORDS(upstream, "none", "failed"));
        metrics_series(METRIC_TAGS_MOVED, METRICS_WORDS(upstream));
        metrics_series(METRIC_HEADS_SENT, METRICS_WORDS(upstream));
        metrics_series(METRIC_HEADS_SAVED, METRICS_WORDS(upstream));
        metrics_series(METRIC_DEGRADED_ANSWERS, METRICS_WORDS(upstream, "stale"));
        metrics_series(METRIC_DEGRADED_ANSWERS, METRICS_WORDS(upstream, "mirror"));
#define ERR(name, grpc, exit, label, next, text)                                                   \
        if (next)                                                                                  \
                metrics_series(METRIC_RESOLVES, METRICS_WORDS(upstream, label));
#include "base/err.def"
#undef ERR
        for (size_t i = 0; i < u->mirror_count; i++) {
                const char *const *words = METRICS_WORDS(upstream, u->mirrors[i]);
                metrics_series(METRIC_RECEIVED_BYTES, words);
                metrics_series(METRIC_STALE_MIRRORS, words);
                metrics_series(METRIC_WRONG_CONTENTS, words);
                metrics_series(METRIC_MIRRORS_WENT_DOWN, words);
        }
}

void metrics_page_prime(const struct config *c)
{
        static const char *const results[] = {"served", "challenged", "refused", "failed"};
        static const char *const reasons[] = {"full", "late", "malformed"};
        static const char *const outcomes[] = {"ok", "failed"};
        prime_words(METRIC_RELAY_REQUESTS, results, 4);
        prime_words(METRIC_RELAY_CONNECTIONS_REFUSED, reasons, 3);
        prime_words(METRIC_CONFIG_RELOADS, outcomes, 2);
        for (size_t i = 0; i < c->upstream_count; i++)
                prime_upstream(&c->upstreams[i]);
        prime_upstream(&c->upstream_default);
}

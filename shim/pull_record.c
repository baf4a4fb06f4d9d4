/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "proto/cri.pb-c.h"
#include "shim/pull_internal.h"

enum { GRPC_CANCELLED = 1 };

static void count(const struct pull *p, bool degraded, int64_t duration_ms)
{
        const char *upstream = config_upstream_label(p->config, p->request.ref.host);
        const char *source = p->source != NULL ? p->source : "none";
        const char *outcome = p->answer.code == 0                ? "ok"
                              : p->answer.code == GRPC_CANCELLED ? "cancelled"
                                                                 : "failed";
        metrics_add(METRIC_PULLS, 1, METRICS_WORDS(upstream, source, outcome));
        metrics_observe(METRIC_PULL_DURATION, duration_ms * 1000, METRICS_WORDS(source, outcome));
        if (p->answer.code == 0 && degraded)
                metrics_add(METRIC_DEGRADED_ANSWERS, 1,
                        METRICS_WORDS(upstream, p->by_mirror ? "mirror" : "stale"));
}

void pull_record(const struct pull *p)
{
        char duration[32], shared[16], rounds[16];
        int64_t duration_ms = clock_mono_ms() - p->started_ms;
        snprintf(duration, sizeof(duration), "%" PRId64, duration_ms);
        snprintf(shared, sizeof(shared), "%u", p->heads_shared_by);
        snprintf(rounds, sizeof(rounds), "%d", p->rounds);
        const char *image = p->request.ref.text;
        const Cri__PullImageRequest *message = p->request.message;
        if (image == NULL && message != NULL && message->image != NULL)
                image = message->image->image;
        bool ok = p->answer.code == 0;
        bool degraded = p->degraded[0] != '\0';
        count(p, degraded, duration_ms);
        log_line(ok && !degraded ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "pull", "reference",
                log_or(image), "digest", p->resolved.digest, "previous", log_or(p->previous),
                "source", log_or(p->source), "outcome", ok ? "ok" : "failed", "error",
                log_or(p->answer.message), "mirrors", log_or(p->sources), "sources_failed",
                ok ? log_or(p->failures) : "", "degraded", p->degraded, "duration_ms", duration,
                "heads_shared_by", shared, "rounds", rounds, NULL);
        struct tally_outcome outcome = {
                .host = p->request.ref.host,
                .digest = p->resolved.digest,
                .previous = p->previous,
                .source = p->source,
                .error = ok ? NULL : log_or(p->answer.message),
                .degraded = p->degraded,
                .duration_ms = duration_ms,
        };
        tally_refers(p->service->tally, p->seen, image);
        tally_end(p->service->tally, p->seen, &outcome);
}

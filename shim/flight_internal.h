/* SPDX-License-Identifier: Apache-2.0 */
/* What flight.c (direct) and flight_relayed.c share; for nobody else. */
#ifndef CRI_RESOLVED_FLIGHT_INTERNAL_H
#define CRI_RESOLVED_FLIGHT_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>

#include "base/log.h"
#include "base/metrics.h"
#include "proto/cri.pb-c.h"
#include "shim/flight.h"
#include "shim/ingests.h"
#include "shim/message.h"

enum { HEALED_MAX = 16 };

/* A name of the relay's that a flight, or the sweep, uses. */
struct busy_name {
        const char *image;
        const char *pulled_name; /* NULL: the sweep */
        struct progress *progress;
        struct busy_name *next;
};

struct flights {
        struct images *images;
        struct relay *relay;
        struct tally *tally;
        struct share_group *direct;
        struct share_group *relayed;
        pthread_mutex_t lock; /* never held across I/O */
        pthread_cond_t name_freed;
        struct busy_name *busy;
};

struct flight_result *flight_result_new(void);
/* The caller's request with another image and other credentials; *answer is replaced. */
void flight_ask(struct flights *f, const struct flight *flight, const char *image,
        Cri__AuthConfig *auth, struct cancel *cancel, struct rpc_answer *answer);
/* After a failed pull: aborts the ingests that its error names as spoilt. True if another try is
 * worth it. */
bool flight_heal(struct flights *f, const struct rpc_answer *answer);
/* Aborts one ingest of the digest; what cannot be aborted is logged. */
void flight_abort(struct flights *f, const char *ref, const char *digest);

#endif

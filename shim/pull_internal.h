/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of one PullImage share (pull.c and pull_*.c); for nobody else. */
#ifndef CRI_RESOLVED_PULL_INTERNAL_H
#define CRI_RESOLVED_PULL_INTERNAL_H

#include "config/config.h"
#include "shim/pull.h"
#include "shim/request.h"

enum { PULL_ROUNDS_MAX = 4 };

/* One PullImage, on its thread. */
struct pull {
        struct pull_service *service;
        struct proxy_call *call;
        struct tally_pull *seen; /* by who watches */
        int64_t started_ms;
        const struct config *config;
        const struct config_upstream *entry;

        struct request request;
        struct backend_facts backend;
        struct order_tag *tag; /* NULL: the request names a digest */

        struct registry_answer resolved; /* step 2 */
        char *digested;                  /* name@digest */
        char *previous;                  /* what the tag targeted when we came; NULL: nothing */
        bool verified;                   /* by the upstream, not degraded */
        bool by_mirror;                  /* degraded: it is a mirror that said so */
        int64_t verified_unix_s;
        bool removed;             /* somebody removes the image while we pull it */
        bool unavailable;         /* the upstream cannot be asked */
        struct rpc_answer answer; /* what kubelet gets */

        /* for the log */
        const char *source;
        char *sources;      /* through the relay: who gave how much; NULL: not through it */
        char *failures;     /* through the relay: who gave nothing, and why */
        char degraded[512]; /* why */
        unsigned heads_shared_by;
        int rounds;
};

enum step { STEP_DONE, STEP_AGAIN, STEP_FAILED };

/* Replaces the answer by an image's ID. */
void pull_answer_image(struct pull *p, const char *id);
/* What is gone now was there a moment ago: somebody (kubelet's garbage collection, crictl) removes
 * the image at the same time. The next round pulls it again. */
enum step pull_failed_or_removed(struct pull *p, const struct err *e);

/* 4. The answer is containerd's, success or not. What fails through the relay is tried directly. */
int pull_fly(struct pull *p, struct err *e) ERR_MUST_CHECK;
/* 5. Points the tag at what was pulled, in its turn, and labels what the upstream has verified. */
enum step pull_settle(struct pull *p, struct err *e);
/* After the answer: an unchanged one renews the label, where that will be needed. */
void pull_renew(struct pull *p);
/* In the end: the log, the counters, and who asks how it went. */
void pull_record(const struct pull *p);

#endif

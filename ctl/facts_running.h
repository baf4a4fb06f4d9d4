/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The running containerd: its version, its CRI plugin's own report, the names of its images, and
 * the downloads that lie unfinished in its content store. One thread; blocks, at most 10 s a
 * question.
 */
#ifndef CRI_RESOLVED_FACTS_RUNNING_H
#define CRI_RESOLVED_FACTS_RUNNING_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "config/lists.h"
#include "shim/rpc.h"

struct ingest {
        char *ref;
        int64_t offset, total;
        int64_t age_s; /* since it was written to */
};

struct running_facts {
        bool answers;  /* containerd's API */
        char *why_not; /* else: in its words */
        char *version; /* "2.1.9"; NULL: not known */
        int major, minor;
        bool has_cri;     /* CRI answers */
        char *cri_answer; /* else: what it said */
        json_t *registry; /* 1.x: `config.registry` of CRI Status; NULL: not reported */
        struct strings images;
        struct ingest *ingests;
        size_t ingest_count;
};

/* Addresses are "unix:///..."; never fails: what could not be asked is left out. */
void running_facts_load(
        const char *containerd, const char *cri, struct cancel *cancel, struct running_facts *out);
void running_facts_fini(struct running_facts *f);
#define cleanup_running_facts cleanup(running_facts_fini)

/* "v2.1.9+unknown", "1.6.20~ds1": the two numbers at its beginning; 0 0 for anything else. Pure. */
void running_version(const char *text, int *major, int *minor);

/* Whether the ingest is whole and lies there: it spoils every pull of its digest. Pure. */
bool ingest_is_poisoned(const struct ingest *i);

/* Content.Abort of one ref. One that has gone meanwhile is no error. */
int running_abort_ingest(const char *containerd, const char *ref, struct err *e) ERR_MUST_CHECK;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work that many callers want and one does: HEADs that are shared, pulls that are shared.
 *
 * A group is a table of running and waiting jobs by key. A caller either joins the job that runs
 * under its key (SHARE_JOIN_RUNNING), or only one that has not begun yet (SHARE_JOIN_NEXT: the work
 * must begin after the caller arrived, so whoever finds a job running waits for the next one). The
 * work runs on the thread of one of its members, which stays with it even when its own caller has
 * gone, as long as another member waits: a job is nobody's child. When the last member has left,
 * the job's own token fires.
 *
 * No lock is held while the work runs. Safe from any thread.
 */
#ifndef CRI_RESOLVED_SHARE_H
#define CRI_RESOLVED_SHARE_H

#include <stddef.h>

#include "base/cancel.h"
#include "base/err.h"

enum share_join { SHARE_JOIN_RUNNING, SHARE_JOIN_NEXT };

/* What a job yields. Counted: members hold a reference each. The owner embeds it as first member.
 */
struct share_result {
        atomic_uint references;
        void (*free)(struct share_result *r);
        unsigned members; /* how many callers this one job served: set when it is done */
};
/* One reference, the caller's. */
void share_result_init(struct share_result *r, void (*free)(struct share_result *r));
void share_result_put(struct share_result *r); /* accepts NULL */

/* Does the work; never returns NULL (a failure is a result too). `cancel` is the job's token. */
typedef struct share_result *(*share_work_fn)(void *arg, struct cancel *cancel);

struct share_group;
struct share_group *share_group_new(void);
void share_group_free(struct share_group *g); /* no member may be left; accepts NULL */

/*
 * Joins or does the work under `key` and returns 0 with a reference in *out (the caller's, put it).
 * `caller` is the caller's own token: when it fires, a member that only waits returns -1 with
 * ERR_CANCELLED at once; the member that does the work returns its result all the same, but is not
 * counted in `members` any more. `arg` must live until the return; whose work and arg are used is
 * unspecified among the members. At most one job per key runs at a time: whoever finds one whose
 * token has fired waits for the next, whatever `join` says. The work may call share_run itself, in
 * this group (under another key) or another, with the job's token as its caller's.
 */
int share_run(struct share_group *g, const char *key, enum share_join join, share_work_fn work,
        void *arg, struct cancel *caller, struct share_result **out, struct err *e) ERR_MUST_CHECK;

/* How many callers want the job that runs under `key`, and the one that waits. A view of a moment:
 * for tests and figures, not for decisions. */
struct share_count {
        unsigned running;
        unsigned waiting;
};
struct share_count share_count_of(struct share_group *g, const char *key);

#endif

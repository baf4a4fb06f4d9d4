/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of the writes to one tag: the tag never moves back.
 *
 * What the upstream said holds for an interval: from before the question was sent until after the
 * answer had come. Of two intervals that do not overlap the later one is newer; of two that overlap
 * nobody can say. A tag is written in turns, and the last writer's interval is remembered while any
 * pull of that tag is under way: whoever asks the upstream after that is newer anyway, so nothing
 * needs to be remembered longer, and nothing needs to be kept on disk.
 *
 * Every pull is between order_enter (before it asks the upstream) and order_leave. No lock is held
 * during a turn; turns come first come, first served. Safe from any thread.
 */
#ifndef CRI_RESOLVED_ORDER_H
#define CRI_RESOLVED_ORDER_H

#include <stdint.h>

#include "resolver/registry.h"

struct order; /* the table of tags */
struct order *order_new(void);
void order_free(struct order *o); /* nobody may be inside */

struct order_tag; /* one tag with pulls under way */
struct order_tag *order_enter(struct order *o, const char *name);
void order_leave(struct order *o, struct order_tag *t); /* accepts a NULL tag */

/* Waits for the turn of the caller; the turn must be given back. */
void order_turn_begin(struct order *o, struct order_tag *t);
void order_turn_end(struct order *o, struct order_tag *t);

enum order_verdict {
        ORDER_NOTHING_TO_WRITE, /* the record says so already */
        ORDER_WRITE,
        ORDER_ASK_AGAIN, /* another answer is later, or as late: ask the upstream again */
};

/* In the turn: what to do with answer `a`, when the record targets `record_digest` now (NULL: there
 * is none). Remembers nothing. */
enum order_verdict order_judge(
        const struct order_tag *t, const struct registry_answer *a, const char *record_digest);

/* In the turn: the record targets a->digest now, by a write or already; remembers the interval. */
void order_confirm(struct order_tag *t, const struct registry_answer *a);

#endif

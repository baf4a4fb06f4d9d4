/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tag to digest at the true upstream, once for many: requests with the same (reference,
 * credentials) share one HEAD, but only one that was sent after they arrived. Safe from any thread;
 * blocks.
 */
#ifndef CRI_RESOLVED_RESOLVE_H
#define CRI_RESOLVED_RESOLVE_H

#include "config/config.h"
#include "resolver/ref.h"
#include "resolver/registry.h"

struct resolver;
struct resolver *resolver_new(void);
void resolver_free(struct resolver *r);

/* The registry client behind it: its connections and tokens are shared with the relay. Borrowed. */
struct registry *resolver_registry(struct resolver *r);

/* r->tag or r->digest is asked for. Errors as registry_resolve. *members: how many callers the
 * answer served (1: this one alone). */
int resolve(struct resolver *rs, const struct config *c, const struct ref *r,
        const struct credentials *credentials, struct cancel *cancel, struct registry_answer *a,
        unsigned *members, struct err *e) ERR_MUST_CHECK;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Through the relay or directly? Directly where no mirror is configured, where the administrator
 * says so, and where the relay cannot do the job: it does not listen, its port is taken, containerd
 * does not ask it, an image verifier judges names that the relay's are not, a lazy snapshotter
 * comes back for the pulled name later, or the name cannot be said. Where mirrors are configured
 * and not used, the reason is logged once. Safe from any thread.
 */
#ifndef CRI_RESOLVED_WAY_H
#define CRI_RESOLVED_WAY_H

#include "config/config.h"
#include "relay/relay.h"
#include "resolver/ref.h"
#include "shim/backend.h"

struct way_question {
        const struct config *config;
        const struct ref *ref;
        const char *digest;
        const char *runtime_handler;
        const struct backend_facts *backend;
};

/* The repository's name at the relay, the caller's to free; NULL: directly. */
char *way_relay_name(struct relay *r, const struct way_question *q);
/* Reasons that were logged may be logged again: after a reload. */
void way_forget(void);

#endif

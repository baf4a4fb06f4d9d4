/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What to answer when the upstream cannot be asked (`on_upstream_down`): nothing, or what was last
 * verified for this name, or what a mirror says. A degraded answer is not authorised by the
 * upstream, so it is for requests without credentials only, unless the administrator says
 * otherwise. It never moves a tag away from what the upstream has vouched for within max_stale:
 * while that holds, "mirror" answers what "stale" would.
 */
#ifndef CRI_RESOLVED_DEGRADE_H
#define CRI_RESOLVED_DEGRADE_H

#include <stdbool.h>

#include "config/config.h"
#include "resolver/health.h"
#include "resolver/ref.h"
#include "resolver/registry.h"
#include "shim/images.h"

struct degrade_question {
        struct images *images;
        struct registry *registry;
        struct health *health;
        const struct config *config;
        const struct config_upstream *policy;
        const struct ref *ref;
        bool has_credentials;
        struct cancel *cancel;
};

/*
 * `why` is the error of the resolve. 0 with the digest to use instead, and whether it is a mirror
 * that says so; -1 with the error to answer in *e: that of the resolve, with the reason why the
 * policy does not help.
 */
int degrade(const struct degrade_question *q, const struct err *why, char digest[DIGEST_MAX],
        bool *by_mirror, struct err *e) ERR_MUST_CHECK;

#endif

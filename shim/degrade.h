/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What to answer when the upstream cannot be asked (`on_upstream_down`): nothing, or what was last
 * verified for this name. A degraded answer is not authorised by the upstream, so it is for
 * requests without credentials only, unless the administrator says otherwise. It never moves a tag.
 */
#ifndef CRI_RESOLVED_DEGRADE_H
#define CRI_RESOLVED_DEGRADE_H

#include <stdbool.h>

#include "config/config.h"
#include "resolver/ref.h"
#include "shim/images.h"

/*
 * `why` is the error of the resolve. 0 with the digest to use instead; -1 with the error to answer
 * in *e: that of the resolve, with the reason why the policy does not help.
 */
int degrade(struct images *im, const struct config_upstream *policy, const struct ref *r,
        bool has_credentials, const struct err *why, char digest[DIGEST_MAX],
        struct err *e) ERR_MUST_CHECK;

#endif

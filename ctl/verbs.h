/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verbs, each defined in a file of its own name; ctl/verbs.c puts them in order.
 */
#ifndef CRI_RESOLVED_VERBS_H
#define CRI_RESOLVED_VERBS_H

#include "ctl/cli.h"

extern const struct verb verb_check;
extern const struct verb verb_completion;
extern const struct verb verb_drift;
extern const struct verb verb_help;
extern const struct verb verb_migrate;
extern const struct verb verb_pin;
extern const struct verb verb_pull;
extern const struct verb verb_render;
extern const struct verb verb_resolve;
extern const struct verb verb_status;

#endif

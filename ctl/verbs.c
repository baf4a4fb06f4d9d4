/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/verbs.h"

#include <stddef.h>

/* In the order in which --help lists them. */
const struct verb *const cli_verbs[] = {
        &verb_status,
        &verb_pull,
        &verb_resolve,
        &verb_pin,
        &verb_drift,
        &verb_check,
        &verb_migrate,
        &verb_render,
        &verb_completion,
        &verb_help,
        NULL,
};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the verb `status` prints of the daemon's documents (docs/admin.md). A field that is missing,
 * since the daemon is of another version, is shown as nothing. Pure.
 */
#ifndef CRI_RESOLVED_CTL_STATUS_H
#define CRI_RESOLVED_CTL_STATUS_H

#include <stdint.h>

#include "ctl/cli.h"

enum { STATUS_RECENT_MAX = 10, STATUS_ERROR_BYTES = 200 };

void status_print(const struct cli *cli, FILE *to, const json_t *status, const json_t *pulls,
        int64_t now_unix_s);

#endif

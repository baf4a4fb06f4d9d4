/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting between two tries, woken by a cancel token. Safe from any thread. */
#ifndef CRI_RESOLVED_PAUSE_H
#define CRI_RESOLVED_PAUSE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cancel.h"

/* True after the whole time, false when the token fired. */
bool pause_ms(struct cancel *cancel, int64_t duration_ms);

#endif

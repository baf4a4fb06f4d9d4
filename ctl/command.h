/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Other programs, run for what they say. For one thread.
 */
#ifndef CRI_RESOLVED_COMMAND_H
#define CRI_RESOLVED_COMMAND_H

#include "base/buf.h"
#include "base/cancel.h"
#include "base/err.h"

/*
 * Runs a program without a shell, its standard input empty, and waits for its end. argv as execvp
 * takes it, NULL at its end. What it prints goes into `out` and `errors` (NULL: is dropped); more
 * than they hold is dropped. *status is its exit code, 128 and the signal's number where it was
 * killed. ERR_NOT_FOUND if there is no such program, ERR_CANCELLED when `cancel` (may be NULL)
 * fires: it is killed then.
 */
int command_run(const char *const *argv, struct cancel *cancel, struct buf *out, struct buf *errors,
        int *status, struct err *e) ERR_MUST_CHECK;

#endif

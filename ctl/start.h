/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program without its signals: reads the command line, runs the verb, and sees to it that what
 * was printed has arrived. For main's thread.
 */
#ifndef CRI_RESOLVED_START_H
#define CRI_RESOLVED_START_H

#include "base/cancel.h"

enum { START_PIPE_CLOSED = 141 }; /* as a shell reports a program that SIGPIPE ended */

/* Returns the exit code. */
int start(int argc, char **argv, struct cancel *cancel);

#endif

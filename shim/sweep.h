/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sweeps the relay's names out of containerd's store that a crash has left there: at the start, as
 * soon as containerd answers, and every hour. A thread of its own.
 */
#ifndef CRI_RESOLVED_SWEEP_H
#define CRI_RESOLVED_SWEEP_H

#include "shim/flight.h"

struct sweep;
struct sweep *sweep_new(struct flights *flights); /* borrowed */
void sweep_free(struct sweep *s);                 /* ends the thread; accepts NULL */

#endif

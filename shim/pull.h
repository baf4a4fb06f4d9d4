/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One PullImage, from kubelet's request to containerd's answer:
 *
 *   1. read      the request; what cannot be read or parsed goes to containerd as it came
 *   2. resolve   the tag (or the right to the digest) at the upstream, with the request's
 * credentials
 *   3. current?  if containerd has exactly that under the tag, complete: nothing more to do
 *   4. fly       containerd pulls repo@digest, through the relay where a mirror can help
 *   5. settle    the tag is pointed at the digest, in its turn, never backwards
 *   6. wait      until CRI shows it, because kubelet asks for the tag next
 *
 * The promise: the answer is a value that the tag had at its upstream between the call's start and
 * its end, and from the answer on the tag in containerd names that or something newer.
 * Runs linearly on the call's own thread.
 */
#ifndef CRI_RESOLVED_PULL_H
#define CRI_RESOLVED_PULL_H

#include "shim/backend.h"
#include "shim/containers.h"
#include "shim/flight.h"
#include "shim/images.h"
#include "shim/order.h"
#include "shim/proxy.h"
#include "shim/tally.h"

struct resolver;

/* What all pulls share. Borrowed by each while it runs. */
struct pull_service {
        struct images images;
        struct backend *backend;
        struct resolver *resolver;
        struct order *order;
        struct flights *flights;
        struct relay *relay;
        struct health *health;
        struct tally *tally;
        struct containers *containers; /* NULL: NRI is off */
};

/* A proxy_handler_fn; arg is the struct pull_service. */
void pull_handle(struct proxy_call *call, void *arg);

#endif

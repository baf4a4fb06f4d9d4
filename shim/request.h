/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PullImageRequest, as far as we look into it. All else stays in the message as unknown fields
 * and leaves as it came. One owner, one thread.
 */
#ifndef CRI_RESOLVED_REQUEST_H
#define CRI_RESOLVED_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/cri.pb-c.h"
#include "resolver/ref.h"
#include "resolver/registry.h"

struct request {
        Cri__PullImageRequest *message; /* NULL: could not be read */
        struct ref ref;
        struct credentials credentials; /* borrowed from the message */
        /* What chooses the snapshotter, in both ways that it can be said: containerd's versions
         * differ in which one they obey. "" when neither is. */
        char *runtime_handler;
};

/* False when it is nothing that we can do something for: no message, no image, no reference. r is
 * to be freed in either case. */
bool request_read(struct request *r, const uint8_t *bytes, size_t size);
void request_fini(struct request *r); /* wipes the secrets */

#endif

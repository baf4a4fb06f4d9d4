/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may connect to our Unix sockets: root, and members of shim.allow_groups. What the kernel says
 * of the peer counts, as it was when it connected. For the thread that accepts.
 */
#ifndef CRI_RESOLVED_PEERS_H
#define CRI_RESOLVED_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct peers {
        const uint32_t *allow_gids; /* by primary or supplementary group; borrowed */
        size_t allow_gid_count;
        unsigned long refused; /* so far, for the log */
};

/* Each refusal is a line in the log, at the level debug. */
bool peers_allow(struct peers *p, int fd);

#endif

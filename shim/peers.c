/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/peers.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"

static bool is_allowed(const struct peers *p, gid_t gid)
{
        for (size_t i = 0; i < p->allow_gid_count; i++)
                if (p->allow_gids[i] == gid)
                        return true;
        return false;
}

static bool supplementary_allowed(const struct peers *p, int fd)
{
        socklen_t size = 0; /* the kernel says how much it takes */
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) == 0 || errno != ERANGE)
                return false;
        cleanup_free gid_t *groups = mem_zalloc(size);
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
                return false;
        for (size_t i = 0; i < size / sizeof *groups; i++)
                if (is_allowed(p, groups[i]))
                        return true;
        return false;
}

bool peers_allow(struct peers *p, int fd)
{
        struct ucred peer = {0};
        socklen_t size = sizeof peer;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
                return false;
        if (peer.uid == 0 || is_allowed(p, peer.gid) || supplementary_allowed(p, fd))
                return true;
        char uid[16], pid[16], total[24];
        metrics_add(METRIC_PEERS_REFUSED, 1, METRICS_WORDS(NULL));
        snprintf(uid, sizeof uid, "%u", peer.uid);
        snprintf(pid, sizeof pid, "%d", peer.pid);
        snprintf(total, sizeof total, "%lu", ++p->refused);
        log_line(LOG_LEVEL_DEBUG, "peer refused: neither root nor in shim.allow_groups", "uid", uid,
                "pid", pid, "refused_so_far", total, NULL);
        return false;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which sockets the daemon serves: those that the service manager holds for it, else those that the
 * configuration names. For the thread that starts the daemon.
 */
#ifndef CRI_RESOLVED_LISTEN_H
#define CRI_RESOLVED_LISTEN_H

#include "config/config.h"
#include "shim/manager.h"
#include "shim/proxy.h"

/*
 * What the manager hands over and the configuration does not contradict. The place of the CRI and
 * the admin socket is the unit's word: whoever uses them is told the path. The relay's port is the
 * configuration's, because the names of images and containerd's certs.d hold it. What is not used
 * is closed, and a line in the log says what to change.
 */
int listen_take(const struct config *c, struct manager_sockets *s, struct err *e) ERR_MUST_CHECK;

/* The CRI sockets leave s. */
int listen_cri(struct proxy *proxy, const struct config *c, struct manager_sockets *s,
        struct err *e) ERR_MUST_CHECK;

#endif

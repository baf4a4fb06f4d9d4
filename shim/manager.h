/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service manager, if there is one: the sockets that it holds for us, what it is told, and its
 * watchdog. The only door to libsystemd. Without a manager nothing here does anything.
 *
 * A socket is known by the name of its descriptor (FileDescriptorName= of its .socket unit), see
 * sd_listen_fds_with_names(3); one that nobody has named is a CRI socket. manager_take is for the
 * thread that starts the daemon; the rest is safe from any thread.
 */
#ifndef CRI_RESOLVED_MANAGER_H
#define CRI_RESOLVED_MANAGER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { MANAGER_CRI_MAX = 16 };

struct manager_sockets {
        int cri[MANAGER_CRI_MAX];
        size_t cri_count;
        int relay; /* on 127.0.0.1; -1: none */
        uint16_t relay_port;
        int admin; /* -1: none */
        char *admin_path;
        int metrics; /* TCP; -1: none */
};

/* Once: the environment no longer names them then. All are listening and do not block. ERR_CONFIG
 * says which unit is to be changed, and how. */
int manager_take(struct manager_sockets *s, struct err *e) ERR_MUST_CHECK;
/* Closes what is left in it: who uses a socket takes it out. */
void manager_sockets_fini(struct manager_sockets *s);
/* The descriptor leaves the struct; -1 for none. */
int manager_socket_out(int *fd);

/* ---- what it is told; each sets the line that `systemctl status` shows ---- */

void manager_status(const char *text);
void manager_ready(const char *text);
void manager_reloading(void);
/* The end may take as long as limit_ms, whatever the unit says. */
void manager_stopping(int64_t limit_ms);

/* How often it wants to be fed; 0: it does not watch. */
int64_t manager_watchdog_ms(void);
void manager_watchdog_feed(void);

#endif

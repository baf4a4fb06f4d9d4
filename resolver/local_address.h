/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses that mean another machine to each who uses them: loopback, link-local and unspecified
 * (RFC 6890). On a node kubelet, containerd's metrics and the cloud's metadata listen there, so no
 * server elsewhere may lead this one to them. Pure.
 */
#ifndef CRI_RESOLVED_LOCAL_ADDRESS_H
#define CRI_RESOLVED_LOCAL_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

enum { LOCAL_ADDRESS_TEXT_MAX = INET6_ADDRSTRLEN };

/* 127/8, 0/8, 169.254/16, ::1, ::, fe80::/10, and those of IPv4 in IPv6's clothes. */
bool local_address(const struct sockaddr *a, socklen_t size);
/* "" for what is no address of IP. */
void local_address_text(
        const struct sockaddr *a, socklen_t size, char text[LOCAL_ADDRESS_TEXT_MAX]);

/* Whether a host (without brackets) is written as such an address, or is localhost. */
bool local_address_host(const char *host);

#endif

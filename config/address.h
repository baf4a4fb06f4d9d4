/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses to listen on: "127.0.0.1:9779", "[::1]:9779". Numbers, not names: what a name means
 * when the daemon starts is nobody's decision. Pure; usable from any thread.
 */
#ifndef CRI_RESOLVED_ADDRESS_H
#define CRI_RESOLVED_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

bool address_parse(const char *s, struct sockaddr_storage *out, socklen_t *size);

#endif

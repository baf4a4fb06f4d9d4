/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relay: a registry on 127.0.0.1 for containerd, read-only, digests only, for who has a grant.
 * It gives containerd the bytes of an upstream's repository from that upstream's mirrors, or from
 * the upstream itself, and changes the source in the middle of a blob without containerd noticing.
 *
 * A flight issues a grant, has containerd pull `place_image(...)` with GRANT_USER and the grant's
 * password, and ends the grant when containerd has answered. Safe from any thread.
 */
#ifndef CRI_RESOLVED_RELAY_H
#define CRI_RESOLVED_RELAY_H

#include "relay/grant.h"
#include "relay/place.h"
#include "relay/spoilt.h"
#include "resolver/registry.h"

struct relay;
/* `registry` is borrowed. NULL if there are no threads. Nothing is open yet. */
struct relay *relay_new(struct registry *registry, uint16_t port);
/* Before relay_listen: a socket that listens at the port already. It is the relay's from now on. */
void relay_inherit(struct relay *r, int listener);
/* Listens on the port or goes on trying; more than once is once. One thread at a time. */
void relay_listen(struct relay *r);
void relay_free(struct relay *r); /* no grant may be left; accepts NULL */

uint16_t relay_port(const struct relay *r);
unsigned relay_connections(struct relay *r); /* that are being served */
enum relay_state {
        RELAY_STATE_OFF, /* nobody has asked it to listen: no mirror is configured */
        RELAY_STATE_PORT_TAKEN,
        RELAY_STATE_CAPTURED, /* see relay_captured */
        RELAY_STATE_SERVING,
};
enum relay_state relay_state(struct relay *r);
/* Whether it can be used now; else *why says what stands in the way (a constant). */
bool relay_is_usable(struct relay *r, const char **why);

struct grant *relay_issue(struct relay *r, const struct grant_spec *spec);
/* Ends the grant; its reference stays with the caller, who reads what happened. */
void relay_revoke(struct relay *r, struct grant *g);

/*
 * containerd asks somebody else instead of the relay. True if that is news since the last
 * relay_forget_capture (a reload, or a pull that went well).
 *
 * One pull proves little: its request may have been refused before anybody was asked, or a busy
 * disk may have kept it. So each such pull goes directly, and only where two in a row have been
 * kept waiting in vain the relay is left alone, for RELAY_CAPTURED_MS.
 */
enum { RELAY_CAPTURED_MS = 60 * 1000, RELAY_VAIN_WAITS_MAX = 2 };
bool relay_captured(struct relay *r, bool kept_waiting);
void relay_forget_capture(struct relay *r);

struct spoilt *relay_spoilt(struct relay *r);

#endif

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
enum relay_state relay_state(struct relay *r); /* for people */
/* Whether it can be used now, whatever the state is called; else *why says what stands in the way
 * (a constant). */
bool relay_is_usable(struct relay *r, const char **why);

struct grant *relay_issue(struct relay *r, const struct grant_spec *spec);
/* Ends the grant; its reference stays with the caller, who reads what happened. */
void relay_revoke(struct relay *r, struct grant *g);

/*
 * containerd was to pull this digest from the relay, and asked somebody else: it was refused there,
 * or kept waiting in vain. True if that is news since the last relay_forget_capture.
 *
 * One pull proves little: its request may have been refused before anybody was asked, and is so
 * each time that it is tried again; or a busy disk may have kept it. So each such pull goes
 * directly, and it takes two in a row to say more, with none between them that came to the relay:
 *
 * - of different digests, or both kept waiting: RELAY_STATE_CAPTURED. It lasts until
 *   relay_forget_capture, for time proves nothing; it is for people, and pulls try the relay still.
 * - both kept waiting: the relay is left alone as well (relay_is_usable), for RELAY_CAPTURED_MS.
 *   After that a single wait in vain is enough for as long again.
 */
enum { RELAY_CAPTURED_MS = 60 * 1000, RELAY_VAIN_WAITS_MAX = 2 };
bool relay_captured(struct relay *r, const char *digest, bool kept_waiting);
/* containerd does ask the relay, or is to have another try: after a reload. */
void relay_forget_capture(struct relay *r);
/* Another time than RELAY_CAPTURED_MS: for tests. */
void relay_set_captured(struct relay *r, int64_t captured_ms);

struct spoilt *relay_spoilt(struct relay *r);

#endif

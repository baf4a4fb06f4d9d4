/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relay's listening socket, and who gets past it.
 *
 * One thread accepts on 127.0.0.1 and looks at what a connection sends, without taking it: a
 * connection whose request head is complete is judged, and handed on or answered; one that begins
 * with a TLS ClientHello is answered `HTTP/1.1 400`, so that containerd falls back to HTTP at once
 * (containerd 1.7 and later try TLS first: core/remotes/docker/config/hosts.go, HTTPFallback); one
 * that says nothing, or a head that is not complete in time, ends here. So whoever is not let in
 * costs no thread.
 *
 * The port may be taken: the thread tries again every second, and says each change of its luck.
 */
#ifndef CRI_RESOLVED_DOOR_H
#define CRI_RESOLVED_DOOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct door;

struct door_events {
        /* On the door's thread: may a connection with this complete head enter? NULL for yes; else
         * the whole answer, a constant, after which it is closed. */
        const char *(*judge)(void *arg, const char *head, size_t size);
        /* On the door's thread: it may. The descriptor is the callee's. */
        void (*enter)(void *arg, int fd);
        /* On the door's thread, every second while it returns true, and again when one has
         * entered; see door_wake. */
        bool (*tick)(void *arg);
        void *arg;
};

/* Listens, or begins to try; starts the thread. listener: a socket that listens at the port
 * already, and is the door's from now on; -1: it makes one. */
struct door *door_new(uint16_t port, int listener, const struct door_events *events);
void door_free(struct door *d); /* ends the thread; accepts NULL */

/* Ticks are wanted again. Any thread. */
void door_wake(struct door *d);

/* Whether it listens at this moment. Any thread. */
bool door_is_open(struct door *d);

#endif

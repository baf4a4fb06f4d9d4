/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One containerd PullImage for all who want the same thing at the same time.
 *
 * What is the same: the pulled name (always by digest) and the runtime handler; for a direct pull,
 * where the request's own credentials go along, those too. Callers join after their own
 * authorisation at the upstream. A flight is nobody's child: it is cancelled when its last member
 * leaves. Whatever a failed try has spoilt in containerd's content store is cleaned before the next
 * one. Safe from any thread.
 */
#ifndef CRI_RESOLVED_FLIGHT_H
#define CRI_RESOLVED_FLIGHT_H

#include "base/share.h"
#include "relay/relay.h"
#include "shim/images.h"
#include "shim/rpc.h"
#include "shim/tally.h"

struct Cri__PullImageRequest;

struct flight_result {
        struct share_result shared; /* put it with share_result_put(&r->shared) */
        struct rpc_answer answer;   /* containerd's: a PullImageResponse, or its status */
        int tries;
        char *sources;  /* through the relay: "http://10.0.0.1:5000: 1234 bytes"; else NULL */
        char *failures; /* through the relay: "http://10.0.0.1:5000: why; ..."; else NULL */
        struct progress *progress; /* through the relay: of all its tries; else NULL */
};

struct flight {
        const char *host, *repository, *digest;
        const char *pulled_name; /* "ghcr.io/a/b@sha256:..." */
        const struct Cri__PullImageRequest
                *request;            /* the caller's; rewritten in image and auth alone */
        const char *runtime_handler; /* "" when none is asked for */
        const struct credentials *credentials;
        const char *credentials_key;
        const char *server_address; /* goes into auth where the caller set none: keeps the
                                       credentials off containerd's own mirrors (CRI ParseAuth) */
        const struct rpc_metadatum *metadata;
        size_t metadata_count;
        /* Through the relay: */
        const char *relay_name; /* place_name */
        struct health *health;
        const struct config *config;
};

struct flights;
/* All are borrowed. */
struct flights *flights_new(struct images *images, struct relay *relay, struct tally *tally);
void flights_free(struct flights *f); /* accepts NULL */

/* 0 with a reference to the result, whatever containerd answered; -1 ERR_CANCELLED when the caller
 * left while others went on. */
int flight_run_direct(struct flights *f, const struct flight *flight, struct cancel *caller,
        struct flight_result **out, struct err *e) ERR_MUST_CHECK;
/* The same through the relay: on success `pulled_name` is in containerd's store, shown by CRI, and
 * the relay's name is gone. ERR_CONFIG as upstream_new. */
int flight_run_relayed(struct flights *f, const struct flight *flight, struct cancel *caller,
        struct flight_result **out, struct err *e) ERR_MUST_CHECK;

/* How far the flight through the relay that pulls this ("repo@digest") has got: a reference, or
 * NULL. */
struct progress *flights_progress(struct flights *f, const char *pulled_name);

/* Deletes the relay's names that no flight uses: what a crash has left. Errors as images.h, and
 * ERR_CANCELLED. */
int flights_sweep(struct flights *f, struct cancel *stop, struct err *e) ERR_MUST_CHECK;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One containerd PullImage for all who want the same thing at the same time.
 *
 * What is the same: the pulled name (always by digest), the runtime handler, and, since the
 * request's own credentials go along, those. Callers join after their own authorisation at the
 * upstream. A flight is nobody's child: it is cancelled when its last member leaves. Safe from any
 * thread.
 */
#ifndef CRI_RESOLVED_FLIGHT_H
#define CRI_RESOLVED_FLIGHT_H

#include "base/share.h"
#include "shim/rpc.h"

struct Cri__PullImageRequest;

struct flight_result {
        struct share_result shared; /* put it with share_result_put(&r->shared) */
        struct rpc_answer answer;   /* containerd's: a PullImageResponse, or its status */
        int tries;
};

struct flight {
        const char *pulled_name; /* "ghcr.io/a/b@sha256:..." */
        const struct Cri__PullImageRequest
                *request;            /* the caller's; rewritten in image and auth alone */
        const char *runtime_handler; /* "" when none is asked for */
        const char *credentials_key;
        const char *server_address; /* goes into auth where the caller set none: keeps the
                                       credentials off containerd's own mirrors (CRI ParseAuth) */
        const struct rpc_metadatum *metadata;
        size_t metadata_count;
};

struct flights;
struct flights *flights_new(struct rpc *cri);
void flights_free(struct flights *f); /* accepts NULL */

/* 0 with a reference to the result, whatever containerd answered; -1 ERR_CANCELLED when the caller
 * left while others went on. */
int flight_run(struct flights *f, const struct flight *flight, struct cancel *caller,
        struct flight_result **out, struct err *e) ERR_MUST_CHECK;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection to containerd that the calls of one user share: made when a call needs it, kept
 * until it breaks.
 *
 * Why not gRPC's own name resolution, load balancing and reconnecting: connect(2) on a Unix socket
 * answers at once whether containerd is there. So a call fails at once while it is not, and works
 * with the first one after it is back, without any back-off; and a call has fewer filters to pass.
 *
 * rpc_connection_get asks the socket whether the other side has hung up, because nobody may have
 * polled it since. What that cannot see (the other side refuses new calls but finishes the old
 * ones: GOAWAY) shows as a call that fails with UNAVAILABLE: its owner then retires the connection.
 * Safe from any thread.
 */
#ifndef CRI_RESOLVED_RPC_CONNECTION_H
#define CRI_RESOLVED_RPC_CONNECTION_H

#include <grpc/grpc.h>

#include "base/err.h"
#include "base/mem.h"

struct rpc_target; /* a socket of containerd, and the connection to it */
struct rpc_target *rpc_target_new(const char *url); /* "unix:///run/containerd/containerd.sock" */
void rpc_target_free(struct rpc_target *t); /* accepts NULL; every connection must have been put */

struct rpc_connection;
/* From now on, says in the log when containerd is not there, and when it is back: once per change.
 */
void rpc_target_announce(struct rpc_target *t);
/* A connection that was alive a moment ago. ERR_BACKEND when containerd cannot be reached. */
int rpc_connection_get(
        struct rpc_target *t, struct rpc_connection **out, struct err *e) ERR_MUST_CHECK;
void rpc_connection_put(struct rpc_connection *c); /* accepts NULL */
/* No further call takes this connection; those that are on it go on. */
void rpc_connection_retire(struct rpc_connection *c);

/* authority NULL: "localhost". cq gets the completions. The connection must outlive the call. */
grpc_call *rpc_connection_call(struct rpc_connection *c, grpc_completion_queue *cq,
        grpc_slice method, const grpc_slice *authority, gpr_timespec deadline);

/* Channel arguments that client and server share; at most RPC_ARGUMENTS_MAX are written. */
#define RPC_ARGUMENTS_MAX 12
size_t rpc_arguments_common(grpc_arg *arguments);

#endif

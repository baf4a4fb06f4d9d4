/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the proxy share; for shim/proxy*.c alone.
 *
 * proxy.c        life cycle, the queue thread, the wait for a backend that was never there
 * proxy_accept.c listeners, peers, the accept thread
 * proxy_pass.c   calls that go through
 * proxy_handle.c calls that a handler answers
 * proxy_drain.c  the end: calls are waited for
 *
 * Everything here belongs to the queue thread, unless a comment says otherwise. A call lives until
 * nothing of it is pending in the completion queue.
 */
#ifndef CRI_RESOLVED_PROXY_INTERNAL_H
#define CRI_RESOLVED_PROXY_INTERNAL_H

#include <grpc/grpc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "shim/proxy.h"
#include "shim/rpc_connection.h"

/* What core hands back when a batch is done. The fence orders our memory accesses before the batch
 * with those after it: core does so too, but only ours is visible to ThreadSanitizer. */
struct proxy_tag {
        void (*done)(void *owner, bool ok);
        void *owner;
        atomic_int fence;
};
void proxy_tag_release(struct proxy_tag *t);

/* A call is in one list at most. */
struct proxy_list {
        struct proxy_call *first;
        struct proxy_call *last;
};
void proxy_list_append(struct proxy_list *l, struct proxy_call *c); /* no-op when it is in l */
void proxy_list_remove(struct proxy_call *c);                       /* no-op when it is in none */

/* One direction of a passed-through call: at most three messages, one read, one send under way. */
struct proxy_half {
        grpc_byte_buffer *received; /* where core writes; not NULL: no read is possible */
        grpc_byte_buffer *ready;
        grpc_byte_buffer *sending;
        bool reading;
        bool busy;         /* a send is under way */
        bool ended;        /* the source has no more messages */
        bool sent_headers; /* initial metadata */
        bool sent_end;     /* half-close, or the status */
};

struct proxy_call {
        struct proxy *proxy;
        struct proxy_list *list;
        struct proxy_call *previous;
        struct proxy_call *next;
        unsigned pending; /* tags in the queue, or about to be */

        grpc_call *front;
        grpc_call_details details;
        grpc_metadata_array metadata;
        int cancelled; /* core's, until `closed` is done */
        bool is_gone;  /* the client has cancelled, or its connection or deadline has ended */
        bool is_endless;
        struct proxy_call *next_endless;
        struct proxy_tag accepted, closed, front_read, front_sent;
        int64_t began_ns; /* and is in proxy.calls; 0: it is a slot that nobody has called yet */

        const struct proxy_method *method; /* NULL: goes through */
        void (*begin)(struct proxy_call *c);
        void (*gone)(struct proxy_call *c);

        /* Going through. */
        struct rpc_connection *connection;
        grpc_call *back;
        struct proxy_half up; /* front to back */
        bool whole;           /* the batch under way sends all of it and awaits the headers */
        struct proxy_half down;
        struct proxy_tag back_sent, back_headers, back_read, back_status;
        grpc_metadata_array headers;
        bool headers_known;
        grpc_metadata_array trailers;
        grpc_status_code status;
        grpc_slice message;
        bool status_known;

        /* Handled. */
        int answered; /* the status; its handler's until front_sent is done */
        struct cancel cancel;
        uint8_t *request;
        size_t request_size;
        struct rpc_metadatum *request_metadata;
        size_t request_metadata_count;
};

struct proxy_acceptor;

struct proxy {
        grpc_server *server;
        grpc_completion_queue *queue;
        struct rpc_target *target;
        const struct proxy_method *methods;
        void *handler_arg;
        const char *const *endless_methods;
        struct proxy_events events;
        struct proxy_acceptor *acceptor;
        pthread_t thread;
        bool started;

        int64_t backend_wait_ms;
        int64_t wait_until_ms; /* for a backend that was never there */
        int64_t next_try_ms;
        bool backend_reached;
        atomic_bool stopping;      /* proxy_stop's: no call waits for the backend any more */
        struct proxy_list waiting; /* for the backend */
        struct proxy_list held;    /* for more to send, see proxy_pass.c */
        unsigned events_since_flush;

        unsigned slots;    /* calls that core may hand over */
        atomic_uint calls; /* under way, endless ones included; read by proxy_stop */
        unsigned endless_count;
        struct proxy_call *endless;
        bool endless_ended;
        int64_t idle_ms;       /* of the drain: since when there is no call; 0: there are some */
        int64_t first_idle_ms; /* the first such time; 0: not yet */
        int64_t disconnect_ms; /* when whoever is still connected has had his time; 0: nobody has
                                  been told yet */
        atomic_bool shutting;  /* no call can begin any more */

        grpc_channel *idle_channel; /* leads nowhere */
        grpc_call *idle_call;       /* by it the next two tags go into the queue */
        struct proxy_tag wake;
        struct proxy_tag turn;
        bool turns; /* somebody wants them */
        bool turn_under_way;
        int64_t next_turn_ms;

        struct proxy_list queued; /* for a handler's thread */
        unsigned handlers;

        pthread_mutex_t lock; /* for what is below; proxy_stop waits on it */
        pthread_cond_t changed;
        unsigned handler_threads;
        struct proxy_tag shut;
        bool is_shut;
        bool is_closing; /* nothing may be put into the queue any more */
};

/* Starts a batch whose completion is `t`. False: core refused it, and the tag is not pending. */
bool proxy_call_batch(struct proxy_call *c, grpc_call *call, const grpc_op *ops, size_t count,
        struct proxy_tag *t);
void proxy_call_read(
        struct proxy_call *c, grpc_call *call, struct proxy_half *h, struct proxy_tag *t);

/* proxy_pass.c */
void proxy_pass_prepare(struct proxy_call *c);
void proxy_pass_fail(struct proxy_call *c, grpc_status_code status, const char *message);
void proxy_pass_flush(struct proxy *p);
void proxy_pass_fini(struct proxy_call *c);

/* proxy_handle.c */
void proxy_handle_prepare(struct proxy_call *c);
void proxy_handle_fini(struct proxy_call *c);

/* Lets the queue thread look around. Once; any thread. */
void proxy_wake(struct proxy *p);

/* proxy_drain.c */
/* A call that has waited for the backend until now. True: it is ended, and must not begin. */
bool proxy_drain_ends(struct proxy_call *c);
/* After each event of the queue; quiet: there was none, and nothing to be read. */
void proxy_drain_step(struct proxy *p, bool quiet);
int64_t proxy_drain_wait_ms(const struct proxy *p); /* until the next step without an event */

/* proxy_accept.c */
struct proxy_acceptor *proxy_acceptor_new(
        grpc_server *server, const uint32_t *allow_gids, size_t allow_gid_count);
int proxy_acceptor_listen_unix(struct proxy_acceptor *a, const char *path, uint32_t mode,
        int64_t gid, struct err *e) ERR_MUST_CHECK;
int proxy_acceptor_listen_fd(struct proxy_acceptor *a, int fd, struct err *e) ERR_MUST_CHECK;
int proxy_acceptor_start(struct proxy_acceptor *a, struct err *e) ERR_MUST_CHECK;
/* No further connection, but nobody else gets the sockets yet. Idempotent. */
void proxy_acceptor_pause(struct proxy_acceptor *a);
/* Removes the socket files that it made. Idempotent. */
void proxy_acceptor_stop(struct proxy_acceptor *a);
void proxy_acceptor_free(struct proxy_acceptor *a); /* accepts NULL */

#endif

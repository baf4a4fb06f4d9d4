/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/proxy.h"

#include <string.h>

#include "base/clock.h"
#include "base/metrics.h"
#include "shim/proxy_internal.h"
#include "shim/rpc_words.h"

enum {
        SLOTS = 32,             /* calls that core can hand over without waiting for us */
        BACKEND_RETRY_MS = 100, /* while calls wait for it */
        EVENTS_PER_FLUSH = 256, /* held calls do not wait longer than this on a busy queue */
};

/* ---- lists and tags ---- */

void proxy_list_append(struct proxy_list *l, struct proxy_call *c)
{
        if (c->list == l)
                return;
        c->list = l;
        c->next = NULL;
        c->previous = l->last;
        *(l->last != NULL ? &l->last->next : &l->first) = c;
        l->last = c;
}

void proxy_list_remove(struct proxy_call *c)
{
        struct proxy_list *l = c->list;
        if (l == NULL)
                return;
        *(c->previous != NULL ? &c->previous->next : &l->first) = c->next;
        *(c->next != NULL ? &c->next->previous : &l->last) = c->previous;
        c->list = NULL;
}

void proxy_tag_release(struct proxy_tag *t)
{
        atomic_store_explicit(&t->fence, 1, memory_order_release);
}

/* ---- one call ---- */

bool proxy_call_batch(struct proxy_call *c, grpc_call *call, const grpc_op *ops, size_t count,
        struct proxy_tag *t)
{
        c->pending++;
        proxy_tag_release(t);
        if (grpc_call_start_batch(call, ops, count, t, NULL) == GRPC_CALL_OK)
                return true;
        c->pending--;
        return false;
}

void proxy_call_read(
        struct proxy_call *c, grpc_call *call, struct proxy_half *h, struct proxy_tag *t)
{
        if (h->reading || h->ended || h->received != NULL)
                return;
        grpc_op op = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &h->received};
        h->reading = proxy_call_batch(c, call, &op, 1, t);
}

/* ---- counting ---- */

static bool is_endless(const struct proxy *p, grpc_slice name)
{
        for (const char *const *m = p->endless_methods; m != NULL && *m != NULL; m++)
                if (grpc_slice_str_cmp(name, *m) == 0)
                        return true;
        return false;
}

static void count_call(struct proxy_call *c)
{
        struct proxy *p = c->proxy;
        c->began_ns = clock_mono_ns();
        atomic_fetch_add_explicit(&p->calls, 1, memory_order_relaxed);
        c->is_endless = is_endless(p, c->details.method);
        if (!c->is_endless)
                return;
        c->next_endless = p->endless;
        p->endless = c;
        p->endless_count++;
}

static void uncount_call(struct proxy_call *c)
{
        struct proxy *p = c->proxy;
        if (c->began_ns == 0)
                return;
        atomic_fetch_sub_explicit(&p->calls, 1, memory_order_relaxed);
        if (!c->is_endless)
                return;
        struct proxy_call **at = &p->endless;
        while (*at != c)
                at = &(*at)->next_endless;
        *at = c->next_endless;
        p->endless_count--;
}

/* A client that has gone has seen no status, whatever was answered; of its reasons core knows none.
 */
static int outcome_of(const struct proxy_call *c)
{
        if (c->cancelled)
                return GRPC_STATUS_CANCELLED;
        return c->method != NULL ? c->answered : (int)c->status;
}

static void tell_outcome(const struct proxy_call *c)
{
        grpc_slice name = c->details.method;
        const char *method = rpc_word_of_method(
                (const char *)GRPC_SLICE_START_PTR(name), GRPC_SLICE_LENGTH(name));
        metrics_observe(
                METRIC_RPC_DURATION, (clock_mono_ns() - c->began_ns) / 1000, METRICS_WORDS(method));
        metrics_add(METRIC_RPCS, 1, METRICS_WORDS(method, rpc_word_of_code(outcome_of(c))));
}

/* ---- from its begin to its end ---- */

static void call_free(struct proxy_call *c)
{
        uncount_call(c);
        if (c->began_ns != 0)
                tell_outcome(c);
        proxy_list_remove(c);
        proxy_pass_fini(c);
        proxy_handle_fini(c);
        grpc_metadata_array_destroy(&c->metadata);
        grpc_call_details_destroy(&c->details);
        if (c->front != NULL)
                grpc_call_unref(c->front);
        free(c);
}

static void call_closed(void *owner, bool ok)
{
        struct proxy_call *c = owner;
        (void)ok;
        if (!c->cancelled)
                return;
        c->is_gone = true;
        proxy_list_remove(c);
        c->gone(c);
}

static const struct proxy_method *find_method(const struct proxy *p, grpc_slice name)
{
        if (p->methods == NULL)
                return NULL;
        for (const struct proxy_method *m = p->methods; m->path != NULL; m++)
                if (grpc_slice_str_cmp(name, m->path) == 0)
                        return m;
        return NULL;
}

static bool wait_is_over(const struct proxy *p)
{
        return p->backend_reached || clock_mono_ms() >= p->wait_until_ms ||
               atomic_load_explicit(&p->stopping, memory_order_relaxed);
}

/* True when the backend is there, or the call need not wait for it any more. */
static bool may_begin(struct proxy *p)
{
        if (wait_is_over(p))
                return true;
        struct err e;
        struct rpc_connection *connection = NULL;
        if (p->waiting.first != NULL || rpc_connection_get(p->target, &connection, &e) < 0)
                return false;
        rpc_connection_put(connection);
        p->backend_reached = true;
        return true;
}

static void post_slot(struct proxy *p);

static void call_accepted(void *owner, bool ok)
{
        struct proxy_call *c = owner;
        struct proxy *p = c->proxy;
        p->slots--;
        if (!ok) /* the server shuts down */
                return;
        post_slot(p);
        count_call(c);
        c->method = find_method(p, c->details.method);
        if (c->method != NULL)
                proxy_handle_prepare(c);
        else
                proxy_pass_prepare(c);
        grpc_op close = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER,
                .data.recv_close_on_server.cancelled = &c->cancelled};
        proxy_call_batch(c, c->front, &close, 1, &c->closed);
        if (may_begin(p))
                c->begin(c);
        else
                proxy_list_append(&p->waiting, c);
}

static void post_slot(struct proxy *p)
{
        struct proxy_call *c = mem_zalloc(sizeof *c);
        c->proxy = p;
        c->accepted.done = call_accepted;
        c->closed.done = call_closed;
        c->accepted.owner = c->closed.owner = c;
        grpc_call_details_init(&c->details);
        grpc_metadata_array_init(&c->metadata);
        c->pending = 1;
        proxy_tag_release(&c->accepted);
        p->slots++;
        if (grpc_server_request_call(p->server, &c->front, &c->details, &c->metadata, p->queue,
                    p->queue, &c->accepted) == GRPC_CALL_OK)
                return;
        p->slots--;
        call_free(c);
}

/* ---- the wait for a backend that was never there ---- */

static void retry_backend(struct proxy *p)
{
        struct err e;
        struct rpc_connection *connection = NULL;
        bool reached = rpc_connection_get(p->target, &connection, &e) == 0;
        rpc_connection_put(connection);
        p->next_try_ms = clock_mono_ms() + BACKEND_RETRY_MS;
        p->backend_reached = p->backend_reached || reached;
        if (!wait_is_over(p))
                return;
        while (p->waiting.first != NULL) { /* without a backend they fail now, each in its way */
                struct proxy_call *c = p->waiting.first;
                proxy_list_remove(c);
                if (!proxy_drain_ends(c))
                        c->begin(c);
        }
}

/* ---- tags that go through the queue for their own sake ---- */

/* A batch of nothing is done at once; that is said by the queue, as for any other batch. False: the
 * queue takes nothing any more. Any thread. */
static bool put_into_queue(struct proxy *p, struct proxy_tag *t)
{
        pthread_mutex_lock(&p->lock);
        bool open = !p->is_closing;
        if (open) {
                proxy_tag_release(t);
                grpc_call_start_batch(p->idle_call, NULL, 0, t, NULL);
        }
        pthread_mutex_unlock(&p->lock);
        return open;
}

static void woken(void *owner, bool ok)
{
        (void)owner;
        (void)ok;
}

void proxy_wake(struct proxy *p)
{
        put_into_queue(p, &p->wake);
}

/* The proof that the queue works. */
static void begin_turn(struct proxy *p)
{
        p->next_turn_ms = clock_mono_ms() + p->events.turn_ms;
        if (!p->turn_under_way)
                p->turn_under_way = put_into_queue(p, &p->turn);
}

static void turn_done(void *owner, bool ok)
{
        struct proxy *p = owner;
        (void)ok;
        p->turn_under_way = false;
        p->events.turned(p->events.arg);
}

static void tags_init(struct proxy *p)
{
        p->wake.done = woken;
        p->turn.done = turn_done;
        p->wake.owner = p->turn.owner = p;
        p->turns = p->events.turned != NULL && p->events.turn_ms > 0;
        p->idle_channel = grpc_lame_client_channel_create(NULL, GRPC_STATUS_UNAVAILABLE, "");
        p->idle_call = grpc_channel_create_call(p->idle_channel, NULL, GRPC_PROPAGATE_DEFAULTS,
                p->queue, grpc_slice_from_static_string("/idle"), NULL,
                gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
}

static void tags_fini(struct proxy *p)
{
        grpc_call_unref(p->idle_call);
        grpc_channel_destroy(p->idle_channel);
}

static bool turn_is_due(const struct proxy *p)
{
        return p->turns && clock_mono_ms() >= p->next_turn_ms;
}

/* ---- the queue thread ---- */

static gpr_timespec next_wake(const struct proxy *p)
{
        if (p->held.first != NULL)
                return gpr_inf_past(GPR_CLOCK_MONOTONIC);
        int64_t wait_ms = proxy_drain_wait_ms(p);
        if (p->waiting.first != NULL && wait_ms > BACKEND_RETRY_MS)
                wait_ms = BACKEND_RETRY_MS;
        if (p->turns) {
                int64_t turn_ms = p->next_turn_ms - clock_mono_ms();
                wait_ms = turn_ms < wait_ms ? turn_ms : wait_ms;
        }
        if (wait_ms == INT64_MAX)
                return gpr_inf_future(GPR_CLOCK_MONOTONIC);
        return gpr_time_add(
                gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(wait_ms, GPR_TIMESPAN));
}

static void shut_done(void *owner, bool ok)
{
        struct proxy *p = owner;
        (void)ok;
        pthread_mutex_lock(&p->lock);
        p->is_shut = true;
        pthread_cond_broadcast(&p->changed);
        pthread_mutex_unlock(&p->lock);
}

static void complete(struct proxy *p, struct proxy_tag *t, bool ok)
{
        (void)atomic_load_explicit(&t->fence, memory_order_acquire);
        t->done(t->owner, ok);
        if (t == &p->shut || t == &p->turn || t == &p->wake)
                return;
        struct proxy_call *c = t->owner;
        if (--c->pending == 0)
                call_free(c);
}

static void *queue_main(void *arg)
{
        struct proxy *p = arg;
        for (;;) {
                grpc_event event = grpc_completion_queue_next(p->queue, next_wake(p), NULL);
                if (event.type == GRPC_QUEUE_SHUTDOWN)
                        return NULL;
                if (event.type == GRPC_OP_COMPLETE)
                        complete(p, event.tag, event.success != 0);
                if (event.type == GRPC_QUEUE_TIMEOUT ||
                        ++p->events_since_flush > EVENTS_PER_FLUSH) {
                        p->events_since_flush = 0;
                        proxy_pass_flush(p);
                }
                if (p->waiting.first != NULL && clock_mono_ms() >= p->next_try_ms)
                        retry_backend(p);
                if (turn_is_due(p))
                        begin_turn(p);
                proxy_drain_step(p, event.type == GRPC_QUEUE_TIMEOUT);
        }
}

static void *queue_thread(void *arg)
{
        pthread_setname_np(pthread_self(), "queue");
        return queue_main(arg);
}

/* ---- life ---- */

static grpc_server *server_new(grpc_completion_queue *queue)
{
        grpc_arg list[RPC_ARGUMENTS_MAX];
        size_t n = rpc_arguments_common(list);
        grpc_channel_args arguments = {.num_args = n, .args = list};
        grpc_server *server = grpc_server_create(&arguments, NULL);
        grpc_server_register_completion_queue(server, queue, NULL);
        return server;
}

struct proxy *proxy_new(const struct proxy_options *o)
{
        grpc_init();
        struct proxy *p = mem_zalloc(sizeof *p);
        p->queue = grpc_completion_queue_create_for_next(NULL);
        p->server = server_new(p->queue);
        p->target = rpc_target_new(o->backend);
        rpc_target_announce(p->target);
        p->methods = o->methods;
        p->handler_arg = o->handler_arg;
        p->endless_methods = o->endless;
        p->events = o->events;
        tags_init(p);
        p->backend_wait_ms = o->backend_wait_ms;
        p->acceptor = proxy_acceptor_new(p->server, o->allow_gids, o->allow_gid_count);
        pthread_mutex_init(&p->lock, NULL);
        pthread_cond_init(&p->changed, NULL);
        p->shut.done = shut_done;
        p->shut.owner = p;
        return p;
}

int proxy_listen_unix(struct proxy *p, const char *path, uint32_t mode, int64_t gid, struct err *e)
{
        return proxy_acceptor_listen_unix(p->acceptor, path, mode, gid, e);
}

int proxy_listen_fd(struct proxy *p, int fd, struct err *e)
{
        return proxy_acceptor_listen_fd(p->acceptor, fd, e);
}

int proxy_start(struct proxy *p, struct err *e)
{
        grpc_server_start(p->server);
        for (int i = 0; i < SLOTS; i++)
                post_slot(p);
        p->wait_until_ms = clock_mono_ms() + p->backend_wait_ms;
        int failed = pthread_create(&p->thread, NULL, queue_thread, p);
        if (failed != 0)
                return err_set_sys(e, failed, "cannot start the queue thread");
        p->started = true;
        return proxy_acceptor_start(p->acceptor, e);
}

/* A server must be shut down before it goes, even one that never started. */
static void shut_unstarted(struct proxy *p)
{
        grpc_server_shutdown_and_notify(p->server, p->queue, &p->shut);
        p->is_closing = true;
        grpc_completion_queue_shutdown(p->queue);
        queue_main(p);
}

void proxy_free(struct proxy *p)
{
        if (p == NULL)
                return;
        proxy_stop(p, 0);
        proxy_acceptor_free(p->acceptor);
        if (!p->is_shut)
                shut_unstarted(p);
        tags_fini(p);
        grpc_server_destroy(p->server);
        grpc_completion_queue_destroy(p->queue);
        rpc_target_free(p->target);
        pthread_cond_destroy(&p->changed);
        pthread_mutex_destroy(&p->lock);
        free(p);
        grpc_shutdown();
}

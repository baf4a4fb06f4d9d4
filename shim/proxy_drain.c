/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end. No call may be lost that a client has sent before it was told to go elsewhere.
 *
 * Core's own shutdown would lose some: from its begin until the client has heard of it (GOAWAY),
 * core drops what the client sends, and what waits for a slot; the client is told CANCELLED then
 * and does not try again. So it begins in a moment in which nothing is under way and nothing can be
 * read, and nothing was for a while: who has just connected has a call to send. Until then
 * everything is served, also what comes on connections that there are; new ones wait in the
 * listening socket's queue for whoever serves it next. What is left to lose is a call that is sent
 * in the very moment in which GOAWAY is on its way.
 *
 * Nor may an answer be lost that a client has not read yet: one that is built on core forgets it
 * when it cannot write, be it only a ping. So nobody is disconnected before he has answered to the
 * ping that core sends behind GOAWAY, hence behind all answers, or has had some seconds for it.
 *
 * To send clients away earlier, core knows only ages of connections, always and for all: then
 * clients would have to connect anew for ever, and those built on core itself lose answers when
 * that happens.
 */
#include "base/clock.h"
#include "shim/proxy_internal.h"

enum {
        LOOK_MS = 20,
        SETTLE_MS = 200,      /* without a call, before it ends */
        SETTLE_MAX_MS = 2000, /* of that, with calls in between: then a moment will do */
        GOODBYE_MS = 5000,
};

static const char stops[] = "cri-resolved stops: call again";

/* ---- on the queue thread ---- */

/* Who waits for the backend has no call there that could be cancelled, and must not get one. */
static void end_waiting(struct proxy_call *c)
{
        proxy_list_remove(c);
        proxy_pass_fail(c, GRPC_STATUS_UNAVAILABLE, stops);
}

static void end_endless(struct proxy *p)
{
        for (struct proxy_call *c = p->endless; c != NULL; c = c->next_endless)
                if (c->list == &p->waiting)
                        end_waiting(c);
                else if (c->back != NULL)
                        grpc_call_cancel_with_status(c->back, GRPC_STATUS_UNAVAILABLE, stops, NULL);
}

static bool is_draining(const struct proxy *p)
{
        return atomic_load_explicit(&p->stopping, memory_order_relaxed);
}

static bool is_shutting(const struct proxy *p)
{
        return atomic_load_explicit(&p->shutting, memory_order_acquire);
}

static unsigned calls_of(const struct proxy *p)
{
        return atomic_load_explicit(&p->calls, memory_order_relaxed);
}

/* Either the queue thread does it, in a quiet moment, or who stops the proxy, when time is up. */
static void begin_shutdown(struct proxy *p)
{
        if (atomic_exchange_explicit(&p->shutting, true, memory_order_acq_rel))
                return;
        proxy_tag_release(&p->shut);
        grpc_server_shutdown_and_notify(p->server, p->queue, &p->shut);
}

bool proxy_drain_ends(struct proxy_call *c)
{
        if (!c->is_endless || !is_draining(c->proxy))
                return false;
        end_waiting(c);
        return true;
}

/* Is nothing under way that the end would wait for? */
static bool is_idle(const struct proxy *p)
{
        return is_draining(p) && !is_shutting(p) && calls_of(p) == p->endless_count;
}

/* Nobody has a call any more. Core closes each connection when its client has answered to the ping
 * behind GOAWAY. */
static void disconnect(struct proxy *p)
{
        if (p->disconnect_ms == 0)
                p->disconnect_ms = clock_mono_ms() + GOODBYE_MS;
        if (clock_mono_ms() < p->disconnect_ms)
                return;
        p->disconnect_ms = INT64_MAX; /* once */
        grpc_server_cancel_all_calls(p->server);
}

/* When a quiet moment is the end. */
static int64_t settled_ms(const struct proxy *p)
{
        int64_t usual_ms = p->idle_ms + SETTLE_MS;
        int64_t latest_ms = p->first_idle_ms + SETTLE_MAX_MS;
        return usual_ms < latest_ms ? usual_ms : latest_ms;
}

static int64_t next_step_ms(const struct proxy *p)
{
        if (is_idle(p))
                return p->idle_ms != 0 ? settled_ms(p) : 0;
        return p->disconnect_ms != 0 ? p->disconnect_ms : INT64_MAX;
}

int64_t proxy_drain_wait_ms(const struct proxy *p)
{
        int64_t step_ms = next_step_ms(p);
        if (step_ms == INT64_MAX)
                return INT64_MAX;
        int64_t left_ms = step_ms - clock_mono_ms();
        return left_ms > 0 ? left_ms : 0;
}

static void settle(struct proxy *p, bool quiet)
{
        if (!is_idle(p)) {
                p->idle_ms = 0;
                return;
        }
        int64_t now_ms = clock_mono_ms();
        if (p->idle_ms == 0)
                p->idle_ms = now_ms;
        if (p->first_idle_ms == 0)
                p->first_idle_ms = now_ms;
        if (quiet && now_ms >= settled_ms(p))
                begin_shutdown(p);
}

void proxy_drain_step(struct proxy *p, bool quiet)
{
        settle(p, quiet);
        if (!is_shutting(p) || p->slots > 0)
                return;
        unsigned calls = calls_of(p);
        if (calls == 0) {
                disconnect(p);
        } else if (calls == p->endless_count && !p->endless_ended) {
                p->endless_ended = true;
                end_endless(p);
        }
}

/* ---- on the thread that stops the proxy ---- */

static void tell(struct proxy *p, unsigned *told)
{
        unsigned calls = calls_of(p);
        if (calls == *told || p->events.draining == NULL)
                return;
        *told = calls;
        p->events.draining(p->events.arg, calls);
}

/* Under the lock: until something has changed, or for a moment. */
static void wait_a_moment(struct proxy *p)
{
        clock_wait_until(&p->changed, &p->lock, clock_mono_ms() + LOOK_MS);
}

/* False when the time is over first. */
static bool wait_for_shut(struct proxy *p, int64_t until_ms, unsigned *told)
{
        bool shut = false;
        bool late = false;
        while (!shut && !late) {
                tell(p, told);
                pthread_mutex_lock(&p->lock);
                shut = p->is_shut;
                late = clock_mono_ms() >= until_ms;
                if (!shut && !late)
                        wait_a_moment(p);
                pthread_mutex_unlock(&p->lock);
        }
        return shut;
}

/* Cancelled calls end by themselves; handlers do when their token has fired. */
static void wait_end(struct proxy *p)
{
        pthread_mutex_lock(&p->lock);
        while (!p->is_shut || p->handler_threads > 0)
                pthread_cond_wait(&p->changed, &p->lock);
        pthread_mutex_unlock(&p->lock);
}

static void close_queue(struct proxy *p)
{
        pthread_mutex_lock(&p->lock);
        p->is_closing = true;
        pthread_mutex_unlock(&p->lock);
        grpc_completion_queue_shutdown(p->queue);
        pthread_join(p->thread, NULL);
}

void proxy_stop(struct proxy *p, int64_t grace_ms)
{
        if (!p->started) {
                proxy_acceptor_stop(p->acceptor);
                return;
        }
        int64_t until_ms = clock_mono_ms() + grace_ms;
        unsigned told = 0;
        proxy_acceptor_pause(p->acceptor);
        p->started = false;
        atomic_store_explicit(&p->stopping, true, memory_order_relaxed);
        proxy_wake(p);
        if (!wait_for_shut(p, until_ms, &told)) {
                begin_shutdown(p);
                grpc_server_cancel_all_calls(p->server);
        }
        wait_end(p);
        /* Only now: the last pull may have written a tag, and its order was known to us alone. A
         * daemon that took over the socket before could be overtaken by that write. */
        proxy_acceptor_stop(p->acceptor);
        close_queue(p);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The turns of the queue, which feed the watchdog: there are some exactly while it works. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <semaphore.h>
#include <unistd.h>

#include "shim/proxy.h"

enum { TURN_MS = 1, MANY = 50 };

struct fixture {
        char *path;
        struct proxy *proxy;
        struct cancel cancel; /* the client's */
        sem_t turned;
        sem_t entered, blocked, go, answered;
};

static void turned(void *arg)
{
        struct fixture *f = arg;
        sem_post(&f->turned);
}

/* On the queue's own thread: whoever does this there stops all calls. */
static void block(void *arg)
{
        struct fixture *f = arg;
        sem_post(&f->blocked);
        sem_wait(&f->go);
}

static void held(struct proxy_call *call, void *arg)
{
        struct fixture *f = arg;
        struct cancel_hook hook;
        cancel_hook(proxy_call_cancel(call), &hook, block, f);
        sem_post(&f->entered);
        sem_wait(&f->answered);
        cancel_unhook(proxy_call_cancel(call), &hook);
        struct rpc_answer a = {0};
        proxy_call_answer(call, &a);
}

static const struct proxy_method methods[] = {{"/test/Held", held}, {0}};

static void begin(struct fixture *f)
{
        static int number;
        struct err e;
        *f = (struct fixture){.path = mem_printf("/tmp/turns-%d-%d", getpid(), ++number)};
        cancel_init(&f->cancel);
        sem_init(&f->turned, 0, 0);
        sem_init(&f->entered, 0, 0);
        sem_init(&f->blocked, 0, 0);
        sem_init(&f->go, 0, 0);
        sem_init(&f->answered, 0, 0);
        struct proxy_options o = {.backend = "unix:///nonexistent/x.sock",
                .methods = methods,
                .handler_arg = f,
                .events = {.turned = turned, .turn_ms = TURN_MS, .arg = f}};
        f->proxy = proxy_new(&o);
        assert_int_equal(proxy_listen_unix(f->proxy, f->path, 0600, -1, &e), 0);
        assert_int_equal(proxy_start(f->proxy, &e), 0);
}

static void end(struct fixture *f)
{
        proxy_free(f->proxy);
        cancel_fini(&f->cancel);
        free(f->path);
}

static void wait_turns(struct fixture *f, int count)
{
        for (int i = 0; i < count; i++)
                sem_wait(&f->turned);
}

static void forget_turns(struct fixture *f)
{
        while (sem_trywait(&f->turned) == 0)
                ;
}

static void an_idle_queue_turns(void **state)
{
        (void)state;
        struct fixture f;
        begin(&f);
        wait_turns(&f, MANY);
        proxy_stop(f.proxy, 0);
        forget_turns(&f);
        end(&f);
        assert_int_equal(sem_trywait(&f.turned), -1); /* none after its end */
}

static void *ask(void *arg)
{
        struct fixture *f = arg;
        cleanup_free char *url = mem_printf("unix://%s", f->path);
        struct rpc *rpc = rpc_new(url);
        struct rpc_call call = {
                .method = "/test/Held", .request = (const uint8_t *)"", .cancel = &f->cancel};
        cleanup_rpc_answer struct rpc_answer a = {0};
        rpc_do(rpc, &call, &a);
        rpc_free(rpc);
        return NULL;
}

/* Another proxy is the clock: while it turns many times, the one whose thread is stuck does not. */
static void a_queue_that_is_stuck_does_not(void **state)
{
        (void)state;
        struct fixture f;
        struct fixture healthy;
        pthread_t client;
        begin(&f);
        begin(&healthy);
        assert_int_equal(pthread_create(&client, NULL, ask, &f), 0);
        sem_wait(&f.entered);
        wait_turns(&f, MANY);
        cancel_fire(&f.cancel);
        sem_wait(&f.blocked);
        forget_turns(&f);
        forget_turns(&healthy);
        wait_turns(&healthy, MANY);
        assert_int_equal(sem_trywait(&f.turned), -1);
        sem_post(&f.go);
        sem_post(&f.answered);
        wait_turns(&f, MANY); /* and when it works again, it turns again */
        pthread_join(client, NULL);
        end(&f);
        end(&healthy);
}

static void nobody_asks_for_turns(void **state)
{
        (void)state;
        struct proxy_options o = {
                .backend = "unix:///nonexistent/x.sock", .events = {.turned = turned}};
        struct err e;
        struct proxy *p = proxy_new(&o);
        assert_int_equal(proxy_start(p, &e), 0);
        proxy_free(p); /* turned() would have crashed without its argument */
        o.events.turn_ms = TURN_MS;
        proxy_free(proxy_new(&o)); /* one that never starts */
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_idle_queue_turns),
                cmocka_unit_test(a_queue_that_is_stuck_does_not),
                cmocka_unit_test(nobody_asks_for_turns),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Handled calls, and rpc as their client: both halves of gRPC in one process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <semaphore.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "shim/proxy.h"

enum { GRPC_CANCELLED = 1, GRPC_DEADLINE = 4, GRPC_UNAVAILABLE = 14 };

/* A proxy without a backend: what no handler takes is UNAVAILABLE. */
struct fixture {
        char folder[32];
        char *path;
        char *url;
        struct proxy *proxy;
        struct rpc *rpc;
        sem_t entered;  /* a handler runs */
        sem_t go;       /* a held one may answer */
        sem_t finished; /* ... and has seen its end */
        atomic_int cancelled;
};

static void echo(struct proxy_call *call, void *arg)
{
        (void)arg;
        size_t size;
        const uint8_t *request = proxy_call_request(call, &size);
        struct rpc_answer a = {.response = (uint8_t *)request, .response_size = size};
        proxy_call_answer(call, &a);
}

/* Answers its metadata, "key=value;" each. */
static void metadata(struct proxy_call *call, void *arg)
{
        (void)arg;
        size_t count;
        const struct rpc_metadatum *m = proxy_call_metadata(call, &count);
        struct buf text;
        buf_init(&text, 4096);
        for (size_t i = 0; i < count; i++)
                if (strcmp(m[i].key, "user-agent") != 0)
                        buf_printf(&text, "%s=%.*s;", m[i].key, (int)m[i].value_size, m[i].value);
        struct rpc_answer a = {.response = (uint8_t *)text.data, .response_size = text.size};
        proxy_call_answer(call, &a);
        buf_fini(&text);
}

static void refuse(struct proxy_call *call, void *arg)
{
        (void)arg;
        struct rpc_answer a = {
                .code = 7, .message = "not 100 % yours", .details = "a\0b\xff", .details_size = 4};
        assert_string_equal(proxy_call_method(call), "/test/Refuse");
        proxy_call_answer(call, &a);
}

static void wake(void *arg)
{
        struct fixture *f = arg;
        sem_post(&f->go);
}

/* Until `go`, or its cancellation. */
static void held(struct proxy_call *call, void *arg)
{
        struct fixture *f = arg;
        struct cancel_hook hook;
        struct rpc_answer a = {.code = 0, .response = (uint8_t *)"held", .response_size = 4};
        cancel_hook(proxy_call_cancel(call), &hook, wake, f);
        sem_post(&f->entered);
        sem_wait(&f->go);
        cancel_unhook(proxy_call_cancel(call), &hook);
        if (cancel_fired(proxy_call_cancel(call)))
                atomic_fetch_add(&f->cancelled, 1);
        proxy_call_answer(call, &a);
        sem_post(&f->finished);
}

static const struct proxy_method methods[] = {
        {"/test/Echo", echo},
        {"/test/Metadata", metadata},
        {"/test/Refuse", refuse},
        {"/test/Held", held},
        {0},
};

static int setup(void **state)
{
        struct fixture *f = mem_zalloc(sizeof *f);
        struct err e;
        strcpy(f->folder, "/tmp/proxy-XXXXXX");
        assert_non_null(mkdtemp(f->folder));
        f->path = mem_printf("%s/p.sock", f->folder);
        f->url = mem_printf("unix://%s", f->path);
        sem_init(&f->entered, 0, 0);
        sem_init(&f->go, 0, 0);
        sem_init(&f->finished, 0, 0);
        struct proxy_options o = {
                .backend = "unix:///nonexistent/x.sock", .methods = methods, .handler_arg = f};
        f->proxy = proxy_new(&o);
        assert_int_equal(proxy_listen_unix(f->proxy, f->path, 0600, -1, &e), 0);
        assert_int_equal(proxy_start(f->proxy, &e), 0);
        f->rpc = rpc_new(f->url);
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        struct fixture *f = *state;
        rpc_free(f->rpc);
        proxy_free(f->proxy);
        rmdir(f->folder);
        free(f->path);
        free(f->url);
        free(f);
        return 0;
}

static void ask(struct fixture *f, const char *method, struct cancel *cancel, int64_t timeout_ms,
        struct rpc_answer *a)
{
        struct rpc_call call = {.method = method,
                .request = (const uint8_t *)"question",
                .request_size = 8,
                .timeout_ms = timeout_ms,
                .cancel = cancel};
        rpc_do(f->rpc, &call, a);
}

static void test_request_and_response(void **state)
{
        struct fixture *f = *state;
        static const size_t sizes[] = {0, 1, 7, 20000, 5 << 20, 16 << 20};
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
                cleanup_free uint8_t *bytes = mem_zalloc(sizes[i] + 1);
                memset(bytes, 'x', sizes[i]);
                struct rpc_call call = {
                        .method = "/test/Echo", .request = bytes, .request_size = sizes[i]};
                cleanup_rpc_answer struct rpc_answer a = {0};
                rpc_do(f->rpc, &call, &a);
                assert_int_equal(a.code, 0);
                assert_int_equal(a.response_size, sizes[i]);
                assert_memory_equal(a.response, bytes, sizes[i]);
        }
}

static void test_metadata(void **state)
{
        struct fixture *f = *state;
        struct rpc_metadatum sent[] = {
                {"x-one", "1", 1},
                {"user-agent", "ignored", 7}, /* core's own */
                {"x-two-bin", "\xc3\xa9", 2},
        };
        struct rpc_call call = {.method = "/test/Metadata",
                .request = (const uint8_t *)"",
                .metadata = sent,
                .metadata_count = 3};
        cleanup_rpc_answer struct rpc_answer a = {0};
        static const char expected[] = "containerd-namespace=k8s.io;x-one=1;x-two-bin=\xc3\xa9;";
        rpc_do(f->rpc, &call, &a);
        assert_int_equal(a.code, 0);
        assert_int_equal(a.response_size, strlen(expected));
        assert_memory_equal(a.response, expected, strlen(expected));
}

/* A proxy sends its clients away every three seconds: no call shows it. */
static void test_clients_are_sent_away(void **state)
{
        enum { LONG_ENOUGH_MS = 7500 };
        int64_t until_ms = clock_mono_ms() + LONG_ENOUGH_MS;
        while (clock_mono_ms() < until_ms) {
                cleanup_rpc_answer struct rpc_answer a = {0};
                ask(*state, "/test/Echo", NULL, 0, &a);
                assert_int_equal(a.code, 0);
        }
}

static void test_status(void **state)
{
        cleanup_rpc_answer struct rpc_answer a = {0};
        cleanup_rpc_answer struct rpc_answer copy = {0};
        ask(*state, "/test/Refuse", NULL, 0, &a);
        rpc_answer_copy(&copy, &a);
        assert_int_equal(copy.code, 7);
        assert_string_equal(copy.message, "not 100 % yours");
        assert_int_equal(copy.details_size, 4);
        assert_memory_equal(copy.details, "a\0b\xff", 4);
        assert_null(copy.response);
}

/* ---- endings ---- */

struct asker {
        struct fixture *fixture;
        const char *method;
        struct cancel *cancel;
        int64_t timeout_ms;
        int code;
};

static void *ask_on_thread(void *arg)
{
        struct asker *k = arg;
        cleanup_rpc_answer struct rpc_answer a = {0};
        ask(k->fixture, k->method, k->cancel, k->timeout_ms, &a);
        k->code = a.code;
        return NULL;
}

static void test_client_cancels(void **state)
{
        struct fixture *f = *state;
        struct cancel cancel;
        cancel_init(&cancel);
        struct asker k = {.fixture = f, .method = "/test/Held", .cancel = &cancel};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, ask_on_thread, &k), 0);
        sem_wait(&f->entered);
        cancel_fire(&cancel);
        pthread_join(thread, NULL);
        sem_wait(&f->finished);
        cancel_fini(&cancel);
        assert_int_equal(k.code, GRPC_CANCELLED);
        assert_int_equal(atomic_load(&f->cancelled), 1);
}

static void test_cancelled_before_it_starts(void **state)
{
        struct cancel cancel;
        cancel_init(&cancel);
        cancel_fire(&cancel);
        cleanup_rpc_answer struct rpc_answer a = {0};
        ask(*state, "/test/Echo", &cancel, 0, &a);
        cancel_fini(&cancel);
        assert_int_equal(a.code, GRPC_CANCELLED);
}

static void test_deadline(void **state)
{
        struct fixture *f = *state;
        cleanup_rpc_answer struct rpc_answer a = {0};
        ask(f, "/test/Held", NULL, 200, &a);
        assert_int_equal(a.code, GRPC_DEADLINE);
        sem_wait(&f->entered);
        sem_wait(&f->finished);
        assert_int_equal(atomic_load(&f->cancelled), 1);
}

/* More than may run: the rest waits for its turn, and all are answered. */
static void test_more_calls_than_threads(void **state)
{
        enum { CALLS = 600, THREADS_MAX = 512 };
        struct fixture *f = *state;
        static struct asker askers[CALLS];
        static pthread_t threads[CALLS];
        pthread_attr_t small;
        pthread_attr_init(&small);
        pthread_attr_setstacksize(&small, 512 << 10);
        for (int i = 0; i < CALLS; i++) {
                askers[i] = (struct asker){.fixture = f, .method = "/test/Held", .code = -1};
                assert_int_equal(pthread_create(&threads[i], &small, ask_on_thread, &askers[i]), 0);
        }
        pthread_attr_destroy(&small);
        for (int i = 0; i < THREADS_MAX; i++)
                sem_wait(&f->entered);
        /* Calls that go through do not wait for threads.
         */
        cleanup_rpc_answer struct rpc_answer a = {0};
        ask(f, "/test/Other", NULL, 0, &a);
        assert_int_equal(a.code, GRPC_UNAVAILABLE);
        assert_int_not_equal(sem_trywait(&f->entered), 0);
        for (int i = 0; i < CALLS; i++)
                sem_post(&f->go);
        for (int i = 0; i < CALLS; i++) {
                pthread_join(threads[i], NULL);
                assert_int_equal(askers[i].code, 0);
        }
}

static void test_stop_waits_for_handlers(void **state)
{
        struct fixture *f = *state;
        struct asker k = {.fixture = f, .method = "/test/Held"};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, ask_on_thread, &k), 0);
        sem_wait(&f->entered);
        sem_post(&f->go);
        proxy_stop(f->proxy, 60000);
        pthread_join(thread, NULL);
        assert_int_equal(k.code, 0);
        assert_int_equal(sem_trywait(&f->finished), 0); /* the handler has returned */
        assert_int_not_equal(access(f->path, F_OK), 0);
}

static void test_stop_cancels_when_the_grace_is_over(void **state)
{
        struct fixture *f = *state;
        struct asker k = {.fixture = f, .method = "/test/Held"};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, ask_on_thread, &k), 0);
        sem_wait(&f->entered);
        proxy_stop(f->proxy, 0);
        pthread_join(thread, NULL);
        assert_int_not_equal(k.code, 0);
        assert_int_equal(atomic_load(&f->cancelled), 1);
}

/* ---- rpc without a server; a proxy that never starts ---- */

static void test_nobody_listens(void **state)
{
        (void)state;
        static const struct {
                const char *url;
                const char *message;
        } cases[] = {
                {"unix:///nonexistent/x.sock", "containerd cannot be reached at "
                                               "unix:///nonexistent/x.sock: No such file or "
                                               "directory"},
                {"tcp://127.0.0.1:1", "tcp://127.0.0.1:1: not the address of a Unix socket"},
        };
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                struct rpc *rpc = rpc_new(cases[i].url);
                struct rpc_call call = {.method = "/a/b", .request = (const uint8_t *)""};
                cleanup_rpc_answer struct rpc_answer a = {0};
                rpc_do(rpc, &call, &a);
                assert_int_equal(a.code, GRPC_UNAVAILABLE);
                assert_string_equal(a.message, cases[i].message);
                rpc_free(rpc);
        }
        rpc_free(NULL);
}

static void test_never_started(void **state)
{
        (void)state;
        struct proxy_options o = {.backend = "unix:///nonexistent/x.sock"};
        proxy_free(proxy_new(&o));
        struct proxy *p = proxy_new(&o);
        struct err e;
        assert_int_equal(proxy_listen_unix(p, "/nonexistent/folder/x.sock", 0600, -1, &e), -1);
        assert_int_equal(e.code, ERR_SYSTEM);
        assert_int_equal(proxy_listen_fd(p, 0, &e), -1);
        proxy_free(p);
        proxy_free(NULL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_request_and_response, setup, teardown),
                cmocka_unit_test_setup_teardown(test_metadata, setup, teardown),
                cmocka_unit_test_setup_teardown(test_clients_are_sent_away, setup, teardown),
                cmocka_unit_test_setup_teardown(test_status, setup, teardown),
                cmocka_unit_test_setup_teardown(test_client_cancels, setup, teardown),
                cmocka_unit_test_setup_teardown(test_cancelled_before_it_starts, setup, teardown),
                cmocka_unit_test_setup_teardown(test_deadline, setup, teardown),
                cmocka_unit_test_setup_teardown(test_more_calls_than_threads, setup, teardown),
                cmocka_unit_test_setup_teardown(test_stop_waits_for_handlers, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_stop_cancels_when_the_grace_is_over, setup, teardown),
                cmocka_unit_test(test_nobody_listens),
                cmocka_unit_test(test_never_started),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

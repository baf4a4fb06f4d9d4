/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a proxy: with an endless call whose backend has not said a word yet, and with a client
 * that has not read everything yet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "shim/proxy.h"
#include "tests/unit/relay/capture.h"

enum {
        GRPC_UNAVAILABLE = 14,
        WAIT_MS = 600000,   /* for the backend: longer than any test */
        GRACE_MS = 20000,   /* a call that is still there then is CANCELLED */
        PREFACE_BYTES = 24, /* RFC 9113 section 3.4 */
        HEAD_BYTES = 9,     /* of a frame, section 4.1 */
        HEADERS = 1,        /* types of frames, section 6 */
        SETTINGS = 4,
        PING = 6,
        GOAWAY = 7,
        PING_BYTES = 8,
};

#define METHOD "/test/Endless"

struct fixture {
        char folder[32];
        char *front, *back; /* paths */
        struct proxy *proxy;
        int listener; /* the backend: it answers nothing; -1: it is not there */
        pthread_t client;
        struct rpc_answer answer;
};

static struct sockaddr_un address_of(const char *path)
{
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
        return a;
}

static void listen_at_back(struct fixture *f)
{
        struct sockaddr_un a = address_of(f->back);
        f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(f->listener, (struct sockaddr *)&a, sizeof(a)), 0);
        assert_int_equal(listen(f->listener, 8), 0);
}

/* Told when the drain has begun: the call has waited until then, and now it could be made. */
static void come_late(void *arg, unsigned calls_left)
{
        struct fixture *f = arg;
        if (calls_left > 0 && f->listener < 0)
                listen_at_back(f);
}

static void begin(struct fixture *f)
{
        static const char *const endless[] = {METHOD, NULL};
        struct err e;
        *f = (struct fixture){.folder = "/tmp/drain-XXXXXX", .listener = -1};
        assert_non_null(mkdtemp(f->folder));
        f->front = mem_printf("%s/f.sock", f->folder);
        f->back = mem_printf("%s/b.sock", f->folder);
        cleanup_free char *url = mem_printf("unix://%s", f->back);
        struct proxy_options o = {.backend = url,
                .backend_wait_ms = WAIT_MS,
                .endless = endless,
                .events = {.draining = come_late, .arg = f}};
        f->proxy = proxy_new(&o);
        assert_int_equal(proxy_listen_unix(f->proxy, f->front, 0600, -1, &e), 0);
        assert_int_equal(proxy_start(f->proxy, &e), 0);
}

static void *ask_on_thread(void *arg)
{
        struct fixture *f = arg;
        cleanup_free char *url = mem_printf("unix://%s", f->front);
        struct rpc *rpc = rpc_new(url);
        struct rpc_call call = {.method = METHOD, .request = (const uint8_t *)""};
        rpc_do(rpc, &call, &f->answer);
        rpc_free(rpc);
        return NULL;
}

static void ask(struct fixture *f)
{
        assert_int_equal(pthread_create(&f->client, NULL, ask_on_thread, f), 0);
}

static void finish(struct fixture *f)
{
        proxy_free(f->proxy);
        close(f->listener);
        unlink(f->back);
        rmdir(f->folder);
        free(f->front);
        free(f->back);
}

/* The client is told by the end itself, not because time is up. */
static void end(struct fixture *f)
{
        proxy_stop(f->proxy, GRACE_MS);
        pthread_join(f->client, NULL);
        assert_int_equal(f->answer.code, GRPC_UNAVAILABLE);
        assert_string_equal(f->answer.message, "cri-resolved stops: call again");
        rpc_answer_fini(&f->answer);
        finish(f);
}

static void a_backend_that_comes_during_the_drain(void **state)
{
        (void)state;
        struct fixture f;
        struct capture log;
        begin(&f);
        capture_begin(&log);
        ask(&f);
        free(capture_wait(&log, "containerd does not answer")); /* so the call waits */
        end(&f);
        free(capture_end(&log));
}

static void read_all(int fd, uint8_t *to, size_t size)
{
        for (size_t done = 0; done < size;) {
                ssize_t n = read(fd, to + done, size - done);
                assert_true(n > 0);
                done += (size_t)n;
        }
}

/* The next frame's payload, which the caller frees. */
static uint8_t *read_frame(int fd, uint8_t *type)
{
        uint8_t head[HEAD_BYTES];
        read_all(fd, head, sizeof(head));
        size_t size = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
        uint8_t *payload = mem_zalloc(size + 1);
        read_all(fd, payload, size);
        *type = head[3];
        return payload;
}

static uint8_t *await_frame(int fd, uint8_t type)
{
        uint8_t found = 0;
        uint8_t *payload = read_frame(fd, &found);
        for (; found != type; payload = read_frame(fd, &found))
                free(payload);
        return payload;
}

/* Until a call has arrived at the backend. */
static void await_headers(int fd)
{
        uint8_t preface[PREFACE_BYTES];
        read_all(fd, preface, sizeof(preface));
        free(await_frame(fd, HEADERS));
}

static void a_backend_that_accepts_and_does_not_answer(void **state)
{
        (void)state;
        struct fixture f;
        begin(&f);
        listen_at_back(&f);
        ask(&f);
        int fd = accept(f.listener, NULL, NULL);
        await_headers(fd);
        end(&f);
        close(fd);
}

/* ---- a client that reads when it likes ---- */

static int connect_to_front(const struct fixture *f)
{
        static const uint8_t hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
        struct sockaddr_un a = address_of(f->front);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
        assert_int_equal(write(fd, hello, sizeof(hello)), sizeof(hello));
        free(await_frame(fd, SETTINGS));
        return fd;
}

static void *stop_on_thread(void *arg)
{
        proxy_stop(((struct fixture *)arg)->proxy, GRACE_MS);
        return NULL;
}

static void acknowledge(int fd, const uint8_t *ping)
{
        uint8_t frame[HEAD_BYTES + PING_BYTES] = {[2] = PING_BYTES, [3] = PING, [4] = 1 /* ACK */};
        memcpy(frame + HEAD_BYTES, ping, PING_BYTES);
        assert_int_equal(send(fd, frame, sizeof(frame), MSG_NOSIGNAL), sizeof(frame));
}

/* What it writes to a connection that is closed fails, and clients built on core then forget what
 * they have not read: an answer. So it is closed when the client has read everything: when it has
 * answered to the ping that comes last. */
static void a_client_has_read_everything_before_it_is_disconnected(void **state)
{
        (void)state;
        struct fixture f;
        uint8_t byte = 0;
        begin(&f);
        int fd = connect_to_front(&f);
        assert_int_equal(pthread_create(&f.client, NULL, stop_on_thread, &f), 0);
        free(await_frame(fd, GOAWAY)); /* that it stops some day */
        cleanup_free uint8_t *ping = await_frame(fd, PING);
        acknowledge(fd, ping);
        free(await_frame(fd, GOAWAY)); /* and now: it has heard us */
        assert_int_equal(read(fd, &byte, 1), 0);
        pthread_join(f.client, NULL);
        close(fd);
        finish(&f);
}

/* Nor does one that never reads hold up the end. */
static void a_client_that_reads_nothing(void **state)
{
        (void)state;
        struct fixture f;
        begin(&f);
        int fd = connect_to_front(&f);
        proxy_stop(f.proxy, INT64_MAX / 2);
        close(fd);
        finish(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_backend_that_comes_during_the_drain),
                cmocka_unit_test(a_backend_that_accepts_and_does_not_answer),
                cmocka_unit_test(a_client_has_read_everything_before_it_is_disconnected),
                cmocka_unit_test(a_client_that_reads_nothing),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

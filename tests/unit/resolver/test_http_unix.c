/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "resolver/http.h"

enum { SITES = 2 };

/* A server at a Unix socket that tells its name to whoever asks, as often as one asks. */
struct site {
        char path[64];
        const char *name;
        int listener;
        atomic_int connections;
        pthread_t thread;
};

static char folder[] = "/tmp/test_http_unix.XXXXXX";
static struct site sites[SITES];

static void serve(struct site *s, int fd)
{
        char request[4096];
        char answer[128];
        int size = snprintf(answer, sizeof(answer),
                "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(s->name), s->name);
        while (recv(fd, request, sizeof(request), 0) > 0)
                send(fd, answer, (size_t)size, MSG_NOSIGNAL);
        close(fd);
}

static void *site_main(void *arg)
{
        struct site *s = arg;
        for (int fd; (fd = accept(s->listener, NULL, NULL)) >= 0;) {
                atomic_fetch_add(&s->connections, 1);
                serve(s, fd);
        }
        return NULL;
}

static int start_sites(void **state)
{
        (void)state;
        static const char *const names[SITES] = {"one", "two"};
        if (mkdtemp(folder) == NULL)
                return -1;
        for (size_t i = 0; i < SITES; i++) {
                struct site *s = &sites[i];
                struct sockaddr_un a = {.sun_family = AF_UNIX};
                s->name = names[i];
                snprintf(s->path, sizeof(s->path), "%s/%s", folder, s->name);
                if (snprintf(a.sun_path, sizeof(a.sun_path), "%s", s->path) >=
                        (int)sizeof(a.sun_path))
                        return -1;
                s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
                if (bind(s->listener, (struct sockaddr *)&a, sizeof(a)) < 0 ||
                        listen(s->listener, 8) < 0 ||
                        pthread_create(&s->thread, NULL, site_main, s) != 0)
                        return -1;
        }
        return 0;
}

static int stop_sites(void **state)
{
        (void)state;
        for (size_t i = 0; i < SITES; i++) {
                shutdown(sites[i].listener, SHUT_RDWR);
                pthread_join(sites[i].thread, NULL);
                close(sites[i].listener);
                unlink(sites[i].path);
        }
        return rmdir(folder);
}

static int ask(struct http_pool *pool, const char *path, struct http_response *r, struct err *e)
{
        struct http_request q = {
                .url = "http://localhost/v1/status",
                .unix_socket = path,
                .max_body_bytes = 1000,
                .timeout_ms = 5000,
        };
        return http_do(pool, &q, r, e);
}

/* The sockets are told apart, though the URL is the same; each connection is kept. */
static void two_sockets_and_one_url(void **state)
{
        (void)state;
        struct http_pool *pool = http_pool_new();
        for (size_t i = 0; i < 10; i++) {
                struct err e;
                cleanup_http_response struct http_response r = {0};
                struct site *s = &sites[i % SITES];
                assert_int_equal(ask(pool, s->path, &r, &e), 0);
                assert_string_equal(buf_str(&r.body), s->name);
        }
        for (size_t i = 0; i < SITES; i++)
                assert_int_equal(atomic_load(&sites[i].connections), 1);
        http_pool_free(pool);
}

/* Whatever the environment says: what is on this machine goes through no proxy. */
static void no_proxy_is_asked(void **state)
{
        (void)state;
        setenv("http_proxy", "http://127.0.0.1:1", 1);
        struct http_pool *pool = http_pool_new();
        unsetenv("http_proxy");
        struct err e;
        cleanup_http_response struct http_response r = {0};
        struct http_request q = {
                .url = "http://daemon.example/",
                .unix_socket = sites[0].path,
                .max_body_bytes = 1000,
                .timeout_ms = 5000,
        };
        assert_int_equal(http_do(pool, &q, &r, &e), 0);
        assert_string_equal(buf_str(&r.body), "one");
        http_pool_free(pool);
}

static void nobody_there(void **state)
{
        (void)state;
        struct http_pool *pool = http_pool_new();
        struct err e;
        struct http_response r = {0};
        assert_int_equal(ask(pool, "/nonexistent/socket", &r, &e), -1);
        assert_int_equal(e.code, ERR_UNREACHABLE);
        http_pool_free(pool);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(two_sockets_and_one_url),
                cmocka_unit_test(no_proxy_is_asked),
                cmocka_unit_test(nobody_there),
        };
        return cmocka_run_group_tests(tests, start_sites, stop_sites);
}

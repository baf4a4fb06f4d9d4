/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>
#include <poll.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "relay/httpd.h"
#include "tests/unit/relay/client.h"

enum {
        FOR_EVER_S = 3600,
        TICK_MS = 50,
        LARGE_BYTES = 40 * 1000 * 1000,
        CUT_AT_BYTES = 1000 * 1000,
        PLACES = 16,
        CROWD = 64
};

#define DIGEST "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

struct site {
        struct httpd *httpd;
        sem_t freed; /* a body */
        sem_t late;  /* the source of /late has something */
        atomic_int reads;
        char seen[300]; /* the last request: method path authorization */
};

struct content {
        struct site *site;
        int64_t size, sent, cut_at; /* cut_at -1: not at all */
        bool late;
};

static char byte_at(int64_t position)
{
        return (char)('a' + position % 23);
}

static ssize_t read_content(void *arg, char *buf, size_t max)
{
        struct content *c = arg;
        int64_t left = c->size - c->sent;
        atomic_fetch_add(&c->site->reads, 1);
        if (max < HTTPD_BLOCK_BYTES && (int64_t)max < left)
                abort(); /* broken promise */
        if (c->late && c->sent == 0)
                sem_wait(&c->site->late);
        if (c->cut_at >= 0 && c->sent >= c->cut_at)
                return -1;
        /* Never all that is wanted: a source gives what it has. */
        int64_t n = left < (int64_t)max || max == 1 ? left : (int64_t)max - 1;
        for (int64_t i = 0; i < n; i++)
                buf[i] = byte_at(c->sent + i);
        c->sent += n;
        return (ssize_t)n;
}

static void free_content(void *arg)
{
        struct content *c = arg;
        sem_post(&c->site->freed);
        free(c);
}

static void answer_content(struct site *s, const struct content *like, struct httpd_answer *a)
{
        struct content *c = mem_zalloc(sizeof(*c));
        *c = *like;
        c->site = s;
        *a = (struct httpd_answer){.status = 200,
                .content_type = "text/x-test",
                .digest = DIGEST,
                .size = c->size,
                .read = read_content,
                .free = free_content,
                .body = c};
}

static void serve(void *arg, const struct httpd_request *q, struct httpd_answer *a)
{
        static const struct {
                const char *path;
                struct content content;
        } contents[] = {
                {"/small", {.size = 5, .cut_at = -1}},
                {"/nothing", {.size = 0, .cut_at = -1}},
                {"/large", {.size = LARGE_BYTES, .cut_at = -1}},
                {"/late", {.size = 5, .cut_at = -1, .late = true}},
                {"/cut", {.size = LARGE_BYTES, .cut_at = CUT_AT_BYTES}},
        };
        struct site *s = arg;
        snprintf(s->seen, sizeof(s->seen), "%s %s %s", q->method, q->path, q->authorization);
        a->status = 404;
        if (strcmp(q->path, "/challenge") == 0)
                *a = (struct httpd_answer){.status = 401, .challenge = "Basic realm=\"x\""};
        for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++)
                if (strcmp(q->path, contents[i].path) == 0)
                        answer_content(s, &contents[i].content, a);
}

static void begin(struct site *s, unsigned idle_timeout_s, unsigned stall_timeout_s)
{
        *s = (struct site){0};
        sem_init(&s->freed, 0, 0);
        sem_init(&s->late, 0, 0);
        struct httpd_limits limits = {.connections = PLACES,
                .idle_timeout_s = idle_timeout_s,
                .stall_timeout_s = stall_timeout_s};
        s->httpd = httpd_new(serve, s, &limits);
        assert_non_null(s->httpd);
}

static void end(struct site *s)
{
        httpd_free(s->httpd);
        sem_destroy(&s->freed);
        sem_destroy(&s->late);
}

/* A connection of which the httpd has the other end. */
static int enter(struct site *s)
{
        int port;
        int listener = client_bound(&port);
        if (listen(listener, 1) < 0)
                client_die("listen");
        int fd = client_connect(port);
        int far = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        close(listener);
        httpd_enter(s->httpd, far);
        return fd;
}

static void ask(int fd, const char *method, const char *path)
{
        cleanup_free char *text = mem_printf("%s %s HTTP/1.1\r\nHost: x\r\n\r\n", method, path);
        client_puts(fd, text);
}

static void check_bytes(const struct client_answer *a)
{
        for (size_t i = 0; i < a->body.size; i++)
                if (a->body.data[i] != byte_at((int64_t)i))
                        fail_msg("byte %zu is wrong", i);
}

static void assert_header(const struct client_answer *a, const char *name, const char *wanted)
{
        cleanup_free char *value = client_header(a, name);
        if (wanted == NULL)
                assert_null(value);
        else
                assert_string_equal(value, wanted);
}

static void who_is_refused_keeps_nothing(void **state)
{
        (void)state;
        struct site s;
        begin(&s, FOR_EVER_S, FOR_EVER_S);
        static const struct {
                const char *method, *path;
                int status;
                const char *challenge;
        } cases[] = {
                {"GET", "/none", 404, NULL},
                {"HEAD", "/none", 404, NULL},
                {"GET", "/challenge", 401, "Basic realm=\"x\""},
                {"HEAD", "/challenge", 401, "Basic realm=\"x\""},
                {"DELETE", "/challenge", 401, "Basic realm=\"x\""},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                int fd = enter(&s);
                cleanup_client_answer struct client_answer a = {0};
                ask(fd, cases[i].method, cases[i].path);
                assert_true(client_read_head(fd, &a));
                assert_int_equal(a.status, cases[i].status);
                assert_header(&a, "Connection", "close");
                assert_header(&a, "WWW-Authenticate", cases[i].challenge);
                assert_header(&a, "Docker-Content-Digest", NULL);
                assert_true(client_ended(fd));
                close(fd);
        }
        end(&s);
}

static void what_a_request_says(void **state)
{
        (void)state;
        struct site s;
        begin(&s, FOR_EVER_S, FOR_EVER_S);
        int fd = enter(&s);
        cleanup_client_answer struct client_answer a = {0};
        client_puts(fd, "PUT /a%2fb%3Fc%00d/%7e?ns=ghcr.io HTTP/1.1\r\nHost: x\r\n"
                        "Authorization: Basic abc\r\nContent-Length: 1000000\r\n\r\n");
        assert_true(client_read_head(fd, &a)); /* nobody waits for the million */
        assert_int_equal(a.status, 404);
        assert_string_equal(s.seen, "PUT /a/b?c Basic abc"); /* no path of ours has a NUL */
        close(fd);
        end(&s);
}

static void one_connection_many_requests(void **state)
{
        (void)state;
        struct site s;
        begin(&s, FOR_EVER_S, FOR_EVER_S);
        int fd = enter(&s);
        static const struct {
                const char *method, *path;
                size_t size, sent;
        } cases[] = {
                {"GET", "/small", 5, 5},
                {"HEAD", "/large", LARGE_BYTES, 0},
                {"GET", "/large", LARGE_BYTES, LARGE_BYTES},
                {"GET", "/nothing", 0, 0},
                {"HEAD", "/small", 5, 0},
                {"GET", "/small", 5, 5},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_client_answer struct client_answer a = {0};
                cleanup_free char *length = mem_printf("%zu", cases[i].size);
                bool head = strcmp(cases[i].method, "HEAD") == 0;
                int before = atomic_load(&s.reads);
                ask(fd, cases[i].method, cases[i].path);
                if (!client_read_head(fd, &a))
                        fail_msg("no answer to %s %s", cases[i].method, cases[i].path);
                assert_int_equal(a.status, 200);
                assert_header(&a, "Content-Type", "text/x-test");
                assert_header(&a, "Docker-Content-Digest", DIGEST);
                assert_header(&a, "Content-Length", length);
                if (!head)
                        client_read_body(fd, &a);
                assert_int_equal(a.body.size, cases[i].sent);
                check_bytes(&a);
                sem_wait(&s.freed);
                if (head)
                        assert_int_equal(atomic_load(&s.reads), before);
        }
        close(fd);
        end(&s);
}

static void a_body_that_breaks_off_is_cut(void **state)
{
        (void)state;
        struct site s;
        begin(&s, FOR_EVER_S, FOR_EVER_S);
        int fd = enter(&s);
        cleanup_client_answer struct client_answer a = {0};
        ask(fd, "GET", "/cut");
        assert_true(client_read_head(fd, &a));
        client_read_body(fd, &a);
        assert_true(a.cut);
        assert_true(a.body.size >= CUT_AT_BYTES && a.body.size < LARGE_BYTES);
        check_bytes(&a);
        sem_wait(&s.freed);
        close(fd);
        end(&s);
}

static void who_hangs_up_frees_the_body(void **state)
{
        (void)state;
        struct site s;
        begin(&s, FOR_EVER_S, FOR_EVER_S);
        int fd = enter(&s);
        cleanup_client_answer struct client_answer a = {0};
        ask(fd, "GET", "/large");
        assert_true(client_read_head(fd, &a));
        close(fd);
        sem_wait(&s.freed);
        end(&s);
}

/* Ticks until the other side has said or ended something: whether that was the end. */
static bool ticks_end(struct site *s, int fd)
{
        struct pollfd polled = {.fd = fd, .events = POLLIN};
        do
                httpd_tick(s->httpd);
        while (poll(&polled, 1, TICK_MS) == 0);
        return client_ended(fd);
}

/* Until two connections, one after the other, were idle for too long. */
static void see_two_idlers_end(struct site *s)
{
        for (int i = 0; i < 2; i++) {
                cleanup_client_answer struct client_answer small = {0};
                int fd = enter(s);
                ask(fd, "GET", "/small");
                assert_true(client_read_head(fd, &small));
                client_read_body(fd, &small);
                assert_true(ticks_end(s, fd));
                close(fd);
        }
}

/* Idle connections end. An answer that is read slowly, at times not at all, does not, nor one whose
 * source is slow. */
static void slow_answers_are_not_idle(void **state)
{
        (void)state;
        static const char *const paths[] = {"/large", "/late"};
        struct site s;
        begin(&s, 1, FOR_EVER_S);
        for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
                int slow = enter(&s);
                cleanup_client_answer struct client_answer a = {0};
                ask(slow, "GET", paths[i]);
                assert_true(client_read_head(slow, &a));
                see_two_idlers_end(&s);
                sem_post(&s.late);
                client_read_body(slow, &a);
                assert_false(a.cut);
                check_bytes(&a);
                assert_true(ticks_end(&s, slow)); /* now it is idle */
                close(slow);
        }
        end(&s);
}

static void who_takes_nothing_of_an_answer_is_cut(void **state)
{
        (void)state;
        struct site s;
        begin(&s, 1, 1);
        int fd = enter(&s);
        cleanup_client_answer struct client_answer a = {0};
        ask(fd, "GET", "/large");
        assert_true(client_read_head(fd, &a));
        sem_wait(&s.freed);
        client_read_body(fd, &a);
        assert_true(a.cut);
        close(fd);
        end(&s);
}

static void half_a_request_is_idle(void **state)
{
        (void)state;
        static const char *const words[] = {"", "GET /small HTTP/1.1\r\nHost:"};
        struct site s;
        begin(&s, 1, FOR_EVER_S);
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
                int fd = enter(&s);
                client_puts(fd, words[i]);
                assert_true(ticks_end(&s, fd));
                close(fd);
        }
        end(&s);
}

static void without_connections_no_ticks_are_wanted(void **state)
{
        (void)state;
        struct site s;
        begin(&s, FOR_EVER_S, FOR_EVER_S);
        assert_false(httpd_tick(s.httpd));
        int fd = enter(&s);
        assert_true(httpd_tick(s.httpd));
        close(fd);
        while (httpd_tick(s.httpd)) /* until its thread has seen that */
                sched_yield();
        end(&s);
}

static void the_end_does_not_wait_for_clients(void **state)
{
        (void)state;
        struct site s;
        begin(&s, FOR_EVER_S, FOR_EVER_S);
        int idle = enter(&s);
        int reading = enter(&s);
        cleanup_client_answer struct client_answer a = {0};
        ask(reading, "GET", "/large");
        assert_true(client_read_head(reading, &a));
        end(&s);
        client_read_body(reading, &a);
        assert_true(a.cut);
        assert_true(client_ended(idle));
        close(idle);
        close(reading);
        httpd_free(NULL);
}

static bool is_served(int fd)
{
        cleanup_client_answer struct client_answer a = {0};
        static const char request[] = "GET /small HTTP/1.1\r\nHost: x\r\n\r\n";
        send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL);
        if (!client_read_head(fd, &a))
                return false;
        client_read_body(fd, &a);
        return a.status == 200 && !a.cut;
}

/* Many more than there are places for: libmicrohttpd's own limit must not be met, since it then
 * keeps a lock for ever. */
static void silent_ones_make_room(void **state)
{
        (void)state;
        struct site s;
        begin(&s, FOR_EVER_S, FOR_EVER_S);
        int crowd[CROWD];
        for (size_t i = 0; i < CROWD; i++)
                crowd[i] = enter(&s);
        for (size_t i = 0; i < CROWD - PLACES; i++)
                assert_true(client_ended(crowd[i]));
        int fd = enter(&s);
        assert_true(client_ended(crowd[CROWD - PLACES]));
        assert_true(is_served(fd));
        for (size_t i = CROWD - PLACES + 1; i < CROWD; i++)
                assert_true(is_served(crowd[i]));
        for (size_t i = 0; i < CROWD; i++)
                close(crowd[i]);
        close(fd);
        end(&s);
}

static void half_a_request_keeps_no_place(void **state)
{
        (void)state;
        struct site s;
        begin(&s, FOR_EVER_S, FOR_EVER_S);
        int crowd[PLACES];
        for (size_t i = 0; i < PLACES; i++) {
                crowd[i] = enter(&s);
                client_puts(crowd[i], "GET /small HTTP/1.1\r\nHost:");
        }
        bool served = false;
        while (!served) { /* as soon as what they have said was read */
                int fd = enter(&s);
                served = is_served(fd);
                close(fd);
        }
        for (size_t i = 0; i < PLACES; i++)
                close(crowd[i]);
        end(&s);
}

static void who_has_spoken_last_goes_last(void **state)
{
        (void)state;
        struct site s;
        begin(&s, FOR_EVER_S, FOR_EVER_S);
        int fds[PLACES + 1];
        for (size_t i = 0; i < PLACES; i++)
                fds[i] = enter(&s);
        assert_true(is_served(fds[0]));
        fds[PLACES] = enter(&s);
        assert_true(client_ended(fds[1]));
        assert_true(is_served(fds[0]));
        for (size_t i = 0; i <= PLACES; i++)
                close(fds[i]);
        end(&s);
}

/* An answer is under way at each: the next one has to come again. */
static void who_is_at_work_makes_no_room(void **state)
{
        (void)state;
        struct site s;
        begin(&s, FOR_EVER_S, FOR_EVER_S);
        int fds[PLACES];
        struct client_answer answers[PLACES] = {0};
        for (size_t i = 0; i < PLACES; i++) {
                fds[i] = enter(&s);
                ask(fds[i], "GET", "/large");
                assert_true(client_read_head(fds[i], &answers[i]));
        }
        int late = enter(&s);
        assert_true(client_ended(late));
        close(late);
        client_read_body(fds[0], &answers[0]);
        assert_false(answers[0].cut);
        for (size_t i = 0; i < PLACES; i++) {
                client_answer_fini(&answers[i]);
                close(fds[i]);
        }
        end(&s);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(who_is_refused_keeps_nothing),
                cmocka_unit_test(what_a_request_says),
                cmocka_unit_test(one_connection_many_requests),
                cmocka_unit_test(a_body_that_breaks_off_is_cut),
                cmocka_unit_test(who_hangs_up_frees_the_body),
                cmocka_unit_test(slow_answers_are_not_idle),
                cmocka_unit_test(who_takes_nothing_of_an_answer_is_cut),
                cmocka_unit_test(half_a_request_is_idle),
                cmocka_unit_test(without_connections_no_ticks_are_wanted),
                cmocka_unit_test(silent_ones_make_room),
                cmocka_unit_test(half_a_request_keeps_no_place),
                cmocka_unit_test(who_has_spoken_last_goes_last),
                cmocka_unit_test(who_is_at_work_makes_no_room),
                cmocka_unit_test(the_end_does_not_wait_for_clients),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

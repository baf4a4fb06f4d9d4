/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "tests/unit/resolver/raw.h"
#include "tests/unit/resolver/reading.h"

/* The time for the head is over before the body is: that does not matter to it. */
static void a_body_that_falls_silent(void **state)
{
        (void)state;
        size_t total;
        struct reading s = {.timeout_ms = 1000};
        begin(&s, "[{\"silence\": true, \"after_bytes\": 70000, " LONG_BODY "}]");
        open_well(&s);
        assert_int_equal(read_digits(&s, HTTP_PIECE_MIN, 1100, &total), -1);
        assert_int_equal(total, 70000);
        expect_failure(&s, ERR_TIMEOUT, "not a byte from $ in 1100 ms");
        char *buffer = mem_zalloc(HTTP_PIECE_MIN);
        size_t got = 1;
        int64_t waited_ms = 0;
        assert_int_equal(
                http_stream_read(s.stream, buffer, HTTP_PIECE_MIN, 50, &got, &waited_ms, &s.err),
                -1);
        assert_int_equal(got, 0);
        assert_true(waited_ms > 0);
        /* One may go on: the server hangs up now. */
        fake_order(&fake, "POST", "release", "{\"name\": \"silence\"}");
        assert_int_equal(
                http_stream_read(s.stream, buffer, HTTP_PIECE_MIN, 5000, &got, &waited_ms, &s.err),
                -1);
        expect_failure(&s, ERR_BROKEN,
                "the connection to $ broke: transfer closed with 4930000 bytes remaining to read");
        free(buffer);
        end(&s);
}

static void a_head_that_does_not_come(void **state)
{
        (void)state;
        struct reading s = {.timeout_ms = 200};
        begin(&s, "[{\"silence\": true}]");
        expect_open_failure(&s, ERR_TIMEOUT, "no answer from $ within 200 ms");
        fake_rules(&fake, "[{\"hang_up\": true}]");
        expect_open_failure(
                &s, ERR_UNREACHABLE, "the connection to $ broke: Empty reply from server");
        end(&s);
}

/* Nobody waits for the rest of it. */
static void a_refusal_that_falls_silent(void **state)
{
        (void)state;
        struct reading s = {.timeout_ms = 300};
        begin(&s, "[{\"status\": 404, \"body\": \"0123456789\", \"silence\": true,"
                  "\"after_bytes\": 3}]");
        open_well(&s);
        assert_int_equal(s.response.status, 404);
        assert_null(s.stream);
        close_stream(&s);
        fake_rules(
                &fake, "[{\"status\": 404, \"body\": \"0123456789\", \"body_repeat\": 2000000}]");
        s.timeout_ms = 5000;
        open_well(&s);
        assert_int_equal(s.response.status, 404);
        end(&s);
}

/* Connections are taken by the kernel, and nobody speaks. */
static void a_connection_that_takes_too_long(void **state)
{
        (void)state;
        struct raw raw = {0};
        raw_listen(&raw);
        cleanup_free char *url = mem_printf("https://127.0.0.1:%d/", raw.port);
        cleanup_free char *wanted =
                mem_printf("no connection to https://127.0.0.1:%d within 150 ms", raw.port);
        struct reading s = {.url = url, .connect_timeout_ms = 150, .timeout_ms = 60000};
        begin(&s, NULL);
        expect_open_failure(&s, ERR_TIMEOUT, wanted);
        s.url = "http://127.0.0.1:1/";
        expect_open_failure(
                &s, ERR_UNREACHABLE, "cannot connect to http://127.0.0.1:1: Connection refused");
        s.url = "ftp://127.0.0.1/";
        expect_open_failure(&s, ERR_PROTOCOL, "not a http or https URL");
        end(&s);
        close(raw.listener);
}

/* What another thread does when the fake has a request in its hands, or at once. */
struct deed {
        bool when_held;
        struct cancel *cancel; /* fired */
        int closes;            /* -1: nothing */
        int sends;             /* to, bytes of a next request; -1: nothing */
        const char *releases;
        pthread_t thread;
};

static void *do_deed(void *arg)
{
        struct deed *d = arg;
        if (d->when_held)
                json_decref(fake_call(&fake, "GET", "wait?state=held&count=1", "text/plain", ""));
        if (d->cancel != NULL)
                cancel_fire(d->cancel);
        if (d->closes >= 0)
                close(d->closes);
        if (d->sends >= 0)
                assert_int_equal(send(d->sends, "GET /", 5, MSG_NOSIGNAL), 5);
        if (d->releases != NULL)
                fake_order(&fake, "POST", "release", d->releases);
        return NULL;
}

static void start(struct deed *d)
{
        pthread_create(&d->thread, NULL, do_deed, d);
}

#define SILENT_BODY "{\"silence\": true, \"after_bytes\": 10, " LONG_BODY "}"

static void cancelled_while_it_waits(void **state)
{
        (void)state;
        struct cancel cancel;
        struct reading s = {.cancel = &cancel};
        size_t total;
        for (int i = 0; i < 2; i++) {
                bool in_body = i == 1;
                struct deed d = {.when_held = true, .cancel = &cancel, .closes = -1, .sends = -1};
                cancel_init(&cancel);
                begin(&s, in_body ? "[" SILENT_BODY "]" : "[{\"silence\": true}]");
                if (in_body)
                        open_well(&s);
                start(&d);
                if (in_body)
                        assert_int_equal(read_digits(&s, HTTP_PIECE_MIN, 20000, &total), -1);
                else
                        assert_int_equal(open_stream(&s), -1);
                pthread_join(d.thread, NULL);
                expect_failure(&s, ERR_CANCELLED, "cancelled while $ was asked");
                end(&s);
                cancel_fini(&cancel);
        }
}

static void the_client_hangs_up(void **state)
{
        (void)state;
        for (int i = 0; i < 2; i++) {
                bool in_body = i == 1;
                int pair[2];
                size_t total;
                assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
                struct deed d = {.when_held = true, .closes = pair[1], .sends = -1};
                struct reading s = {.watch_fd = pair[0], .timeout_ms = 20000};
                begin(&s, in_body ? "[" SILENT_BODY "]" : "[{\"silence\": true}]");
                if (in_body)
                        open_well(&s);
                start(&d);
                if (in_body)
                        assert_int_equal(read_digits(&s, HTTP_PIECE_MIN, 20000, &total), -1);
                else
                        assert_int_equal(open_stream(&s), -1);
                pthread_join(d.thread, NULL);
                expect_failure(&s, ERR_CANCELLED, "cancelled while $ was asked");
                end(&s);
                close(pair[0]);
        }
}

/* A client that sends already what it wants next is still there. */
static void the_client_is_impatient(void **state)
{
        (void)state;
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        struct deed d = {.when_held = true,
                .closes = -1,
                .sends = pair[1],
                .releases = "{\"name\": \"gate\"}"};
        struct reading s = {.watch_fd = pair[0]};
        begin(&s, "[{\"hold\": \"gate\", " LONG_BODY "}]");
        start(&d);
        open_well(&s);
        pthread_join(d.thread, NULL);
        expect_digits(&s, HTTP_PIECE_MIN, LONG_BYTES);
        char next[8];
        assert_int_equal(recv(pair[0], next, sizeof(next), 0), 5);
        end(&s);
        close(pair[0]);
        close(pair[1]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_body_that_falls_silent),
                cmocka_unit_test(a_head_that_does_not_come),
                cmocka_unit_test(a_refusal_that_falls_silent),
                cmocka_unit_test(a_connection_that_takes_too_long),
                cmocka_unit_test(cancelled_while_it_waits),
                cmocka_unit_test(the_client_hangs_up),
                cmocka_unit_test(the_client_is_impatient),
        };
        return cmocka_run_group_tests(tests, open_fake, close_fake);
}

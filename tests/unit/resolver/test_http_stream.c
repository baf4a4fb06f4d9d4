/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "resolver/http_response.h"
#include "tests/unit/resolver/raw.h"
#include "tests/unit/resolver/reading.h"

/* Pieces of 16 KiB do not fit evenly into most of these: curl has to wait with them. */
static void bodies_come_in_any_piece(void **state)
{
        (void)state;
        static const size_t sizes[] = {HTTP_PIECE_MIN, 40000, 65536, 100000, 1 << 20};
        struct reading s = {0};
        begin(&s, "[{" LONG_BODY "}]");
        long before = fake_connections(&fake);
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
                open_well(&s);
                assert_int_equal(s.response.status, 200);
                assert_int_equal(s.response.content_length, LONG_BYTES);
                assert_int_equal(s.response.body.size, 0);
                expect_digits(&s, sizes[i], LONG_BYTES);
                /* The end stays the end. */
                expect_digits(&s, sizes[i], 0);
                close_stream(&s);
        }
        assert_int_equal(fake_connections(&fake) - before, 1);
        end(&s);
}

/* The connection of a small answer has small buffers. */
static void one_connection_serves_all_kinds(void **state)
{
        (void)state;
        struct reading s = {0};
        begin(&s, "[{\"times\": 1, \"skip\": 1, " LONG_BODY "},"
                  "{\"times\": 1, \"skip\": 2, \"status\": 404, \"body\": \"none\"}]");
        long before = fake_connections(&fake);
        cleanup_free char *url = mem_printf("http://127.0.0.1:%d/v2/", fake.port);
        const struct http_request small = {
                .url = url, .max_body_bytes = 1000, .timeout_ms = 5000, .watch_fd = -1};
        assert_int_equal(http_do(s.pool, &small, &s.response, &s.err), 0);
        http_response_fini(&s.response);
        open_well(&s);
        expect_digits(&s, HTTP_PIECE_MIN, LONG_BYTES);
        close_stream(&s);
        assert_int_equal(http_do(s.pool, &small, &s.response, &s.err), 0);
        assert_string_equal(buf_str(&s.response.body), "{}");
        http_response_fini(&s.response);
        open_well(&s);
        assert_int_equal(s.response.status, 404);
        assert_int_equal(s.response.content_length, 4);
        assert_null(s.stream);
        close_stream(&s);
        s.method = HTTP_HEAD;
        open_well(&s);
        expect_digits(&s, HTTP_PIECE_MIN, 0);
        assert_int_equal(s.response.content_length, 2);
        close_stream(&s);
        assert_int_equal(fake_connections(&fake) - before, 1);
        end(&s);
}

/* Who knows the length does not ask for more. */
static void the_last_byte_is_enough_for_the_connection(void **state)
{
        (void)state;
        struct reading s = {0};
        begin(&s, "[{\"status\": 200, \"body\": \"0123456789\", \"body_repeat\": 5000}]");
        long before = fake_connections(&fake);
        for (int i = 0; i < 3; i++) {
                cleanup_free char *buffer = mem_zalloc(HTTP_PIECE_MIN);
                int64_t waited_ms = 0;
                open_well(&s);
                for (size_t total = 0, got = 0; total < 50000; total += got) {
                        assert_int_equal(http_stream_read(s.stream, buffer, HTTP_PIECE_MIN, 5000,
                                                 &got, &waited_ms, &s.err),
                                0);
                        assert_true(got > 0);
                }
                close_stream(&s);
        }
        assert_int_equal(fake_connections(&fake) - before, 1);
        end(&s);
}

static void what_is_left_unread_takes_its_connection_along(void **state)
{
        (void)state;
        struct reading s = {0};
        begin(&s, "[{" LONG_BODY "}]");
        long before = fake_connections(&fake);
        for (int i = 0; i < 3; i++) {
                open_well(&s);
                close_stream(&s);
        }
        open_well(&s);
        expect_digits(&s, 50000, LONG_BYTES);
        assert_int_equal(fake_connections(&fake) - before, 4);
        end(&s);
}

static void bodies_without_a_length(void **state)
{
        (void)state;
        cleanup_buf struct buf chunked;
        cleanup_buf struct buf until_close;
        buf_init(&chunked, 8 << 20);
        buf_init(&until_close, 8 << 20);
        buf_puts(&chunked, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n"
                           "Transfer-Encoding: chunked\r\n\r\n");
        buf_puts(&until_close, "HTTP/1.0 200 OK\r\n\r\n");
        for (int i = 0; i < 100000; i++) {
                buf_puts(&chunked, "a\r\n0123456789\r\n14\r\n01234567890123456789\r\n");
                buf_puts(&until_close, "012345678901234567890123456789");
        }
        buf_puts(&chunked, "0\r\nContent-Range: late\r\n\r\n");
        const struct buf *answers[] = {&chunked, &until_close};
        for (int i = 0; i < 2; i++) {
                struct raw raw = {.bytes = answers[i]->data, .size = answers[i]->size};
                raw_listen(&raw);
                pthread_create(&raw.thread, NULL, raw_serve, &raw);
                cleanup_free char *url = mem_printf("http://127.0.0.1:%d/", raw.port);
                struct reading s = {.url = url};
                begin(&s, NULL);
                open_well(&s);
                assert_int_equal(s.response.content_length, -1);
                expect_digits(&s, HTTP_PIECE_MIN, 3000000);
                assert_null(s.response.content_range);
                end(&s);
                pthread_join(raw.thread, NULL);
                close(raw.listener);
        }
}

static void bodies_that_are_none(void **state)
{
        (void)state;
        struct reading s = {0};
        begin(&s, "[{\"method\": \"HEAD\", " LONG_BODY "},"
                  "{\"times\": 1, \"status\": 204}, {\"status\": 200, \"body\": \"\"}]");
        long before = fake_connections(&fake);
        for (int i = 0; i < 3; i++) {
                s.method = i == 2 ? HTTP_HEAD : HTTP_GET;
                open_well(&s);
                assert_int_equal(s.response.status, i == 0 ? 204 : 200);
                expect_digits(&s, HTTP_PIECE_MIN, 0);
                close_stream(&s);
        }
        assert_int_equal(fake_connections(&fake) - before, 1);
        end(&s);
}

static void a_body_that_is_cut(void **state)
{
        (void)state;
        size_t total;
        struct reading s = {0};
        begin(&s, "[{\"hang_up\": true, \"after_bytes\": 100000, " LONG_BODY "}]");
        open_well(&s);
        assert_int_equal(read_digits(&s, HTTP_PIECE_MIN, 5000, &total), -1);
        assert_int_equal(total, 100000);
        expect_failure(&s, ERR_BROKEN,
                "the connection to $ broke: transfer closed with 4900000 bytes remaining to read");
        /* It does not get better. */
        assert_int_equal(read_digits(&s, HTTP_PIECE_MIN, 5000, &total), -1);
        assert_int_equal(s.err.code, ERR_BROKEN);
        end(&s);
}

static void odd_ends(void **state)
{
        (void)state;
        cleanup_buf struct buf trailers;
        buf_init(&trailers, 1 << 20);
        buf_puts(&trailers, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n0\r\n0\r\n");
        for (int i = 0; i < 20000; i++)
                buf_puts(&trailers, "X: 456\r\n");
        buf_puts(&trailers, "\r\n");
        const struct {
                const char *bytes;
                enum err_code code;
        } cases[] = {
                {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n0\r\n", ERR_BROKEN},
                {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n0\r\nzz\r\n",
                        ERR_BROKEN},
                {"HTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\n\r\n"
                 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n0",
                        ERR_BROKEN},
                {trailers.data, ERR_PROTOCOL},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct raw raw = {.bytes = cases[i].bytes, .size = strlen(cases[i].bytes)};
                raw_listen(&raw);
                pthread_create(&raw.thread, NULL, raw_serve, &raw);
                cleanup_free char *url = mem_printf("http://127.0.0.1:%d/", raw.port);
                struct reading s = {.url = url};
                size_t total;
                begin(&s, NULL);
                open_well(&s);
                assert_int_equal(read_digits(&s, HTTP_PIECE_MIN, 5000, &total), -1);
                if (s.err.code != cases[i].code)
                        fail_msg("%zu: %s", i, s.err.msg);
                end(&s);
                pthread_join(raw.thread, NULL);
                close(raw.listener);
        }
}

static void *stream_all(void *arg)
{
        struct reading s = {.pool = arg};
        for (int i = 0; i < 5; i++) {
                open_well(&s);
                expect_digits(&s, HTTP_PIECE_MIN, LONG_BYTES);
                close_stream(&s);
        }
        return NULL;
}

static void many_at_once(void **state)
{
        (void)state;
        enum { THREADS = 4 };
        struct reading s = {0};
        pthread_t threads[THREADS];
        begin(&s, "[{" LONG_BODY "}]");
        for (int i = 0; i < THREADS; i++)
                pthread_create(&threads[i], NULL, stream_all, s.pool);
        for (int i = 0; i < THREADS; i++)
                pthread_join(threads[i], NULL);
        end(&s);
}

static void lengths(void **state)
{
        (void)state;
        static const struct {
                const char *first, *second;
                int64_t length;
        } cases[] = {
                {"", "", -1},
                {"Content-Length: 0\r\n", "", 0},
                {"content-LENGTH:\t12 \r\n", "", 12},
                {"Content-Length: 12\r\n", "Content-Length: 12\r\n", 12},
                {"Content-Length: 12\r\n", "Content-Length: 13\r\n", -1},
                {"Content-Length: 12, 12\r\n", "", -1},
                {"Content-Length: x\r\n", "Content-Length: 13\r\n", -1},
                {"Content-Length:\r\n", "", -1},
                {"Content-Length: -1\r\n", "", -1},
                {"Content-Length: +1\r\n", "", -1},
                {"Content-Length: 0x10\r\n", "", -1},
                {"Content-Length: 9223372036854775799\r\n", "", INT64_C(9223372036854775799)},
                {"Content-Length: 9223372036854775808\r\n", "", -1},
                {"Content-Length: 99999999999999999999999\r\n", "", -1},
                {"Transfer-Encoding: chunked\r\n", "Content-Length: 3\r\n", -1},
                {"Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n", -1},
        };
        static const char early[] = "HTTP/1.1 100 Continue";
        static const char final[] = "HTTP/1.1 200 OK";
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_http_response struct http_response r = {0};
                http_response_begin(&r, early, strlen(early));
                http_response_header(&r, "Content-Length: 77", 18);
                http_response_header(&r, "Transfer-Encoding: x", 20);
                http_response_begin(&r, final, strlen(final));
                http_response_header(&r, cases[i].first, strlen(cases[i].first));
                http_response_header(&r, cases[i].second, strlen(cases[i].second));
                if (r.content_length != cases[i].length)
                        fail_msg("%s%s: %lld", cases[i].first, cases[i].second,
                                (long long)r.content_length);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(bodies_come_in_any_piece),
                cmocka_unit_test(one_connection_serves_all_kinds),
                cmocka_unit_test(the_last_byte_is_enough_for_the_connection),
                cmocka_unit_test(what_is_left_unread_takes_its_connection_along),
                cmocka_unit_test(bodies_without_a_length),
                cmocka_unit_test(bodies_that_are_none),
                cmocka_unit_test(a_body_that_is_cut),
                cmocka_unit_test(odd_ends),
                cmocka_unit_test(many_at_once),
                cmocka_unit_test(lengths),
        };
        return cmocka_run_group_tests(tests, open_fake, close_fake);
}

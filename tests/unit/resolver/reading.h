/* SPDX-License-Identifier: Apache-2.0 */
/* Streams from the fake registry, for the tests of http_stream: one at a time, read to its end. */
#ifndef CRI_RESOLVED_TESTS_READING_H
#define CRI_RESOLVED_TESTS_READING_H

#include "tests/unit/resolver/fake.h"

static struct fake fake;

enum { LONG_BYTES = 5 * 1000 * 1000 };
#define LONG_BODY "\"status\": 200, \"body\": \"0123456789\", \"body_repeat\": 500000"

/* A stream from the fake, unless `url` is set, and what came of it. */
struct reading {
        const char *url;
        enum http_method method;
        struct cancel *cancel;
        int watch_fd;
        int64_t timeout_ms, connect_timeout_ms; /* 0: 5 s, none of its own */
        struct http_pool *pool;
        struct http_response response;
        struct http_stream *stream;
        struct err err;
};

__attribute__((unused)) static void begin(struct reading *s, const char *rules)
{
        s->pool = http_pool_new();
        fake_reset(&fake);
        if (rules != NULL)
                fake_rules(&fake, rules);
}

__attribute__((unused)) static int open_stream(struct reading *s)
{
        cleanup_free char *ping = mem_printf("http://127.0.0.1:%d/v2/", fake.port);
        const struct http_request q = {.method = s->method,
                .url = s->url != NULL ? s->url : ping,
                .timeout_ms = s->timeout_ms > 0 ? s->timeout_ms : 5000,
                .connect_timeout_ms = s->connect_timeout_ms,
                .watch_fd = s->watch_fd,
                .cancel = s->cancel};
        return http_open(s->pool, &q, &s->response, &s->stream, &s->err);
}

__attribute__((unused)) static void open_well(struct reading *s)
{
        if (open_stream(s) < 0)
                fail_msg("%s", s->err.msg);
}

__attribute__((unused)) static void close_stream(struct reading *s)
{
        http_stream_close(take(&s->stream));
        http_response_fini(&s->response);
}

__attribute__((unused)) static void end(struct reading *s)
{
        close_stream(s);
        http_pool_free(s->pool);
}

/* Reads on until the end or an error, and checks that byte n is the last digit of n. */
__attribute__((unused)) static int read_digits(
        struct reading *s, size_t size, int64_t timeout_ms, size_t *total)
{
        cleanup_free char *buffer = mem_zalloc(size);
        int64_t waited_ms = 0;
        *total = 0;
        for (;;) {
                size_t got;
                if (http_stream_read(
                            s->stream, buffer, size, timeout_ms, &got, &waited_ms, &s->err) < 0)
                        return -1;
                if (got == 0)
                        return 0;
                assert_true(got <= size);
                for (size_t i = 0; i < got; i++)
                        if (buffer[i] != (char)('0' + (*total + i) % 10))
                                fail_msg("byte %zu is another's", *total + i);
                *total += got;
        }
}

__attribute__((unused)) static void expect_digits(struct reading *s, size_t size, size_t wanted)
{
        size_t total;
        if (read_digits(s, size, 5000, &total) < 0)
                fail_msg("%s", s->err.msg);
        assert_int_equal(total, wanted);
}

__attribute__((unused)) static void expect_failure(
        struct reading *s, enum err_code code, const char *format)
{
        cleanup_free char *origin = mem_printf("http://127.0.0.1:%d", fake.port);
        const char *mark = strchr(format, '$');
        cleanup_free char *wanted = mark == NULL ? mem_strdup(format)
                                                 : mem_printf("%.*s%s%s", (int)(mark - format),
                                                           format, origin, mark + 1);
        assert_string_equal(s->err.msg, wanted);
        assert_int_equal(s->err.code, code);
}

__attribute__((unused)) static void expect_open_failure(
        struct reading *s, enum err_code code, const char *format)
{
        assert_int_equal(open_stream(s), -1);
        assert_null(s->stream);
        expect_failure(s, code, format);
}

__attribute__((unused)) static int open_fake(void **state)
{
        (void)state;
        fake_start(&fake, NULL);
        return 0;
}

__attribute__((unused)) static int close_fake(void **state)
{
        (void)state;
        fake_stop(&fake);
        return 0;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "tests/unit/resolver/fake.h"
#include "tests/unit/resolver/raw.h"

static struct fake fake;

struct reply {
        int result;
        struct http_response response;
        struct err err;
};

static struct reply send_request(struct http_pool *pool, enum http_method method, const char *url,
        const struct http_trust *trust, const char *const *headers)
{
        struct http_request q = {.method = method,
                .url = url,
                .trust = trust,
                .headers = headers,
                .max_body_bytes = 1000,
                .timeout_ms = 5000};
        struct reply r = {0};
        r.result = http_do(pool, &q, &r.response, &r.err);
        return r;
}

static int get_status(struct http_pool *pool, const char *url, const struct http_trust *trust)
{
        struct reply r = send_request(pool, HTTP_GET, url, trust, NULL);
        if (r.result < 0)
                fail_msg("%s: %s", url, r.err.msg);
        int status = r.response.status;
        http_response_fini(&r.response);
        return status;
}

static char *ping_url(void)
{
        return mem_printf("http://127.0.0.1:%d/v2/", fake.port);
}

static void one_connection_serves_many_requests(void **state)
{
        (void)state;
        struct http_pool *pool = http_pool_new();
        cleanup_free char *url = ping_url();
        fake_reset(&fake);
        long before = fake_connections(&fake);
        for (int i = 0; i < 5; i++)
                assert_int_equal(get_status(pool, url, NULL), 200);
        assert_int_equal(fake_connections(&fake) - before, 1);
        http_pool_free(pool);
}

/* The server closes the warm connection when the second request comes: nobody notices. */
static void a_stale_connection_is_replaced(void **state)
{
        (void)state;
        struct http_pool *pool = http_pool_new();
        cleanup_free char *url = ping_url();
        fake_reset(&fake);
        fake_rules(&fake, "[{\"hang_up\": true, \"skip\": 1, \"times\": 1}]");
        long before = fake_connections(&fake);
        assert_int_equal(get_status(pool, url, NULL), 200);
        assert_int_equal(get_status(pool, url, NULL), 200);
        assert_int_equal(fake_connections(&fake) - before, 2);
        cleanup_free char *story = fake_story(&fake);
        assert_string_equal(story, "GET /v2/ -\nGET /v2/ -\nGET /v2/ -\n");
        http_pool_free(pool);
}

static void wait_for_open_connections(long wanted)
{
        for (int tries = 0; tries < 1000; tries++) {
                json_t *answer = fake_call(&fake, "GET", "connections", "text/plain", "");
                long is = (long)json_integer_value(json_object_get(answer, "open"));
                json_decref(answer);
                if (is == wanted)
                        return;
                poll(NULL, 0, 10);
        }
        fail_msg("there are not %ld open connections", wanted);
}

/* Connections of 40 identities: 16 are kept, none when the pool has gone. */
static void idle_connections_are_bounded(void **state)
{
        (void)state;
        struct http_pool *pool = http_pool_new();
        cleanup_free char *url = ping_url();
        fake_reset(&fake);
        wait_for_open_connections(0);
        for (int i = 0; i < 40; i++) {
                cleanup_free char *file = mem_printf("/nowhere/%d", i);
                char *files[] = {file};
                struct http_trust trust = {
                        .ca_files = files, .ca_file_count = 1, .skip_verify = true};
                assert_int_equal(get_status(pool, url, &trust), 200);
        }
        wait_for_open_connections(16);
        http_pool_free(pool);
        wait_for_open_connections(0);
}

static void *get_held(void *arg)
{
        cleanup_free char *url = ping_url();
        get_status(arg, url, NULL);
        return NULL;
}

/* Ten at once to one server: four connections stay. */
static void idle_connections_to_one_server_are_bounded(void **state)
{
        (void)state;
        enum { THREADS = 10 };
        struct http_pool *pool = http_pool_new();
        pthread_t threads[THREADS];
        fake_reset(&fake);
        wait_for_open_connections(0);
        fake_rules(&fake, "[{\"hold\": \"all\"}]");
        for (int i = 0; i < THREADS; i++)
                pthread_create(&threads[i], NULL, get_held, pool);
        json_decref(fake_call(&fake, "GET", "wait?state=held&count=10", "text/plain", ""));
        fake_order(&fake, "POST", "release", "{\"name\": \"all\"}");
        for (int i = 0; i < THREADS; i++)
                pthread_join(threads[i], NULL);
        wait_for_open_connections(4);
        http_pool_free(pool);
        wait_for_open_connections(0);
}

static void post_and_its_headers(void **state)
{
        (void)state;
        struct http_pool *pool = http_pool_new();
        cleanup_free char *url = ping_url();
        fake_reset(&fake);
        const char *headers[] = {"X-One: 1", "X-One: 2", "Expect:", NULL};
        struct http_request q = {.method = HTTP_POST,
                .url = url,
                .headers = headers,
                .body = "a=b",
                .max_body_bytes = 1000,
                .timeout_ms = 5000};
        struct http_response r;
        struct err e;
        assert_int_equal(http_do(pool, &q, &r, &e), 0);
        http_response_fini(&r);
        json_t *log = fake_log(&fake);
        const json_t *entry = json_array_get(log, 0);
        assert_string_equal(json_string_value(json_object_get(entry, "body")), "a=b");
        cleanup_free char *one = fake_header(entry, "X-One");
        assert_string_equal(one, "1|2");
        assert_null(fake_header(entry, "User-Agent"));
        json_decref(log);
        http_pool_free(pool);
}

static void all_challenges_are_kept(void **state)
{
        (void)state;
        struct http_pool *pool = http_pool_new();
        cleanup_free char *url = ping_url();
        fake_reset(&fake);
        fake_rules(&fake,
                "[{\"status\": 401, \"headers\": {\"WWW-Authenticate\": [\"Negotiate\", \"Basic "
                "realm=x\"], \"Warning\": \"299 - \\\"old\\\"\", \"Retry-After\": \"5\"}}]");
        struct reply r = send_request(pool, HTTP_GET, url, NULL, NULL);
        assert_int_equal(r.result, 0);
        assert_int_equal(r.response.status, 401);
        assert_int_equal(r.response.www_authenticate_count, 2);
        assert_string_equal(r.response.www_authenticate[0], "Negotiate");
        assert_string_equal(r.response.www_authenticate[1], "Basic realm=x");
        assert_string_equal(r.response.warning, "299 - \"old\"");
        assert_string_equal(r.response.retry_after, "5");
        assert_null(r.response.location);
        http_response_fini(&r.response);
        http_pool_free(pool);
}

/* Nobody reads the body of a refusal: its length does no harm. */
static void a_long_refusal_is_a_refusal(void **state)
{
        (void)state;
        struct http_pool *pool = http_pool_new();
        cleanup_free char *url = ping_url();
        fake_reset(&fake);
        fake_rules(
                &fake, "[{\"status\": 404, \"body\": \"0123456789\", \"body_repeat\": 2000000}]");
        assert_int_equal(get_status(pool, url, NULL), 404);
        http_pool_free(pool);
}

static struct reply ask_raw(const char *bytes, size_t size, char **origin)
{
        struct raw s = {.bytes = bytes, .size = size};
        struct http_pool *pool = http_pool_new();
        raw_listen(&s);
        pthread_create(&s.thread, NULL, raw_serve, &s);
        *origin = mem_printf("http://127.0.0.1:%d", s.port);
        struct reply r = send_request(pool, HTTP_GET, *origin, NULL, NULL);
        http_pool_free(pool); /* closes the connection, which the server waits for */
        pthread_join(s.thread, NULL);
        close(s.listener);
        return r;
}

static void odd_answers(void **state)
{
        (void)state;
        static const struct {
                const char *bytes;
                int status;
                const char *digest, *body;
        } cases[] = {
                {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", 200, NULL, "ab"},
                {"HTTP/1.0 200\r\n\r\nab", 200, NULL, "ab"},
                {"HTTP/1.1 200 OK\nDocker-Content-Digest:x\nContent-Length: 0\n\n", 200, "x", ""},
                {"HTTP/1.1 200 OK\r\nDOCKER-content-DIGEST: \t x \t\r\nContent-Length: 0\r\n\r\n",
                        200, "x", ""},
                {"HTTP/1.1 200 OK\r\nDocker-Content-Digest: first\r\n"
                 "Docker-Content-Digest: second\r\nContent-Length: 0\r\n\r\n",
                        200, "first", ""},
                {"HTTP/1.1 100 Continue\r\nDocker-Content-Digest: early\r\n\r\n"
                 "HTTP/1.1 200 OK\r\nDocker-Content-Digest: x\r\nContent-Length: 1\r\n\r\na",
                        200, "x", "a"},
                {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", 200,
                        NULL, "ab"},
                {"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", 999, NULL, ""},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_free char *origin = NULL;
                struct reply r = ask_raw(cases[i].bytes, strlen(cases[i].bytes), &origin);
                if (r.result < 0)
                        fail_msg("%s: %s", cases[i].bytes, r.err.msg);
                assert_int_equal(r.response.status, cases[i].status);
                assert_string_equal(buf_str(&r.response.body), cases[i].body);
                assert_int_equal(r.response.docker_content_digest == NULL, cases[i].digest == NULL);
                if (cases[i].digest != NULL)
                        assert_string_equal(r.response.docker_content_digest, cases[i].digest);
                http_response_fini(&r.response);
        }
}

static void answers_that_are_none(void **state)
{
        (void)state;
        static const struct {
                const char *bytes;
                enum err_code code;
                const char *before, *after; /* of the origin, in the message */
        } cases[] = {
                {"", ERR_UNREACHABLE, "the connection to ", " broke: Empty reply from server"},
                {"SSH-2.0-OpenSSH_9.2\r\n", ERR_PROTOCOL, "", " does not answer in HTTP"},
                {"<html>", ERR_PROTOCOL, "", " does not answer in HTTP"},
                {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", ERR_UNREACHABLE,
                        "the connection to ",
                        " broke: transfer closed with 3 bytes remaining to read"},
                {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", ERR_UNREACHABLE,
                        "the connection to ",
                        " broke: Illegal or missing hexadecimal sequence in chunked-encoding"},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_free char *origin = NULL;
                struct reply r = ask_raw(cases[i].bytes, strlen(cases[i].bytes), &origin);
                cleanup_free char *wanted =
                        mem_printf("%s%s%s", cases[i].before, origin, cases[i].after);
                assert_int_equal(r.result, -1);
                assert_string_equal(r.err.msg, wanted);
                assert_int_equal(r.err.code, cases[i].code);
        }
}

static void endless_heads(void **state)
{
        (void)state;
        cleanup_buf struct buf one;
        cleanup_buf struct buf many;
        buf_init(&one, 1 << 20);
        buf_init(&many, 1 << 20);
        buf_puts(&one, "HTTP/1.1 200 OK\r\nX: ");
        buf_puts(&many, "HTTP/1.1 200 OK\r\n");
        for (int i = 0; i < 30000; i++) {
                buf_puts(&one, "0123456789");
                buf_puts(&many, "X: 456\r\n");
        }
        const struct buf *heads[] = {&one, &many};
        for (int i = 0; i < 2; i++) {
                cleanup_free char *origin = NULL;
                struct reply r = ask_raw(heads[i]->data, heads[i]->size, &origin);
                cleanup_free char *wanted =
                        mem_printf("%s answers with more than 64 KiB of headers", origin);
                assert_int_equal(r.result, -1);
                assert_string_equal(r.err.msg, wanted);
                assert_int_equal(r.err.code, ERR_PROTOCOL);
        }
}

/* Connections are taken by the kernel, and nobody speaks: the handshake waits for ever. */
static void a_handshake_that_hangs(void **state)
{
        (void)state;
        struct raw s = {0};
        raw_listen(&s);
        struct http_pool *pool = http_pool_new();
        cleanup_free char *url = mem_printf("https://127.0.0.1:%d/", s.port);
        struct http_request q = {.url = url, .timeout_ms = 300};
        struct http_response r;
        struct err e;
        assert_int_equal(http_do(pool, &q, &r, &e), -1);
        cleanup_free char *wanted =
                mem_printf("no connection to https://127.0.0.1:%d within 300 ms", s.port);
        assert_string_equal(e.msg, wanted);
        assert_int_equal(e.code, ERR_TIMEOUT);
        http_pool_free(pool);
        close(s.listener);
}

static void failures_before_a_request(void **state)
{
        (void)state;
        static const struct {
                const char *url;
                enum err_code code;
                const char *message;
        } cases[] = {
                {"http://127.0.0.1:1/x", ERR_UNREACHABLE,
                        "cannot connect to http://127.0.0.1:1: Connection refused"},
                {"ftp://127.0.0.1/x", ERR_PROTOCOL, "not a http or https URL"},
                {"file:///etc/passwd", ERR_PROTOCOL, "not a http or https URL"},
                {"", ERR_PROTOCOL, "not a http or https URL"},
                {"http://user:word@127.0.0.1:1/x", ERR_PROTOCOL,
                        "the URL at http://127.0.0.1:1 is malformed"},
        };
        struct http_pool *pool = http_pool_new();
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct reply r = send_request(pool, HTTP_GET, cases[i].url, NULL, NULL);
                assert_int_equal(r.result, -1);
                assert_string_equal(r.err.msg, cases[i].message);
                assert_int_equal(r.err.code, cases[i].code);
        }
        http_pool_free(pool);
}

static void origins(void **state)
{
        (void)state;
        static const struct {
                const char *url, *origin;
        } cases[] = {
                {"http://a", "http://a"},
                {"HTTP://A.Example:80/x?y#z", "http://a.example"},
                {"https://a:443", "https://a"},
                {"https://a:80/", "https://a:80"},
                {"http://user:word@a/", "http://a"},
                {"http://[::1]:5000/x", "http://[::1]:5000"},
                {"ftp://a/", NULL},
                {"a/b", NULL},
                {"/b", NULL},
                {"", NULL},
                {"http://a:x/", NULL},
                {"http://a b/", NULL},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_free char *origin = http_url_origin(cases[i].url);
                if ((origin == NULL) != (cases[i].origin == NULL) ||
                        (origin != NULL && strcmp(origin, cases[i].origin) != 0))
                        fail_msg("%s: %s", cases[i].url, origin != NULL ? origin : "(none)");
        }
}

static void joined_locations(void **state)
{
        (void)state;
        static const struct {
                const char *base, *location, *url;
        } cases[] = {
                {"http://a/b/c?d", "/e", "http://a/e"},
                {"http://a/b/c?d", "e", "http://a/b/e"},
                {"http://a/b/c?d", "?e", "http://a/b/c?e"},
                {"http://a/b/c", "../e", "http://a/e"},
                {"https://a/b", "//c/d", "https://c/d"},
                {"https://a/b", "http://c/d?e=f&g", "http://c/d?e=f&g"},
                {"https://a/b", "https://user:word@c/d#e", "https://c/d"},
                {"https://a/b", "/x y", "https://a/x%20y"},
                {"https://a/b", "ftp://c/d", NULL},
                {"https://a/b", "javascript:x", NULL},
                {"https://a/b", "https://", NULL},
                {"x", "/y", NULL},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_free char *url = NULL;
                struct err e;
                int result = http_url_join(cases[i].base, cases[i].location, &url, &e);
                assert_int_equal(result, cases[i].url == NULL ? -1 : 0);
                if (result == 0)
                        assert_string_equal(url, cases[i].url);
                else
                        assert_int_equal(e.code, ERR_PROTOCOL);
        }
        cleanup_free char *nothing = http_url_escape(NULL);
        assert_string_equal(nothing, "");
        cleanup_free char *escaped = http_url_escape("a b/c:d%\xc3\xa9~-_.");
        assert_string_equal(escaped, "a%20b%2Fc%3Ad%25%C3%A9~-_.");
}

static int open_fake(void **state)
{
        (void)state;
        fake_start(&fake, NULL);
        return 0;
}

static int close_fake(void **state)
{
        (void)state;
        fake_stop(&fake);
        return 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(one_connection_serves_many_requests),
                cmocka_unit_test(a_stale_connection_is_replaced),
                cmocka_unit_test(idle_connections_are_bounded),
                cmocka_unit_test(idle_connections_to_one_server_are_bounded),
                cmocka_unit_test(post_and_its_headers),
                cmocka_unit_test(all_challenges_are_kept),
                cmocka_unit_test(a_long_refusal_is_a_refusal),
                cmocka_unit_test(odd_answers),
                cmocka_unit_test(answers_that_are_none),
                cmocka_unit_test(endless_heads),
                cmocka_unit_test(a_handshake_that_hangs),
                cmocka_unit_test(failures_before_a_request),
                cmocka_unit_test(origins),
                cmocka_unit_test(joined_locations),
        };
        return cmocka_run_group_tests(tests, open_fake, close_fake);
}

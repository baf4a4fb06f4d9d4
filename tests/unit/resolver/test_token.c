/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "base/mem.h"
#include "resolver/answer.h"
#include "resolver/auth_memory.h"
#include "resolver/base64.h"
#include "resolver/token.h"

/* Sixteen of them: with the object around it one too many. */
#define FOUR(x)           x x x x
#define DEEP(open, close) FOUR(FOUR(open)) "1" FOUR(FOUR(close))

static void good_tokens(void **state)
{
        (void)state;
        static const struct {
                const char *json, *text;
                int64_t lifetime_s;
        } cases[] = {
                {"{\"token\": \"a\"}", "a", 60},
                {"{\"access_token\": \"a\"}", "a", 60},
                {"{\"token\": \"a\", \"access_token\": \"b\"}", "b", 60},
                {"{\"token\": \"a\", \"access_token\": \"\"}", "a", 60},
                {"{\"token\": \"a\", \"access_token\": null}", "a", 60},
                {"{\"token\": \"a\", \"expires_in\": 300}", "a", 300},
                {"{\"token\": \"a\", \"expires_in\": 0}", "a", 60},
                {"{\"token\": \"a\", \"expires_in\": -5}", "a", 60},
                {"{\"token\": \"a\", \"expires_in\": \"300\"}", "a", 60},
                {"{\"token\": \"a\", \"expires_in\": 9223372036854775807}", "a", INT64_MAX},
                {"{\"token\": \"a\", \"x\": \"" DEEP("[", "{") "\"}", "a", 60},
                {"{\"token\": \"a\", \"x\": \"\\\"" DEEP("[", "{") "\"}", "a", 60},
                {"{\"token\": \"a\", \"x\": [[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]}", "a", 60},
                {"{\"x\": [[], [], {}, [], [], [], [], [], [], [], [], [], [], [], [], []], "
                 "\"token\": \"a\"}",
                        "a", 60},
                {" {\"x\": [{}], \"token\": \"A-Za.z0_9~+/=\"} ", "A-Za.z0_9~+/=", 60},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_token struct token t;
                struct err e;
                if (token_parse(cases[i].json, strlen(cases[i].json), &t, &e) < 0)
                        fail_msg("%s: %s", cases[i].json, e.msg);
                assert_string_equal(t.text, cases[i].text);
                assert_int_equal(t.lifetime_s, cases[i].lifetime_s);
        }
}

#define NOT_JSON  "the token server's answer is not JSON"
#define NO_OBJECT "the token server's answer is not a JSON object"
#define TOO_DEEP  "the token server's answer is nested more than 16 deep"
#define TOO_MANY  "the token server's answer holds more than 1000 values"
#define NO_TOKEN  "the token server's answer holds no token"
#define MALFORMED "the token server's token is malformed"

static void bad_tokens(void **state)
{
        (void)state;
        static const struct {
                const char *json, *message;
        } cases[] = {
                {"", NO_OBJECT},
                {" \r\n\t", NO_OBJECT},
                {"x", NO_OBJECT},
                {"null", NO_OBJECT},
                {"\"token\"", NO_OBJECT},
                {"\xef\xbb\xbf{\"token\": \"a\"}", NO_OBJECT},
                {"{", NOT_JSON},
                {"{\"token\": \"a\"", NOT_JSON},
                {"{\"token\": \"a\"} x", NOT_JSON},
                {"{\"token\": \"a\\u0000b\"}", NOT_JSON},
                {"{\"token\": \"\xff\"}", NOT_JSON},
                {"{\"token\": \"a\", \"expires_in\": 99999999999999999999}", NOT_JSON},
                {"[]", NO_OBJECT},
                {"[\"token\"]", NO_OBJECT},
                {"[{},{},{},{}", NO_OBJECT},
                {"{\"token\": \"a\", \"x\": " DEEP("[", "]") "}", TOO_DEEP},
                {"{\"token\": \"a\", \"x\": " DEEP("{\"x\":", "}") "}", TOO_DEEP},
                {"{\"token\": \"a\", \"\\\"[\": " DEEP("[", "]") "}", TOO_DEEP},
                {"{\"token\": \"a\", \"x\\\\\": " DEEP("[", "]") "}", TOO_DEEP},
                {"{\"x\": [[[[[[[[[[[[[[[[", TOO_DEEP},
                {"{}", NO_TOKEN},
                {"{\"Token\": \"a\"}", NO_TOKEN},
                {"{\"token\": null}", MALFORMED},
                {"{\"token\": 5}", MALFORMED},
                {"{\"token\": \"\"}", MALFORMED},
                {"{\"token\": {\"token\": \"a\"}}", MALFORMED},
                {"{\"token\": \"a b\"}", MALFORMED},
                {"{\"token\": \"a\\nb\"}", MALFORMED},
                {"{\"token\": \"a\\r\\nX: y\"}", MALFORMED},
                {"{\"token\": \"\\u00e9\"}", MALFORMED},
                {"{\"token\": \"\\u007f\"}", MALFORMED},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_token struct token t;
                struct err e;
                if (token_parse(cases[i].json, strlen(cases[i].json), &t, &e) == 0)
                        fail_msg("%s: taken", cases[i].json);
                assert_string_equal(e.msg, cases[i].message);
                assert_int_equal(e.code, ERR_PROTOCOL);
        }
}

static void many_values(void **state)
{
        (void)state;
        for (int more = 0; more < 2; more++) {
                cleanup_token struct token t = {0};
                cleanup_buf struct buf json;
                struct err e;
                buf_init(&json, 4096);
                buf_puts(&json, "{\"token\":\"a\",\"x\":[");
                for (int i = 0; i < 996 + more; i++) /* with object, list and token 1000 */
                        buf_puts(&json, "1,");
                buf_puts(&json, "1]}");
                assert_int_equal(token_parse(buf_str(&json), json.size, &t, &e), -more);
                if (more)
                        assert_string_equal(e.msg, TOO_MANY);
        }
}

static void retry_after(void **state)
{
        (void)state;
        static const struct {
                const char *value;
                int64_t wait_ms;
        } cases[] = {
                {NULL, -1},
                {"", -1},
                {"0", 0},
                {"7", 7000},
                {"007", 7000},
                {"999999999", 999999999000},
                {"99999999999999999999999", 1000000000000},
                {"-1", -1},
                {"1.5", -1},
                {"7 s", -1},
                {"soon", -1},
                {"Sun, 06 Nov 1994 08:49:37 GMT", 37000},
                {"Sun, 06 Nov 1994 08:49:00 GMT", 0},
                {"Sun, 06 Nov 1994 08:00:00 GMT", 0},
                {"Sun, 06 Nov 1994 08:49:37 GMT x", -1},
                {"Sun, 06 Nov 1994", -1},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                if (answer_retry_after_ms(cases[i].value, 784111740) != cases[i].wait_ms)
                        fail_msg("%s", cases[i].value);
}

static void base64(void **state)
{
        (void)state;
        static const struct {
                const char *plain, *encoded;
        } cases[] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="},
                {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}, {"\xff\xfe\xfd", "//79"},
                {"\xfb\xef\xbe", "++++"}};
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_free char *encoded = base64_encode(cases[i].plain, strlen(cases[i].plain));
                assert_string_equal(encoded, cases[i].encoded);
                cleanup_free char *plain = NULL;
                size_t size;
                assert_true(base64_decode(encoded, &plain, &size));
                assert_int_equal(size, strlen(cases[i].plain));
                assert_string_equal(plain, cases[i].plain);
        }
        static const char *const bad[] = {"Z", "Zg", "Zg=", "Zg===", "=",
                "====", "Z===", "Zm8=Zm8=", "Zm8=x", "Z g=", "Zm_-", "Zm9v!", "Zm=v",
                "\xff\xff\xff\xff"};
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                char *plain = NULL;
                size_t size;
                if (base64_decode(bad[i], &plain, &size))
                        fail_msg("%s: taken", bad[i]);
        }
}

static const struct auth_place place = {"h", "o", "r"};
static const struct auth_place other_host = {"other", "o", "r"};
static const struct auth_place other_origin = {"h", "other", "r"};
static const struct auth_place other_repository = {"h", "o", "other"};

static void memory_of_tokens(void **state)
{
        (void)state;
        struct auth_memory *m = auth_memory_new();
        auth_memory_keep_token(m, &place, "k", "one", 100);
        assert_null(auth_memory_token(m, &place, "other", 0));
        assert_null(auth_memory_token(m, &other_repository, "k", 0));
        assert_null(auth_memory_token(m, &other_origin, "k", 0));
        assert_null(auth_memory_token(m, &other_host, "k", 0));
        cleanup_free char *one = auth_memory_token(m, &place, "k", 99);
        assert_string_equal(one, "one");
        auth_memory_keep_token(m, &place, "k", "two", 100);
        auth_memory_drop_token(m, &place, "k", "one");
        cleanup_free char *two = auth_memory_token(m, &place, "k", 99);
        assert_string_equal(two, "two");
        auth_memory_drop_token(m, &place, "k", "two");
        assert_null(auth_memory_token(m, &place, "k", 99));
        auth_memory_keep_token(m, &place, "k", "three", 100);
        assert_null(auth_memory_token(m, &place, "k", 100));
        auth_memory_free(m);
}

/* 1,024 entries; the one that nobody asked for makes room. */
static void memory_is_bounded(void **state)
{
        (void)state;
        struct auth_memory *m = auth_memory_new();
        for (int i = 0; i < 1024; i++) {
                char repository[16];
                snprintf(repository, sizeof(repository), "r%d", i);
                const struct auth_place filled = {"h", "o", repository};
                auth_memory_keep_token(m, &filled, "k", "t", 100);
        }
        static const struct auth_place first = {"h", "o", "r0"}, second = {"h", "o", "r1"},
                                       added_last = {"h", "o", "new"};
        free(auth_memory_token(m, &first, "k", 0));
        auth_memory_keep_token(m, &added_last, "k", "t", 100);
        cleanup_free char *used = auth_memory_token(m, &first, "k", 0);
        cleanup_free char *added = auth_memory_token(m, &added_last, "k", 0);
        assert_non_null(used);
        assert_non_null(added);
        assert_null(auth_memory_token(m, &second, "k", 0));
        auth_memory_free(m);
}

static void memory_of_challenges(void **state)
{
        (void)state;
        struct auth_memory *m = auth_memory_new();
        struct challenge given = {.scheme = CHALLENGE_BEARER, .realm = (char *)"x"};
        auth_memory_keep_challenge(m, &place, &given);
        cleanup_challenge struct challenge c = {0};
        assert_false(auth_memory_challenge(m, &other_repository, &c));
        assert_false(auth_memory_challenge(m, &other_origin, &c));
        assert_false(auth_memory_challenge(m, &other_host, &c));
        assert_true(auth_memory_challenge(m, &place, &c));
        assert_int_equal(c.scheme, CHALLENGE_BEARER);
        assert_string_equal(c.realm, "x");
        assert_null(c.service);
        auth_memory_drop_challenge(m, &place);
        struct challenge none = {0};
        assert_false(auth_memory_challenge(m, &place, &none));
        auth_memory_free(m);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(good_tokens),
                cmocka_unit_test(bad_tokens),
                cmocka_unit_test(many_values),
                cmocka_unit_test(retry_after),
                cmocka_unit_test(base64),
                cmocka_unit_test(memory_of_tokens),
                cmocka_unit_test(memory_is_bounded),
                cmocka_unit_test(memory_of_challenges),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

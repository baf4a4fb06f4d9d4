/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "resolver/challenge.h"

struct good {
        const char *header;
        enum challenge_scheme scheme;
        const char *realm, *service, *scope, *error;
};

#define R "https://auth.example/token"

static const struct good good_cases[] = {
        {"", CHALLENGE_NONE, NULL, NULL, NULL, NULL},
        {" , ,", CHALLENGE_NONE, NULL, NULL, NULL, NULL},
        {"Basic", CHALLENGE_BASIC, NULL, NULL, NULL, NULL},
        {"Basic realm=\"x\"", CHALLENGE_BASIC, "x", NULL, NULL, NULL},
        {"basic REALM=x", CHALLENGE_BASIC, "x", NULL, NULL, NULL},
        {"BASIC realm=\"a \\\"b\\\\ c\", charset=\"UTF-8\"", CHALLENGE_BASIC, "a \"b\\ c", NULL,
                NULL, NULL},
        {"Basic realm=\"\"", CHALLENGE_BASIC, "", NULL, NULL, NULL},
        {"Basic realm=\"a, Bearer b=c\"", CHALLENGE_BASIC, "a, Bearer b=c", NULL, NULL, NULL},
        {"Bearer realm=\"" R "\"", CHALLENGE_BEARER, R, NULL, NULL, NULL},
        {"Bearer realm=\"" R "\",service=\"reg\",scope=\"repository:a/b:pull\"", CHALLENGE_BEARER,
                R, "reg", "repository:a/b:pull", NULL},
        {"bEaReR Realm=\"" R "\" , SERVICE=reg ,\tScope=\"a b\"", CHALLENGE_BEARER, R, "reg", "a b",
                NULL},
        {"Bearer realm=" R ",service=reg", CHALLENGE_BEARER, R, "reg", NULL, NULL},
        {"Bearer realm = \"" R "\" , service = \"reg\"", CHALLENGE_BEARER, R, "reg", NULL, NULL},
        {"Bearer   realm=\"" R "\",,  ,service=\"reg\",", CHALLENGE_BEARER, R, "reg", NULL, NULL},
        {"Bearer realm=\"" R "\" service=\"reg\" error=\"invalid_token\"", CHALLENGE_BEARER, R,
                "reg", NULL, "invalid_token"},
        {"Bearer realm=\"" R "\",error=\"insufficient_scope\",error_description=\"x\"",
                CHALLENGE_BEARER, R, NULL, NULL, "insufficient_scope"},
        {"Bearer realm=\"" R "\",realm=\"http://second\"", CHALLENGE_BEARER, R, NULL, NULL, NULL},
        {"Bearer unknown=\"y\",realm=\"" R "\"", CHALLENGE_BEARER, R, NULL, NULL, NULL},
        {"Bearer realm=\"" R "\",service=\"\"", CHALLENGE_BEARER, R, "", NULL, NULL},
        /* several in one header */
        {"Basic realm=\"x\", Bearer realm=\"" R "\",service=\"s\"", CHALLENGE_BEARER, R, "s", NULL,
                NULL},
        {"Bearer realm=\"" R "\",service=\"s\", Basic realm=\"x\"", CHALLENGE_BEARER, R, "s", NULL,
                NULL},
        {"Negotiate, Basic realm=\"x\"", CHALLENGE_BASIC, "x", NULL, NULL, NULL},
        {"Basic realm=\"x\", Negotiate", CHALLENGE_BASIC, "x", NULL, NULL, NULL},
        {"Negotiate YIIabc+/-._~==, NTLM TlRM, Basic realm=\"x\"", CHALLENGE_BASIC, "x", NULL, NULL,
                NULL},
        {"Digest realm=\"d\", nonce=\"n\", qop=\"auth,auth-int\", Basic realm=\"x\"",
                CHALLENGE_BASIC, "x", NULL, NULL, NULL},
        {"Basic, Bearer realm=\"" R "\"", CHALLENGE_BEARER, R, NULL, NULL, NULL},
        {"Bearer realm=\"" R "\", Bearer realm=\"http://second\"", CHALLENGE_BEARER, R, NULL, NULL,
                NULL},
        /* nothing that a client of registries can answer */
        {"Negotiate", CHALLENGE_NONE, NULL, NULL, NULL, NULL},
        {"Negotiate abc==", CHALLENGE_NONE, NULL, NULL, NULL, NULL},
        {"Digest realm=\"d\",nonce=\"n\"", CHALLENGE_NONE, NULL, NULL, NULL, NULL},
        {"Bearerx realm=\"" R "\"", CHALLENGE_NONE, NULL, NULL, NULL, NULL},
        {"!#$%&'*+-.^_`|~", CHALLENGE_NONE, NULL, NULL, NULL, NULL},
};

#define NO_SCHEME "WWW-Authenticate: no scheme where one is due"
#define NO_END    "WWW-Authenticate: a quoted string has no end"
#define NO_REALM  "WWW-Authenticate: a Bearer challenge without realm"
#define NO_COMMA  "WWW-Authenticate: no comma after a parameter"
#define CONTROL   "WWW-Authenticate: a control character in a quoted string"

static const struct {
        const char *header;
        size_t size;
        const char *message;
} bad_cases[] = {
#define CASE(s) s, sizeof(s) - 1
        {CASE("Bearer"), NO_REALM},
        {CASE("Bearer abc=="), NO_REALM},
        {CASE("Bearer service=\"x\""), NO_REALM},
        {CASE("Bearer realm="), NO_REALM},
        {CASE("Bearer realm=\"http://a"), NO_END},
        {CASE("Bearer realm=\"http://a\\"), NO_END},
        {CASE("Bearer realm=\"http://a\\\""), NO_END},
        {CASE("Bearer realm=\""), NO_END},
        {CASE("Bearer realm=\"a\rb\""), CONTROL},
        {CASE("Bearer realm=\"a\nAuthorization: x\""), CONTROL},
        {CASE("Bearer realm=\"a\0b\""), CONTROL},
        {CASE("Bearer realm=\"a\"x"), NO_COMMA},
        {CASE("Bearer realm=a\"b\""), NO_COMMA},
        {CASE("Basic realm=\"x\" \"y\""), NO_SCHEME},
        {CASE("\"x\""), NO_SCHEME},
        {CASE("=x"), NO_SCHEME},
        {CASE("Basic=x"), NO_SCHEME},
        {CASE("\0"), NO_SCHEME},
        {CASE("\x01"), NO_SCHEME},
        {CASE("\xff\xfe"), NO_SCHEME},
        {CASE("Basic realm=x, ="), NO_SCHEME},
};

static void check_text(const char *header, const char *name, const char *is, const char *wanted)
{
        if ((is == NULL) != (wanted == NULL) || (is != NULL && strcmp(is, wanted) != 0))
                fail_msg("%s: %s is %s, not %s", header, name, is ? is : "(none)",
                        wanted ? wanted : "(none)");
}

static void good_headers(void **state)
{
        (void)state;
        for (size_t i = 0; i < sizeof(good_cases) / sizeof(good_cases[0]); i++) {
                const struct good *g = &good_cases[i];
                cleanup_challenge struct challenge c = {0};
                struct err e;
                if (challenge_parse(g->header, strlen(g->header), &c, &e) < 0)
                        fail_msg("%s: %s", g->header, e.msg);
                if (c.scheme != g->scheme)
                        fail_msg("%s: scheme %d", g->header, (int)c.scheme);
                check_text(g->header, "realm", c.realm, g->realm);
                check_text(g->header, "service", c.service, g->service);
                check_text(g->header, "scope", c.scope, g->scope);
                check_text(g->header, "error", c.error, g->error);
        }
}

static void bad_headers(void **state)
{
        (void)state;
        for (size_t i = 0; i < sizeof(bad_cases) / sizeof(bad_cases[0]); i++) {
                cleanup_challenge struct challenge c = {0};
                struct err e;
                if (challenge_parse(bad_cases[i].header, bad_cases[i].size, &c, &e) == 0)
                        fail_msg("%s: taken", bad_cases[i].header);
                if (e.code != ERR_PROTOCOL || strcmp(e.msg, bad_cases[i].message) != 0)
                        fail_msg("%s: %s", bad_cases[i].header, e.msg);
        }
}

/* Each truncation of a header either parses or fails: nothing is read past its end. */
static void truncated_headers(void **state)
{
        (void)state;
        static const char whole[] =
                "Negotiate abc==, Basic realm=\"a\\\"b\", Bearer realm=\"" R "\",service=s";
        for (size_t size = 0; size < sizeof(whole); size++) {
                char *exact = mem_zalloc(size);
                memcpy(exact, whole, size);
                cleanup_challenge struct challenge c = {0};
                struct err e = {0};
                int rc = challenge_parse(exact, size, &c, &e);
                assert_true(rc == 0 || e.code == ERR_PROTOCOL);
                free(exact);
        }
}

static void a_better_header_replaces_a_worse(void **state)
{
        (void)state;
        cleanup_challenge struct challenge c = {0};
        struct err e;
        assert_int_equal(challenge_parse("Basic realm=\"x\"", 15, &c, &e), 0);
        assert_int_equal(challenge_parse("Bearer realm=\"" R "\"", 15 + strlen(R), &c, &e), 0);
        assert_int_equal(challenge_parse("Basic realm=\"y\"", 15, &c, &e), 0);
        assert_int_equal(c.scheme, CHALLENGE_BEARER);
        assert_string_equal(c.realm, R);
}

static void expect_refusal(const struct buf *header, const char *message)
{
        cleanup_challenge struct challenge c = {0};
        struct err e;
        assert_false(header->overflow);
        assert_int_equal(challenge_parse(header->data, header->size, &c, &e), -1);
        assert_int_equal(e.code, ERR_PROTOCOL);
        assert_string_equal(e.msg, message);
}

static void bombs(void **state)
{
        (void)state;
        cleanup_buf struct buf b;
        buf_init(&b, 1 << 20);
        buf_puts(&b, "Bearer realm=\"");
        while (b.size < 9000)
                buf_puts(&b, "x");
        buf_puts(&b, "\"");
        expect_refusal(&b, "WWW-Authenticate: a value has more than 8192 bytes");
        buf_reset(&b);
        buf_puts(&b, "Bearer ");
        for (int i = 0; i < 100; i++)
                buf_printf(&b, "k%d=v,", i);
        expect_refusal(&b, "WWW-Authenticate: more than 64 parameters");
        while (b.size <= 16384)
                buf_puts(&b, ",");
        expect_refusal(&b, "WWW-Authenticate: more than 16384 bytes");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(good_headers),
                cmocka_unit_test(bad_headers),
                cmocka_unit_test(truncated_headers),
                cmocka_unit_test(a_better_header_replaces_a_worse),
                cmocka_unit_test(bombs),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* verification.c: what a label says, and when it counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "shim/verification.h"

#define NAME   "ghcr.io/a/b:1"
#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER  "sha256:1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_what_is_written(void **state)
{
        (void)state;
        static const struct {
                struct verification verified;
                const char *text;
        } cases[] = {
                {{.unix_s = 1700000000}, NAME " " DIGEST " 1700000000"},
                {{.unix_s = 1700000000, .anonymous = true},
                        NAME " " DIGEST " 1700000000 anonymous"},
                {{.unix_s = 0}, NAME " " DIGEST " 0 mirror"},
                {{.unix_s = 0, .anonymous = true}, NAME " " DIGEST " 0 mirror"},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_free char *text = verification_text(NAME, DIGEST, cases[i].verified);
                assert_string_equal(text, cases[i].text);
        }
}

static void test_what_counts(void **state)
{
        (void)state;
        static const struct {
                const char *label;
                int64_t unix_s;
                bool anonymous;
        } cases[] = {
                {NAME " " DIGEST " 1700000000", 1700000000, false},
                {NAME " " DIGEST " 1700000000 anonymous", 1700000000, true},
                {NAME " " DIGEST " 0 mirror", 0, false},
                {NAME " " DIGEST " 1700000000 mirror", 0, false}, /* nobody writes it */
                {NAME " " DIGEST " 0 anonymous", 0, false},
                {NAME " " DIGEST " 0", 0, false},
                {NAME " " DIGEST " -1", 0, false},
                {NAME " " DIGEST " 1700000000 anonymous ", 0, false},
                {NAME " " DIGEST " 1700000000x", 0, false},
                {NAME " " DIGEST " ", 0, false},
                {NAME " " DIGEST, 0, false},
                {NAME " " OTHER " 1700000000", 0, false},
                {"ghcr.io/a/b:2 " DIGEST " 1700000000", 0, false},
                {"ghcr.io/a/b@" DIGEST " " DIGEST " 1700000000", 0, false},
                {"", 0, false},
                {NULL, 0, false},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct verification v = verification_read(cases[i].label, NAME, DIGEST);
                if (v.unix_s != cases[i].unix_s || v.anonymous != cases[i].anonymous)
                        fail_msg("misread: %s", cases[i].label);
        }
        assert_int_equal(verification_read(NAME " " DIGEST " 1", NULL, DIGEST).unix_s, 0);
}

static void test_what_is_written_is_read(void **state)
{
        (void)state;
        for (int anonymous = 0; anonymous <= 1; anonymous++) {
                struct verification v = {.unix_s = 1700000000, .anonymous = anonymous};
                cleanup_free char *text = verification_text(NAME, DIGEST, v);
                struct verification read = verification_read(text, NAME, DIGEST);
                assert_int_equal(read.unix_s, v.unix_s);
                assert_int_equal(read.anonymous, v.anonymous);
        }
        cleanup_free char *text = verification_text(NAME, DIGEST, (struct verification){0});
        assert_int_equal(verification_read(text, NAME, DIGEST).unix_s, 0);
}

static void test_what_is_young(void **state)
{
        (void)state;
        int64_t now_s = clock_unix_s();
        static const struct {
                int64_t age_s, max_age_s;
                bool young;
        } cases[] = {
                {0, 60, true}, {3000, 3600, true}, {3700, 3600, false}, {1, 0, false},
                {-60, 3600, false}, /* from the future: a clock was wrong */
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct verification v = {.unix_s = now_s - cases[i].age_s};
                if (verification_is_young(v, cases[i].max_age_s) != cases[i].young)
                        fail_msg("%lld s", (long long)cases[i].age_s);
        }
        assert_false(verification_is_young((struct verification){0}, INT64_MAX)); /* never */
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_is_written),
                cmocka_unit_test(test_what_counts),
                cmocka_unit_test(test_what_is_written_is_read),
                cmocka_unit_test(test_what_is_young),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

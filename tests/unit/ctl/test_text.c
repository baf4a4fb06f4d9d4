/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "base/mem.h"
#include "ctl/text.h"

static void what_steers_a_terminal_is_escaped(void **state)
{
        (void)state;
        static const struct {
                const char *from, *to;
        } cases[] = {
                {"plain, with blanks", "plain, with blanks"},
                {"", ""},
                {"\033[31mred", "\\x1b[31mred"},
                {"a\nb\tc\rd", "a\\nb\\tc\\rd"},
                {"\a\b\177", "\\x07\\x08\\x7f"},
                {"Gr\303\274\303\237e \346\227\245\346\234\254",
                        "Gr\303\274\303\237e \346\227\245\346\234\254"},
                {"\302\233m", "\\xc2\\x9bm"},            /* CSI as one C1 character */
                {"a\342\200\256b", "a\\xe2\\x80\\xaeb"}, /* turns the direction */
                {"\342\200\250", "\\xe2\\x80\\xa8"},     /* line separator */
                {"\377\376", "\\xff\\xfe"},
                {"\300\200", "\\xc0\\x80"},                   /* overlong NUL */
                {"\355\240\200", "\\xed\\xa0\\x80"},          /* surrogate */
                {"\364\220\200\200", "\\xf4\\x90\\x80\\x80"}, /* beyond Unicode */
                {"cut \342\202", "cut \\xe2\\x82"},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_free char *shown = text_escape(cases[i].from, strlen(cases[i].from));
                assert_string_equal(shown, cases[i].to);
        }
        cleanup_free char *with_nul = text_escape("a\0b", 3);
        assert_string_equal(with_nul, "a\\x00b");
}

static void widths(void **state)
{
        (void)state;
        static const struct {
                const char *s;
                size_t width;
        } cases[] = {
                {"", 0}, {"abc", 3}, {"\303\274", 1}, {"u\314\210", 1}, /* u and a combining mark */
                {"\346\227\245\346\234\254", 4}, {"\360\237\216\211", 2},
                {"a\342\200\213b", 2}, /* zero width */
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                assert_int_equal(text_width(cases[i].s, strlen(cases[i].s)), cases[i].width);
}

static void lines(void **state)
{
        (void)state;
        static const struct {
                const char *s;
                size_t columns;
                const char *line, *rest;
        } cases[] = {
                {"one two three", 20, "one two three", ""},
                {"one two three", 13, "one two three", ""},
                {"one two three", 12, "one two", "three"}, {"one two three", 7, "one two", "three"},
                {"one   two", 5, "one", "two"}, {"one   ", 3, "one", ""},
                {"unbreakable", 4, "unbr", "eakable"},
                {"ghcr.io/team/app:1", 14, "ghcr.io/team/", "app:1"},
                {"ghcr.io/team/app:1", 12, "ghcr.io/", "team/app:1"},
                {"sha256:0123456789", 16, "sha256:012345678", "9"},
                {"\346\227\245\346\234\254\350\252\236", 5, "\346\227\245\346\234\254",
                        "\350\252\236"},
                {"\346\227\245", 1, "\346\227\245", ""}, /* does not fit, but must go somewhere */
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                size_t next = 0, size = strlen(cases[i].s);
                size_t count = text_line(cases[i].s, size, cases[i].columns, &next);
                cleanup_free char *line = mem_strndup(cases[i].s, count);
                assert_string_equal(line, cases[i].line);
                assert_string_equal(cases[i].s + next, cases[i].rest);
        }
}

static void filling(void **state)
{
        (void)state;
        char *out = NULL;
        size_t size = 0;
        FILE *to = open_memstream(&out, &size);
        text_fill(to,
                "Some words\nthat are one paragraph.\n\n  an example that stays as it is\nAnd "
                "more.",
                2, 20);
        fclose(to);
        assert_string_equal(out, "  Some words that\n"
                                 "  are one paragraph.\n"
                                 "\n"
                                 "    an example that stays as it is\n"
                                 "  And more.\n");
        free(out);
}

static void passwords_of_urls(void **state)
{
        (void)state;
        static const struct {
                const char *text, *shown;
        } cases[] = {
                {"", ""},
                {"[host.\"https://bob:hunter2@cache:5000\"]\n",
                        "[host.\"https://***@cache:5000\"]\n"},
                {"a https://tok@h/x, http://u:p/w@h", "a https://***@h/x, http://***@h"},
                {"https://u:p@h and u:p@h:5000.", "https://***@h and ***@h:5000."},
                {"https://a:b@c,https://d:e@f", "https://***@f"},
                {"ghcr.io/a/b:v1@sha256:0123456789abcdef0123456789abcdef is",
                        "ghcr.io/a/b:v1@sha256:0123456789abcdef0123456789abcdef is"},
                {"http://u:p@h/a@sha256:0123456789abcdef0123456789abcdef",
                        "http://***@h/a@sha256:0123456789abcdef0123456789abcdef"},
                {"unix:///run/user@1/x.sock /a@b me@example.com https://h/@x https://h:1/v2 @ a@",
                        "unix:///run/user@1/x.sock /a@b me@example.com https://h/@x https://h:1/v2 "
                        "@ a@"},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_free char *shown = text_without_passwords(cases[i].text);
                assert_string_equal(shown, cases[i].shown);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_steers_a_terminal_is_escaped),
                cmocka_unit_test(widths),
                cmocka_unit_test(lines),
                cmocka_unit_test(filling),
                cmocka_unit_test(passwords_of_urls),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

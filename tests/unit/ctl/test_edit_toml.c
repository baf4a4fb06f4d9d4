/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "base/buf.h"
#include "ctl/edit_toml.h"
#include "ctl/probe.h"

static const char *const path[] = {"a", "b.c", "mirrors"};

static char *ranges_of(const char *text)
{
        struct edit_lines lines[4];
        size_t count = edit_toml_tables(text, path, 3, lines, 4);
        cleanup_buf struct buf b;
        buf_init(&b, 4096);
        for (size_t i = 0; i < count; i++)
                buf_printf(&b, "%s%d-%d", i > 0 ? " " : "", lines[i].first, lines[i].last);
        return mem_strdup(buf_str(&b));
}

static void tables(void **state)
{
        (void)state;
        static const struct {
                const char *text, *ranges;
        } cases[] = {
                {"[a.\"b.c\".mirrors]\nx = 1\n\n# next\n[d]\n", "1-2"},
                {"[ a . 'b.c' . mirrors . \"x\" ]\ny = [\n\"1\",\n]\n[a.\"b.c\"]\nk = 1\n", "1-4"},
                {"[a.\"b.c\".mirrors.x]\ny = 1\n[d]\nz = 2\n  [a.\"b.c\".mirrors.z]\n  y = 1 # "
                 "so\n",
                        "1-2 5-6"},
                {"[a.\"b.c\"]\nmirrors = { x = 1 }\n", ""}, /* no header: for people */
                {"[a.\"b.c\".mirrors]\nx = \"\"\"\n[y]\n\"\"\"\n",
                        ""}, /* a text that looks like one */
                {"[a.\"b.c\".mirrorsx]\ny = 1\n", ""}, {"[a.b.c.mirrors]\ny = 1\n", ""},
                {"[[a]]\n", ""}, {"", ""},
                {"[a.\"b.c\".mirrors.1]\n[a.\"b.c\".mirrors.2]\n[a.\"b.c\".mirrors.3]\n[a.\"b.c\"."
                 "mirrors.4]\n"
                 "[a.\"b.c\".mirrors.5]\n",
                        ""}, /* more than there is room for */
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_free char *got = ranges_of(cases[i].text);
                assert_string_equal(got, cases[i].ranges);
        }
        assert_int_equal(edit_toml_header("# x\n[a.\"b.c\".mirrors]\n", path, 3), 2);
        assert_int_equal(edit_toml_header("[a.\"b.c\".mirrors.x]\n", path, 3), 0);
}

static void lines_of_texts(void **state)
{
        (void)state;
        assert_int_equal(edit_count_lines("a\nb"), 2);
        assert_int_equal(edit_count_lines(""), 0);
        cleanup_free char *second = edit_line("a\r\n b\r\nc", 2);
        assert_string_equal(second, " b");
        cleanup_free char *none = edit_line("a\n", 5);
        assert_string_equal(none, "");
}

static void identities(void **state)
{
        (void)state;
        static const struct {
                const char *before, *now, *difference;
        } cases[] = {
                {"{\"server\": \"nginx\"}", "{\"server\": \"nginx\"}", NULL},
                {"{\"server\": \"nginx\"}", "{\"server\": \"apache\"}",
                        "its server was \"nginx\" and is \"apache\""},
                {"{}", "{\"realm\": \"https://a\"}", "its realm was \"\" and is \"https://a\""},
                {"{\"catalog\": [\"a\", \"b\"]}", "{\"catalog\": [\"b\", \"c\"]}", NULL},
                {"{\"catalog\": [\"a\"]}", "{\"catalog\": []}", NULL}, /* emptied, or not shown */
                {"{\"catalog\": []}", "{\"catalog\": [\"a\"]}", NULL},
                {"{\"catalog\": [\"a\"]}", "{\"catalog\": [\"b\"]}",
                        "it had \"a\" and others, and has \"b\" and others: no repository is left"},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                json_t *before = json_loads(cases[i].before, 0, NULL);
                json_t *now = json_loads(cases[i].now, 0, NULL);
                cleanup_free char *got = probe_difference(before, now);
                assert_int_equal(got == NULL, cases[i].difference == NULL);
                if (got != NULL)
                        assert_string_equal(got, cases[i].difference);
                json_decref(before);
                json_decref(now);
        }
}

static void dates(void **state)
{
        (void)state;
        assert_int_equal(probe_date("Sun, 06 Nov 1994 08:49:37 GMT"), 784111777);
        assert_int_equal(probe_date("Sunday, 06-Nov-94 08:49:37 GMT"), -1);
        assert_int_equal(probe_date(""), -1);
        assert_int_equal(probe_date("Sun, 06 Nov 1994 08:49:37 GMT and more"), -1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(tables),
                cmocka_unit_test(lines_of_texts),
                cmocka_unit_test(identities),
                cmocka_unit_test(dates),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

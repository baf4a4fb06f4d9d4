/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "base/buf.h"
#include "ctl/cli.h"
#include "ctl/diff.h"

static char *shown(const struct cli *cli, const char *before, const char *after)
{
        char *out = NULL;
        size_t size = 0;
        FILE *to = open_memstream(&out, &size);
        cli_print_diff(cli, to, "file", before, after);
        fclose(to);
        return out;
}

static void unified(void **state)
{
        (void)state;
        static const struct {
                const char *before, *after, *diff;
        } cases[] = {
                {"a\nb\n", "a\nb\n", ""},
                {"", "", ""},
                {"", "a\n", "@@ -0,0 +1 @@\n+a\n"},
                {"a\n", "", "@@ -1 +0,0 @@\n-a\n"},
                {"a\nb\nc\n", "a\nB\nc\n", "@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n"},
                {"a\nb", "a\nb\n", "@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+b\n"},
                {"1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\n5\n6\n7\n8\n9\nten\n",
                        "@@ -7,3 +7,4 @@\n 7\n 8\n 9\n+ten\n"},
                /* six lines between two changes: one hunk; seven: two */
                {"a\n1\n2\n3\n4\n5\n6\nb\n", "A\n1\n2\n3\n4\n5\n6\nB\n",
                        "@@ -1,8 +1,8 @@\n-a\n+A\n 1\n 2\n 3\n 4\n 5\n 6\n-b\n+B\n"},
                {"a\n1\n2\n3\n4\n5\n6\n7\nb\n", "A\n1\n2\n3\n4\n5\n6\n7\nB\n",
                        "@@ -1,4 +1,4 @@\n-a\n+A\n 1\n 2\n 3\n"
                        "@@ -6,4 +6,4 @@\n 5\n 6\n 7\n-b\n+B\n"},
                /* lines that come again are matched in order */
                {"a\nb\nc\na\nb\nb\na\n", "c\nb\na\nb\na\nc\n",
                        "@@ -1,7 +1,6 @@\n-a\n-b\n c\n+b\n a\n b\n-b\n a\n+c\n"},
        };
        struct cli cli = {.width = 80};
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_free char *out = shown(&cli, cases[i].before, cases[i].after);
                cleanup_free char *wanted = mem_printf("%s%s",
                        cases[i].diff[0] != '\0' ? "--- file\n+++ file\n" : "", cases[i].diff);
                assert_string_equal(out, wanted);
        }
}

static void coloured_and_escaped(void **state)
{
        (void)state;
        struct cli cli = {.width = 80, .colour = true};
        cleanup_free char *out = shown(&cli, "a\n", "\033c\n");
        assert_string_equal(out, "\033[1m--- file\033[0m\n\033[1m+++ file\033[0m\n"
                                 "\033[2m@@ -1 +1 @@\033[0m\n"
                                 "\033[31m-a\033[0m\n\033[32m+\\x1bc\033[0m\n");
}

/* A patch that is written to a file has the texts' bytes. */
static void not_escaped_elsewhere(void **state)
{
        (void)state;
        struct cli cli = {.width = 80};
        cleanup_free char *out = shown(&cli, "a\r\n", "b\t\r\n");
        assert_string_equal(out, "--- file\n+++ file\n@@ -1 +1 @@\n-a\r\n+b\t\r\n");
}

/* Whatever the edits are, they must lead from the one text to the other. */
static void check_edits(const char *before, const char *after, size_t changes_max)
{
        struct diff_edit *edits = NULL;
        size_t count = diff_edits(before, after, &edits), changes = 0;
        size_t lines[2] = {0};
        cleanup_buf struct buf a, b;
        buf_init(&a, 1 << 20);
        buf_init(&b, 1 << 20);
        for (size_t i = 0; i < count; i++) {
                assert_int_equal(edits[i].before, lines[0]);
                assert_int_equal(edits[i].after, lines[1]);
                if (edits[i].kind != '+') {
                        buf_append(&a, edits[i].line.at, edits[i].line.size);
                        lines[0]++;
                }
                if (edits[i].kind != '-') {
                        buf_append(&b, edits[i].line.at, edits[i].line.size);
                        lines[1]++;
                }
                changes += edits[i].kind != ' ';
        }
        free(edits);
        assert_string_equal(buf_str(&a), before);
        assert_string_equal(buf_str(&b), after);
        assert_true(changes <= changes_max);
}

/* All texts of up to four lines over two letters, against each other. */
static void every_small_text(void **state)
{
        (void)state;
        char texts[31][12];
        size_t count = 0;
        for (int size = 0; size <= 4; size++)
                for (unsigned bits = 0; bits < 1u << size; bits++, count++) {
                        for (int i = 0; i < size; i++) {
                                texts[count][2 * i] = (bits >> i & 1u) != 0 ? 'a' : 'b';
                                texts[count][2 * i + 1] = '\n';
                        }
                        texts[count][2 * size] = '\0';
                }
        assert_int_equal(count, 31);
        for (size_t i = 0; i < count; i++)
                for (size_t j = 0; j < count; j++)
                        check_edits(texts[i], texts[j], (strlen(texts[i]) + strlen(texts[j])) / 2);
}

static void large_texts(void **state)
{
        (void)state;
        cleanup_buf struct buf a, b, c;
        buf_init(&a, 1 << 20);
        buf_init(&b, 1 << 20);
        buf_init(&c, 1 << 20);
        for (int i = 0; i < 10000; i++) {
                buf_printf(&a, "line %d\n", i);
                if (i % 100 != 7)
                        buf_printf(&b, "line %d%s\n", i, i % 100 == 50 ? " changed" : "");
                buf_printf(&c, "other %d\n", i);
        }
        check_edits(buf_str(&a), buf_str(&b), 300);
        check_edits(buf_str(&a), buf_str(&c), 20000);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(unified),
                cmocka_unit_test(coloured_and_escaped),
                cmocka_unit_test(not_escaped_elsewhere),
                cmocka_unit_test(every_small_text),
                cmocka_unit_test(large_texts),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

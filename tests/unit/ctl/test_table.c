/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "ctl/cli.h"

static const char *const titles[] = {"reference", "state", "since"};

static char *printed(const struct cli *cli, const char *const (*rows)[3], size_t count, int styled,
        enum cli_style style)
{
        char *out = NULL;
        size_t size = 0;
        struct cli_table *t = cli_table_new(cli, titles, 3);
        for (size_t i = 0; i < count; i++)
                cli_table_row(t, rows[i], styled, style);
        FILE *to = open_memstream(&out, &size);
        cli_table_print(t, to);
        fclose(to);
        cli_table_free(t);
        return out;
}

static const char *const rows[][3] = {
        {"ghcr.io/team/app:stable", "current", NULL},
        {"docker.io/library/nginx:1.27", "moved", "2 hours ago"},
};

static void as_wide_as_its_cells(void **state)
{
        (void)state;
        struct cli cli = {.width = 80};
        cleanup_free char *out = printed(&cli, rows, 2, -1, CLI_PLAIN);
        assert_string_equal(out, "reference                     state    since\n"
                                 "ghcr.io/team/app:stable       current\n"
                                 "docker.io/library/nginx:1.27  moved    2 hours ago\n");
}

static void the_widest_column_wraps(void **state)
{
        (void)state;
        struct cli cli = {.width = 40};
        cleanup_free char *out = printed(&cli, rows, 2, -1, CLI_PLAIN);
        assert_string_equal(out, "reference           state    since\n"
                                 "ghcr.io/team/app:   current\n"
                                 "stable\n"
                                 "docker.io/library/  moved    2 hours ago\n"
                                 "nginx:1.27\n");
}

static void words_wrap_at_blanks(void **state)
{
        (void)state;
        struct cli cli = {.width = 40};
        static const char *const wordy[][3] = {
                {"a", "the registry does not answer within a second", "now"}};
        cleanup_free char *out = printed(&cli, wordy, 1, -1, CLI_PLAIN);
        assert_string_equal(out, "reference  state                   since\n"
                                 "a          the registry does not   now\n"
                                 "           answer within a second\n");
}

/* Where nothing can give way any more the lines are longer than the terminal, and complete. */
static void too_narrow_for_all(void **state)
{
        (void)state;
        struct cli cli = {.width = 20};
        static const char *const full[][3] = {{"0123456789", "0123456789", "0123456789"}};
        cleanup_free char *out = printed(&cli, full, 1, -1, CLI_PLAIN);
        assert_string_equal(out, "referenc  state     since\n"
                                 "e\n"
                                 "01234567  01234567  01234567\n"
                                 "89        89        89\n");
}

static void wide_characters(void **state)
{
        (void)state;
        struct cli cli = {.width = 80};
        static const char *const wide[][3] = {
                {"\346\227\245\346\234\254\350\252\236", "gr\303\274n", "x"},
                {"u\314\210", "abcd", "y"},
        };
        cleanup_free char *out = printed(&cli, wide, 2, -1, CLI_PLAIN);
        assert_string_equal(out, "reference  state  since\n"
                                 "\346\227\245\346\234\254\350\252\236     gr\303\274n   x\n"
                                 "u\314\210          abcd   y\n");
}

static void control_characters(void **state)
{
        (void)state;
        struct cli cli = {.width = 80};
        static const char *const odd[][3] = {{"a\033[2Jb", "two\nlines", "x"}};
        cleanup_free char *out = printed(&cli, odd, 1, -1, CLI_PLAIN);
        assert_string_equal(out, "reference  state       since\n"
                                 "a\\x1b[2Jb  two\\nlines  x\n");
}

static void colours(void **state)
{
        (void)state;
        struct cli cli = {.width = 80, .colour = true};
        cleanup_free char *cell = printed(&cli, rows + 1, 1, 1, CLI_WARN);
        assert_string_equal(cell,
                "\033[1mreference\033[0m                     \033[1mstate\033[0m  "
                "\033[1msince\033[0m\n"
                "docker.io/library/nginx:1.27  \033[33mmoved\033[0m  2 hours ago\n");
        cli.colour = false;
        cli.error_colour = true; /* for standard error only */
        cleanup_free char *plain = printed(&cli, rows + 1, 1, 1, CLI_WARN);
        assert_null(strchr(plain, '\033'));
}

static void no_rows(void **state)
{
        (void)state;
        struct cli cli = {.width = 80};
        cleanup_free char *out = printed(&cli, NULL, 0, -1, CLI_PLAIN);
        assert_string_equal(out, "reference  state  since\n");
        cli_table_free(NULL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(as_wide_as_its_cells),
                cmocka_unit_test(the_widest_column_wraps),
                cmocka_unit_test(words_wrap_at_blanks),
                cmocka_unit_test(too_narrow_for_all),
                cmocka_unit_test(wide_characters),
                cmocka_unit_test(control_characters),
                cmocka_unit_test(colours),
                cmocka_unit_test(no_rows),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

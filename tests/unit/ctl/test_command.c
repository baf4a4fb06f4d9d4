/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "ctl/command.h"

enum { WORDS_MAX_BYTES = 100 };

struct said {
        struct buf out, errors;
        int status;
        struct err e;
};

static int run_shell(const char *script, struct cancel *cancel, struct said *s)
{
        const char *const argv[] = {"sh", "-c", script, NULL};
        buf_init(&s->out, WORDS_MAX_BYTES);
        buf_init(&s->errors, WORDS_MAX_BYTES);
        return command_run(argv, cancel, &s->out, &s->errors, &s->status, &s->e);
}

static void said_fini(struct said *s)
{
        buf_fini(&s->out);
        buf_fini(&s->errors);
}

static void both_outputs_and_the_status_arrive(void **state)
{
        (void)state;
        struct said s = {0};
        assert_int_equal(run_shell("cat; echo out; echo err >&2; exit 3", NULL, &s), 0);
        assert_string_equal(buf_str(&s.out), "out\n");
        assert_string_equal(buf_str(&s.errors), "err\n");
        assert_int_equal(s.status, 3);
        said_fini(&s);
}

static void a_signal_is_a_status(void **state)
{
        (void)state;
        struct said s = {0};
        assert_int_equal(run_shell("kill -TERM $$", NULL, &s), 0);
        assert_int_equal(s.status, 128 + 15);
        said_fini(&s);
}

/* More than a pipe holds: it must be read, even where nobody keeps it. */
static void a_flood_ends(void **state)
{
        (void)state;
        struct said s = {0};
        assert_int_equal(
                run_shell("head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2", NULL, &s), 0);
        assert_int_equal(s.status, 0);
        assert_true(s.out.size <= WORDS_MAX_BYTES);
        said_fini(&s);
}

static void what_is_not_there_is_not_found(void **state)
{
        (void)state;
        const char *const argv[] = {"/nowhere/program", NULL};
        int status = 0;
        struct err e = {0};
        assert_int_equal(command_run(argv, NULL, NULL, NULL, &status, &e), -1);
        assert_int_equal(e.code, ERR_NOT_FOUND);
        assert_string_equal(e.msg, "there is no program /nowhere/program");
}

static void cancelling_kills_it(void **state)
{
        (void)state;
        struct cancel cancel;
        cancel_init(&cancel);
        cancel_fire(&cancel);
        struct said s = {0};
        assert_int_equal(run_shell("exec sleep 1000", &cancel, &s), -1);
        assert_int_equal(s.e.code, ERR_CANCELLED);
        assert_int_equal(s.status, 128 + 9);
        said_fini(&s);
        cancel_fini(&cancel);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(both_outputs_and_the_status_arrive),
                cmocka_unit_test(a_signal_is_a_status),
                cmocka_unit_test(a_flood_ends),
                cmocka_unit_test(what_is_not_there_is_not_found),
                cmocka_unit_test(cancelling_kills_it),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "ctl/credential_helper.h"
#include "tests/unit/config/scratch.h"

enum { LONG_MS = 60000, SHORT_MS = 200 };

/* A helper named "test" in the folder, first in PATH. */
static void install(const struct scratch *s, const char *script)
{
        cleanup_free char *text = mem_printf("#!/bin/sh\n%s\n", script);
        cleanup_free char *path = scratch_write(s, "docker-credential-test", text);
        cleanup_free char *search = mem_printf("%s:/usr/bin:/bin", s->path);
        assert_int_equal(chmod(path, 0700), 0);
        assert_int_equal(setenv("PATH", search, 1), 0);
}

static void gives_what_it_has(void **state)
{
        install(*state,
                "read server; [ \"$1\" = get ] || exit 3\n"
                "printf '{\"ServerURL\":\"%s\",\"Username\":\"ann\",\"Secret\":\"for-%s\"}' "
                "\"$server\" \"$server\"");
        struct err e;
        char *name = NULL, *secret = NULL;
        assert_int_equal(
                credential_helper_get("test", "ghcr.io", LONG_MS, NULL, &name, &secret, &e), 0);
        assert_string_equal(name, "ann");
        assert_string_equal(secret, "for-ghcr.io");
        mem_free_secret(name);
        mem_free_secret(secret);
}

static void has_none(void **state)
{
        install(*state, "echo 'credentials not found in native keychain'; exit 1");
        struct err e;
        char *name = NULL, *secret = NULL;
        assert_int_equal(
                credential_helper_get("test", "ghcr.io", LONG_MS, NULL, &name, &secret, &e), 0);
        assert_null(name);
        assert_null(secret);
}

static void refuses(const char *script, const struct scratch *s, int64_t timeout_ms,
        struct cancel *cancel, enum err_code code, const char *said)
{
        install(s, script);
        struct err e;
        char *name = NULL, *secret = NULL;
        assert_int_equal(
                credential_helper_get("test", "ghcr.io", timeout_ms, cancel, &name, &secret, &e),
                -1);
        assert_null(name);
        assert_null(secret);
        assert_int_equal(e.code, code);
        assert_string_equal(e.msg, said);
}

/* What it prints may be the secret: it is in no error. */
static void failures(void **state)
{
        refuses("echo secret; exit 7", *state, LONG_MS, NULL, ERR_CONFIG,
                "docker-credential-test failed for ghcr.io; try it: echo ghcr.io | "
                "docker-credential-test get >/dev/null; echo $?");
        refuses("echo secret", *state, LONG_MS, NULL, ERR_CONFIG,
                "docker-credential-test answers with something else than Username and Secret");
        refuses("echo '{\"Username\": \"ann\", \"Secret\": 7}'", *state, LONG_MS, NULL, ERR_CONFIG,
                "docker-credential-test answers with something else than Username and Secret");
        refuses("kill -9 $$", *state, LONG_MS, NULL, ERR_CONFIG,
                "docker-credential-test failed for ghcr.io; try it: echo ghcr.io | "
                "docker-credential-test get >/dev/null; echo $?");
        refuses("exec cat /dev/zero", *state, LONG_MS, NULL, ERR_TOO_LARGE,
                "more than 1048576 bytes from docker-credential-test");
}

static void one_that_hangs(void **state)
{
        refuses("exec tail -f /dev/null", *state, SHORT_MS, NULL, ERR_TIMEOUT,
                "no answer in time from docker-credential-test");
        /* it has answered, and stays */
        refuses("echo '{\"Username\": \"ann\", \"Secret\": \"x\"}'; exec tail -f /dev/null "
                ">/dev/null",
                *state, SHORT_MS, NULL, ERR_TIMEOUT, "docker-credential-test does not end");
        struct cancel cancel;
        cancel_init(&cancel);
        cancel_fire(&cancel);
        refuses("exec tail -f /dev/null", *state, LONG_MS, &cancel, ERR_CANCELLED,
                "cancelled while reading from docker-credential-test");
        cancel_fini(&cancel);
}

static void none_of_that_name(void **state)
{
        (void)state;
        struct err e;
        char *name = NULL, *secret = NULL;
        static const char *const odd[] = {"", "../x", "a/b", "a b", ".x"};
        for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
                assert_int_equal(
                        credential_helper_get(odd[i], "ghcr.io", LONG_MS, NULL, &name, &secret, &e),
                        -1);
                assert_int_equal(e.code, ERR_CONFIG);
        }
        assert_int_equal(
                credential_helper_get("is-not-there", "ghcr.io", LONG_MS, NULL, &name, &secret, &e),
                -1);
        assert_string_equal(
                e.msg, "cannot run docker-credential-is-not-there: No such file or directory");
}

static void lines_of_input(void **state)
{
        (void)state;
        int ends[2];
        struct err e;
        cleanup_buf struct buf b;
        buf_init(&b, 16);
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        assert_int_equal(write(ends[1], "ann:word\nmore", 13), 13);
        /* does not wait for an end that may never come */
        assert_int_equal(credential_read(ends[0], "there", true, 0, NULL, &b, &e), 0);
        assert_string_equal(buf_str(&b), "ann:word\nmore");
        assert_int_equal(write(ends[1], "much more than that", 19), 19);
        assert_int_equal(credential_read(ends[0], "there", false, 0, NULL, &b, &e), -1);
        assert_string_equal(e.msg, "more than 16 bytes from there");
        close(ends[0]);
        close(ends[1]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(gives_what_it_has),
                TEST(has_none),
                TEST(failures),
                TEST(one_that_hangs),
                TEST(none_of_that_name),
                TEST(lines_of_input),
        };
        signal(SIGPIPE, SIG_IGN); /* as the program does */
        return cmocka_run_group_tests(tests, NULL, NULL);
}

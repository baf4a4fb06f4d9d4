/* SPDX-License-Identifier: Apache-2.0 */
/* source_label.c: lists of repositories, as containerd keeps them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/mem.h"
#include "shim/source_label.h"

static void test_keys(void **state)
{
        (void)state;
        static const struct {
                const char *host, *key;
        } cases[] = {
                {"ghcr.io", "containerd.io/distribution.source.ghcr.io"},
                {"ghcr.io:443", "containerd.io/distribution.source.ghcr.io"},
                {"127.0.0.1:7780", "containerd.io/distribution.source.127.0.0.1"},
                {"[::1]:5000", "containerd.io/distribution.source.::1"},
                {"[::1]", "containerd.io/distribution.source.::1"},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_free char *key = source_label_key(cases[i].host);
                assert_string_equal(key, cases[i].key);
        }
}

static void test_add(void **state)
{
        (void)state;
        static const struct {
                const char *value, *repository, *with;
        } cases[] = {
                {NULL, "a/b", "a/b"},
                {"", "a/b", "a/b"},
                {"a/b", "a/b", "a/b"},
                {"a/a", "a/b", "a/a,a/b"},
                {"a/c", "a/b", "a/b,a/c"},
                {"a/a,a/c", "a/b", "a/a,a/b,a/c"},
                {"a/a,a/b,a/c", "a/b", "a/a,a/b,a/c"},
                {"a/bb", "a/b", "a/b,a/bb"},
                {"a/b", "a/bb", "a/b,a/bb"},
                {"a/b-c", "a/b", "a/b,a/b-c"},
                {",a/a,,a/c,", "a/b", "a/a,a/b,a/c"},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_free char *with =
                        source_label_add("key", cases[i].value, cases[i].repository);
                assert_string_equal(with, cases[i].with);
        }
}

/* containerd refuses a label whose key and value have more than 4096 bytes. */
static void test_a_full_label_stays(void **state)
{
        (void)state;
        char value[4096 - 3 + 1]; /* with "key" it is full */
        memset(value, 'a', sizeof(value) - 1);
        value[sizeof(value) - 1] = '\0';
        cleanup_free char *full = source_label_add("key", value, "b");
        assert_string_equal(full, value);
        value[sizeof(value) - 1 - 2] = '\0'; /* room for ",b" */
        cleanup_free char *fits = source_label_add("key", value, "b");
        assert_int_equal(strlen("key") + strlen(fits), 4096);
        assert_string_equal(fits + strlen(value), ",b");
        cleanup_free char *too_long = source_label_add("key", value, "bb");
        assert_string_equal(too_long, value);
}

static void test_drop(void **state)
{
        (void)state;
        static const struct {
                const char *value, *repository, *without;
        } cases[] = {
                {NULL, "a/b", ""},
                {"", "a/b", ""},
                {"a/b", "a/b", ""},
                {"a/a", "a/b", "a/a"},
                {"a/a,a/b", "a/b", "a/a"},
                {"a/b,a/c", "a/b", "a/c"},
                {"a/a,a/b,a/c", "a/b", "a/a,a/c"},
                {"a/bb,xa/b,a", "a/b", "a/bb,xa/b,a"},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_free char *without = source_label_drop(cases[i].value, cases[i].repository);
                assert_string_equal(without, cases[i].without);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_keys),
                cmocka_unit_test(test_add),
                cmocka_unit_test(test_a_full_label_stays),
                cmocka_unit_test(test_drop),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a client calls a method, its word is one of ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "base/mem.h"
#include "shim/rpc_words.h"

static const char *word(const char *path)
{
        return rpc_word_of_method(path, strlen(path));
}

static void methods_of_the_cri(void **state)
{
        (void)state;
        static const char *const known[] = {"runtime.v1.ImageService/PullImage",
                "runtime.v1alpha2.ImageService/PullImage", "runtime.v1.ImageService/ImageFsInfo",
                "runtime.v1.RuntimeService/Version", "runtime.v1.RuntimeService/GetContainerEvents",
                "runtime.v1alpha2.RuntimeService/ExecSync"};
        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
                cleanup_free char *path = mem_printf("/%s", known[i]);
                assert_string_equal(word(path), known[i]);
        }
        /* a slice ends where it ends */
        assert_string_equal(rpc_word_of_method("/runtime.v1.RuntimeService/StatusX", 33),
                "runtime.v1.RuntimeService/Status");
}

static void hostile_methods_are_other(void **state)
{
        (void)state;
        static const char *const strange[] = {"", "/", "//", "PullImage",
                "runtime.v1.ImageService/PullImage", "/runtime.v1.ImageService/pullimage",
                "/runtime.v1.ImageService/PullImage/", "/runtime.v1.ImageService/PullImagE",
                "/runtime.v2.ImageService/PullImage", "/runtime.v1.RuntimeService/PullImage",
                "/grpc.health.v1.Health/Check", "/runtime.v1.ImageService/PullImage\n# HELP x",
                "/runtime.v1.ImageService/\"}", "/\xff\xfe"};
        const char *other = word("");
        assert_string_equal(other, "other");
        for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++)
                assert_ptr_equal(word(strange[i]), other);
        for (int i = 0; i < 10000; i++) {
                cleanup_free char *path = mem_printf("/runtime.v1.ImageService/%d", i);
                assert_ptr_equal(word(path), other);
        }
}

static void codes(void **state)
{
        (void)state;
        assert_string_equal(rpc_word_of_code(0), "OK");
        assert_string_equal(rpc_word_of_code(1), "Canceled");
        assert_string_equal(rpc_word_of_code(5), "NotFound");
        assert_string_equal(rpc_word_of_code(16), "Unauthenticated");
        assert_string_equal(rpc_word_of_code(17), "other");
        assert_string_equal(rpc_word_of_code(-1), "other");
        assert_string_equal(rpc_word_of_code(INT32_MAX), "other");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(methods_of_the_cri),
                cmocka_unit_test(hostile_methods_are_other),
                cmocka_unit_test(codes),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "ctl/size.h"

static void sizes_for_people(void **state)
{
        (void)state;
        static const struct {
                int64_t bytes;
                const char *text;
        } cases[] = {
                {0, "0 B"},
                {1023, "1023 B"},
                {1024, "1.0 KiB"},
                {1536, "1.5 KiB"},
                {100 * 1024, "100 KiB"},
                {1024 * 1024 - 1, "1024 KiB"},
                {1024 * 1024, "1.0 MiB"},
                {INT64_C(40) << 20, "40.0 MiB"},
                {INT64_C(3) << 30, "3.0 GiB"},
                {INT64_MAX, "8.0 EiB"},
        };
        char out[SIZE_TEXT_BYTES];
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                assert_string_equal(size_text(cases[i].bytes, out), cases[i].text);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(sizes_for_people),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

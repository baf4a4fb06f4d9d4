/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "base/mem.h"
#include "ctl/when.h"

static void dates(void **state)
{
        (void)state;
        static const struct {
                const char *s;
                int64_t unix_s; /* -1: not a date */
        } cases[] = {
                {"1970-01-01T00:00:00Z", 0},
                {"2026-11-20T10:11:12Z", 1795169472},
                {"2026-11-20T10:11:12.123456789Z", 1795169472},
                {"2026-11-20t10:11:12z", 1795169472},
                {"2026-11-20T12:11:12+02:00", 1795169472},
                {"2026-11-20T04:41:12-05:30", 1795169472},
                {"2024-02-29T00:00:00Z", 1709164800},
                {"", -1},
                {"2026-11-20", -1},
                {"2026-11-20T10:11:12", -1},
                {"2026-11-20T10:11:12Z ", -1},
                {"2026-13-20T10:11:12Z", -1},
                {"2026-11-00T10:11:12Z", -1},
                {"2026-11-20T24:11:12Z", -1},
                {"2026-11-20T10:11:12+2:00", -1},
                {"2026-11-20T10:11:12+24:00", -1},
                {"x026-11-20T10:11:12Z", -1},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                int64_t unix_s = -1;
                assert_int_equal(when_parse(cases[i].s, &unix_s), cases[i].unix_s != -1);
                assert_int_equal(unix_s, cases[i].unix_s);
        }
        int64_t long_ago = 0; /* what reproducible builds of old wrote */
        assert_true(when_parse("0001-01-01T00:00:00Z", &long_ago));
        assert_true(long_ago < 0);
        cleanup_free char *shown = when_date(1795169472);
        assert_string_equal(shown, "2026-11-20 10:11");
        cleanup_free char *never = when_date(INT64_MAX);
        assert_string_equal(never, "9223372036854775807");
}

static void spans(void **state)
{
        (void)state;
        static const struct {
                int64_t seconds;
                const char *s;
        } cases[] = {{-5, "0 s"}, {0, "0 s"}, {59, "59 s"}, {60, "1 min"}, {3599, "59 min"},
                {3600, "1 h"}, {12000, "3 h 20 min"}, {86399, "23 h 59 min"}, {86400, "1 d"},
                {446400, "5 d 4 h"}};
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_free char *shown = when_span(cases[i].seconds);
                assert_string_equal(shown, cases[i].s);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(dates),
                cmocka_unit_test(spans),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

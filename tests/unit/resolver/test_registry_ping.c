/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "tests/unit/resolver/scene.h"

static void pings(void **state)
{
        (void)state;
        static const struct {
                const char *rules, *auth;
                enum err_code code;
        } cases[] = {
                {NULL, NULL, ERR_NONE},
                {NULL, "{\".*\": {\"scheme\": \"bearer\"}}", ERR_NONE},
                {"[{\"status\": 404}]", NULL, ERR_NONE},
                {"[{\"status\": 429}]", NULL, ERR_NONE},
                {"[{\"redirect\": \"$OTHER/\"}]", NULL, ERR_NONE},
                {"[{\"status\": 500}]", NULL, ERR_UPSTREAM},
                {"[{\"status\": 503}]", NULL, ERR_UPSTREAM},
                {"[{\"hang_up\": true}]", NULL, ERR_UNREACHABLE},
                {"[{\"silence\": true}]", NULL, ERR_TIMEOUT},
        };
        cleanup_free char *origin = stage_text(&stage, "$HOME");
        cleanup_free char *base = mem_printf("%s/v2", origin);
        const struct upstream u = {.host = origin, .base_url = base, .origin = origin};
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct err e = {0};
                stage.registry = registry_new();
                stage_set(&stage, &stage.home, cases[i].rules, cases[i].auth);
                int64_t timeout_ms = cases[i].code == ERR_TIMEOUT ? 200 : 5000;
                int result = registry_ping(stage.registry, &u, timeout_ms, NULL, &e);
                assert_int_equal(result, cases[i].code == ERR_NONE ? 0 : -1);
                assert_int_equal(e.code, cases[i].code);
                cleanup_free char *story = fake_story(&stage.home);
                assert_string_equal(story, "GET /v2/ -\n");
                registry_free(stage.registry);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(pings)};
        return cmocka_run_group_tests(tests, stage_open, stage_close);
}

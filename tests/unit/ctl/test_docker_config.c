/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "base/mem.h"
#include "ctl/docker_config.h"

static const char config[] =
        "{\"auths\": {"
        "  \"https://index.docker.io/v1/\": {\"auth\": \"hub\"},"
        "  \"ghcr.io\": {\"auth\": \"ghcr\"},"
        "  \"https://quay.io/v2/\": {\"auth\": \"quay\"},"
        "  \"quay.io/team\": {\"auth\": \"quay-team\"},"
        "  \"quay.io/team/app\": {\"auth\": \"quay-app\"},"
        "  \"http://registry:5000\": {\"auth\": \"port\"},"
        "  \"empty.example\": {}"
        "}, \"credHelpers\": {\"gcr.io\": \"gcloud\", \"https://index.docker.io/v1/\": \"hub\"},"
        "\"credsStore\": \"desktop\"}";

static json_t *parsed(const char *text)
{
        struct err e;
        json_t *out = NULL;
        if (docker_config_parse(text, strlen(text), "config.json", &out, &e) < 0)
                fail_msg("%s", e.msg);
        return out;
}

static void entries(void **state)
{
        (void)state;
        static const struct {
                const char *host, *repository, *auth;
        } cases[] = {
                {"docker.io", "library/nginx", "hub"},
                {"ghcr.io", "team/app", "ghcr"},
                {"quay.io", "other/app", "quay"},
                {"quay.io", "team/other", "quay-team"},
                {"quay.io", "team/app", "quay-app"},
                {"quay.io", "team/app/sub", "quay-app"},
                {"quay.io", "team/apple", "quay-team"},
                {"quay.io", "teamwork", "quay"},
                {"registry:5000", "a", "port"},
                {"registry", "a", NULL},
                {"hcr.io", "a", NULL},
                {"xghcr.io", "a", NULL},
                {"empty.example", "a", NULL},
        };
        json_t *c = parsed(config);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                const json_t *entry = docker_config_entry(c, cases[i].host, cases[i].repository);
                const char *auth = json_string_value(json_object_get(entry, "auth"));
                if (cases[i].auth == NULL)
                        assert_null(entry);
                else
                        assert_string_equal(auth, cases[i].auth);
        }
        json_decref(c);
}

static void other_names_of_docker_hub(void **state)
{
        (void)state;
        static const char *const names[] = {
                "docker.io", "https://registry-1.docker.io", "index.docker.io/v1"};
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                cleanup_free char *text =
                        mem_printf("{\"auths\": {\"%s\": {\"auth\": \"x\"}}}", names[i]);
                json_t *c = parsed(text);
                assert_non_null(docker_config_entry(c, "docker.io", "library/nginx"));
                json_decref(c);
        }
        assert_string_equal(docker_config_server("docker.io"), "https://index.docker.io/v1/");
        assert_string_equal(docker_config_server("ghcr.io"), "ghcr.io");
}

static void helpers(void **state)
{
        (void)state;
        json_t *c = parsed(config);
        assert_string_equal(docker_config_helper(c, "gcr.io"), "gcloud");
        assert_string_equal(docker_config_helper(c, "docker.io"), "hub");
        assert_string_equal(docker_config_helper(c, "ghcr.io"), "desktop");
        json_decref(c);
        json_t *none = parsed("{\"credsStore\": \"\"}");
        assert_null(docker_config_helper(none, "ghcr.io"));
        assert_null(docker_config_entry(none, "ghcr.io", "a"));
        json_decref(none);
        json_t *odd = parsed("{\"auths\": [1], \"credHelpers\": 7, \"credsStore\": {}}");
        assert_null(docker_config_helper(odd, "ghcr.io"));
        assert_null(docker_config_entry(odd, "ghcr.io", "a"));
        json_decref(odd);
}

/* What is in the file may be a secret: an error says where, never what. */
static void not_json(void **state)
{
        (void)state;
        static const struct {
                const char *text, *said;
        } cases[] = {
                {"{\"auths\": secret}", "config.json:1:16: not JSON as Docker's config.json is"},
                {"", "config.json:1:0: not JSON as Docker's config.json is"},
                {"[\"secret\"]", "config.json: not a JSON object as Docker's config.json is"},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct err e;
                json_t *out = NULL;
                assert_int_equal(docker_config_parse(cases[i].text, strlen(cases[i].text),
                                         "config.json", &out, &e),
                        -1);
                assert_null(out);
                assert_int_equal(e.code, ERR_CONFIG);
                assert_string_equal(e.msg, cases[i].said);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(entries),
                cmocka_unit_test(other_names_of_docker_hub),
                cmocka_unit_test(helpers),
                cmocka_unit_test(not_json),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

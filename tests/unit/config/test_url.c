/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "config/url.h"

static void hosts_of_references(void **state)
{
        (void)state;
        static const struct {
                const char *host;
                bool valid;
        } cases[] = {
                {"ghcr.io", true},
                {"localhost", true},
                {"LOCALHOST", true},
                {"localhost:5000", true},
                {"registry:5000", true},
                {"10.0.0.1", true},
                {"10.0.0.1:5000", true},
                {"[::1]:5000", true},
                {"[fe80::1]", true},
                {"a-b.example.com", true},
                {"Registry.Example.COM", true},
                {"", false},
                {"registry", false},
                {"default", false},
                {".io", false},
                {"ghcr.", false},
                {"ghcr..io", false},
                {"-a.io", false},
                {"a-.io", false},
                {"a_b.io", false},
                {"ghcr.io:", false},
                {"ghcr.io:http", false},
                {"ghcr.io:123456", false},
                {"ghcr.io:5000:5000", false},
                {"https://ghcr.io", false},
                {"ghcr.io/library", false},
                {"user@ghcr.io", false},
                {"ghcr.io ", false},
                {"*.io", false},
                {"::1", false},
                {"[::1", false},
                {"[]:5000", false},
                {"[::g]", false},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                if (url_host_valid(cases[i].host) != cases[i].valid)
                        fail_msg("%s: not %s", cases[i].host, cases[i].valid ? "valid" : "invalid");
}

static void loopback_hosts(void **state)
{
        (void)state;
        static const struct {
                const char *host;
                bool loopback;
        } cases[] = {
                {"localhost", true},
                {"LocalHost:5000", true},
                {"127.0.0.1", true},
                {"127.255.3.4:80", true},
                {"[::1]", true},
                {"[::1]:5000", true},
                {"[0:0:0:0:0:0:0:1]:5000", true},
                {"localhost.example.com", false},
                {"127.example.com", false},
                {"128.0.0.1", false},
                {"10.0.0.1:5000", false},
                {"[::2]:5000", false},
                {"ghcr.io", false},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                if (url_host_is_loopback(cases[i].host) != cases[i].loopback)
                        fail_msg("%s", cases[i].host);
}

static void hosts_are_normalised(void **state)
{
        (void)state;
        static const char *const cases[][2] = {
                {"GHCR.io", "ghcr.io"},
                {"index.docker.io", "docker.io"},
                {"Index.Docker.IO", "docker.io"},
                {"registry-1.docker.io", "registry-1.docker.io"},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_free char *host = url_host_normalise(cases[i][0]);
                assert_string_equal(host, cases[i][1]);
        }
        assert_string_equal(url_host_port("ghcr.io"), "");
        assert_string_equal(url_host_port("ghcr.io:443"), "443");
        assert_string_equal(url_host_port("[::1]"), "");
        assert_string_equal(url_host_port("[::1]:5000"), "5000");
}

static void urls(void **state)
{
        (void)state;
        static const struct {
                const char *url, *scheme, *authority, *path; /* scheme NULL: no URL */
        } cases[] = {
                {"https://ghcr.io", "https", "ghcr.io", ""},
                {"https://ghcr.io/", "https", "ghcr.io", ""},
                {"HTTP://127.0.0.1:5000", "http", "127.0.0.1:5000", ""},
                {"http://registry_1:5000", "http", "registry_1:5000", ""},
                {"https://h.example.com:8443/a/b//", "https", "h.example.com:8443", "/a/b"},
                {"https://[::1]:5000/v2", "https", "[::1]:5000", "/v2"},
                {"", NULL, NULL, NULL},
                {"ghcr.io", NULL, NULL, NULL},
                {"ftp://ghcr.io", NULL, NULL, NULL},
                {"https://", NULL, NULL, NULL},
                {"https:///v2", NULL, NULL, NULL},
                {"https://user:secret@ghcr.io", NULL, NULL, NULL},
                {"https://ghcr.io?x=1", NULL, NULL, NULL},
                {"https://ghcr.io/#x", NULL, NULL, NULL},
                {"https://ghcr.io/a b", NULL, NULL, NULL},
                {"https://ghcr.io/a\nb", NULL, NULL, NULL},
                {"https://ghcr.io:99999", "https", "ghcr.io:99999", ""}, /* as Go's url.Parse */
                {"https://ghcr.io:port", NULL, NULL, NULL},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_url struct url u;
                assert_int_equal(url_parse(cases[i].url, &u), cases[i].scheme != NULL);
                if (cases[i].scheme == NULL) {
                        assert_null(u.scheme);
                        continue;
                }
                assert_string_equal(u.scheme, cases[i].scheme);
                assert_string_equal(u.authority, cases[i].authority);
                assert_string_equal(u.path, cases[i].path);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(hosts_of_references),
                cmocka_unit_test(loopback_hosts),
                cmocka_unit_test(hosts_are_normalised),
                cmocka_unit_test(urls),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

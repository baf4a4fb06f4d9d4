/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "resolver/proxy_rule.h"

static const char *const names[] = {
        "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"};

static int clear(void **state)
{
        (void)state;
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                unsetenv(names[i]);
        return 0;
}

static void environment(void **state)
{
        (void)state;
        static const struct {
                const char *name, *value, *http, *https;
        } cases[] = {
                {"HTTP_PROXY", "http://p:1", "http://p:1", NULL},
                {"http_proxy", "http://p:1", "http://p:1", NULL},
                {"HTTPS_PROXY", "http://p:1", NULL, "http://p:1"},
                {"https_proxy", "https://p:1", NULL, "https://p:1"},
                {"HTTP_PROXY", "p:1", "http://p:1", NULL},
                {"HTTPS_PROXY", "user:word@p:1", NULL, "http://user:word@p:1"},
                {"HTTPS_PROXY", "socks5://p:1", NULL, "socks5h://p:1"},
                {"HTTPS_PROXY", "socks5h://p:1", NULL, "socks5h://p:1"},
                {"HTTPS_PROXY", "", NULL, NULL},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                clear(NULL);
                setenv(cases[i].name, cases[i].value, 1);
                struct proxy_rule r;
                proxy_rule_init(&r);
                const char *http = proxy_rule_for(&r, false, "example.com", "80");
                const char *https = proxy_rule_for(&r, true, "example.com", "443");
                assert_int_equal(http == NULL, cases[i].http == NULL);
                assert_int_equal(https == NULL, cases[i].https == NULL);
                if (http != NULL)
                        assert_string_equal(http, cases[i].http);
                if (https != NULL)
                        assert_string_equal(https, cases[i].https);
                proxy_rule_fini(&r);
        }
}

static void upper_case_counts_first(void **state)
{
        (void)state;
        setenv("HTTP_PROXY", "http://upper:1", 1);
        setenv("http_proxy", "http://lower:1", 1);
        setenv("NO_PROXY", "a.example", 1);
        setenv("no_proxy", "b.example", 1);
        struct proxy_rule r;
        proxy_rule_init(&r);
        assert_string_equal(proxy_rule_for(&r, false, "b.example", "80"), "http://upper:1");
        assert_null(proxy_rule_for(&r, false, "a.example", "80"));
        proxy_rule_fini(&r);
}

static void of_another_process(void **state)
{
        (void)state;
        static const char block[] =
                "XHTTPS_PROXY=http://no:1\0\0HTTPS_PROXY=\0https_proxy=lower:1\0"
                "https_proxy=second:1\0NO_PROXY=a.example";
        setenv("HTTP_PROXY", "http://ours:1", 1);
        struct proxy_rule r;
        proxy_rule_init_from(&r, block, sizeof(block) - 1);
        assert_string_equal(proxy_rule_for(&r, true, "b.example", "443"), "http://lower:1");
        assert_null(proxy_rule_for(&r, true, "a.example", "443"));
        assert_null(proxy_rule_for(&r, false, "b.example", "80"));
        proxy_rule_fini(&r);
        proxy_rule_init_from(&r, "", 0);
        assert_null(r.http_proxy);
        proxy_rule_fini(&r);
}

static void exceptions(void **state)
{
        (void)state;
        static const struct {
                const char *no_proxy, *host, *port;
                bool proxied;
        } cases[] = {
                {"", "example.com", "443", true},
                {"", "localhost", "443", false},
                {"", "LOCALHOST", "443", false},
                {"", "localhost.example", "443", true},
                {"", "127.0.0.1", "443", false},
                {"", "127.9.8.7", "443", false},
                {"", "::1", "443", false},
                {"", "::2", "443", true},
                {"", "10.0.0.1", "443", true},
                {"*", "example.com", "443", false},
                {"a, *", "example.com", "443", false},
                {"*x", "example.com", "443", true},
                {"example.com", "example.com", "443", false},
                {"example.com", "EXAMPLE.com", "443", false},
                {"EXAMPLE.com", "example.com", "443", false},
                {"example.com", "a.example.com", "443", false},
                {"example.com", "badexample.com", "443", true},
                {"example.com", "example.com.org", "443", true},
                {".example.com", "example.com", "443", true},
                {".example.com", "a.example.com", "443", false},
                {"*.example.com", "example.com", "443", true},
                {"*.example.com", "a.b.example.com", "443", false},
                {"example.com:443", "example.com", "443", false},
                {"example.com:443", "a.example.com", "443", false},
                {"example.com:443", "example.com", "5000", true},
                {" x.y ,\texample.com ", "example.com", "443", false},
                {"x.y,,example.com", "example.com", "443", false},
                {"com", "example.com", "443", false},
                {"10.0.0.1", "10.0.0.1", "443", false},
                {"10.0.0.1", "10.0.0.2", "443", true},
                {"10.0.0.1:80", "10.0.0.1", "443", true},
                {"10.0.0.1:443", "10.0.0.1", "443", false},
                {"10.0.0.0/8", "10.255.0.1", "443", false},
                {"10.0.0.0/8", "11.0.0.1", "443", true},
                {"10.0.0.128/25", "10.0.0.129", "443", false},
                {"10.0.0.128/25", "10.0.0.127", "443", true},
                {"0.0.0.0/0", "8.8.8.8", "443", false},
                {"10.0.0.0/8", "ten.example", "443", true},
                {"10.0.0.0/33", "10.0.0.1", "443", true},
                {"10.0.0.0/x", "10.0.0.1", "443", true},
                {"fd00::/8", "fd12::1", "443", false},
                {"fd00::/8", "fe80::1", "443", true},
                {"[fd00::1]:443", "fd00::1", "443", false},
                {"[fd00::1]:443", "fd00::1", "80", true},
                {"fd00::1", "fd00::1", "80", false},
                {"[fd00::1]", "fd00:0::1", "80", false},
                {"::/0", "fd00::1", "80", false},
                {":443", "example.com", "443", true},
                {".", "example.com", "443", true},
        };
        setenv("HTTPS_PROXY", "http://p:1", 1);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                setenv("NO_PROXY", cases[i].no_proxy, 1);
                struct proxy_rule r;
                proxy_rule_init(&r);
                bool proxied = proxy_rule_for(&r, true, cases[i].host, cases[i].port) != NULL;
                if (proxied != cases[i].proxied)
                        fail_msg("NO_PROXY=%s: %s:%s goes %s", cases[i].no_proxy, cases[i].host,
                                cases[i].port, proxied ? "through the proxy" : "directly");
                proxy_rule_fini(&r);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(environment, clear),
                cmocka_unit_test_setup(upper_case_counts_first, clear),
                cmocka_unit_test_setup(of_another_process, clear),
                cmocka_unit_test_setup(exceptions, clear),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include <arpa/inet.h>

#include "resolver/http.h"
#include "resolver/local_address.h"

static const struct {
        const char *text;
        bool local;
} addresses[] = {
        {"127.0.0.1", true},
        {"127.255.255.254", true},
        {"126.255.255.255", false},
        {"128.0.0.1", false},
        {"0.0.0.0", true},
        {"0.1.2.3", true},
        {"1.0.0.0", false},
        {"169.254.169.254", true},
        {"169.253.255.255", false},
        {"169.255.0.0", false},
        {"10.0.0.1", false},
        {"192.168.1.1", false},
        {"192.0.2.1", false},
        {"::", true},
        {"::1", true},
        {"::7f00:1", true},
        {"::ffff:127.0.0.1", true},
        {"::ffff:0.0.0.0", true},
        {"::ffff:169.254.169.254", true},
        {"::ffff:192.0.2.1", false},
        {"fe80::1", true},
        {"febf:ffff::1", true},
        {"fec0::1", false},
        {"fe00::1", false},
        {"fd00::1", false},
        {"2001:db8::1", false},
        {"2001:db8::7f00:1", false},
        {"100::1", false},
};

static bool is_local(const char *text, char name[LOCAL_ADDRESS_TEXT_MAX])
{
        union {
                struct sockaddr any;
                struct sockaddr_in v4;
                struct sockaddr_in6 v6;
        } a = {.v4 = {.sin_family = AF_INET}};
        socklen_t size = sizeof(a.v4);
        if (inet_pton(AF_INET, text, &a.v4.sin_addr) != 1) {
                a.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6};
                size = sizeof(a.v6);
                assert_int_equal(inet_pton(AF_INET6, text, &a.v6.sin6_addr), 1);
        }
        local_address_text(&a.any, size, name);
        return local_address(&a.any, size);
}

static void addresses_of_this_node(void **state)
{
        (void)state;
        for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
                char name[LOCAL_ADDRESS_TEXT_MAX];
                if (is_local(addresses[i].text, name) != addresses[i].local)
                        fail_msg("%s", addresses[i].text);
                if (local_address_host(addresses[i].text) != addresses[i].local)
                        fail_msg("%s as a host", addresses[i].text);
                if (strcmp(addresses[i].text, "::7f00:1") != 0)
                        assert_string_equal(name, addresses[i].text);
        }
}

static void what_is_no_address(void **state)
{
        (void)state;
        const struct sockaddr unix_socket = {.sa_family = AF_UNIX};
        char name[LOCAL_ADDRESS_TEXT_MAX] = "x";
        assert_false(local_address(&unix_socket, sizeof(unix_socket)));
        local_address_text(&unix_socket, sizeof(unix_socket), name);
        assert_string_equal(name, "");
}

static void urls_of_this_node(void **state)
{
        (void)state;
        static const struct {
                const char *url;
                bool local;
        } cases[] = {
                {"http://localhost", true},
                {"http://LocalHost:5000/v2", true},
                {"https://registry.localhost/v2", true},
                {"https://notlocalhost/v2", false},
                {"https://localhost.example/v2", false},
                {"http://127.0.0.1:5000", true},
                {"http://127.1:5000", true},
                {"http://2130706433/", true},
                {"http://[::1]:5000", true},
                {"https://[fe80::1%25eth0]/", true},
                {"https://[2001:db8::1]/", false},
                {"https://127.0.0.1.example/", false},
                {"https://registry.example:443/v2/127.0.0.1", false},
                {"https://127.0.0.1@registry.example/", false},
                {"file://localhost/etc", false},
                {"localhost:x", false},
                {"", false},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                if (http_url_is_local(cases[i].url) != cases[i].local)
                        fail_msg("%s", cases[i].url);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(addresses_of_this_node),
                cmocka_unit_test(what_is_no_address),
                cmocka_unit_test(urls_of_this_node),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

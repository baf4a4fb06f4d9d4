/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>

#include "config/address.h"

static void addresses(void **state)
{
        (void)state;
        struct sockaddr_storage out;
        socklen_t size = 0;
        assert_true(address_parse("127.0.0.1:9779", &out, &size));
        const struct sockaddr_in *four = (const struct sockaddr_in *)&out;
        assert_int_equal(size, sizeof(*four));
        assert_int_equal(four->sin_family, AF_INET);
        assert_int_equal(ntohs(four->sin_port), 9779);
        assert_int_equal(ntohl(four->sin_addr.s_addr), INADDR_LOOPBACK);
        assert_true(address_parse("[::1]:65535", &out, &size));
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&out;
        assert_int_equal(size, sizeof(*six));
        assert_int_equal(six->sin6_family, AF_INET6);
        assert_int_equal(ntohs(six->sin6_port), 65535);
        assert_memory_equal(&six->sin6_addr, &in6addr_loopback, sizeof(in6addr_loopback));
        assert_true(address_parse("0.0.0.0:1", &out, &size));
        assert_true(address_parse("[fe80::1:2]:1", &out, &size));
}

static void what_is_none(void **state)
{
        (void)state;
        static const char *const wrong[] = {"", ":", "127.0.0.1", "127.0.0.1:", ":9779", "9779",
                "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:99999999999999999999",
                "127.0.0.1:9779 ", " 127.0.0.1:9779", "127.0.0.1: 9779", "127.0.0.1:+9779",
                "127.0.0.1:0x10", "localhost:9779", "127.1:9779", "256.0.0.1:9779",
                "127.0.0.1:9779/metrics", "http://127.0.0.1:9779", "::1:9779", "[::1]",
                "[::1]:", "[::1]9779", "[]:9779", "[:9779", "]:9779", "[127.0.0.1]:9779",
                "[::1]]:9779", "[[::1]:9779", "[::1%lo]:9779", "[::g]:9779", "unix:///run/x"};
        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
                struct sockaddr_storage out;
                socklen_t size = 0;
                if (address_parse(wrong[i], &out, &size))
                        fail_msg("\"%s\" is taken for an address", wrong[i]);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(addresses),
                cmocka_unit_test(what_is_none),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/local_address.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

static bool is_local_ipv4(const unsigned char a[4])
{
        return a[0] == 127 || a[0] == 0 || (a[0] == 169 && a[1] == 254);
}

static bool is_local_ipv6(const unsigned char a[16])
{
        static const unsigned char zeros[12];
        static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
        if (memcmp(a, mapped, sizeof(mapped)) == 0)
                return is_local_ipv4(a + sizeof(mapped));
        /* ::, ::1, and the form of IPv4 that nobody is reached by any more. */
        return memcmp(a, zeros, sizeof(zeros)) == 0 || (a[0] == 0xfe && (a[1] & 0xc0) == 0x80);
}

bool local_address(const struct sockaddr *a, socklen_t size)
{
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        if (a->sa_family == AF_INET && size >= sizeof(v4)) {
                memcpy(&v4, a, sizeof(v4));
                return is_local_ipv4((const unsigned char *)&v4.sin_addr);
        }
        if (a->sa_family == AF_INET6 && size >= sizeof(v6)) {
                memcpy(&v6, a, sizeof(v6));
                return is_local_ipv6(v6.sin6_addr.s6_addr);
        }
        return false;
}

void local_address_text(const struct sockaddr *a, socklen_t size, char text[LOCAL_ADDRESS_TEXT_MAX])
{
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        text[0] = '\0';
        if (a->sa_family == AF_INET && size >= sizeof(v4)) {
                memcpy(&v4, a, sizeof(v4));
                inet_ntop(AF_INET, &v4.sin_addr, text, LOCAL_ADDRESS_TEXT_MAX);
        } else if (a->sa_family == AF_INET6 && size >= sizeof(v6)) {
                memcpy(&v6, a, sizeof(v6));
                inet_ntop(AF_INET6, &v6.sin6_addr, text, LOCAL_ADDRESS_TEXT_MAX);
        }
}

bool local_address_host(const char *host)
{
        static const char name[] = "localhost";
        unsigned char bytes[16];
        size_t size = strlen(host);
        size_t name_size = sizeof(name) - 1;
        if (inet_pton(AF_INET, host, bytes) == 1)
                return is_local_ipv4(bytes);
        if (inet_pton(AF_INET6, host, bytes) == 1)
                return is_local_ipv6(bytes);
        return size >= name_size && strcasecmp(host + size - name_size, name) == 0 &&
               (size == name_size || host[size - name_size - 1] == '.');
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "config/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { PORT_DIGITS_MAX = 5 };

/* 1 to 65535, in decimal digits alone; 0 for anything else. */
static uint16_t port_of(const char *s)
{
        size_t digits = strspn(s, "0123456789");
        if (digits == 0 || digits > PORT_DIGITS_MAX || s[digits] != '\0')
                return 0;
        long number = strtol(s, NULL, 10);
        return number <= UINT16_MAX ? (uint16_t)number : 0;
}

bool address_parse(const char *s, struct sockaddr_storage *out, socklen_t *size)
{
        struct sockaddr_in four = {.sin_family = AF_INET};
        struct sockaddr_in6 six = {.sin6_family = AF_INET6};
        const char *colon = strrchr(s, ':');
        uint16_t port = colon != NULL ? port_of(colon + 1) : 0;
        if (port == 0)
                return false;
        bool brackets = s[0] == '[' && colon[-1] == ']' && colon - s > 2;
        cleanup_free char *host = brackets ? mem_strndup(s + 1, (size_t)(colon - s) - 2)
                                           : mem_strndup(s, (size_t)(colon - s));
        four.sin_port = six.sin6_port = htons(port);
        memset(out, 0, sizeof(*out));
        if (!brackets && inet_pton(AF_INET, host, &four.sin_addr) == 1)
                memcpy(out, &four, *size = sizeof(four));
        else if (brackets && inet_pton(AF_INET6, host, &six.sin6_addr) == 1)
                memcpy(out, &six, *size = sizeof(six));
        else
                return false;
        return true;
}

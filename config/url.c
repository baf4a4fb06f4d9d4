/* SPDX-License-Identifier: Apache-2.0 */
#include "config/url.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { HOST_MAX = 255, PORT_DIGITS_MAX = 5 };

static bool is_printable(const char *s)
{
        for (; *s != '\0'; s++)
                if (*s <= ' ' || *s > '~')
                        return false;
        return true;
}

/* Underscores are for servers: no reference has one in its host. */
static bool label_valid(const char *s, size_t size)
{
        for (size_t i = 0; i < size; i++) {
                bool inner = i > 0 && i + 1 < size;
                if (!isalnum((unsigned char)s[i]) && !(inner && (s[i] == '-' || s[i] == '_')))
                        return false;
        }
        return size > 0;
}

static bool name_valid(const char *s, size_t size)
{
        const char *end = s + size;
        for (;;) {
                const char *dot = memchr(s, '.', (size_t)(end - s));
                if (!label_valid(s, (size_t)((dot != NULL ? dot : end) - s)))
                        return false;
                if (dot == NULL)
                        return true;
                s = dot + 1;
        }
}

static bool bracketed_valid(const char *s, size_t size)
{
        if (size < 4 || s[0] != '[' || s[size - 1] != ']')
                return false;
        for (size_t i = 1; i < size - 1; i++)
                if (!isxdigit((unsigned char)s[i]) && s[i] != ':')
                        return false;
        return true;
}

/* Where the port's colon stands, or the end. */
static const char *port_colon(const char *host)
{
        const char *colon = strrchr(host, ':');
        const char *bracket = strrchr(host, ']');
        return colon == NULL || (bracket != NULL && colon < bracket) ? host + strlen(host) : colon;
}

const char *url_host_port(const char *host)
{
        const char *colon = port_colon(host);
        return *colon == '\0' ? colon : colon + 1;
}

bool url_port_valid(const char *host)
{
        const char *port = url_host_port(host);
        long number = strtol(port, NULL, 10);
        return port[0] == '\0' || (number >= 1 && number <= UINT16_MAX);
}

static bool authority_valid(const char *s)
{
        const char *colon = port_colon(s);
        size_t size = (size_t)(colon - s);
        if (strlen(s) > HOST_MAX || !(name_valid(s, size) || bracketed_valid(s, size)))
                return false;
        if (*colon == '\0')
                return true;
        size_t digits = strspn(colon + 1, "0123456789");
        return digits > 0 && digits <= PORT_DIGITS_MAX && colon[1 + digits] == '\0';
}

bool url_host_valid(const char *s)
{
        return authority_valid(s) && strchr(s, '_') == NULL &&
               (strpbrk(s, ".:") != NULL || strcasecmp(s, "localhost") == 0);
}

char *url_host_normalise(const char *s)
{
        char *host = mem_strdup(strcasecmp(s, "index.docker.io") == 0 ? "docker.io" : s);
        for (char *c = host; *c != '\0'; c++)
                *c = (char)tolower((unsigned char)*c);
        return host;
}

bool url_host_is_loopback(const char *host)
{
        cleanup_free char *name = mem_strndup(host, (size_t)(port_colon(host) - host));
        size_t size = strlen(name);
        if (strcasecmp(name, "localhost") == 0)
                return true;
        struct in_addr four;
        if (inet_pton(AF_INET, name, &four) == 1)
                return ntohl(four.s_addr) >> 24 == IN_LOOPBACKNET;
        if (size < 2 || name[0] != '[' || name[size - 1] != ']')
                return false;
        name[size - 1] = '\0';
        struct in6_addr six;
        return inet_pton(AF_INET6, name + 1, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

void url_fini(struct url *u)
{
        free(u->scheme);
        free(u->authority);
        free(u->path);
        *u = (struct url){0};
}

static void cut_slashes(char *path)
{
        for (size_t size = strlen(path); size > 0 && path[size - 1] == '/'; size--)
                path[size - 1] = '\0';
}

bool url_parse(const char *s, struct url *out)
{
        *out = (struct url){0};
        const char *mark = strstr(s, "://");
        if (mark == NULL || !is_printable(s) || strpbrk(s, "?#@\\\"<>") != NULL)
                return false;
        cleanup_free char *scheme = mem_strndup(s, (size_t)(mark - s));
        if (strcasecmp(scheme, "http") != 0 && strcasecmp(scheme, "https") != 0)
                return false;
        const char *host = mark + strlen("://");
        cleanup_free char *authority = mem_strndup(host, strcspn(host, "/"));
        if (!authority_valid(authority))
                return false;
        *out = (struct url){.scheme = url_host_normalise(scheme),
                .authority = take(&authority),
                .path = mem_strdup(host + strcspn(host, "/"))};
        cut_slashes(out->path);
        return true;
}

int url_base(const char *s, char **out, struct err *e)
{
        cleanup_url struct url u = {0};
        *out = NULL;
        if (s == NULL || !url_parse(s, &u))
                return err_set(e, ERR_CONFIG,
                        "not a URL of the form \"https://host:port/path\" or \"http://...\" "
                        "(without user, query and fragment)");
        if (!url_port_valid(u.authority))
                return err_set(e, ERR_CONFIG, "got the port %s; allowed: 1 to 65535",
                        url_host_port(u.authority));
        size_t size = strlen(u.path);
        if (size >= 3 && strcmp(u.path + size - 3, "/v2") == 0)
                u.path[size - 3] = '\0';
        cut_slashes(u.path);
        *out = mem_printf("%s://%s%s", u.scheme, u.authority, u.path);
        return 0;
}

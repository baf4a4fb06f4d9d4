/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/proxy_rule.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

/* An address of either family, IPv4 in its IPv6-mapped form so that both compare alike. */
struct address {
        unsigned char bytes[16];
        bool mapped;
};

static const unsigned char mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

static bool address_parse(const char *s, struct address *a)
{
        *a = (struct address){0};
        if (inet_pton(AF_INET, s, a->bytes + sizeof(mapped_prefix)) == 1) {
                memcpy(a->bytes, mapped_prefix, sizeof(mapped_prefix));
                a->mapped = true;
                return true;
        }
        if (inet_pton(AF_INET6, s, a->bytes) != 1)
                return false;
        a->mapped = memcmp(a->bytes, mapped_prefix, sizeof(mapped_prefix)) == 0;
        return true;
}

static bool is_loopback(const struct address *a)
{
        static const unsigned char one[16] = {[15] = 1};
        if (a->mapped)
                return a->bytes[12] == 127;
        return memcmp(a->bytes, one, sizeof(one)) == 0;
}

/* "NAME=value" with a NUL behind each, as /proc has it; NULL: our own. */
struct environment {
        const char *text;
        size_t size;
};

static const char *look_up(const struct environment *e, const char *name)
{
        if (e->text == NULL)
                return getenv(name);
        size_t size = strlen(name);
        for (size_t at = 0; at < e->size; at += strlen(e->text + at) + 1)
                if (strncmp(e->text + at, name, size) == 0 && e->text[at + size] == '=')
                        return e->text + at + size + 1;
        return NULL;
}

static char *read_environment(const struct environment *e, const char *upper, const char *lower)
{
        const char *value = look_up(e, upper);
        if (value == NULL || value[0] == '\0')
                value = look_up(e, lower);
        return value == NULL || value[0] == '\0' ? NULL : mem_strdup(value);
}

/* A proxy without scheme speaks HTTP. Go's socks5 leaves names to the proxy, which curl calls
 * socks5h. */
static char *normalise_proxy(char *proxy)
{
        if (proxy == NULL)
                return NULL;
        char *out;
        if (strncasecmp(proxy, "socks5://", strlen("socks5://")) == 0)
                out = mem_printf("socks5h://%s", proxy + strlen("socks5://"));
        else if (strstr(proxy, "://") == NULL)
                out = mem_printf("http://%s", proxy);
        else
                return proxy;
        mem_free_secret(proxy);
        return out;
}

static void read_rule(struct proxy_rule *r, const struct environment *e)
{
        r->http_proxy = normalise_proxy(read_environment(e, "HTTP_PROXY", "http_proxy"));
        r->https_proxy = normalise_proxy(read_environment(e, "HTTPS_PROXY", "https_proxy"));
        r->no_proxy = read_environment(e, "NO_PROXY", "no_proxy");
}

void proxy_rule_init(struct proxy_rule *r)
{
        read_rule(r, &(struct environment){0});
}

void proxy_rule_init_from(struct proxy_rule *r, const char *environment, size_t size)
{
        read_rule(r, &(struct environment){.text = environment, .size = size});
}

void proxy_rule_fini(struct proxy_rule *r)
{
        mem_free_secret(r->http_proxy);
        mem_free_secret(r->https_proxy);
        free(r->no_proxy);
        *r = (struct proxy_rule){0};
}

static bool same_bits(const unsigned char *a, const unsigned char *b, unsigned bits)
{
        unsigned whole = bits / 8;
        if (memcmp(a, b, whole) != 0)
                return false;
        unsigned mask = bits % 8 == 0 ? 0 : 0xffU << (8 - bits % 8);
        return ((a[whole < 16 ? whole : 15] ^ b[whole < 16 ? whole : 15]) & mask & 0xffU) == 0;
}

/* "10.0.0.0/8" or "fd00::/8". *is_block says whether the entry is one at all. */
static bool block_matches(const char *entry, const struct address *a, bool *is_block)
{
        *is_block = false;
        const char *slash = strchr(entry, '/');
        if (slash == NULL)
                return false;
        cleanup_free char *network = mem_strndup(entry, (size_t)(slash - entry));
        struct address base;
        char *end;
        unsigned long bits = strtoul(slash + 1, &end, 10);
        bool four = strchr(network, ':') == NULL;
        if (!address_parse(network, &base) || end == slash + 1 || *end != '\0' ||
                bits > (four ? 32 : 128))
                return false;
        *is_block = true;
        return a != NULL && same_bits(base.bytes, a->bytes, (unsigned)bits + (four ? 96 : 0));
}

/* Cuts ":port" off "host:port" or "[address]:port"; leaves a bare address alone. */
static const char *cut_port(char *entry)
{
        char *colon = strrchr(entry, ':');
        if (colon == NULL)
                return "";
        if (entry[0] == '[') {
                if (colon == entry || colon[-1] != ']')
                        return "";
        } else if (strchr(entry, ':') != colon) {
                return "";
        }
        *colon = '\0';
        return colon + 1;
}

static char *cut_brackets(char *s)
{
        size_t n = strlen(s);
        if (n < 2 || s[0] != '[' || s[n - 1] != ']')
                return s;
        s[n - 1] = '\0';
        return s + 1;
}

/* "example.com" means itself and what is below it; ".example.com" and "*.example.com" mean what is
 * below alone. */
static bool domain_matches(const char *entry, const char *host)
{
        if (strncmp(entry, "*.", 2) == 0)
                entry++;
        bool below_only = entry[0] == '.';
        if (below_only)
                entry++;
        size_t n = strlen(entry);
        size_t h = strlen(host);
        if (n == 0)
                return false;
        if (h == n)
                return !below_only && strcasecmp(entry, host) == 0;
        return h > n && host[h - n - 1] == '.' && strcasecmp(host + h - n, entry) == 0;
}

static bool entry_matches(char *entry, const char *host, const struct address *a, const char *port)
{
        if (strcmp(entry, "*") == 0)
                return true;
        bool is_block;
        bool inside = block_matches(entry, a, &is_block);
        if (is_block)
                return inside;
        const char *entry_port = cut_port(entry);
        entry = cut_brackets(entry);
        if (entry_port[0] != '\0' && strcmp(entry_port, port) != 0)
                return false;
        struct address own;
        if (address_parse(entry, &own))
                return a != NULL && memcmp(own.bytes, a->bytes, sizeof(own.bytes)) == 0;
        return domain_matches(entry, host);
}

static bool excepted(
        const char *no_proxy, const char *host, const struct address *a, const char *port)
{
        if (no_proxy == NULL)
                return false;
        cleanup_free char *list = mem_strdup(no_proxy);
        char *rest = list;
        for (char *entry; (entry = strsep(&rest, ",")) != NULL;) {
                entry += strspn(entry, " \t\r\n");
                for (size_t n = strlen(entry); n > 0 && strchr(" \t\r\n", entry[n - 1]); n--)
                        entry[n - 1] = '\0';
                if (entry[0] != '\0' && entry_matches(entry, host, a, port))
                        return true;
        }
        return false;
}

const char *proxy_rule_for(
        const struct proxy_rule *r, bool https, const char *host, const char *port)
{
        const char *proxy = https ? r->https_proxy : r->http_proxy;
        if (proxy == NULL || strcasecmp(host, "localhost") == 0)
                return NULL;
        struct address address;
        bool literal = address_parse(host, &address);
        if (literal && is_loopback(&address))
                return NULL;
        return excepted(r->no_proxy, host, literal ? &address : NULL, port) ? NULL : proxy;
}

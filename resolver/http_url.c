/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/http_url.h"

#include <curl/curl.h>
#include <string.h>
#include <strings.h>

#include "resolver/http.h"
#include "resolver/local_address.h"

/* Part of a URL with no default port; NULL if there is none. */
static char *url_part(CURLU *url, CURLUPart part, unsigned flags)
{
        char *value = NULL;
        if (curl_url_get(url, part, &value, flags) != CURLUE_OK)
                return NULL;
        char *copy = mem_strdup(value);
        curl_free(value);
        return copy;
}

static void url_free(CURLU **url)
{
        curl_url_cleanup(*url);
}

static bool is_http(CURLU *url)
{
        cleanup_free char *scheme = url_part(url, CURLUPART_SCHEME, 0);
        return scheme != NULL &&
               (strcasecmp(scheme, "http") == 0 || strcasecmp(scheme, "https") == 0);
}

char *http_url_origin(const char *text)
{
        cleanup(url_free) CURLU *url = curl_url();
        if (curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK || !is_http(url))
                return NULL;
        cleanup_free char *scheme = url_part(url, CURLUPART_SCHEME, 0);
        cleanup_free char *host = url_part(url, CURLUPART_HOST, 0);
        cleanup_free char *port = url_part(url, CURLUPART_PORT, CURLU_NO_DEFAULT_PORT);
        if (host == NULL)
                return NULL;
        char *origin = mem_printf(
                "%s://%s%s%s", scheme, host, port != NULL ? ":" : "", port != NULL ? port : "");
        for (char *c = origin; *c != '\0'; c++)
                if (*c >= 'A' && *c <= 'Z')
                        *c = (char)(*c - 'A' + 'a');
        return origin;
}

int http_url_join(const char *base, const char *location, char **out, struct err *e)
{
        cleanup(url_free) CURLU *url = curl_url();
        if (curl_url_set(url, CURLUPART_URL, base, 0) != CURLUE_OK ||
                curl_url_set(url, CURLUPART_URL, location, CURLU_URLENCODE) != CURLUE_OK ||
                !is_http(url))
                return err_set(
                        e, ERR_PROTOCOL, "the redirect does not lead to a http or https URL");
        curl_url_set(url, CURLUPART_USER, NULL, 0);
        curl_url_set(url, CURLUPART_PASSWORD, NULL, 0);
        curl_url_set(url, CURLUPART_FRAGMENT, NULL, 0);
        *out = url_part(url, CURLUPART_URL, 0);
        return *out != NULL ? 0 : err_set(e, ERR_PROTOCOL, "the redirect's URL is malformed");
}

/* RFC 3986 section 2.3: all others are written in hexadecimal. */
static bool is_unreserved(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '.' || c == '_' || c == '~';
}

char *http_url_escape(const char *s)
{
        static const char digits[] = "0123456789ABCDEF";
        if (s == NULL)
                s = "";
        char *escaped = mem_zalloc(strlen(s) * 3 + 1);
        char *to = escaped;
        for (; *s != '\0'; s++) {
                if (is_unreserved(*s)) {
                        *to++ = *s;
                        continue;
                }
                *to++ = '%';
                *to++ = digits[(unsigned char)*s >> 4];
                *to++ = digits[(unsigned char)*s & 15];
        }
        return escaped;
}

void http_place_fini(struct http_place *p)
{
        free(p->host);
        free(p->port);
        *p = (struct http_place){0};
}

static void strip_brackets(char *host)
{
        size_t n = strlen(host);
        if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
                memmove(host, host + 1, n - 2);
                host[n - 2] = '\0';
        }
}

bool http_place_of(const char *text, struct http_place *p)
{
        cleanup(url_free) CURLU *url = curl_url();
        *p = (struct http_place){0};
        if (curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK || !is_http(url))
                return false;
        cleanup_free char *scheme = url_part(url, CURLUPART_SCHEME, 0);
        p->host = url_part(url, CURLUPART_HOST, 0);
        p->port = url_part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT);
        if (scheme == NULL || p->host == NULL || p->port == NULL)
                return false;
        p->https = strcasecmp(scheme, "https") == 0;
        strip_brackets(p->host);
        return true;
}

bool http_url_is_local(const char *url)
{
        cleanup_http_place struct http_place p;
        return http_place_of(url, &p) && local_address_host(p.host);
}

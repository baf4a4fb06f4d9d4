/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/http_response.h"

#include <string.h>
#include <strings.h>

enum { AUTHENTICATE_MAX = 16 };

int64_t http_response_number(const char *text, size_t size)
{
        int64_t number = 0;
        for (size_t i = 0; i < size; i++) {
                if (text[i] < '0' || text[i] > '9' || number > (INT64_MAX - 9) / 10)
                        return -1;
                number = number * 10 + (text[i] - '0');
        }
        return size > 0 ? number : -1;
}

static void keep_first(char **slot, const char *value, size_t size)
{
        if (*slot == NULL)
                *slot = mem_strndup(value, size);
}

static void keep_authenticate(struct http_response *r, const char *value, size_t size)
{
        if (r->www_authenticate_count == AUTHENTICATE_MAX)
                return;
        r->www_authenticate =
                mem_resize(r->www_authenticate, (r->www_authenticate_count + 1) * sizeof(char *));
        r->www_authenticate[r->www_authenticate_count++] = mem_strndup(value, size);
}

static void make_unclear(struct http_response *r)
{
        r->content_length = -1;
        r->content_length_unclear = true;
}

/* Twice the same is once; two lengths are none. */
static void keep_length(struct http_response *r, const char *value, size_t size)
{
        int64_t length = http_response_number(value, size);
        if (length < 0 || (r->content_length >= 0 && r->content_length != length))
                make_unclear(r);
        else if (!r->content_length_unclear)
                r->content_length = length;
}

void http_response_header(struct http_response *r, const char *line, size_t size)
{
        const char *colon = memchr(line, ':', size);
        if (colon == NULL)
                return;
        size_t name = (size_t)(colon - line);
        const char *value = colon + 1;
        size_t left = size - name - 1;
        while (left > 0 && (*value == ' ' || *value == '\t'))
                value++, left--;
        while (left > 0 && strchr(" \t\r\n", value[left - 1]) != NULL)
                left--;
        const struct {
                const char *name;
                char **slot;
        } kept[] = {
                {"location", &r->location},
                {"docker-content-digest", &r->docker_content_digest},
                {"content-type", &r->content_type},
                {"retry-after", &r->retry_after},
                {"warning", &r->warning},
                {"content-range", &r->content_range},
                {"date", &r->date},
                {"server", &r->server},
                {"docker-distribution-api-version", &r->api_version},
        };
        for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
                if (strlen(kept[i].name) == name && strncasecmp(line, kept[i].name, name) == 0)
                        keep_first(kept[i].slot, value, left);
        if (name == strlen("content-length") && strncasecmp(line, "content-length", name) == 0)
                keep_length(r, value, left);
        /* The body's end is in the body then. */
        if (name == strlen("transfer-encoding") &&
                strncasecmp(line, "transfer-encoding", name) == 0)
                make_unclear(r);
        if (name == strlen("www-authenticate") && strncasecmp(line, "www-authenticate", name) == 0)
                keep_authenticate(r, value, left);
}

void http_response_begin(struct http_response *r, const char *line, size_t size)
{
        struct buf body = r->body;
        r->body = (struct buf){0};
        http_response_fini(r);
        r->body = body;
        r->content_length = -1;
        const char *space = memchr(line, ' ', size);
        r->status = space == NULL ? 0 : (int)strtol(space + 1, NULL, 10);
}

void http_response_fini(struct http_response *r)
{
        buf_fini_secret(&r->body); /* may be a token */
        free(r->location);
        free(r->docker_content_digest);
        free(r->content_type);
        free(r->retry_after);
        free(r->warning);
        free(r->content_range);
        free(r->date);
        free(r->server);
        free(r->api_version);
        for (size_t i = 0; i < r->www_authenticate_count; i++)
                free(r->www_authenticate[i]);
        free(r->www_authenticate);
        *r = (struct http_response){0};
}

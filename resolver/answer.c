/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/answer.h"

#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"

void lines_add(struct lines *l, char *line)
{
        if (line == NULL)
                return;
        l->at = mem_resize(l->at, (l->count + 2) * sizeof(char *));
        l->at[l->count++] = line;
        l->at[l->count] = NULL;
}

void lines_fini(struct lines *l)
{
        for (size_t i = 0; i < l->count; i++)
                mem_free_secret(l->at[i]);
        free(l->at);
        *l = (struct lines){0};
}

void lines_add_common(struct lines *l)
{
        lines_add(l, mem_strdup("User-Agent: cri-resolved/" CRI_RESOLVED_VERSION));
        lines_add(l, mem_strdup("Accept-Encoding: identity"));
}

/* What comes from a configuration must not break out of its line. */
static bool is_one_line(const char *s)
{
        return strpbrk(s, "\r\n") == NULL;
}

void lines_add_extra(
        struct lines *l, const struct config_header *headers, size_t count, bool authorised)
{
        for (size_t i = 0; i < count; i++) {
                bool second = authorised && strcasecmp(headers[i].name, "Authorization") == 0;
                if (!second && is_one_line(headers[i].name) && is_one_line(headers[i].value))
                        lines_add(l, mem_printf("%s: %s", headers[i].name, headers[i].value));
        }
}

bool answer_is_redirect(int status)
{
        return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static bool starts_with(const char *s, const char *start)
{
        return strncasecmp(s, start, strlen(start)) == 0;
}

int answer_redirect(const char *url, const struct http_response *r, char **next, struct err *e)
{
        cleanup_free char *origin = http_url_origin(url);
        const char *from = origin != NULL ? origin : "the server";
        if (r->location == NULL)
                return err_set(
                        e, ERR_PROTOCOL, "%s answers with a redirect that leads nowhere", from);
        cleanup_free char *target = NULL;
        if (http_url_join(url, r->location, &target, e) < 0)
                return err_wrap(e, "%s", from);
        if (starts_with(url, "https:") && !starts_with(target, "https:"))
                return err_set(e, ERR_PROTOCOL, "%s redirects from https to http: refused", from);
        *next = take(&target);
        return 0;
}

static const char *reason(int status)
{
        static const struct {
                int status;
                const char *text;
        } table[] = {{400, " Bad Request"}, {401, " Unauthorized"}, {402, " Payment Required"},
                {403, " Forbidden"}, {404, " Not Found"}, {405, " Method Not Allowed"},
                {406, " Not Acceptable"}, {408, " Request Timeout"}, {410, " Gone"},
                {429, " Too Many Requests"}, {451, " Unavailable For Legal Reasons"},
                {500, " Internal Server Error"}, {501, " Not Implemented"}, {502, " Bad Gateway"},
                {503, " Service Unavailable"}, {504, " Gateway Timeout"}};
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
                if (table[i].status == status)
                        return table[i].text;
        return "";
}

static enum err_code code_of(int status)
{
        if (status == 401 || status == 403)
                return ERR_UNAUTHORIZED;
        if (status == 404)
                return ERR_NOT_FOUND;
        if (status == 429)
                return ERR_RATE_LIMITED;
        return status == 408 || status >= 500 ? ERR_UPSTREAM : ERR_PROTOCOL;
}

int answer_refuse(const char *method, const char *url, int status, struct err *e)
{
        /* Queries of signed URLs and token realms are nobody's business. */
        err_set(e, code_of(status), "unexpected status from %s request to %.*s: %d%s", method,
                (int)strcspn(url, "?#"), url, status, reason(status));
        e->http = status;
        return -1;
}

int64_t answer_retry_after_ms(const char *value, int64_t now_unix_s)
{
        if (value == NULL)
                return -1;
        size_t digits = strspn(value, "0123456789");
        if (digits > 0 && value[digits] == '\0')
                return digits > 9 ? INT64_C(1000000000) * 1000 : strtoll(value, NULL, 10) * 1000;
        struct tm t = {0};
        const char *end = strptime(value, "%a, %d %b %Y %H:%M:%S GMT", &t);
        if (end == NULL || *end != '\0')
                return -1;
        int64_t wait_s = (int64_t)timegm(&t) - now_unix_s;
        return wait_s > 0 ? wait_s * 1000 : 0;
}

int64_t answer_time_left_ms(int64_t deadline_ms, int64_t timeout_ms)
{
        int64_t left = deadline_ms - clock_mono_ms();
        return left < timeout_ms ? left : timeout_ms;
}

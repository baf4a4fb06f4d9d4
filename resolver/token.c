/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/token.h"

#include <jansson.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/json_text.h"
#include "resolver/answer.h"

enum {
        ANSWER_MAX_BYTES = 128 * 1024,
        DEPTH_MAX = 16,
        VALUES_MAX = 1000,
        TOKEN_MAX_BYTES = 48 * 1024, /* a request's head has to hold it */
        LIFETIME_DEFAULT_S = 60,
        FORM_MAX_BYTES = 4 * 1024 * 1024, /* an identity token is at most 1 MiB, escaped 3 */
};

void token_fini(struct token *t)
{
        mem_free_secret(t->text);
        *t = (struct token){0};
}

static bool is_text(const json_t *value)
{
        if (!json_is_string(value) || json_string_length(value) == 0 ||
                json_string_length(value) > TOKEN_MAX_BYTES)
                return false;
        for (const char *c = json_string_value(value); *c != '\0'; c++)
                if (*c <= ' ' || *c > '~')
                        return false;
        return true;
}

static int take_fields(const json_t *root, struct token *t, struct err *e)
{
        const json_t *text = json_object_get(root, "access_token");
        if (!json_is_string(text) || json_string_length(text) == 0)
                text = json_object_get(root, "token");
        if (text == NULL)
                return err_set(e, ERR_PROTOCOL, "the token server's answer holds no token");
        if (!is_text(text))
                return err_set(e, ERR_PROTOCOL, "the token server's token is malformed");
        t->text = mem_strdup(json_string_value(text));
        const json_t *lifetime = json_object_get(root, "expires_in");
        t->lifetime_s = json_is_integer(lifetime) && json_integer_value(lifetime) > 0
                                ? json_integer_value(lifetime)
                                : LIFETIME_DEFAULT_S;
        return 0;
}

/* jansson does not wipe what it frees. */
static void wipe_strings(json_t *root)
{
        const char *key;
        json_t *value;
        json_object_foreach (root, key, value) {
                if (json_is_string(value))
                        mem_wipe((char *)json_string_value(value), json_string_length(value));
        }
}

static bool starts_object(const char *json, size_t size)
{
        while (size > 0 && *json != '\0' && strchr(" \t\r\n", *json) != NULL)
                json++, size--;
        return size > 0 && *json == '{';
}

/* What cannot be a token's answer is refused as text. */
static int check_text(const char *json, size_t size, struct err *e)
{
        if (!starts_object(json, size))
                return err_set(e, ERR_PROTOCOL, "the token server's answer is not a JSON object");
        struct json_text cost = json_text_measure(json, size);
        if (cost.depth > DEPTH_MAX)
                return err_set(e, ERR_PROTOCOL,
                        "the token server's answer is nested more than %d deep", DEPTH_MAX);
        if (cost.values > VALUES_MAX)
                return err_set(e, ERR_PROTOCOL,
                        "the token server's answer holds more than %d values", VALUES_MAX);
        return 0;
}

int token_parse(const char *json, size_t size, struct token *t, struct err *e)
{
        *t = (struct token){.retry_after_ms = -1};
        if (check_text(json, size, e) < 0)
                return -1;
        json_error_t where;
        json_t *root = json_loadb(json, size, 0, &where);
        if (root == NULL)
                return err_set(e, ERR_PROTOCOL, "the token server's answer is not JSON");
        int result = take_fields(root, t, e);
        wipe_strings(root);
        json_decref(root);
        return result;
}

/* "name=value", with '?' or '&' before where needed. */
static void add_field(struct buf *b, const char *name, const char *value)
{
        cleanup(mem_free_secret_at) char *escaped = http_url_escape(value);
        buf_printf(b, "%s=%s", name, escaped);
}

static char *scope_of(const struct token_query *q)
{
        if (q->challenge->scope != NULL && q->challenge->scope[0] != '\0')
                return mem_strdup(q->challenge->scope);
        return mem_printf("repository:%s:pull", q->repository);
}

/* realm?service=...&scope=...&scope=...: a scope that lists several goes as several. */
static char *query_url(const struct token_query *q)
{
        const char *realm = q->challenge->realm;
        cleanup_buf struct buf url;
        buf_init(&url, FORM_MAX_BYTES);
        buf_append(&url, realm, strcspn(realm, "#"));
        const char *mark = strchr(buf_str(&url), '?') == NULL ? "?" : "&";
        if (q->challenge->service != NULL && q->challenge->service[0] != '\0') {
                buf_puts(&url, mark);
                add_field(&url, "service", q->challenge->service);
                mark = "&";
        }
        cleanup_free char *scopes = scope_of(q);
        char *rest = scopes;
        for (char *scope; (scope = strsep(&rest, " ")) != NULL;) {
                if (scope[0] == '\0')
                        continue;
                buf_puts(&url, mark);
                add_field(&url, "scope", scope);
                mark = "&";
        }
        return mem_strdup(buf_str(&url));
}

static char *form_body(const struct token_query *q)
{
        cleanup_buf_secret struct buf form;
        cleanup_free char *scope = scope_of(q);
        buf_init(&form, FORM_MAX_BYTES);
        buf_puts(&form, "grant_type=refresh_token&");
        add_field(&form, "service", q->challenge->service != NULL ? q->challenge->service : "");
        buf_puts(&form, "&client_id=cri-resolved&");
        add_field(&form, "scope", scope);
        buf_puts(&form, "&");
        add_field(&form, "refresh_token", q->login->secret);
        return mem_strdup(buf_str(&form));
}

static bool same_origin(const char *url, const char *other)
{
        cleanup_free char *a = http_url_origin(url);
        cleanup_free char *b = http_url_origin(other);
        return a != NULL && b != NULL && strcmp(a, b) == 0;
}

/* The realm is trusted as the upstream that names it. Where it redirects to, the same authorities
 * count, but the client is nobody. */
static struct http_trust trust_at(const struct token_query *q, const char *url)
{
        struct http_trust trust = *q->trust;
        if (same_origin(url, q->challenge->realm))
                return trust;
        trust.client_cert = NULL;
        trust.client_key = NULL;
        trust.skip_verify = false;
        return trust;
}

static int send(const struct token_query *q, enum http_method method, const char *url,
        const char *body, bool authorised, struct http_response *r, struct err *e)
{
        cleanup_lines struct lines lines = {0};
        struct http_trust trust = trust_at(q, url);
        lines_add_common(&lines);
        lines_add(&lines, mem_strdup("Accept: application/json"));
        if (authorised)
                lines_add(&lines, login_basic(q->login));
        if (same_origin(url, q->origin))
                lines_add_extra(&lines, q->headers, q->header_count, true);
        struct http_request request = {
                .method = method,
                .url = url,
                .trust = &trust,
                .headers = (const char *const *)lines.at,
                .body = body,
                .refuse_local_addresses =
                        q->refuse_local_addresses && !same_origin(url, q->upstream_origin),
                .max_body_bytes = ANSWER_MAX_BYTES,
                .timeout_ms = answer_time_left_ms(q->deadline_ms, q->timeout_ms),
                .connect_timeout_ms = q->connect_timeout_ms,
                .watch_fd = q->watch_fd,
                .cancel = q->cancel,
        };
        return http_do(q->pool, &request, r, e);
}

static int judge(const char *method, const char *url, const struct http_response *r,
        struct token *t, struct err *e)
{
        if (r->status >= 200 && r->status < 300)
                return token_parse(buf_str(&r->body), r->body.size, t, e);
        answer_refuse(method, url, r->status, e);
        t->retry_after_ms =
                r->status == 429 ? answer_retry_after_ms(r->retry_after, clock_unix_s()) : -1;
        /* That the realm knows nothing of the repository is a refusal, not an absence. */
        if (r->status >= 400 && r->status < 500 && r->status != 408 && r->status != 429)
                e->code = ERR_UNAUTHORIZED;
        return -1;
}

static int fetch_by_get(const struct token_query *q, struct token *t, struct err *e)
{
        cleanup_free char *url = query_url(q);
        bool authorised = true;
        for (int redirects = 0;; redirects++) {
                cleanup_http_response struct http_response r;
                if (send(q, HTTP_GET, url, NULL, authorised, &r, e) < 0)
                        return -1;
                if (!answer_is_redirect(r.status))
                        return judge("GET", url, &r, t, e);
                if (redirects == ANSWER_REDIRECTS_MAX)
                        return err_set(e, ERR_PROTOCOL,
                                "the token server redirects more than %d times",
                                ANSWER_REDIRECTS_MAX);
                char *next = NULL;
                if (answer_redirect(url, &r, &next, e) < 0)
                        return -1;
                authorised = authorised && same_origin(url, next);
                free(url);
                url = next;
        }
}

static bool knows_no_post(int status)
{
        return status == 400 || status == 401 || status == 404 || status == 405;
}

/* The identity token, by POST; by GET as a password without a name where that is refused. */
static int fetch_by_post(const struct token_query *q, struct token *t, struct err *e)
{
        const char *realm = q->challenge->realm;
        cleanup(mem_free_secret_at) char *body = form_body(q);
        cleanup_http_response struct http_response r;
        if (send(q, HTTP_POST, realm, body, false, &r, e) < 0)
                return -1;
        if (knows_no_post(r.status))
                return fetch_by_get(q, t, e);
        return judge("POST", realm, &r, t, e);
}

static bool is_https(const char *url)
{
        return strncasecmp(url, "https:", strlen("https:")) == 0;
}

/* containerd asks a realm on plain HTTP even with credentials. Deliberately not so here: tokens,
 * and what they are for, would go in the clear though the upstream itself is on HTTPS. */
static int check_realm(const struct token_query *q, struct err *e)
{
        cleanup_free char *origin = http_url_origin(q->challenge->realm);
        if (origin == NULL)
                return err_set(e, ERR_PROTOCOL,
                        "%s names a token realm that is no http or https URL", q->origin);
        if (is_https(q->origin) && !is_https(origin))
                return err_set(e, ERR_UNAUTHORIZED,
                        "%s names the token realm %s: no way leads from https to http", q->origin,
                        origin);
        return 0;
}

int token_fetch(const struct token_query *q, struct token *t, struct err *e)
{
        *t = (struct token){.retry_after_ms = -1};
        bool has_secret = q->login->secret[0] != '\0';
        bool identity = has_secret && q->login->username[0] == '\0';
        int result = check_realm(q, e);
        if (result == 0)
                result = identity ? fetch_by_post(q, t, e) : fetch_by_get(q, t, e);
        if (result < 0)
                err_wrap(e, "failed to fetch %s token", has_secret ? "oauth" : "anonymous");
        return result;
}

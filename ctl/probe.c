/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/probe.h"

#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"
#include "resolver/answer.h"

enum { BODY_MAX_BYTES = 1 << 20, TIMEOUT_MS = 5000, CATALOG_KEPT = 100 };

void probe_fini(struct probe *p)
{
        free(p->why_not);
        free(p->seen);
        json_decref(p->identity);
        *p = (struct probe){0};
}

int64_t probe_date(const char *s)
{
        struct tm t = {0};
        const char *end = strptime(s, "%a, %d %b %Y %H:%M:%S GMT", &t);
        return end != NULL && *end == '\0' ? (int64_t)timegm(&t) : -1;
}

static int get(struct http_pool *pool, const struct upstream *u, const char *path,
        struct cancel *cancel, struct http_response *r, struct err *e)
{
        cleanup_lines struct lines lines = {0};
        cleanup_free char *url = mem_printf("%s/%s", u->base_url, path);
        lines_add_common(&lines);
        lines_add_extra(&lines, u->headers, u->header_count, false);
        struct http_trust trust = {.ca_files = u->ca_files,
                .ca_file_count = u->ca_file_count,
                .client_cert = u->client_cert,
                .client_key = u->client_key,
                .skip_verify = u->skip_verify};
        struct http_request q = {.method = HTTP_GET,
                .url = url,
                .trust = &trust,
                .headers = (const char *const *)lines.at,
                .max_body_bytes = BODY_MAX_BYTES,
                .timeout_ms = TIMEOUT_MS,
                .cancel = cancel};
        return http_do(pool, &q, r, e);
}

static void set_text(json_t *o, const char *key, const char *s, size_t size)
{
        json_t *value = s != NULL ? json_stringn(s, size) : NULL;
        json_object_set_new(o, key, value != NULL ? value : json_string(""));
}

/* `Bearer realm="https://..."`: the token server is part of who it is. */
static void set_realm(json_t *o, const struct http_response *r)
{
        const char *at =
                r->www_authenticate_count > 0 ? strstr(r->www_authenticate[0], "realm=\"") : NULL;
        at = at != NULL ? at + strlen("realm=\"") : NULL;
        set_text(o, "realm", at, at != NULL ? strcspn(at, "\"") : 0);
}

static json_t *catalog_of(const struct http_response *r)
{
        json_t *answer = r->status == 200 ? json_loads(buf_str(&r->body), 0, NULL) : NULL;
        const json_t *all = json_object_get(answer, "repositories");
        json_t *kept = json_array();
        for (size_t i = 0; i < json_array_size(all) && i < CATALOG_KEPT; i++)
                if (json_is_string(json_array_get(all, i)))
                        json_array_append(kept, json_array_get(all, i));
        json_decref(answer);
        return kept;
}

static bool proven_by_tls(const struct upstream *u)
{
        return strncmp(u->base_url, "https:", 6) == 0 && !u->skip_verify;
}

static void identify(struct http_pool *pool, const struct upstream *u, struct cancel *cancel,
        const struct http_response *r, struct probe *out)
{
        out->identity = json_object();
        /* "nginx/1.22.1": an upgrade is no other server */
        set_text(out->identity, "server", r->server,
                r->server != NULL ? strcspn(r->server, "/ ") : 0);
        set_text(out->identity, "api", r->api_version,
                r->api_version != NULL ? strlen(r->api_version) : 0);
        set_realm(out->identity, r);
        cleanup_http_response struct http_response catalog = {0};
        struct err ignored;
        if (r->status == 200 && !proven_by_tls(u) &&
                get(pool, u, "_catalog?n=100", cancel, &catalog, &ignored) == 0)
                json_object_set_new(out->identity, "catalog", catalog_of(&catalog));
}

void probe_server(
        struct http_pool *pool, const struct upstream *u, struct cancel *cancel, struct probe *out)
{
        *out = (struct probe){0};
        cleanup_http_response struct http_response r = {0};
        struct err e;
        if (get(pool, u, "", cancel, &r, &e) < 0) {
                out->answered = e.code == ERR_PROTOCOL || e.code == ERR_TOO_LARGE;
                out->why_not = mem_strdup(e.msg);
                out->seen = mem_strdup(e.msg);
                return;
        }
        const char *type = r.content_type != NULL ? r.content_type : "no type";
        bool page = strncasecmp(type, "text/html", 9) == 0;
        out->answered = true;
        out->is_registry = (r.status == 401 || r.status == 200) && (!page || r.api_version != NULL);
        out->seen = mem_printf("%d, %s", r.status, type);
        int64_t date = r.date != NULL ? probe_date(r.date) : -1;
        out->dated = date >= 0;
        out->ahead_s = date - clock_unix_s();
        if (out->is_registry)
                identify(pool, u, cancel, &r, out);
}

static const char *member(const json_t *o, const char *key)
{
        const char *s = json_string_value(json_object_get(o, key));
        return s != NULL ? s : "";
}

static bool have_one_in_common(const json_t *a, const json_t *b)
{
        for (size_t i = 0; i < json_array_size(a); i++)
                for (size_t k = 0; k < json_array_size(b); k++)
                        if (json_equal(json_array_get(a, i), json_array_get(b, k)))
                                return true;
        return false;
}

char *probe_difference(const json_t *before, const json_t *now)
{
        static const char *const keys[] = {"server", "api", "realm"};
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
                if (strcmp(member(before, keys[i]), member(now, keys[i])) != 0)
                        return mem_printf("its %s was \"%s\" and is \"%s\"", keys[i],
                                member(before, keys[i]), member(now, keys[i]));
        const json_t *old = json_object_get(before, "catalog");
        const json_t *new = json_object_get(now, "catalog");
        if (json_array_size(old) == 0 || json_array_size(new) == 0 || have_one_in_common(old, new))
                return NULL;
        return mem_printf(
                "it had \"%s\" and others, and has \"%s\" and others: no repository is left",
                json_string_value(json_array_get(old, 0)),
                json_string_value(json_array_get(new, 0)));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/admin_client.h"

#include "ctl/socket.h"
#include "resolver/http.h"

enum { ANSWER_MAX_BYTES = 16 * 1024 * 1024, TIMEOUT_MS = 15000, STATUS_OK = 200 };

struct admin_client {
        char *path;
        struct http_pool *pool;
};

int admin_client_open(const struct config *c, struct admin_client **out, struct err *e)
{
        *out = NULL;
        if (c->admin_listen == NULL)
                return err_set(e, ERR_CONFIG,
                        "the daemon's state cannot be read: [admin] listen is \"\" in its "
                        "configuration; set it and restart the daemon");
        const char *path = socket_path(c->admin_listen);
        if (socket_check(path, e) < 0)
                return -1;
        *out = mem_zalloc(sizeof(**out));
        (*out)->path = mem_strdup(path);
        (*out)->pool = http_pool_new();
        return 0;
}

void admin_client_free(struct admin_client *a)
{
        if (a == NULL)
                return;
        http_pool_free(a->pool);
        free(a->path);
        free(a);
}

static int ask(struct admin_client *a, const char *path, struct cancel *cancel,
        struct http_response *r, struct err *e)
{
        cleanup_free char *url = mem_printf("http://localhost%s", path);
        struct http_request q = {
                .method = HTTP_GET,
                .url = url,
                .unix_socket = a->path,
                .max_body_bytes = ANSWER_MAX_BYTES,
                .timeout_ms = TIMEOUT_MS,
                .cancel = cancel,
        };
        if (http_do(a->pool, &q, r, e) == 0)
                return 0;
        if (e->code == ERR_CANCELLED)
                return -1;
        if (e->code == ERR_TIMEOUT)
                return err_set(e, ERR_BACKEND,
                        "the daemon at %s does not answer within %d s: see its log (journalctl -u "
                        "cri-resolved)",
                        a->path, TIMEOUT_MS / 1000);
        return err_set(e, ERR_BACKEND, "the daemon at %s hung up without an answer%s", a->path,
                socket_hint());
}

int admin_client_get(struct admin_client *a, const char *path, struct cancel *cancel, json_t **out,
        struct err *e)
{
        cleanup_http_response struct http_response r = {0};
        *out = NULL;
        if (ask(a, path, cancel, &r, e) < 0)
                return -1;
        if (r.status == STATUS_OK)
                *out = json_loadb(r.body.data, r.body.size, 0, NULL);
        if (json_is_object(*out))
                return 0;
        json_decref(*out);
        *out = NULL;
        if (r.status != STATUS_OK)
                return err_set(e, ERR_PROTOCOL,
                        "the daemon at %s answers %s with status %d: is it of another version?",
                        a->path, path, r.status);
        return err_set(e, ERR_PROTOCOL, "what answers %s at %s is not cri-resolved", path, a->path);
}

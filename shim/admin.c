/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/admin.h"

#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/metrics.h"
#include "shim/admin_json.h"
#include "shim/containers_json.h"
#include "shim/http_listener.h"
#include "shim/metrics_page.h"
#include "shim/text_answer.h"

enum {
        STATUS_OK = 200,
        STATUS_NOT_FOUND = 404,
        STATUS_NOT_ALLOWED = 405,
        STATUS_UNAVAILABLE = 503,
};

struct admin {
        struct admin_options options;
        char *path;
        int64_t started_unix_ms;
        _Atomic enum admin_phase phase;
        bool listens; /* the file is there, and ours */
        struct http_listener *listener;
};

/* ---- documents ---- */

static json_t *backend_json(const struct admin *a)
{
        struct err e;
        cleanup_free char *name = NULL;
        cleanup_free char *version = NULL;
        bool reachable = backend_version(a->options.service->backend, &name, &version, &e) == 0;
        json_t *o = json_object();
        json_object_set_new(o, "socket", admin_json_text(a->options.backend));
        json_object_set_new(o, "reachable", json_boolean(reachable));
        json_object_set_new(o, "runtime_name", admin_json_text(name));
        json_object_set_new(o, "runtime_version", admin_json_text(version));
        json_object_set_new(o, "error", admin_json_text(reachable ? NULL : e.msg));
        return o;
}

static json_t *relay_json(const struct admin *a)
{
        static const char *const states[] = {
                [RELAY_STATE_OFF] = "off",
                [RELAY_STATE_PORT_TAKEN] = "port taken",
                [RELAY_STATE_CAPTURED] = "captured",
                [RELAY_STATE_SERVING] = "serving",
        };
        struct relay *relay = a->options.service->relay;
        json_t *o = json_object();
        json_object_set_new(o, "port", json_integer(relay_port(relay)));
        json_object_set_new(o, "state", json_string(states[relay_state(relay)]));
        return o;
}

static json_t *degraded_json(void)
{
        json_t *o = json_object();
        uint64_t stale = metrics_counter_get(COUNTER_ANSWERS_DEGRADED_STALE);
        uint64_t mirror = metrics_counter_get(COUNTER_ANSWERS_DEGRADED_MIRROR);
        json_object_set_new(o, "stale", json_integer((json_int_t)stale));
        json_object_set_new(o, "mirror", json_integer((json_int_t)mirror));
        return o;
}

static json_t *status(struct admin *a, int *http_status)
{
        *http_status = STATUS_OK;
        const struct pull_service *s = a->options.service;
        cleanup_config const struct config *c = config_get();
        json_t *o = json_object();
        json_object_set_new(o, "version", json_string(CRI_RESOLVED_VERSION));
        json_object_set_new(o, "pid", json_integer(getpid()));
        json_object_set_new(o, "started_at", admin_json_time(a->started_unix_ms));
        json_object_set_new(o, "configuration", admin_json_text(a->options.config_path));
        json_object_set_new(o, "backend", backend_json(a));
        json_object_set_new(o, "relay", relay_json(a));
        json_object_set_new(o, "upstreams", admin_json_upstreams(s->tally, c, s->health));
        json_object_set_new(o, "counters", admin_json_counters());
        json_object_set_new(o, "degraded", degraded_json());
        return o;
}

static json_t *pulls(struct admin *a, int *http_status)
{
        *http_status = STATUS_OK;
        return admin_json_pulls(a->options.service->tally, a->options.service->flights);
}

static json_t *containers(struct admin *a, int *http_status)
{
        *http_status = STATUS_OK;
        return containers_json(a->options.service->containers, a->options.backend);
}

static json_t *healthz(struct admin *a, int *http_status)
{
        (void)a;
        *http_status = STATUS_OK;
        return json_pack("{s:s}", "status", "ok");
}

static json_t *not_ready(const char *reason, int *http_status)
{
        *http_status = STATUS_UNAVAILABLE;
        json_t *o = json_object();
        json_object_set_new(o, "status", json_string("not ready"));
        json_object_set_new(o, "reason", admin_json_text(reason));
        return o;
}

static json_t *readyz(struct admin *a, int *http_status)
{
        struct err e;
        cleanup_free char *name = NULL;
        cleanup_free char *version = NULL;
        enum admin_phase phase = atomic_load(&a->phase);
        if (phase != ADMIN_SERVES)
                return not_ready(phase == ADMIN_STOPS ? "the daemon stops" : "the daemon starts",
                        http_status);
        if (backend_version(a->options.service->backend, &name, &version, &e) < 0)
                return not_ready(e.msg, http_status);
        *http_status = STATUS_OK;
        return json_pack("{s:s, s:n}", "status", "ready", "reason");
}

static json_t *failure(const char *text)
{
        return json_pack("{s:s}", "error", text);
}

/* ---- one request ---- */

/* Takes the document. */
static void answer_json(struct httpd_answer *a, int status, json_t *document)
{
        cleanup_free char *data = json_dumps(document, JSON_INDENT(2));
        json_decref(document);
        if (data == NULL)
                abort(); /* memory is gone */
        text_answer(a, status, "application/json", mem_printf("%s\n", data));
}

static const struct {
        const char *path;
        json_t *(*make)(struct admin *a, int *http_status);
} documents[] = {
        {"/v1/status", status},
        {"/v1/pulls", pulls},
        {"/v1/containers", containers},
        {"/healthz", healthz},
        {"/readyz", readyz},
};

static void serve(void *arg, const struct httpd_request *q, struct httpd_answer *a)
{
        struct admin *admin = arg;
        size_t i = 0;
        const size_t count = sizeof(documents) / sizeof(documents[0]);
        while (i < count && strcmp(documents[i].path, q->path) != 0)
                i++;
        bool page = strcmp(q->path, METRICS_PAGE_PATH) == 0;
        if (i == count && !page) {
                answer_json(a, STATUS_NOT_FOUND,
                        failure("not found; there are /v1/status, /v1/pulls, /v1/containers, "
                                "/healthz, /readyz, /metrics"));
        } else if (strcmp(q->method, "GET") != 0 && strcmp(q->method, "HEAD") != 0) {
                answer_json(a, STATUS_NOT_ALLOWED, failure("read only: GET and HEAD"));
                a->allow = "GET, HEAD";
        } else if (page) {
                metrics_page_answer(admin->options.service, a);
        } else {
                int http_status = 0;
                json_t *document = documents[i].make(admin, &http_status);
                answer_json(a, http_status, document);
        }
}

/* ---- life ---- */

static int start(struct admin *a, struct err *e)
{
        struct http_listener_options o = {
                .fd = a->options.inherited, .peers = &a->options.peers, .handler = serve, .arg = a};
        if (o.fd < 0 && unix_socket_listen(&a->options.socket, &o.fd, e) < 0)
                return -1;
        a->listens = true;
        return http_listener_new(&o, &a->listener, e);
}

static void release(struct admin *a)
{
        if (a->listens && a->options.inherited < 0)
                unlink(a->path); /* before close: until then nobody else takes the path */
        http_listener_free(a->listener);
        free(a->path);
        free(a);
}

int admin_new(const struct admin_options *o, struct admin **out, struct err *e)
{
        struct admin *a = mem_zalloc(sizeof(*a));
        a->options = *o;
        a->path = mem_strdup(o->socket.path);
        a->started_unix_ms = clock_unix_s() * 1000;
        if (start(a, e) < 0) {
                release(a);
                return -1;
        }
        *out = a;
        return 0;
}

void admin_phase(struct admin *a, enum admin_phase phase)
{
        if (a != NULL)
                atomic_store(&a->phase, phase);
}

void admin_free(struct admin *a)
{
        if (a != NULL)
                release(a);
}

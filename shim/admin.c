/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/admin.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/metrics.h"
#include "relay/httpd.h"
#include "shim/admin_json.h"

enum {
        STATUS_OK = 200,
        STATUS_NOT_FOUND = 404,
        STATUS_NOT_ALLOWED = 405,
        STATUS_UNAVAILABLE = 503,
        CONNECTIONS_MAX = 64,
        IDLE_TIMEOUT_S = 15,
        PAUSE_MS = 100, /* without descriptors or memory: let some call end first */
};

struct admin {
        struct admin_options options;
        char *path;
        int64_t started_unix_ms;
        _Atomic enum admin_phase phase;
        struct httpd *httpd;
        int listener;
        int stop_fd;
        pthread_t thread;
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
        json_object_set_new(
                o, "stale", json_integer((json_int_t)metrics_get(METRIC_ANSWERS_DEGRADED_STALE)));
        json_object_set_new(
                o, "mirror", json_integer((json_int_t)metrics_get(METRIC_ANSWERS_DEGRADED_MIRROR)));
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

/* The text of an answer, as far as it has left. */
struct text {
        char *data;
        size_t size, sent;
};

static ssize_t read_text(void *body, char *buf, size_t max)
{
        struct text *t = body;
        size_t left = t->size - t->sent;
        size_t n = left < max ? left : max;
        memcpy(buf, t->data + t->sent, n);
        t->sent += n;
        return (ssize_t)n;
}

static void free_text(void *body)
{
        struct text *t = body;
        free(t->data);
        free(t);
}

/* Takes the document. */
static void answer_json(struct httpd_answer *a, int status, json_t *document)
{
        cleanup_free char *data = json_dumps(document, JSON_INDENT(2));
        json_decref(document);
        if (data == NULL)
                abort(); /* memory is gone */
        struct text *t = mem_zalloc(sizeof(*t));
        t->data = mem_printf("%s\n", data);
        t->size = strlen(t->data);
        *a = (struct httpd_answer){
                .status = status,
                .content_type = "application/json",
                .size = (int64_t)t->size,
                .read = read_text,
                .free = free_text,
                .body = t,
        };
}

static const struct {
        const char *path;
        json_t *(*make)(struct admin *a, int *http_status);
} documents[] = {
        {"/v1/status", status},
        {"/v1/pulls", pulls},
        {"/healthz", healthz},
        {"/readyz", readyz},
};

static void serve(void *arg, const struct httpd_request *q, struct httpd_answer *a)
{
        size_t i = 0;
        const size_t count = sizeof(documents) / sizeof(documents[0]);
        while (i < count && strcmp(documents[i].path, q->path) != 0)
                i++;
        if (i == count) {
                answer_json(a, STATUS_NOT_FOUND,
                        failure("not found; there are /v1/status, /v1/pulls, /healthz, /readyz"));
        } else if (strcmp(q->method, "GET") != 0 && strcmp(q->method, "HEAD") != 0) {
                answer_json(a, STATUS_NOT_ALLOWED, failure("read only: GET and HEAD"));
                a->allow = "GET, HEAD";
        } else {
                int http_status = 0;
                json_t *document = documents[i].make(arg, &http_status);
                answer_json(a, http_status, document);
        }
}

/* ---- the accept thread ---- */

/* False: nothing can be accepted now. */
static bool accept_one(struct admin *a)
{
        int fd = accept4(a->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
                return errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS;
        if (peers_allow(&a->options.peers, fd))
                httpd_enter(a->httpd, fd);
        else
                close(fd);
        return true;
}

static void *accept_main(void *arg)
{
        struct admin *a = arg;
        struct pollfd polled[] = {
                {.fd = a->stop_fd, .events = POLLIN},
                {.fd = a->listener, .events = POLLIN},
        };
        for (;;) {
                poll(polled, 2, -1);
                if (polled[0].revents != 0)
                        return NULL;
                if (polled[1].revents != 0 && !accept_one(a) && poll(polled, 1, PAUSE_MS) > 0)
                        return NULL;
        }
}

/* ---- life ---- */

static int start(struct admin *a, struct err *e)
{
        a->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        static const struct httpd_limits limits = {
                .connections = CONNECTIONS_MAX, .idle_timeout_s = IDLE_TIMEOUT_S};
        a->httpd = httpd_new(serve, a, &limits);
        if (a->stop_fd < 0 || a->httpd == NULL)
                return err_set(e, ERR_SYSTEM, "no threads or descriptors for the admin socket");
        if (unix_socket_listen(&a->options.socket, &a->listener, e) < 0)
                return -1;
        int failed = pthread_create(&a->thread, NULL, accept_main, a);
        return failed != 0 ? err_set_sys(e, failed, "no thread for the admin socket") : 0;
}

static void release(struct admin *a)
{
        if (a->listener >= 0) {
                unlink(a->path); /* before close: until then nobody else takes the path */
                close(a->listener);
        }
        httpd_free(a->httpd);
        if (a->stop_fd >= 0)
                close(a->stop_fd);
        free(a->path);
        free(a);
}

int admin_new(const struct admin_options *o, struct admin **out, struct err *e)
{
        struct admin *a = mem_zalloc(sizeof(*a));
        a->options = *o;
        a->path = mem_strdup(o->socket.path);
        a->started_unix_ms = clock_unix_s() * 1000;
        a->listener = a->stop_fd = -1;
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
        if (a == NULL)
                return;
        eventfd_write(a->stop_fd, 1);
        pthread_join(a->thread, NULL);
        release(a);
}

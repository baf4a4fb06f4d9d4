/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/httpd.h"

#include <microhttpd.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

enum {
        /* Without a byte in either direction while an answer is on its way. Who reads a layer
         * slowly is no idler: its disk may be busy, and a cut would fail the pull. */
        BUSY_TIMEOUT_S = 300,
        /* libmicrohttpd 0.9.75 keeps a lock for ever when its own limit is reached: it never is,
         * and ours (struct httpd_limits) is kept by who lets connections in. */
        NO_LIMIT = 1 << 20,
        CONNECTION_MEMORY = 16 * 1024,
        STACK_BYTES = 256 * 1024,
};

struct httpd {
        struct MHD_Daemon *daemon;
        httpd_handler_fn handler;
        void *arg;
        struct httpd_limits limits;
        atomic_int connections;
};

/* The body of one answer, while libmicrohttpd has it. */
struct body {
        ssize_t (*read)(void *body, char *buf, size_t max);
        void (*free)(void *body);
        void *body;
};

static ssize_t read_body(void *arg, uint64_t position, char *buf, size_t max)
{
        (void)position;
        struct body *b = arg;
        ssize_t n = b->read(b->body, buf, max);
        return n > 0 ? n : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void free_body(void *arg)
{
        struct body *b = arg;
        b->free(b->body);
        free(b);
}

static struct MHD_Response *response_with_content(const struct httpd_answer *a)
{
        struct body *b = mem_zalloc(sizeof(*b));
        *b = (struct body){.read = a->read, .free = a->free, .body = a->body};
        struct MHD_Response *r = MHD_create_response_from_callback(
                (uint64_t)a->size, HTTPD_BLOCK_BYTES, read_body, b, free_body);
        if (r == NULL)
                abort();
        MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, a->content_type);
        if (a->digest != NULL)
                MHD_add_response_header(r, "Docker-Content-Digest", a->digest);
        return r;
}

static struct MHD_Response *response_without_content(const struct httpd_answer *a)
{
        struct MHD_Response *r = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
        if (r == NULL)
                abort();
        MHD_add_response_header(r, MHD_HTTP_HEADER_CONNECTION, "close");
        if (a->challenge != NULL)
                MHD_add_response_header(r, MHD_HTTP_HEADER_WWW_AUTHENTICATE, a->challenge);
        return r;
}

static const char *header_of(struct MHD_Connection *connection, const char *name)
{
        const char *value = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
        return value != NULL ? value : "";
}

static bool has_upload(struct MHD_Connection *connection)
{
        const char *length = header_of(connection, MHD_HTTP_HEADER_CONTENT_LENGTH);
        return (*length != '\0' && strcmp(length, "0") != 0) ||
               *header_of(connection, MHD_HTTP_HEADER_TRANSFER_ENCODING) != '\0';
}

static void set_timeout(struct MHD_Connection *connection, unsigned seconds)
{
        MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, seconds);
}

/* NOLINTBEGIN(readability-non-const-parameter): libmicrohttpd's own signature */
/* Called twice for each request. An answer to the first call, with *state NULL, is given before any
 * upload is read, and ends the connection: it is for those who upload, and they are refused. */
static enum MHD_Result handle(void *arg, struct MHD_Connection *connection, const char *url,
        const char *method, const char *version, const char *upload, size_t *upload_size,
        void **state)
{
        (void)version;
        (void)upload;
        (void)upload_size;
        struct httpd *h = arg;
        if (*state == NULL && !has_upload(connection)) {
                *state = h;
                return MHD_YES;
        }
        set_timeout(connection, BUSY_TIMEOUT_S); /* the handler may wait for long, too */
        const union MHD_ConnectionInfo *info =
                MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        struct httpd_request request = {
                .method = method,
                .path = url,
                .authorization = header_of(connection, MHD_HTTP_HEADER_AUTHORIZATION),
                .client_fd = info != NULL ? info->connect_fd : -1,
        };
        struct httpd_answer answer = {0};
        h->handler(h->arg, &request, &answer);
        struct MHD_Response *r = answer.body != NULL ? response_with_content(&answer)
                                                     : response_without_content(&answer);
        if (answer.allow != NULL)
                MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, answer.allow);
        enum MHD_Result queued = MHD_queue_response(connection, (unsigned)answer.status, r);
        MHD_destroy_response(r);
        return queued;
}
/* NOLINTEND(readability-non-const-parameter) */

static void end_request(void *arg, struct MHD_Connection *connection, void **state,
        enum MHD_RequestTerminationCode why)
{
        (void)state;
        const struct httpd *h = arg;
        if (why == MHD_REQUEST_TERMINATED_COMPLETED_OK)
                set_timeout(connection, h->limits.idle_timeout_s);
}

/* NOLINTBEGIN(readability-non-const-parameter): libmicrohttpd's own signature */
static void notice(void *arg, struct MHD_Connection *connection, void **context,
        enum MHD_ConnectionNotificationCode code)
{
        (void)connection;
        (void)context;
        struct httpd *h = arg;
        if (code == MHD_CONNECTION_NOTIFY_CLOSED)
                atomic_fetch_sub(&h->connections, 1);
}
/* NOLINTEND(readability-non-const-parameter) */

struct httpd *httpd_new(httpd_handler_fn handler, void *arg, const struct httpd_limits *limits)
{
        cleanup_free struct httpd *h = mem_zalloc(sizeof(*h));
        h->handler = handler;
        h->arg = arg;
        h->limits = *limits;
        h->daemon =
                MHD_start_daemon(MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD |
                                         MHD_USE_POLL | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC,
                        0, NULL, NULL, handle, h, MHD_OPTION_CONNECTION_LIMIT, (unsigned)NO_LIMIT,
                        MHD_OPTION_NOTIFY_CONNECTION, notice, h, MHD_OPTION_CONNECTION_TIMEOUT,
                        limits->idle_timeout_s, MHD_OPTION_NOTIFY_COMPLETED, end_request, h,
                        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
                        MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK_BYTES, MHD_OPTION_END);
        return h->daemon != NULL ? take(&h) : NULL;
}

void httpd_free(struct httpd *h)
{
        if (h == NULL)
                return;
        MHD_stop_daemon(h->daemon);
        free(h);
}

bool httpd_enter(struct httpd *h, int fd)
{
        struct sockaddr_storage peer = {0};
        socklen_t size = sizeof(peer);
        getpeername(fd, (struct sockaddr *)&peer, &size);
        bool full = atomic_fetch_add(&h->connections, 1) >= (int)h->limits.connections;
        if (full)
                close(fd);
        /* It only queues the connection: what it refuses now it will not report as closed. */
        bool entered = !full &&
                       MHD_add_connection(h->daemon, fd, (struct sockaddr *)&peer, size) == MHD_YES;
        if (!entered)
                atomic_fetch_sub(&h->connections, 1);
        return entered;
}

unsigned httpd_connections(struct httpd *h)
{
        return (unsigned)atomic_load(&h->connections);
}

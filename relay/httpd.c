/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/httpd.h"

#include <microhttpd.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

enum {
        /* libmicrohttpd 0.9.75 keeps a lock for ever when its own limit is reached: it never is,
         * and ours (struct httpd_limits) is kept by who lets connections in. */
        NO_LIMIT = 1 << 20,
        CONNECTION_MEMORY = 16 * 1024,
        STACK_BYTES = 256 * 1024,
};

/* A connection, from httpd_enter until libmicrohttpd is about to close it. Under the lock. */
struct connection {
        struct connection *previous, *next;
        int fd;           /* nobody else has this number until then */
        int64_t since_ms; /* it came, asked, or had got all of an answer */
        bool started;     /* libmicrohttpd has it, and will say when it ends */
        bool busy;        /* has asked, and has not got all of its answer */
        bool leaving;     /* was told to */
};

struct httpd {
        struct MHD_Daemon *daemon;
        httpd_handler_fn handler;
        void *arg;
        struct httpd_limits limits;
        pthread_mutex_t lock;
        pthread_cond_t left;             /* one that was told to */
        struct connection *first, *last; /* who was silent for longest is first */
        unsigned connections, leaving;
};

/* ---- who is there ---- */

static void append(struct httpd *h, struct connection *c)
{
        c->since_ms = clock_mono_ms();
        c->next = NULL;
        c->previous = h->last;
        *(h->last != NULL ? &h->last->next : &h->first) = c;
        h->last = c;
}

static void take_out(struct httpd *h, struct connection *c)
{
        *(c->previous != NULL ? &c->previous->next : &h->first) = c->next;
        *(c->next != NULL ? &c->next->previous : &h->last) = c->previous;
}

static struct connection *add(struct httpd *h, int fd)
{
        struct connection *c = mem_zalloc(sizeof(*c));
        c->fd = fd;
        append(h, c);
        h->connections++;
        return c;
}

static void forget(struct httpd *h, struct connection *c)
{
        take_out(h, c);
        h->connections--;
        h->leaving -= c->leaving;
        free(c);
        pthread_cond_signal(&h->left);
}

/* Its thread sees the end, and closes. */
static void hang_up(const struct connection *c)
{
        shutdown(c->fd, SHUT_RDWR);
}

/* Nor has it said anything that its thread has not seen yet. */
static bool is_silent(const struct connection *c)
{
        char byte;
        return !c->busy && !c->leaving &&
               (!c->started || recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0);
}

static void send_away(struct httpd *h, struct connection *c)
{
        c->leaving = true;
        h->leaving++;
        if (c->started)
                hang_up(c);
}

/* Or a few that say nothing would keep everybody else out. False: all are at work. */
static bool make_room(struct httpd *h)
{
        struct connection *c = h->first;
        while (c != NULL && !is_silent(c))
                c = c->next;
        if (c == NULL)
                return false;
        send_away(h, c);
        return true;
}

/* NULL: there is no place for it. Who was told to leave has a thread for a moment yet: there are
 * never more of those than places. */
static struct connection *let_in(struct httpd *h, int fd)
{
        pthread_mutex_lock(&h->lock);
        while (h->leaving >= h->limits.connections)
                pthread_cond_wait(&h->left, &h->lock);
        bool full = h->connections - h->leaving >= h->limits.connections && !make_room(h);
        struct connection *c = full ? NULL : add(h, fd);
        pthread_mutex_unlock(&h->lock);
        return c;
}

static void let_go(struct httpd *h, struct connection *c)
{
        pthread_mutex_lock(&h->lock);
        forget(h, c);
        pthread_mutex_unlock(&h->lock);
}

static void set_busy(struct httpd *h, struct MHD_Connection *connection, bool busy)
{
        struct connection *c =
                MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)
                        ->socket_context;
        pthread_mutex_lock(&h->lock);
        c->busy = busy;
        take_out(h, c);
        append(h, c);
        pthread_mutex_unlock(&h->lock);
}

static struct connection *find(struct httpd *h, int fd)
{
        struct connection *c = h->last; /* it has come just now */
        while (c->fd != fd)
                c = c->previous;
        return c;
}

static struct connection *start(struct httpd *h, int fd)
{
        pthread_mutex_lock(&h->lock);
        struct connection *c = find(h, fd);
        c->started = true;
        if (c->leaving)
                hang_up(c);
        pthread_mutex_unlock(&h->lock);
        return c;
}

/* ---- one request ---- */

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

static int fd_of(struct MHD_Connection *connection)
{
        return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
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
        set_busy(h, connection, true);
        if (*state == NULL && !has_upload(connection)) {
                *state = h;
                return MHD_YES;
        }
        struct httpd_request request = {
                .method = method,
                .path = url,
                .authorization = header_of(connection, MHD_HTTP_HEADER_AUTHORIZATION),
                .client_fd = fd_of(connection),
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
        struct httpd *h = arg;
        if (why == MHD_REQUEST_TERMINATED_COMPLETED_OK)
                set_busy(h, connection, false);
}

/* ---- life ---- */

static void notice(void *arg, struct MHD_Connection *connection, void **context,
        enum MHD_ConnectionNotificationCode code)
{
        struct httpd *h = arg;
        if (code == MHD_CONNECTION_NOTIFY_STARTED)
                *context = start(h, fd_of(connection));
        else
                let_go(h, *context);
}

struct httpd *httpd_new(httpd_handler_fn handler, void *arg, const struct httpd_limits *limits)
{
        cleanup_free struct httpd *h = mem_zalloc(sizeof(*h));
        h->handler = handler;
        h->arg = arg;
        h->limits = *limits;
        pthread_mutex_init(&h->lock, NULL);
        pthread_cond_init(&h->left, NULL);
        /* The one time-out that libmicrohttpd keeps is for answers: that of idle connections is
         * shorter, and 1.0 ignores MHD_CONNECTION_OPTION_TIMEOUT where connections have threads. */
        h->daemon =
                MHD_start_daemon(MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD |
                                         MHD_USE_POLL | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC,
                        0, NULL, NULL, handle, h, MHD_OPTION_CONNECTION_LIMIT, (unsigned)NO_LIMIT,
                        MHD_OPTION_NOTIFY_CONNECTION, notice, h, MHD_OPTION_CONNECTION_TIMEOUT,
                        limits->stall_timeout_s, MHD_OPTION_NOTIFY_COMPLETED, end_request, h,
                        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
                        MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK_BYTES, MHD_OPTION_END);
        return h->daemon != NULL ? take(&h) : NULL;
}

void httpd_free(struct httpd *h)
{
        if (h == NULL)
                return;
        MHD_stop_daemon(h->daemon);
        while (h->first != NULL) /* what it has refused in silence */
                forget(h, h->first);
        pthread_cond_destroy(&h->left);
        pthread_mutex_destroy(&h->lock);
        free(h);
}

bool httpd_enter(struct httpd *h, int fd)
{
        struct sockaddr_storage peer = {0};
        socklen_t size = sizeof(peer);
        getpeername(fd, (struct sockaddr *)&peer, &size);
        struct connection *c = let_in(h, fd);
        if (c == NULL) {
                close(fd);
                return false;
        }
        /* It only queues the connection: what it refuses now it will not report as closed. */
        bool entered = MHD_add_connection(h->daemon, fd, (struct sockaddr *)&peer, size) == MHD_YES;
        if (!entered)
                let_go(h, c);
        return entered;
}

bool httpd_tick(struct httpd *h)
{
        int64_t late_ms = clock_mono_ms() - (int64_t)h->limits.idle_timeout_s * 1000;
        pthread_mutex_lock(&h->lock);
        for (struct connection *c = h->first; c != NULL && c->since_ms <= late_ms; c = c->next)
                if (c->started && is_silent(c))
                        send_away(h, c);
        bool wanted = h->connections > 0;
        pthread_mutex_unlock(&h->lock);
        return wanted;
}

unsigned httpd_connections(struct httpd *h)
{
        pthread_mutex_lock(&h->lock);
        unsigned connections = h->connections;
        pthread_mutex_unlock(&h->lock);
        return connections;
}

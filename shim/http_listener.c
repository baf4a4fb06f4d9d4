/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/http_listener.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

enum {
        CONNECTIONS_MAX = 64,
        IDLE_TIMEOUT_S = 15,
        STALL_TIMEOUT_S = 30, /* answers are at hand, and small: who does not read them must not
                                 keep a place */
        TICK_MS = 1000,
        PAUSE_MS = 100, /* without descriptors or memory: let some call end first */
};

struct http_listener {
        struct http_listener_options options;
        struct httpd *httpd;
        int stop_fd;
        pthread_t thread;
        bool started;
};

/* ---- the accept thread ---- */

/* False: nothing can be accepted now. */
static bool accept_one(struct http_listener *l)
{
        int fd = accept4(l->options.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
                return errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS;
        if (l->options.peers == NULL || peers_allow(l->options.peers, fd))
                httpd_enter(l->httpd, fd);
        else
                close(fd);
        return true;
}

static void *accept_main(void *arg)
{
        struct http_listener *l = arg;
        struct pollfd polled[] = {
                {.fd = l->stop_fd, .events = POLLIN},
                {.fd = l->options.fd, .events = POLLIN},
        };
        for (;;) {
                poll(polled, 2, httpd_tick(l->httpd) ? TICK_MS : -1);
                if (polled[0].revents != 0)
                        return NULL;
                if (polled[1].revents != 0 && !accept_one(l) && poll(polled, 1, PAUSE_MS) > 0)
                        return NULL;
        }
}

/* ---- life ---- */

static int start(struct http_listener *l, struct err *e)
{
        static const struct httpd_limits limits = {.connections = CONNECTIONS_MAX,
                .idle_timeout_s = IDLE_TIMEOUT_S,
                .stall_timeout_s = STALL_TIMEOUT_S};
        fcntl(l->options.fd, F_SETFD, FD_CLOEXEC);
        fcntl(l->options.fd, F_SETFL, fcntl(l->options.fd, F_GETFL) | O_NONBLOCK);
        l->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        l->httpd = httpd_new(l->options.handler, l->options.arg, &limits);
        if (l->stop_fd < 0 || l->httpd == NULL)
                return err_set(e, ERR_SYSTEM, "no threads or descriptors to listen for HTTP");
        int failed = pthread_create(&l->thread, NULL, accept_main, l);
        if (failed != 0)
                return err_set_sys(e, failed, "no thread to listen for HTTP");
        l->started = true;
        return 0;
}

int http_listener_new(
        const struct http_listener_options *o, struct http_listener **out, struct err *e)
{
        struct http_listener *l = mem_zalloc(sizeof(*l));
        l->options = *o;
        l->stop_fd = -1;
        if (start(l, e) < 0) {
                http_listener_free(l);
                return -1;
        }
        *out = l;
        return 0;
}

void http_listener_free(struct http_listener *l)
{
        if (l == NULL)
                return;
        if (l->started) {
                eventfd_write(l->stop_fd, 1);
                pthread_join(l->thread, NULL);
        }
        close(l->options.fd);
        httpd_free(l->httpd);
        if (l->stop_fd >= 0)
                close(l->stop_fd);
        free(l);
}

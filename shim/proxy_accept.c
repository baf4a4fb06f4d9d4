/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listeners and peers. Core could listen by itself, but knows neither socket modes nor peers, and
 * takes no inherited descriptor. A connection that passes is core's from then on.
 */
#include <errno.h>
#include <fcntl.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shim/peers.h"
#include "shim/proxy_internal.h"
#include "shim/unix_socket.h"

enum {
        LISTENERS_MAX = 16,
        PAUSE_MS = 100, /* without descriptors or memory: let some call end first */
};

struct listener {
        int fd;
        char *path; /* to be removed at the end; NULL: not ours */
};

struct proxy_acceptor {
        grpc_server *server;
        struct peers peers; /* the accept thread's */
        struct listener listeners[LISTENERS_MAX];
        size_t count;
        int stop_fd;
        pthread_t thread;
        bool started;
};

/* ---- the accept thread ---- */

static void hand_over(struct proxy_acceptor *a, int fd)
{
        grpc_server_credentials *insecure = grpc_insecure_server_credentials_create();
        grpc_server_add_channel_from_fd(a->server, fd, insecure);
        grpc_server_credentials_release(insecure);
}

/* False: nothing can be accepted now. */
static bool accept_one(struct proxy_acceptor *a, int listener)
{
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
                return errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS;
        if (peers_allow(&a->peers, fd))
                hand_over(a, fd);
        else
                close(fd);
        return true;
}

static bool stop_asked(const struct proxy_acceptor *a, int wait_ms)
{
        struct pollfd p = {.fd = a->stop_fd, .events = POLLIN};
        return poll(&p, 1, wait_ms) > 0;
}

static void *accept_main(void *arg)
{
        struct proxy_acceptor *a = arg;
        pthread_setname_np(pthread_self(), "accept");
        struct pollfd polled[LISTENERS_MAX + 1];
        for (size_t i = 0; i < a->count; i++)
                polled[i] = (struct pollfd){.fd = a->listeners[i].fd, .events = POLLIN};
        polled[a->count] = (struct pollfd){.fd = a->stop_fd, .events = POLLIN};
        while (!stop_asked(a, 0)) {
                if (poll(polled, a->count + 1, -1) <= 0)
                        continue;
                bool pause = false;
                for (size_t i = 0; i < a->count; i++)
                        if (polled[i].revents != 0)
                                pause |= !accept_one(a, polled[i].fd);
                if (pause && stop_asked(a, PAUSE_MS))
                        break;
        }
        return NULL;
}

/* ---- listening ---- */

static int add(struct proxy_acceptor *a, int fd, const char *path, struct err *e)
{
        if (a->count == LISTENERS_MAX)
                return err_set(e, ERR_CONFIG, "more than %d sockets to listen on", LISTENERS_MAX);
        a->listeners[a->count++] = (struct listener){.fd = fd, .path = mem_strdup_or_null(path)};
        return 0;
}

int proxy_acceptor_listen_fd(struct proxy_acceptor *a, int fd, struct err *e)
{
        int listening = 0, family = 0;
        socklen_t size = sizeof listening;
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0)
                return err_set_sys(e, errno, "inherited descriptor %d", fd);
        getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size);
        if (!listening || family != AF_UNIX)
                return err_set(e, ERR_CONFIG,
                        "inherited descriptor %d is not a listening Unix socket", fd);
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        return add(a, fd, NULL, e);
}

int proxy_acceptor_listen_unix(
        struct proxy_acceptor *a, const char *path, uint32_t mode, int64_t gid, struct err *e)
{
        struct unix_socket s = {.path = path,
                .key = "shim.listen",
                .unit = "cri-resolved.socket",
                .mode = mode,
                .gid = gid};
        int fd = -1;
        if (unix_socket_listen(&s, &fd, e) < 0)
                return -1;
        if (add(a, fd, path, e) < 0) {
                close(fd);
                return -1;
        }
        return 0;
}

/* ---- life ---- */

struct proxy_acceptor *proxy_acceptor_new(
        grpc_server *server, const uint32_t *allow_gids, size_t allow_gid_count)
{
        struct proxy_acceptor *a = mem_zalloc(sizeof *a);
        a->server = server;
        a->peers = (struct peers){.allow_gids = allow_gids, .allow_gid_count = allow_gid_count};
        a->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        return a;
}

int proxy_acceptor_start(struct proxy_acceptor *a, struct err *e)
{
        if (a->stop_fd < 0)
                return err_set(e, ERR_SYSTEM, "no descriptor to stop the accept thread with");
        int failed = pthread_create(&a->thread, NULL, accept_main, a);
        if (failed != 0)
                return err_set_sys(e, failed, "cannot start the accept thread");
        a->started = true;
        return 0;
}

void proxy_acceptor_pause(struct proxy_acceptor *a)
{
        if (!a->started)
                return;
        eventfd_write(a->stop_fd, 1);
        pthread_join(a->thread, NULL);
        a->started = false;
}

void proxy_acceptor_stop(struct proxy_acceptor *a)
{
        proxy_acceptor_pause(a);
        for (; a->count > 0; a->count--) {
                struct listener *l = &a->listeners[a->count - 1];
                if (l->path != NULL)
                        unlink(l->path); /* before close: until then nobody else takes the path */
                close(l->fd);
                free(l->path);
        }
}

void proxy_acceptor_free(struct proxy_acceptor *a)
{
        if (a == NULL)
                return;
        proxy_acceptor_stop(a);
        if (a->stop_fd >= 0)
                close(a->stop_fd);
        free(a);
}

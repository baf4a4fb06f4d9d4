/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listeners and peers. Core could listen by itself, but knows neither socket modes nor peers, and
 * takes no inherited descriptor. A connection that passes is core's from then on.
 */
#include <errno.h>
#include <fcntl.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <inttypes.h>
#include <libgen.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "shim/proxy_internal.h"

enum {
        LISTENERS_MAX = 16,
        BACKLOG = 1024,
        PAUSE_MS = 100, /* without descriptors or memory: let some call end first */
};

struct listener {
        int fd;
        char *path; /* to be removed at the end; NULL: not ours */
};

struct proxy_acceptor {
        grpc_server *server;
        const uint32_t *allow_gids;
        size_t allow_gid_count;
        struct listener listeners[LISTENERS_MAX];
        size_t count;
        int stop_fd;
        pthread_t thread;
        bool started;
        unsigned long refused; /* the accept thread's */
};

/* ---- peers ---- */

static bool is_allowed(const struct proxy_acceptor *a, gid_t gid)
{
        for (size_t i = 0; i < a->allow_gid_count; i++)
                if (a->allow_gids[i] == gid)
                        return true;
        return false;
}

static bool supplementary_allowed(const struct proxy_acceptor *a, int fd)
{
        socklen_t size = 0; /* the kernel says how much it takes */
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) == 0 || errno != ERANGE)
                return false;
        cleanup_free gid_t *groups = mem_zalloc(size);
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
                return false;
        for (size_t i = 0; i < size / sizeof *groups; i++)
                if (is_allowed(a, groups[i]))
                        return true;
        return false;
}

static bool peer_allowed(struct proxy_acceptor *a, int fd)
{
        struct ucred peer = {0};
        socklen_t size = sizeof peer;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
                return false;
        if (peer.uid == 0 || is_allowed(a, peer.gid) || supplementary_allowed(a, fd))
                return true;
        char uid[16], pid[16], total[24];
        snprintf(uid, sizeof uid, "%u", peer.uid);
        snprintf(pid, sizeof pid, "%d", peer.pid);
        snprintf(total, sizeof total, "%lu", ++a->refused);
        log_line(LOG_LEVEL_DEBUG, "peer refused: neither root nor in shim.allow_groups", "uid", uid,
                "pid", pid, "refused_so_far", total, NULL);
        return false;
}

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
        if (peer_allowed(a, fd))
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

static int fill_address(const char *path, struct sockaddr_un *address, struct err *e)
{
        *address = (struct sockaddr_un){.sun_family = AF_UNIX};
        if (strlen(path) >= sizeof address->sun_path)
                return err_set(e, ERR_CONFIG, "%s: longer than a Unix socket's path may be (%zu)",
                        path, sizeof address->sun_path - 1);
        memcpy(address->sun_path, path, strlen(path));
        return 0;
}

/* Nothing there, or a socket that nobody serves any more. */
static int clear_stale(const struct sockaddr_un *address, struct err *e)
{
        struct stat found;
        const char *path = address->sun_path;
        if (lstat(path, &found) < 0)
                return errno == ENOENT ? 0 : err_set_sys(e, errno, "%s", path);
        if (!S_ISSOCK(found.st_mode))
                return err_set(e, ERR_CONFIG,
                        "%s: exists and is not a socket; remove it, or change shim.listen", path);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return err_set_sys(e, errno, "%s", path);
        bool connected = connect(fd, (const struct sockaddr *)address, sizeof *address) == 0;
        int failed = connected ? 0 : errno;
        close(fd);
        if (connected || failed == EAGAIN) /* EAGAIN: served, and very busy */
                return err_set(e, ERR_CONFIG,
                        "%s: another process serves this socket; stop it first, or change "
                        "shim.listen",
                        path);
        if (failed != ECONNREFUSED)
                return err_set_sys(e, failed, "%s: cannot tell whether it is served", path);
        return unlink(path) < 0 ? err_set_sys(e, errno, "%s", path) : 0;
}

struct file_access {
        uint32_t mode;
        int64_t gid;
};

/* Nobody can connect before listen(2): the mode is right from the first moment. */
static int bind_and_listen(
        int fd, const struct sockaddr_un *address, const struct file_access *access, struct err *e)
{
        const char *path = address->sun_path;
        if (bind(fd, (const struct sockaddr *)address, sizeof *address) < 0)
                return err_set_sys(e, errno, "%s: bind", path);
        if (access->gid >= 0 && chown(path, (uid_t)-1, (gid_t)access->gid) < 0)
                return err_set_sys(e, errno, "%s: group %" PRId64, path, access->gid);
        if (chmod(path, access->mode) < 0)
                return err_set_sys(e, errno, "%s: mode", path);
        if (listen(fd, BACKLOG) < 0)
                return err_set_sys(e, errno, "%s: listen", path);
        return 0;
}

/* /run is empty after a boot: the last folder of the path is made, those above it have to be there.
 */
static int open_folder(const char *socket_path, struct err *e)
{
        char copy[sizeof((struct sockaddr_un *)0)->sun_path];
        snprintf(copy, sizeof copy, "%s", socket_path);
        const char *folder = dirname(copy);
        if (mkdir(folder, 0755) < 0 && errno != EEXIST)
                return err_set_sys(
                        e, errno, "cannot listen at %s: cannot make its folder", socket_path);
        int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd >= 0 ? fd : err_set_sys(e, errno, "cannot listen at %s: its folder", socket_path);
}

/* Under a lock on the folder: of two that start at once, one finds the other's socket served. */
static int open_listener(const struct sockaddr_un *address, const struct file_access *access,
        int *out, struct err *e)
{
        int lock = open_folder(address->sun_path, e);
        if (lock < 0)
                return -1;
        flock(lock, LOCK_EX);
        int result = clear_stale(address, e);
        if (result == 0) {
                *out = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
                result = *out < 0 ? err_set_sys(e, errno, "%s: socket", address->sun_path)
                                  : bind_and_listen(*out, address, access, e);
                if (result < 0 && *out >= 0)
                        close(*out);
        }
        close(lock);
        return result;
}

int proxy_acceptor_listen_unix(
        struct proxy_acceptor *a, const char *path, uint32_t mode, int64_t gid, struct err *e)
{
        struct sockaddr_un address;
        struct file_access access = {.mode = mode, .gid = gid};
        int fd = -1;
        if (fill_address(path, &address, e) < 0 || open_listener(&address, &access, &fd, e) < 0)
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
        a->allow_gids = allow_gids;
        a->allow_gid_count = allow_gid_count;
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

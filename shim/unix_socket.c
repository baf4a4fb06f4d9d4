/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 1024 };

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
static int clear_stale(const struct sockaddr_un *address, const char *key, struct err *e)
{
        struct stat found;
        const char *path = address->sun_path;
        if (lstat(path, &found) < 0)
                return errno == ENOENT ? 0 : err_set_sys(e, errno, "%s", path);
        if (!S_ISSOCK(found.st_mode))
                return err_set(e, ERR_CONFIG,
                        "%s: exists and is not a socket; remove it, or change %s", path, key);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return err_set_sys(e, errno, "%s", path);
        bool connected = connect(fd, (const struct sockaddr *)address, sizeof *address) == 0;
        int failed = connected ? 0 : errno;
        close(fd);
        if (connected || failed == EAGAIN) /* EAGAIN: served, and very busy */
                return err_set(e, ERR_CONFIG,
                        "%s: another process serves this socket; stop it first, or change %s", path,
                        key);
        if (failed != ECONNREFUSED)
                return err_set_sys(e, failed, "%s: cannot tell whether it is served", path);
        return unlink(path) < 0 ? err_set_sys(e, errno, "%s", path) : 0;
}

/* The packaged unit leaves us no capability, and no chown(2) either: systemd gives sockets away. */
static int set_group(const struct unix_socket *s, struct err *e)
{
        struct stat made;
        if (s->gid < 0 || (lstat(s->path, &made) == 0 && made.st_gid == (gid_t)s->gid) ||
                chown(s->path, (uid_t)-1, (gid_t)s->gid) == 0)
                return 0;
        if (errno != EPERM)
                return err_set_sys(e, errno, "%s: group %" PRId64, s->path, s->gid);
        return err_set(e, ERR_CONFIG,
                "%s: this process may not give it to group %" PRId64
                " (shim.listen_group). systemd can: systemctl unmask %s, SocketGroup=%" PRId64
                " in its [Socket] (systemctl edit); or leave shim.listen_group empty",
                s->path, s->gid, s->unit, s->gid);
}

static int open_bound(int fd, const struct unix_socket *s, struct err *e)
{
        if (set_group(s, e) < 0)
                return -1;
        if (chmod(s->path, s->mode) < 0)
                return err_set_sys(e, errno, "%s: mode", s->path);
        if (listen(fd, BACKLOG) < 0)
                return err_set_sys(e, errno, "%s: listen", s->path);
        return 0;
}

/* Nobody can connect before listen(2): the mode is right from the first moment. */
static int bind_and_listen(
        int fd, const struct sockaddr_un *address, const struct unix_socket *s, struct err *e)
{
        if (bind(fd, (const struct sockaddr *)address, sizeof *address) < 0)
                return err_set_sys(e, errno, "%s: bind", s->path);
        int result = open_bound(fd, s, e);
        if (result < 0)
                unlink(s->path);
        return result;
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
static int open_listener(
        const struct sockaddr_un *address, const struct unix_socket *s, int *out, struct err *e)
{
        int lock = open_folder(address->sun_path, e);
        if (lock < 0)
                return -1;
        flock(lock, LOCK_EX);
        int result = clear_stale(address, s->key, e);
        if (result == 0) {
                *out = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
                result = *out < 0 ? err_set_sys(e, errno, "%s: socket", address->sun_path)
                                  : bind_and_listen(*out, address, s, e);
                if (result < 0 && *out >= 0)
                        close(*out);
        }
        close(lock);
        return result;
}

int unix_socket_listen(const struct unix_socket *s, int *fd, struct err *e)
{
        struct sockaddr_un address;
        *fd = -1;
        if (fill_address(s->path, &address, e) < 0)
                return -1;
        return open_listener(&address, s, fd, e);
}

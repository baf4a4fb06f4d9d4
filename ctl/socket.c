/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

const char *socket_path(const char *target)
{
        static const char scheme[] = "unix://";
        return strncmp(target, scheme, sizeof(scheme) - 1) == 0 ? target + sizeof(scheme) - 1
                                                                : target;
}

/* 0, or the errno of connect(2). A path comes from the configuration, which knows how long it may
 * be. */
static int try_to_connect(const char *path)
{
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        memcpy(a.sun_path, path, strnlen(path, sizeof(a.sun_path) - 1));
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return errno;
        int failed = connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0 ? 0 : errno;
        close(fd);
        return failed;
}

int socket_check(const char *path, struct err *e)
{
        int failed = try_to_connect(path);
        switch (failed) {
        case 0:
        case EAGAIN: /* served, and very busy */
                return 0;
        case ENOENT:
        case ENOTDIR:
        case ECONNREFUSED:
        case ENOTSOCK:
                return err_set(e, ERR_BACKEND,
                        "no daemon answers at %s: is cri-resolved running? (systemctl status "
                        "cri-resolved)",
                        path);
        case EACCES:
        case EPERM:
                return err_set(e, ERR_UNAUTHORIZED,
                        "permission denied at %s: run this as root, or as a member of the group "
                        "in [shim] listen_group and allow_groups",
                        path);
        default:
                return err_set_sys(e, failed, "cannot connect to %s", path);
        }
}

const char *socket_hint(void)
{
        return geteuid() == 0 ? ""
                              : "; it lets in root and members of the groups in [shim] "
                                "allow_groups alone";
}

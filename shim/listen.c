/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/listen.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SCHEME "unix://"

static bool is_held(const struct manager_sockets *s, const char *path)
{
        for (size_t i = 0; i < s->cri_count; i++) {
                struct sockaddr_un a = {0};
                socklen_t size = sizeof(a) - 1; /* the path may come without its end */
                if (getsockname(s->cri[i], (struct sockaddr *)&a, &size) == 0 &&
                        strcmp(a.sun_path, path) == 0)
                        return true;
        }
        return false;
}

/* kubelet and cri-resolvectl are told of shim.listen. */
static void settle_cri(const struct config *c, const struct manager_sockets *s)
{
        for (size_t i = 0; i < c->listen_count && s->cri_count > 0; i++)
                if (!is_held(s, c->listen[i] + strlen(SCHEME)))
                        log_line(LOG_LEVEL_WARNING,
                                "systemd holds the sockets for kubelet, and this one of "
                                "shim.listen is not among them: nobody serves it",
                                "shim.listen", c->listen[i], "remedy",
                                "the same path in both: systemctl edit cri-resolved.socket", NULL);
}

static void settle_relay(const struct config *c, struct manager_sockets *s)
{
        if (s->relay < 0 || s->relay_port == c->relay_port)
                return;
        char held[8], wanted[8], remedy[192];
        snprintf(held, sizeof(held), "%u", s->relay_port);
        snprintf(wanted, sizeof(wanted), "%u", (unsigned)c->relay_port);
        snprintf(remedy, sizeof(remedy),
                "systemctl edit cri-resolved-relay.socket: [Socket], ListenStream=, "
                "ListenStream=127.0.0.1:%s",
                wanted);
        log_line(LOG_LEVEL_WARNING,
                "systemd holds another port for the relay than relay.port, which is used: nobody "
                "keeps it while the daemon restarts",
                "held", held, "relay.port", wanted, "remedy", remedy, NULL);
        close(manager_socket_out(&s->relay));
}

static void settle_admin(const struct config *c, struct manager_sockets *s)
{
        if (s->admin < 0)
                return;
        if (c->admin_listen == NULL) {
                log_line(LOG_LEVEL_WARNING,
                        "systemd holds an admin socket, but admin.listen is empty: nobody answers "
                        "there",
                        "held", s->admin_path, "remedy",
                        "systemctl mask --now cri-resolved-admin.socket", NULL);
                close(manager_socket_out(&s->admin));
        } else if (strcmp(c->admin_listen + strlen(SCHEME), s->admin_path) != 0) {
                log_line(LOG_LEVEL_WARNING,
                        "systemd holds the admin socket at another place than admin.listen: it is "
                        "served there, and cri-resolvectl does not find it",
                        "held", s->admin_path, "admin.listen", c->admin_listen, "remedy",
                        "the same path in both: systemctl edit cri-resolved-admin.socket", NULL);
        }
}

int listen_take(const struct config *c, struct manager_sockets *s, struct err *e)
{
        if (manager_take(s, e) < 0)
                return -1;
        settle_cri(c, s);
        settle_relay(c, s);
        settle_admin(c, s);
        return 0;
}

int listen_cri(
        struct proxy *proxy, const struct config *c, struct manager_sockets *s, struct err *e)
{
        size_t inherited = s->cri_count;
        for (; s->cri_count > 0; s->cri_count--)
                if (proxy_listen_fd(proxy, s->cri[s->cri_count - 1], e) < 0)
                        return -1;
        if (inherited > 0)
                return 0;
        for (size_t i = 0; i < c->listen_count; i++) {
                const char *path = c->listen[i] + strlen(SCHEME);
                if (proxy_listen_unix(proxy, path, c->listen_mode, c->listen_gid, e) < 0)
                        return -1;
        }
        return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/manager.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define UNIT "its .socket unit (systemctl edit), section [Socket]"

enum {
        STATUS_BYTES = 512,
        STOP_MARGIN_MS = 15000, /* what is left to do when the last call was cancelled */
        FEEDS_PER_LIMIT = 3,    /* two may come late */
};

/* ---- sockets ---- */

static void free_names(char ***names)
{
        for (char **name = *names; name != NULL && *name != NULL; name++)
                free(*name);
        free(*names);
}

/* Whether it listens, in that family. */
static bool listens(int fd, int family)
{
        return sd_is_socket(fd, family, SOCK_STREAM, 1) > 0;
}

static int put(int *place, int fd, const char *name, struct err *e)
{
        if (*place >= 0)
                return err_set(e, ERR_CONFIG,
                        "systemd hands over two sockets named \"%s\": only one ListenStream= can "
                        "be "
                        "in " UNIT,
                        name);
        *place = fd;
        return 0;
}

static int take_cri(struct manager_sockets *s, int fd, struct err *e)
{
        if (!listens(fd, AF_UNIX))
                return err_set(e, ERR_CONFIG,
                        "inherited descriptor %d is not a listening Unix socket: see ListenStream= "
                        "in " UNIT,
                        fd);
        if (s->cri_count == MANAGER_CRI_MAX)
                return err_set(e, ERR_CONFIG, "systemd hands over more than %d sockets named cri",
                        MANAGER_CRI_MAX);
        s->cri[s->cri_count++] = fd;
        return 0;
}

/* containerd is sent to 127.0.0.1, and nobody else has any business there. */
static int take_relay(struct manager_sockets *s, int fd, struct err *e)
{
        struct sockaddr_in a = {0};
        socklen_t size = sizeof(a);
        if (!listens(fd, AF_INET) || getsockname(fd, (struct sockaddr *)&a, &size) < 0 ||
                a.sin_addr.s_addr != htonl(INADDR_LOOPBACK))
                return err_set(e, ERR_CONFIG,
                        "inherited descriptor %d, named relay, does not listen on 127.0.0.1: "
                        "ListenStream=127.0.0.1:<port> is needed in " UNIT,
                        fd);
        s->relay_port = ntohs(a.sin_port);
        return put(&s->relay, fd, "relay", e);
}

static int take_admin(struct manager_sockets *s, int fd, struct err *e)
{
        struct sockaddr_un a = {0};
        socklen_t size = sizeof(a) - 1; /* the path may come without its end */
        if (!listens(fd, AF_UNIX) || getsockname(fd, (struct sockaddr *)&a, &size) < 0)
                return err_set(e, ERR_CONFIG,
                        "inherited descriptor %d, named admin, is not a listening Unix socket: see "
                        "ListenStream= in " UNIT,
                        fd);
        if (put(&s->admin, fd, "admin", e) < 0)
                return -1;
        s->admin_path = mem_strdup(a.sun_path);
        return 0;
}

static int take_metrics(struct manager_sockets *s, int fd, struct err *e)
{
        if (!listens(fd, AF_INET) && !listens(fd, AF_INET6))
                return err_set(e, ERR_CONFIG,
                        "inherited descriptor %d, named metrics, is not a listening TCP socket: "
                        "see "
                        "ListenStream= in " UNIT,
                        fd);
        return put(&s->metrics, fd, "metrics", e);
}

static int take_one(struct manager_sockets *s, int fd, const char *name, struct err *e)
{
        static const struct {
                const char *name;
                int (*accept)(struct manager_sockets *s, int fd, struct err *e);
        } kinds[] = {
                {"cri", take_cri},
                {"unknown", take_cri}, /* nobody has named it */
                {"relay", take_relay},
                {"admin", take_admin},
                {"metrics", take_metrics},
        };
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
                if (strcmp(kinds[i].name, name) == 0)
                        return kinds[i].accept(s, fd, e);
        return err_set(e, ERR_CONFIG,
                "inherited descriptor %d is named \"%s\": FileDescriptorName= must be cri, relay, "
                "admin or metrics in " UNIT,
                fd, name);
}

int manager_take(struct manager_sockets *s, struct err *e)
{
        *s = (struct manager_sockets){.relay = -1, .admin = -1, .metrics = -1};
        cleanup(free_names) char **names = NULL;
        int count = sd_listen_fds_with_names(1, &names);
        for (int i = 0; i < count; i++)
                if (take_one(s, SD_LISTEN_FDS_START + i, names[i], e) < 0)
                        return -1; /* the others go with the process */
        return count < 0 ? err_set_sys(e, -count, "the sockets that systemd hands over") : 0;
}

int manager_socket_out(int *fd)
{
        int out = *fd;
        *fd = -1;
        return out;
}

static void close_one(int fd)
{
        if (fd >= 0)
                close(fd);
}

void manager_sockets_fini(struct manager_sockets *s)
{
        for (size_t i = 0; i < s->cri_count; i++)
                close_one(s->cri[i]);
        close_one(s->relay);
        close_one(s->admin);
        close_one(s->metrics);
        free(s->admin_path);
        *s = (struct manager_sockets){.relay = -1, .admin = -1, .metrics = -1};
}

/* ---- what it is told ---- */

/* A message is made of lines: the text is to be one. */
static void one_line(char *line, const char *text)
{
        snprintf(line, STATUS_BYTES, "%s", text);
        for (char *at = line; (at = strchr(at, '\n')) != NULL;)
                *at = ' ';
}

void manager_status(const char *text)
{
        char line[STATUS_BYTES];
        one_line(line, text);
        sd_notifyf(0, "STATUS=%s", line);
}

void manager_ready(const char *text)
{
        char line[STATUS_BYTES];
        one_line(line, text);
        sd_notifyf(0, "READY=1\nSTATUS=%s", line);
}

void manager_reloading(void)
{
        sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld\nSTATUS=reading the configuration again",
                (long long)(clock_mono_ns() / 1000));
}

void manager_stopping(int64_t limit_ms)
{
        sd_notifyf(0, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%lld\nSTATUS=draining",
                (long long)(limit_ms + STOP_MARGIN_MS) * 1000);
}

int64_t manager_watchdog_ms(void)
{
        uint64_t limit_us = 0;
        if (sd_watchdog_enabled(0, &limit_us) <= 0)
                return 0;
        int64_t interval_ms = (int64_t)(limit_us / 1000 / FEEDS_PER_LIMIT);
        return interval_ms > 0 ? interval_ms : 1;
}

void manager_watchdog_feed(void)
{
        sd_notify(0, "WATCHDOG=1");
}

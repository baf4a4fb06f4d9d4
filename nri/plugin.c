/* SPDX-License-Identifier: Apache-2.0 */
#include "nri/plugin.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "nri/session.h"

enum {
        READ_BYTES = 64 * 1024,
        /* The runtime synchronizes only when nothing that it does to containers is under way: a
         * slow stop may take minutes. */
        SYNCHRONIZE_TIMEOUT_MS = 300 * 1000,
        /* Containers wait while a plugin is synchronized, and each time a plugin does not answer in
         * time: who was connected comes back slowly. An attempt that finds nobody costs nobody. */
        BACKOFF_FIRST_MS = 100,
        BACKOFF_ABSENT_MAX_MS = 2000,
        BACKOFF_MAX_MS = 30 * 1000,
        STEADY_MS = 60 * 1000, /* a connection that lived so long was a good one */
        TICK_MS = 500,
        STALLED_MS = 1500, /* the runtime's time-out is two seconds by default */
};

struct nri_plugin {
        struct nri_plugin_options options;
        int stop_fd; /* readable for ever once the plugin is to end */
        pthread_t thread;
        int64_t backoff_ms;
        uint64_t noise;
        char reason[sizeof(((struct err *)NULL)->msg)]; /* what the listener was told last */
        uint8_t bytes[READ_BYTES];
};

/* A connection with its conversation. */
struct link {
        int fd;
        struct nri_session session;
        size_t sent; /* of session.out */
        int64_t since_ms;
};

/* ---- the connection ---- */

static int dial(const char *path, struct err *e)
{
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        if (strlen(path) >= sizeof(a.sun_path))
                return err_set(e, ERR_CONFIG, "NRI: the socket's path is too long: %s", path);
        memcpy(a.sun_path, path, strlen(path));
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return err_set_sys(e, errno, "NRI: socket");
        if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
                return fd;
        int number = errno;
        close(fd);
        return err_set(e, ERR_UNREACHABLE,
                "NRI: cannot connect to %s: %s; is containerd up, and NRI enabled in it?", path,
                strerror(number));
}

/* It depends on the moment how one hears that the runtime has closed it. */
static int broken(struct err *e, int number)
{
        if (number == EPIPE || number == ECONNRESET)
                return err_set(e, ERR_BROKEN, "NRI: the runtime closed the connection");
        return err_set(e, ERR_BROKEN, "NRI: the connection broke: %s", strerror(number));
}

static int send_answers(struct link *l, struct err *e)
{
        struct buf *out = &l->session.out;
        while (l->sent < out->size) {
                ssize_t n = send(l->fd, out->data + l->sent, out->size - l->sent, MSG_NOSIGNAL);
                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        return 0;
                if (n < 0)
                        return broken(e, errno);
                l->sent += (size_t)n;
        }
        buf_reset(out);
        l->sent = 0;
        return 0;
}

static int receive(struct nri_plugin *p, struct link *l, struct err *e)
{
        ssize_t n = recv(l->fd, p->bytes, sizeof(p->bytes), 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n <= 0)
                return broken(e, n == 0 ? EPIPE : errno);
        return nri_session_feed(&l->session, p->bytes, (size_t)n, e);
}

/* Until there is something to do: 1, or -1 when the plugin is to end. */
static int wait_for_work(struct nri_plugin *p, const struct link *l)
{
        bool pending = l->sent < l->session.out.size;
        struct pollfd polled[2] = {
                {.fd = p->stop_fd, .events = POLLIN},
                {.fd = l->fd, .events = (short)(POLLIN | (pending ? POLLOUT : 0))},
        };
        poll(polled, 2, l->session.synchronized ? -1 : TICK_MS);
        return polled[0].revents != 0 ? -1 : 1;
}

/*
 * What can go wrong before the plugin is synchronized, and would never be told: containerd 1.7
 * gives a plugin up that did not take Synchronize in time, but keeps the connection. So a turn in
 * which this process was stopped, or slow, for about that long ends it.
 */
static int check_patience(
        const struct nri_plugin *p, const struct link *l, int64_t turn_ms, struct err *e)
{
        int64_t timeout_ms = p->options.synchronize_timeout_ms > 0
                                     ? p->options.synchronize_timeout_ms
                                     : SYNCHRONIZE_TIMEOUT_MS;
        int64_t now_ms = clock_mono_ms();
        if (now_ms - turn_ms > STALLED_MS)
                return err_set(e, ERR_TIMEOUT, "NRI: this process was stopped while it registered");
        if (!l->session.synchronized && now_ms - l->since_ms > timeout_ms)
                return err_set(e, ERR_TIMEOUT,
                        "NRI: the runtime has not synchronized the plugin in %lld ms",
                        (long long)timeout_ms);
        return 0;
}

/* One wait and what came of it. 1: the plugin is to end. */
static int take_turn(struct nri_plugin *p, struct link *l, struct err *e)
{
        bool registering = !l->session.synchronized;
        int64_t turn_ms = clock_mono_ms();
        if (wait_for_work(p, l) < 0)
                return 1;
        if (receive(p, l, e) < 0 || send_answers(l, e) < 0)
                return -1;
        return registering ? check_patience(p, l, turn_ms, e) : 0;
}

/* Connects, and speaks until the connection or the plugin ends. 1: the plugin is to end. */
static int live(struct nri_plugin *p, struct err *e)
{
        struct link l = {.fd = dial(p->options.socket_path, e), .since_ms = clock_mono_ms()};
        if (l.fd < 0)
                return -1;
        nri_session_init(&l.session, &p->options.listener);
        int result = send_answers(&l, e); /* the registration */
        while (result == 0)
                result = take_turn(p, &l, e);
        if (l.session.configured)
                p->reason[0] = '\0';
        nri_session_fini(&l.session);
        close(l.fd);
        return result;
}

/* ---- again and again ---- */

static int64_t with_jitter(struct nri_plugin *p, int64_t ms)
{
        p->noise ^= p->noise << 13;
        p->noise ^= p->noise >> 7;
        p->noise ^= p->noise << 17;
        return ms / 2 + (int64_t)((p->noise >> 16) % (uint64_t)(ms / 2 + 1));
}

/* False when the plugin is to end. */
static bool back_off(struct nri_plugin *p, const struct err *e, int64_t lived_ms)
{
        int64_t most = e->code == ERR_UNREACHABLE ? BACKOFF_ABSENT_MAX_MS : BACKOFF_MAX_MS;
        if (lived_ms >= STEADY_MS)
                p->backoff_ms = BACKOFF_FIRST_MS;
        int64_t pause_ms = p->backoff_ms < most ? p->backoff_ms : most;
        p->backoff_ms = pause_ms * 2;
        struct pollfd stop = {.fd = p->stop_fd, .events = POLLIN};
        int64_t until_ms = clock_mono_ms() + with_jitter(p, pause_ms);
        for (int64_t left_ms = 0; (left_ms = until_ms - clock_mono_ms()) > 0;)
                if (poll(&stop, 1, (int)left_ms) > 0)
                        return false;
        return true;
}

static void tell(struct nri_plugin *p, const struct err *e)
{
        if (strcmp(e->msg, p->reason) == 0)
                return;
        memcpy(p->reason, e->msg, sizeof(p->reason));
        p->options.listener.disconnected(p->options.listener.arg, e->msg);
}

static void *plugin_main(void *arg)
{
        struct nri_plugin *p = arg;
        struct err e;
        while (true) {
                int64_t started_ms = clock_mono_ms();
                if (live(p, &e) > 0)
                        return NULL;
                tell(p, &e);
                if (!back_off(p, &e, clock_mono_ms() - started_ms))
                        return NULL;
        }
}

struct nri_plugin *nri_plugin_new(const struct nri_plugin_options *o)
{
        struct nri_plugin *p = mem_zalloc(sizeof(*p));
        p->options = *o;
        p->backoff_ms = BACKOFF_FIRST_MS;
        if (getrandom(&p->noise, sizeof(p->noise), GRND_NONBLOCK) != (ssize_t)sizeof(p->noise))
                p->noise = 0; /* the same jitter each time, then */
        p->noise |= 1;        /* xorshift knows no way out of 0 */
        p->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (p->stop_fd >= 0 && pthread_create(&p->thread, NULL, plugin_main, p) == 0)
                return p;
        if (p->stop_fd >= 0)
                close(p->stop_fd);
        free(p);
        return NULL;
}

void nri_plugin_free(struct nri_plugin *p)
{
        if (p == NULL)
                return;
        eventfd_write(p->stop_fd, 1);
        pthread_join(p->thread, NULL);
        close(p->stop_fd);
        free(p);
}

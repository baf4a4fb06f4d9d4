/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/door.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"

enum {
        WAITING_MAX = 512, /* connections without a complete head; the oldest makes room */
        ACCEPTED_AT_ONCE = 64,
        HEAD_MAX_BYTES = 8192,
        HEAD_TIMEOUT_MS = 5000,
        GOODBYE_TIMEOUT_MS = 1000,
        LAST_MAX_BYTES = 256 * 1024, /* of what comes behind a head that was refused */
        TICK_MS = 1000,
        BACKLOG = 4096,       /* the kernel may say less */
        TLS_HANDSHAKE = 0x16, /* RFC 8446 section 5.1, ContentType */
};

/* A connection that has not said enough, or that hears why it is not let in. */
struct waiting {
        int fd;
        int64_t until_ms;
        bool leaving; /* has its answer; its last bytes are read, or the answer could be lost */
        size_t last_bytes;
};

struct door {
        uint16_t port;
        struct door_events events;
        int listener; /* -1: the port is taken */
        atomic_bool open;
        bool complained;
        bool ticking;
        bool short_of_files; /* until the next tick nobody is let in */
        atomic_bool stopping;
        int wake_fd;
        pthread_t thread;
        struct waiting waiting[WAITING_MAX]; /* oldest first */
        size_t count;
        char head[HEAD_MAX_BYTES];
};

/* ---- listening ---- */

static int listen_on(uint16_t port)
{
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        int on = 1;
        if (fd < 0)
                return -1;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, BACKLOG) == 0)
                return fd;
        int number = errno;
        close(fd);
        errno = number;
        return -1;
}

static void try_to_open(struct door *d)
{
        if (atomic_load(&d->open))
                return;
        if (d->listener < 0)
                d->listener = listen_on(d->port);
        char port[8];
        snprintf(port, sizeof(port), "%u", d->port);
        if (d->listener < 0 && !d->complained)
                log_line(LOG_LEVEL_WARNING,
                        "the relay's port is taken: pulls go directly to their upstreams until it "
                        "is free",
                        "port", port, "error", strerror(errno), NULL);
        if (d->listener >= 0)
                log_line(LOG_LEVEL_INFO, "the relay serves", "port", port, NULL);
        d->complained = d->listener < 0;
        atomic_store(&d->open, d->listener >= 0);
}

/* ---- connections that wait ---- */

static void forget(struct door *d, size_t at)
{
        d->count--;
        memmove(&d->waiting[at], &d->waiting[at + 1], (d->count - at) * sizeof(d->waiting[0]));
}

static void drop(struct door *d, size_t at)
{
        close(d->waiting[at].fd);
        forget(d, at);
}

static void drop_unserved(struct door *d, size_t at, const char *reason)
{
        if (!d->waiting[at].leaving)
                metrics_add(METRIC_RELAY_CONNECTIONS_REFUSED, 1, METRICS_WORDS(reason));
        drop(d, at);
}

static void refuse(struct waiting *w, const char *answer)
{
        send(w->fd, answer, strlen(answer), MSG_NOSIGNAL | MSG_DONTWAIT);
        shutdown(w->fd, SHUT_WR);
        w->leaving = true;
        w->until_ms = clock_mono_ms() + GOODBYE_TIMEOUT_MS;
}

/* Sleep until there is more than what has been looked at. */
static void wait_for_more(int fd, int bytes)
{
        setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes));
}

/* A head is complete. */
static void judge(struct door *d, size_t at, size_t size)
{
        int fd = d->waiting[at].fd;
        wait_for_more(fd, 1);
        const char *answer = d->events.judge(d->events.arg, d->head, size);
        if (answer != NULL) {
                refuse(&d->waiting[at], answer);
                return;
        }
        forget(d, at);
        d->events.enter(d->events.arg, fd);
        d->ticking = true;
}

/* Its last bytes are of no interest, but it must be able to send them. */
static void see_off(struct door *d, size_t at)
{
        struct waiting *w = &d->waiting[at];
        ssize_t n = recv(w->fd, d->head, sizeof(d->head), MSG_DONTWAIT);
        w->last_bytes += n > 0 ? (size_t)n : 0;
        if (n == 0 || (n < 0 && errno != EAGAIN) || w->last_bytes > LAST_MAX_BYTES)
                drop(d, at);
}

/* ended: it will say no more. */
static void look(struct door *d, size_t at, bool ended)
{
        static const char no_tls[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n"
                                     "Connection: close\r\n\r\n";
        struct waiting *w = &d->waiting[at];
        if (w->leaving) {
                see_off(d, at);
                return;
        }
        ssize_t n = recv(w->fd, d->head, sizeof(d->head), MSG_PEEK | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
                return;
        if (n > 0 && d->head[0] == TLS_HANDSHAKE)
                refuse(w, no_tls);
        else if (n > 0 && memmem(d->head, (size_t)n, "\r\n\r\n", 4) != NULL)
                judge(d, at, (size_t)n);
        else if (n == HEAD_MAX_BYTES)
                drop_unserved(d, at, "malformed");
        else if (n <= 0 || ended)
                drop(d, at);
        else
                wait_for_more(w->fd, (int)n + 1);
}

/* As many as one turn has time for: a crowd that does not end must not keep the thread from those
 * who have got in and speak, from its ticks and from its end. */
static void accept_some(struct door *d)
{
        for (int i = 0; i < ACCEPTED_AT_ONCE; i++) {
                int fd = accept4(d->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (fd < 0) {
                        d->short_of_files = errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
                                            errno == ENOBUFS;
                        return;
                }
                if (d->count == WAITING_MAX)
                        drop_unserved(d, 0, "full");
                d->waiting[d->count++] =
                        (struct waiting){.fd = fd, .until_ms = clock_mono_ms() + HEAD_TIMEOUT_MS};
                look(d, d->count - 1, false); /* a crowd behind it cannot push out who has spoken */
        }
}

static void drop_late(struct door *d)
{
        int64_t now_ms = clock_mono_ms();
        for (size_t i = d->count; i-- > 0;)
                if (d->waiting[i].until_ms <= now_ms)
                        drop_unserved(d, i, "late");
}

/* ---- the thread ---- */

static void look_at_all(struct door *d, const struct pollfd *polled, size_t count)
{
        for (size_t i = count; i-- > 0;) /* from the end: entries may leave */
                if (polled[i].revents != 0)
                        look(d, i, (polled[i].revents & ~POLLIN) != 0);
}

static void tick(struct door *d)
{
        d->short_of_files = false;
        drop_late(d);
        try_to_open(d);
        d->ticking = d->events.tick(d->events.arg);
}

static void take_wake(struct door *d)
{
        uint64_t count;
        if (read(d->wake_fd, &count, sizeof(count)) > 0)
                d->ticking = true;
}

static void *door_main(void *arg)
{
        struct door *d = arg;
        struct pollfd polled[WAITING_MAX + 2];
        int64_t tick_ms = 0;
        while (!atomic_load(&d->stopping)) {
                polled[0] = (struct pollfd){.fd = d->wake_fd, .events = POLLIN};
                polled[1] = (struct pollfd){
                        .fd = d->short_of_files ? -1 : d->listener, .events = POLLIN};
                size_t count = d->count;
                for (size_t i = 0; i < count; i++)
                        polled[i + 2] = (struct pollfd){
                                .fd = d->waiting[i].fd, .events = POLLIN | POLLRDHUP};
                bool idle = count == 0 && !d->ticking && polled[1].fd >= 0;
                poll(polled, count + 2, idle ? -1 : TICK_MS);
                if (polled[0].revents != 0)
                        take_wake(d);
                look_at_all(d, &polled[2], count);
                if (polled[1].revents != 0)
                        accept_some(d);
                if (clock_mono_ms() >= tick_ms) {
                        tick_ms = clock_mono_ms() + TICK_MS;
                        tick(d);
                }
        }
        return NULL;
}

struct door *door_new(uint16_t port, int listener, const struct door_events *events)
{
        struct door *d = mem_zalloc(sizeof(*d));
        d->port = port;
        d->events = *events;
        d->listener = listener;
        d->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        try_to_open(d);
        if (d->wake_fd < 0 || pthread_create(&d->thread, NULL, door_main, d) != 0)
                abort();
        return d;
}

void door_wake(struct door *d)
{
        uint64_t one = 1;
        while (write(d->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
                ;
}

void door_free(struct door *d)
{
        if (d == NULL)
                return;
        atomic_store(&d->stopping, true);
        door_wake(d);
        pthread_join(d->thread, NULL);
        while (d->count > 0)
                drop(d, 0);
        if (d->listener >= 0)
                close(d->listener);
        close(d->wake_fd);
        free(d);
}

bool door_is_open(struct door *d)
{
        return atomic_load(&d->open);
}

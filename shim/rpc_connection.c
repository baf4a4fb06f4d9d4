/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/rpc_connection.h"

#include <errno.h>
#include <fcntl.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

#define URL_PREFIX "unix://"

struct rpc_connection {
        struct rpc_target *target;
        grpc_channel *channel;
        int fd;              /* a duplicate: core owns the other one */
        unsigned references; /* the target's own included; under its lock */
};

struct rpc_target {
        char *url;
        pthread_mutex_t lock;
        struct rpc_connection *current; /* NULL: none yet, or the last one is broken */
        bool announce;
        bool missing; /* announced */
};

static grpc_arg integer(const char *key, int value)
{
        return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = (char *)key, .value.integer = value};
}

/*
 * Few, on purpose. Measured through tests/bench (small calls, and lists of 128 and 290 KB), and
 * without an effect beyond the noise: no BDP probe, a read-ahead of 1 or 4 MiB, frames of 1 or 16
 * MiB, larger read chunks, the minimal stack, no channelz, no deadline filter. What counts is the
 * number of batches, of writes and of threads that a call passes (proxy_pass.c), and the client
 * channel with its resolver, balancer and retries, which a connection made by hand does not have.
 */
size_t rpc_arguments_common(grpc_arg *arguments)
{
        size_t n = 0;
        arguments[n++] = integer(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, -1);
        arguments[n++] = integer(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1);
        /* The default turns an answer with a long status message into RESOURCE_EXHAUSTED. */
        arguments[n++] = integer(GRPC_ARG_MAX_METADATA_SIZE, 1 << 20);
        return n;
}

struct rpc_target *rpc_target_new(const char *url)
{
        grpc_init();
        struct rpc_target *t = mem_zalloc(sizeof *t);
        t->url = mem_strdup(url);
        pthread_mutex_init(&t->lock, NULL);
        return t;
}

static void destroy(struct rpc_connection *c)
{
        grpc_channel_destroy(c->channel);
        close(c->fd);
        free(c);
}

/* Under the lock. True: the caller destroys it after unlocking. */
static bool drop_reference(struct rpc_connection *c)
{
        return --c->references == 0;
}

void rpc_target_free(struct rpc_target *t)
{
        if (t == NULL)
                return;
        if (t->current != NULL)
                destroy(t->current);
        pthread_mutex_destroy(&t->lock);
        free(t->url);
        free(t);
        grpc_shutdown();
}

static int open_socket(const char *url, struct err *e)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        const char *path = url + strlen(URL_PREFIX);
        if (strncmp(url, URL_PREFIX, strlen(URL_PREFIX)) != 0 ||
                strlen(path) >= sizeof address.sun_path)
                return err_set(e, ERR_BACKEND, "%s: not the address of a Unix socket", url);
        memcpy(address.sun_path, path, strlen(path));
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return err_set(e, ERR_BACKEND, "no socket for %s: %s", url, strerror(errno));
        if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
                err_set(e, ERR_BACKEND, "containerd cannot be reached at %s: %s", url,
                        strerror(errno));
                close(fd);
                return -1;
        }
        return fd;
}

static grpc_channel *channel_on(int fd)
{
        grpc_arg list[RPC_ARGUMENTS_MAX];
        size_t n = rpc_arguments_common(list);
        list[n++] = (grpc_arg){.type = GRPC_ARG_STRING,
                .key = GRPC_ARG_DEFAULT_AUTHORITY,
                .value.string = "localhost"};
        list[n++] = (grpc_arg){.type = GRPC_ARG_STRING,
                .key = GRPC_ARG_PRIMARY_USER_AGENT_STRING,
                .value.string = "cri-resolved/" CRI_RESOLVED_VERSION};
        grpc_channel_args arguments = {.num_args = n, .args = list};
        grpc_channel_credentials *insecure = grpc_insecure_credentials_create();
        grpc_channel *channel = grpc_channel_create_from_fd("containerd", fd, insecure, &arguments);
        grpc_channel_credentials_release(insecure);
        return channel;
}

static int open_connection(struct rpc_target *t, struct rpc_connection **out, struct err *e)
{
        int fd = open_socket(t->url, e);
        if (fd < 0)
                return -1;
        int duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (duplicate < 0) {
                close(fd);
                return err_set(e, ERR_BACKEND, "no descriptor for %s: %s", t->url, strerror(errno));
        }
        struct rpc_connection *c = mem_zalloc(sizeof *c);
        c->target = t;
        c->fd = duplicate;
        c->references = 1;
        c->channel = channel_on(fd);
        *out = c;
        return 0;
}

static bool hung_up(const struct rpc_connection *c)
{
        struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};
        return poll(&p, 1, 0) != 0;
}

void rpc_target_announce(struct rpc_target *t)
{
        t->announce = true;
}

/* Under the lock. */
static void announce(struct rpc_target *t, bool reached, const struct err *e)
{
        if (!t->announce || t->missing == !reached)
                return;
        t->missing = !reached;
        if (reached)
                log_line(LOG_LEVEL_INFO, "containerd answers again", "backend", t->url, NULL);
        else
                log_line(LOG_LEVEL_WARNING, "containerd does not answer", "backend", t->url,
                        "error", e->msg, NULL);
}

int rpc_connection_get(struct rpc_target *t, struct rpc_connection **out, struct err *e)
{
        struct rpc_connection *unused = NULL;
        int result = 0;
        pthread_mutex_lock(&t->lock);
        if (t->current != NULL && hung_up(t->current)) {
                unused = drop_reference(t->current) ? t->current : NULL;
                t->current = NULL;
        }
        if (t->current == NULL)
                result = open_connection(t, &t->current, e);
        announce(t, result == 0, e);
        if (result == 0) {
                t->current->references++;
                *out = t->current;
        }
        pthread_mutex_unlock(&t->lock);
        if (unused != NULL)
                destroy(unused);
        return result;
}

void rpc_connection_put(struct rpc_connection *c)
{
        if (c == NULL)
                return;
        struct rpc_target *t = c->target;
        pthread_mutex_lock(&t->lock);
        bool last = drop_reference(c);
        pthread_mutex_unlock(&t->lock);
        if (last)
                destroy(c);
}

void rpc_connection_retire(struct rpc_connection *c)
{
        struct rpc_target *t = c->target;
        pthread_mutex_lock(&t->lock);
        if (t->current == c) {
                t->current = NULL;
                drop_reference(c); /* never the last one: the caller has one */
        }
        pthread_mutex_unlock(&t->lock);
}

grpc_call *rpc_connection_call(struct rpc_connection *c, grpc_completion_queue *cq,
        grpc_slice method, const grpc_slice *authority, gpr_timespec deadline)
{
        return grpc_channel_create_call(
                c->channel, NULL, GRPC_PROPAGATE_DEFAULTS, cq, method, authority, deadline, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A server for answers that no registry gives: bytes as they are, over one connection. */
#ifndef CRI_RESOLVED_TESTS_RAW_H
#define CRI_RESOLVED_TESTS_RAW_H

#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* A server that sends fixed bytes to one client, whatever it asks. */
struct raw {
        int listener, port;
        const char *bytes;
        size_t size;
        pthread_t thread;
};

__attribute__((unused)) static void *raw_serve(void *arg)
{
        struct raw *s = arg;
        int fd = accept(s->listener, NULL, NULL);
        char request[4096];
        if (fd >= 0 && recv(fd, request, sizeof(request), 0) > 0) {
                for (size_t at = 0; at < s->size;) {
                        ssize_t n = send(fd, s->bytes + at, s->size - at, MSG_NOSIGNAL);
                        if (n <= 0)
                                break;
                        at += (size_t)n;
                }
                shutdown(fd, SHUT_WR);
                while (recv(fd, request, sizeof(request), 0) > 0)
                        ;
        }
        close(fd);
        return NULL;
}

__attribute__((unused)) static void raw_listen(struct raw *s)
{
        struct sockaddr_in at = {.sin_family = AF_INET};
        socklen_t size = sizeof(at);
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (bind(s->listener, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(s->listener, 8) < 0)
                abort();
        getsockname(s->listener, (struct sockaddr *)&at, &size);
        s->port = ntohs(at.sin_port);
}

#endif

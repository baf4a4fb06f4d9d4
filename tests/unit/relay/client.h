/* SPDX-License-Identifier: Apache-2.0 */
/* Connections of containerd's kind, for the tests of the relay: bytes out, bytes in. */
#ifndef CRI_RESOLVED_TESTS_CLIENT_H
#define CRI_RESOLVED_TESTS_CLIENT_H

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"

__attribute__((unused, noreturn)) static void client_die(const char *what)
{
        perror(what);
        abort();
}

__attribute__((unused)) static struct sockaddr_in client_address(int port)
{
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return a;
}

/* A socket that is bound to a free port. */
__attribute__((unused)) static int client_bound(int *port)
{
        struct sockaddr_in a = client_address(0);
        socklen_t size = sizeof(a);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
                getsockname(fd, (struct sockaddr *)&a, &size) < 0)
                client_die("bind");
        *port = ntohs(a.sin_port);
        return fd;
}

/* A port that was free a moment ago. */
__attribute__((unused)) static int client_free_port(void)
{
        int port;
        close(client_bound(&port));
        return port;
}

__attribute__((unused)) static int client_connect(int port)
{
        struct sockaddr_in a = client_address(port);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
                client_die("connect");
        return fd;
}

__attribute__((unused)) static void client_send(int fd, const void *data, size_t size)
{
        if (send(fd, data, size, MSG_NOSIGNAL) != (ssize_t)size)
                client_die("send");
}

__attribute__((unused)) static void client_puts(int fd, const char *text)
{
        client_send(fd, text, strlen(text));
}

/* Whether the other side has ended the connection, in whatever way; waits for it. */
__attribute__((unused)) static bool client_ended(int fd)
{
        char byte;
        return recv(fd, &byte, 1, 0) <= 0;
}

/* All that comes until the end. */
__attribute__((unused)) static void client_read_all(int fd, struct buf *out)
{
        char piece[65536];
        for (ssize_t n; (n = recv(fd, piece, sizeof(piece), 0)) > 0;)
                buf_append(out, piece, (size_t)n);
}

/* One answer of HTTP. */
struct client_answer {
        int status;
        struct buf head;
        struct buf body; /* as far as it came */
        bool cut;        /* it is not all that Content-Length says */
};

__attribute__((unused)) static void client_answer_fini(struct client_answer *a)
{
        buf_fini(&a->head);
        buf_fini(&a->body);
}
#define cleanup_client_answer cleanup(client_answer_fini)

/* A header's value; NULL if it is not there. The caller frees. */
__attribute__((unused)) static char *client_header(const struct client_answer *a, const char *name)
{
        for (const char *line = buf_str(&a->head); (line = strstr(line, "\r\n")) != NULL;) {
                line += 2;
                size_t size = strlen(name);
                if (strncasecmp(line, name, size) != 0 || line[size] != ':')
                        continue;
                line += size + 1 + strspn(line + size + 1, " ");
                return mem_strndup(line, strcspn(line, "\r"));
        }
        return NULL;
}

/* Reads one answer's head, byte by byte: what follows stays in the socket. False at the end. */
__attribute__((unused)) static bool client_read_head(int fd, struct client_answer *a)
{
        buf_init(&a->head, 65536);
        buf_init(&a->body, SIZE_MAX / 2);
        char byte;
        while (strstr(buf_str(&a->head), "\r\n\r\n") == NULL) {
                if (recv(fd, &byte, 1, 0) != 1)
                        return false;
                buf_append(&a->head, &byte, 1);
        }
        return sscanf(buf_str(&a->head), "HTTP/1.1 %d", &a->status) == 1;
}

__attribute__((unused)) static void client_read_body(int fd, struct client_answer *a)
{
        cleanup_free char *length = client_header(a, "Content-Length");
        size_t left = length != NULL ? strtoul(length, NULL, 10) : 0;
        char piece[65536];
        while (left > 0) {
                ssize_t n = recv(fd, piece, left < sizeof(piece) ? left : sizeof(piece), 0);
                if (n <= 0)
                        break;
                buf_append(&a->body, piece, (size_t)n);
                left -= (size_t)n;
        }
        a->cut = left > 0;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/metrics_door.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/address.h"
#include "shim/metrics_page.h"
#include "shim/text_answer.h"

enum { BACKLOG = 64, STATUS_NOT_FOUND = 404, STATUS_NOT_ALLOWED = 405 };

static void serve(void *service, const struct httpd_request *q, struct httpd_answer *a)
{
        if (strcmp(q->path, METRICS_PAGE_PATH) != 0) {
                text_answer(a, STATUS_NOT_FOUND, "text/plain",
                        mem_strdup("not found; there is " METRICS_PAGE_PATH "\n"));
        } else if (strcmp(q->method, "GET") != 0 && strcmp(q->method, "HEAD") != 0) {
                text_answer(a, STATUS_NOT_ALLOWED, "text/plain",
                        mem_strdup("read only: GET and HEAD\n"));
                a->allow = "GET, HEAD";
        } else {
                metrics_page_answer(service, a);
        }
}

static int fail(int fd, const char *address, struct err *e)
{
        int number = errno;
        if (fd >= 0)
                close(fd);
        err_set_sys(e, number, "metrics.listen = \"%s\"", address);
        e->code = ERR_CONFIG;
        return -1;
}

int metrics_door_listen(const char *address, int *fd, struct err *e)
{
        struct sockaddr_storage where;
        socklen_t size = 0;
        if (!address_parse(address, &where, &size))
                return err_set(e, ERR_CONFIG, "metrics.listen = \"%s\": no address", address);
        const int on = 1;
        *fd = socket(where.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (*fd < 0)
                return fail(*fd, address, e);
        setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (bind(*fd, (struct sockaddr *)&where, size) < 0 || listen(*fd, BACKLOG) < 0)
                return fail(*fd, address, e);
        return 0;
}

int metrics_door_new(
        int fd, struct pull_service *service, struct http_listener **out, struct err *e)
{
        struct http_listener_options o = {.fd = fd, .handler = serve, .arg = service};
        return http_listener_new(&o, out, e);
}

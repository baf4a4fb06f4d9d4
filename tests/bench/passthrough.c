/* SPDX-License-Identifier: Apache-2.0 */
/* The proxy alone, without resolver and configuration: passthrough LISTEN-PATH BACKEND-URL. */
#include <signal.h>
#include <stdio.h>

#include "shim/proxy.h"

int main(int argc, char **argv)
{
        if (argc != 3) {
                fprintf(stderr, "usage: passthrough LISTEN-PATH BACKEND-URL\n");
                return 64;
        }
        sigset_t signals;
        int received = 0;
        struct err e;
        sigemptyset(&signals);
        sigaddset(&signals, SIGTERM);
        sigaddset(&signals, SIGINT);
        pthread_sigmask(SIG_BLOCK, &signals, NULL);
        signal(SIGPIPE, SIG_IGN);
        struct proxy_options options = {.backend = argv[2], .backend_wait_ms = 15000};
        struct proxy *proxy = proxy_new(&options);
        if (proxy_listen_unix(proxy, argv[1], 0660, -1, &e) < 0 || proxy_start(proxy, &e) < 0) {
                fprintf(stderr, "passthrough: %s\n", e.msg);
                return err_exit_code(e.code);
        }
        sigwait(&signals, &received);
        proxy_stop(proxy, 1000);
        proxy_free(proxy);
        return 0;
}

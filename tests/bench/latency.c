/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Latency of serial unary calls over several sockets that lead to the same service, measured side
 * by side: latency METHOD ROUNDS SOCKET...
 *
 * Each round calls every socket once, so that whatever else the machine does meets all of them
 * alike. One line a socket on standard output: the median in nanoseconds, the bytes of an answer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "shim/rpc.h"

enum { WARM_UP_ROUNDS = 200, SOCKETS_MAX = 8 };

struct path {
        struct rpc *rpc;
        int64_t *samples_ns;
        size_t answer_bytes;
};

static int compare(const void *a, const void *b)
{
        int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
        return (x > y) - (x < y);
}

static int64_t call_once(struct path *p, const char *method)
{
        struct rpc_call call = {
                .method = method, .request = (const uint8_t *)"", .timeout_ms = 30000};
        cleanup_rpc_answer struct rpc_answer answer = {0};
        int64_t started_ns = clock_mono_ns();
        rpc_do(p->rpc, &call, &answer);
        int64_t spent_ns = clock_mono_ns() - started_ns;
        if (answer.code != 0) {
                fprintf(stderr, "latency: %s: status %d: %s\n", method, answer.code,
                        answer.message != NULL ? answer.message : "");
                exit(1);
        }
        p->answer_bytes = answer.response_size;
        return spent_ns;
}

int main(int argc, char **argv)
{
        int rounds = argc >= 4 ? atoi(argv[2]) : 0;
        size_t count = rounds > 0 ? (size_t)argc - 3 : 0;
        struct path paths[SOCKETS_MAX] = {0};
        if (count == 0 || count > SOCKETS_MAX) {
                fprintf(stderr, "usage: latency METHOD ROUNDS SOCKET... (at most %d)\n",
                        SOCKETS_MAX);
                return 64;
        }
        for (size_t i = 0; i < count; i++) {
                cleanup_free char *url = mem_printf("unix://%s", argv[i + 3]);
                paths[i].rpc = rpc_new(url);
                paths[i].samples_ns = mem_zalloc((size_t)rounds * sizeof(int64_t));
        }
        for (int round = -WARM_UP_ROUNDS; round < rounds; round++)
                for (size_t i = 0; i < count; i++) {
                        int64_t spent_ns = call_once(&paths[i], argv[1]);
                        if (round >= 0)
                                paths[i].samples_ns[round] = spent_ns;
                }
        for (size_t i = 0; i < count; i++) {
                qsort(paths[i].samples_ns, (size_t)rounds, sizeof(int64_t), compare);
                printf("%lld %zu\n", (long long)paths[i].samples_ns[rounds / 2],
                        paths[i].answer_bytes);
                free(paths[i].samples_ns);
                rpc_free(paths[i].rpc);
        }
        return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* cri-resolvectl: signals, around the program. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

#include "ctl/start.h"

enum { SIGNAL_EXIT = 128 };

/* They live as long as the process: the thread of the signals is never ended. */
static struct cancel cancel;
static atomic_int caught;

static void wanted_signals(sigset_t *set)
{
        sigemptyset(set);
        sigaddset(set, SIGINT);
        sigaddset(set, SIGTERM);
}

/* The first signal asks the verb to end; the next one does not ask. */
static void *follow_signals(void *unused)
{
        (void)unused;
        sigset_t set;
        wanted_signals(&set);
        for (;;) {
                int number = sigwaitinfo(&set, NULL);
                if (number < 0)
                        continue;
                if (atomic_exchange(&caught, number) != 0)
                        _exit(SIGNAL_EXIT + number);
                cancel_fire(&cancel);
        }
}

int main(int argc, char **argv)
{
        sigset_t set;
        pthread_t thread;
        wanted_signals(&set);
        signal(SIGPIPE, SIG_IGN);
        pthread_sigmask(SIG_BLOCK, &set, NULL);
        cancel_init(&cancel);
        if (pthread_create(&thread, NULL, follow_signals, NULL) == 0)
                pthread_detach(thread);
        else /* then signals end the program as they always do */
                pthread_sigmask(SIG_UNBLOCK, &set, NULL);
        int code = start(argc, argv, &cancel);
        int number = atomic_load(&caught);
        return number != 0 ? SIGNAL_EXIT + number : code;
}

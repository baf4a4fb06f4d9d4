/* SPDX-License-Identifier: Apache-2.0 */
/* What a test's program logs, to be waited for: standard error goes through a pipe. */
#ifndef CRI_RESOLVED_TESTS_CAPTURE_H
#define CRI_RESOLVED_TESTS_CAPTURE_H

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"

struct capture {
        int saved, from;
        struct buf text;
};

/* Where a sanitizer writes its last words: not into the pipe. Only those builds have it. */
void __sanitizer_set_report_fd(void *fd) __attribute__((weak));

/* A test that failed has not ended its capture: what it logged, and why it failed, is shown then.
 */
static struct capture capture_left = {.saved = -1};

__attribute__((unused)) static void capture_show(void)
{
        char piece[4096];
        if (capture_left.saved < 0)
                return;
        fflush(stderr);
        dup2(capture_left.saved, STDERR_FILENO);
        for (ssize_t n; (n = read(capture_left.from, piece, sizeof(piece))) > 0;)
                fwrite(piece, 1, (size_t)n, stderr);
}

__attribute__((unused)) static void capture_begin(struct capture *c)
{
        int ends[2];
        static bool prepared;
        if (!prepared) {
                atexit(capture_show);
                if (__sanitizer_set_report_fd != NULL)
                        __sanitizer_set_report_fd((void *)(intptr_t)dup(STDERR_FILENO));
        }
        prepared = true;
        capture_show(); /* of the test before this one */
        fflush(stderr);
        c->saved = dup(STDERR_FILENO);
        if (c->saved < 0 || pipe2(ends, O_CLOEXEC) < 0 || dup2(ends[1], STDERR_FILENO) < 0)
                abort();
        close(ends[1]);
        fcntl(ends[0], F_SETPIPE_SZ, 1 << 20); /* nobody reads while nobody waits */
        c->from = ends[0];
        buf_init(&c->text, 1 << 20);
        capture_left = *c;
}

/* Until a line with these words was logged since the beginning; the whole line, the caller's. */
__attribute__((unused)) static char *capture_wait(struct capture *c, const char *words)
{
        const char *found;
        char piece[4096];
        while ((found = strstr(buf_str(&c->text), words)) == NULL || strchr(found, '\n') == NULL) {
                ssize_t n = read(c->from, piece, sizeof(piece));
                if (n <= 0)
                        abort();
                buf_append(&c->text, piece, (size_t)n);
        }
        while (found > c->text.data && found[-1] != '\n')
                found--;
        return mem_strndup(found, strcspn(found, "\n"));
}

/* All that was logged, the caller's. */
__attribute__((unused)) static char *capture_end(struct capture *c)
{
        char piece[4096];
        fflush(stderr);
        dup2(c->saved, STDERR_FILENO); /* the pipe has no writer any more */
        close(c->saved);
        capture_left.saved = -1;
        for (ssize_t n; (n = read(c->from, piece, sizeof(piece))) > 0;)
                buf_append(&c->text, piece, (size_t)n);
        close(c->from);
        char *all = mem_strdup(buf_str(&c->text));
        buf_fini(&c->text);
        return all;
}

/* How many lines have these words. */
__attribute__((unused)) static size_t capture_count(const char *log, const char *words)
{
        size_t count = 0;
        for (; (log = strstr(log, words)) != NULL; log++)
                count++;
        return count;
}

#endif

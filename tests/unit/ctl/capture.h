/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a function prints: to a stream in memory, or to the two standard ones while they are turned
 * aside. One at a time.
 */
#ifndef CRI_RESOLVED_CAPTURE_H
#define CRI_RESOLVED_CAPTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"

struct capture {
        FILE *stream;
        int saved; /* the descriptor that was turned aside */
        int aside;
};

static inline void capture_start(struct capture *c, FILE *stream)
{
        fflush(stream);
        c->stream = stream;
        c->saved = dup(fileno(stream));
        c->aside = memfd_create("capture", 0);
        if (c->saved < 0 || c->aside < 0 || dup2(c->aside, fileno(stream)) < 0)
                abort();
}

/* What was printed since; the caller frees. */
static inline char *capture_end(struct capture *c)
{
        fflush(c->stream);
        off_t size = lseek(c->aside, 0, SEEK_END);
        char *text = mem_zalloc((size_t)size + 1);
        if (pread(c->aside, text, (size_t)size, 0) != size || dup2(c->saved, fileno(c->stream)) < 0)
                abort();
        close(c->saved);
        close(c->aside);
        return text;
}

#endif

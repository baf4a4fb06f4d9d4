/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A folder of a test's own: files by relative path, removed with everything in it.
 */
#ifndef CRI_RESOLVED_SCRATCH_H
#define CRI_RESOLVED_SCRATCH_H

#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

struct scratch {
        char path[64];
};

static inline int scratch_setup(void **state)
{
        struct scratch *s = mem_zalloc(sizeof(*s));
        strcpy(s->path, "/tmp/cri-resolved-test-XXXXXX");
        *state = s;
        return mkdtemp(s->path) == NULL ? -1 : 0;
}

static inline int scratch_remove(const char *path, const struct stat *st, int flag, struct FTW *f)
{
        (void)st;
        (void)flag;
        (void)f;
        return remove(path);
}

static inline int scratch_teardown(void **state)
{
        struct scratch *s = *state;
        int status = nftw(s->path, scratch_remove, 8, FTW_DEPTH | FTW_PHYS);
        free(s);
        return status;
}

/* Writes a file of mode 0600, with the folders above it; returns its path, which the caller frees.
 */
static inline char *scratch_write(const struct scratch *s, const char *name, const char *text)
{
        char *path = mem_printf("%s/%s", s->path, name);
        for (char *slash = path + strlen(s->path); slash != NULL; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                mkdir(path, 0700);
                *slash = '/';
        }
        FILE *f = fopen(path, "w");
        if (f == NULL || fchmod(fileno(f), 0600) < 0 || fputs(text, f) < 0 || fclose(f) != 0) {
                perror(path);
                abort();
        }
        return path;
}

/* `text` with each "@" as the folder's path; the caller frees. */
static inline char *scratch_expand(const struct scratch *s, const char *text)
{
        char *out = mem_strdup("");
        for (const char *c = text; *c != '\0'; c++) {
                char *next =
                        *c == '@' ? mem_printf("%s%s", out, s->path) : mem_printf("%s%c", out, *c);
                free(out);
                out = next;
        }
        return out;
}

#endif

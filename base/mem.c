/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void *or_die(void *p)
{
        if (p == NULL) {
                fputs("cri-resolved: out of memory\n", stderr);
                abort();
        }
        return p;
}

void *mem_zalloc(size_t size)
{
        return or_die(calloc(1, size > 0 ? size : 1));
}

void *mem_resize(void *p, size_t size)
{
        return or_die(realloc(p, size > 0 ? size : 1));
}

char *mem_strdup(const char *s)
{
        return or_die(strdup(s));
}

char *mem_strndup(const char *s, size_t n)
{
        return or_die(strndup(s, n));
}

char *mem_strdup_or_null(const char *s)
{
        return s == NULL ? NULL : mem_strdup(s);
}

char *mem_printf(const char *fmt, ...)
{
        char *s = NULL;
        va_list args;
        va_start(args, fmt);
        int n = vasprintf(&s, fmt, args);
        va_end(args);
        return or_die(n < 0 ? NULL : s);
}

void mem_wipe(void *p, size_t size)
{
        if (p != NULL && size > 0)
                explicit_bzero(p, size);
}

void mem_free_secret(char *s)
{
        if (s != NULL)
                mem_wipe(s, strlen(s));
        free(s);
}

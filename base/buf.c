/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { FIRST_CAPACITY = 256 };

void buf_init(struct buf *b, size_t max_bytes)
{
        *b = (struct buf){.max_bytes = max_bytes};
}

void buf_fini(struct buf *b)
{
        free(b->data);
        *b = (struct buf){0};
}

void buf_fini_secret(struct buf *b)
{
        mem_wipe(b->data, b->capacity);
        buf_fini(b);
}

void buf_reset(struct buf *b)
{
        b->size = 0;
        b->overflow = false;
        if (b->data != NULL)
                b->data[0] = '\0';
}

/* Makes room for `more` bytes and the NUL. Grows into fresh memory and wipes the old: a secret that
 * outgrows its buffer leaves no copy behind. */
static bool make_room(struct buf *b, size_t more)
{
        if (b->overflow || more > b->max_bytes - b->size) {
                b->overflow = true;
                return false;
        }
        size_t need = b->size + more + 1;
        if (need <= b->capacity)
                return true;
        size_t capacity = b->capacity > 0 ? b->capacity : FIRST_CAPACITY;
        while (capacity < need)
                capacity *= 2;
        char *data = mem_zalloc(capacity);
        if (b->data != NULL) {
                memcpy(data, b->data, b->size);
                mem_wipe(b->data, b->size);
                free(b->data);
        }
        b->data = data;
        b->capacity = capacity;
        return true;
}

void buf_append(struct buf *b, const void *data, size_t size)
{
        if (size == 0 || !make_room(b, size))
                return;
        memcpy(b->data + b->size, data, size);
        b->size += size;
        b->data[b->size] = '\0';
}

void buf_puts(struct buf *b, const char *s)
{
        buf_append(b, s, strlen(s));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
        va_list args;
        va_list again;
        va_start(args, fmt);
        va_copy(again, args);
        int n = vsnprintf(NULL, 0, fmt, args);
        va_end(args);
        if (n > 0 && make_room(b, (size_t)n)) {
                vsnprintf(b->data + b->size, (size_t)n + 1, fmt, again);
                b->size += (size_t)n;
        }
        va_end(again);
}

const char *buf_str(const struct buf *b)
{
        return b->data == NULL ? "" : b->data;
}

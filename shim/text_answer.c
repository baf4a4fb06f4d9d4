/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/text_answer.h"

#include <string.h>

#include "base/mem.h"

/* As far as it has left. */
struct text {
        char *data;
        size_t size, sent;
};

static ssize_t read_text(void *body, char *buf, size_t max)
{
        struct text *t = body;
        size_t left = t->size - t->sent;
        size_t n = left < max ? left : max;
        memcpy(buf, t->data + t->sent, n);
        t->sent += n;
        return (ssize_t)n;
}

static void free_text(void *body)
{
        struct text *t = body;
        free(t->data);
        free(t);
}

void text_answer(struct httpd_answer *a, int status, const char *content_type, char *text)
{
        struct text *t = mem_zalloc(sizeof(*t));
        t->data = text;
        t->size = strlen(text);
        *a = (struct httpd_answer){
                .status = status,
                .content_type = content_type,
                .size = (int64_t)t->size,
                .read = read_text,
                .free = free_text,
                .body = t,
        };
}

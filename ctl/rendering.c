/* SPDX-License-Identifier: Apache-2.0 */
/* What the renderers share (render.h). */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ctl/render.h"

void rendering_fini(struct rendering *r)
{
        for (size_t i = 0; i < r->file_count; i++) {
                free(r->files[i].path);
                free(r->files[i].text);
        }
        free(r->files);
        free(r->directory);
        strings_clear(&r->notes);
        *r = (struct rendering){0};
}

void rendering_add(struct rendering *r, char *path, struct buf *text)
{
        r->files = mem_resize(r->files, (r->file_count + 1) * sizeof(*r->files));
        r->files[r->file_count++] =
                (struct rendered_file){.path = take(&path), .text = mem_strdup(buf_str(text))};
        buf_reset(text);
}

void rendering_note(struct rendering *r, const char *fmt, ...)
{
        char *text = NULL;
        va_list args;
        va_start(args, fmt);
        int n = vasprintf(&text, fmt, args);
        va_end(args);
        if (n < 0)
                return;
        strings_add(&r->notes, text);
        free(text);
}

char *render_quote(const char *s)
{
        json_t *value = json_string(s);
        char *text = value != NULL ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
        json_decref(value);
        return text != NULL ? text : mem_strdup("\"\"");
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "ctl/pin_edit.h"

static void apply_edit(struct buf *out, const struct pin_edit *edit, const char *digest)
{
        if (edit->before != NULL)
                buf_puts(out, edit->before);
        if (edit->has_digest)
                buf_puts(out, digest);
        if (edit->after != NULL)
                buf_puts(out, edit->after);
}

char *pin_apply(const struct pin_found *f,
        const char *(*digest_for)(void *arg, const struct pin_target *target), void *arg,
        size_t *size)
{
        struct buf out;
        size_t at = 0;
        buf_init(&out, SIZE_MAX / 4);
        for (size_t i = 0; i < f->target_count; i++) {
                const struct pin_target *t = &f->targets[i];
                const char *digest = digest_for(arg, t);
                for (size_t n = 0; digest != NULL && n < t->edit_count; n++) {
                        buf_append(&out, f->text + at, t->edits[n].offset - at);
                        apply_edit(&out, &t->edits[n], digest);
                        at = t->edits[n].offset + t->edits[n].length;
                }
        }
        buf_append(&out, f->text + at, f->size - at);
        if (size != NULL)
                *size = out.size;
        return out.data != NULL ? out.data : mem_strdup("");
}

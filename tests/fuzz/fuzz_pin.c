/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a manifest: outside of its edits no byte changes, and what was pinned can be read
 * and is not pinned again. The first byte says how; the corpus is tests/fuzz/corpus/pin.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "ctl/pin_edit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char digest[] =
        "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

struct registry {
        bool only_some;
};

static const char *registry_digest(void *arg, const struct pin_target *t)
{
        const struct registry *r = arg;
        return r->only_some && strlen(t->reference) % 2 == 0 ? NULL : digest;
}

static int find(struct pin_found *f, bool is_hcl)
{
        struct err e;
        int status = is_hcl ? pin_find_hcl(f, "x", &e) : pin_find_yaml(f, "x", &e);
        assert(status == 0 || e.code == ERR_CONFIG || e.code == ERR_TOO_LARGE);
        return status;
}

/* The output at `at` is what the edit says; returns where it ends. */
static size_t check_edit(const struct pin_edit *edit, const char *out, size_t size, size_t at)
{
        const char *const parts[] = {edit->before, edit->has_digest ? digest : NULL, edit->after};
        for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
                size_t n = parts[i] != NULL ? strlen(parts[i]) : 0;
                assert(n <= size - at);
                if (n > 0)
                        assert(memcmp(out + at, parts[i], n) == 0);
                at += n;
        }
        return at;
}

static void check_bytes(const struct pin_found *f, struct registry *r, const char *out, size_t size)
{
        size_t in_at = 0, out_at = 0;
        for (size_t i = 0; i < f->target_count; i++) {
                const struct pin_target *t = &f->targets[i];
                if (registry_digest(r, t) == NULL)
                        continue;
                for (size_t n = 0; n < t->edit_count; n++) {
                        const struct pin_edit *edit = &t->edits[n];
                        assert(edit->offset >= in_at && edit->offset <= f->size);
                        assert(edit->length <= f->size - edit->offset);
                        size_t same = edit->offset - in_at;
                        assert(same <= size - out_at);
                        assert(memcmp(f->text + in_at, out + out_at, same) == 0);
                        out_at = check_edit(edit, out, size, out_at + same);
                        in_at = edit->offset + edit->length;
                }
        }
        assert(f->size - in_at == size - out_at);
        assert(memcmp(f->text + in_at, out + out_at, size - out_at) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size == 0)
                return 0;
        const bool is_hcl = (data[0] & 1) != 0;
        const struct pin_options options = {
                .style = (data[0] & 2) != 0 ? PIN_COMMENT : PIN_TAG,
                .update = (data[0] & 4) != 0,
        };
        struct registry r = {.only_some = (data[0] & 8) != 0};
        cleanup_pin_found struct pin_found f, again;
        pin_found_init(&f, (const char *)data + 1, size - 1, &options);
        pin_found_init(&again, "", 0, &options);
        if (find(&f, is_hcl) < 0)
                return 0;
        size_t out_size = 0;
        cleanup_free char *out = pin_apply(&f, registry_digest, &r, &out_size);
        check_bytes(&f, &r, out, out_size);
        pin_found_init(&again, out, out_size, &(struct pin_options){.style = options.style});
        assert(find(&again, is_hcl) == 0);
        assert(r.only_some || again.target_count == 0);
        return 0;
}

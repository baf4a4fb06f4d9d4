/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes from a runtime: however they are cut, the same is heard, the same is answered, and the
 * same is wrong with them. The corpus is tests/fuzz/corpus/nri_frame.
 */
#include <stdint.h>

#include "tests/fuzz/nri_ear.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
        struct nri_ear ear;
        struct nri_listener listener;
        struct nri_session session;
        int result;
        struct err e;
};

/* Feeds pieces of so many bytes, each a copy of its own size: a sanitizer sees who reads on. */
static void feed(struct outcome *o, const uint8_t *data, size_t size, size_t piece)
{
        o->listener = nri_ear_listener(&o->ear);
        o->result = 0;
        nri_session_init(&o->session, &o->listener);
        for (size_t at = 0, n = 0; o->result == 0 && at < size; at += n) {
                n = piece < size - at ? piece : size - at;
                uint8_t *copy = mem_zalloc(n);
                memcpy(copy, data + at, n);
                o->result = nri_session_feed(&o->session, copy, n, &o->e);
                free(copy);
        }
}

static void drop(struct outcome *o)
{
        nri_session_fini(&o->session);
        buf_fini(&o->ear.heard);
}

static bool same(const struct buf *a, const struct buf *b)
{
        return a->size == b->size && (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct outcome whole, cut;
        size_t piece = size > 0 ? data[size - 1] % 23 + 1 : 1;
        feed(&whole, data, size, size + 1);
        feed(&cut, data, size, piece);
        assert(whole.result == cut.result);
        assert(whole.result == 0 ||
                (whole.e.code == cut.e.code && strcmp(whole.e.msg, cut.e.msg) == 0));
        assert(same(&whole.ear.heard, &cut.ear.heard));
        assert(same(&whole.session.out, &cut.session.out));
        drop(&whole);
        drop(&cut);
        return 0;
}

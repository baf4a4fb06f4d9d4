/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as an image reference: what is taken has parts that make up its text, and its text is
 * taken again as the same. The corpus is tests/fuzz/corpus/ref.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "resolver/ref.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct ref *r)
{
        assert((r->tag != NULL) != (r->digest != NULL));
        assert(strlen(r->name) == strlen(r->host) + 1 + strlen(r->repository));
        assert(strncmp(r->text, r->name, strlen(r->name)) == 0);
        cleanup_ref struct ref again;
        struct err e;
        if (ref_parse(r->text, strlen(r->text), &again, &e) < 0)
                abort();
        assert(strcmp(again.text, r->text) == 0);
        assert(strcmp(again.host, r->host) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        cleanup_ref struct ref r;
        struct err e;
        if (ref_parse((const char *)data, size, &r, &e) == 0)
                check(&r);
        else
                assert(e.code == ERR_INVALID && r.text == NULL);
        return 0;
}

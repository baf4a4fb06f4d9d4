/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a token server's answer: a token that comes out can stand in a header. The corpus is
 * tests/fuzz/corpus/registry_json.
 */
#include <assert.h>
#include <stdint.h>

#include "resolver/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        cleanup_token struct token t;
        struct err e;
        if (token_parse((const char *)data, size, &t, &e) < 0) {
                assert(e.code == ERR_PROTOCOL && t.text == NULL);
                return 0;
        }
        assert(t.text[0] != '\0' && t.lifetime_s > 0);
        for (const char *c = t.text; *c != '\0'; c++)
                assert(*c > ' ' && *c <= '~');
        return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as WWW-Authenticate headers, a line each: no value may come out with a line end, and a
 * Bearer challenge always has a realm. The corpus is tests/fuzz/corpus/challenge.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "resolver/challenge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_value(const char *value)
{
        assert(value == NULL || strpbrk(value, "\r\n") == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        cleanup_challenge struct challenge c = {0};
        struct err e;
        const char *at = (const char *)data;
        for (size_t left = size; left > 0;) {
                const char *end = memchr(at, '\n', left);
                size_t line = end == NULL ? left : (size_t)(end - at);
                if (challenge_parse(at, line, &c, &e) < 0)
                        assert(e.code == ERR_PROTOCOL);
                size_t used = end == NULL ? line : line + 1;
                at += used;
                left -= used;
        }
        assert(c.scheme != CHALLENGE_BEARER || c.realm != NULL);
        check_value(c.realm);
        check_value(c.service);
        check_value(c.scope);
        check_value(c.error);
        return 0;
}

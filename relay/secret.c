/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"

void secret_make(char out[SECRET_DIGITS + 1])
{
        unsigned char bytes[SECRET_DIGITS / 2];
        /* Up to 256 bytes come whole or not at all (getrandom(2)). */
        if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
                abort();
        for (size_t i = 0; i < sizeof(bytes); i++)
                snprintf(out + 2 * i, 3, "%02x", bytes[i]);
        mem_wipe(bytes, sizeof(bytes));
}

bool secret_equal(const char *a, const char *b)
{
        size_t size = strlen(a);
        if (size != strlen(b))
                return false;
        volatile unsigned char difference = 0;
        for (size_t i = 0; i < size; i++)
                difference = (unsigned char)(difference | (a[i] ^ b[i]));
        return difference == 0;
}

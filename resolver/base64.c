/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/base64.h"

#include <stdint.h>
#include <string.h>

#include "base/mem.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const void *data, size_t size)
{
        const unsigned char *in = data;
        char *out = mem_zalloc((size + 2) / 3 * 4 + 1);
        char *to = out;
        for (size_t i = 0; i < size; i += 3) {
                size_t have = size - i < 3 ? size - i : 3;
                uint32_t bits = (uint32_t)in[i] << 16;
                bits |= have > 1 ? (uint32_t)in[i + 1] << 8 : 0;
                bits |= have > 2 ? in[i + 2] : 0;
                *to++ = alphabet[bits >> 18 & 63];
                *to++ = alphabet[bits >> 12 & 63];
                to[0] = to[1] = '=';
                if (have > 1)
                        to[0] = alphabet[bits >> 6 & 63];
                if (have > 2)
                        to[1] = alphabet[bits & 63];
                to += 2;
        }
        return out;
}

static bool decode_group(const char group[4], char **to)
{
        uint32_t bits = 0;
        int padding = 0;
        for (int i = 0; i < 4; i++) {
                const char *at = strchr(alphabet, group[i]);
                if (group[i] == '=' && i >= 2)
                        padding++;
                else if (at == NULL || padding > 0)
                        return false;
                bits = bits << 6 | (uint32_t)(group[i] == '=' ? 0 : at - alphabet);
        }
        *(*to)++ = (char)(bits >> 16 & 255);
        if (padding < 2)
                *(*to)++ = (char)(bits >> 8 & 255);
        if (padding < 1)
                *(*to)++ = (char)(bits & 255);
        return true;
}

bool base64_decode(const char *s, char **out, size_t *size)
{
        cleanup(mem_free_secret_at) char *made = mem_zalloc(strlen(s) / 4 * 3 + 4);
        char *to = made;
        char group[4];
        int have = 0;
        bool ended = false;
        for (; *s != '\0'; s++) {
                if (*s == '\r' || *s == '\n')
                        continue;
                if (ended)
                        return false;
                group[have++] = *s;
                if (have < 4)
                        continue;
                if (!decode_group(group, &to))
                        return false;
                ended = group[3] == '=';
                have = 0;
        }
        mem_wipe(group, sizeof(group));
        if (have != 0)
                return false;
        *size = (size_t)(to - made);
        *out = take(&made);
        return true;
}

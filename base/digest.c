/* SPDX-License-Identifier: Apache-2.0 */
#include "base/digest.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

static const struct {
        const char *prefix;
        size_t digits;
} algorithms[] = {{"sha256:", 64}, {"sha384:", 96}, {"sha512:", 128}};

bool digest_valid(const char *s, size_t size)
{
        for (size_t a = 0; a < sizeof(algorithms) / sizeof(algorithms[0]); a++) {
                size_t prefix = strlen(algorithms[a].prefix);
                if (size != prefix + algorithms[a].digits ||
                        memcmp(s, algorithms[a].prefix, prefix) != 0)
                        continue;
                for (size_t i = prefix; i < size; i++)
                        if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f')))
                                return false;
                return true;
        }
        return false;
}

struct digest_hash {
        EVP_MD_CTX *context;
};

/* libcrypto fails here only without memory or with a broken installation: nothing could be
 * verified then, so nothing may go on. */
static void must(int ok)
{
        if (ok != 1) {
                fputs("cri-resolved: SHA-256 is not available in libcrypto\n", stderr);
                abort();
        }
}

struct digest_hash *digest_hash_new(void)
{
        struct digest_hash *h = mem_zalloc(sizeof(*h));
        h->context = EVP_MD_CTX_new();
        must(h->context != NULL);
        must(EVP_DigestInit_ex(h->context, EVP_sha256(), NULL));
        return h;
}

void digest_hash_update(struct digest_hash *h, const void *data, size_t size)
{
        must(EVP_DigestUpdate(h->context, data, size));
}

void digest_hash_final(struct digest_hash *h, char out[DIGEST_SHA256_SIZE + 1])
{
        unsigned char hash[EVP_MAX_MD_SIZE];
        unsigned size = 0;
        must(EVP_DigestFinal_ex(h->context, hash, &size));
        char *at = stpcpy(out, "sha256:");
        for (unsigned i = 0; i < size; i++, at += 2)
                snprintf(at, 3, "%02x", hash[i]);
        digest_hash_free(h);
}

void digest_hash_free(struct digest_hash *h)
{
        if (h == NULL)
                return;
        EVP_MD_CTX_free(h->context);
        free(h);
}

void digest_of(const void *data, size_t size, char out[DIGEST_SHA256_SIZE + 1])
{
        struct digest_hash *h = digest_hash_new();
        digest_hash_update(h, data, size);
        digest_hash_final(h, out);
}

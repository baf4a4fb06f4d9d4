/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content digests (OCI image-spec, descriptor.md "Digests") and SHA-256, the only user of
 * libcrypto. Pure; usable from any thread.
 */
#ifndef CRI_RESOLVED_DIGEST_H
#define CRI_RESOLVED_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum {
        DIGEST_SHA256_SIZE = 71, /* "sha256:" and 64 hexadecimal digits, without NUL */
        DIGEST_MAX = 135 + 1,    /* "sha512:" and 128 digits, with NUL */
};

/* sha256:<64 lower-case hex> or sha512:<128> (also sha384), exactly size bytes. */
bool digest_valid(const char *s, size_t size);

/* Streaming hash. new never fails; final writes "sha256:<hex>" with NUL into out and frees. */
struct digest_hash;
struct digest_hash *digest_hash_new(void);
void digest_hash_update(struct digest_hash *h, const void *data, size_t size);
void digest_hash_final(struct digest_hash *h, char out[DIGEST_SHA256_SIZE + 1]);
void digest_hash_free(struct digest_hash *h); /* instead of final; accepts NULL */

/* One call: "sha256:<hex>" of data. */
void digest_of(const void *data, size_t size, char out[DIGEST_SHA256_SIZE + 1]);

#endif

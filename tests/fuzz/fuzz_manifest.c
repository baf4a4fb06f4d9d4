/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a manifest: what it tells of are digests that can be compared and asked for. The
 * corpus is tests/fuzz/corpus/manifest.
 */
#include <assert.h>
#include <string.h>

#include "base/digest.h"
#include "relay/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(void *arg, const char *digest, int64_t size_bytes, const char *ref)
{
        size_t *bytes = arg;
        assert(ref == NULL || strcmp(ref + strlen(ref) - DIGEST_SHA256_SIZE, digest) == 0);
        assert(strlen(digest) == DIGEST_SHA256_SIZE && digest_valid(digest, DIGEST_SHA256_SIZE));
        *bytes += (size_t)size_bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        size_t bytes = 0;
        struct manifest *m = manifest_parse(data, size);
        const char *type = manifest_media_type(m);
        assert(type == NULL || strlen(type) <= size || strstr(type, "application/vnd.oci.image."));
        manifest_each(m, check, &bytes);
        manifest_free(m);
        return 0;
}

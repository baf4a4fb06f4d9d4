/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a PullImageRequest, rewritten as a flight rewrites it: nothing but the image's name
 * is another one afterwards. The corpus is tests/fuzz/corpus/request.
 */
#include <assert.h>
#include <string.h>

#include "shim/message.h"
#include "shim/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char new_name[] = "127.0.0.1:7780/cri-resolved/ghcr.io/a/b";

/* The message with this name; the caller frees. */
static uint8_t *pack_as(const struct request *r, char *name, size_t *size)
{
        Cri__PullImageRequest request = *r->message;
        Cri__ImageSpec image = *r->message->image;
        image.image = name;
        request.image = &image;
        return message_pack(&request.base, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct request r;
        struct request rewritten;
        if (!request_read(&r, data, size)) {
                request_fini(&r);
                return 0;
        }
        size_t packed_size = 0;
        cleanup_free uint8_t *packed = pack_as(&r, r.message->image->image, &packed_size);
        size_t other_size = 0;
        cleanup_free uint8_t *other = pack_as(&r, new_name, &other_size);
        if (!request_read(&rewritten, other, other_size))
                abort();
        assert(strcmp(rewritten.runtime_handler, r.runtime_handler) == 0);
        size_t back_size = 0;
        cleanup_free uint8_t *back = pack_as(&rewritten, r.message->image->image, &back_size);
        assert(back_size == packed_size && memcmp(back, packed, packed_size) == 0);
        request_fini(&rewritten);
        request_fini(&r);
        return 0;
}

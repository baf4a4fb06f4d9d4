/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A name, a line end, and any bytes as the path of a request: what is taken is exactly this name's
 * content by digest. The bytes before the line end also stand for the reference of an image: the
 * name that it gets at the relay is read again as its own. The corpus is
 * tests/fuzz/corpus/relay_path.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "relay/place.h"
#include "resolver/ref.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_path(const char *path, const char *name)
{
        struct place_request place;
        if (!place_parse(path, name, &place))
                return;
        assert(strlen(place.digest) == DIGEST_SHA256_SIZE);
        cleanup_free char *whole = mem_printf("/v2/%s/%s/%s", name,
                place.kind == REGISTRY_MANIFEST ? "manifests" : "blobs", place.digest);
        assert(strcmp(whole, path) == 0);
}

static void check_name(const char *reference)
{
        static const char digest[] =
                "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        struct err e;
        struct place_request place;
        cleanup_ref struct ref r = {0};
        cleanup_free char *name = NULL;
        if (ref_parse(reference, strlen(reference), &r, &e) < 0 ||
                place_name(r.host, r.repository, 7780, &name, &e) < 0)
                return;
        cleanup_free char *image = place_image(name, digest, 7780);
        assert(place_is_ours(image));
        cleanup_ref struct ref again = {0};
        if (ref_parse(image, strlen(image), &again, &e) < 0)
                abort();
        assert(strcmp(again.repository, name) == 0 && strcmp(again.host, "127.0.0.1:7780") == 0);
        cleanup_free char *path = mem_printf("/v2/%s/blobs/%s", name, digest);
        if (!place_parse(path, name, &place))
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        cleanup_free char *text = mem_strndup((const char *)data, size);
        char *line_end = strchr(text, '\n');
        if (line_end == NULL)
                return 0;
        *line_end = '\0';
        check_path(line_end + 1, text);
        check_name(text);
        check_name(line_end + 1);
        place_is_ours(text);
        return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and paths of the relay: how an upstream's repository is called there, and what a request
 * asks for. Pure.
 */
#ifndef CRI_RESOLVED_PLACE_H
#define CRI_RESOLVED_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/err.h"
#include "resolver/registry.h"

#define PLACE_ROOT "cri-resolved/"

/*
 * "cri-resolved/ghcr.io/a/b", with "__" for the ':' of a host. ERR_INVALID with the reason where
 * the grammar of references (lower case alone), or containerd 1.6's limit of 255 characters for
 * "127.0.0.1:<port>/<name>", has no such name, or another host could have the same. The caller
 * frees.
 */
int place_name(const char *host, const char *repository, uint16_t port, char **out,
        struct err *e) ERR_MUST_CHECK;

/* "127.0.0.1:7780/<name>@<digest>", what containerd is asked to pull. The caller frees. */
char *place_image(const char *name, const char *digest, uint16_t port);
/* Whether an image of containerd's is called so, whatever the port was. */
bool place_is_ours(const char *image);

struct place_request {
        enum registry_content kind;
        char digest[DIGEST_SHA256_SIZE + 1];
};
/* Reads "/v2/<name>/manifests/<digest>" or ".../blobs/<digest>", sha256 alone. False for anything
 * else, another name above all. */
bool place_parse(const char *path, const char *name, struct place_request *out);

#endif

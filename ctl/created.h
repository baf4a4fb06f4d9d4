/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When an image was made, as its configuration says (OCI image-spec, config.md "created"); of an
 * index, the image for this machine. Blocks its caller; safe from any thread.
 */
#ifndef CRI_RESOLVED_CREATED_H
#define CRI_RESOLVED_CREATED_H

#include <jansson.h>

#include "resolver/registry.h"

struct created_question {
        struct registry *registry;
        const struct config *config;
        const struct upstream *from; /* an upstream or a mirror */
        const char *host;            /* of the reference, for a mirror; NULL: it is the upstream */
        const struct credentials *credentials; /* for the upstream; NULL: nobody's */
        const char *repository;
        const char *digest;
        struct cancel *cancel;
};

/* Every piece of content is checked by its digest. *created is the text of the configuration; the
 * caller frees. ERR_NOT_FOUND: it says no date; ERR_PROTOCOL: no image; and those of
 * registry_open. */
int created_get(const struct created_question *q, char **created, struct err *e) ERR_MUST_CHECK;

/* Of an index, the digest of the image for this machine, else of the first image; of a manifest,
 * the digest of its configuration. Borrowed from the document; NULL: neither. */
const char *created_next(const json_t *document, const char *architecture, bool *is_config);

#endif

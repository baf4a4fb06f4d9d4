/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Image references by the distribution grammar (github.com/distribution/reference, ParseDockerRef
 * as containerd's CRI plugin uses it): docker.io and library/ are filled in, neither tag nor digest
 * means :latest, and a tag beside a digest is dropped. Pure.
 */
#ifndef CRI_RESOLVED_REF_H
#define CRI_RESOLVED_REF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"

struct ref {
        char *host;       /* "docker.io", "ghcr.io", "localhost:5000" */
        char *repository; /* "library/nginx" */
        char *name;       /* host/repository */
        char *tag;        /* NULL when there is a digest */
        char *digest;     /* NULL when there is none */
        char *text;       /* normalised: name:tag or name@digest: what containerd calls the image */
};

/* ERR_INVALID with what is wrong and where. On failure *r is zeroed. */
int ref_parse(const char *s, size_t size, struct ref *r, struct err *e) ERR_MUST_CHECK;
void ref_fini(struct ref *r);
#define cleanup_ref cleanup(ref_fini)

/* Whether the text is that image ID ("sha256:...", which may be NULL: any), whole or cut short as
 * crictl does, and no reference. Fewer digits than crictl shows are as likely a name. */
bool ref_is_image_id(const char *text, const char *image_id);

/* "name@digest"; the caller frees. */
char *ref_with_digest(const struct ref *r, const char *digest);

#endif

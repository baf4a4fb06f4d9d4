/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the relay reads in a verified manifest or index (OCI image-spec: manifest.md,
 * image-index.md; Docker schema 2): its type, the sizes of what it names, so that a source that
 * offers another size is known before a byte leaves, and the refs under which containerd writes it,
 * so that what is spoilt can be aborted. Its author may be anybody: what is nested deeper, or holds
 * more values, than any real one, is not parsed. Pure.
 */
#ifndef CRI_RESOLVED_MANIFEST_H
#define CRI_RESOLVED_MANIFEST_H

#include <stddef.h>
#include <stdint.h>

struct manifest;
/* Never NULL; anything that is no manifest, or costs too much, is empty. The caller frees. */
struct manifest *manifest_parse(const void *data, size_t size);
void manifest_free(struct manifest *m); /* accepts NULL */
/* Borrowed from m; NULL when the document neither says nor shows what it is. */
const char *manifest_media_type(const struct manifest *m);
/* ref is containerd's name of the ingest of a config or a layer ("layer-sha256:...",
 * "layer-<ref.name>@sha256:..."), borrowed for the call. NULL where it cannot be told for certain,
 * be it that the document can be read in two ways, be it that containerds differ: who aborts on a
 * guess ends somebody else's download. */
typedef void (*manifest_visit_fn)(
        void *arg, const char *digest, int64_t size_bytes, const char *ref);
/* Calls back for each descriptor that names a sha256 digest and a size. */
void manifest_each(const struct manifest *m, manifest_visit_fn visit, void *arg);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the verb `render` makes: files of the other side, and what people have to know about them.
 * The parts that make them touch nothing but the configuration, and containerd's certs.d where they
 * say so. One thread.
 */
#ifndef CRI_RESOLVED_RENDER_H
#define CRI_RESOLVED_RENDER_H

#include <stddef.h>

#include "base/buf.h"
#include "config/config.h"
#include "config/lists.h"

enum { RENDER_MAX_BYTES = 16 * 1024 * 1024 };

struct rendered_file {
        char *path; /* below the directory that it goes to */
        char *text;
};

struct rendering {
        char *directory; /* where the files go if nobody says something else */
        struct rendered_file *files;
        size_t file_count;
        struct strings notes; /* paragraphs, as for text_fill */
};
void rendering_fini(struct rendering *r);
#define cleanup_rendering cleanup(rendering_fini)

/* Takes the path and the content of the buffer, which is empty then. */
void rendering_add(struct rendering *r, char *path, struct buf *text);
void rendering_note(struct rendering *r, const char *fmt, ...)
        __attribute__((format(printf, 2, 3)));

/* A string as YAML, TOML and JSON take it, quotes and all. The caller frees. */
char *render_quote(const char *s);

/* ---- what there is to render; each in a file of its own ---- */

/* certs.d for what bypasses the daemon. `directory` is certs.d as it is, for names that are in use
 * there; NULL: the configuration's. */
int render_hosts(const struct config *c, const char *directory, struct rendering *r,
        struct err *e) ERR_MUST_CHECK;
void render_crictl(const struct config *c, struct rendering *r);
/* The drop-in of that name; its notes say where it counts, what there is instead, and the way back.
 */
#define RENDER_KUBELET_FILE "50-cri-resolved.conf"
void render_kubelet(const struct config *c, struct rendering *r);
char *render_kubelet_text(const struct config *c); /* its text; the caller frees */

enum cache_shape { CACHE_SYSTEMD, CACHE_COMPOSE, CACHE_KUBERNETES };
/* `address`: of the machine with the caches; NULL: not said. */
int render_caches(const struct config *c, enum cache_shape shape, const char *address,
        struct rendering *r, struct err *e) ERR_MUST_CHECK;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The labels by which containerd remembers where content can be had: for a host, without its port,
 * the repositories, sorted, with commas between (containerd: core/remotes/docker/handler.go; it
 * uses them to mount blobs across repositories when it pushes). Pure; usable from any thread.
 *
 * The caller frees what is returned. A value may be NULL: no label.
 */
#ifndef CRI_RESOLVED_SOURCE_LABEL_H
#define CRI_RESOLVED_SOURCE_LABEL_H

/* "containerd.io/distribution.source.127.0.0.1" for "127.0.0.1:7780" */
char *source_label_key(const char *host);

/* The list with the repository in it; the list as it is if key and value would become too long for
 * a label. */
char *source_label_add(const char *key, const char *value, const char *repository);

/* The list without the repository; "" when nothing is left, which removes a label. */
char *source_label_drop(const char *value, const char *repository);

#endif

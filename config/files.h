/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads whole small files. Usable from any thread.
 */
#ifndef CRI_RESOLVED_FILES_H
#define CRI_RESOLVED_FILES_H

#include <stddef.h>

#include "base/err.h"

/*
 * The file's bytes, with a NUL after them that *size (may be NULL) does not count. The caller frees
 * *out; it may hold a secret. ERR_CONFIG with errno in `sys` if it cannot be read, ERR_TOO_LARGE
 * beyond max_bytes.
 */
int file_read(
        const char *path, size_t max_bytes, char **out, size_t *size, struct err *e) ERR_MUST_CHECK;
/* The same for a file with a secret in it: a regular one, that belongs to root or to us and that
 * nobody else may read or write; else ERR_CONFIG with the remedy. */
int file_read_private(
        const char *path, size_t max_bytes, char **out, size_t *size, struct err *e) ERR_MUST_CHECK;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64 with padding (RFC 4648 section 4), for Basic authorisation and the `auth` field of
 * credentials. Pure.
 */
#ifndef CRI_RESOLVED_BASE64_H
#define CRI_RESOLVED_BASE64_H

#include <stdbool.h>
#include <stddef.h>

/* The caller frees, with mem_free_secret where it is one. */
char *base64_encode(const void *data, size_t size);
/* False unless s is padded base64; line ends are skipped, as Go does. *out ends with a NUL that
 * *size does not count; the caller frees it. */
bool base64_decode(const char *s, char **out, size_t *size);

#endif

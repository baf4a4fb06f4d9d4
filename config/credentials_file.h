/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file with one line user:password, which nobody but its owner may read or write. Usable from any
 * thread.
 */
#ifndef CRI_RESOLVED_CREDENTIALS_FILE_H
#define CRI_RESOLVED_CREDENTIALS_FILE_H

#include "base/err.h"

/* The caller frees both, and wipes them. ERR_CONFIG names the path, what is wrong with it and the
 * remedy, never what is in it. */
int credentials_file_read(
        const char *path, char **user, char **password, struct err *e) ERR_MUST_CHECK;

#endif

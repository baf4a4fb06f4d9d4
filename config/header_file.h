/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file with the value of a header. Usable from any thread.
 */
#ifndef CRI_RESOLVED_HEADER_FILE_H
#define CRI_RESOLVED_HEADER_FILE_H

#include "base/err.h"

/* Without the ends of lines behind it. The file must be private (files.h). The caller frees *out,
 * and wipes it. ERR_CONFIG names the header and what is wrong, never the value. */
int header_file_read(const char *name, const char *path, char **out, struct err *e) ERR_MUST_CHECK;

/* Whether that can be a header's value: ERR_CONFIG as above. */
int header_value_check(const char *name, const char *value, struct err *e) ERR_MUST_CHECK;

#endif

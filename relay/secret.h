/* SPDX-License-Identifier: Apache-2.0 */
/* Passwords that are made here and compared here. Usable from any thread. */
#ifndef CRI_RESOLVED_SECRET_H
#define CRI_RESOLVED_SECRET_H

#include <stdbool.h>
#include <stddef.h>

enum { SECRET_DIGITS = 64 }; /* 256 bits from the kernel, hexadecimal */

void secret_make(char out[SECRET_DIGITS + 1]);
/* Takes as long for a guess that is nearly right as for one that is not; lengths are no secret. */
bool secret_equal(const char *a, const char *b);

#endif

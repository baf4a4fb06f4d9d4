/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes for people. Pure; usable from any thread. */
#ifndef CRI_RESOLVED_CTL_SIZE_H
#define CRI_RESOLVED_CTL_SIZE_H

#include <stdint.h>

enum { SIZE_TEXT_BYTES = 24 };

/* "17 B", "1.2 KiB", "340 MiB": three digits at most; returns out. */
const char *size_text(int64_t bytes, char out[SIZE_TEXT_BYTES]);

#endif

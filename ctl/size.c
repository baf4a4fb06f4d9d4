/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/size.h"

#include <inttypes.h>
#include <stdio.h>

enum { STEP = 1024, WHOLE_FROM = 100 };

const char *size_text(int64_t bytes, char out[SIZE_TEXT_BYTES])
{
        static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
        if (bytes < STEP) {
                snprintf(out, SIZE_TEXT_BYTES, "%" PRId64 " B", bytes);
                return out;
        }
        size_t unit = 0;
        double n = (double)bytes / STEP;
        while (n >= STEP && unit + 1 < sizeof(units) / sizeof(units[0])) {
                n /= STEP;
                unit++;
        }
        snprintf(out, SIZE_TEXT_BYTES, n < WHOLE_FROM ? "%.1f %s" : "%.0f %s", n, units[unit]);
        return out;
}

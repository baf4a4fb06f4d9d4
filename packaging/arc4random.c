/* SPDX-License-Identifier: Apache-2.0 */
/* Debian's static libstdc++ takes arc4random from glibc 2.36, for std::random_device; RHEL 9
 * has 2.34. This is in its place in portable builds, and seen by nobody else. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>

__attribute__((visibility("hidden"))) uint32_t arc4random(void)
{
        uint32_t value;
        ssize_t n;
        do
                n = getrandom(&value, sizeof(value), 0);
        while (n < 0 && errno == EINTR);
        if (n != sizeof(value))
                abort();
        return value;
}

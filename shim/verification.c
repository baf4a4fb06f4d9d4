/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/verification.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#define ANONYMOUS " anonymous"
#define MIRROR    " mirror"

char *verification_text(const char *name, const char *digest, struct verification v)
{
        const char *who = v.unix_s == 0 ? MIRROR : v.anonymous ? ANONYMOUS : "";
        return mem_printf("%s %s %" PRId64 "%s", name, digest, v.unix_s, who);
}

struct verification verification_read(const char *label, const char *name, const char *digest)
{
        const struct verification never = {0};
        if (label == NULL || name == NULL)
                return never;
        cleanup_free char *prefix = mem_printf("%s %s ", name, digest);
        size_t n = strlen(prefix);
        if (strncmp(label, prefix, n) != 0)
                return never;
        char *end = NULL;
        long long seconds = strtoll(label + n, &end, 10);
        bool anonymous = strcmp(end, ANONYMOUS) == 0;
        if (end == label + n || (*end != '\0' && !anonymous) || seconds <= 0)
                return never;
        return (struct verification){.unix_s = seconds, .anonymous = anonymous};
}

bool verification_is_young(struct verification v, int64_t max_age_s)
{
        int64_t age_s = clock_unix_s() - v.unix_s;
        return v.unix_s != 0 && age_s >= 0 && age_s <= max_age_s;
}

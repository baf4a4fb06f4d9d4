/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/quarantine.h"

#include <string.h>

#include "base/mem.h"

void quarantine_fini(struct quarantine *q)
{
        for (int i = 0; i < QUARANTINE_MAX; i++)
                free(q->entries[i].digest);
        *q = (struct quarantine){0};
}

static const struct quarantined *find(const struct quarantine *q, const char *digest)
{
        for (int i = 0; i < QUARANTINE_MAX; i++)
                if (q->entries[i].digest != NULL && strcmp(q->entries[i].digest, digest) == 0)
                        return &q->entries[i];
        return NULL;
}

/* A free place, else that of the entry which ends first. */
static struct quarantined *place(struct quarantine *q)
{
        struct quarantined *first = &q->entries[0];
        for (int i = 0; i < QUARANTINE_MAX; i++) {
                if (q->entries[i].digest == NULL)
                        return &q->entries[i];
                if (q->entries[i].until_ms < first->until_ms)
                        first = &q->entries[i];
        }
        return first;
}

void quarantine_add(struct quarantine *q, const char *digest, int64_t until_ms)
{
        struct quarantined *at = (struct quarantined *)find(q, digest);
        if (at == NULL) {
                at = place(q);
                free(at->digest);
                at->digest = mem_strdup(digest);
        }
        at->until_ms = until_ms;
}

bool quarantine_holds(const struct quarantine *q, const char *digest, int64_t now_ms)
{
        const struct quarantined *at = find(q, digest);
        return at != NULL && now_ms < at->until_ms;
}

size_t quarantine_count(const struct quarantine *q, int64_t now_ms)
{
        size_t count = 0;
        for (int i = 0; i < QUARANTINE_MAX; i++)
                count += q->entries[i].digest != NULL && now_ms < q->entries[i].until_ms;
        return count;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* containerd's content store. */
#include <inttypes.h>

#include "ctl/check.h"

void check_store(struct check *c)
{
        for (size_t i = 0; i < c->running.ingest_count; i++) {
                const struct ingest *in = &c->running.ingests[i];
                if (!ingest_is_poisoned(in))
                        continue;
                json_t *finding = finding_add(c->findings, FINDING_POISONED_INGEST);
                finding_evidence(finding, in->ref,
                        "%" PRId64 " of %" PRId64 " bytes, not written to for %" PRId64 " s",
                        in->offset, in->total, in->age_s);
                finding_run(finding, "cri-resolvectl", "check", "store", "--fix", "--yes", NULL);
        }
}

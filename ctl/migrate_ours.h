/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of migrate_ours.c: secrets in files of their own, and the proof that the daemon takes the
 * result. For one thread.
 */
#ifndef CRI_RESOLVED_MIGRATE_OURS_H
#define CRI_RESOLVED_MIGRATE_OURS_H

#include "ctl/migrate_job.h"

/* The file that holds containerd's credentials for a server; it is added to the job's files where
 * it is not there. NULL: there are none, or none that we could use. The caller frees. */
char *migrate_credentials_file(struct migrate_job *j, const struct url *server);
/* Headers as our configuration has them: values that look like secrets are in files. */
json_t *migrate_headers(
        struct migrate_job *j, const struct url *server, const struct headers *headers);
/* Whether a host is one of the well-known registries, which is not just a name for a mirror. */
bool migrate_is_public(const char *host);

/* ERR_CONFIG as the daemon would say it; files that are to be written count as written. */
int migrate_check_ours(const struct migrate_job *j, const char *text, struct err *e) ERR_MUST_CHECK;
/* Such an error about a file that containerd names, told by the line that names it. */
void migrate_explain(const struct migrate_job *j, struct err *e);

#endif

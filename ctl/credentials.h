/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What --credentials names: Docker's configuration, another file of that form, or a line on
 * standard input. One thread at a time.
 */
#ifndef CRI_RESOLVED_CTL_CREDENTIALS_H
#define CRI_RESOLVED_CTL_CREDENTIALS_H

#include "base/cancel.h"
#include "base/err.h"
#include "resolver/ref.h"
#include "resolver/registry.h"

/* For the help of verbs that take it. */
#define CREDENTIALS_DOC                                                                            \
        "Who asks the upstream: \"docker\" for Docker's config.json, a file of that form, or "     \
        "\"-\" for user:password on standard input. Without it, nobody in particular."

struct credential_source;
/* `named` is the option's value; NULL: nobody's credentials. The caller frees. */
int credential_source_open(const char *named, struct cancel *cancel, struct credential_source **out,
        struct err *e) ERR_MUST_CHECK;
void credential_source_free(struct credential_source *s); /* accepts NULL; wipes */
DEFINE_CLEANUP(struct credential_source, credential_source_free)
#define cleanup_credential_source cleanup(credential_source_free_at)
/* Whether it is one name and password, whoever is asked: that must not go to several registries. */
bool credential_source_is_single(const struct credential_source *s);

/* What is held for one repository. */
struct credentials_held {
        struct credentials shown; /* borrows from below */
        char *username, *password, *auth, *identity_token, *registry_token;
};
int credential_source_get(struct credential_source *s, const struct ref *r,
        struct credentials_held *out, struct err *e) ERR_MUST_CHECK;
void credentials_held_fini(struct credentials_held *h); /* wipes */

#endif

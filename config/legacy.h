/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What containerd 1.6 and 1.7 report of their own registry configuration, kept as their structs'
 * JSON (containerd: pkg/cri/config/config.go). Safe from any thread.
 */
#ifndef CRI_RESOLVED_LEGACY_H
#define CRI_RESOLVED_LEGACY_H

#include <jansson.h>
#include <stdbool.h>

#include "config/lists.h"

/* What it says of one server; strings are the caller's, NULL where nothing is said. */
struct legacy {
        char *ca_file;
        char *client_cert;
        char *client_key;
        bool skip_verify;
        char *username;
        char *password;
        char *auth;
        char *identity_token;
        struct headers headers;
};

void legacy_set(const json_t *registry); /* copies; NULL forgets */
/*
 * Whether a report is there at all. *config_path is then its, "" if containerd reads no certs.d;
 * the caller frees.
 */
bool legacy_config_path(char **config_path);
/* For a server by "host" or "host:port"; empty without a report. */
void legacy_get(const char *authority, struct legacy *out);
void legacy_fini(struct legacy *l); /* wipes */
#define cleanup_legacy cleanup(legacy_fini)

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Docker's config.json: who has credentials for a repository (docker/cli: cli/config/configfile;
 * the same form is in Kubernetes' secrets of type kubernetes.io/dockerconfigjson, whose keys may
 * have a path). Pure; usable from any thread.
 */
#ifndef CRI_RESOLVED_DOCKER_CONFIG_H
#define CRI_RESOLVED_DOCKER_CONFIG_H

#include <jansson.h>

#include "base/err.h"

/* As a helper and `auths` name Docker Hub. */
#define DOCKER_HUB_KEY "https://index.docker.io/v1/"

/* The caller decrefs *out. ERR_CONFIG says where the JSON is wrong and not what is there. */
int docker_config_parse(const char *text, size_t size, const char *path, json_t **out,
        struct err *e) ERR_MUST_CHECK;

/* The entry of `auths` that fits host and repository best; NULL: none. Borrowed. */
const json_t *docker_config_entry(const json_t *config, const char *host, const char *repository);

/* The helper that keeps this host's credentials: its name behind "docker-credential-"; NULL: none.
 * Borrowed. */
const char *docker_config_helper(const json_t *config, const char *host);

/* What a helper is asked for. */
const char *docker_config_server(const char *host);

#endif

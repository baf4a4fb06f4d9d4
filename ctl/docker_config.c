/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/docker_config.h"

#include <string.h>
#include <strings.h>

#include "base/mem.h"

int docker_config_parse(
        const char *text, size_t size, const char *path, json_t **out, struct err *e)
{
        json_error_t where;
        *out = json_loadb(text, size, JSON_REJECT_DUPLICATES, &where);
        if (*out == NULL)
                return err_set(e, ERR_CONFIG, "%s:%d:%d: not JSON as Docker's config.json is", path,
                        where.line, where.column);
        if (!json_is_object(*out)) {
                json_decref(*out);
                *out = NULL;
                return err_set(
                        e, ERR_CONFIG, "%s: not a JSON object as Docker's config.json is", path);
        }
        return 0;
}

const char *docker_config_server(const char *host)
{
        return strcmp(host, "docker.io") == 0 ? DOCKER_HUB_KEY : host;
}

/* The names under which people and programs log in to Docker Hub. */
static bool same_host(const char *key, size_t size, const char *host)
{
        static const char *const hub[] = {"docker.io", "index.docker.io", "registry-1.docker.io"};
        if (strcmp(host, "docker.io") == 0)
                for (size_t i = 0; i < sizeof(hub) / sizeof(hub[0]); i++)
                        if (strlen(hub[i]) == size && strncasecmp(hub[i], key, size) == 0)
                                return true;
        return strlen(host) == size && strncasecmp(host, key, size) == 0;
}

/* How well a key fits: 0 not at all, 1 by its host, more by the length of its path. */
static size_t fit(const char *key, const char *host, const char *repository)
{
        const char *mark = strstr(key, "://");
        if (mark != NULL)
                key = mark + strlen("://");
        size_t size = strcspn(key, "/");
        if (!same_host(key, size, host))
                return 0;
        const char *path = key + size + (key[size] == '/');
        size = strlen(path);
        if (size > 0 && path[size - 1] == '/')
                size--;
        if (size == 0 ||
                (size == 2 && (strncmp(path, "v1", 2) == 0 || strncmp(path, "v2", 2) == 0)))
                return 1;
        bool above = strncmp(repository, path, size) == 0 &&
                     (repository[size] == '\0' || repository[size] == '/');
        return above ? 1 + size : 0;
}

const json_t *docker_config_entry(const json_t *config, const char *host, const char *repository)
{
        const json_t *best = NULL;
        size_t best_fit = 0;
        const char *key;
        json_t *entry;
        json_object_foreach (json_object_get(config, "auths"), key, entry) {
                size_t n = fit(key, host, repository);
                /* An empty entry is what `docker login` leaves where a helper keeps the rest. */
                if (n > best_fit && json_object_size(entry) > 0) {
                        best = entry;
                        best_fit = n;
                }
        }
        return best;
}

const char *docker_config_helper(const json_t *config, const char *host)
{
        const json_t *helpers = json_object_get(config, "credHelpers");
        const char *helper = json_string_value(json_object_get(helpers, host));
        if (helper == NULL)
                helper = json_string_value(json_object_get(helpers, docker_config_server(host)));
        if (helper == NULL)
                helper = json_string_value(json_object_get(config, "credsStore"));
        return helper != NULL && *helper != '\0' ? helper : NULL;
}

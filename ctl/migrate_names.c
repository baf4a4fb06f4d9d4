/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "ctl/migrate_model.h"

bool migrate_is_docker_hub(const char *authority)
{
        static const char *const names[] = {
                "docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"};
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                if (strcasecmp(authority, names[i]) == 0)
                        return true;
        return false;
}

const char *migrate_host_of(const char *authority)
{
        return migrate_is_docker_hub(authority) ? "docker.io" : authority;
}

static size_t name_size(const char *authority)
{
        const char *port = url_host_port(authority);
        return strlen(authority) - (port[0] != '\0' ? strlen(port) + 1 : 0);
}

bool migrate_is_own(const char *host, const struct url *url)
{
        if (strcmp(host, "docker.io") == 0)
                return migrate_is_docker_hub(url->authority);
        size_t size = name_size(host);
        if (host[size] == ':')
                return strcasecmp(host, url->authority) == 0;
        return size == name_size(url->authority) && strncasecmp(host, url->authority, size) == 0;
}

char *migrate_dir_name(const char *host)
{
        const char *port = url_host_port(host);
        if (host[0] == '\0')
                return mem_strdup("_default");
        if (port[0] == '\0')
                return mem_strdup(host);
        return mem_printf("%.*s_%s_", (int)name_size(host), host, port);
}

char *migrate_dir_host(const char *name)
{
        if (strcmp(name, "_default") == 0)
                return mem_strdup("");
        cleanup_free char *host = mem_strdup(name);
        size_t size = strlen(host);
        if (size > 2 && host[size - 1] == '_') {
                host[size - 1] = '\0';
                char *mark = strrchr(host, '_');
                if (mark != NULL)
                        *mark = ':';
        }
        return url_host_valid(host) ? url_host_normalise(host) : NULL;
}

/* Our URLs end before /v2; a root with something behind /v2 is taken as it stands. */
char *migrate_base_url(const struct url *url)
{
        size_t size = strlen(url->path);
        bool ends = size >= 3 && strcmp(url->path + size - 3, "/v2") == 0;
        if (!ends && strstr(url->path, "/v2/") == NULL)
                return NULL;
        return mem_printf("%s://%s%.*s", url->scheme, url->authority, (int)(ends ? size - 3 : size),
                url->path);
}

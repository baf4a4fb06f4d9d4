/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/source_label.h"

#include <stdbool.h>
#include <string.h>

#include "base/mem.h"

enum { LABEL_MAX_BYTES = 4096 }; /* key and value (containerd: pkg/labels/validate.go) */

char *source_label_key(const char *host)
{
        size_t size = strcspn(host, ":");
        if (*host == '[') { /* "[::1]:5000" is "::1" */
                host++;
                size = strcspn(host, "]");
        }
        return mem_printf("containerd.io/distribution.source.%.*s", (int)size, host);
}

/* The next item of the list; false at its end. */
static bool next(const char **rest, const char **item, size_t *size)
{
        *rest += strspn(*rest, ",");
        *item = *rest;
        *size = strcspn(*rest, ",");
        *rest += *size;
        return *size > 0;
}

/* Go compares strings so too: by bytes, and a prefix comes first. */
static int compare(const char *item, size_t size, const char *repository)
{
        int order = strncmp(item, repository, size);
        return order != 0 ? order : -(repository[size] != '\0');
}

static void append(char **list, const char *item, size_t size)
{
        cleanup_free char *before = *list;
        *list = mem_printf("%s%s%.*s", before, *before == '\0' ? "" : ",", (int)size, item);
}

char *source_label_add(const char *key, const char *value, const char *repository)
{
        char *list = mem_strdup("");
        const char *rest = value == NULL ? "" : value;
        const char *item = NULL;
        size_t size = 0;
        bool missing = true;
        while (next(&rest, &item, &size)) {
                int order = compare(item, size, repository);
                if (missing && order > 0)
                        append(&list, repository, strlen(repository));
                missing = missing && order < 0;
                append(&list, item, size);
        }
        if (missing)
                append(&list, repository, strlen(repository));
        if (strlen(key) + strlen(list) <= LABEL_MAX_BYTES)
                return list;
        free(list);
        return mem_strdup(value == NULL ? "" : value);
}

char *source_label_drop(const char *value, const char *repository)
{
        char *list = mem_strdup("");
        const char *rest = value == NULL ? "" : value;
        const char *item = NULL;
        size_t size = 0;
        while (next(&rest, &item, &size))
                if (compare(item, size, repository) != 0)
                        append(&list, item, size);
        return list;
}

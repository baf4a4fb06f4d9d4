/* SPDX-License-Identifier: Apache-2.0 */
/* Containers as the daemon knows them, where it follows them (docs/nri.md): it has asked already.
 */
#include <string.h>

#include "ctl/admin_client.h"
#include "ctl/drift.h"
#include "ctl/when.h"

/* Does it speak of the same containerd, and know all its containers? */
static bool is_complete(const json_t *document, const char *backend)
{
        const json_t *nri = json_object_get(document, "nri");
        const char *its = json_string_value(json_object_get(document, "backend"));
        return its != NULL && strcmp(its, backend) == 0 &&
               json_is_true(json_object_get(nri, "connected")) &&
               json_integer_value(json_object_get(nri, "left_out")) == 0 &&
               json_is_array(json_object_get(document, "containers"));
}

static const char *text(const json_t *row, const char *key)
{
        return json_string_value(json_object_get(row, key));
}

static bool runs(const json_t *row)
{
        const char *state = text(row, "state");
        return state != NULL && strcmp(state, "running") == 0;
}

static bool says_all(const json_t *rows)
{
        size_t i = 0;
        json_t *row = NULL;
        json_array_foreach ((json_t *)rows, i, row)
                if (runs(row) && (text(row, "id") == NULL || text(row, "image_id") == NULL))
                        return false;
        return true;
}

static void add_row(struct drift *d, const json_t *row)
{
        const char *created = text(row, "created_at");
        d->containers =
                mem_resize(d->containers, (d->container_count + 1) * sizeof(*d->containers));
        struct drift_container *c = &d->containers[d->container_count++];
        *c = (struct drift_container){
                .id = mem_strdup(text(row, "id")),
                .name = mem_strdup_or_null(text(row, "name")),
                .pod = mem_strdup_or_null(text(row, "pod")),
                .namespace = mem_strdup_or_null(text(row, "namespace")),
                .said = mem_strdup_or_null(text(row, "reference")),
                .image_id = mem_strdup(text(row, "image_id")),
        };
        if (created == NULL || !when_parse(created, &c->created_s))
                c->created_s = 0;
}

json_t *drift_ask_daemon(const struct config *c, struct cancel *cancel)
{
        struct err unused;
        cleanup_admin_client struct admin_client *client = NULL;
        json_t *document = NULL;
        if (admin_client_open(c, &client, &unused) < 0 ||
                admin_client_get(client, "/v1/containers", cancel, &document, &unused) < 0)
                return NULL;
        json_t *rows =
                is_complete(document, c->backend) ? json_object_get(document, "containers") : NULL;
        if (rows != NULL && says_all(rows))
                json_incref(rows);
        else
                rows = NULL;
        json_decref(document);
        return rows;
}

void drift_add_rows(struct drift *d, const json_t *rows)
{
        size_t i = 0;
        json_t *row = NULL;
        json_array_foreach ((json_t *)rows, i, row)
                if (runs(row))
                        add_row(d, row);
}

void drift_name_ids(struct drift *d, const json_t *rows)
{
        size_t i = 0, k = 0;
        json_t *row = NULL;
        json_t *digest = NULL;
        json_array_foreach ((json_t *)rows, i, row)
                if (runs(row))
                        json_array_foreach (json_object_get(row, "digests"), k, digest)
                                drift_name_digest(
                                        d, json_string_value(digest), text(row, "image_id"));
}

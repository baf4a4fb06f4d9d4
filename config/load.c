/* SPDX-License-Identifier: Apache-2.0 */
#include "config/load.h"

#include <errno.h>

#include "config/keys.h"
#include "config/toml.h"

enum { SHOWN_MAX = 80 };

int load_at_key(struct load *l, int line, const char *table, const char *key)
{
        if (l->err->sys == ENOENT) /* the value is wrong; the configuration itself is there */
                l->err->sys = 0;
        return err_wrap(l->err, "%s:%d: %s%s%.*s", l->name, line, table,
                table[0] != '\0' ? "." : "", SHOWN_MAX, key);
}

int load_reject(struct load *l, int line, const char *table, const char *key, const char *why)
{
        err_set(l->err, ERR_CONFIG, "%s", why);
        return load_at_key(l, line, table, key);
}

int load_table(struct load *l, const char *kind, const char *table, void *base,
        const json_t *values, const json_t *lines)
{
        const char *name = NULL;
        json_t *value = NULL;
        json_object_foreach ((json_t *)values, name, value) {
                const struct key *k = key_find(kind, name);
                int status = k == NULL ? key_unknown(kind, name, l->err)
                                       : key_set(k, base, value, l->config->secrets_unread, l->err);
                if (status < 0)
                        return load_at_key(l, toml_line(lines, name), table, name);
        }
        return 0;
}

int load_check_client(
        struct load *l, int line, const char *table, const char *cert, const char *key)
{
        if (cert != NULL && key == NULL)
                return load_reject(l, line, table, "client_key", "missing; client_cert needs it");
        if (cert == NULL && key != NULL)
                return load_reject(l, line, table, "client_cert", "missing; client_key needs it");
        return 0;
}

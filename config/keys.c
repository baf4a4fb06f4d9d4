/* SPDX-License-Identifier: Apache-2.0 */
#include "config/keys.h"

#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "config/config.h"
#include "config/nearest.h"

enum { LIST_MAX_BYTES = 512 };

/* A list's count follows it: keys.h says so, and key_set relies on it. */
#define COUNT_FOLLOWS(type, list, count)                                                           \
        _Static_assert(offsetof(type, count) == offsetof(type, list) + sizeof(void *), #list)
COUNT_FOLLOWS(struct config, listen, listen_count);
COUNT_FOLLOWS(struct config, allow_groups, allow_group_count);
COUNT_FOLLOWS(struct config_upstream, headers, header_count);
COUNT_FOLLOWS(struct config_upstream, mirrors, mirror_count);
COUNT_FOLLOWS(struct config_mirror, headers, header_count);
COUNT_FOLLOWS(struct config_mirror, username, password); /* so does a password its user, ... */
COUNT_FOLLOWS(struct config_mirror, password, credentials_file); /* ... and their file both */

const struct key keys[] = {
#define RELOAD  false
#define RESTART true
#define KEY(path, type, field, initial, allowed, restart, doc)                                     \
        {path, KEY_##type, KEY_OF_CONFIG, offsetof(struct config, field), initial, allowed,        \
                restart, doc},
#define UPSTREAM_KEY(path, type, field, initial, allowed, restart, doc)                            \
        {path, KEY_##type, KEY_OF_UPSTREAM, offsetof(struct config_upstream, field), initial,      \
                allowed, restart, doc},
#define MIRROR_KEY(path, type, field, initial, allowed, restart, doc)                              \
        {path, KEY_##type, KEY_OF_MIRROR, offsetof(struct config_mirror, field), initial, allowed, \
                restart, doc},
#include "config/keys.def"
#undef KEY
#undef UPSTREAM_KEY
#undef MIRROR_KEY
};

const size_t key_count = sizeof(keys) / sizeof(keys[0]);

static const char *const tables[] = {
        "shim", "resolve", "relay", "admin", "metrics", "nri", "log", "upstream", "mirror"};

const char *key_name(const struct key *k)
{
        return strrchr(k->path, '.') + 1;
}

/* Whether k belongs to `table` ("shim", "upstream.*", "mirror.*"). */
static bool in_table(const struct key *k, const char *table)
{
        size_t size = strlen(table);
        return strncmp(k->path, table, size) == 0 && k->path + size + 1 == key_name(k);
}

const struct key *key_find(const char *table, const char *name)
{
        for (size_t i = 0; i < key_count; i++)
                if (in_table(&keys[i], table) && strcmp(key_name(&keys[i]), name) == 0)
                        return &keys[i];
        return NULL;
}

int key_unknown(const char *table, const char *name, struct err *e)
{
        struct nearest near = {0};
        cleanup_buf struct buf list;
        buf_init(&list, LIST_MAX_BYTES);
        for (size_t i = 0; i < key_count; i++) {
                if (!in_table(&keys[i], table))
                        continue;
                nearest_try(&near, name, key_name(&keys[i]));
                buf_printf(&list, "%s%s", list.size > 0 ? ", " : "", key_name(&keys[i]));
        }
        if (nearest_is_slip(&near))
                return err_set(e, ERR_CONFIG, "unknown key; did you mean \"%s\"?", near.name);
        for (size_t i = 0; i < key_count; i++)
                if (strcmp(key_name(&keys[i]), name) == 0)
                        return err_set(
                                e, ERR_CONFIG, "unknown key here; there is %s", keys[i].path);
        return err_set(e, ERR_CONFIG, "unknown key; allowed: %s", buf_str(&list));
}

int key_unknown_table(const char *name, struct err *e)
{
        struct nearest near = {0};
        for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
                nearest_try(&near, name, tables[i]);
        if (nearest_is_slip(&near))
                return err_set(e, ERR_CONFIG, "unknown table; did you mean \"%s\"?", near.name);
        for (size_t i = 0; i < key_count; i++)
                if (strcmp(key_name(&keys[i]), name) == 0)
                        return err_set(
                                e, ERR_CONFIG, "unknown table; there is the key %s", keys[i].path);
        return err_set(e, ERR_CONFIG,
                "unknown table; allowed: shim, resolve, relay, admin, metrics, nri, log, "
                "upstream.\"<host>\", "
                "mirror.\"<url>\"");
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"

#include <string.h>

#include "config/files.h"
#include "config/keys.h"
#include "config/lists.h"
#include "config/load.h"
#include "config/mirrors.h"
#include "config/snapshot.h"
#include "config/toml.h"
#include "config/url.h"

enum { FILE_MAX_BYTES = 1 << 20, SHOWN_MAX = 80 /* of a name in a message */ };

static const char upstream_table[] = "upstream.*";
static const char default_host[] = "default"; /* no reference's host: it has neither dot nor port */

static void upstream_clear(struct config_upstream *u)
{
        key_clear_all(KEY_OF_UPSTREAM, u);
        free(u->host);
        u->host = NULL;
}

/* Policies and mirrors are inherited key by key; how to reach and trust a server is not (see
 * trust.h). */
static void upstream_init(
        struct config_upstream *u, const char *host, const struct config_upstream *parent)
{
        *u = (struct config_upstream){.host = mem_strdup(host),
                .mode = parent->mode,
                .on_upstream_down = parent->on_upstream_down,
                .max_stale_s = parent->max_stale_s,
                .degraded_without_authorisation = parent->degraded_without_authorisation,
                .relay = parent->relay,
                .enforce = parent->enforce};
        for (size_t i = 0; i < parent->mirror_count; i++)
                strings_add((struct strings *)&u->mirrors, parent->mirrors[i]);
}

/* One such key, even at its default, and the table alone says how to reach and trust the server. */
static bool names_trust(const json_t *values)
{
        static const char *const names[] = {
                "server", "ca", "client_cert", "client_key", "skip_verify", "headers"};
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                if (json_object_get(values, names[i]) != NULL)
                        return true;
        return false;
}

/* What would enforce nothing is a mistake: somebody relies on it. */
static int check_enforce(struct load *l, const struct config_upstream *u, const char *table,
        int table_line, const json_t *lines)
{
        if (u->enforce == ENFORCE_OFF)
                return 0;
        if (!l->config->nri_enabled)
                return load_reject(l, toml_line(lines, "enforce"), table, "enforce",
                        "\"refuse\" needs [nri] enabled = true");
        int line = toml_line(lines, "mode");
        if (u->mode == UPSTREAM_PASSTHROUGH)
                return load_reject(l, line > 0 ? line : table_line, table, "mode",
                        "nothing is verified with \"passthrough\": enforce = \"refuse\" would "
                        "refuse "
                        "all that is pulled");
        return 0;
}

/* A pod may name any registry, one of its own too: without a server of its own the default table is
 * about whoever is named. */
static int check_default(
        struct load *l, const struct config_upstream *u, const char *table, const json_t *lines)
{
        const char *secret = u->client_cert != NULL ? "client_cert"
                             : u->header_count > 0  ? "headers"
                                                    : NULL;
        if (u != &l->config->upstream_default || u->server != NULL || secret == NULL)
                return 0;
        return load_reject(l, toml_line(lines, secret), table, secret,
                "without server it would be shown to every registry that a pod names; move it to "
                "the upstreams that it is meant for, or name a server here");
}

static int load_upstream(struct load *l, struct config_upstream *u, const char *host,
        const json_t *values, const json_t *lines)
{
        int line = toml_line(lines, host);
        if (!json_is_object(values))
                return load_reject(
                        l, line, "upstream", host, "not a table; write [upstream.\"<host>\"]");
        cleanup_free char *table = mem_printf("upstream.\"%s\"", host);
        u->has_trust = names_trust(values);
        const json_t *below = toml_below(lines, host);
        if (load_table(l, upstream_table, table, u, values, below) < 0 ||
                check_enforce(l, u, table, line, below) < 0 ||
                check_default(l, u, table, below) < 0)
                return -1;
        return load_check_client(l, line, table, u->client_cert, u->client_key);
}

/* The first table in `values` that is no key of ours, and its name; NULL if there is none. */
static const json_t *table_below(const json_t *values, const char **name)
{
        json_t *value = NULL;
        json_object_foreach ((json_t *)values, *name, value) {
                if (json_is_object(value) && key_find(upstream_table, *name) == NULL)
                        return value;
        }
        return NULL;
}

/* [upstream.ghcr.io] is a table io in a table ghcr. The host that was meant, NULL if there is none;
 * the caller frees. */
static char *unquoted_host(const char *name, const json_t *values)
{
        cleanup_free char *host = mem_strdup(name);
        const char *part = NULL;
        while ((values = table_below(values, &part)) != NULL) {
                char *longer = mem_printf("%s.%s", host, part);
                free(host);
                host = longer;
        }
        return url_host_valid(host) ? take(&host) : NULL;
}

static int reject_host(struct load *l, int line, const char *name, const json_t *values)
{
        cleanup_free char *meant = unquoted_host(name, values);
        err_set(l->err, ERR_CONFIG,
                "not the host of a reference; allowed: \"default\", \"localhost\", or a name or "
                "address with a dot or a port, as in \"ghcr.io\" or \"10.0.0.1:5000\"%s%.*s%s",
                meant != NULL ? "; write [upstream.\"" : "", SHOWN_MAX, meant != NULL ? meant : "",
                meant != NULL ? "\"] with quotes" : "");
        return load_at_key(l, line, "upstream", name);
}

static int check_host(struct load *l, int line, const char *name, const char *host)
{
        for (size_t i = 0; i < l->config->upstream_count; i++)
                if (strcmp(l->config->upstreams[i].host, host) == 0)
                        return load_reject(l, line, "upstream", name,
                                "a second table for the same host; upper case and index.docker.io "
                                "make no difference");
        return 0;
}

static int add_upstream(struct load *l, const char *name, const json_t *values, const json_t *lines)
{
        struct config *c = l->config;
        cleanup_free char *host = url_host_normalise(name);
        if (!url_host_valid(name))
                return reject_host(l, toml_line(lines, name), name, values);
        if (check_host(l, toml_line(lines, name), name, host) < 0)
                return -1;
        c->upstreams = mem_resize(c->upstreams, (c->upstream_count + 1) * sizeof(*c->upstreams));
        struct config_upstream *u = &c->upstreams[c->upstream_count++];
        upstream_init(u, host, &c->upstream_default);
        return load_upstream(l, u, name, values, lines);
}

static int load_upstreams(struct load *l, const json_t *values, const json_t *lines)
{
        const json_t *initial = json_object_get(values, default_host);
        if (initial != NULL &&
                load_upstream(l, &l->config->upstream_default, default_host, initial, lines) < 0)
                return -1;
        const char *name = NULL;
        json_t *value = NULL;
        json_object_foreach ((json_t *)values, name, value) {
                if (strcmp(name, default_host) != 0 && add_upstream(l, name, value, lines) < 0)
                        return -1;
        }
        return 0;
}

static bool is_plain_table(const char *name)
{
        static const char *const names[] = {
                "shim", "resolve", "relay", "admin", "metrics", "nri", "log"};
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                if (strcmp(names[i], name) == 0)
                        return true;
        return false;
}

/* [upstream] comes after those that it inherits from, wherever it stands, and [mirror] after those
 * who list mirrors. */
static int load_tables(struct load *l, const json_t *values, const json_t *lines)
{
        const char *name = NULL;
        json_t *value = NULL;
        json_object_foreach ((json_t *)values, name, value) {
                bool plain = is_plain_table(name);
                if (!plain && strcmp(name, "upstream") != 0 && strcmp(name, "mirror") != 0) {
                        key_unknown_table(name, l->err);
                        return load_at_key(l, toml_line(lines, name), "", name);
                }
                if (!json_is_object(value))
                        return load_reject(l, toml_line(lines, name), "", name, "not a table");
                if (plain &&
                        load_table(l, name, name, l->config, value, toml_below(lines, name)) < 0)
                        return -1;
        }
        if (load_upstreams(l, json_object_get(values, "upstream"), toml_below(lines, "upstream")) <
                0)
                return -1;
        return mirrors_load(l, json_object_get(values, "mirror"), toml_below(lines, "mirror"));
}

static int check_admin(struct load *l, const json_t *lines)
{
        const struct config *c = l->config;
        int line = toml_line(toml_below(lines, "admin"), "listen");
        if (c->admin_listen == NULL)
                return 0;
        for (size_t i = 0; i < c->listen_count; i++)
                if (strcmp(c->admin_listen, c->listen[i]) == 0)
                        return load_reject(
                                l, line, "admin", "listen", "the same socket as shim.listen");
        if (strcmp(c->admin_listen, c->backend) == 0)
                return load_reject(l, line, "admin", "listen", "the same socket as shim.backend");
        return 0;
}

static int check_metrics(struct load *l, const json_t *lines)
{
        const struct config *c = l->config;
        if (c->metrics_listen == NULL ||
                strtoll(url_host_port(c->metrics_listen), NULL, 10) != c->relay_port)
                return 0;
        return load_reject(l, toml_line(toml_below(lines, "metrics"), "listen"), "metrics",
                "listen", "the same port as relay.port");
}

/* Rules between keys. `lines` are of the whole file; a key that is not in it has the line 0. */
static int check_whole(struct load *l, const json_t *lines)
{
        const struct config *c = l->config;
        if (c->budget_ms < c->timeout_ms)
                return load_reject(l, toml_line(toml_below(lines, "resolve"), "budget"), "resolve",
                        "budget", "less than resolve.timeout: no request could take its time");
        for (size_t i = 0; i < c->listen_count; i++)
                if (strcmp(c->listen[i], c->backend) == 0)
                        return load_reject(l, toml_line(toml_below(lines, "shim"), "listen"),
                                "shim", "listen", "the same socket as shim.backend");
        return check_admin(l, lines) < 0 ? -1 : check_metrics(l, lines);
}

static int load_file(struct load *l)
{
        cleanup_secret char *text = NULL;
        size_t size = 0;
        if (file_read(l->name, FILE_MAX_BYTES, &text, &size, l->err) < 0)
                return -1;
        json_t *values = NULL;
        json_t *lines = NULL;
        int status = toml_parse(text, size, l->name, &values, &lines, l->err);
        if (status == 0)
                status = load_tables(l, values, lines);
        if (status == 0)
                status = check_whole(l, lines);
        json_decref(values);
        json_decref(lines);
        return status;
}

static int load(const char *path, bool secrets_unread, struct config **out, struct err *e)
{
        *out = NULL;
        struct config *c = snapshot_new();
        c->secrets_unread = secrets_unread;
        c->upstream_default.host = mem_strdup("");
        for (size_t i = 0; i < key_count; i++)
                if (keys[i].home == KEY_OF_CONFIG)
                        key_set_initial(&keys[i], c);
        struct load l = {.name = path, .config = c, .err = e};
        if (path != NULL && load_file(&l) < 0) {
                config_put(c);
                return -1;
        }
        if (c->containerd == NULL)
                c->containerd = mem_strdup(c->backend);
        *out = c;
        return 0;
}

int config_load(const char *path, struct config **out, struct err *e)
{
        return load(path, false, out, e);
}

int config_load_without_secrets(const char *path, struct config **out, struct err *e)
{
        return load(path, true, out, e);
}

void config_fini(struct config *c)
{
        key_clear_all(KEY_OF_CONFIG, c);
        for (size_t i = 0; i < c->upstream_count; i++)
                upstream_clear(&c->upstreams[i]);
        free(c->upstreams);
        upstream_clear(&c->upstream_default);
        mirrors_clear(c);
}

const struct config_upstream *config_upstream_for(
        const struct config *c, const char *host, bool *has_entry)
{
        for (size_t i = 0; i < c->upstream_count; i++) {
                *has_entry = strcasecmp(c->upstreams[i].host, host) == 0;
                if (*has_entry)
                        return &c->upstreams[i];
        }
        *has_entry = false;
        return &c->upstream_default;
}

const char *config_upstream_label(const struct config *c, const char *host)
{
        bool has_entry = false;
        const struct config_upstream *entry =
                host != NULL ? config_upstream_for(c, host, &has_entry) : NULL;
        return has_entry ? entry->host : "other";
}

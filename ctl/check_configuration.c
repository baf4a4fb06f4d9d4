/* SPDX-License-Identifier: Apache-2.0 */
/* Our own configuration: whether it is taken, and who may read and write what belongs to it. */
#include <string.h>
#include <sys/stat.h>

#include "config/toml.h"
#include "ctl/check.h"

enum { BUSY_PULLS = 20 };

static void check_mode(struct check *c, const char *file, int line, const char *path)
{
        struct stat st;
        if (path == NULL || stat(path, &st) != 0 || (st.st_mode & 077) == 0)
                return;
        json_t *finding = finding_add(c->findings, FINDING_CREDENTIAL_FILE_MODE);
        finding_evidence(finding, path, "mode %04o", (unsigned)st.st_mode & 07777);
        finding_evidence_line(finding, file, line, "where it is named");
        finding_run(finding, "chmod", "600", path, NULL);
}

/* Keys of a table that name files, most of them with secrets: a credentials file, a client's key,
 * headers. */
static void check_table(struct check *c, const json_t *table, const json_t *lines)
{
        static const char *const keys[] = {"ca", "client_cert", "credentials", "client_key"};
        enum { KEYS = 4, PUBLIC_KEYS = 2 };
        const char *file = c->cli->config_path;
        for (size_t i = 0; i < KEYS; i++) {
                const char *path = json_string_value(json_object_get(table, keys[i]));
                if (i >= PUBLIC_KEYS)
                        check_mode(c, file, toml_line(lines, keys[i]), path);
                check_trust_file(c, path, file, toml_line(lines, keys[i]));
        }
        const char *name = NULL;
        json_t *header = NULL;
        json_object_foreach (json_object_get(table, "headers"), name, header) {
                const char *path = json_string_value(json_object_get(header, "file"));
                check_mode(c, file, toml_line(lines, "headers"), path);
                check_trust_file(c, path, file, toml_line(lines, "headers"));
        }
}

static void check_tables(struct check *c, const char *kind)
{
        const json_t *lines = toml_below(c->own_lines, kind);
        const char *name = NULL;
        json_t *table = NULL;
        json_object_foreach (json_object_get(c->own_values, kind), name, table)
                check_table(c, table, toml_below(lines, name));
}

/* containerd's own file, where it holds passwords. */
static void check_containerd_secrets(struct check *c)
{
        struct containerd_value auths = containerd_registry_value(&c->containerd, "auths");
        struct containerd_value configs = containerd_registry_value(&c->containerd, "configs");
        const char *name = NULL;
        json_t *config = NULL;
        bool secret = json_object_size(auths.value) > 0;
        json_object_foreach ((json_t *)configs.value, name, config)
                secret = secret || json_object_get(config, "auth") != NULL;
        struct containerd_value at = json_object_size(auths.value) > 0 ? auths : configs;
        if (secret)
                check_mode(c, at.file, at.line, at.file);
}

static void check_socket(struct check *c, const char *address)
{
        const char *path = strncmp(address, "unix://", 7) == 0 ? address + 7 : address;
        struct stat st;
        if (stat(path, &st) != 0 || !S_ISSOCK(st.st_mode) || (st.st_mode & S_IWOTH) == 0)
                return;
        json_t *finding = finding_add(c->findings, FINDING_SOCKET_MODE);
        finding_evidence(finding, path, "mode %04o", (unsigned)st.st_mode & 07777);
        finding_run(finding, "chmod", "o-rwx", path, NULL);
        if (c->config->listen_mode & S_IWOTH)
                finding_evidence_line(finding, c->cli->config_path,
                        toml_line(toml_below(c->own_lines, "shim"), "listen_mode"),
                        "listen_mode = \"%04o\"", (unsigned)c->config->listen_mode);
}

static bool has_mirrors(const struct config *c, const char *host)
{
        bool has_entry = false;
        return config_upstream_for(c, host, &has_entry)->mirror_count > 0;
}

/* Of the daemon's own count, since its start. */
static void check_busy_upstream(struct check *c, const json_t *upstream)
{
        const char *host = json_string_value(json_object_get(upstream, "host"));
        const json_t *pulls = json_object_get(upstream, "pulls");
        json_int_t total = json_integer_value(json_object_get(pulls, "total"));
        json_int_t current = json_integer_value(json_object_get(pulls, "current"));
        if (host == NULL || total - current < BUSY_PULLS || has_mirrors(c->config, host))
                return;
        json_t *finding = finding_add(c->findings, FINDING_BUSY_UPSTREAM_WITHOUT_ENTRY);
        finding_evidence(finding, "cri-resolvectl status",
                "%s: %" JSON_INTEGER_FORMAT " pulls, for %" JSON_INTEGER_FORMAT
                " of which there was something to fetch",
                host, total, total - current);
        finding_advise(
                finding, "The entry is [upstream.\"%s\"] with mirrors = [\"http://...\"].", host);
}

static void check_busy(struct check *c)
{
        const json_t *upstreams = json_object_get(c->status, "upstreams");
        for (size_t i = 0; i < json_array_size(upstreams); i++)
                check_busy_upstream(c, json_array_get(upstreams, i));
}

void check_configuration(struct check *c)
{
        check_busy(c);
        check_tables(c, "mirror");
        check_tables(c, "upstream");
        check_containerd_secrets(c);
        for (size_t i = 0; i < c->config->listen_count; i++)
                check_socket(c, c->config->listen[i]);
        if (c->config->admin_listen != NULL)
                check_socket(c, c->config->admin_listen);
        check_socket(c, c->cri_address);
        if (strcmp(c->cri_address, c->containerd_address) != 0)
                check_socket(c, c->containerd_address);
}

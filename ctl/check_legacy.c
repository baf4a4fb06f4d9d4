/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `mirrors`, `configs` and `auths` of containerd's configuration, and what to put in their place:
 * hosts.toml files in which mirrors serve content only.
 */
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "config/toml.h"
#include "config/url.h"
#include "ctl/check.h"
#include "ctl/edit_toml.h"
#include "ctl/toml_edit.h"

enum { HOSTS_MAX_BYTES = 64 * 1024, TABLES_MAX = 200, ENDPOINTS_MAX = 16 };

bool check_is_upstream_itself(const char *url, const char *host)
{
        cleanup_url struct url parsed = {0};
        if (!url_parse(url, &parsed))
                return false;
        bool is_hub = strcmp(host, "docker.io") == 0;
        return strcmp(parsed.authority, host) == 0 ||
               (is_hub && (strcmp(parsed.authority, "registry-1.docker.io") == 0 ||
                                  strcmp(parsed.authority, "index.docker.io") == 0));
}

static void put_text(struct buf *b, const char *key, const char *value)
{
        json_t *text = json_string(value);
        buf_printf(b, "%s = ", key);
        toml_put_value(b, text, '"');
        buf_puts(b, "\n");
        json_decref(text);
}

static void put_trust(struct buf *b, const struct hosts_mirror *m)
{
        if (m->override_path)
                buf_puts(b, "override_path = true\n");
        if (m->skip_verify)
                buf_puts(b, "skip_verify = true\n");
        if (m->ca_file != NULL)
                put_text(b, "ca", m->ca_file);
        if (m->client_cert == NULL)
                return;
        json_t *pair = json_pack("[[s, s]]", m->client_cert, m->client_key);
        buf_puts(b, "client = ");
        toml_put_value(b, pair, '"');
        buf_puts(b, "\n");
        json_decref(pair);
}

/* The upstream itself, where it is among its endpoints; its keys stand at the top of the file. */
static void put_server(
        struct buf *b, const char *host, const struct hosts_mirror *mirrors, size_t count)
{
        bool hub = strcmp(host, "docker.io") == 0;
        const struct hosts_mirror *own = NULL;
        for (size_t i = 0; i < count && own == NULL; i++)
                if (check_is_upstream_itself(mirrors[i].url, host))
                        own = &mirrors[i];
        if (hub)
                buf_puts(b, "server = \"https://registry-1.docker.io\"\n");
        else if (own != NULL)
                put_text(b, "server", own->url);
        if (own != NULL)
                put_trust(b, own);
        if (hub || own != NULL)
                buf_puts(b, "\n");
}

char *check_hosts_text(const char *host, const struct hosts_mirror *mirrors, size_t count)
{
        cleanup_buf struct buf b;
        buf_init(&b, HOSTS_MAX_BYTES);
        bool any = false;
        put_server(&b, host, mirrors, count);
        for (size_t i = 0; i < count; i++) {
                if (check_is_upstream_itself(mirrors[i].url, host))
                        continue;
                buf_printf(&b, "[host.\"%s\"]\ncapabilities = [\"pull\"]\n", mirrors[i].url);
                put_trust(&b, &mirrors[i]);
                any = true;
        }
        if (!any)
                buf_puts(&b, "[host]\n"); /* 1.6 wants the table, be it empty */
        return mem_strdup(buf_str(&b));
}

/* `configs."host:port".tls` as it is for an endpoint. */
static const json_t *tls_of(const json_t *configs, const char *url)
{
        cleanup_url struct url parsed = {0};
        if (!url_parse(url, &parsed))
                return NULL;
        return json_object_get(json_object_get(configs, parsed.authority), "tls");
}

/* Endpoints with a path of their own are API roots already. */
static void take_endpoint(struct hosts_mirror *m, const char *url, const json_t *configs)
{
        cleanup_url struct url parsed = {0};
        const json_t *tls = tls_of(configs, url);
        m->url = (char *)url;
        m->override_path = url_parse(url, &parsed) && parsed.path[0] != '\0' &&
                           strcmp(parsed.path, "/v2") != 0;
        m->skip_verify = json_is_true(json_object_get(tls, "insecure_skip_verify"));
        m->ca_file = (char *)json_string_value(json_object_get(tls, "ca_file"));
        m->client_cert = (char *)json_string_value(json_object_get(tls, "cert_file"));
        m->client_key = (char *)json_string_value(json_object_get(tls, "key_file"));
}

static bool has_endpoint(const json_t *endpoints, const char *authority)
{
        for (size_t i = 0; i < json_array_size(endpoints); i++) {
                const char *url = json_string_value(json_array_get(endpoints, i));
                cleanup_url struct url parsed = {0};
                if (url != NULL && url_parse(url, &parsed) &&
                        strcmp(parsed.authority, authority) == 0)
                        return true;
        }
        return false;
}

/* Borrows from the arguments. */
static char *hosts_text_of(const char *host, const json_t *endpoints, const json_t *configs)
{
        struct hosts_mirror mirrors[ENDPOINTS_MAX + 1] = {0};
        size_t count = 0;
        for (size_t i = 0; i < json_array_size(endpoints) && count < ENDPOINTS_MAX; i++) {
                const char *url = json_string_value(json_array_get(endpoints, i));
                if (url != NULL)
                        take_endpoint(&mirrors[count++], url, configs);
        }
        cleanup_free char *server = hosts_server_url(host);
        if (tls_of(configs, server) != NULL && !has_endpoint(endpoints, hosts_server_of(host)))
                take_endpoint(&mirrors[count++], server, configs);
        return check_hosts_text(host, mirrors, count);
}

/* A wildcard becomes the mirror of the one upstream that it most likely is for. */
static const char *host_for(const char *name, const json_t *mirrors)
{
        if (strcmp(name, "*") != 0)
                return name;
        return json_object_get(mirrors, "docker.io") == NULL ? "docker.io" : NULL;
}

static char *hosts_path(const struct check *c, const char *host)
{
        cleanup_free char *root = check_certs_root(c);
        cleanup_free char *directory = hosts_directory(host);
        return mem_printf("%s/%s/hosts.toml", root, directory);
}

static bool is_there(const struct check *c, const char *host)
{
        cleanup_free char *path = hosts_path(c, host);
        return access(path, F_OK) == 0;
}

static void write_hosts_file(const struct check *c, json_t *finding, const char *host,
        const json_t *endpoints, const json_t *configs)
{
        cleanup_free char *path = hosts_path(c, host);
        cleanup_free char *text = hosts_text_of(host, endpoints, configs);
        if (access(path, F_OK) != 0)
                finding_write(finding, path, text);
}

/* Whether a file is to be written in which the `configs` of this authority count. *said: some
 * `mirrors` name it. */
static bool is_carried(
        const struct check *c, const json_t *mirrors, const char *authority, bool *said)
{
        const char *name = NULL;
        json_t *table = NULL;
        bool carried = true;
        *said = false;
        json_object_foreach ((json_t *)mirrors, name, table) {
                const char *host = host_for(name, mirrors);
                const json_t *endpoints = json_object_get(table, "endpoint");
                if (host == NULL || (strcmp(hosts_server_of(host), authority) != 0 &&
                                            !has_endpoint(endpoints, authority)))
                        continue;
                *said = true;
                carried = carried && !is_there(c, host) &&
                          json_array_size(endpoints) <= ENDPOINTS_MAX;
        }
        return carried;
}

/* Of a registry that nothing but `configs` names. */
static bool has_own_file(const struct check *c, const char *authority)
{
        cleanup_free char *host = url_host_normalise(authority);
        bool hub =
                strcmp(host, "docker.io") == 0 || strcmp(host, hosts_server_of("docker.io")) == 0;
        return strcmp(host, authority) == 0 && !hub && url_host_valid(host) && !is_there(c, host);
}

/* Whether a hosts.toml can say the same, as far as this knows. */
static bool is_known_tls(const json_t *tls)
{
        static const char *const files[] = {"ca_file", "cert_file", "key_file"};
        size_t known = json_object_get(tls, "insecure_skip_verify") != NULL;
        for (size_t i = 0; i < 3; i++) {
                const char *path = json_string_value(json_object_get(tls, files[i]));
                known += path != NULL && path[0] == '/';
        }
        return known == json_object_size(tls) && (json_object_get(tls, "cert_file") != NULL) ==
                                                         (json_object_get(tls, "key_file") != NULL);
}

/* Whether the steps leave nothing of `configs` behind, and have a place for all of `mirrors`. */
static bool carries_all(const struct check *c, const json_t *mirrors, const json_t *configs)
{
        const char *name = NULL;
        json_t *entry = NULL;
        json_object_foreach ((json_t *)mirrors, name, entry)
                if (strcmp(name, "*") != 0 && !url_host_valid(name))
                        return false;
        json_object_foreach ((json_t *)configs, name, entry) {
                const json_t *tls = json_object_get(entry, "tls");
                bool said = false;
                if (json_object_size(tls) == 0)
                        continue;
                if (!is_known_tls(tls) || !is_carried(c, mirrors, name, &said) ||
                        (!said && !has_own_file(c, name)))
                        return false;
        }
        return true;
}

static void write_hosts_files(
        const struct check *c, json_t *finding, const json_t *mirrors, const json_t *configs)
{
        const char *name = NULL;
        json_t *table = NULL;
        json_object_foreach ((json_t *)mirrors, name, table) {
                const char *host = host_for(name, mirrors);
                if (host != NULL)
                        write_hosts_file(
                                c, finding, host, json_object_get(table, "endpoint"), configs);
        }
        json_object_foreach ((json_t *)configs, name, table) {
                bool said = false;
                is_carried(c, mirrors, name, &said);
                if (!said && json_object_size(json_object_get(table, "tls")) > 0 &&
                        has_own_file(c, name))
                        write_hosts_file(c, finding, name, NULL, configs);
        }
}

static void advise_migrate(json_t *finding)
{
        finding_advise(finding,
                "The sections say more here than steps could carry over: run `cri-resolvectl "
                "migrate`, which shows what it would write.");
}

static void remove_tables(const struct check *c, json_t *finding, const char *key)
{
        for (size_t i = 0; i < c->containerd.section_count; i++) {
                const struct containerd_section *s = &c->containerd.sections[i];
                const struct containerd_file *file = &c->containerd.config.files[s->file];
                if (!s->known || json_object_get(s->table, key) == NULL)
                        continue;
                const char *const path[] = {"plugins", s->plugin, "registry", key};
                struct edit_lines lines[TABLES_MAX];
                size_t count = edit_toml_tables(file->text, path, 4, lines, TABLES_MAX);
                for (size_t n = 0; n < count; n++)
                        finding_replace(finding, file->path, lines[n].first, lines[n].last, "");
                if (count == 0)
                        finding_advise(finding, "Remove registry.%s by hand from %s, line %d.", key,
                                file->path, toml_line(s->lines, key));
        }
}

/* The file that has the say on registries. */
static const struct containerd_file *file_with_say(const struct check *c)
{
        const struct containerd_file *file = &c->containerd.config.files[0];
        for (size_t i = 0; i < c->containerd.section_count; i++)
                if (c->containerd.sections[i].counts)
                        file = &c->containerd.config.files[c->containerd.sections[i].file];
        return file;
}

static void add_config_path(const struct check *c, json_t *finding)
{
        const struct containerd_file *file = file_with_say(c);
        const char *plugin = containerd_plugin_name(file->format);
        cleanup_free char *root = check_certs_root(c);
        struct containerd_value at = containerd_registry_value(&c->containerd, "config_path");
        const char *const path[] = {"plugins", plugin, "registry"};
        int header = edit_toml_header(file->text, path, 3);
        int end = edit_count_lines(file->text) + 1;
        cleanup_free char *line = mem_printf("config_path = \"%s\"\n", root);
        cleanup_free char *table = mem_printf("\n[plugins.\"%s\".registry]\n%s", plugin, line);
        if (at.value != NULL)
                finding_replace(finding, at.file, at.line, at.line, line);
        else if (header > 0)
                finding_replace(finding, file->path, header + 1, header, line);
        else
                finding_replace(finding, file->path, end, end - 1, table);
}

static void evidence_of(const struct check *c, json_t *finding, const char *key)
{
        for (size_t i = 0; i < c->containerd.section_count; i++) {
                const struct containerd_section *s = &c->containerd.sections[i];
                const json_t *lines = toml_below(s->lines, key);
                const char *name = NULL;
                json_t *value = NULL;
                if (!s->counts)
                        continue;
                json_object_foreach (json_object_get(s->table, key), name, value)
                        finding_evidence_line(finding, c->containerd.config.files[s->file].path,
                                toml_line(lines, name), "registry.%s.\"%s\"", key, name);
        }
}

static bool has_auth(const json_t *configs)
{
        const char *name = NULL;
        json_t *value = NULL;
        json_object_foreach ((json_t *)configs, name, value)
                if (json_object_get(value, "auth") != NULL)
                        return true;
        return false;
}

static bool has_tls(const json_t *configs)
{
        const char *name = NULL;
        json_t *value = NULL;
        json_object_foreach ((json_t *)configs, name, value)
                if (json_object_get(value, "tls") != NULL)
                        return true;
        return false;
}

/* True if it was that. 1.x refuses `configs.*.tls` beside config_path, too. */
static bool check_beside(struct check *c, const json_t *mirrors, const json_t *configs)
{
        bool tls = has_tls(configs) && c->containerd.major < 2;
        struct containerd_value path = containerd_registry_value(&c->containerd, "config_path");
        if (containerd_config_path(&c->containerd)[0] == '\0' ||
                (json_object_size(mirrors) == 0 && !tls))
                return false;
        json_t *finding = finding_add(c->findings, FINDING_MIRRORS_BESIDE_CONFIG_PATH);
        finding_evidence_line(finding, path.file, path.line, "config_path = \"%s\"",
                containerd_config_path(&c->containerd));
        evidence_of(c, finding, "mirrors");
        if (tls)
                evidence_of(c, finding, "configs");
        if (c->running.answers && !c->running.has_cri)
                finding_evidence(finding, "crictl info", "%s", c->running.cri_answer);
        if (!carries_all(c, mirrors, configs)) {
                advise_migrate(finding);
                return true;
        }
        if (json_object_size(mirrors) > 0)
                remove_tables(c, finding, "mirrors");
        if (tls && has_auth(configs))
                finding_advise(finding, "Remove the `tls` tables of `configs` by hand.");
        else if (tls)
                remove_tables(c, finding, "configs");
        write_hosts_files(c, finding, mirrors, configs);
        check_restart_containerd(finding);
        return true;
}

static void check_deprecated(
        struct check *c, const json_t *mirrors, const json_t *configs, const json_t *auths)
{
        json_t *finding = finding_add(c->findings, FINDING_DEPRECATED_REGISTRY_SECTIONS);
        if (check_version_least(c, 2, 4))
                finding_set_severity(finding, SEVERITY_ERROR);
        else if (c->containerd.major == 1)
                finding_set_severity(finding, SEVERITY_HINT); /* this version takes them all */
        evidence_of(c, finding, "mirrors");
        evidence_of(c, finding, "configs");
        evidence_of(c, finding, "auths");
        if (has_auth(configs) || json_object_size(auths) > 0) {
                finding_advise(finding,
                        "Credentials have to become imagePullSecrets first; then this finding has "
                        "steps.");
                return;
        }
        if (!carries_all(c, mirrors, configs)) {
                advise_migrate(finding);
                return;
        }
        if (json_object_size(mirrors) > 0)
                remove_tables(c, finding, "mirrors");
        if (json_object_size(configs) > 0)
                remove_tables(c, finding, "configs");
        add_config_path(c, finding);
        write_hosts_files(c, finding, mirrors, configs);
        check_restart_containerd(finding);
}

void check_legacy(struct check *c)
{
        if (!c->has_containerd)
                return;
        const json_t *mirrors = containerd_registry_value(&c->containerd, "mirrors").value;
        const json_t *configs = containerd_registry_value(&c->containerd, "configs").value;
        const json_t *auths = containerd_registry_value(&c->containerd, "auths").value;
        if (check_beside(c, mirrors, configs))
                return;
        if (json_object_size(mirrors) + json_object_size(configs) + json_object_size(auths) > 0)
                check_deprecated(c, mirrors, configs, auths);
}

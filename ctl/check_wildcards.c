/* SPDX-License-Identifier: Apache-2.0 */
/* Wildcards: _default/hosts.toml and mirrors."*", and whether they catch the relay. */
#include <string.h>

#include "config/toml.h"
#include "ctl/check.h"
#include "ctl/edit_toml.h"

static const struct hosts_file *find_file(const struct check *c, const char *host)
{
        for (size_t i = 0; i < c->hosts.file_count; i++)
                if (strcmp(c->hosts.files[i].host, host) == 0)
                        return &c->hosts.files[i];
        return NULL;
}

static const struct hosts_file *default_file(const struct check *c)
{
        const struct hosts_file *f = find_file(c, "_default");
        return f != NULL && !f->discarded && (f->server != NULL || f->mirror_count > 0) ? f : NULL;
}

static const json_t *legacy_mirror(
        const struct check *c, const char *host, struct containerd_value *at)
{
        *at = containerd_registry_value(&c->containerd, "mirrors");
        return json_object_get(at->value, host);
}

/* What is known of it: a mirror that goes by ?ns= serves everybody. */
static bool serves_all(const struct check *c)
{
        size_t wildcards = 0;
        for (size_t i = 0; i < c->use_count; i++) {
                const struct mirror_use *u = &c->uses[i];
                if (u->host[0] != '\0' || !u->in_certs)
                        continue;
                wildcards++;
                if (u->served_hosts.count < 2 || u->missing > 0)
                        return false;
        }
        return wildcards > 0;
}

/* The upstream that the wildcard's mirrors have been seen to serve, else the usual one. */
static const char *likely_upstream(const struct check *c)
{
        for (size_t i = 0; i < c->use_count; i++)
                if (c->uses[i].host[0] == '\0' && c->uses[i].served_hosts.count > 0)
                        return c->uses[i].served_hosts.items[0];
        return "docker.io";
}

/* The mirrors of the wildcard and, where it is none of them, its server: that asks it last. */
static char *text_for(const struct hosts_file *f, const char *host)
{
        struct hosts_mirror all[17] = {0};
        size_t count = f->mirror_count < 16 ? f->mirror_count : 16;
        for (size_t i = 0; i < count; i++)
                all[i] = f->mirrors[i];
        cleanup_free char *server =
                f->server == NULL
                        ? NULL
                        : mem_printf("%s%s", strncmp(f->server, "http", 4) == 0 ? "" : "https://",
                                  f->server);
        bool listed = server == NULL;
        for (size_t i = 0; i < count && !listed; i++)
                listed = strcmp(all[i].url, server) == 0;
        if (!listed)
                all[count++] = (struct hosts_mirror){.url = server};
        return check_hosts_text(host, all, count);
}

static void advise_to_move(
        json_t *finding, const struct hosts_file *f, const char *host, const char *path)
{
        cleanup_free char *server = hosts_server_url(host);
        finding_advise(finding,
                "%s says more than a step can carry over: write %s by hand, with server = "
                "\"%s\" and the tables of its mirrors, each with capabilities = [\"pull\"].",
                f->path, path, server);
        if (f->server != NULL)
                finding_advise(finding,
                        "What stands above the first table is about %s, not about the registry: it "
                        "belongs into a table [host.\"...\"] of that address, which comes last.",
                        f->server);
}

static void move_default(const struct check *c, json_t *finding, const struct hosts_file *f)
{
        const char *host = likely_upstream(c);
        const char *slash = strrchr(f->path, '/');
        cleanup_free char *folder = mem_strndup(f->path, (size_t)(slash - f->path));
        cleanup_free char *root = mem_strndup(folder, (size_t)(strrchr(folder, '/') - folder));
        cleanup_free char *directory = hosts_directory(host);
        cleanup_free char *path = mem_printf("%s/%s/hosts.toml", root, directory);
        cleanup_free char *away = mem_printf("%s/.default.disabled", root);
        bool is_new = find_file(c, host) == NULL;
        /* Headers and keys may be secret: not in a step, and not lost. */
        if (is_new && f->has_more) {
                advise_to_move(finding, f, host, path);
                return;
        }
        cleanup_free char *text = text_for(f, host);
        if (is_new)
                finding_write(finding, path, text);
        finding_run(finding, "mv", folder, away, NULL);
}

/* As migrate writes it: no tag is asked there, and the relay is left alone. */
static bool is_harmless(const struct check *c, const struct hosts_file *f)
{
        cleanup_free char *relay = mem_printf("127.0.0.1:%d", (int)c->config->relay_port);
        bool pulls_only = f->server == NULL && find_file(c, relay) != NULL;
        for (size_t i = 0; i < f->mirror_count; i++)
                pulls_only = pulls_only && !f->mirrors[i].may_resolve;
        return pulls_only;
}

static void check_wildcard(struct check *c)
{
        struct containerd_value at;
        const json_t *legacy = legacy_mirror(c, "*", &at);
        const struct hosts_file *f = default_file(c);
        if (legacy != NULL) {
                json_t *finding = finding_add(c->findings, FINDING_WILDCARD_MIRROR);
                finding_evidence_line(finding, at.file,
                        toml_line(toml_below(at.section->lines, "mirrors"), "*"),
                        "registry.mirrors.\"*\"");
                finding_advise(finding, "The remedy of %s does both.",
                        containerd_config_path(&c->containerd)[0] != '\0'
                                ? finding_identifier(FINDING_MIRRORS_BESIDE_CONFIG_PATH)
                                : finding_identifier(FINDING_DEPRECATED_REGISTRY_SECTIONS));
        }
        if (f == NULL || serves_all(c))
                return;
        json_t *finding = finding_add(c->findings, FINDING_WILDCARD_MIRROR);
        if (is_harmless(c, f)) {
                finding_set_severity(finding, SEVERITY_HINT);
                finding_advise(finding, "It serves content by digest alone here, and leaves the "
                                        "relay out: it may stay, and costs a question for what it "
                                        "has not got.");
        }
        if (f->server != NULL)
                finding_evidence_line(finding, f->path, f->server_line,
                        "server = \"%s\" for every registry", f->server);
        for (size_t i = 0; i < f->mirror_count; i++)
                finding_evidence_line(finding, f->path, f->mirrors[i].line, "%s for every registry",
                        f->mirrors[i].url);
        for (size_t i = 0; i < c->use_count; i++)
                if (c->uses[i].host[0] == '\0' && c->uses[i].in_certs && c->uses[i].missing > 0)
                        finding_evidence(finding, c->uses[i].url,
                                "has not got %u of the images that were asked for",
                                c->uses[i].missing);
        move_default(c, finding, f);
}

static bool uses_relay(const struct config *c)
{
        bool any = c->upstream_default.relay == RELAY_AUTO && c->upstream_default.mirror_count > 0;
        for (size_t i = 0; i < c->upstream_count; i++)
                any = any ||
                      (c->upstreams[i].relay == RELAY_AUTO && c->upstreams[i].mirror_count > 0);
        return any;
}

static void let_legacy_through(
        struct check *c, json_t *finding, const struct containerd_value *at, const char *relay)
{
        const struct containerd_file *file = &c->containerd.config.files[at->section->file];
        int end = edit_count_lines(file->text) + 1;
        cleanup_free char *text = mem_printf(
                "\n[plugins.\"%s\".registry.mirrors.\"%s\"]\nendpoint = [\"http://%s\"]\n",
                at->section->plugin, relay, relay);
        finding_replace(finding, file->path, end, end - 1, text);
        check_restart_containerd(finding);
}

static void let_through(const struct check *c, json_t *finding, const char *relay)
{
        cleanup_free char *root = check_certs_root(c);
        cleanup_free char *directory = hosts_directory(relay);
        cleanup_free char *path = mem_printf("%s/%s/hosts.toml", root, directory);
        cleanup_free char *text = mem_printf("server = \"http://%s\"\n\n[host]\n", relay);
        finding_write(finding, path, text);
}

static void check_capture(struct check *c)
{
        struct containerd_value at;
        if (!uses_relay(c->config))
                return;
        cleanup_free char *relay = mem_printf("127.0.0.1:%d", (int)c->config->relay_port);
        const struct hosts_file *f = default_file(c);
        bool legacy = legacy_mirror(c, "*", &at) != NULL && legacy_mirror(c, relay, &at) == NULL;
        bool hosts = f != NULL && find_file(c, relay) == NULL;
        if (!legacy && !hosts)
                return;
        json_t *finding = finding_add(c->findings, FINDING_DEFAULT_CAPTURES_RELAY);
        if (legacy)
                finding_evidence_line(finding, at.file,
                        toml_line(toml_below(at.section->lines, "mirrors"), "*"),
                        "registry.mirrors.\"*\", and no entry for %s", relay);
        if (hosts)
                finding_evidence_line(
                        finding, f->path, 0, "and no directory for %s beside it", relay);
        if (hosts)
                let_through(c, finding, relay);
        if (legacy)
                let_legacy_through(c, finding, &at, relay);
        finding_run(finding, "systemctl", "reload", "cri-resolved", NULL);
}

void check_wildcards(struct check *c)
{
        check_wildcard(c);
        check_capture(c);
}

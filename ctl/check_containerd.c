/* SPDX-License-Identifier: Apache-2.0 */
/* containerd's configuration file, but for what is deprecated in it. */
#include <string.h>

#include "config/toml.h"
#include "ctl/check.h"
#include "ctl/edit_toml.h"

bool check_version_least(const struct check *c, int major, int minor)
{
        return c->running.major > major ||
               (c->running.major == major && c->running.minor >= minor && major > 0);
}

void check_restart_containerd(json_t *finding)
{
        finding_run(finding, "systemctl", "restart", "containerd", NULL);
}

char *check_certs_root(const struct check *c)
{
        const char *roots = c->roots[0] != '\0'            ? c->roots
                            : c->config->certs_dir != NULL ? c->config->certs_dir
                                                           : "/etc/containerd/certs.d";
        return mem_strndup(roots, strcspn(roots, ":"));
}

static size_t find_header_lines(
        const struct containerd_section *s, const char *text, int *lines, size_t max)
{
        size_t count = 0;
        int total = edit_count_lines(text);
        for (int n = 1; n <= total && count < max; n++) {
                cleanup_free char *line = edit_line(text, n);
                const char *at = line + strspn(line, " \t");
                if (*at == '[' && strstr(line, s->plugin) != NULL &&
                        strstr(line, ".registry") != NULL)
                        lines[count++] = n;
        }
        return count;
}

/* "[plugins.cri.registry.mirrors]" under the name that the file's format has. */
static void rename_headers(
        json_t *finding, const struct containerd_file *file, const struct containerd_section *s)
{
        int lines[64];
        size_t count = find_header_lines(s, file->text, lines, 64);
        for (size_t i = 0; i < count; i++) {
                cleanup_free char *line = edit_line(file->text, lines[i]);
                cleanup_free char *text =
                        mem_printf("%.*s[plugins.\"%s\"%s\n", (int)strspn(line, " \t"), line,
                                containerd_plugin_name(file->format), strstr(line, ".registry"));
                finding_replace(finding, file->path, lines[i], lines[i], text);
        }
        if (count > 0)
                check_restart_containerd(finding);
}

static void check_ignored_sections(struct check *c)
{
        for (size_t i = 0; i < c->containerd.section_count; i++) {
                const struct containerd_section *s = &c->containerd.sections[i];
                const struct containerd_file *file = &c->containerd.config.files[s->file];
                if (s->known || json_object_size(s->table) == 0)
                        continue;
                json_t *finding = finding_add(c->findings, FINDING_REGISTRY_SECTION_IGNORED);
                finding_evidence_line(finding, file->path, s->line,
                        "[plugins.\"%s\".registry] in a file of format %d", s->plugin,
                        file->format);
                if (file->format == 1 && c->running.major >= 2) {
                        finding_advise(finding,
                                "containerd 2 reads registries from format 2 and 3 only: "
                                "`containerd config migrate` of a 1.7 writes format 2.");
                        continue;
                }
                finding_advise(finding, "In format %d it is [plugins.\"%s\".registry].",
                        file->format, containerd_plugin_name(file->format));
                rename_headers(finding, file, s);
        }
}

static bool pulls_locally(const struct check *c)
{
        static const char *const keys[] = {"mirrors", "configs", "auths"};
        for (size_t i = 0; i < 3; i++)
                if (json_object_size(containerd_registry_value(&c->containerd, keys[i]).value) > 0)
                        return true;
        return json_is_true(containerd_plugin_value(&c->containerd, "use_local_image_pull"));
}

/* The one of the two directories that has something in it; the first if neither has. */
static char *root_to_keep(const char *roots)
{
        cleanup_hosts_tree struct hosts_tree tree = {0};
        cleanup_free char *first = mem_strndup(roots, strcspn(roots, ":"));
        struct err ignored;
        if (hosts_tree_load(first, &tree, &ignored) == 0 && tree.file_count == 0) {
                const char *rest = roots + strcspn(roots, ":") + 1;
                cleanup_free char *second = mem_strndup(rest, strcspn(rest, ":"));
                if (hosts_tree_load(second, &tree, &ignored) == 0 && tree.file_count > 0)
                        return take(&second);
        }
        return take(&first);
}

static void set_config_path(const struct check *c, json_t *finding, const char *root)
{
        struct containerd_value at = containerd_registry_value(&c->containerd, "config_path");
        if (at.value == NULL) {
                finding_advise(finding,
                        "Say config_path = \"%s\" in [plugins.\"%s\".registry]; without it the "
                        "default is the two directories.",
                        root, containerd_plugin_name(c->containerd.config.files[0].format));
                return;
        }
        const struct containerd_file *file = &c->containerd.config.files[at.section->file];
        cleanup_free char *line = edit_line(file->text, at.line);
        cleanup_free char *text =
                mem_printf("%.*sconfig_path = \"%s\"\n", (int)strspn(line, " \t"), line, root);
        if (strstr(line, "config_path") == line + strspn(line, " \t"))
                finding_replace(finding, at.file, at.line, at.line, text);
        check_restart_containerd(finding);
}

static void check_two_directories(struct check *c)
{
        if (strchr(c->roots, ':') == NULL || !check_version_least(c, 2, 1) || pulls_locally(c) ||
                c->hosts.file_count == 0)
                return;
        struct containerd_value at = containerd_registry_value(&c->containerd, "config_path");
        json_t *finding = finding_add(c->findings, FINDING_TWO_DIRECTORY_CONFIG_PATH);
        finding_evidence_line(finding, at.value != NULL ? at.file : c->containerd_path, at.line,
                "config_path is \"%s\"%s, containerd is %s", c->roots,
                at.value != NULL ? "" : " (its default)", c->running.version);
        cleanup_free char *root = root_to_keep(c->roots);
        for (size_t i = 0; i < c->hosts.file_count; i++) {
                const char *path = c->hosts.files[i].path;
                if (strncmp(path, root, strlen(root)) != 0 || path[strlen(root)] != '/')
                        finding_advise(finding, "Move %s below %s.", path, root);
        }
        set_config_path(c, finding, root);
}

static bool same_keys(const json_t *a, const json_t *b)
{
        const char *name = NULL;
        json_t *value = NULL;
        json_object_foreach ((json_t *)a, name, value)
                if (json_object_get(b, name) == NULL)
                        return false;
        return json_object_size(a) == json_object_size(b);
}

/* 1.x reports what it runs with. */
static void check_in_effect(struct check *c)
{
        const json_t *runs = json_object_get(c->running.registry, "configPath");
        if (!json_is_string(runs) || c->containerd.major != 1)
                return;
        const char *path = containerd_config_path(&c->containerd);
        bool same_path = strcmp(json_string_value(runs), path) == 0;
        if (same_path && same_keys(json_object_get(c->running.registry, "mirrors"),
                                 containerd_registry_value(&c->containerd, "mirrors").value))
                return;
        json_t *finding = finding_add(c->findings, FINDING_CONTAINERD_RUNS_ANOTHER_CONFIG);
        finding_evidence(finding, "crictl info", "it runs with config_path \"%s\" and %zu mirrors",
                json_string_value(runs),
                json_object_size(json_object_get(c->running.registry, "mirrors")));
        struct containerd_value at = containerd_registry_value(&c->containerd, "config_path");
        finding_evidence_line(finding, at.value != NULL ? at.file : c->containerd_path, at.line,
                "config_path is \"%s\"", path);
        check_restart_containerd(finding);
}

void check_containerd(struct check *c)
{
        if (!c->has_containerd)
                return;
        check_ignored_sections(c);
        check_two_directories(c);
        check_in_effect(c);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/facts_containerd.h"

#include <string.h>

#include "config/toml.h"

enum { FORMAT_MAX = 3 };

static const char *const plugin_names[FORMAT_MAX] = {
        "cri", "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images"};

const char *containerd_plugin_name(int format)
{
        return plugin_names[(format < 1 || format > FORMAT_MAX ? FORMAT_MAX : format) - 1];
}

void containerd_facts_fini(struct containerd_facts *f)
{
        containerd_config_fini(&f->config);
        free(f->sections);
        *f = (struct containerd_facts){0};
}

static int check_format(
        const struct containerd_facts *f, const struct containerd_file *file, struct err *e)
{
        const json_t *version = json_object_get(file->values, "version");
        int line = toml_line(file->lines, "version");
        if (version != NULL && (!json_is_integer(version) || file->format > FORMAT_MAX))
                return err_set(
                        e, ERR_CONFIG, "%s:%d: version: allowed: 1, 2 or 3", file->path, line);
        if (file->format > 2 && f->major == 1)
                return err_set(e, ERR_CONFIG,
                        "%s:%d: version = 3 is for containerd 2.0 and later; this one is 1.x",
                        file->path, line);
        return 0;
}

static void add_section(struct containerd_facts *f, size_t index, const char *plugin)
{
        const struct containerd_file *file = &f->config.files[index];
        const json_t *plugins = json_object_get(file->values, "plugins");
        const json_t *lines = toml_below(toml_below(file->lines, "plugins"), plugin);
        const json_t *table = json_object_get(json_object_get(plugins, plugin), "registry");
        if (!json_is_object(table))
                return;
        bool known = strcmp(plugin, containerd_plugin_name(file->format)) == 0 &&
                     !(file->format == 1 && f->major >= 2);
        f->sections = mem_resize(f->sections, (f->section_count + 1) * sizeof(*f->sections));
        f->sections[f->section_count++] = (struct containerd_section){.file = index,
                .plugin = plugin,
                .table = table,
                .lines = toml_below(lines, "registry"),
                .line = toml_line(lines, "registry"),
                .known = known,
                .counts = known};
}

/* 1.x: the last file with the plugin's section has the say, whatever it says. */
static void let_last_count(struct containerd_facts *f)
{
        const struct containerd_file *last = containerd_config_decisive(&f->config);
        for (size_t i = 0; i < f->section_count; i++)
                f->sections[i].counts =
                        f->sections[i].known && &f->config.files[f->sections[i].file] == last;
}

int containerd_facts_load(const char *path, int major, struct containerd_facts *out, struct err *e)
{
        *out = (struct containerd_facts){.major = major};
        if (containerd_config_load(path, major, &out->config, e) < 0)
                return -1;
        for (size_t i = 0; i < out->config.count; i++) {
                if (check_format(out, &out->config.files[i], e) < 0) {
                        containerd_facts_fini(out);
                        return -1;
                }
                for (int name = 0; name < FORMAT_MAX; name++)
                        add_section(out, i, plugin_names[name]);
        }
        if (major == 1)
                let_last_count(out);
        return 0;
}

struct containerd_value containerd_registry_value(const struct containerd_facts *f, const char *key)
{
        for (size_t i = f->section_count; i > 0; i--) {
                const struct containerd_section *s = &f->sections[i - 1];
                const json_t *value = json_object_get(s->table, key);
                if (s->counts && value != NULL)
                        return (struct containerd_value){.value = value,
                                .file = f->config.files[s->file].path,
                                .line = toml_line(s->lines, key),
                                .section = s};
        }
        return (struct containerd_value){0};
}

const char *containerd_config_path(const struct containerd_facts *f)
{
        const char *path = json_string_value(containerd_registry_value(f, "config_path").value);
        return path != NULL ? path : "";
}

const json_t *containerd_plugin_value(const struct containerd_facts *f, const char *key)
{
        for (size_t i = f->config.count; i > 0; i--) {
                const struct containerd_file *file = &f->config.files[i - 1];
                const json_t *plugins = json_object_get(file->values, "plugins");
                const json_t *plugin =
                        json_object_get(plugins, containerd_plugin_name(file->format));
                if (json_object_get(plugin, key) != NULL)
                        return json_object_get(plugin, key);
        }
        return NULL;
}

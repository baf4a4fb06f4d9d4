/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/containerd_config.h"

#include <glob.h>
#include <libgen.h>
#include <string.h>

#include "config/files.h"
#include "config/toml.h"

enum { FILE_MAX_BYTES = 4 << 20, FILES_MAX = 1000 };

void containerd_config_fini(struct containerd_config *c)
{
        for (size_t i = 0; i < c->count; i++) {
                struct containerd_file *f = &c->files[i];
                free(f->path);
                mem_free_secret(f->text);
                json_decref(f->values);
                json_decref(f->lines);
                strings_clear(&f->imports);
        }
        free(c->files);
        *c = (struct containerd_config){0};
}

/* ---- files and imports ---- */

static bool has_file(const struct containerd_config *c, const char *path)
{
        for (size_t i = 0; i < c->count; i++)
                if (strcmp(c->files[i].path, path) == 0)
                        return true;
        return false;
}

static char *beside(const char *file, const char *path)
{
        if (path[0] == '/')
                return mem_strdup(path);
        cleanup_free char *copy = mem_strdup(file);
        return mem_printf("%s/%s", dirname(copy), path);
}

/* A pattern without a match is no file; a name without one is a mistake that containerd refuses. */
static void add_imports(struct containerd_file *f, const char *import, int major)
{
        bool pattern = strchr(import, '*') != NULL;
        cleanup_free char *path = beside(pattern && major == 1 ? "/" : f->path, import);
        if (!pattern) {
                strings_add(&f->imports, path);
                return;
        }
        glob_t found = {0};
        if (glob(path, 0, NULL, &found) == 0)
                for (size_t i = 0; i < found.gl_pathc; i++)
                        strings_add(&f->imports, found.gl_pathv[i]);
        globfree(&found);
}

static int parse_file(struct containerd_file *f, size_t size, int major, struct err *e)
{
        if (strlen(f->text) != size)
                return err_set(e, ERR_CONFIG, "%s: not text", f->path);
        if (toml_parse(f->text, size, f->path, &f->values, &f->lines, e) < 0)
                return -1;
        const json_t *imports = json_object_get(f->values, "imports");
        for (size_t i = 0; i < json_array_size(imports); i++) {
                const char *import = json_string_value(json_array_get(imports, i));
                if (import != NULL)
                        add_imports(f, import, major);
        }
        return 0;
}

static int load_file(struct containerd_config *c, const char *path, int major, struct err *e)
{
        if (has_file(c, path))
                return 0;
        if (c->count >= FILES_MAX)
                return err_set(e, ERR_CONFIG, "%s imports more than %d files", c->files[0].path,
                        FILES_MAX);
        size_t size = 0;
        char *text = NULL;
        if (file_read(path, FILE_MAX_BYTES, &text, &size, e) < 0)
                return -1;
        c->files = mem_resize(c->files, (c->count + 1) * sizeof(*c->files));
        struct containerd_file *f = &c->files[c->count++];
        *f = (struct containerd_file){.path = mem_strdup(path), .text = text};
        if (parse_file(f, size, major, e) < 0)
                return -1;
        json_int_t format = json_integer_value(json_object_get(f->values, "version"));
        f->format = format > 0 ? (int)format : c->count == 1 ? 1 : c->files[0].format;
        return 0;
}

int containerd_config_load(
        const char *path, int major, struct containerd_config *out, struct err *e)
{
        *out = (struct containerd_config){0};
        int status = load_file(out, path, major, e);
        for (size_t i = 0; status == 0 && i < out->count; i++)
                for (size_t n = 0; status == 0 && n < out->files[i].imports.count; n++)
                        status = load_file(out, out->files[i].imports.items[n], major, e);
        if (status < 0)
                containerd_config_fini(out);
        return status;
}

/* ---- the registry's settings ---- */

struct strings containerd_registry_path(int format, const char *below)
{
        struct strings path = {0};
        strings_add(&path, "plugins");
        strings_add(&path, format >= 3   ? "io.containerd.cri.v1.images"
                           : format == 2 ? "io.containerd.grpc.v1.cri"
                                         : "cri");
        strings_add(&path, "registry");
        if (below != NULL)
                strings_add(&path, below);
        return path;
}

static const json_t *value_at(const json_t *values, const struct strings *path, size_t keys)
{
        for (size_t i = 0; i < keys; i++)
                values = json_object_get(values, path->items[i]);
        return values;
}

const json_t *containerd_file_value(const struct containerd_file *f, const struct strings *path)
{
        return value_at(f->values, path, path->count);
}

int containerd_file_line(const struct containerd_file *f, const struct strings *path)
{
        const json_t *lines = f->lines;
        for (size_t i = 0; i + 1 < path->count; i++)
                lines = toml_below(lines, path->items[i]);
        return toml_line(lines, path->items[path->count - 1]);
}

static bool has_plugin(const struct containerd_file *f)
{
        cleanup_strings struct strings path = containerd_registry_path(f->format, NULL);
        return value_at(f->values, &path, path.count - 1) != NULL;
}

const struct containerd_file *containerd_config_decisive(const struct containerd_config *c)
{
        for (size_t i = c->count; i > 0; i--)
                if (has_plugin(&c->files[i - 1]))
                        return &c->files[i - 1];
        return &c->files[0];
}

static void merge(json_t *to, const json_t *from)
{
        const char *key = NULL;
        json_t *value = NULL;
        json_object_foreach ((json_t *)from, key, value) {
                json_t *old = json_object_get(to, key);
                if (json_is_object(old) && json_is_object(value))
                        merge(old, value);
                else
                        json_object_set_new(to, key, json_deep_copy(value));
        }
}

json_t *containerd_config_registry(const struct containerd_config *c, bool deep)
{
        json_t *all = json_object();
        const struct containerd_file *decisive = containerd_config_decisive(c);
        for (size_t i = 0; i < c->count; i++) {
                if (!deep && &c->files[i] != decisive)
                        continue;
                cleanup_strings struct strings path =
                        containerd_registry_path(c->files[i].format, NULL);
                merge(all, containerd_file_value(&c->files[i], &path));
        }
        return all;
}

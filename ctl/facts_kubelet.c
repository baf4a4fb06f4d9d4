/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/facts_kubelet.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "config/files.h"
#include "config/toml.h"
#include "ctl/facts_process.h"
#include "ctl/yaml.h"

enum { FILE_MAX_BYTES = 1 << 20 };

static void endpoint_set(struct endpoint *e, const char *value, char *place)
{
        free(e->value);
        free(e->place);
        e->value = mem_strdup(value);
        e->place = place;
}

static void endpoint_fini(struct endpoint *e)
{
        free(e->value);
        free(e->place);
}

void kubelet_facts_fini(struct kubelet_facts *f)
{
        free(f->config);
        free(f->folder);
        endpoint_fini(&f->image);
        endpoint_fini(&f->runtime);
        *f = (struct kubelet_facts){0};
}

void crictl_facts_fini(struct crictl_facts *f)
{
        endpoint_fini(&f->image);
        *f = (struct crictl_facts){0};
}

/* The first document of a YAML file. *values NULL: the file is not there, or empty. */
static int read_yaml(const char *path, json_t **values, json_t **lines, struct err *e)
{
        *values = *lines = NULL;
        cleanup_free char *text = NULL;
        size_t size = 0;
        if (file_read(path, FILE_MAX_BYTES, &text, &size, e) < 0)
                return e->sys == ENOENT || e->sys == ENOTDIR ? 0 : -1;
        json_t *documents = NULL;
        json_t *all_lines = NULL;
        if (yaml_parse(text, size, path, &documents, &all_lines, e) < 0)
                return -1;
        *values = json_incref(json_array_get(documents, 0));
        *lines = json_incref(json_array_get(all_lines, 0));
        json_decref(documents);
        json_decref(all_lines);
        return 0;
}

static void take_yaml(struct endpoint *e, const char *path, const json_t *values,
        const json_t *lines, const char *key)
{
        const char *value = json_string_value(json_object_get(values, key));
        if (value != NULL && value[0] != '\0')
                endpoint_set(e, value, mem_printf("%s:%d", path, toml_line(lines, key)));
}

static int take_config(struct kubelet_facts *f, const char *path, bool main, struct err *e)
{
        json_t *values = NULL;
        json_t *lines = NULL;
        if (read_yaml(path, &values, &lines, e) < 0)
                return -1;
        if (values != NULL && main) {
                f->found = true;
                f->config = mem_strdup(path);
                f->kind_line = toml_line(lines, "kind");
        }
        take_yaml(&f->image, path, values, lines, "imageServiceEndpoint");
        take_yaml(&f->runtime, path, values, lines, "containerRuntimeEndpoint");
        json_decref(values);
        json_decref(lines);
        return 0;
}

static int is_drop_in(const struct dirent *entry)
{
        size_t size = strlen(entry->d_name);
        return size > 5 && strcmp(entry->d_name + size - 5, ".conf") == 0;
}

/* kubelet's own rule: *.conf, by name, each over those before. */
static int take_drop_ins(struct kubelet_facts *f, const char *folder, struct err *e)
{
        struct dirent **entries = NULL;
        int count = folder != NULL ? scandir(folder, &entries, is_drop_in, alphasort) : 0;
        int r = 0;
        for (int i = 0; i < count; i++) {
                cleanup_free char *path = mem_printf("%s/%s", folder, entries[i]->d_name);
                if (r == 0)
                        r = take_config(f, path, false, e);
                free(entries[i]);
        }
        free(entries);
        return r;
}

static bool ends_flag(char c)
{
        return c == '\0' || strchr(" \t\r\n\"'", c) != NULL;
}

static char *value_at(const char *s)
{
        s += *s == '=' || *s == ' ';
        char quote = *s;
        if (quote == '"' || quote == '\'')
                s++;
        else
                quote = '\0';
        size_t size = 0;
        while (quote != '\0' ? s[size] != quote && s[size] != '\n' && s[size] != '\0'
                             : !ends_flag(s[size]))
                size++;
        return mem_strndup(s, size);
}

static int line_of(const char *text, const char *at)
{
        int line = 1;
        for (; text < at; text++)
                line += *text == '\n';
        return line;
}

static bool in_comment(const char *text, const char *at)
{
        while (at > text && at[-1] != '\n')
                at--;
        at += strspn(at, " \t");
        return *at == '#' || *at == ';';
}

char *kubelet_flag(const char *text, const char *name, int *line)
{
        cleanup_free char *flag = mem_printf("--%s", name);
        size_t size = strlen(flag);
        char *found = NULL;
        for (const char *at = strstr(text, flag); at != NULL; at = strstr(at + size, flag)) {
                bool begins = at == text || ends_flag(at[-1]) || at[-1] == '=';
                if (!begins || in_comment(text, at) || (at[size] != '=' && at[size] != ' '))
                        continue;
                free(found);
                found = value_at(at + size);
                *line = line_of(text, at);
        }
        return found;
}

static void take_flag(struct endpoint *e, const char *text, const char *name, const char *place)
{
        int line = 0;
        cleanup_free char *value = kubelet_flag(text, name, &line);
        if (value == NULL || value[0] == '\0')
                return;
        char *where = place[0] == '/' ? mem_printf("%s:%d", place, line) : mem_strdup(place);
        endpoint_set(e, value, where);
}

static void take_flags(struct kubelet_facts *f, const char *text, const char *place)
{
        take_flag(&f->image, text, "image-service-endpoint", place);
        take_flag(&f->runtime, text, "container-runtime-endpoint", place);
}

static int take_flag_files(struct kubelet_facts *f, const char *const *paths, struct err *e)
{
        for (; *paths != NULL; paths++) {
                cleanup_free char *text = NULL;
                if (file_read(*paths, FILE_MAX_BYTES, &text, NULL, e) < 0) {
                        if (e->sys != ENOENT && e->sys != ENOTDIR)
                                return -1;
                        continue;
                }
                f->found = true;
                take_flags(f, text, *paths);
        }
        return 0;
}

/* NULL: none runs. Its words are those that count: what files say may have come after its start. */
static char *running_words(const char *proc, long *pid)
{
        *pid = proc != NULL ? process_find(proc, "kubelet") : 0;
        return *pid > 0 ? process_command(proc, *pid) : NULL;
}

/* The last one in the files, where no kubelet runs. Who cannot be read is told by take_flag_files.
 */
static char *find_flag(const struct kubelet_places *places, const char *words, const char *name)
{
        int line = 0;
        if (words != NULL)
                return kubelet_flag(words, name, &line);
        char *found = NULL;
        for (const char *const *path = places->flags; *path != NULL; path++) {
                cleanup_free char *text = NULL;
                struct err ignored;
                if (file_read(*path, FILE_MAX_BYTES, &text, NULL, &ignored) < 0)
                        continue;
                char *value = kubelet_flag(text, name, &line);
                if (value == NULL)
                        continue;
                free(found);
                found = value;
        }
        return found;
}

int kubelet_facts_load(
        const struct kubelet_places *places, struct kubelet_facts *out, struct err *e)
{
        *out = (struct kubelet_facts){0};
        long pid = 0;
        cleanup_free char *words = running_words(places->proc, &pid);
        cleanup_free char *config = find_flag(places, words, "config");
        out->folder = find_flag(places, words, "config-dir");
        if (take_config(out, config != NULL ? config : places->config, true, e) < 0 ||
                take_drop_ins(out, out->folder, e) < 0 ||
                take_flag_files(out, places->flags, e) < 0) {
                kubelet_facts_fini(out);
                return -1;
        }
        if (words != NULL) {
                cleanup_free char *place = mem_printf("process %ld", pid);
                out->found = true;
                take_flags(out, words, place);
        }
        return 0;
}

int crictl_facts_load(const char *path, struct crictl_facts *out, struct err *e)
{
        *out = (struct crictl_facts){0};
        json_t *values = NULL;
        json_t *lines = NULL;
        if (read_yaml(path, &values, &lines, e) < 0)
                return -1;
        out->found = values != NULL;
        out->image_line = toml_line(lines, "image-endpoint");
        take_yaml(&out->image, path, values, lines, "runtime-endpoint");
        take_yaml(&out->image, path, values, lines, "image-endpoint");
        json_decref(values);
        json_decref(lines);
        return 0;
}

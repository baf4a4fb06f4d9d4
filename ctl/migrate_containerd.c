/* SPDX-License-Identifier: Apache-2.0 */
/*
 * containerd's own files: `mirrors`, `configs` and `auths` go, config_path is one directory.
 * Credentials stay, as registry.configs.<server>.auth, which all containerds before 2.4 take beside
 * a config_path: nothing else gives them to the sandbox image, and to cri-resolved on 1.x.
 */
#include <string.h>

#include "config/toml.h"
#include "ctl/migrate_job.h"
#include "ctl/toml_edit.h"

struct text {
        const struct migrate_job *job;
        const struct containerd_file *file;
        char *now;
        struct err *err;
};

/* Takes the path. */
static int set(struct text *t, struct strings path, const json_t *value)
{
        char *after = NULL;
        int status = toml_edit_set(t->now, &path, value, &after, t->err);
        strings_clear(&path);
        if (status < 0)
                return err_wrap(t->err, "%s", t->file->path);
        mem_free_secret(t->now);
        t->now = after;
        return 0;
}

static int remove_path(struct text *t, struct strings path)
{
        char *after = NULL;
        int status = toml_edit_remove(t->now, &path, &after, t->err);
        strings_clear(&path);
        if (status < 0)
                return err_wrap(t->err, "%s", t->file->path);
        mem_free_secret(t->now);
        t->now = after;
        return 0;
}

static struct strings path_to(const struct text *t, const char *key)
{
        return containerd_registry_path(t->file->format, key);
}

static const json_t *value_of(const struct text *t, const char *key)
{
        cleanup_strings struct strings path = path_to(t, key);
        return containerd_file_value(t->file, &path);
}

static struct strings config_path_of(const struct text *t, const char *authority, const char *key)
{
        struct strings path = path_to(t, "configs");
        strings_add(&path, authority);
        if (key != NULL)
                strings_add(&path, key);
        return path;
}

static bool says_something(const json_t *auth)
{
        const char *key = NULL;
        json_t *value = NULL;
        json_object_foreach ((json_t *)auth, key, value)
                if (json_string_length(value) > 0)
                        return true;
        return false;
}

/* auths has precedence over configs. */
static int move_auths(struct text *t)
{
        const char *name = NULL;
        json_t *entry = NULL;
        json_object_foreach ((json_t *)value_of(t, "auths"), name, entry) {
                const char *mark = strstr(name, "://");
                const char *host = mark != NULL ? mark + strlen("://") : name;
                cleanup_free char *authority = mem_strndup(host, strcspn(host, "/?#"));
                const json_t *there =
                        json_object_get(json_object_get(value_of(t, "configs"), authority), "auth");
                if (t->job->remove_auth || !says_something(entry) || json_equal(there, entry))
                        continue;
                const char *key = NULL;
                json_t *value = NULL;
                json_object_foreach (entry, key, value) {
                        struct strings path = config_path_of(t, authority, "auth");
                        strings_add(&path, key);
                        if (set(t, path, value) < 0)
                                return -1;
                }
        }
        return remove_path(t, path_to(t, "auths"));
}

/* What is left of configs are credentials. */
static int strip_configs(struct text *t, const json_t *configs)
{
        bool any = false;
        const char *name = NULL;
        json_t *entry = NULL;
        json_object_foreach ((json_t *)configs, name, entry) {
                bool keep = !t->job->remove_auth && says_something(json_object_get(entry, "auth"));
                any = any || keep;
                if (remove_path(t, config_path_of(t, name, keep ? "tls" : NULL)) < 0)
                        return -1;
        }
        return any ? 0 : remove_path(t, path_to(t, "configs"));
}

static int strip(struct text *t)
{
        if (remove_path(t, path_to(t, "mirrors")) < 0 || move_auths(t) < 0)
                return -1;
        json_t *values = NULL;
        if (toml_parse(t->now, strlen(t->now), t->file->path, &values, NULL, t->err) < 0)
                return -1;
        const json_t *configs = values;
        cleanup_strings struct strings path = path_to(t, "configs");
        for (size_t i = 0; i < path.count; i++)
                configs = json_object_get(configs, path.items[i]);
        int status = configs != NULL ? strip_configs(t, configs) : 0;
        json_decref(values);
        return status;
}

static int set_directory(struct text *t, bool decisive)
{
        const char *now = json_string_value(value_of(t, "config_path"));
        if (now == NULL ? !decisive : strcmp(now, t->job->certs) == 0)
                return 0;
        if (now != NULL && now[0] != '/' && strchr(now, '$') != NULL)
                return 0; /* a template's; prepare() has asked what it stands for */
        json_t *value = json_string(t->job->certs);
        int status = set(t, path_to(t, "config_path"), value);
        json_decref(value);
        return status;
}

static int edit(struct migrate_job *j, const struct containerd_file *f, bool wanted, bool decisive,
        struct err *e)
{
        struct text t = {.job = j, .file = f, .now = mem_strdup(f->text), .err = e};
        int status = wanted ? set_directory(&t, decisive) : 0;
        if (status == 0)
                status = strip(&t);
        if (status == 0)
                return migrate_add_file(j, f->path, t.now, false, e);
        mem_free_secret(t.now);
        return -1;
}

/* Something that a config_path is needed for, or that stood in its place. */
static bool wants_directory(const struct migrate_job *j)
{
        static const char *const keys[] = {"mirrors", "configs", "auths"};
        const char *now = json_string_value(json_object_get(j->registry, "config_path"));
        bool wanted = j->model.host_count > 0 || (now != NULL && now[0] != '\0');
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
                wanted = wanted || json_object_get(j->registry, keys[i]) != NULL;
        return wanted;
}

/* Those that only lose something come first: at no time has containerd mirrors and a config_path
 * that it had not before. */
int migrate_containerd(struct migrate_job *j, struct err *e)
{
        const struct containerd_file *decisive = containerd_config_decisive(&j->containerd);
        bool wanted = wants_directory(j);
        for (size_t i = 0; i < j->containerd.count; i++) {
                const struct containerd_file *f = &j->containerd.files[i];
                if (f != decisive && edit(j, f, wanted, false, e) < 0)
                        return -1;
        }
        return edit(j, decisive, wanted, true, e);
}

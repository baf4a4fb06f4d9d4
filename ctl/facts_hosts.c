/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/facts_hosts.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "config/files.h"
#include "config/lists.h"
#include "config/nearest.h"
#include "config/toml.h"
#include "config/url.h"

enum { FILE_MAX_BYTES = 1 << 20, FILES_MAX = 1000 };

/* What containerd takes for a key's value: NULL, or what it should be. */
static const char *check_text(const json_t *value)
{
        return json_is_string(value) ? NULL : "text in double quotes";
}

static const char *check_bool(const json_t *value)
{
        return json_is_boolean(value) ? NULL : "true or false";
}

static const char *check_table(const json_t *value)
{
        return json_is_object(value) ? NULL : "a table for each mirror: [host.\"https://...\"]";
}

static const char *check_server(const json_t *value)
{
        cleanup_url struct url parsed = {0};
        const char *s = json_string_value(value);
        if (s == NULL)
                return check_text(value);
        cleanup_free char *whole =
                mem_printf("%s%s", strncmp(s, "http", 4) == 0 ? "" : "https://", s);
        return s[0] == '\0' || url_parse(whole, &parsed) ? NULL : "\"https://host[:port][/path]\"";
}

static bool is_capability(const char *s)
{
        return s != NULL && (strcasecmp(s, "pull") == 0 || strcasecmp(s, "resolve") == 0 ||
                                    strcasecmp(s, "push") == 0 || strcasecmp(s, "referrers") == 0);
}

static const char *check_capabilities(const json_t *value)
{
        static const char allowed[] = "an array of \"pull\", \"resolve\", \"push\", \"referrers\"";
        for (size_t i = 0; i < json_array_size(value); i++)
                if (!is_capability(json_string_value(json_array_get(value, i))))
                        return allowed;
        return json_is_array(value) ? NULL : allowed;
}

static const char *check_ca(const json_t *value)
{
        static const char allowed[] = "a path, or an array of paths";
        for (size_t i = 0; i < json_array_size(value); i++)
                if (!json_is_string(json_array_get(value, i)))
                        return allowed;
        return json_is_string(value) || json_is_array(value) ? NULL : allowed;
}

static bool is_pair(const json_t *value)
{
        return json_array_size(value) == 2 && json_is_string(json_array_get(value, 0)) &&
               json_is_string(json_array_get(value, 1));
}

static const char *check_client(const json_t *value)
{
        static const char allowed[] = "a path, or an array of paths or of [certificate, key]";
        for (size_t i = 0; i < json_array_size(value); i++) {
                const json_t *one = json_array_get(value, i);
                if (!json_is_string(one) && !is_pair(one))
                        return allowed;
        }
        return json_is_string(value) || json_is_array(value) ? NULL : allowed;
}

static const char *check_header(const json_t *value)
{
        static const char allowed[] = "a table of texts, or of arrays of texts";
        const char *name = NULL;
        json_t *item = NULL;
        json_object_foreach ((json_t *)value, name, item)
                if (check_ca(item) != NULL) /* the same form */
                        return allowed;
        return json_is_object(value) ? NULL : allowed;
}

/* The keys of a hosts.toml; those before `server` are a mirror's too. */
static const struct key {
        const char *name;
        const char *(*check)(const json_t *value);
} keys[] = {
        {"capabilities", check_capabilities},
        {"ca", check_ca},
        {"client", check_client},
        {"skip_verify", check_bool},
        {"header", check_header},
        {"override_path", check_bool},
        {"dial_timeout", check_text},
        {"server", check_server},
        {"host", check_table},
};
enum { MIRROR_KEYS = 7, ALL_KEYS = sizeof(keys) / sizeof(keys[0]) };

static void add_fault(
        struct hosts_file *f, int line, const char *key, const char *nearest, const char *why)
{
        f->faults = mem_resize(f->faults, (f->fault_count + 1) * sizeof(*f->faults));
        f->faults[f->fault_count++] = (struct hosts_fault){.line = line,
                .key = mem_strdup(key),
                .nearest = nearest,
                .why = mem_strdup_or_null(why)};
        f->discarded = f->discarded || why != NULL;
}

static void check_key(
        struct hosts_file *f, const char *name, const json_t *value, int line, size_t count)
{
        struct nearest nearest = {0};
        for (size_t i = 0; i < count; i++) {
                if (strcmp(keys[i].name, name) == 0) {
                        const char *wanted = keys[i].check(value);
                        if (wanted != NULL)
                                add_fault(f, line, name, NULL, wanted);
                        return;
                }
                nearest_try(&nearest, name, keys[i].name);
        }
        for (size_t i = count; i < ALL_KEYS; i++) /* it is in the wrong place, and no slip */
                if (strcmp(keys[i].name, name) == 0)
                        nearest = (struct nearest){0};
        add_fault(f, line, name, nearest_is_slip(&nearest) ? nearest.name : NULL, NULL);
}

static void check_keys(struct hosts_file *f, const json_t *table, const json_t *lines, size_t count)
{
        const char *name = NULL;
        json_t *value = NULL;
        json_object_foreach ((json_t *)table, name, value)
                check_key(f, name, value, toml_line(lines, name), count);
}

static bool has_capability(const json_t *list, const char *wanted)
{
        for (size_t i = 0; i < json_array_size(list); i++) {
                const char *one = json_string_value(json_array_get(list, i));
                if (one != NULL && strcasecmp(one, wanted) == 0)
                        return true;
        }
        return json_array_size(list) == 0; /* nothing said grants all */
}

/* The server's keys are none of those that are kept, a mirror's are but for these. */
static bool has_more(const json_t *table, bool of_server)
{
        static const char *const left_out[] = {"client", "header", "dial_timeout"};
        const json_t *ca = json_object_get(table, "ca");
        bool more = of_server ? ca != NULL || json_object_get(table, "skip_verify") != NULL ||
                                        json_object_get(table, "override_path") != NULL
                              : json_is_array(ca) && json_array_size(ca) > 1;
        for (size_t i = 0; i < sizeof(left_out) / sizeof(left_out[0]); i++)
                more = more || json_object_get(table, left_out[i]) != NULL;
        return more;
}

static char *first_ca(const struct hosts_file *f, const json_t *ca)
{
        const char *path = json_string_value(json_is_array(ca) ? json_array_get(ca, 0) : ca);
        if (path == NULL || path[0] == '/')
                return mem_strdup_or_null(path);
        return mem_printf("%.*s/%s", (int)(strrchr(f->path, '/') - f->path), f->path, path);
}

static void take_mirror(struct hosts_file *f, const char *name, const json_t *table,
        const json_t *lines, const json_t *all_lines)
{
        int line = toml_line(all_lines, name);
        cleanup_free char *url =
                mem_printf("%s%s", strncmp(name, "http", 4) == 0 ? "" : "https://", name);
        cleanup_url struct url parsed = {0};
        if (!json_is_object(table))
                add_fault(f, line, name, NULL, "a table of the mirror's keys");
        else if (!url_parse(url, &parsed))
                add_fault(f, line, name, NULL, "\"https://host[:port][/path]\"");
        else
                check_keys(f, table, lines, MIRROR_KEYS);
        f->has_more = f->has_more || has_more(table, false);
        f->mirrors = mem_resize(f->mirrors, (f->mirror_count + 1) * sizeof(*f->mirrors));
        f->mirrors[f->mirror_count++] = (struct hosts_mirror){
                .url = take(&url),
                .line = line,
                .capabilities_line = toml_line(lines, "capabilities"),
                .may_resolve = has_capability(json_object_get(table, "capabilities"), "resolve"),
                .override_path = json_is_true(json_object_get(table, "override_path")),
                .skip_verify = json_is_true(json_object_get(table, "skip_verify")),
                .ca_file = first_ca(f, json_object_get(table, "ca")),
        };
}

static void take_values(struct hosts_file *f, const json_t *values, const json_t *lines)
{
        check_keys(f, values, lines, ALL_KEYS);
        const char *server = json_string_value(json_object_get(values, "server"));
        f->server = server != NULL && server[0] != '\0' ? mem_strdup(server) : NULL;
        f->server_line = toml_line(lines, "server");
        f->has_more = has_more(values, true);
        const json_t *hosts = toml_below(lines, "host");
        const char *name = NULL;
        json_t *table = NULL;
        json_object_foreach (json_object_get(values, "host"), name, table)
                take_mirror(f, name, table, toml_below(hosts, name), hosts);
}

void hosts_file_read(
        const char *path, const char *host, const char *text, size_t size, struct hosts_file *out)
{
        *out = (struct hosts_file){.path = mem_strdup(path),
                .host = mem_strdup(host),
                .text = mem_strndup(text, size),
                .size = size};
        json_t *values = NULL;
        json_t *lines = NULL;
        struct err e;
        if (toml_parse(text, size, "", &values, &lines, &e) < 0) { /* ":LINE:COLUMN: what" */
                char *end = NULL;
                long line = strtol(e.msg + 1, &end, 10);
                const char *what = strstr(end, ": ");
                add_fault(out, (int)line, "", NULL, what != NULL ? what + 2 : e.msg);
                return;
        }
        take_values(out, values, lines);
        json_decref(values);
        json_decref(lines);
}

void hosts_file_fini(struct hosts_file *f)
{
        for (size_t i = 0; i < f->mirror_count; i++) {
                free(f->mirrors[i].url);
                free(f->mirrors[i].ca_file);
        }
        for (size_t i = 0; i < f->fault_count; i++) {
                free(f->faults[i].key);
                free(f->faults[i].why);
        }
        free(f->mirrors);
        free(f->faults);
        free(f->path);
        free(f->host);
        free(f->server);
        mem_free_secret(f->text); /* headers */
        *f = (struct hosts_file){0};
}

void hosts_tree_fini(struct hosts_tree *t)
{
        for (size_t i = 0; i < t->file_count; i++)
                hosts_file_fini(&t->files[i]);
        free(t->files);
        *t = (struct hosts_tree){0};
}

char *hosts_directory(const char *host)
{
        const char *colon = strrchr(host, ':');
        return colon == NULL ? mem_strdup(host)
                             : mem_printf("%.*s_%s_", (int)(colon - host), host, colon + 1);
}

/* "127.0.0.1_7780_" is 127.0.0.1:7780. */
static char *host_of(const char *directory)
{
        char *host = mem_strdup(directory);
        size_t size = strlen(host);
        if (size < 3 || host[size - 1] != '_' || strcmp(host, "_default") == 0)
                return host;
        host[size - 1] = '\0';
        char *mark = strrchr(host, '_');
        if (mark != NULL && mark[1] != '\0' && strspn(mark + 1, "0123456789") == strlen(mark + 1))
                *mark = ':';
        else
                host[size - 1] = '_';
        return host;
}

static int load_host(struct hosts_tree *t, const char *root, const char *directory, struct err *e)
{
        cleanup_free char *path = mem_printf("%s/%s/hosts.toml", root, directory);
        cleanup_secret char *text = NULL;
        size_t size = 0;
        if (file_read(path, FILE_MAX_BYTES, &text, &size, e) < 0)
                return e->sys == ENOENT || e->sys == ENOTDIR ? 0 : -1;
        if (t->file_count == FILES_MAX)
                return err_set(e, ERR_CONFIG, "%s: more than %d registries", root, FILES_MAX);
        t->files = mem_resize(t->files, (t->file_count + 1) * sizeof(*t->files));
        cleanup_free char *host = host_of(directory);
        hosts_file_read(path, host, text, size, &t->files[t->file_count++]);
        return 0;
}

static int load_root(struct hosts_tree *t, const char *root, struct err *e)
{
        struct dirent **entries = NULL;
        int count = scandir(root, &entries, NULL, alphasort);
        if (count < 0 && (errno == ENOENT || errno == ENOTDIR))
                return 0;
        if (count < 0)
                return err_set_at(e, ERR_CONFIG, errno, __func__, "cannot read %s", root);
        int r = 0;
        for (int i = 0; i < count; i++) {
                if (r == 0 && entries[i]->d_name[0] != '.')
                        r = load_host(t, root, entries[i]->d_name, e);
                free(entries[i]);
        }
        free(entries);
        return r;
}

int hosts_tree_load(const char *roots, struct hosts_tree *out, struct err *e)
{
        *out = (struct hosts_tree){0};
        for (const char *at = roots; *at != '\0'; at += *at == ':') {
                size_t size = strcspn(at, ":");
                cleanup_free char *root = mem_strndup(at, size);
                at += size;
                if (size > 0 && load_root(out, root, e) < 0) {
                        hosts_tree_fini(out);
                        return -1;
                }
        }
        return 0;
}

const struct hosts_file *hosts_tree_find(const struct hosts_tree *t, const char *host)
{
        const char *const names[] = {host, "_default"};
        for (size_t n = 0; n < 2; n++)
                for (size_t i = 0; i < t->file_count; i++)
                        if (strcmp(t->files[i].host, names[n]) == 0)
                                return &t->files[i];
        return NULL;
}

const char *hosts_server_of(const char *host)
{
        return strcmp(host, "docker.io") == 0 ? "registry-1.docker.io" : host;
}

char *hosts_server_url(const char *host)
{
        return mem_printf(
                "http%s://%s", url_host_is_loopback(host) ? "" : "s", hosts_server_of(host));
}

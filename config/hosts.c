/* SPDX-License-Identifier: Apache-2.0 */
#include "config/hosts.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>

#include "config/files.h"
#include "config/toml.h"

enum { FILE_MAX_BYTES = 1 << 20 };

void hosts_fini(struct hosts *h)
{
        url_fini(&h->server);
        strings_clear(&h->ca_files);
        free(h->client_cert);
        free(h->client_key);
        free(h->note);
        free(h->name);
        for (size_t i = 0; i < h->mirror_count; i++)
                hosts_fini(&h->mirrors[i]); /* they have none of their own */
        free(h->mirrors);
        headers_clear(&h->headers);
        *h = (struct hosts){0};
}

static char *absolute(const char *dir, const char *path)
{
        return path[0] == '/' ? mem_strdup(path) : mem_printf("%s/%s", dir, path);
}

static void add_ca(struct hosts *h, const char *dir, const char *path)
{
        cleanup_free char *whole = absolute(dir, path);
        strings_add(&h->ca_files, whole);
}

/* A certificate without a key file has the key in itself. */
static void add_client(struct hosts *h, const char *dir, const char *cert, const char *key)
{
        if (h->client_cert != NULL)
                return;
        h->client_cert = absolute(dir, cert);
        h->client_key = absolute(dir, key != NULL ? key : cert);
}

/* One string or an array of them. False for anything else. */
static bool take_ca(struct hosts *h, const char *dir, const json_t *value)
{
        if (json_is_string(value)) {
                add_ca(h, dir, json_string_value(value));
                return true;
        }
        for (size_t i = 0; i < json_array_size(value); i++) {
                const char *path = json_string_value(json_array_get(value, i));
                if (path == NULL)
                        return false;
                add_ca(h, dir, path);
        }
        return value == NULL || json_is_array(value);
}

/* A string, or an array of strings and of pairs of strings. */
static bool take_client(struct hosts *h, const char *dir, const json_t *value)
{
        if (json_is_string(value)) {
                add_client(h, dir, json_string_value(value), NULL);
                return true;
        }
        for (size_t i = 0; i < json_array_size(value); i++) {
                const json_t *item = json_array_get(value, i);
                bool pair = json_is_array(item);
                const char *cert = json_string_value(pair ? json_array_get(item, 0) : item);
                const char *key = json_string_value(json_array_get(item, 1));
                if (cert == NULL || (pair && (key == NULL || json_array_size(item) != 2)))
                        return false;
                add_client(h, dir, cert, key);
        }
        return value == NULL || json_is_array(value);
}

static bool add_header(struct hosts *h, const char *name, const json_t *value)
{
        const char *text = json_string_value(value);
        if (text == NULL || !header_name_valid(name) || !header_value_valid(text))
                return false;
        headers_add(&h->headers, name, text);
        return true;
}

static bool take_headers(struct hosts *h, const json_t *table)
{
        const char *name = NULL;
        json_t *value = NULL;
        json_object_foreach ((json_t *)table, name, value) {
                size_t count = json_is_array(value) ? json_array_size(value) : 1;
                for (size_t i = 0; i < count; i++)
                        if (!add_header(h, name,
                                    json_is_array(value) ? json_array_get(value, i) : value))
                                return false;
        }
        return table == NULL || json_is_object(table);
}

/* 0 for what is none. */
static unsigned capability_of(const char *name)
{
        static const char *const known[] = {"pull", "resolve", "push", "referrers"};
        for (size_t i = 0; name != NULL && i < sizeof(known) / sizeof(known[0]); i++)
                if (strcasecmp(name, known[i]) == 0)
                        return 1U << i;
        return 0;
}

static bool take_capabilities(struct hosts *h, const json_t *list)
{
        h->capabilities = json_array_size(list) == 0 ? HOSTS_PULL | HOSTS_RESOLVE | HOSTS_PUSH : 0;
        for (size_t i = 0; i < json_array_size(list); i++) {
                unsigned bit = capability_of(json_string_value(json_array_get(list, i)));
                if (bit == 0)
                        return false;
                h->capabilities |= bit;
        }
        return list == NULL || json_is_array(list);
}

static bool take_server(struct hosts *h, const char *server, bool override_path)
{
        if (server[0] == '\0')
                return true;
        cleanup_free char *whole =
                mem_printf("%s%s", strncmp(server, "http", 4) == 0 ? "" : "https://", server);
        url_fini(&h->server);
        if (!url_parse(whole, &h->server))
                return false;
        h->has_server = true;
        size_t size = strlen(h->server.path);
        bool has_root = size >= 3 && strcmp(h->server.path + size - 3, "/v2") == 0;
        if (has_root || override_path)
                return true;
        char *path = mem_printf("%s/v2", h->server.path);
        free(h->server.path);
        h->server.path = path;
        return true;
}

static bool optional_bool(const json_t *value)
{
        return value == NULL || json_is_boolean(value);
}

/* The keys that the top of the file and each mirror have in common. Returns the first that is not
 * as containerd takes it, NULL if there is none. */
static const char *take_table(
        struct hosts *h, const char *dir, const char *server, const json_t *table)
{
        const json_t *skip = json_object_get(table, "skip_verify");
        const json_t *override = json_object_get(table, "override_path");
        if (!optional_bool(skip))
                return "skip_verify";
        if (!optional_bool(override))
                return "override_path";
        h->has_skip_verify = skip != NULL;
        h->skip_verify = json_is_true(skip);
        h->override_path = json_is_true(override);
        if (!take_server(h, server, json_is_true(override)))
                return "server";
        if (!take_capabilities(h, json_object_get(table, "capabilities")))
                return "capabilities";
        if (!take_ca(h, dir, json_object_get(table, "ca")))
                return "ca";
        if (!take_client(h, dir, json_object_get(table, "client")))
                return "client";
        return take_headers(h, json_object_get(table, "header")) ? NULL : "header";
}

static char *fault_at(int line, const char *key)
{
        return mem_printf("line %d: %s is not valid", line, key);
}

static struct hosts *add_mirror(struct hosts *h, const char *name)
{
        h->mirrors = mem_resize(h->mirrors, (h->mirror_count + 1) * sizeof(*h->mirrors));
        struct hosts *m = &h->mirrors[h->mirror_count++];
        *m = (struct hosts){.name = mem_strdup(name)};
        return m;
}

/* What is wrong with the mirrors, NULL if nothing is. */
static char *take_mirrors(
        struct hosts *h, const char *dir, const json_t *mirrors, const json_t *lines)
{
        const char *name = NULL;
        json_t *table = NULL;
        json_object_foreach ((json_t *)mirrors, name, table) {
                cleanup_free char *quoted = mem_printf("\"%s\"", name);
                const char *key = json_is_object(table)
                                          ? take_table(add_mirror(h, name), dir, name, table)
                                          : "server";
                if (key != NULL && strcmp(key, "server") == 0) /* which is the table's name */
                        return fault_at(toml_line(lines, name), quoted);
                if (key != NULL)
                        return fault_at(toml_line(toml_below(lines, name), key), key);
        }
        return NULL;
}

static char *take_values(
        struct hosts *h, const char *dir, const json_t *values, const json_t *lines)
{
        const json_t *server = json_object_get(values, "server");
        const json_t *mirrors = json_object_get(values, "host");
        const char *key = NULL;
        if (server != NULL && !json_is_string(server))
                key = "server";
        else if (mirrors != NULL && !json_is_object(mirrors))
                key = "host";
        else
                key = take_table(h, dir, server != NULL ? json_string_value(server) : "", values);
        if (key != NULL)
                return fault_at(toml_line(lines, key), key);
        return take_mirrors(h, dir, mirrors, toml_below(lines, "host"));
}

/* Why containerd would discard the file, for the caller to free; *h may then hold a part of it.
 * NULL if it would not. */
static char *take_file(struct hosts *h, const char *dir, const char *text, size_t size)
{
        json_t *values = NULL;
        json_t *lines = NULL;
        struct err e;
        /* ":LINE:COLUMN: what" */
        if (toml_parse(text, size, "", &values, &lines, &e) < 0)
                return mem_printf("line %s", e.msg + strspn(e.msg, ":"));
        char *fault = take_values(h, dir, values, lines);
        json_decref(values);
        json_decref(lines);
        return fault;
}

static bool has_suffix(const char *s, const char *suffix)
{
        size_t size = strlen(s);
        size_t end = strlen(suffix);
        return size >= end && strcmp(s + size - end, suffix) == 0;
}

static void take_cert_file(struct hosts *h, const char *dir, const char *name)
{
        if (has_suffix(name, ".crt"))
                add_ca(h, dir, name);
        if (!has_suffix(name, ".cert"))
                return;
        cleanup_free char *key =
                mem_printf("%.*s.key", (int)(strlen(name) - strlen(".cert")), name);
        cleanup_free char *path = absolute(dir, key);
        struct stat st;
        add_client(h, dir, name, stat(path, &st) == 0 ? key : NULL);
}

/* Docker's layout: *.crt are authorities, *.cert with *.key a client's pair. */
static int load_cert_files(struct hosts *h, const char *dir, struct err *e)
{
        struct dirent **entries = NULL;
        int count = scandir(dir, &entries, NULL, alphasort);
        if (count < 0)
                return err_set_at(e, ERR_CONFIG, errno, __func__, "cannot read %s", dir);
        for (int i = 0; i < count; i++) {
                if (entries[i]->d_type != DT_DIR)
                        take_cert_file(h, dir, entries[i]->d_name);
                free(entries[i]);
        }
        free(entries);
        return 0;
}

static int load_dir(struct hosts *h, const char *dir, struct err *e)
{
        cleanup_free char *path = mem_printf("%s/hosts.toml", dir);
        cleanup_secret char *text = NULL;
        size_t size = 0;
        if (file_read(path, FILE_MAX_BYTES, &text, &size, e) < 0 && e->sys != ENOENT)
                return -1;
        cleanup_free char *fault = size > 0 ? take_file(h, dir, text, size) : NULL;
        if (size > 0 && fault == NULL)
                return 0;
        hosts_fini(h);
        if (fault != NULL)
                h->note =
                        mem_printf("%s is broken and ignored, as containerd does: %s", path, fault);
        return load_cert_files(h, dir, e);
}

int hosts_load_dir(const char *dir, struct hosts *out, struct err *e)
{
        *out = (struct hosts){0};
        if (load_dir(out, dir, e) == 0)
                return 0;
        hosts_fini(out);
        return -1;
}

/* The first of `host_port_`, `host:port` and `_default` that is there under `root`. */
static int find_under(const char *root, const char *host, char **out, struct err *e)
{
        const char *colon = strrchr(host, ':');
        cleanup_free char *flat =
                colon == NULL || colon == host
                        ? mem_strdup(host)
                        : mem_printf("%.*s_%s_", (int)(colon - host), host, colon + 1);
        const char *const names[] = {flat, host, "_default"};
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                cleanup_free char *path = mem_printf("%s/%s", root, names[i]);
                struct stat st;
                if (stat(path, &st) == 0) {
                        *out = take(&path);
                        return 0;
                }
                if (errno != ENOENT)
                        return err_set_at(
                                e, ERR_CONFIG, errno, __func__, "cannot look at %s", path);
        }
        return 0;
}

int hosts_load(const char *roots, const char *host, struct hosts *out, struct err *e)
{
        *out = (struct hosts){0};
        cleanup_free char *dir = NULL;
        for (const char *at = roots; *at != '\0' && dir == NULL; at += *at == ':') {
                size_t size = strcspn(at, ":");
                cleanup_free char *root = mem_strndup(at, size);
                at += size;
                if (size > 0 && find_under(root, host, &dir, e) < 0)
                        return -1;
        }
        return dir == NULL ? 0 : hosts_load_dir(dir, out, e);
}

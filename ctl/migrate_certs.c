/* SPDX-License-Identifier: Apache-2.0 */
/*
 * certs.d for what pulls past us: files of containerd's own are edited, the rest is written anew.
 */
#include <libgen.h>
#include <string.h>

#include "ctl/migrate_job.h"
#include "ctl/toml_edit.h"

enum { FILE_MAX_BYTES = 1 << 20 };

static const char head[] =
        "# Written by cri-resolvectl migrate, for what pulls past cri-resolved: ctr, nerdctl, and\n"
        "# containerd itself when it needs the sandbox image.\n";
static const char head_mirrors[] = "# Mirrors serve content by its digest (\"pull\"); what a tag "
                                   "means, the server alone says.\n";
static const char head_default[] =
        "# For all registries without a directory of their own. What a tag means, each registry "
        "says\n"
        "# itself: one mirror cannot know that for all of them, so it has no \"resolve\".\n";
static const char head_relay[] = "# Keeps _default, and any wildcard to come, off the port where "
                                 "cri-resolved serves containerd.\n";

/* ---- new files ---- */

static void put_line(struct buf *b, const char *indent, const char *key, json_t *value)
{
        buf_printf(b, "%s%s = ", indent, key);
        toml_put_value(b, value, '"');
        buf_puts(b, "\n");
        json_decref(value);
}

/* Several values of one header are an array. */
static json_t *headers_of(const struct headers *list)
{
        json_t *all = json_object();
        for (size_t i = 0; i < list->count; i++) {
                json_t *values = json_object_get(all, list->items[i].name);
                if (values == NULL) {
                        values = json_array();
                        json_object_set_new(all, list->items[i].name, values);
                }
                json_array_append_new(values, json_string(list->items[i].value));
        }
        return all;
}

/* A certificate that holds its key is named alone. */
static json_t *client_of(const struct hosts *h)
{
        if (strcmp(h->client_cert, h->client_key) == 0)
                return json_string(h->client_cert);
        return json_pack("[[s, s]]", h->client_cert, h->client_key);
}

static void put_trust(struct buf *b, const char *indent, const struct hosts *h)
{
        if (h->ca_files.count > 0) {
                json_t *files = json_array();
                for (size_t i = 0; i < h->ca_files.count; i++)
                        json_array_append_new(files, json_string(h->ca_files.items[i]));
                put_line(b, indent, "ca", files);
        }
        if (h->client_cert != NULL)
                put_line(b, indent, "client", client_of(h));
        if (h->skip_verify)
                put_line(b, indent, "skip_verify", json_true());
        if (h->headers.count > 0)
                put_line(b, indent, "header", headers_of(&h->headers));
}

/* What containerd makes the API's root of; `root_given` if that needs override_path. */
static char *url_of(const struct hosts *h, bool *root_given)
{
        const struct url *u = &h->server;
        size_t size = strlen(u->path);
        *root_given = size < 3 || strcmp(u->path + size - 3, "/v2") != 0;
        return mem_printf("%s://%s%.*s", u->scheme, u->authority,
                (int)(*root_given ? size : size - 3), u->path);
}

static void put_mirror(struct buf *b, const struct hosts *h)
{
        bool root_given = false;
        cleanup_free char *url = url_of(h, &root_given);
        buf_puts(b, "\n[host.");
        json_t *name = json_string(url);
        toml_put_value(b, name, '"');
        json_decref(name);
        buf_puts(b, "]\n");
        put_line(b, "  ", "capabilities", json_pack("[s]", "pull"));
        if (root_given)
                put_line(b, "  ", "override_path", json_true());
        put_trust(b, "  ", h);
}

/* `mirrors` are those of the host: its own, or the wildcard's. */
static char *render(const struct migrate_host *host, const struct hosts *mirrors)
{
        cleanup_buf_secret struct buf b;
        buf_init(&b, FILE_MAX_BYTES);
        const struct hosts *h = &host->as;
        buf_puts(&b, head);
        if (host->host[0] == '\0')
                buf_puts(&b, head_default);
        else if (mirrors->mirror_count > 0)
                buf_puts(&b, head_mirrors);
        if (host->host[0] != '\0') {
                bool root_given = false;
                cleanup_free char *url = url_of(h, &root_given);
                put_line(&b, "", "server", json_string(url));
                if (root_given)
                        put_line(&b, "", "override_path", json_true());
                put_trust(&b, "", h);
        }
        for (size_t i = 0; i < mirrors->mirror_count; i++)
                put_mirror(&b, &mirrors->mirrors[i]);
        if (mirrors->mirror_count == 0)
                buf_puts(&b, "\n[host]\n"); /* containerd 1.6 wants the table, be it empty */
        return mem_strdup(buf_str(&b));
}

/* Header values may be secrets: such a file is not for everybody. */
static bool has_headers(const struct hosts *h)
{
        for (size_t i = 0; i < h->mirror_count; i++)
                if (h->mirrors[i].headers.count > 0)
                        return true;
        return h->headers.count > 0;
}

/* ---- files that are there ---- */

static int set_capabilities(char **text, const struct hosts *mirror, struct err *e)
{
        json_t *list = json_pack("[s]", "pull");
        cleanup_strings struct strings path = toml_path("host", mirror->name, "capabilities", NULL);
        char *after = NULL;
        int status = toml_edit_set(*text, &path, list, &after, e);
        json_decref(list);
        if (status < 0)
                return -1;
        mem_free_secret(*text);
        *text = after;
        return 0;
}

static int set_server(char **text, const char *server, struct err *e)
{
        cleanup_strings struct strings path = toml_path("server", NULL);
        json_t *value = json_string(server);
        char *after = NULL;
        int status = toml_edit_set(*text, &path, value, &after, e);
        json_decref(value);
        if (status < 0)
                return -1;
        mem_free_secret(*text);
        *text = after;
        return 0;
}

/* docker.io itself is a web site. While mirrors said what tags are, nobody noticed. */
static bool is_wrong_hub(const char *host, const struct hosts *h)
{
        return strcmp(host, "docker.io") == 0 && h->has_server &&
               strcasecmp(h->server.authority, "docker.io") == 0;
}

static int edit(const char *host, const char *dir, char **text, struct err *e)
{
        cleanup_hosts struct hosts h = {0};
        if (hosts_load_dir(dir, &h, e) < 0)
                return -1;
        for (size_t i = 0; i < h.mirror_count; i++) {
                const struct hosts *m = &h.mirrors[i];
                bool own = host[0] != '\0' && migrate_is_own(host, &m->server);
                if (!own && (m->capabilities & HOSTS_PULL) != 0 &&
                        (m->capabilities & HOSTS_RESOLVE) != 0 && set_capabilities(text, m, e) < 0)
                        return -1;
        }
        return is_wrong_hub(host, &h) ? set_server(text, "https://registry-1.docker.io", e) : 0;
}

static int edit_existing(struct migrate_job *j, const struct migrate_host *h, struct err *e)
{
        cleanup_free char *path = mem_printf("%s/hosts.toml", h->dir);
        cleanup_secret char *text = NULL;
        if (migrate_read(path, &text, e) < 0)
                return -1;
        if (text == NULL || h->broken)
                return 0;
        if (h->host[0] == '\0') {
                cleanup_hosts struct hosts as = {0};
                if (hosts_load_dir(h->dir, &as, e) < 0)
                        return -1;
                if (as.has_server)
                        return migrate_add_file(j, path, render(h, &h->as), false, e);
        }
        if (edit(h->host, h->dir, &text, e) < 0)
                return err_wrap(e, "%s", path);
        return migrate_add_file(j, path, take(&text), false, e);
}

/* ---- all of them ---- */

static bool is_in(const char *dir, const char *root)
{
        cleanup_free char *copy = mem_strdup(dir);
        return strcmp(dirname(copy), root) == 0;
}

static int write_new(struct migrate_job *j, const struct migrate_host *h, struct err *e)
{
        cleanup_free char *name = migrate_dir_name(h->host);
        cleanup_free char *path = mem_printf("%s/%s/hosts.toml", j->certs, name);
        size_t before = j->file_count;
        char *text = render(h, migrate_model_mirrors(&j->model, h));
        if (migrate_add_file(j, path, text, has_headers(&h->as), e) < 0)
                return -1;
        if (j->file_count > before && j->files[before].before != NULL)
                migrate_note(&j->model, "%s had no effect until now, and is replaced", path);
        return 0;
}

static int write_relay(struct migrate_job *j, struct err *e)
{
        cleanup_free char *path = mem_printf("%s/127.0.0.1_%d_/hosts.toml", j->certs, j->port);
        cleanup_free char *text =
                mem_printf("%sserver = \"http://127.0.0.1:%d\"\n\n[host]\n", head_relay, j->port);
        cleanup_secret char *there = NULL;
        if (migrate_read(path, &there, e) < 0)
                return -1;
        cleanup_free char *host = mem_printf("127.0.0.1:%d", j->port);
        if (there != NULL || migrate_model_host(&j->model, host) != NULL)
                return 0;
        return migrate_add_file(j, path, take(&text), false, e);
}

int migrate_certs(struct migrate_job *j, struct err *e)
{
        const struct migrate_host *all = migrate_model_host(&j->model, "");
        bool wildcard = all != NULL && all->as.mirror_count > 0;
        for (size_t i = 0; i < j->model.host_count; i++) {
                const struct migrate_host *h = &j->model.hosts[i];
                int status = 0;
                if (h->dir != NULL && is_in(h->dir, j->certs))
                        status = edit_existing(j, h, e);
                else if (!migrate_is_plain(h) || (wildcard && !h->inherits))
                        status = write_new(j, h, e);
                if (status < 0)
                        return -1;
        }
        return wildcard ? write_relay(j, e) : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our own configuration: [upstream."<host>"] and [mirror."<url>"] tables out of the model, put into
 * what is there. Keys that are there win.
 */
#include <ctype.h>
#include <string.h>

#include "config/toml.h"
#include "ctl/facts_hosts.h"
#include "ctl/migrate_job.h"
#include "ctl/migrate_ours.h"
#include "ctl/toml_edit.h"

enum { MIRRORS_MAX = 16, TEXT_MAX_BYTES = 4 << 20 };

/* ---- tables as JSON ---- */

/* As where a table of ours says nothing (trust.h). */
static const char *usual_scheme(const char *host)
{
        const char *port = url_host_port(host);
        bool plain = url_host_is_loopback(host) && port[0] != '\0' && strcmp(port, "443") != 0;
        return plain ? "http" : "https";
}

static void set_server(json_t *table, const char *host, const struct hosts *h)
{
        bool usual = strcmp(h->server.scheme, usual_scheme(host)) == 0 &&
                     strcasecmp(h->server.authority, hosts_server_of(host)) == 0 &&
                     strcmp(h->server.path, "/v2") == 0;
        cleanup_free char *url = migrate_base_url(&h->server);
        if (!usual && url != NULL)
                json_object_set_new(table, "server", json_string(url));
}

/* The keys that say how to reach something, where our configuration has room for them. */
static void set_trust(struct migrate_job *j, json_t *table, const char *what, const struct hosts *h)
{
        if (h->ca_files.count == 1)
                json_object_set_new(table, "ca", json_string(h->ca_files.items[0]));
        if (h->ca_files.count > 1)
                migrate_note(&j->model,
                        "%s: put its %zu files of authorities into one, and name that as its ca in "
                        "%s",
                        what, h->ca_files.count, j->output);
        if (h->client_cert != NULL) {
                json_object_set_new(table, "client_cert", json_string(h->client_cert));
                json_object_set_new(table, "client_key", json_string(h->client_key));
        }
        if (h->skip_verify)
                json_object_set_new(table, "skip_verify", json_true());
        if (h->headers.count > 0)
                json_object_set_new(table, "headers", migrate_headers(j, &h->server, &h->headers));
}

static void add_mirror_table(
        struct migrate_job *j, json_t *mirrors, const char *url, const struct hosts *h)
{
        if (json_object_get(mirrors, url) != NULL)
                return;
        json_t *table = json_object();
        set_trust(j, table, url, h);
        cleanup_free char *file = migrate_credentials_file(j, &h->server);
        if (file != NULL)
                json_object_set_new(table, "credentials", json_string(file));
        json_object_set_new(mirrors, url, table);
}

static bool has_mirror(const json_t *list, const char *url)
{
        for (size_t i = 0; i < json_array_size(list); i++)
                if (strcmp(json_string_value(json_array_get(list, i)), url) == 0)
                        return true;
        return false;
}

/* The list of URLs; their own tables go into `mirrors`. */
static json_t *list_mirrors(struct migrate_job *j, const struct migrate_host *host, json_t *mirrors)
{
        json_t *list = json_array();
        const struct hosts *from = migrate_model_mirrors(&j->model, host);
        for (size_t i = 0; i < from->mirror_count; i++) {
                const struct hosts *m = &from->mirrors[i];
                cleanup_free char *url = migrate_base_url(&m->server);
                if (url == NULL || json_array_size(list) >= MIRRORS_MAX) {
                        migrate_note(&j->model, "the mirror %s://%s%s is for containerd alone: %s",
                                m->server.scheme, m->server.authority, m->server.path,
                                url == NULL ? "its API is not below /v2"
                                            : "there are 16 before it");
                        continue;
                }
                if (has_mirror(list, url))
                        continue;
                json_array_append_new(list, json_string(url));
                add_mirror_table(j, mirrors, url, m);
        }
        return list;
}

/* Credentials that only containerd has. 1.x tells us of them; 2.x does not, and without them we
 * could not ask the upstream. */
static bool needs_passthrough(const struct migrate_job *j, const char *authority)
{
        bool told = j->major != 0 ? j->major < 2 : j->containerd.files[0].format < 3;
        return !told && !j->remove_auth && migrate_model_auth(&j->model, authority) != NULL;
}

static void note_alias(struct migrate_job *j, const struct migrate_host *host)
{
        if (host->as.has_server || host->as.mirror_count == 0 || migrate_is_public(host->host) ||
                url_host_is_loopback(host->host))
                return;
        migrate_note(&j->model,
                "%s: what its tags mean is asked at https://%s from now on; if that is only a name "
                "for one of its mirrors, name this one as its server instead, in %s and in certs.d",
                host->host, host->host, j->output);
}

static json_t *upstream_table(
        struct migrate_job *j, const struct migrate_host *host, json_t *mirrors, bool wildcard)
{
        json_t *table = json_object();
        const struct hosts *h = &host->as;
        if (host->host[0] != '\0') {
                set_server(table, host->host, h);
                set_trust(j, table, host->host, h);
                note_alias(j, host);
                if (needs_passthrough(j, h->server.authority))
                        json_object_set_new(table, "mode", json_string("passthrough"));
        }
        json_t *list = list_mirrors(j, host, mirrors);
        if (json_array_size(list) > 0 || (wildcard && h->mirror_count == 0 && !host->inherits))
                json_object_set_new(table, "mirrors", list);
        else
                json_decref(list);
        return table;
}

/* ---- into the text ---- */

struct ours {
        struct migrate_job *job;
        char *text;
        json_t *there; /* what the text said at first */
};

static void put_keys(struct buf *b, const json_t *table)
{
        const char *key = NULL;
        json_t *value = NULL;
        json_object_foreach ((json_t *)table, key, value) {
                buf_printf(b, "%s = ", key);
                toml_put_value(b, value, '"');
                buf_puts(b, "\n");
        }
}

static void append_table(struct ours *o, const char *comment, const char *kind, const char *name,
        const json_t *table)
{
        cleanup_buf_secret struct buf b;
        buf_init(&b, TEXT_MAX_BYTES);
        size_t size = strlen(o->text);
        buf_append(&b, o->text, size);
        buf_puts(&b, size > 0 && o->text[size - 1] != '\n' ? "\n" : "");
        buf_printf(&b, "%s%s[%s.", size > 0 ? "\n" : "", comment, kind);
        json_t *quoted = json_string(name);
        toml_put_value(&b, quoted, '"');
        json_decref(quoted);
        buf_puts(&b, "]\n");
        put_keys(&b, table);
        mem_free_secret(o->text);
        o->text = mem_strdup(buf_str(&b));
}

static int set_key(struct ours *o, const char *kind, const char *name, const char *key,
        const json_t *value, struct err *e)
{
        cleanup_strings struct strings path = toml_path(kind, name, key, NULL);
        char *after = NULL;
        if (toml_edit_set(o->text, &path, value, &after, e) < 0)
                return err_wrap(e, "%s: %s.\"%s\"", o->job->output, kind, name);
        mem_free_secret(o->text);
        o->text = after;
        return 0;
}

static bool is_trust(const char *key)
{
        return strcmp(key, "mirrors") != 0 && strcmp(key, "mode") != 0;
}

/* An upstream's table that says anything of how to reach it says all of it. */
static bool has_trust(const json_t *table)
{
        static const char *const keys[] = {
                "server", "ca", "client_cert", "client_key", "skip_verify", "headers"};
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
                if (json_object_get(table, keys[i]) != NULL)
                        return true;
        return false;
}

static void note_conflict(
        struct ours *o, const char *kind, const char *name, const char *key, const json_t *value)
{
        cleanup_buf_secret struct buf b;
        buf_init(&b, TEXT_MAX_BYTES);
        if (strcmp(key, "headers") != 0)
                toml_put_value(&b, value, '"');
        migrate_note(&o->job->model, "%s: %s of [%s.\"%s\"] stays as it is; containerd has %s",
                o->job->output, key, kind, name, b.size > 0 ? buf_str(&b) : "other ones");
}

/* `name` and `there` are those of the table that the file has already. */
static int merge_table(struct ours *o, const char *kind, const char *name, const json_t *there,
        const json_t *table, struct err *e)
{
        bool closed = strcmp(kind, "upstream") == 0 && has_trust(there);
        const char *key = NULL;
        json_t *value = NULL;
        json_object_foreach ((json_t *)table, key, value) {
                const json_t *old = json_object_get(there, key);
                if (old != NULL && json_equal(old, value))
                        continue;
                if (old != NULL || (closed && is_trust(key)))
                        note_conflict(o, kind, name, key, value);
                else if (set_key(o, kind, name, key, value, e) < 0)
                        return -1;
        }
        return 0;
}

/* The table of the file that means the same host, or the same URL, however it writes it. */
static const char *find_table(const struct ours *o, const char *kind, const char *name)
{
        const char *there = NULL;
        json_t *value = NULL;
        json_object_foreach (json_object_get(o->there, kind), there, value) {
                struct err ignored;
                cleanup_free char *same = NULL;
                if (strcmp(kind, "upstream") == 0)
                        same = url_host_normalise(there);
                else if (url_base(there, &same, &ignored) < 0)
                        continue;
                if (strcmp(same, name) == 0)
                        return there;
        }
        return NULL;
}

static int put_table(struct ours *o, const char *comment, const char *kind, const char *name,
        const json_t *table, struct err *e)
{
        if (json_object_size(table) == 0)
                return 0;
        const char *there = find_table(o, kind, name);
        if (there == NULL) {
                append_table(o, comment, kind, name, table);
                return 0;
        }
        const json_t *old = json_object_get(json_object_get(o->there, kind), there);
        return merge_table(o, kind, there, old, table, e);
}

static const char *comment_for(const struct migrate_host *h, const json_t *table)
{
        if (h->host[0] == '\0')
                return "# containerd's wildcard. No harm in it here: mirrors are asked for content "
                       "by "
                       "digest alone,\n# and one that has nothing of an upstream costs a "
                       "question.\n";
        if (json_object_get(table, "mode") != NULL)
                return "# containerd 2 has credentials for it in its own configuration, and tells "
                       "nobody: it pulls by\n# itself. With imagePullSecrets instead, remove "
                       "`mode`.\n";
        return "";
}

static int put_upstreams(struct ours *o, json_t *mirrors, struct err *e)
{
        struct migrate_job *j = o->job;
        const struct migrate_host *all = migrate_model_host(&j->model, "");
        bool wildcard = all != NULL && all->as.mirror_count > 0;
        cleanup_free char *relay = mem_printf("127.0.0.1:%d", j->port);
        for (size_t i = 0; i < j->model.host_count; i++) {
                const struct migrate_host *h = &j->model.hosts[i];
                if (strcmp(h->host, relay) == 0)
                        continue;
                json_t *table = upstream_table(j, h, mirrors, wildcard);
                int status = put_table(o, comment_for(h, table), "upstream",
                        h->host[0] != '\0' ? h->host : "default", table, e);
                json_decref(table);
                if (status < 0)
                        return -1;
        }
        return 0;
}

/* Whether an upstream of the text, as it is now, lists the mirror: a table for another one is a
 * mistake that the daemon refuses. */
static bool is_listed(const json_t *upstreams, const char *url)
{
        const char *host = NULL;
        json_t *table = NULL;
        json_object_foreach ((json_t *)upstreams, host, table) {
                const json_t *list = json_object_get(table, "mirrors");
                for (size_t i = 0; i < (json_is_array(list) ? json_array_size(list) : 1); i++) {
                        const json_t *item = json_is_array(list) ? json_array_get(list, i) : list;
                        cleanup_free char *same = NULL;
                        struct err ignored;
                        if (json_is_string(item) &&
                                url_base(json_string_value(item), &same, &ignored) == 0 &&
                                strcmp(same, url) == 0)
                                return true;
                }
        }
        return false;
}

static int put_mirrors(struct ours *o, const json_t *mirrors, struct err *e)
{
        json_t *now = NULL;
        if (toml_parse(o->text, strlen(o->text), o->job->output, &now, NULL, e) < 0)
                return -1;
        int status = 0;
        const char *url = NULL;
        json_t *table = NULL;
        json_object_foreach ((json_t *)mirrors, url, table)
                if (status == 0 && is_listed(json_object_get(now, "upstream"), url))
                        status = put_table(o, "", "mirror", url, table, e);
        json_decref(now);
        return status;
}

/* Keys of plain tables, where the file says nothing of them. */
static int put_plain(
        struct ours *o, const char *table, const char *key, json_t *value, struct err *e)
{
        int status = 0;
        cleanup_strings struct strings path = toml_path(table, key, NULL);
        const json_t *old = json_object_get(json_object_get(o->there, table), key);
        if (old != NULL && !json_equal(old, value))
                migrate_note(
                        &o->job->model, "%s: %s.%s stays as it is", o->job->output, table, key);
        if (old == NULL) {
                char *after = NULL;
                status = toml_edit_set(o->text, &path, value, &after, e);
                if (status == 0) {
                        mem_free_secret(o->text);
                        o->text = after;
                }
        }
        json_decref(value);
        return status;
}

/* A file of our own making says whose. */
static void put_head(struct ours *o)
{
        static const char head[] =
                "# cri-resolved's configuration. What stands here comes from containerd's, by\n"
                "# cri-resolvectl migrate; every other key has its default.\n";
        if (o->text[0] == '\0' || json_object_size(o->there) > 0)
                return;
        char *whole = mem_printf("%s\n%s", head, o->text);
        mem_free_secret(o->text);
        o->text = whole;
}

static int put_all(struct ours *o, struct err *e)
{
        static const char usual[] = "/etc/containerd/certs.d";
        enum { USUAL_PORT = 7780 };
        struct migrate_job *j = o->job;
        json_t *mirrors = json_object();
        int status = put_upstreams(o, mirrors, e);
        if (status == 0)
                status = put_mirrors(o, mirrors, e);
        json_decref(mirrors);
        if (status == 0 && j->port != USUAL_PORT)
                status = put_plain(o, "relay", "port", json_integer(j->port), e);
        if (status == 0 && strcmp(j->certs, usual) != 0 && o->text[0] != '\0')
                status = put_plain(o, "shim", "certs_dir", json_string(j->certs), e);
        if (status == 0)
                put_head(o);
        return status;
}

/* Secrets for keys that stayed as they were are of no use. */
static void drop_unnamed(struct migrate_job *j, const char *text)
{
        size_t kept = 0;
        size_t folder = strlen(j->credentials);
        for (size_t i = 0; i < j->file_count; i++) {
                struct migrate_file *f = &j->files[i];
                bool credentials = f->is_private && strncmp(f->path, j->credentials, folder) == 0;
                cleanup_free char *quoted = mem_printf("\"%s\"", f->path);
                if (!credentials || strstr(text, quoted) != NULL) {
                        j->files[kept++] = *f;
                        continue;
                }
                free(f->path);
                mem_free_secret(f->before);
                mem_free_secret(f->after);
        }
        j->file_count = kept;
}

int migrate_ours(struct migrate_job *j, struct err *e)
{
        struct ours o = {.job = j};
        cleanup_secret char *before = NULL;
        if (migrate_read(j->output, &before, e) < 0)
                return -1;
        o.text = mem_strdup(before != NULL ? before : "");
        int status = toml_parse(o.text, strlen(o.text), j->output, &o.there, NULL, e);
        if (status == 0)
                status = put_all(&o, e);
        json_decref(o.there);
        drop_unnamed(j, o.text);
        bool changed = status == 0 && strcmp(o.text, before != NULL ? before : "") != 0;
        if (changed)
                status = migrate_check_ours(j, o.text, e);
        if (changed && status < 0)
                migrate_explain(j, e);
        if (!changed || status < 0) {
                mem_free_secret(o.text);
                return status;
        }
        return migrate_add_file(j, j->output, o.text, false, e);
}

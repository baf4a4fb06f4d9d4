/* SPDX-License-Identifier: Apache-2.0 */
#include "config/trust.h"

#include <errno.h>
#include <string.h>

#include "config/credentials_file.h"
#include "config/files.h"
#include "config/header_file.h"
#include "config/hosts.h"
#include "config/legacy.h"
#include "config/lists.h"
#include "config/url.h"

enum { KEY_MAX_BYTES = 8 * 1024 * 1024 };

/* containerd 2's default config_path. */
static const char default_certs_dirs[] = "/etc/containerd/certs.d:/etc/docker/certs.d";

_Static_assert(offsetof(struct upstream, ca_file_count) ==
                       offsetof(struct upstream, ca_files) + sizeof(char **),
        "ca_files is a struct strings");
_Static_assert(offsetof(struct upstream, header_count) ==
                       offsetof(struct upstream, headers) + sizeof(struct config_header *),
        "headers is a struct headers");

static struct strings *ca_files_of(struct upstream *u)
{
        return (struct strings *)&u->ca_files;
}

static struct headers *headers_of(struct upstream *u)
{
        return (struct headers *)&u->headers;
}

void upstream_free(struct upstream *u)
{
        if (u == NULL)
                return;
        free(u->host);
        free(u->base_url);
        free(u->origin);
        strings_clear(ca_files_of(u));
        free(u->client_cert);
        free(u->client_key);
        headers_clear(headers_of(u));
        free(u->note);
        mem_free_secret(u->username);
        mem_free_secret(u->password);
        mem_free_secret(u->auth);
        mem_free_secret(u->identity_token);
        free(u->credentials_file);
        free(u);
}

void trust_set_legacy(const json_t *registry)
{
        legacy_set(registry);
}

static void set_server(
        struct upstream *u, const char *scheme, const char *authority, const char *path)
{
        u->origin = mem_printf("%s://%s", scheme, authority);
        u->base_url = mem_printf("%s%s", u->origin, path);
}

/* Where a host without a `server` is (hosts.go, ConfigureHosts). Loopback hosts show no certificate
 * that anybody has to trust. */
static void set_default_server(struct upstream *u)
{
        const char *port = url_host_port(u->host);
        if (strcmp(u->host, "docker.io") == 0) {
                set_server(u, "https", "registry-1.docker.io", "/v2");
        } else if (!url_host_is_loopback(u->host)) {
                set_server(u, "https", u->host, "/v2");
        } else {
                bool tls = port[0] == '\0' || strcmp(port, "443") == 0;
                set_server(u, tls ? "https" : "http", u->host, "/v2");
                u->skip_verify = u->skip_verify || strcmp(port, "80") != 0;
        }
}

/* `base` has been checked when it was loaded. With something behind its /v2 it is the API's root
 * itself, as of Harbor's proxy projects. */
static void set_base(struct upstream *u, const char *base)
{
        cleanup_url struct url server = {0};
        url_parse(base, &server);
        bool is_root = strstr(server.path, "/v2/") != NULL;
        cleanup_free char *path = mem_printf("%s%s", server.path, is_root ? "" : "/v2");
        set_server(u, server.scheme, server.authority, path);
}

static void set_files(
        struct upstream *u, const char *ca_file, const char *client_cert, const char *client_key)
{
        if (ca_file != NULL)
                strings_add(ca_files_of(u), ca_file);
        u->client_cert = mem_strdup_or_null(client_cert);
        u->client_key = mem_strdup_or_null(client_key);
}

static void add_headers(struct upstream *u, const struct config_header *headers, size_t count)
{
        for (size_t i = 0; i < count; i++)
                if (headers[i].file != NULL)
                        headers_add_unread(headers_of(u), headers[i].name, headers[i].file);
                else
                        headers_add(headers_of(u), headers[i].name, headers[i].value);
}

static void from_entry(struct upstream *u, const struct config_upstream *entry)
{
        u->skip_verify = entry->skip_verify;
        set_files(u, entry->ca_file, entry->client_cert, entry->client_key);
        add_headers(u, entry->headers, entry->header_count);
        if (entry->server == NULL)
                set_default_server(u);
        else
                set_base(u, entry->server);
}

/* Moves what certs.d says into u. */
static int from_certs_dirs(struct upstream *u, const char *dirs, struct err *e)
{
        cleanup_hosts struct hosts h = {0};
        if (hosts_load(dirs, u->host, &h, e) < 0)
                return err_wrap(e, "registry configuration of %s", u->host);
        *ca_files_of(u) = h.ca_files;
        h.ca_files = (struct strings){0};
        *headers_of(u) = h.headers;
        h.headers = (struct headers){0};
        u->client_cert = take(&h.client_cert);
        u->client_key = take(&h.client_key);
        u->skip_verify = h.skip_verify;
        u->note = take(&h.note);
        if (h.has_server)
                set_server(u, h.server.scheme, h.server.authority, h.server.path);
        else
                set_default_server(u);
        return 0;
}

/* What 1.x says in `registry.configs.<server>.tls`; it reads that without a config_path only. */
static void add_legacy_tls(struct upstream *u, struct legacy *l)
{
        if (l->ca_file != NULL)
                strings_add(ca_files_of(u), l->ca_file);
        u->client_cert = take(&l->client_cert);
        u->client_key = take(&l->client_key);
        u->skip_verify = u->skip_verify || l->skip_verify;
}

static void add_legacy(struct upstream *u, bool with_tls, bool with_headers)
{
        cleanup_legacy struct legacy l = {0};
        legacy_get(strstr(u->origin, "://") + strlen("://"), &l);
        u->username = take(&l.username);
        u->password = take(&l.password);
        u->auth = take(&l.auth);
        u->identity_token = take(&l.identity_token);
        if (with_tls)
                add_legacy_tls(u, &l);
        if (with_headers)
                add_headers(u, l.headers.items, l.headers.count);
}

/* As containerd reaches the host: through certs.d, or 1.x without a config_path. */
static int as_containerd(struct upstream *u, const struct config *c, struct err *e)
{
        cleanup_free char *reported = NULL;
        const char *dirs = c->certs_dir;
        if (dirs == NULL)
                dirs = legacy_config_path(&reported) ? reported : default_certs_dirs;
        if (dirs[0] == '\0')
                set_default_server(u);
        else if (from_certs_dirs(u, dirs, e) < 0)
                return -1;
        add_legacy(u, dirs[0] == '\0', true);
        return 0;
}

int upstream_new(const struct config *c, const char *host, struct upstream **out, struct err *e)
{
        bool has_entry = false;
        const struct config_upstream *entry = config_upstream_for(c, host, &has_entry);
        cleanup_upstream struct upstream *u = mem_zalloc(sizeof(*u));
        *out = NULL;
        u->host = mem_strdup(host);
        if (!entry->has_trust)
                entry = &c->upstream_default;
        if (entry->has_trust) {
                u->secrets_unread = c->secrets_unread;
                from_entry(u, entry);
                add_legacy(u, false, false);
        } else if (as_containerd(u, c, e) < 0) {
                return -1;
        }
        *out = take(&u);
        return 0;
}

int upstream_new_as_containerd(
        const struct config *c, const char *host, struct upstream **out, struct err *e)
{
        cleanup_upstream struct upstream *u = mem_zalloc(sizeof(*u));
        *out = NULL;
        u->host = mem_strdup(host);
        if (as_containerd(u, c, e) < 0)
                return -1;
        *out = take(&u);
        return 0;
}

struct upstream *upstream_new_mirror(const struct config *c, const char *url)
{
        static const struct config_mirror untold = {0};
        const struct config_mirror *listed = config_mirror_for(c, url);
        const struct config_mirror *m = listed != NULL ? listed : &untold;
        struct upstream *u = mem_zalloc(sizeof(*u));
        u->host = mem_strdup(url);
        set_base(u, url);
        u->skip_verify = m->skip_verify;
        set_files(u, m->ca_file, m->client_cert, m->client_key);
        add_headers(u, m->headers, m->header_count);
        u->username = mem_strdup_or_null(m->username);
        u->password = mem_strdup_or_null(m->password);
        u->credentials_file = mem_strdup_or_null(m->credentials_file);
        u->secrets_unread = c->secrets_unread;
        return u;
}

bool upstream_shows_secrets(const struct upstream *u)
{
        return u->username != NULL || u->password != NULL || u->identity_token != NULL ||
               u->auth != NULL || u->credentials_file != NULL || u->client_cert != NULL ||
               u->header_count > 0;
}

/* libcurl reads the key itself, and says less when it cannot. */
static int check_client_key(const struct upstream *u, struct err *e)
{
        cleanup_secret char *unused = NULL;
        return u->client_key == NULL ? 0
                                     : file_read(u->client_key, KEY_MAX_BYTES, &unused, NULL, e);
}

static int read_headers(struct upstream *u, struct err *e)
{
        for (size_t i = 0; i < u->header_count; i++) {
                struct config_header *h = &u->headers[i];
                if (h->file == NULL)
                        continue;
                if (header_file_read(h->name, h->file, &h->value, e) < 0)
                        return -1;
                free(take(&h->file));
        }
        return 0;
}

static int read_secrets(struct upstream *u, struct err *e)
{
        if (u->credentials_file != NULL &&
                credentials_file_read(u->credentials_file, &u->username, &u->password, e) < 0)
                return -1;
        return check_client_key(u, e) < 0 ? -1 : read_headers(u, e);
}

int upstream_read_secrets(struct upstream *u, struct err *e)
{
        if (!u->secrets_unread)
                return 0;
        if (read_secrets(u, e) == 0) {
                u->secrets_unread = false;
                return 0;
        }
        if (e->sys != EACCES && e->sys != EPERM)
                return -1;
        cleanup_free char *what = mem_strdup(e->msg);
        return err_failed(err_set_at(e, ERR_SYSTEM, 0, __func__,
                "%s: it is needed to ask %s; run this as a user who may read it", what, u->host));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* render hosts: containerd's certs.d, for what pulls past the daemon (ctr, nerdctl, the pause
 * image). Mirrors get "pull" alone: no cache is asked what a tag is. */
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "config/trust.h"
#include "config/url.h"
#include "ctl/render.h"

#define DEFAULT_CERTS_DIR "/etc/containerd/certs.d"

/* What one host's file is made from, and where it goes. */
struct host_file {
        const struct config *config;
        const char *certs_dir;
        struct rendering *rendering;
};

static void add_text(struct buf *b, const char *indent, const char *key, const char *value)
{
        cleanup_free char *quoted = render_quote(value);
        buf_printf(b, "%s%s = %s\n", indent, key, quoted);
}

/* How a server is trusted, in containerd's words. */
static void add_trust(struct buf *b, const char *indent, const struct upstream *u)
{
        if (u->ca_file_count > 0) {
                buf_printf(b, "%sca = [", indent);
                for (size_t i = 0; i < u->ca_file_count; i++) {
                        cleanup_free char *file = render_quote(u->ca_files[i]);
                        buf_printf(b, "%s%s", i > 0 ? ", " : "", file);
                }
                buf_puts(b, "]\n");
        }
        if (u->client_cert != NULL) {
                cleanup_free char *cert = render_quote(u->client_cert);
                cleanup_free char *key = u->client_key != NULL ? render_quote(u->client_key) : NULL;
                buf_printf(b, "%sclient = [[%s%s%s]]\n", indent, cert, key != NULL ? ", " : "",
                        key != NULL ? key : "");
        }
        if (u->skip_verify && strncmp(u->origin, "https:", 6) == 0)
                buf_printf(b, "%sskip_verify = true\n", indent);
}

/* containerd adds /v2 to a server's path, unless it is told that the path is the whole. */
static void add_server(struct buf *b, const struct upstream *u)
{
        size_t size = strlen(u->base_url);
        bool usual = size >= 3 && strcmp(u->base_url + size - 3, "/v2") == 0;
        cleanup_free char *server = mem_strndup(u->base_url, usual ? size - 3 : size);
        add_text(b, "", "server", server);
        if (!usual)
                buf_puts(b, "override_path = true\n");
        add_trust(b, "", u);
}

static void add_mirror(struct buf *b, const struct config *c, const char *url)
{
        cleanup_upstream struct upstream *mirror = upstream_new_mirror(c, url);
        cleanup_free char *quoted = render_quote(url);
        buf_printf(b, "\n[host.%s]\n  capabilities = [\"pull\"]\n", quoted);
        add_trust(b, "  ", mirror);
        if (mirror->credentials_file != NULL || mirror->header_count > 0)
                buf_puts(b, "  # what this mirror wants to be shown (credentials, headers) stays "
                            "in our configuration\n");
}

/* A colon is spelt as underscores, unless the directory is there with one. */
static char *directory_name(const char *certs_dir, const char *host)
{
        struct stat st;
        cleanup_free char *as_it_is = mem_printf("%s/%s", certs_dir, host);
        const char *port = url_host_port(host);
        if (*port == '\0' || stat(as_it_is, &st) == 0)
                return mem_strdup(host);
        return mem_printf("%.*s_%s_", (int)(port - 1 - host), host, port);
}

/* containerd 1.6 takes no file without a table `host`, be it empty. */
static void add_no_mirror(struct buf *b)
{
        buf_puts(b, "\n[host]\n");
}

static void add_file(const struct host_file *f, const char *host, struct buf *text)
{
        cleanup_free char *name = directory_name(f->certs_dir, host);
        rendering_add(f->rendering, mem_printf("%s/hosts.toml", name), text);
}

static void note_headers(const struct host_file *f, const struct upstream *u)
{
        if (u->header_count > 0)
                rendering_note(f->rendering,
                        "%s wants headers (%s%s). They may be secrets, and are not rendered: add a "
                        "table [header] to its hosts.toml by hand where pulls past the daemon need "
                        "them.\n",
                        u->host, u->headers[0].name, u->header_count > 1 ? ", ..." : "");
        if (u->note != NULL)
                rendering_note(f->rendering, "%s\n", u->note);
}

static int render_upstream(
        const struct host_file *f, const struct config_upstream *entry, struct err *e)
{
        cleanup_upstream struct upstream *u = NULL;
        cleanup_buf struct buf text;
        buf_init(&text, RENDER_MAX_BYTES);
        if (upstream_new(f->config, entry->host, &u, e) < 0)
                return -1;
        add_server(&text, u);
        for (size_t i = 0; i < entry->mirror_count; i++)
                add_mirror(&text, f->config, entry->mirrors[i]);
        if (entry->mirror_count == 0)
                add_no_mirror(&text);
        note_headers(f, u);
        add_file(f, entry->host, &text);
        return 0;
}

static void render_default(const struct host_file *f)
{
        const struct config_upstream *u = &f->config->upstream_default;
        cleanup_buf struct buf text;
        buf_init(&text, RENDER_MAX_BYTES);
        for (size_t i = 0; i < u->mirror_count; i++)
                add_mirror(&text, f->config, u->mirrors[i]);
        rendering_add(f->rendering, mem_strdup("_default/hosts.toml"), &text);
}

/* A wildcard would take containerd's requests to the relay away from it. */
static void render_relay(const struct host_file *f)
{
        cleanup_buf struct buf text;
        cleanup_free char *host = mem_printf("127.0.0.1:%" PRId64, f->config->relay_port);
        buf_init(&text, RENDER_MAX_BYTES);
        buf_printf(&text,
                "# the relay of cri-resolved: no _default may take its place\n"
                "server = \"http://%s\"\n",
                host);
        add_no_mirror(&text);
        add_file(f, host, &text);
}

static char *first_directory(const struct config *c)
{
        const char *dirs =
                c->certs_dir != NULL && c->certs_dir[0] != '\0' ? c->certs_dir : DEFAULT_CERTS_DIR;
        return mem_strndup(dirs, strcspn(dirs, ":"));
}

int render_hosts(const struct config *c, const char *directory, struct rendering *r, struct err *e)
{
        r->directory = first_directory(c);
        const struct host_file f = {
                .config = c,
                .certs_dir = directory != NULL ? directory : r->directory,
                .rendering = r,
        };
        bool wildcard = c->upstream_default.mirror_count > 0;
        for (size_t i = 0; i < c->upstream_count; i++) {
                /* One that turns the wildcard off needs a file that says so. */
                if (c->upstreams[i].mirror_count == 0 && !wildcard)
                        continue;
                if (render_upstream(&f, &c->upstreams[i], e) < 0)
                        return -1;
        }
        if (wildcard)
                render_default(&f);
        render_relay(&f);
        rendering_note(r,
                "containerd reads these files at each pull, if config_path in its configuration "
                "names their directory (one alone from 2.1 on: with the default of two, no "
                "hosts.toml is read) and no `mirrors` stand beside it: cri-resolvectl check looks "
                "at that.\n");
        return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/caches.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "config/trust.h"
#include "config/url.h"

enum {
        PORT_FIRST = 5000,
        PORT_STEP = 10,
        HTTP_PORT = 80,
        NIGHT_HOUR = 2,
        DAYS = 7,
        NIGHT_HOURS = 4
};

void caches_fini(struct caches *c)
{
        for (size_t i = 0; i < c->count; i++) {
                free(c->list[i].name);
                free(c->list[i].label);
                free(c->list[i].host);
                free(c->list[i].remote);
        }
        free(c->list);
        free(c->node_address);
        *c = (struct caches){0};
}

/* Each character that is not in a name becomes the one that stands for it. */
static char *spelt(const char *host, const char *allowed, char instead)
{
        char *name = mem_strdup(host);
        for (char *c = name; *c != '\0'; c++)
                if (!isalnum((unsigned char)*c) && strchr(allowed, *c) == NULL)
                        *c = instead;
        return name;
}

/* ---- ports ---- */

/* Whether a cache as we make them can stand at this URL: plain HTTP, no path. */
static bool is_plain(const char *mirror, struct url *u)
{
        return url_parse(mirror, u) && strcmp(u->scheme, "http") == 0 && u->path[0] == '\0';
}

static int port_of(const char *authority)
{
        const char *port = url_host_port(authority);
        return *port != '\0' ? (int)strtol(port, NULL, 10) : HTTP_PORT;
}

static const struct cache *find_port(const struct caches *c, int port)
{
        for (size_t i = 0; i < c->count; i++)
                if (c->list[i].port == port)
                        return &c->list[i];
        return NULL;
}

/* The mirrors' common address, if it is one: not a name, and not two. */
static void note_node(struct caches *c, const char *authority, bool first)
{
        struct in_addr four;
        cleanup_free char *host = mem_strndup(authority, strcspn(authority, ":"));
        bool known = c->node_address != NULL && strcmp(c->node_address, host) == 0;
        if (first && inet_pton(AF_INET, host, &four) == 1)
                c->node_address = mem_strdup(host);
        else if (!known)
                free(take(&c->node_address));
}

/* ---- the plan ---- */

/* Whether the cache at this authority runs on the machine that is rendered for. A name may be its.
 */
static bool is_here(const char *authority, const char *address)
{
        struct in_addr four;
        cleanup_free char *host = mem_strndup(authority, strcspn(authority, ":"));
        return address == NULL || inet_pton(AF_INET, host, &four) != 1 ||
               strcmp(host, address) == 0;
}

/* -1: there is no place for a cache; 0: none is named; else the port. */
static int wanted_port(
        const struct config_upstream *u, struct caches *c, bool *any, struct rendering *r)
{
        const char *why = "its mirrors are https, or have a path, and a cache of distribution is "
                          "neither";
        for (size_t i = 0; i < u->mirror_count; i++) {
                cleanup_url struct url mirror = {0};
                if (!is_plain(u->mirrors[i], &mirror))
                        continue;
                if (is_here(mirror.authority, c->address)) {
                        note_node(c, mirror.authority, !*any);
                        *any = true;
                        return port_of(mirror.authority);
                }
                why = "its cache has another address";
        }
        if (u->mirror_count > 0)
                rendering_note(r, "%s is left out: %s.\n", u->host, why);
        return u->mirror_count > 0 ? -1 : 0;
}

static void note_trust(const struct upstream *u, struct rendering *r)
{
        if (u->ca_file_count > 0 || u->client_cert != NULL || u->skip_verify || u->header_count > 0)
                rendering_note(r,
                        "%s: distribution fetches with the machine's own trust and no headers. A "
                        "CA "
                        "of yours goes into /usr/local/share/ca-certificates there "
                        "(update-ca-certificates); a client certificate, headers and skip_verify "
                        "have no place.\n",
                        u->host);
}

static int add_cache(const struct config *c, const struct config_upstream *entry, int port,
        struct caches *out, struct rendering *r, struct err *e)
{
        cleanup_upstream struct upstream *u = NULL;
        if (upstream_new(c, entry->host, &u, e) < 0)
                return -1;
        const struct cache *other = port > 0 ? find_port(out, port) : NULL;
        if (other != NULL)
                return err_set(e, ERR_CONFIG,
                        "%s and %s have their cache at the same port %d, and distribution serves "
                        "one upstream; give each a port of its own in `mirrors`, or say with "
                        "--address which machine is meant",
                        other->host, entry->host, port);
        note_trust(u, r);
        char *label = spelt(entry->host, "", '-');
        for (char *l = label; *l != '\0'; l++)
                *l = (char)tolower((unsigned char)*l);
        out->list = mem_resize(out->list, (out->count + 1) * sizeof(*out->list));
        out->list[out->count++] = (struct cache){
                .name = spelt(entry->host, ".-", '_'),
                .label = label,
                .host = mem_strdup(entry->host),
                .remote = mem_strdup(u->origin),
                .port = port,
        };
        return 0;
}

static void fill_ports(struct caches *c)
{
        int next = PORT_FIRST;
        for (size_t i = 0; i < c->count; i++) {
                if (c->list[i].port != 0)
                        continue;
                while (find_port(c, next) != NULL)
                        next += PORT_STEP;
                c->list[i].port = next;
        }
}

static void note_unconfigured(
        const struct caches *c, const struct config *config, struct rendering *r)
{
        for (size_t i = 0; i < c->count; i++) {
                bool unused = false;
                const struct config_upstream *u =
                        config_upstream_for(config, c->list[i].host, &unused);
                if (u->mirror_count == 0)
                        rendering_note(r,
                                "%s has no mirror yet. In the configuration of the nodes:\n\n"
                                "  [upstream.\"%s\"]\n  mirrors = [\"http://%s:%d\"]\n",
                                u->host, u->host,
                                c->address != NULL        ? c->address
                                : c->node_address != NULL ? c->node_address
                                                          : "ADDRESS",
                                c->list[i].port);
        }
}

int caches_plan(const struct config *c, const char *address, struct caches *out,
        struct rendering *r, struct err *e)
{
        bool any = false;
        *out = (struct caches){.address = address};
        for (size_t i = 0; i < c->upstream_count; i++) {
                const struct config_upstream *u = &c->upstreams[i];
                int port = wanted_port(u, out, &any, r);
                if (port >= 0 && add_cache(c, u, port, out, r, e) < 0)
                        return -1;
        }
        fill_ports(out);
        note_unconfigured(out, c, r);
        if (out->count == 0)
                return err_set(e, ERR_CONFIG,
                        "no upstream is configured that a cache could be for; give each a table, "
                        "as "
                        "[upstream.\"ghcr.io\"] with mirrors = [\"http://10.0.20.10:5010\"]");
        return 0;
}

/* ---- what all shapes have ---- */

char *caches_listen(const char *address, int port)
{
        if (address == NULL)
                return mem_printf(":%d", port);
        if (strchr(address, ':') != NULL)
                return mem_printf("[%s]:%d", address, port);
        return mem_printf("%s:%d", address, port);
}

void caches_config(const struct cache *c, const char *listen, const char *store, struct buf *out)
{
        cleanup_free char *remote = render_quote(c->remote);
        cleanup_free char *directory = render_quote(store);
        cleanup_free char *address = render_quote(listen);
        buf_printf(out,
                "# Pull-through cache of %s\n"
                "version: 0.1\n"
                "log:\n"
                "  level: warn\n"
                "  accesslog:\n"
                "    disabled: true\n"
                "storage:\n"
                "  filesystem:\n"
                "    rootdirectory: %s\n"
                "  delete:\n"
                "    enabled: true\n"
                "  cache:\n"
                "    blobdescriptor: inmemory\n"
                "http:\n"
                "  addr: %s\n"
                "  headers:\n"
                "    X-Content-Type-Options: [nosniff]\n"
                "proxy:\n"
                "  remoteurl: %s\n"
                "  # REGISTRY_PROXY_USERNAME and REGISTRY_PROXY_PASSWORD come by environment\n",
                c->host, directory, address, remote);
}

struct cache_time caches_time(size_t i)
{
        return (struct cache_time){
                .weekday = (int)(i % DAYS),
                .hour = NIGHT_HOUR + (int)(i / DAYS % NIGHT_HOURS),
                .minute = (int)(i / DAYS / NIGHT_HOURS * 10 % 60),
        };
}

void caches_note_content(const struct caches *c, struct rendering *r)
{
        rendering_note(r,
                "A cache has no way to delete an image through its API. To drop one: stop that "
                "cache, remove its directory below docker/registry/v2/repositories in the store, "
                "and run the collection; it frees what nothing names any more. Never collect with "
                "--delete-untagged: what nodes pull by digest has no tag, and all of it would "
                "go.\n");
        rendering_note(r,
                "With a name and password for an upstream, its cache hands private images to "
                "whoever reaches it. Let only nodes reach it, or leave private upstreams without "
                "a cache: cri-resolved shows a pod's own credentials to the upstream alone. "
                "distribution "
                "shows its own to token servers only: an upstream that asks for a name and "
                "password "
                "itself (Basic) cannot have a cache.\n");
        if (c->count > 1)
                rendering_note(r,
                        "The collections are spread over the week; each stops one cache for its "
                        "time, and nodes fetch from the upstream meanwhile.\n");
}

void caches_note_address(const struct caches *c, struct rendering *r)
{
        const char *address = c->address != NULL        ? c->address
                              : c->node_address != NULL ? c->node_address
                                                        : "192.0.2.10";
        rendering_note(r,
                "The nodes' configuration holds the caches' address: it must not change. A DHCP "
                "lease that moves puts another machine, perhaps another registry, behind it. "
                "Reserve the lease, or set the address on the machine. For cloud-init, with "
                "prefix, "
                "gateway and name server as they are in your network:\n\n"
                "  #cloud-config\n"
                "  write_files:\n"
                "    - path: /etc/netplan/60-static.yaml\n"
                "      permissions: \"0600\"\n"
                "      content: |\n"
                "        network:\n"
                "          version: 2\n"
                "          ethernets:\n"
                "            primary:\n"
                "              match: {name: \"e*\"}\n"
                "              dhcp4: false\n"
                "              addresses: [%s/24]\n"
                "              routes: [{to: default, via: GATEWAY}]\n"
                "              nameservers: {addresses: [NAMESERVER]}\n"
                "  runcmd: [netplan apply]\n\n"
                "or, where cloud-init is given a network configuration, the same from \"version: "
                "2\" "
                "on as that (and no dhcp4 for it anywhere else).\n",
                address);
}

int render_caches(const struct config *c, enum cache_shape shape, const char *address,
        struct rendering *r, struct err *e)
{
        static void (*const shapes[])(const struct caches *c, struct rendering *r) = {
                [CACHE_SYSTEMD] = caches_systemd,
                [CACHE_COMPOSE] = caches_compose,
                [CACHE_KUBERNETES] = caches_kubernetes,
        };
        cleanup_caches struct caches caches = {0};
        r->directory = mem_strdup(shape == CACHE_SYSTEMD ? "/" : ".");
        if (caches_plan(c, address, &caches, r, e) < 0)
                return -1;
        shapes[shape](&caches, r);
        caches_note_content(&caches, r);
        caches_note_address(&caches, r);
        return 0;
}

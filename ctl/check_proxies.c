/* SPDX-License-Identifier: Apache-2.0 */
/* The proxies of the two services, as each was started: containerd's and the daemon's. */
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "config/url.h"
#include "ctl/check.h"
#include "ctl/facts_process.h"
#include "ctl/socket.h"
#include "resolver/http_url.h"
#include "resolver/proxy_rule.h"
#include "resolver/ref.h"

#define DROP_IN "/etc/systemd/system/cri-resolved.service.d/http-proxy.conf"

static void forget(char **value)
{
        mem_free_secret(*value);
        *value = NULL;
}

/* What has no effect. */
static void simplify(struct proxy_rule *r)
{
        if (r->no_proxy != NULL && strcmp(r->no_proxy, "*") == 0) {
                forget(&r->http_proxy);
                forget(&r->https_proxy);
        }
        if (r->http_proxy == NULL && r->https_proxy == NULL)
                forget(&r->no_proxy);
}

static size_t size_without_slash(const char *proxy)
{
        size_t size = strlen(proxy);
        return size > 0 && proxy[size - 1] == '/' ? size - 1 : size;
}

static bool same_proxy(const char *a, const char *b)
{
        if (a == NULL || b == NULL)
                return a == b;
        size_t size = size_without_slash(a);
        return size == size_without_slash(b) && strncmp(a, b, size) == 0;
}

/* Where each of the two goes through for an address; NULL: nowhere. */
static bool same_way(
        const struct proxy_rule *containerd, const struct proxy_rule *daemon, const char *url)
{
        cleanup_http_place struct http_place place = {0};
        return !http_place_of(url, &place) ||
               same_proxy(proxy_rule_for(containerd, place.https, place.host, place.port),
                       proxy_rule_for(daemon, place.https, place.host, place.port));
}

static void add_host(struct strings *hosts, const char *host)
{
        if (host[0] != '\0' && !strings_has(hosts, host))
                strings_add(hosts, host);
}

/* The registries that this node is known to ask. */
static void collect_hosts(const struct check *c, struct strings *hosts)
{
        for (size_t i = 0; i < c->config->upstream_count; i++)
                add_host(hosts, c->config->upstreams[i].host);
        for (size_t i = 0; i < c->hosts.file_count; i++)
                add_host(hosts, c->hosts.files[i].host);
        for (size_t i = 0; i < c->references.count; i++) {
                struct err ignored;
                const char *text = c->references.items[i];
                cleanup_ref struct ref ref = {0};
                if (ref_parse(text, strlen(text), &ref, &ignored) == 0)
                        add_host(hosts, ref.host);
        }
}

/* The first of them that the two reach by other ways: two lists may say the same in other words,
 * and one may have more than the other of what nobody asks. NULL: none; the caller frees. */
static char *apart(
        const struct check *c, const struct proxy_rule *containerd, const struct proxy_rule *daemon)
{
        cleanup_strings struct strings hosts = {0};
        collect_hosts(c, &hosts);
        for (size_t i = 0; i < hosts.count; i++) {
                cleanup_upstream struct upstream *u = NULL;
                struct err ignored;
                if (upstream_new(c->config, hosts.items[i], &u, &ignored) == 0 &&
                        !same_way(containerd, daemon, u->base_url))
                        return mem_strdup(u->base_url);
        }
        return NULL;
}

static bool same_proxies(const struct proxy_rule *a, const struct proxy_rule *b)
{
        return same_proxy(a->http_proxy, b->http_proxy) &&
               same_proxy(a->https_proxy, b->https_proxy);
}

/* The mirrors that the daemon would ask through containerd's proxies, if it had them. The caller
 * frees; NULL: none. */
static char *mirrors_in_the_way(const struct check *c, const struct proxy_rule *containerd)
{
        static const struct proxy_rule none;
        cleanup_buf struct buf names;
        buf_init(&names, SIZE_MAX);
        for (size_t i = 0; i < c->config->mirror_count; i++)
                if (!same_way(containerd, &none, c->config->mirrors[i].url))
                        buf_printf(&names, "%s%s", names.size > 0 ? ", " : "",
                                c->config->mirrors[i].url);
        return names.size > 0 ? mem_strdup(buf_str(&names)) : NULL;
}

static bool is_address(const char *proxy)
{
        cleanup_url struct url u = {0};
        return url_parse(proxy, &u) && u.path[0] == '\0' && strpbrk(proxy, "\"\\%") == NULL;
}

/* Without its user; and nothing at all of what is no address then, as somebody may have got it
 * wrong with a password in it. */
static char *shown(const char *proxy)
{
        const char *at = proxy != NULL ? strrchr(proxy, '@') : NULL;
        if (proxy == NULL)
                return mem_strdup("none");
        cleanup_free char *bare =
                mem_printf("%s%s", at != NULL ? "http://" : "", at != NULL ? at + 1 : proxy);
        if (!is_address(bare))
                return mem_strdup("(not shown)");
        return at != NULL ? mem_printf("***@%s", at + 1) : take(&bare);
}

static char *describe(const struct proxy_rule *r)
{
        cleanup_free char *http = shown(r->http_proxy);
        cleanup_free char *https = shown(r->https_proxy);
        return mem_printf("HTTP_PROXY %s, HTTPS_PROXY %s, NO_PROXY %s", http, https,
                r->no_proxy != NULL ? r->no_proxy : "none");
}

/* What may stand in a drop-in as it is, and be shown. */
static bool is_plain(const struct proxy_rule *r)
{
        return (r->http_proxy == NULL || is_address(r->http_proxy)) &&
               (r->https_proxy == NULL || is_address(r->https_proxy)) &&
               (r->no_proxy == NULL || strpbrk(r->no_proxy, "\"\\%\n") == NULL);
}

static void add_line(struct buf *b, const char *name, const char *value)
{
        if (value != NULL)
                buf_printf(b, "Environment=\"%s=%s\"\n", name, value);
}

static void add_steps(json_t *finding, const struct proxy_rule *containerd)
{
        cleanup_buf struct buf b;
        buf_init(&b, SIZE_MAX);
        buf_puts(&b, "[Service]\n");
        add_line(&b, "HTTP_PROXY", containerd->http_proxy);
        add_line(&b, "HTTPS_PROXY", containerd->https_proxy);
        add_line(&b, "NO_PROXY", containerd->no_proxy);
        finding_write(finding, DROP_IN, buf_str(&b));
        finding_run(finding, "systemctl", "daemon-reload", NULL);
        finding_run(finding, "systemctl", "restart", "cri-resolved", NULL);
}

static json_t *report(const struct check *c, long pid, const struct proxy_rule *containerd,
        const struct proxy_rule *daemon)
{
        json_t *finding = finding_add(c->findings, FINDING_PROXY_DIFFERS_FROM_CONTAINERD);
        cleanup_free char *theirs = mem_printf("process %ld", pid);
        cleanup_free char *ours = mem_printf("process %ld", c->daemon_pid);
        cleanup_free char *they_say = describe(containerd);
        cleanup_free char *we_say = describe(daemon);
        finding_evidence(finding, theirs, "containerd: %s", they_say);
        finding_evidence(finding, ours, "cri-resolved: %s", we_say);
        if (strcmp(they_say, we_say) == 0)
                finding_advise(finding, "They differ in what is not shown.");
        if (containerd->http_proxy == NULL && containerd->https_proxy == NULL)
                finding_advise(finding, "containerd has no proxy: where it needs one, it is "
                                        "containerd.service that gets the lines.");
        return finding;
}

static bool read_rule(long pid, struct proxy_rule *r)
{
        size_t size = 0;
        char *text = process_environment("/proc", pid, &size);
        if (text == NULL)
                return false;
        proxy_rule_init_from(r, text, size);
        mem_wipe(text, size);
        free(text);
        return true;
}

/* Who may not read the environment of another's process is told nothing. */
void check_proxies(struct check *c)
{
        cleanup_proxy_rule struct proxy_rule containerd = {0};
        cleanup_proxy_rule struct proxy_rule daemon = {0};
        long pid = process_listening(socket_path(c->containerd_address));
        if (pid == 0 || c->daemon_pid == 0 || !read_rule(pid, &containerd) ||
                !read_rule(c->daemon_pid, &daemon))
                return;
        bool untouched = /* so that nothing of somebody's is in the way */
                daemon.http_proxy == NULL && daemon.https_proxy == NULL && daemon.no_proxy == NULL;
        simplify(&containerd);
        simplify(&daemon);
        cleanup_free char *where = apart(c, &containerd, &daemon);
        if (where == NULL && same_proxies(&containerd, &daemon))
                return;
        json_t *finding = report(c, pid, &containerd, &daemon);
        if (where != NULL)
                finding_evidence(finding, where, "the two ask it by different ways");
        cleanup_free char *mirrors = mirrors_in_the_way(c, &containerd);
        if (mirrors != NULL)
                finding_advise(finding,
                        "Name these mirrors in the daemon's NO_PROXY besides, where they are "
                        "reached "
                        "without a proxy: %s.",
                        mirrors);
        else if (untouched && is_plain(&containerd) && access(DROP_IN, F_OK) != 0)
                add_steps(finding, &containerd);
}

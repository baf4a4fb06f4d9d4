/* SPDX-License-Identifier: Apache-2.0 */
/* The proxies of the two services, as each was started: containerd's and the daemon's. */
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/buf.h"
#include "config/url.h"
#include "ctl/check.h"
#include "ctl/facts_process.h"
#include "ctl/socket.h"
#include "resolver/proxy_rule.h"

#define DROP_IN "/etc/systemd/system/cri-resolved.service.d/http-proxy.conf"

/* The next entry of a NO_PROXY; NULL after the last. */
static const char *next_entry(char **rest)
{
        char *entry = strsep(rest, ",");
        if (entry == NULL)
                return NULL;
        entry += strspn(entry, " \t");
        for (size_t n = strlen(entry); n > 0 && strchr(" \t", entry[n - 1]) != NULL; n--)
                entry[n - 1] = '\0';
        return entry;
}

static bool has_entry(const char *list, const char *wanted)
{
        cleanup_free char *copy = mem_strdup(list != NULL ? list : "");
        char *rest = copy;
        for (const char *entry = NULL; (entry = next_entry(&rest)) != NULL;)
                if (strcasecmp(entry, wanted) == 0)
                        return true;
        return false;
}

/* Whether all that the other list takes from the proxies is in this one, too. */
static bool covers(const char *list, const char *other)
{
        cleanup_free char *copy = mem_strdup(other != NULL ? other : "");
        char *rest = copy;
        for (const char *entry = NULL; (entry = next_entry(&rest)) != NULL;)
                if (entry[0] != '\0' && !has_entry(list, entry))
                        return false;
        return true;
}

static void forget(char **value)
{
        mem_free_secret(*value);
        *value = NULL;
}

/* What has no effect. */
static void simplify(struct proxy_rule *r)
{
        if (has_entry(r->no_proxy, "*")) {
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

/* The mirrors, which the daemon alone asks, may be in its NO_PROXY besides. */
static bool agree(const struct proxy_rule *containerd, const struct proxy_rule *daemon)
{
        return same_proxy(containerd->http_proxy, daemon->http_proxy) &&
               same_proxy(containerd->https_proxy, daemon->https_proxy) &&
               covers(daemon->no_proxy, containerd->no_proxy);
}

static bool is_address(const char *proxy)
{
        cleanup_url struct url u = {0};
        return url_parse(proxy, &u);
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
        bool untouched =
                daemon.http_proxy == NULL && daemon.https_proxy == NULL && daemon.no_proxy == NULL;
        simplify(&containerd);
        simplify(&daemon);
        if (agree(&containerd, &daemon))
                return;
        json_t *finding = report(c, pid, &containerd, &daemon);
        if (untouched && is_plain(&containerd) && access(DROP_IN, F_OK) != 0)
                add_steps(finding, &containerd);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Which mirror is used for which upstream: by our configuration, and by containerd's certs.d. */
#include <string.h>

#include "config/toml.h"
#include "config/url.h"
#include "ctl/check.h"

static struct mirror_use *add_use(
        struct check *c, const char *url, const char *host, const char *place)
{
        c->uses = mem_resize(c->uses, (c->use_count + 1) * sizeof(*c->uses));
        struct mirror_use *u = &c->uses[c->use_count++];
        *u = (struct mirror_use){.url = mem_strdup(url),
                .host = mem_strdup(host),
                .place = mem_strdup(place),
                .reach = upstream_new_mirror(c->config, url)};
        return u;
}

const char *check_own_upstream(const struct check *c, const char *host)
{
        const char *name = NULL;
        json_t *table = NULL;
        json_object_foreach (json_object_get(c->own_values, "upstream"), name, table) {
                cleanup_free char *same = url_host_normalise(name);
                if (strcmp(same, host) == 0)
                        return name;
        }
        return "default";
}

static void add_configured(struct check *c, const struct config_upstream *upstream)
{
        const json_t *lines = toml_below(
                toml_below(c->own_lines, "upstream"), check_own_upstream(c, upstream->host));
        cleanup_free char *place =
                mem_printf("%s:%d", log_or(c->cli->config_path), toml_line(lines, "mirrors"));
        for (size_t i = 0; i < upstream->mirror_count; i++)
                add_use(c, upstream->mirrors[i], upstream->host, place);
}

static bool says_mirrors(const struct check *c, const struct config_upstream *u)
{
        const json_t *upstreams = json_object_get(c->own_values, "upstream");
        const char *table = check_own_upstream(c, u->host);
        return json_object_get(json_object_get(upstreams, table), "mirrors") != NULL;
}

/* As that file says it is reached. */
static void take_trust(struct upstream *u, const struct hosts_mirror *m)
{
        if (m->override_path) {
                free(u->base_url);
                u->base_url = mem_strdup(m->url);
        }
        u->skip_verify = m->skip_verify;
        if (m->ca_file != NULL) {
                u->ca_files = mem_resize(u->ca_files, (u->ca_file_count + 1) * sizeof(char *));
                u->ca_files[u->ca_file_count++] = mem_strdup(m->ca_file);
        }
}

static void add_from_file(struct check *c, const struct hosts_file *f)
{
        bool wildcard = strcmp(f->host, "_default") == 0;
        for (size_t i = 0; i < f->mirror_count; i++) {
                const struct hosts_mirror *m = &f->mirrors[i];
                cleanup_free char *url = NULL;
                struct err ignored;
                if (check_is_upstream_itself(m->url, f->host) ||
                        url_base(m->url, &url, &ignored) < 0)
                        continue;
                cleanup_free char *place = mem_printf("%s:%d", f->path, m->line);
                struct mirror_use *u =
                        add_use(c, m->override_path ? m->url : url, wildcard ? "" : f->host, place);
                u->in_certs = true;
                u->may_resolve = m->may_resolve;
                take_trust(u->reach, m);
        }
}

void check_collect_uses(struct check *c)
{
        add_configured(c, &c->config->upstream_default);
        for (size_t i = 0; i < c->config->upstream_count; i++)
                if (says_mirrors(c, &c->config->upstreams[i]))
                        add_configured(c, &c->config->upstreams[i]);
        for (size_t i = 0; i < c->hosts.file_count; i++)
                if (!c->hosts.files[i].discarded)
                        add_from_file(c, &c->hosts.files[i]);
}

void check_free_uses(struct check *c)
{
        for (size_t i = 0; i < c->use_count; i++) {
                free(c->uses[i].url);
                free(c->uses[i].host);
                free(c->uses[i].place);
                upstream_free(c->uses[i].reach);
                strings_clear(&c->uses[i].served_hosts);
        }
        free(c->uses);
}

/* Whether it has been seen to serve each of them. */
static bool serves_all_of(const struct check *c, const char *url)
{
        for (size_t i = 0; i < c->use_count; i++)
                if (strcmp(c->uses[i].url, url) == 0 &&
                        (c->uses[i].served == 0 || c->uses[i].missing > 0))
                        return false;
        return true;
}

static size_t hosts_of(const struct check *c, const char *url)
{
        cleanup_strings struct strings hosts = {0};
        for (size_t i = 0; i < c->use_count; i++)
                if (strcmp(c->uses[i].url, url) == 0 && c->uses[i].host[0] != '\0' &&
                        !strings_has(&hosts, c->uses[i].host))
                        strings_add(&hosts, c->uses[i].host);
        return hosts.count;
}

static bool is_first(const struct check *c, size_t index)
{
        for (size_t i = 0; i < index; i++)
                if (strcmp(c->uses[i].url, c->uses[index].url) == 0)
                        return false;
        return true;
}

void check_mirrors(struct check *c)
{
        for (size_t i = 0; i < c->use_count; i++) {
                const char *url = c->uses[i].url;
                if (!is_first(c, i) || hosts_of(c, url) < 2 || serves_all_of(c, url))
                        continue;
                json_t *finding = finding_add(c->findings, FINDING_ONE_CACHE_FOR_MANY_UPSTREAMS);
                for (size_t k = i; k < c->use_count; k++)
                        if (strcmp(c->uses[k].url, url) == 0 && c->uses[k].host[0] != '\0')
                                finding_evidence(finding, c->uses[k].place, "%s for %s", url,
                                        c->uses[k].host);
        }
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "config/mirrors.h"

#include <string.h>

#include "config/keys.h"
#include "config/lists.h"
#include "config/nearest.h"
#include "config/toml.h"
#include "config/url.h"

static const char mirror_table[] = "mirror.*";

static struct config_mirror *find(const struct config *c, const char *url)
{
        for (size_t i = 0; i < c->mirror_count; i++)
                if (strcmp(c->mirrors[i].url, url) == 0)
                        return &c->mirrors[i];
        return NULL;
}

const struct config_mirror *config_mirror_for(const struct config *c, const char *url)
{
        return find(c, url);
}

void mirrors_clear(struct config *c)
{
        for (size_t i = 0; i < c->mirror_count; i++) {
                key_clear_all(KEY_OF_MIRROR, &c->mirrors[i]);
                free(c->mirrors[i].url);
        }
        free(c->mirrors);
        c->mirrors = NULL;
        c->mirror_count = 0;
}

static void collect(struct config *c, const struct config_upstream *u)
{
        for (size_t i = 0; i < u->mirror_count; i++) {
                if (find(c, u->mirrors[i]) != NULL)
                        continue;
                c->mirrors = mem_resize(c->mirrors, (c->mirror_count + 1) * sizeof(*c->mirrors));
                c->mirrors[c->mirror_count++] =
                        (struct config_mirror){.url = mem_strdup(u->mirrors[i])};
        }
}

static int reject_unlisted(struct load *l, int line, const char *url)
{
        struct nearest near = {0};
        for (size_t i = 0; i < l->config->mirror_count; i++)
                nearest_try(&near, url, l->config->mirrors[i].url);
        if (nearest_is_slip(&near))
                err_set(l->err, ERR_CONFIG,
                        "no upstream has this URL among its mirrors; did you mean \"%s\"?",
                        near.name);
        else
                err_set(l->err, ERR_CONFIG,
                        "no upstream has this URL among its mirrors; name it there, or remove this "
                        "table");
        return load_at_key(l, line, "mirror", url);
}

static bool is_default(const struct config *c, const char *url)
{
        const struct config_upstream *u = &c->upstream_default;
        for (size_t i = 0; i < u->mirror_count; i++)
                if (strcmp(u->mirrors[i], url) == 0)
                        return true;
        return false;
}

/* A pod may name any registry, one of its own too, which says yes to every digest: for its images a
 * default mirror would open whatever our credentials open. */
static int check_default(struct load *l, int line, const char *table, const struct config_mirror *m)
{
        const char *secret = m->credentials_file != NULL ? "credentials"
                             : m->client_cert != NULL    ? "client_cert"
                             : m->header_count > 0       ? "headers"
                                                         : NULL;
        if (secret == NULL || !is_default(l->config, m->url))
                return 0;
        return load_reject(l, line, table, secret,
                "not for a mirror of [upstream.\"default\"]: pods could read with it what their "
                "own "
                "credentials do not open; list this mirror at the upstreams that it belongs to");
}

/* One table of `name`; `seen` are the URLs of those before it. */
static int load_mirror(struct load *l, struct strings *seen, const char *name, const json_t *values,
        const json_t *lines)
{
        int line = toml_line(lines, name);
        cleanup_free char *url = NULL;
        if (url_base(name, &url, l->err) < 0) /* the name is not shown: it may hold a password */
                return load_at_key(l, line, "", "mirror");
        if (!json_is_object(values))
                return load_reject(l, line, "mirror", url, "not a table; write [mirror.\"<url>\"]");
        if (strings_has(seen, url))
                return load_reject(l, line, "mirror", url,
                        "a second table for the same mirror; /v2 or a slash at the end make no "
                        "difference");
        strings_add(seen, url);
        struct config_mirror *m = find(l->config, url);
        if (m == NULL)
                return reject_unlisted(l, line, url);
        cleanup_free char *table = mem_printf("mirror.\"%s\"", url);
        if (load_table(l, mirror_table, table, m, values, toml_below(lines, name)) < 0)
                return -1;
        if (load_check_client(l, line, table, m->client_cert, m->client_key) < 0)
                return -1;
        return check_default(l, line, table, m);
}

int mirrors_load(struct load *l, const json_t *values, const json_t *lines)
{
        collect(l->config, &l->config->upstream_default);
        for (size_t i = 0; i < l->config->upstream_count; i++)
                collect(l->config, &l->config->upstreams[i]);
        cleanup_strings struct strings seen = {0};
        const char *name = NULL;
        json_t *value = NULL;
        json_object_foreach ((json_t *)values, name, value)
                if (load_mirror(l, &seen, name, value, lines) < 0)
                        return -1;
        return 0;
}

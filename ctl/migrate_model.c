/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/migrate_model.h"
#include "ctl/facts_hosts.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ctl/facts_hosts.h"
#include "resolver/base64.h"

static void auth_clear(struct migrate_auth *a)
{
        const char *key = NULL;
        json_t *value = NULL;
        json_object_foreach (a->value, key, value)
                mem_wipe((char *)json_string_value(value), json_string_length(value));
        json_decref(a->value);
        free(a->authority);
        mem_free_secret(a->user);
        mem_free_secret(a->password);
}

void migrate_model_fini(struct migrate_model *m)
{
        for (size_t i = 0; i < m->host_count; i++) {
                free(m->hosts[i].host);
                free(m->hosts[i].source);
                free(m->hosts[i].dir);
                hosts_fini(&m->hosts[i].as);
        }
        for (size_t i = 0; i < m->auth_count; i++)
                auth_clear(&m->auths[i]);
        free(m->hosts);
        free(m->auths);
        strings_clear(&m->notes);
        *m = (struct migrate_model){0};
}

void migrate_note(struct migrate_model *m, const char *fmt, ...)
{
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);
        if (f == NULL)
                return;
        va_list args;
        va_start(args, fmt);
        vfprintf(f, fmt, args);
        va_end(args);
        fclose(f);
        if (!strings_has(&m->notes, text))
                strings_add(&m->notes, text);
        free(text);
}

struct migrate_host *migrate_model_host(const struct migrate_model *m, const char *host)
{
        for (size_t i = 0; i < m->host_count; i++)
                if (strcmp(m->hosts[i].host, host) == 0)
                        return &m->hosts[i];
        return NULL;
}

bool migrate_is_plain(const struct migrate_host *h)
{
        return h->as.mirror_count == 0 && !h->as.has_server && h->as.ca_files.count == 0 &&
               h->as.client_cert == NULL && !h->as.skip_verify && h->as.headers.count == 0;
}

const struct hosts *migrate_model_mirrors(
        const struct migrate_model *m, const struct migrate_host *h)
{
        const struct migrate_host *wildcard = migrate_model_host(m, "");
        bool theirs = h->inherits && wildcard != NULL && !migrate_is_plain(h);
        return theirs ? &wildcard->as : &h->as;
}

const struct migrate_auth *migrate_model_auth(const struct migrate_model *m, const char *authority)
{
        for (size_t i = 0; i < m->auth_count; i++)
                if (strcmp(m->auths[i].authority, authority) == 0)
                        return &m->auths[i];
        return NULL;
}

/* ---- registry.mirrors, configs, auths ---- */

struct migrate_host *migrate_add_host(struct migrate_model *m, const char *host, const char *source)
{
        m->hosts = mem_resize(m->hosts, (m->host_count + 1) * sizeof(*m->hosts));
        struct migrate_host *h = &m->hosts[m->host_count++];
        *h = (struct migrate_host){.host = mem_strdup(host), .source = mem_strdup(source)};
        return h;
}

static const char *text_at(const json_t *table, const char *key)
{
        const char *s = json_string_value(json_object_get(table, key));
        return s != NULL && s[0] != '\0' ? s : NULL;
}

/* containerd (registryEndpoints): a scheme is filled in, and a path is the API's root as it is. */
static bool parse_endpoint(const char *endpoint, struct url *out)
{
        bool plain = strstr(endpoint, "://") == NULL;
        cleanup_free char *whole = mem_printf("%s%s",
                !plain                           ? ""
                : url_host_is_loopback(endpoint) ? "http://"
                                                 : "https://",
                endpoint);
        if (!url_parse(whole, out))
                return false;
        if (out->path[0] == '\0') {
                free(out->path);
                out->path = mem_strdup("/v2");
        }
        return true;
}

static void set_tls(struct hosts *h, const json_t *configs)
{
        const json_t *tls = json_object_get(json_object_get(configs, h->server.authority), "tls");
        const char *ca = text_at(tls, "ca_file");
        const char *cert = text_at(tls, "cert_file");
        const char *key = text_at(tls, "key_file");
        if (ca != NULL)
                strings_add(&h->ca_files, ca);
        if (cert != NULL && key != NULL) {
                h->client_cert = mem_strdup(cert);
                h->client_key = mem_strdup(key);
        }
        h->skip_verify = json_is_true(json_object_get(tls, "insecure_skip_verify"));
        h->has_skip_verify = h->skip_verify;
}

void migrate_set_default_server(struct hosts *h, const char *host)
{
        url_fini(&h->server);
        h->has_server = false;
        h->server.scheme = mem_strdup(url_host_is_loopback(host) ? "http" : "https");
        h->server.authority = mem_strdup(hosts_server_of(host));
        h->server.path = mem_strdup("/v2");
}

static void add_endpoint(struct migrate_model *m, struct migrate_host *h, const char *endpoint,
        const json_t *configs)
{
        cleanup_url struct url url = {0};
        if (endpoint == NULL || !parse_endpoint(endpoint, &url)) {
                migrate_note(m, "registry.mirrors of %s: an endpoint is no URL, and left out",
                        h->host[0] != '\0' ? h->host : "\"*\"");
                return;
        }
        struct hosts *to = &h->as;
        if (migrate_is_own(h->host, &url)) {
                if (to->has_server || migrate_is_docker_hub(url.authority))
                        return; /* its server by another name */
                to->has_server = true;
        } else {
                to->mirrors =
                        mem_resize(to->mirrors, (to->mirror_count + 1) * sizeof(*to->mirrors));
                to = &to->mirrors[to->mirror_count++];
                *to = (struct hosts){.has_server = true,
                        .capabilities = HOSTS_PULL,
                        .name = mem_strdup(endpoint)};
        }
        to->server = url;
        url = (struct url){0};
        set_tls(to, configs);
}

static void add_mirrors(
        struct migrate_model *m, const char *name, const json_t *entry, const json_t *configs)
{
        bool wildcard = strcmp(name, "*") == 0;
        cleanup_free char *host = url_host_normalise(wildcard ? "" : migrate_host_of(name));
        if (!wildcard && !url_host_valid(host)) {
                migrate_note(
                        m, "registry.mirrors.\"%s\": no reference has such a host; left out", name);
                return;
        }
        if (migrate_model_host(m, host) != NULL) {
                migrate_note(m, "registry.mirrors.\"%s\" is left out: %s says it already", name,
                        migrate_model_host(m, host)->source);
                return;
        }
        struct migrate_host *h = migrate_add_host(m, host, "registry.mirrors");
        const json_t *endpoints = json_object_get(entry, "endpoint");
        for (size_t i = 0; i < json_array_size(endpoints); i++)
                add_endpoint(m, h, json_string_value(json_array_get(endpoints, i)), configs);
        if (!wildcard && !h->as.has_server) {
                migrate_set_default_server(&h->as, host);
                set_tls(&h->as, configs);
        }
}

/* A server that nothing but its trust is said of. */
static void add_configs(struct migrate_model *m, const char *name, const json_t *configs)
{
        cleanup_free char *host = url_host_normalise(migrate_host_of(name));
        if (json_object_size(json_object_get(json_object_get(configs, name), "tls")) == 0 ||
                migrate_model_host(m, host) != NULL)
                return;
        if (!url_host_valid(host)) {
                migrate_note(m,
                        "registry.configs.\"%s\": no reference has such a host; its trust is "
                        "left out",
                        name);
                return;
        }
        struct migrate_host *h = migrate_add_host(m, host, "registry.configs");
        h->inherits = true;
        migrate_set_default_server(&h->as, host);
        set_tls(&h->as, configs);
}

/* user:password in base64. */
static void decode_auth(struct migrate_auth *a, const char *encoded)
{
        cleanup_secret char *plain = NULL;
        size_t size = 0;
        if (!base64_decode(encoded, &plain, &size) || strlen(plain) != size)
                return;
        char *colon = strchr(plain, ':');
        if (colon == NULL)
                return;
        a->password = mem_strdup(colon + 1);
        a->user = mem_strndup(plain, (size_t)(colon - plain));
}

static void add_auth(struct migrate_model *m, const char *authority, const json_t *value)
{
        if (migrate_model_auth(m, authority) != NULL ||
                (text_at(value, "username") == NULL && text_at(value, "auth") == NULL &&
                        text_at(value, "identitytoken") == NULL))
                return;
        m->auths = mem_resize(m->auths, (m->auth_count + 1) * sizeof(*m->auths));
        struct migrate_auth *a = &m->auths[m->auth_count++];
        *a = (struct migrate_auth){
                .authority = mem_strdup(authority), .value = json_deep_copy(value)};
        const char *password = text_at(value, "password");
        if (text_at(value, "username") != NULL) {
                a->user = mem_strdup(text_at(value, "username"));
                a->password = mem_strdup(password != NULL ? password : "");
        } else if (text_at(value, "identitytoken") == NULL) {
                decode_auth(a, text_at(value, "auth"));
        }
}

static void add_auths(struct migrate_model *m, const json_t *auths, const json_t *configs)
{
        const char *name = NULL;
        json_t *entry = NULL;
        json_object_foreach ((json_t *)auths, name, entry) {
                const char *mark = strstr(name, "://");
                const char *host = mark != NULL ? mark + strlen("://") : name;
                cleanup_free char *authority = mem_strndup(host, strcspn(host, "/?#"));
                add_auth(m, authority, entry);
        }
        json_object_foreach ((json_t *)configs, name, entry)
                add_auth(m, name, json_object_get(entry, "auth"));
}

/* Whoever has credentials for a server may pull from it. */
static void add_auth_host(struct migrate_model *m, const char *authority)
{
        cleanup_free char *host = url_host_normalise(migrate_host_of(authority));
        if (!url_host_valid(host) || migrate_model_host(m, host) != NULL)
                return;
        struct migrate_host *h = migrate_add_host(m, host, "registry.configs");
        h->inherits = true;
        migrate_set_default_server(&h->as, host);
}

void migrate_model_registry(struct migrate_model *m, const json_t *registry)
{
        const json_t *configs = json_object_get(registry, "configs");
        const char *name = NULL;
        json_t *entry = NULL;
        json_object_foreach (json_object_get(registry, "mirrors"), name, entry)
                add_mirrors(m, name, entry, configs);
        json_object_foreach ((json_t *)configs, name, entry)
                add_configs(m, name, configs);
        add_auths(m, json_object_get(registry, "auths"), configs);
        for (size_t i = 0; i < m->auth_count; i++)
                add_auth_host(m, m->auths[i].authority);
}

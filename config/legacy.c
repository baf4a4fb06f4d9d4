/* SPDX-License-Identifier: Apache-2.0 */
#include "config/legacy.h"

#include <pthread.h>
#include <string.h>

#include "base/mem.h"

/* The running containerd's, hence of the process; replaced when containerd has been restarted. */
static pthread_mutex_t report_lock = PTHREAD_MUTEX_INITIALIZER;
static json_t *report;

void legacy_set(const json_t *registry)
{
        json_t *copy = json_is_object(registry) ? json_deep_copy(registry) : NULL;
        pthread_mutex_lock(&report_lock);
        json_t *old = report;
        report = copy;
        pthread_mutex_unlock(&report_lock);
        json_decref(old);
}

static char *copy_of(const json_t *table, const char *key)
{
        const char *s = json_string_value(json_object_get(table, key));
        return s == NULL || s[0] == '\0' ? NULL : mem_strdup(s);
}

/* The report of a containerd without `registry.configPath` (2.x) says nothing about certs.d. */
bool legacy_config_path(char **config_path)
{
        pthread_mutex_lock(&report_lock);
        const char *path = json_string_value(json_object_get(report, "configPath"));
        *config_path = mem_strdup_or_null(path);
        pthread_mutex_unlock(&report_lock);
        return *config_path != NULL;
}

/* The keys of `auths` are URLs, or hosts; containerd lets them win over `configs`. */
static const json_t *auth_of(const json_t *auths, const char *authority)
{
        const char *endpoint = NULL;
        json_t *auth = NULL;
        json_object_foreach ((json_t *)auths, endpoint, auth) {
                const char *mark = strstr(endpoint, "://");
                const char *host = mark != NULL ? mark + strlen("://") : endpoint;
                size_t size = mark != NULL ? strcspn(host, "/?#") : strlen(host);
                if (strlen(authority) == size && strncmp(host, authority, size) == 0)
                        return auth;
        }
        return NULL;
}

static void take_headers(struct headers *list, const json_t *table)
{
        const char *name = NULL;
        json_t *values = NULL;
        json_object_foreach ((json_t *)table, name, values) {
                for (size_t i = 0; i < json_array_size(values); i++) {
                        const char *text = json_string_value(json_array_get(values, i));
                        if (text != NULL && header_name_valid(name) && header_value_valid(text))
                                headers_add(list, name, text);
                }
        }
}

void legacy_get(const char *authority, struct legacy *out)
{
        pthread_mutex_lock(&report_lock);
        const json_t *entry = json_object_get(json_object_get(report, "configs"), authority);
        const json_t *tls = json_object_get(entry, "tls");
        const json_t *auth = auth_of(json_object_get(report, "auths"), authority);
        if (auth == NULL)
                auth = json_object_get(entry, "auth");
        *out = (struct legacy){.ca_file = copy_of(tls, "caFile"),
                .client_cert = copy_of(tls, "certFile"),
                .client_key = copy_of(tls, "keyFile"),
                .skip_verify = json_is_true(json_object_get(tls, "insecure_skip_verify")),
                .username = copy_of(auth, "username"),
                .password = copy_of(auth, "password"),
                .auth = copy_of(auth, "auth"),
                .identity_token = copy_of(auth, "identitytoken")};
        take_headers(&out->headers, json_object_get(report, "headers"));
        pthread_mutex_unlock(&report_lock);
}

void legacy_fini(struct legacy *l)
{
        free(l->ca_file);
        free(l->client_cert);
        free(l->client_key);
        mem_free_secret(l->username);
        mem_free_secret(l->password);
        mem_free_secret(l->auth);
        mem_free_secret(l->identity_token);
        headers_clear(&l->headers);
        *l = (struct legacy){0};
}

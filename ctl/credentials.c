/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/credentials.h"

#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "config/files.h"
#include "ctl/credential_helper.h"
#include "ctl/docker_config.h"

enum { FILE_MAX_BYTES = 4 * 1024 * 1024, LINE_MAX_BYTES = 64 * 1024, HELPER_TIMEOUT_MS = 30000 };

struct credential_source {
        struct cancel *cancel;
        json_t *docker;            /* NULL: none */
        char *username, *password; /* from standard input; NULL: none */
        /* What the last helper said, for its host: they may take a second, or ask the user. */
        char *asked_host; /* NULL: none was asked yet */
        struct credentials_held asked;
        struct err asked_err; /* code ERR_NONE: it answered */
};

static char *docker_config_path(void)
{
        const char *directory = getenv("DOCKER_CONFIG");
        const char *home = getenv("HOME");
        if (directory != NULL && *directory != '\0')
                return mem_printf("%s/config.json", directory);
        return mem_printf("%s/.docker/config.json", home != NULL ? home : "");
}

static int open_file(struct credential_source *s, const char *path, struct err *e)
{
        cleanup_secret char *text = NULL;
        size_t size = 0;
        if (file_read(path, FILE_MAX_BYTES, &text, &size, e) < 0)
                return err_wrap(e, "--credentials");
        return docker_config_parse(text, size, path, &s->docker, e);
}

static int open_input(struct credential_source *s, struct err *e)
{
        if (isatty(STDIN_FILENO) == 1)
                return err_set(e, ERR_INVALID,
                        "--credentials - reads a line user:password from standard input, which is "
                        "a terminal that would show it; remedy: pipe it in");
        cleanup_buf_secret struct buf b;
        buf_init(&b, LINE_MAX_BYTES);
        if (credential_read(STDIN_FILENO, "standard input", true, 0, s->cancel, &b, e) < 0)
                return -1;
        size_t size = strcspn(buf_str(&b), "\r\n");
        const char *colon = size > 0 ? memchr(b.data, ':', size) : NULL;
        if (colon == NULL || colon == b.data)
                return err_set(e, ERR_INVALID,
                        "--credentials -: standard input has no line of the form user:password");
        s->username = mem_strndup(b.data, (size_t)(colon - b.data));
        s->password = mem_strndup(colon + 1, size - (size_t)(colon + 1 - b.data));
        return 0;
}

int credential_source_open(
        const char *named, struct cancel *cancel, struct credential_source **out, struct err *e)
{
        cleanup_credential_source struct credential_source *s = mem_zalloc(sizeof(*s));
        cleanup_free char *docker = docker_config_path();
        int status = 0;
        *out = NULL;
        s->cancel = cancel;
        if (named != NULL && strcmp(named, "-") == 0)
                status = open_input(s, e);
        else if (named != NULL)
                status = open_file(s, strcmp(named, "docker") == 0 ? docker : named, e);
        if (status == 0)
                *out = take(&s);
        return status;
}

void credential_source_free(struct credential_source *s)
{
        if (s == NULL)
                return;
        json_decref(s->docker);
        mem_free_secret(s->username);
        mem_free_secret(s->password);
        credentials_held_fini(&s->asked);
        free(s->asked_host);
        free(s);
}

bool credential_source_is_single(const struct credential_source *s)
{
        return s->username != NULL;
}

static char *member(const json_t *entry, const char *name)
{
        const char *s = json_string_value(json_object_get(entry, name));
        return s != NULL && *s != '\0' ? mem_strdup(s) : NULL;
}

/* An identity token stands for the password that was shown to get it. */
static void from_entry(const json_t *entry, struct credentials_held *h)
{
        h->registry_token = member(entry, "registrytoken");
        h->identity_token = member(entry, "identitytoken");
        if (h->identity_token != NULL)
                return;
        h->username = member(entry, "username");
        h->password = member(entry, "password");
        h->auth = member(entry, "auth");
}

static int from_helper(struct credential_source *s, const char *helper, const struct ref *r,
        struct credentials_held *h, struct err *e)
{
        if (credential_helper_get(helper, docker_config_server(r->host), HELPER_TIMEOUT_MS,
                    s->cancel, &h->username, &h->password, e) < 0)
                return -1;
        if (h->username != NULL && strcmp(h->username, "<token>") == 0) {
                h->identity_token = take(&h->password);
                mem_free_secret(take(&h->username));
        }
        return 0;
}

static int from_helper_once(struct credential_source *s, const char *helper, const struct ref *r,
        struct credentials_held *h, struct err *e)
{
        if (s->asked_host == NULL || strcmp(s->asked_host, r->host) != 0) {
                credentials_held_fini(&s->asked);
                free(s->asked_host);
                s->asked_host = mem_strdup(r->host);
                if (from_helper(s, helper, r, &s->asked, &s->asked_err) == 0)
                        s->asked_err = (struct err){0};
        }
        h->username = mem_strdup_or_null(s->asked.username);
        h->password = mem_strdup_or_null(s->asked.password);
        h->identity_token = mem_strdup_or_null(s->asked.identity_token);
        if (s->asked_err.code == ERR_NONE)
                return 0;
        *e = s->asked_err;
        return -1;
}

/* Docker asks a helper first and `auths` after it. */
static int from_docker(
        struct credential_source *s, const struct ref *r, struct credentials_held *h, struct err *e)
{
        const char *helper = docker_config_helper(s->docker, r->host);
        if (helper != NULL && from_helper_once(s, helper, r, h, e) < 0)
                return -1;
        if (h->username == NULL && h->identity_token == NULL)
                from_entry(docker_config_entry(s->docker, r->host, r->repository), h);
        return 0;
}

int credential_source_get(struct credential_source *s, const struct ref *r,
        struct credentials_held *out, struct err *e)
{
        *out = (struct credentials_held){0};
        if (s->docker != NULL && from_docker(s, r, out, e) < 0)
                return -1;
        if (s->username != NULL) {
                out->username = mem_strdup(s->username);
                out->password = mem_strdup(s->password);
        }
        out->shown = (struct credentials){.username = out->username,
                .password = out->password,
                .auth = out->auth,
                .identity_token = out->identity_token,
                .registry_token = out->registry_token};
        return 0;
}

void credentials_held_fini(struct credentials_held *h)
{
        mem_free_secret(h->username);
        mem_free_secret(h->password);
        mem_free_secret(h->auth);
        mem_free_secret(h->identity_token);
        mem_free_secret(h->registry_token);
        *h = (struct credentials_held){0};
}

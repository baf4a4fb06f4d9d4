/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "ctl/migrate_ours.h"

enum { PRIVATE_MODE = 0600, TEXT_MAX_BYTES = 4 << 20, TABLE_SIZE = 512 };

/* ---- files for secrets ---- */

static char *file_name(const struct migrate_job *j, const char *authority, const char *header)
{
        char *path = mem_printf("%s/%s%s%s", j->credentials, authority, header != NULL ? "." : "",
                header != NULL ? header : "");
        for (char *c = path + strlen(j->credentials) + 1; *c != '\0'; c++)
                if (!isalnum((unsigned char)*c) && strchr(".-_", *c) == NULL)
                        *c = '_';
        return path;
}

/* A file that is there stays. */
static void add_secret(struct migrate_job *j, const char *path, char *content)
{
        cleanup_secret char *text = content;
        cleanup_secret char *there = NULL;
        struct err e = {0};
        if (migrate_read(path, &there, &e) < 0) {
                migrate_note(&j->model, "%s", e.msg);
                return;
        }
        if (there != NULL && strcmp(there, text) != 0)
                migrate_note(&j->model, "%s stays as it is; containerd has other credentials there",
                        path);
        for (size_t i = 0; i < j->file_count; i++)
                if (strcmp(j->files[i].path, path) == 0)
                        return;
        if (there == NULL && migrate_add_file(j, path, take(&text), true, &e) < 0)
                migrate_note(&j->model, "%s", e.msg);
}

static bool is_one_line(const char *s)
{
        for (; *s != '\0'; s++)
                if ((unsigned char)*s < ' ' || *s == 0x7f)
                        return false;
        return true;
}

char *migrate_credentials_file(struct migrate_job *j, const struct url *server)
{
        const struct migrate_auth *a = migrate_model_auth(&j->model, server->authority);
        if (a == NULL)
                return NULL;
        if (a->user == NULL || a->user[0] == '\0' || strchr(a->user, ':') != NULL ||
                !is_one_line(a->user) || !is_one_line(a->password)) {
                migrate_note(&j->model,
                        "the credentials of the mirror %s are no user and password: give the "
                        "mirror "
                        "some in %s",
                        server->authority, j->output);
                return NULL;
        }
        cleanup_free char *path = file_name(j, server->authority, NULL);
        add_secret(j, path, mem_printf("%s:%s\n", a->user, a->password));
        return take(&path);
}

static bool looks_secret(const char *name)
{
        static const char *const parts[] = {
                "auth", "token", "cookie", "key", "secret", "password", "credential"};
        for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
                if (strcasestr(name, parts[i]) != NULL)
                        return true;
        return false;
}

json_t *migrate_headers(
        struct migrate_job *j, const struct url *server, const struct headers *headers)
{
        json_t *all = json_object();
        for (size_t i = 0; i < headers->count; i++) {
                const struct config_header *h = &headers->items[i];
                if (!looks_secret(h->name)) {
                        json_object_set_new(all, h->name, json_string(h->value));
                        continue;
                }
                cleanup_free char *path = file_name(j, server->authority, h->name);
                add_secret(j, path, mem_printf("%s\n", h->value));
                json_object_set_new(all, h->name, json_pack("{s:s}", "file", path));
        }
        return all;
}

bool migrate_is_public(const char *host)
{
        static const char *const names[] = {"docker.io", "ghcr.io", "quay.io", "gcr.io", "pkg.dev",
                "registry.k8s.io", "microsoft.com", "public.ecr.aws", "amazonaws.com", "azurecr.io",
                "nvcr.io", "gitlab.com", "elastic.co", "redhat.io", "redhat.com", "lscr.io"};
        size_t size = strlen(host);
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                size_t end = strlen(names[i]);
                if (size >= end && strcmp(host + size - end, names[i]) == 0 &&
                        (size == end || host[size - end - 1] == '.'))
                        return true;
        }
        return false;
}

/* ---- the proof ---- */

/* A file that is nowhere; its descriptor, or -1. */
static int in_memory(const char *text)
{
        int fd = memfd_create("migrate", MFD_CLOEXEC);
        size_t size = strlen(text);
        if (fd < 0)
                return -1;
        if (fchmod(fd, PRIVATE_MODE) == 0 && write(fd, text, size) == (ssize_t)size)
                return fd;
        close(fd);
        return -1;
}

/* `text` with each `old` as `new`; takes text. */
static char *replaced(char *text, const char *old, const char *new)
{
        cleanup_secret char *from = text;
        cleanup_buf_secret struct buf b;
        buf_init(&b, TEXT_MAX_BYTES);
        const char *at = from;
        for (const char *hit = strstr(at, old); hit != NULL; hit = strstr(at, old)) {
                buf_append(&b, at, (size_t)(hit - at));
                buf_puts(&b, new);
                at = hit + strlen(old);
        }
        buf_puts(&b, at);
        return mem_strdup(buf_str(&b));
}

static int load(const struct migrate_job *j, const char *text, struct err *e)
{
        int fd = in_memory(text);
        if (fd < 0)
                return err_set_sys(e, errno, "cannot try %s", j->output);
        cleanup_free char *path = mem_printf("/proc/self/fd/%d", fd);
        struct config *c = NULL;
        int status = config_load(path, &c, e);
        config_put(c);
        close(fd);
        if (status == 0)
                return 0;
        cleanup_free char *words = replaced(mem_strdup(e->msg), path, j->output);
        return err_set(e, ERR_CONFIG, "%s", words);
}

int migrate_check_ours(const struct migrate_job *j, const char *text, struct err *e)
{
        int fds[TABLE_SIZE];
        size_t count = 0;
        char *trial = mem_strdup(text);
        for (size_t i = 0; i < j->file_count && count < TABLE_SIZE; i++) {
                if (!j->files[i].is_private)
                        continue;
                int fd = in_memory(j->files[i].after);
                if (fd < 0)
                        continue;
                fds[count++] = fd;
                cleanup_free char *old = mem_printf("\"%s\"", j->files[i].path);
                cleanup_free char *new = mem_printf("\"/proc/self/fd/%d\"", fd);
                trial = replaced(trial, old, new);
        }
        int status = load(j, trial, e);
        mem_free_secret(trial);
        while (count > 0)
                close(fds[--count]);
        return status;
}

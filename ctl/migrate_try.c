/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks containerd whether it loads its configuration as it will be: on copies of all its files in a
 * folder of our own, which import each other as the originals do.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "ctl/command.h"
#include "ctl/migrate_job.h"
#include "ctl/toml_edit.h"

enum { FOLDER_MODE_PRIVATE = 0600, WORDS_MAX_BYTES = 64 * 1024, SECRET_MIN = 4 };

static char *copy_path(const char *folder, size_t number)
{
        return mem_printf("%s/%zu.toml", folder, number);
}

static const char *text_after(const struct migrate_job *j, const char *path)
{
        for (size_t i = 0; i < j->file_count; i++)
                if (strcmp(j->files[i].path, path) == 0)
                        return j->files[i].after;
        return NULL;
}

static json_t *imports_of(
        const struct migrate_job *j, const char *folder, const struct containerd_file *f)
{
        json_t *list = json_array();
        for (size_t i = 0; i < f->imports.count; i++)
                for (size_t n = 0; n < j->containerd.count; n++)
                        if (strcmp(j->containerd.files[n].path, f->imports.items[i]) == 0) {
                                cleanup_free char *copy = copy_path(folder, n);
                                json_array_append_new(list, json_string(copy));
                        }
        return list;
}

/* `imports` is a key of no table, which toml_edit_set changes but does not add. */
static int text_of_copy(
        const struct migrate_job *j, const char *folder, size_t number, char **out, struct err *e)
{
        const struct containerd_file *f = &j->containerd.files[number];
        const char *after = text_after(j, f->path);
        *out = NULL;
        if (after == NULL)
                after = f->text;
        if (json_object_get(f->values, "imports") == NULL) {
                *out = mem_strdup(after);
                return 0;
        }
        cleanup_strings struct strings path = toml_path("imports", NULL);
        json_t *list = imports_of(j, folder, f);
        int status = toml_edit_set(after, &path, list, out, e);
        json_decref(list);
        return status;
}

static int write_copy(const char *path, const char *text, struct err *e)
{
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FOLDER_MODE_PRIVATE);
        size_t size = strlen(text);
        int number = fd < 0 ? errno : 0;
        if (fd >= 0 && write(fd, text, size) != (ssize_t)size)
                number = errno != 0 ? errno : ENOSPC;
        if (fd >= 0)
                close(fd);
        return number == 0 ? 0 : err_set_sys(e, number, "cannot write %s", path);
}

static int write_copies(const struct migrate_job *j, const char *folder, struct err *e)
{
        for (size_t i = 0; i < j->containerd.count; i++) {
                cleanup_free char *path = copy_path(folder, i);
                cleanup_secret char *text = NULL;
                if (text_of_copy(j, folder, i, &text, e) < 0 || write_copy(path, text, e) < 0)
                        return -1;
        }
        return 0;
}

static void remove_copies(const struct migrate_job *j, const char *folder)
{
        for (size_t i = 0; i < j->containerd.count; i++) {
                cleanup_free char *path = copy_path(folder, i);
                unlink(path);
        }
        rmdir(folder);
}

/* ---- its words ---- */

static void hide(char *words, const char *secret)
{
        size_t size = secret != NULL ? strlen(secret) : 0;
        for (char *at = words; size >= SECRET_MIN && (at = strstr(at, secret)) != NULL; at += size)
                memset(at, '*', size);
}

/* The line that says why it ended ("containerd: ..."), with the files' own names. */
static char *last_words(const struct migrate_job *j, const char *folder, char *words)
{
        for (size_t i = 0; i < j->model.auth_count; i++) {
                const struct migrate_auth *a = &j->model.auths[i];
                const char *key = NULL;
                json_t *value = NULL;
                json_object_foreach (a->value, key, value)
                        hide(words, json_string_value(value));
                hide(words, a->password);
        }
        size_t size = strlen(words);
        while (size > 0 && isspace((unsigned char)words[size - 1]))
                words[--size] = '\0';
        char *line = strrchr(words, '\n');
        line = line != NULL ? line + 1 : words;
        for (size_t i = 0; i < j->containerd.count; i++) {
                cleanup_free char *copy = copy_path(folder, i);
                const char *at = strstr(line, copy);
                if (at != NULL)
                        return mem_printf("%.*s%s%s", (int)(at - line), line,
                                j->containerd.files[i].path, at + strlen(copy));
        }
        return mem_strdup(line);
}

static int try_copies(const struct migrate_job *j, const char *folder, const char *binary,
        struct cancel *cancel, struct err *e)
{
        cleanup_free char *main_copy = copy_path(folder, 0);
        const char *const argv[] = {binary, "--config", main_copy, "config", "dump", NULL};
        cleanup_buf_secret struct buf words;
        buf_init(&words, WORDS_MAX_BYTES);
        int status = 0;
        if (write_copies(j, folder, e) < 0 ||
                command_run(argv, cancel, NULL, &words, &status, e) < 0)
                return -1;
        if (status == 0)
                return 0;
        cleanup_secret char *all = mem_strdup(buf_str(&words));
        cleanup_free char *last = last_words(j, folder, all);
        return err_set(e, ERR_CONFIG,
                "containerd does not load its configuration as it would be: \"%s\" (config dump "
                "ended with %d); nothing was written",
                last, status);
}

int migrate_try(
        const struct migrate_job *j, const char *binary, struct cancel *cancel, struct err *e)
{
        const char *tmp = getenv("TMPDIR");
        cleanup_free char *folder =
                mem_printf("%s/cri-resolvectl-XXXXXX", tmp != NULL && *tmp == '/' ? tmp : "/tmp");
        if (mkdtemp(folder) == NULL)
                return err_set_sys(e, errno, "cannot make a folder %s", folder);
        int status = try_copies(j, folder, binary, cancel, e);
        remove_copies(j, folder);
        return status;
}

/* "containerd github.com/containerd/containerd/v2 2.1.9 ..." */
char *migrate_containerd_version(const char *binary, struct cancel *cancel, int *major)
{
        const char *const argv[] = {binary, "--version", NULL};
        cleanup_buf struct buf out;
        buf_init(&out, WORDS_MAX_BYTES);
        int status = 0;
        struct err ignored;
        *major = 0;
        if (command_run(argv, cancel, &out, NULL, &status, &ignored) < 0 || status != 0)
                return NULL;
        const char *at = buf_str(&out);
        while (*at != '\0') {
                size_t size = strcspn(at, " \n");
                const char *digits = at + (*at == 'v');
                if (isdigit((unsigned char)*digits)) {
                        *major = (int)strtol(digits, NULL, 10);
                        return mem_strndup(digits, size - (size_t)(digits - at));
                }
                at += size + strspn(at + size, " \n");
        }
        return mem_strdup("unknown");
}

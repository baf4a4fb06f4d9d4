/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/migrate_job.h"

#include <errno.h>
#include <string.h>

#include "config/files.h"

enum { FILE_MAX_BYTES = 4 << 20 };

void migrate_job_fini(struct migrate_job *j)
{
        free(j->credentials);
        containerd_config_fini(&j->containerd);
        json_decref(j->registry);
        migrate_model_fini(&j->model);
        for (size_t i = 0; i < j->file_count; i++) {
                free(j->files[i].path);
                mem_free_secret(j->files[i].before);
                mem_free_secret(j->files[i].after);
        }
        free(j->files);
        *j = (struct migrate_job){0};
}

int migrate_read(const char *path, char **out, struct err *e)
{
        size_t size = 0;
        if (file_read(path, FILE_MAX_BYTES, out, &size, e) < 0)
                return e->sys == ENOENT || e->sys == ENOTDIR ? 0 : -1;
        if (strlen(*out) == size)
                return 0;
        mem_free_secret(take(out));
        return err_set(e, ERR_CONFIG, "%s: not text", path);
}

int migrate_add_file(
        struct migrate_job *j, const char *path, char *after, bool is_private, struct err *e)
{
        cleanup_secret char *text = after;
        cleanup_secret char *before = NULL;
        if (migrate_read(path, &before, e) < 0)
                return -1;
        if (before != NULL && strcmp(before, text) == 0)
                return 0;
        j->files = mem_resize(j->files, (j->file_count + 1) * sizeof(*j->files));
        j->files[j->file_count++] = (struct migrate_file){.path = mem_strdup(path),
                .before = take(&before),
                .after = take(&text),
                .is_private = is_private};
        return 0;
}

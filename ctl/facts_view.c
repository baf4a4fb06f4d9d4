/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/facts_view.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl/facts_process.h"

void file_view_of_process(const char *proc, long pid, struct file_view *out)
{
        *out = (struct file_view){.root = mem_printf("%s/%ld/root", proc, pid),
                .reads_all = process_reads_all(proc, pid)};
}

void file_view_of_unit(struct file_view *out)
{
        *out = (struct file_view){.in_unit = true};
}

void file_view_fini(struct file_view *v)
{
        free(v->root);
        *v = (struct file_view){0};
}

/* ProtectHome=yes, PrivateTmp=yes. */
static bool is_hidden_by_unit(const char *path)
{
        static const char *const folders[] = {
                "/root/", "/home/", "/run/user/", "/tmp/", "/var/tmp/"};
        for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
                if (strncmp(path, folders[i], strlen(folders[i])) == 0)
                        return true;
        return false;
}

static int look(const struct file_view *v, const char *path, struct stat *st)
{
        cleanup_free char *there = mem_printf("%s%s", v->root != NULL ? v->root : "", path);
        return stat(there, st);
}

static bool is_hidden(const struct file_view *v, const char *path)
{
        struct stat st;
        if (v->root == NULL)
                return is_hidden_by_unit(path);
        return look(v, path, &st) != 0 && (errno == ENOENT || errno == ENOTDIR) &&
               stat(v->root, &st) == 0; /* and not because it has ended meanwhile */
}

/* Whether root without a capability may: as the owner, as one of the group, or as anybody. */
static bool root_may(const struct file_view *v, const char *path, mode_t bit_of_others)
{
        struct stat st;
        if (look(v, path, &st) != 0)
                return true;
        unsigned shift = st.st_uid == 0 ? 6 : st.st_gid == 0 ? 3 : 0;
        return (st.st_mode & (bit_of_others << shift)) != 0;
}

static char *closed_part(const struct file_view *v, const char *path)
{
        for (const char *slash = strchr(path + 1, '/'); slash != NULL;
                slash = strchr(slash + 1, '/')) {
                cleanup_free char *folder = mem_strndup(path, (size_t)(slash - path));
                if (!root_may(v, folder, S_IXOTH))
                        return take(&folder);
        }
        return root_may(v, path, S_IROTH) ? NULL : mem_strdup(path);
}

char *file_view_obstacle(const struct file_view *v, const char *path, bool *hidden)
{
        bool known = v->root != NULL || v->in_unit;
        cleanup_free char *real = known ? realpath(path, NULL) : NULL;
        *hidden = real != NULL && is_hidden(v, real);
        if (*hidden)
                return take(&real);
        return real == NULL || v->reads_all ? NULL : closed_part(v, real);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/pin_files.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "config/files.h"
#include "ctl/credential_helper.h"

enum { TEXT_MAX_BYTES = 16 << 20 };

/* Directories that have been gone into. */
struct walk {
        struct pin_list *list;
        const struct cli *cli;
        struct stat *seen;
        size_t seen_count;
        int code;
};

static bool ends_in(const char *path, const char *const *endings)
{
        size_t size = strlen(path);
        for (; *endings != NULL; endings++) {
                size_t n = strlen(*endings);
                if (size > n && strcmp(path + size - n, *endings) == 0)
                        return true;
        }
        return false;
}

bool pin_is_hcl(const char *path)
{
        static const char *const endings[] = {".tf", ".tofu", ".hcl", ".tfvars", NULL};
        return ends_in(path, endings);
}

static bool is_wanted(const char *path)
{
        static const char *const endings[] = {".yaml", ".yml", ".tf", NULL};
        return ends_in(path, endings);
}

static void add(struct pin_list *l, const char *path)
{
        l->paths = mem_resize(l->paths, (l->count + 1) * sizeof(*l->paths));
        l->paths[l->count++] = mem_strdup(path);
}

static void tell(struct walk *w, const char *path, int number)
{
        struct err e;
        (void)err_set_sys(&e, number, "cannot read %s", path);
        if (number == ENOENT)
                e.code = ERR_NOT_FOUND;
        int code = cli_fail(w->cli, &e);
        w->code = code > w->code ? code : w->code;
}

static bool is_new(struct walk *w, const struct stat *st)
{
        for (size_t i = 0; i < w->seen_count; i++)
                if (w->seen[i].st_dev == st->st_dev && w->seen[i].st_ino == st->st_ino)
                        return false;
        w->seen = mem_resize(w->seen, (w->seen_count + 1) * sizeof(*w->seen));
        w->seen[w->seen_count++] = *st;
        return true;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
        return strcmp((*a)->d_name, (*b)->d_name);
}

static void walk(struct walk *w, const char *directory);

static void visit(struct walk *w, const char *directory, const char *name)
{
        struct stat st;
        size_t size = strlen(directory);
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
                return;
        cleanup_free char *path =
                mem_printf("%s%s%s", directory, directory[size - 1] == '/' ? "" : "/", name);
        if (stat(path, &st) < 0) {
                if (is_wanted(path)) /* links that lead nowhere are common, and nobody's loss */
                        tell(w, path, errno);
        } else if (S_ISDIR(st.st_mode)) {
                if (name[0] != '.' && is_new(w, &st))
                        walk(w, path);
        } else if (S_ISREG(st.st_mode) && is_wanted(path)) {
                add(w->list, path);
        }
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the directories, each of which is new */
static void walk(struct walk *w, const char *directory)
{
        struct dirent **entries = NULL;
        int count = scandir(directory, &entries, NULL, by_name);
        if (count < 0) {
                tell(w, directory, errno);
                return;
        }
        for (int i = 0; i < count; i++) {
                if (!cancel_fired(w->cli->cancel))
                        visit(w, directory, entries[i]->d_name);
                free(entries[i]);
        }
        free((void *)entries);
}

int pin_list_add(struct pin_list *l, const struct cli *cli, const char *path)
{
        struct stat st;
        struct walk w = {.list = l, .cli = cli, .code = CLI_OK};
        size_t before = l->count;
        if (strcmp(path, "-") == 0 ||
                (*path != '\0' && stat(path, &st) == 0 && !S_ISDIR(st.st_mode)))
                add(l, path);
        else if (*path == '\0' || stat(path, &st) < 0)
                tell(&w, *path == '\0' ? "\"\"" : path, ENOENT);
        else if (is_new(&w, &st))
                walk(&w, path);
        if (l->count == before && w.code == CLI_OK)
                cli_note(cli, "%s: no *.yaml, *.yml or *.tf in it", path);
        free(w.seen);
        return w.code;
}

void pin_list_fini(struct pin_list *l)
{
        for (size_t i = 0; i < l->count; i++)
                free(l->paths[i]);
        free((void *)l->paths);
        *l = (struct pin_list){0};
}

static int read_input(struct cancel *cancel, char **text, size_t *size, struct err *e)
{
        cleanup_buf struct buf b;
        buf_init(&b, TEXT_MAX_BYTES);
        if (credential_read(STDIN_FILENO, "standard input", false, 0, cancel, &b, e) < 0)
                return -1;
        *size = b.size;
        *text = b.data != NULL ? take(&b.data) : mem_strdup("");
        return 0;
}

int pin_read(const char *path, struct cancel *cancel, char **text, size_t *size, struct err *e)
{
        if (strcmp(path, "-") == 0)
                return read_input(cancel, text, size, e);
        if (file_read(path, TEXT_MAX_BYTES, text, size, e) == 0)
                return 0;
        if (e->code == ERR_CONFIG)
                e->code = e->sys == ENOENT ? ERR_NOT_FOUND : ERR_SYSTEM;
        return -1;
}

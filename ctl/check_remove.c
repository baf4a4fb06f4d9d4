/* SPDX-License-Identifier: Apache-2.0 */
/* The steps that take one mirror out of where it is named, and nothing else. */
#include <string.h>

#include "config/url.h"
#include "ctl/check_network.h"
#include "ctl/edit_toml.h"
#include "ctl/migrate_job.h"
#include "ctl/toml_edit.h"

enum { TABLES_MAX = 8 };

/* Whether this is the mirror of the use: by the whole URL, however it is written. */
static bool is_mirror(const struct mirror_use *u, const char *url)
{
        cleanup_free char *base = NULL;
        struct err ignored;
        return url != NULL && url_base(url, &base, &ignored) == 0 && strcmp(base, u->url) == 0;
}

static bool is_host(const struct mirror_use *u, const struct hosts_mirror *m)
{
        return m->override_path ? strcmp(m->url, u->url) == 0 : is_mirror(u, m->url);
}

/* The tables [host."url"] of a hosts.toml. */
static void remove_from_hosts(
        json_t *finding, const struct hosts_file *f, const struct mirror_use *u)
{
        const char *const top[] = {"host"};
        bool empty = edit_toml_header(f->text, top, 1) == 0; /* 1.6 wants the table, be it empty */
        for (size_t i = 0; i < f->mirror_count; i++)
                empty = empty && is_host(u, &f->mirrors[i]);
        for (size_t i = 0; i < f->mirror_count; i++) {
                if (!is_host(u, &f->mirrors[i]))
                        continue;
                const char *const path[] = {"host", f->mirrors[i].url};
                struct edit_lines lines[TABLES_MAX];
                size_t count = edit_toml_tables(f->text, path, 2, lines, TABLES_MAX);
                for (size_t n = 0; n < count; n++)
                        finding_replace(finding, f->path, lines[n].first, lines[n].last,
                                empty && i == 0 && n == 0 ? "[host]\n" : "");
                if (count == 0)
                        finding_advise(finding, "Remove the table by hand from %s, line %d.",
                                f->path, f->mirrors[i].line);
        }
}

static size_t line_size(const char *s)
{
        size_t size = strcspn(s, "\n");
        return size + (s[size] == '\n');
}

/* How much of both is the same, in whole lines, from the beginning; *lines is how many. */
static size_t same_head(const char *a, const char *b, int *lines)
{
        size_t at = 0;
        for (*lines = 0; a[at] != '\0'; (*lines)++) {
                size_t size = line_size(a + at);
                if (line_size(b + at) != size || strncmp(a + at, b + at, size) != 0)
                        break;
                at += size;
        }
        return at;
}

static size_t same_tail(const char *a, const char *b)
{
        size_t of_a = strlen(a);
        size_t of_b = strlen(b);
        size_t same = 0;
        size_t whole = 0; /* up to the beginning of a line */
        while (same < of_a && same < of_b && a[of_a - same - 1] == b[of_b - same - 1]) {
                same++;
                bool begins = (same == of_a || a[of_a - same - 1] == '\n') &&
                              (same == of_b || b[of_b - same - 1] == '\n');
                whole = begins ? same : whole;
        }
        return whole;
}

/* The lines in which `after` differs, as one step. False, and none, where they may hold a secret.
 */
static bool replace_changed(json_t *finding, const char *path, const char *before,
        const char *after, struct edit_lines *lines)
{
        int head = 0;
        size_t begin = same_head(before, after, &head);
        size_t tail = same_tail(before + begin, after + begin);
        cleanup_secret char *old = mem_strndup(before + begin, strlen(before + begin) - tail);
        cleanup_secret char *new = mem_strndup(after + begin, strlen(after + begin) - tail);
        cleanup_free char *shown = migrate_masked(after);
        if (strstr(shown, new) == NULL)
                return false;
        *lines = (struct edit_lines){head + 1, head + edit_count_lines(old)};
        finding_replace(finding, path, lines->first, lines->last, new);
        return true;
}

static json_t *list_without(const json_t *mirrors, const struct mirror_use *u)
{
        json_t *list = json_array();
        for (size_t i = 0; i < json_array_size(mirrors); i++)
                if (!is_mirror(u, json_string_value(json_array_get(mirrors, i))))
                        json_array_append(list, json_array_get(mirrors, i));
        return list;
}

static bool lists(const json_t *mirrors, const struct mirror_use *u)
{
        if (json_is_string(mirrors))
                return is_mirror(u, json_string_value(mirrors));
        for (size_t i = 0; i < json_array_size(mirrors); i++)
                if (is_mirror(u, json_string_value(json_array_get(mirrors, i))))
                        return true;
        return false;
}

/* The mirror's own table, where no other upstream lists it: the daemon refuses one that nobody
 * uses. NULL: there is none, or somebody does. */
static const char *own_table(const struct check *c, const struct mirror_use *u)
{
        size_t users = 0;
        const char *name = NULL;
        json_t *table = NULL;
        json_object_foreach (json_object_get(c->own_values, "upstream"), name, table)
                users += lists(json_object_get(table, "mirrors"), u);
        json_object_foreach (json_object_get(c->own_values, "mirror"), name, table)
                if (users < 2 && is_mirror(u, name))
                        return name;
        return NULL;
}

static bool edit_own(const struct check *c, json_t *finding, const struct mirror_use *u)
{
        const char *table = check_own_upstream(c, u->host);
        const json_t *values = json_object_get(json_object_get(c->own_values, "upstream"), table);
        const char *mirror = own_table(c, u);
        cleanup_strings struct strings key = toml_path("upstream", table, "mirrors", NULL);
        cleanup_strings struct strings below = toml_path("mirror", mirror, NULL);
        cleanup_secret char *list = NULL;
        cleanup_secret char *rest = NULL;
        struct edit_lines of_list = {0};
        struct edit_lines of_table = {0};
        struct err ignored;
        json_t *without = list_without(json_object_get(values, "mirrors"), u);
        int status = toml_edit_set(c->own_text, &key, without, &list, &ignored);
        json_decref(without);
        if (status < 0 ||
                (mirror != NULL && toml_edit_remove(c->own_text, &below, &rest, &ignored) < 0))
                return false;
        const char *path = c->cli->config_path;
        if (!replace_changed(finding, path, c->own_text, list, &of_list))
                return false;
        if (rest == NULL)
                return true;
        return replace_changed(finding, path, c->own_text, rest, &of_table) &&
               (of_table.first > of_list.last || of_table.last < of_list.first);
}

/* Our own list, without the one. */
static void remove_from_list(const struct check *c, json_t *finding, const struct mirror_use *u)
{
        if (c->own_text == NULL || !edit_own(c, finding, u)) {
                finding_drop_steps(finding);
                finding_advise(finding, "Take it out of `mirrors` by hand, with its own table: %s.",
                        u->place);
                return;
        }
        finding_run(finding, "systemctl", "reload", "cri-resolved", NULL);
}

void check_remove_mirror(const struct check *c, json_t *finding, const struct mirror_use *u)
{
        if (!u->in_certs) {
                remove_from_list(c, finding, u);
                return;
        }
        for (size_t i = 0; i < c->hosts.file_count; i++) {
                const struct hosts_file *f = &c->hosts.files[i];
                size_t size = strlen(f->path);
                if (strncmp(f->path, u->place, size) == 0 && u->place[size] == ':')
                        remove_from_hosts(finding, f, u);
        }
}

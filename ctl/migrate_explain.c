/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the daemon would refuse in a file that is not written yet, told by what is there: the file
 * and line of containerd's from which it comes, and what to do.
 */
#include <string.h>

#include "config/toml.h"
#include "ctl/edit_toml.h"
#include "ctl/migrate_ours.h"

enum { FILE_MAX_BYTES = 1 << 20 };

/* registry.configs.*.tls of one file, where one of its keys names `path`; NULL. */
static char *place_in_file(const struct containerd_file *f, const char *path)
{
        static const char *const keys[] = {"ca_file", "cert_file", "key_file"};
        cleanup_strings struct strings at = containerd_registry_path(f->format, "configs");
        const json_t *lines = f->lines;
        for (size_t i = 0; i < at.count; i++)
                lines = toml_below(lines, at.items[i]);
        const char *host = NULL;
        json_t *entry = NULL;
        json_object_foreach ((json_t *)containerd_file_value(f, &at), host, entry) {
                const json_t *tls = json_object_get(entry, "tls");
                for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
                        const char *value = json_string_value(json_object_get(tls, keys[k]));
                        if (value != NULL && strcmp(value, path) == 0)
                                return mem_printf("%s:%d", f->path,
                                        toml_line(toml_below(toml_below(lines, host), "tls"),
                                                keys[k]));
                }
        }
        return NULL;
}

/* Paths in a hosts.toml may be relative: it is the last part that stands there. */
static char *place_in_directory(const char *directory, const char *path)
{
        cleanup_free char *file = mem_printf("%s/hosts.toml", directory);
        cleanup_secret char *text = NULL;
        struct err ignored;
        if (migrate_read(file, &text, &ignored) < 0 || text == NULL)
                return mem_strdup(directory);
        const char *slash = strrchr(path, '/');
        const char *last = slash != NULL ? slash + 1 : path;
        for (int n = 1; n <= edit_count_lines(text); n++) {
                cleanup_secret char *line = edit_line(text, n);
                if (line[strspn(line, " \t")] != '#' && strstr(line, last) != NULL)
                        return mem_printf("%s:%d", file, n);
        }
        return mem_strdup(directory);
}

static bool names(const struct hosts *h, const char *path)
{
        for (size_t i = 0; i < h->mirror_count; i++)
                if (names(&h->mirrors[i], path))
                        return true;
        return strings_has(&h->ca_files, path) ||
               (h->client_cert != NULL &&
                       (strcmp(h->client_cert, path) == 0 || strcmp(h->client_key, path) == 0));
}

static char *place_of(const struct migrate_job *j, const char *path)
{
        for (size_t i = j->containerd.count; i > 0; i--) {
                char *place = place_in_file(&j->containerd.files[i - 1], path);
                if (place != NULL)
                        return place;
        }
        for (size_t i = 0; i < j->model.host_count; i++)
                if (j->model.hosts[i].dir != NULL && names(&j->model.hosts[i].as, path))
                        return place_in_directory(j->model.hosts[i].dir, path);
        return NULL;
}

/* "<output>:<line>: <table>.<key>: ": where the reason begins, and what the daemon calls it. */
static const char *reason_in(const char *message, const char *path)
{
        static const char cannot[] = "cannot read ";
        const char *at = strstr(message, path);
        if (at != NULL && (size_t)(at - message) >= strlen(cannot) &&
                strncmp(at - strlen(cannot), cannot, strlen(cannot)) == 0)
                at -= strlen(cannot);
        return at;
}

/* True if the message is about this file of containerd's. */
static bool explain(const struct migrate_job *j, const char *path, struct err *e)
{
        const char *reason = path != NULL ? reason_in(e->msg, path) : NULL;
        cleanup_free char *place = reason != NULL ? place_of(j, path) : NULL;
        if (place == NULL)
                return false;
        cleanup_free char *why = mem_strdup(reason);
        err_set(e, ERR_CONFIG,
                "%s: this file of a registry goes into %s as well, and cri-resolved refuses it "
                "there: %s. Mend that, or take the line out, then run this again; nothing is "
                "written",
                place, j->output, why);
        return true;
}

static bool explain_hosts(const struct migrate_job *j, const struct hosts *h, struct err *e)
{
        for (size_t i = 0; i < h->ca_files.count; i++)
                if (explain(j, h->ca_files.items[i], e))
                        return true;
        if (explain(j, h->client_cert, e) || explain(j, h->client_key, e))
                return true;
        for (size_t i = 0; i < h->mirror_count; i++)
                if (explain_hosts(j, &h->mirrors[i], e))
                        return true;
        return false;
}

void migrate_explain(const struct migrate_job *j, struct err *e)
{
        for (size_t i = 0; i < j->model.host_count; i++)
                if (explain_hosts(j, &j->model.hosts[i].as, e))
                        return;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "ctl/migrate_model.h"

/* An entry that leads to the host itself says how to reach it, better than the top of the file. */
static void take_own_server(struct migrate_host *h)
{
        for (size_t i = 0; h->host[0] != '\0' && i < h->as.mirror_count; i++) {
                struct hosts *own = &h->as.mirrors[i];
                if (!migrate_is_own(h->host, &own->server) ||
                        migrate_is_docker_hub(own->server.authority))
                        continue;
                struct hosts all = h->as;
                h->as = *own;
                *own = (struct hosts){0};
                all.mirror_count--;
                memmove(own, own + 1, (all.mirror_count - i) * sizeof(*own));
                h->as.mirrors = all.mirrors;
                h->as.mirror_count = all.mirror_count;
                all.mirrors = NULL;
                all.mirror_count = 0;
                hosts_fini(&all);
                return;
        }
}

/* Nothing is fetched from those that may not "pull", and the host itself is no mirror of its own.
 */
static void drop_others(struct migrate_host *h)
{
        size_t kept = 0;
        for (size_t i = 0; i < h->as.mirror_count; i++) {
                struct hosts *mirror = &h->as.mirrors[i];
                bool own = h->host[0] != '\0' && migrate_is_own(h->host, &mirror->server);
                if ((mirror->capabilities & HOSTS_PULL) != 0 && !own)
                        h->as.mirrors[kept++] = *mirror;
                else
                        hosts_fini(mirror);
        }
        h->as.mirror_count = kept;
}

/* The `server` of _default stands behind its mirrors, and is one. */
static void server_as_mirror(struct hosts *h)
{
        if (!h->has_server)
                return;
        struct hosts all = *h;
        *h = (struct hosts){.mirrors = all.mirrors, .mirror_count = all.mirror_count};
        all.mirrors = NULL;
        all.mirror_count = 0;
        all.capabilities = HOSTS_PULL;
        all.name = mem_printf("%s://%s%s", all.server.scheme, all.server.authority,
                strcmp(all.server.path, "/v2") == 0 ? "" : all.server.path);
        h->mirrors = mem_resize(h->mirrors, (h->mirror_count + 1) * sizeof(*h->mirrors));
        h->mirrors[h->mirror_count++] = all;
}

static int is_dir(const struct dirent *entry)
{
        return entry->d_name[0] != '.' &&
               (entry->d_type == DT_DIR || entry->d_type == DT_LNK || entry->d_type == DT_UNKNOWN);
}

/* Sorted. A root that is not there has none. */
static int list_dirs(const char *root, struct strings *names, struct err *e)
{
        struct dirent **entries = NULL;
        int count = scandir(root, &entries, is_dir, alphasort);
        if (count < 0 && errno != ENOENT && errno != ENOTDIR)
                return err_set_at(e, ERR_CONFIG, errno, __func__, "cannot read %s", root);
        for (int i = 0; i < count; i++) {
                strings_add(names, entries[i]->d_name);
                free(entries[i]);
        }
        free(entries);
        return 0;
}

/* Docker Hub's server has a name of its own, by which it is always meant. */
static bool is_hub_by_name(const char *host, const struct url *server)
{
        return strcmp(host, "docker.io") == 0 && migrate_is_docker_hub(server->authority);
}

static int add_dir(struct migrate_model *m, const char *root, const char *name, struct err *e)
{
        cleanup_free char *host = migrate_dir_host(name);
        if (host == NULL || migrate_model_host(m, host) != NULL)
                return 0;
        cleanup_free char *dir = mem_printf("%s/%s", root, name);
        struct hosts as = {0};
        if (hosts_load_dir(dir, &as, e) < 0)
                return -1;
        struct migrate_host *h = migrate_add_host(m, host, dir);
        h->dir = mem_strdup(dir);
        h->as = as;
        h->broken = as.note != NULL;
        if (as.note != NULL)
                migrate_note(m, "%s; repair it first: it is left alone", as.note);
        take_own_server(h);
        drop_others(h);
        if (host[0] == '\0')
                server_as_mirror(&h->as);
        else if (!h->as.has_server || is_hub_by_name(host, &h->as.server))
                migrate_set_default_server(&h->as, host);
        return 0;
}

int migrate_model_certs(struct migrate_model *m, const char *roots, struct err *e)
{
        for (const char *at = roots; *at != '\0'; at += *at == ':') {
                size_t size = strcspn(at, ":");
                cleanup_free char *root = mem_strndup(at, size);
                at += size;
                cleanup_strings struct strings names = {0};
                if (list_dirs(root, &names, e) < 0)
                        return -1;
                for (size_t i = 0; i < names.count; i++)
                        if (add_dir(m, root, names.items[i], e) < 0)
                                return -1;
                /* Hosts of the directories behind it are never looked up there. */
                if (size > 0 && strings_has(&names, "_default"))
                        return 0;
        }
        return 0;
}

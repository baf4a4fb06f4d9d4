/* SPDX-License-Identifier: Apache-2.0 */
/* Files that containerd reads with all that root may, and the daemon in its unit with less. */
#include <string.h>
#include <sys/stat.h>

#include "ctl/check.h"

/* One for each file, however often it is named. */
static json_t *find_earlier(const struct check *c, const char *path)
{
        const char *identifier = finding_identifier(FINDING_TRUST_FILE_UNREADABLE);
        for (size_t i = 0; i < json_array_size(c->findings); i++) {
                json_t *finding = json_array_get(c->findings, i);
                const json_t *first = json_array_get(json_object_get(finding, "evidence"), 0);
                if (strcmp(json_string_value(json_object_get(finding, "identifier")), identifier) ==
                                0 &&
                        strcmp(json_string_value(json_object_get(first, "place")), path) == 0)
                        return finding;
        }
        return NULL;
}

static void tell_mode(json_t *finding, const char *path, const char *obstacle)
{
        struct stat st = {0};
        if (stat(obstacle, &st) != 0)
                return;
        finding_evidence(finding, obstacle,
                "owner %u, mode %04o: closed to root without a capability, as the daemon runs",
                (unsigned)st.st_uid, (unsigned)st.st_mode & 07777);
        if (S_ISREG(st.st_mode) && st.st_uid != 0)
                finding_run(finding, "chown", "root", path, NULL);
}

static json_t *report(struct check *c, const char *path, const char *obstacle, bool hidden)
{
        json_t *finding = finding_add(c->findings, FINDING_TRUST_FILE_UNREADABLE);
        finding_evidence(finding, path, "the daemon cannot read it");
        if (hidden)
                finding_evidence(finding, obstacle,
                        "hidden by the unit, as all below /root, /home, /run/user, /tmp and "
                        "/var/tmp (ProtectHome, PrivateTmp)");
        else
                tell_mode(finding, path, obstacle);
        return finding;
}

void check_trust_file(struct check *c, const char *path, const char *file, int line)
{
        bool hidden = false;
        cleanup_free char *obstacle =
                path != NULL ? file_view_obstacle(&c->view, path, &hidden) : NULL;
        if (obstacle == NULL)
                return;
        json_t *finding = find_earlier(c, path);
        if (finding == NULL)
                finding = report(c, path, obstacle, hidden);
        finding_evidence_line(finding, file, line, "where it is named");
}

/* Whether the daemon asks the host, and by what containerd has for it. */
static bool goes_by_certs(const struct check *c, const char *host)
{
        bool has_entry = false;
        const struct config_upstream *own = config_upstream_for(c->config, host, &has_entry);
        return own->mode != UPSTREAM_PASSTHROUGH && !own->has_trust &&
               !c->config->upstream_default.has_trust;
}

static void check_host(struct check *c, const char *host, const char *file)
{
        cleanup_upstream struct upstream *u = NULL;
        struct err ignored;
        if (upstream_new_as_containerd(c->config, host, &u, &ignored) < 0)
                return;
        for (size_t i = 0; i < u->ca_file_count; i++)
                check_trust_file(c, u->ca_files[i], file, 0);
        check_trust_file(c, u->client_cert, file, 0);
        if (u->client_key != NULL && strcmp(u->client_key, u->client_cert) != 0)
                check_trust_file(c, u->client_key, file, 0);
}

void check_trust(struct check *c)
{
        for (size_t i = 0; i < c->hosts.file_count; i++) {
                const struct hosts_file *f = &c->hosts.files[i];
                if (!goes_by_certs(c, f->host))
                        continue;
                check_trust_file(c, f->path, f->path, 0);
                check_host(c, f->host, f->path);
        }
        const char *name = NULL;
        json_t *config = NULL;
        json_object_foreach (json_object_get(c->running.registry, "configs"), name, config)
                if (goes_by_certs(c, name))
                        check_host(c, name, c->containerd_path);
}

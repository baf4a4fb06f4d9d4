/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/way.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

enum reason {
        REASON_SWITCHED_OFF,
        REASON_RELAY,
        REASON_VERIFIER,
        REASON_HANDLER,
        REASON_SNAPSHOTTER,
        REASON_DIGEST,
        REASON_NAME,
};

static atomic_uint logged; /* a bit for each reason */

void way_forget(void)
{
        atomic_store(&logged, 0);
}

static char *directly(enum reason reason, const struct way_question *q, const char *text)
{
        unsigned bit = 1u << reason;
        if ((atomic_fetch_or(&logged, bit) & bit) == 0)
                log_line(LOG_LEVEL_INFO, "pulled directly", "reason", text, "reference",
                        q->ref->text, NULL);
        return NULL;
}

static bool is_program(int folder, const char *name)
{
        struct stat s;
        return fstatat(folder, name, &s, 0) == 0 && S_ISREG(s.st_mode) && (s.st_mode & 0111) != 0;
}

/* containerd's verifier plugin runs every program of the directory (plugins/imageverifier). */
static bool has_verifier(const char *directory)
{
        DIR *d = directory != NULL ? opendir(directory) : NULL;
        if (d == NULL)
                return false;
        bool found = false;
        for (const struct dirent *entry; !found && (entry = readdir(d)) != NULL;)
                found = is_program(dirfd(d), entry->d_name);
        closedir(d);
        return found;
}

/* Those that unpack what was pulled, and are done. Others (stargz, soci, nydus, overlaybd) ask the
 * registry again, by the pulled name, while a container runs. */
static bool is_plain_snapshotter(const char *name)
{
        static const char *const plain[] = {
                "overlayfs", "native", "btrfs", "zfs", "erofs", "devmapper", "blockfile"};
        for (size_t i = 0; name != NULL && i < sizeof(plain) / sizeof(plain[0]); i++)
                if (strcmp(name, plain[i]) == 0)
                        return true;
        return false;
}

char *way_relay_name(struct relay *r, const struct way_question *q)
{
        bool has_entry = false;
        const struct config_upstream *entry =
                config_upstream_for(q->config, q->ref->host, &has_entry);
        const char *why = NULL;
        char *name = NULL;
        struct err e;
        if (entry->mirror_count == 0)
                return NULL;
        if (entry->relay == RELAY_OFF)
                return directly(REASON_SWITCHED_OFF, q, "the configuration says so");
        if (!relay_is_usable(r, &why))
                return directly(REASON_RELAY, q, why);
        if (has_verifier(q->config->image_verifier_dir))
                return directly(REASON_VERIFIER, q, "an image verifier is installed");
        if (*q->runtime_handler != '\0')
                return directly(
                        REASON_HANDLER, q, "a runtime handler may choose another snapshotter");
        if (!is_plain_snapshotter(q->backend->snapshotter))
                return directly(REASON_SNAPSHOTTER, q,
                        "the snapshotter may ask for the pulled name again later");
        if (strncmp(q->digest, "sha256:", strlen("sha256:")) != 0)
                return directly(REASON_DIGEST, q, "the digest is not a sha256");
        if (place_name(q->ref->host, q->ref->repository, relay_port(r), &name, &e) < 0)
                return directly(REASON_NAME, q, e.msg);
        return name;
}

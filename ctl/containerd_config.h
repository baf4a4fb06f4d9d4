/* SPDX-License-Identifier: Apache-2.0 */
/*
 * containerd's configuration as its files say it: the main one and what it imports, in containerd's
 * order, each with its format (1, 2, 3) and where its CRI plugin's registry settings stand; and
 * those settings as containerd merges them. The texts may hold secrets. Usable from any thread.
 */
#ifndef CRI_RESOLVED_CONTAINERD_CONFIG_H
#define CRI_RESOLVED_CONTAINERD_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "config/lists.h"

struct containerd_file {
        char *path;
        char *text;
        json_t *values;
        json_t *lines;          /* as of toml_parse */
        int format;             /* its own, else that of the main file */
        struct strings imports; /* absolute, patterns resolved */
};

struct containerd_config {
        struct containerd_file *files; /* the main file first, later ones win */
        size_t count;
};

/*
 * `major` is the version of the containerd that reads it, 0 if that is not known: 1.x looks up
 * patterns without a directory from where it was started, which is "/" for a service. ERR_CONFIG if
 * a file is not there or not TOML: "FILE: ..." or "FILE:LINE: ...".
 */
int containerd_config_load(
        const char *path, int major, struct containerd_config *out, struct err *e) ERR_MUST_CHECK;
void containerd_config_fini(struct containerd_config *c); /* wipes */
#define cleanup_containerd_config cleanup(containerd_config_fini)

/* The keys that lead to the settings in a file of this format; for strings_clear. `below` (may be
 * NULL) is one more. */
struct strings containerd_registry_path(int format, const char *below);
/* What `path` names in a file; NULL: nothing. Borrowed. */
const json_t *containerd_file_value(const struct containerd_file *f, const struct strings *path);
/* Its line, 0 if it is not there. */
int containerd_file_line(const struct containerd_file *f, const struct strings *path);

/*
 * The settings that count: with `deep` (containerd 2) tables of all files are merged key by key,
 * without it (1.x) the last file that has anything of the plugin says all of it. An object, maybe
 * an empty one; a new reference.
 */
json_t *containerd_config_registry(const struct containerd_config *c, bool deep);
/* The last file that has anything of the plugin; the main one if none has. */
const struct containerd_file *containerd_config_decisive(const struct containerd_config *c);

#endif

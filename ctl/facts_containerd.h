/* SPDX-License-Identifier: Apache-2.0 */
/*
 * containerd's configuration file with its imports, as far as registries are concerned: formats 1,
 * 2 and 3, each value with its file and line. One thread.
 *
 * containerd 1.6 and 1.7 take a whole plugin section from the last file that has it; 2.x merges
 * sections key by key (measured with `containerd config dump`).
 */
#ifndef CRI_RESOLVED_FACTS_CONTAINERD_H
#define CRI_RESOLVED_FACTS_CONTAINERD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"
#include "ctl/containerd_config.h"

/* A registry section of one file. */
struct containerd_section {
        size_t file;
        const char *plugin;          /* its key below [plugins] */
        const json_t *table, *lines; /* of `registry`; borrowed from the file */
        int line;
        bool known;  /* containerd looks for it under this name, in this format and version */
        bool counts; /* known, and no later file takes its place */
};

struct containerd_facts {
        struct containerd_config config; /* the files, in the order in which they are merged */
        struct containerd_section *sections;
        size_t section_count;
        int major; /* as it was given */
};

/* `major` is the running containerd's, 0 where it is not known. ERR_CONFIG "file:line:column: what"
 * for what containerd would not start with. */
int containerd_facts_load(
        const char *path, int major, struct containerd_facts *out, struct err *e) ERR_MUST_CHECK;
void containerd_facts_fini(struct containerd_facts *f);
#define cleanup_containerd_facts cleanup(containerd_facts_fini)

/* A value of a registry section that counts, and where it stands. */
struct containerd_value {
        const json_t *value; /* NULL: nowhere */
        const char *file;
        int line;
        const struct containerd_section *section;
};
/* The last one counts. */
struct containerd_value containerd_registry_value(
        const struct containerd_facts *f, const char *key);
/* "" where it is not said or no text; borrowed. */
const char *containerd_config_path(const struct containerd_facts *f);
/* A key of the image plugin itself, such as use_local_image_pull. NULL: nowhere. */
const json_t *containerd_plugin_value(const struct containerd_facts *f, const char *key);
/* The plugin's name in a file of this format. */
const char *containerd_plugin_name(int format);

#endif

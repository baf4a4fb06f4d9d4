/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of the files that we can read the daemon can, too: its unit hides folders from it, and
 * leaves root no capability to read what belongs to others. Usable from any thread.
 */
#ifndef CRI_RESOLVED_FACTS_VIEW_H
#define CRI_RESOLVED_FACTS_VIEW_H

#include <stdbool.h>

#include "base/mem.h"

struct file_view {
        char *root;     /* where we find what its process has at "/"; NULL: none runs */
        bool in_unit;   /* else: whether the unit would start it; if not, nothing is known */
        bool reads_all; /* whatever modes say: by a capability, or as far as we can tell */
};

/* As it is for a process that runs. `proc` is "/proc". */
void file_view_of_process(const char *proc, long pid, struct file_view *out);
/* As packaging/systemd/cri-resolved.service has it. */
void file_view_of_unit(struct file_view *out);
void file_view_fini(struct file_view *v);

/*
 * What keeps it from reading a file that is there: the file itself, or a folder above it that is
 * closed to root; *hidden where it is the unit that shows nothing of it. NULL: nothing, or we
 * cannot say. The caller frees.
 */
char *file_view_obstacle(const struct file_view *v, const char *path, bool *hidden);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files the verb `pin` was given, and their texts. For main's thread.
 */
#ifndef CRI_RESOLVED_PIN_FILES_H
#define CRI_RESOLVED_PIN_FILES_H

#include "ctl/cli.h"

struct pin_list {
        char **paths;
        size_t count;
};

/*
 * A file is itself; a directory is its *.yaml, *.yml and *.tf, sorted, and those of the directories
 * below, but for hidden ones (".git") and those that a symbolic link leads to a second time. What
 * cannot be read is told with cli_fail; returns CLI_OK or that exit code.
 */
int pin_list_add(struct pin_list *l, const struct cli *cli, const char *path);
void pin_list_fini(struct pin_list *l);

/* Of a file, or of standard input for "-", with a NUL behind it. The caller frees. ERR_NOT_FOUND,
 * ERR_SYSTEM, ERR_TOO_LARGE, ERR_CANCELLED. */
int pin_read(const char *path, struct cancel *cancel, char **text, size_t *size,
        struct err *e) ERR_MUST_CHECK;

bool pin_is_hcl(const char *path);

#endif

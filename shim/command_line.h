/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's options, and those that a running one was started with. */
#ifndef CRI_RESOLVED_COMMAND_LINE_H
#define CRI_RESOLVED_COMMAND_LINE_H

#include <stdbool.h>

#define DEFAULT_CONFIG "/etc/cri-resolved/config.toml"

struct command_line {
        char *named; /* the file that was named; NULL: none */
        bool check;
};
void command_line_fini(struct command_line *c);
#define cleanup_command_line cleanup(command_line_fini)

/* Returns an exit code, when all is said and done, or -1 to go on. */
int command_line_read(int argc, char **argv, struct command_line *c);

/* The file that was named, else the default one if it is there. NULL: none. */
const char *command_line_or_default(const char *named);

#endif

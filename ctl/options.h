/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line of cri-resolvectl as its tables say: VERB, options, arguments. For main's
 * thread.
 */
#ifndef CRI_RESOLVED_OPTIONS_H
#define CRI_RESOLVED_OPTIONS_H

#include "ctl/cli.h"

/* What every verb takes; ends with a NULL name. */
extern const struct cli_option options_common[];

/* Values of one option that was given; "" for each time a flag was. */
struct cli_given {
        const struct cli_option *option;
        const char **values;
        size_t count;
};

/*
 * Fills verb, arguments, json, config_path and what was given. Returns -1 to go on, or an exit
 * code: what was asked for (--help, --version) or is wrong has been printed then.
 */
int options_parse(struct cli *cli, int argc, char *const *argv);
void options_fini(struct cli *cli);

const struct verb *options_find_verb(const char *name); /* NULL: there is none */
/* ` (did you mean "resolve"?)`, or "" where nothing known is near. The caller frees. */
char *options_suggest_verb(const char *name);

#endif

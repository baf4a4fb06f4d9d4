/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What --help prints, from the tables of verbs and options. For main's thread.
 */
#ifndef CRI_RESOLVED_HELP_H
#define CRI_RESOLVED_HELP_H

#include <stdio.h>

#include "ctl/cli.h"

void help_all(FILE *to);
void help_verb(FILE *to, const struct verb *verb);

#endif

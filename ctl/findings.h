/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `check` has found: a list of findings, each with its evidence and its remedy, as people and
 * as programs read it. findings.def is the table of all that can be found.
 *
 * A finding is a JSON object from the start: {identifier, severity, area, title, evidence: [{place,
 * text}], leads_to, remedy: {text, steps: [...]}, documentation}. A step is one of
 *     {"action": "replace_lines", "path", "first", "last", "text"}  last = first - 1 inserts before
 *                                                                    first; text "" deletes
 *     {"action": "write_file", "path", "content"}                   the whole file, with its
 * folders
 *     {"action": "run", "command": [...]}
 * in the order in which they are to be done; lines are those before the first step, which works
 * because the steps of one file go from its end to its beginning. One thread.
 */
#ifndef CRI_RESOLVED_FINDINGS_H
#define CRI_RESOLVED_FINDINGS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "ctl/cli.h"

enum severity { SEVERITY_ERROR, SEVERITY_WARNING, SEVERITY_HINT };

enum finding_area {
        AREA_CONTAINERD,
        AREA_KUBELET,
        AREA_CRICTL,
        AREA_CONFIGURATION,
        AREA_MIRRORS,
        AREA_STORE,
        AREA_NETWORK,
        AREA_COUNT,
};
extern const char *const finding_areas[AREA_COUNT]; /* their names */

enum finding_kind {
#define FINDING(symbol, identifier, severity, area, title, leads_to, remedy) FINDING_##symbol,
#include "ctl/findings.def"
#undef FINDING
        FINDING_KINDS
};
const char *finding_identifier(enum finding_kind kind);

/* Adds one to the array `list`. Borrowed from it, for the functions below. */
json_t *finding_add(json_t *list, enum finding_kind kind);
/* Less, or more, than the table says. */
void finding_set_severity(json_t *finding, enum severity severity);
/* `place` is "file:line", a URL or a command. */
void finding_evidence(json_t *finding, const char *place, const char *fmt, ...)
        __attribute__((format(printf, 3, 4)));
void finding_evidence_line(json_t *finding, const char *file, int line, const char *fmt, ...)
        __attribute__((format(printf, 4, 5)));
/* One more sentence to the remedy. */
void finding_advise(json_t *finding, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void finding_replace(json_t *finding, const char *path, int first, int last, const char *text);
void finding_write(json_t *finding, const char *path, const char *content);
void finding_run(json_t *finding, const char *program, ...) __attribute__((sentinel));
/* All of them: where one cannot be said, the others do harm. */
void finding_drop_steps(json_t *finding);

/* What stands in a file or comes from the network, as a finding may say it: without what JSON does
 * not take, and without passwords. */
json_t *finding_text(const char *s);
/* Steps with a password in them are not shown, nor those beside them: there are words instead. */
void findings_hide_passwords(json_t *list);

size_t findings_count(const json_t *list, enum severity severity);
/* For people, grouped by area, worst first; `unseen` areas could not be looked at. */
void findings_print(const struct cli *cli, FILE *to, const json_t *list, size_t unseen);
/* The order of findings_print. */
void findings_sort(json_t *list);

#endif

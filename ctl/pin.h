/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of the verb `pin`: files with what is in them, the references that are asked for, and
 * how all that is told. For main's thread, but for the asking itself.
 */
#ifndef CRI_RESOLVED_PIN_H
#define CRI_RESOLVED_PIN_H

#include "ctl/cli.h"
#include "ctl/credentials.h"
#include "ctl/pin_edit.h"
#include "ctl/resolve.h"

/* Each distinct reference is asked for once. `given` is its full form, borrowed from a target. */
struct pin_questions {
        struct resolve_answer *answers; /* sorted by `given` */
        size_t count;
};

struct pin_file {
        const char *path; /* borrowed */
        char *text;       /* NULL: it could not be read */
        size_t size;
        struct pin_found found;
        struct err err; /* why it could not be read, or written; ERR_NONE */
        char *after;    /* the text as it should be; NULL: not known */
        size_t after_size;
        size_t changes;  /* targets that are not as they should be */
        size_t failures; /* targets whose reference could not be resolved */
        bool is_written;
};

struct pin {
        struct cli *cli;
        bool check, in_place, update, keep_going;
        struct pin_file *files;
        size_t file_count;
        struct pin_questions questions;
};

/* Asks for what the files need, a few at a time. Returns CLI_OK when all have been asked (each with
 * its own result); else what went wrong before has been printed. */
int pin_ask(struct pin *p);
void pin_questions_fini(struct pin_questions *q);
/* The answer to the target's reference; NULL: it was not asked for. Borrowed. */
const struct resolve_answer *pin_answer(const struct pin *p, const struct pin_target *t);
/* Whether the target is not as it should be. */
bool pin_changes(const struct pin *p, const struct pin_target *t);

/* Hints and errors, on standard error. */
void pin_print_remarks(const struct pin *p, const struct pin_file *f);
/* One line per change, for --check. */
void pin_print_changes(const struct pin *p, const struct pin_file *f);
json_t *pin_json(const struct pin *p);

#endif

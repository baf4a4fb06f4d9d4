/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all verbs of cri-resolvectl share: the table of verbs, their options, and how they speak.
 *
 * A verb is a file of its own, ctl/<verb>.c, that defines one `const struct verb verb_<name>` with
 * its help, and is named in cli_verbs. Results go to standard output, as a table for people or,
 * with -o json, as one JSON document; everything else (errors, progress) goes to standard error.
 * Verbs do not exit, they return an exit code: CLI_OK for done, with nothing to report; CLI_FOUND
 * for done, with something to report (drift, findings, changes with --check); CLI_USAGE for wrong
 * arguments; else the cli_exit_code of the error that was printed with cli_fail. main makes of it
 * 130 or 143 after SIGINT or SIGTERM, and 141 where nobody reads standard output any more.
 *
 * One thread, but for cli->cancel, which SIGINT and SIGTERM fire. Both are blocked in all threads:
 * who starts a program unblocks them there. SIGPIPE is ignored.
 */
#ifndef CRI_RESOLVED_CLI_H
#define CRI_RESOLVED_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/cancel.h"
#include "base/err.h"
#include "config/config.h"

enum { CLI_OK = 0, CLI_FOUND = 1, CLI_USAGE = 64 };

/* One option; the table ends with a NULL name. It feeds the parser, --help, the man page and the
 * completion. */
struct cli_option {
        char letter;         /* 0: none */
        const char *name;    /* "check", without dashes */
        const char *value;   /* "FILE"; NULL: a flag */
        const char *doc;     /* one sentence */
        const char *choices; /* "a|b|c", or NULL: anything */
};

struct cli;
struct cli_given;

struct verb {
        const char *name;
        const char *arguments; /* "REF..." for the usage line; "" for none */
        const char *summary;   /* one line, for the list of verbs */
        /* Paragraphs with an empty line between them: filled to the width of 80 columns. Lines that
         * begin with a blank (examples) stay as they are, and are no longer than that. */
        const char *help;
        const struct cli_option *options; /* besides the common ones; may be NULL */
        int (*run)(struct cli *cli);
};
extern const struct verb *const cli_verbs[]; /* ends with NULL */

struct cli {
        const struct verb *verb;
        char *const *arguments; /* what is neither an option nor an option's value */
        size_t argument_count;
        bool json;         /* -o json */
        bool colour;       /* standard output is a terminal that wants it: NO_COLOR, TERM=dumb */
        bool error_colour; /* the same for standard error */
        int width;         /* of the terminal; 80 where there is none; COLUMNS */
        struct cancel *cancel;
        const char *config_path; /* --config, else the daemon's default file if it is there; NULL */
        struct cli_given *given; /* private */
        size_t given_count;      /* private */
        const struct config *config; /* private: cli_config's */
};

/* The value of an option of the verb, NULL if it was not given; "" for a flag that was. The last
 * one counts. */
const char *cli_value(const struct cli *cli, const char *name);
/* All values of an option that may be repeated; *count of them. Borrowed. */
const char *const *cli_values(const struct cli *cli, const char *name, size_t *count);

/* The configuration of --config without its secrets, loaded once and published (config_get); -1
 * with the error. Borrowed from cli. */
int cli_config(struct cli *cli, const struct config **out, struct err *e) ERR_MUST_CHECK;

/* The error's exit code. A file that is not there or cannot be read is no wrong configuration,
 * whichever verb wants it. */
int cli_exit_code(const struct err *e);
/* "cri-resolvectl VERB: message" on standard error; returns the error's exit code. Quiet for
 * ERR_CANCELLED after a signal: who sent it knows. Control characters are escaped. */
int cli_fail(const struct cli *cli, const struct err *e);
/* The same for wrong arguments, with "see cri-resolvectl VERB --help"; returns CLI_USAGE. */
int cli_usage(const struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A remark on standard error. */
void cli_note(const struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prints the document, indented, with a newline; takes it. Returns CLI_OK: main reports whatever
 * could not be written to standard output. */
int cli_print_json(json_t *document);

/* ---- tables for people ---- */

enum cli_style { CLI_PLAIN, CLI_GOOD, CLI_WARN, CLI_BAD, CLI_FAINT, CLI_BOLD };

/* Columns are as wide as their cells; where the whole does not fit into cli->width, the widest ones
 * wrap. Control characters in cells are escaped. No trailing blanks. cli is borrowed until the
 * table is freed. */
struct cli_table;
struct cli_table *cli_table_new(const struct cli *cli, const char *const *titles, size_t columns);
/* `cells` of as many strings as there are columns; NULL is "". The style is that of `styled`, the
 * index of a column, or of the row where it is -1. Copies. */
void cli_table_row(struct cli_table *t, const char *const *cells, int styled, enum cli_style style);
void cli_table_print(struct cli_table *t, FILE *to);
void cli_table_free(struct cli_table *t); /* accepts NULL */

/* Writes s, control characters escaped, with the style's colour where `to` may have it: standard
 * error by cli->error_colour, anything else by cli->colour. */
void cli_print_styled(const struct cli *cli, FILE *to, enum cli_style style, const char *s);

/* Replaces or makes a file: written beside it, synced, renamed; mode, owner and extended attributes
 * as the old one's, as far as we may. Writes where a symbolic link leads. With backup, the old one
 * stays as <path>.<UTC time>.bak. ERR_SYSTEM. */
int cli_write_file(
        const char *path, const void *data, size_t size, bool backup, struct err *e) ERR_MUST_CHECK;
/* The same for a file that still holds `before`; ERR_SYSTEM if it does not. Compared and
 * replaced in one folder, whatever becomes of its name or of links. */
int cli_replace_text(const char *path, const char *before, size_t before_size, const char *after,
        size_t after_size, struct err *e) ERR_MUST_CHECK;
/* Makes the folders above a file that are not there yet. ERR_SYSTEM. */
int cli_make_folders(const char *path, struct err *e) ERR_MUST_CHECK;
/* A unified diff of two texts, coloured where wanted; nothing when they are equal. On a terminal
 * control characters are escaped. */
void cli_print_diff(
        const struct cli *cli, FILE *to, const char *name, const char *before, const char *after);

#endif

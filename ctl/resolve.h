/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the verb `resolve` finds out about each reference, and how that is shown. The parts are
 * filled by the verb's threads, each its own answer, and read when they have ended.
 */
#ifndef CRI_RESOLVED_CTL_RESOLVE_H
#define CRI_RESOLVED_CTL_RESOLVE_H

#include "ctl/cli.h"
#include "ctl/credentials.h"
#include "resolver/ref.h"
#include "resolver/registry.h"

/* What a source says for a tag, beside what the upstream says. */
enum source_state {
        SOURCE_UPSTREAM, /* it is the upstream, and answered */
        SOURCE_CURRENT,
        SOURCE_STALE,   /* another image, made earlier */
        SOURCE_DIFFERS, /* another image; which is older cannot be said */
        SOURCE_ABSENT,  /* it does not know the tag */
        SOURCE_FAILED,
        SOURCE_UNKNOWN, /* the upstream did not answer: there is nothing to compare with */
};

struct source_answer {
        char *name; /* the mirror's URL, or the upstream's host */
        bool is_mirror;
        enum source_state state;
        char digest[DIGEST_MAX]; /* "": none */
        char *created;           /* NULL: not known */
        int64_t behind_s;        /* SOURCE_STALE */
        struct err err;          /* SOURCE_FAILED, SOURCE_ABSENT */
};

struct resolve_answer {
        const char *given; /* borrowed from the command line */
        struct ref ref;    /* zeroed if it does not parse */
        struct credentials_held credentials;
        struct err err; /* code ERR_NONE: the upstream answered */
        char digest[DIGEST_MAX];
        char *resolved;                /* name@digest; NULL: none */
        struct source_answer *sources; /* with --all: the upstream, then its mirrors */
        size_t source_count;
};
void resolve_answer_fini(struct resolve_answer *a);

/* Reads what was given and finds its credentials; what is wrong with one answer stands in its err.
 * CLI_OK, or CLI_USAGE when one password would be shown to several registries. */
int resolve_prepare(const struct cli *cli, struct resolve_answer *answers, size_t count,
        struct credential_source *source);

/* Some messages of resolve() begin with the reference, which is said anyhow: it is cut off. */
void resolve_cut_reference(const struct ref *r, struct err *e);
/* Sets state and behind_s of each mirror that answered. Pure. */
void resolve_compare(struct resolve_answer *a);

/* One line on standard error for what failed, with what to do next. */
void resolve_print_error(const struct cli *cli, const struct resolve_answer *a);
void resolve_print_table(const struct cli *cli, const struct resolve_answer *a);
json_t *resolve_json(const struct resolve_answer *answers, size_t count);

#endif

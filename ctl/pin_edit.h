/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Image references in a text, and the changes that pin them to digests. Who knows a language finds
 * the places (pin_find_yaml, pin_find_hcl) and gives them to pin_add_*; those decide what changes.
 * Nothing is asked of anybody here: digests are put in by pin_apply. Pure; one thread at a time.
 *
 * Every byte outside of the edits stays as it is.
 */
#ifndef CRI_RESOLVED_PIN_EDIT_H
#define CRI_RESOLVED_PIN_EDIT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum pin_style {
        PIN_TAG,     /* name:tag@digest */
        PIN_COMMENT, /* name@digest # was tag; PIN_TAG where the language has no room for it */
};

struct pin_options {
        enum pin_style style;
        bool update; /* also what was pinned earlier, where its tag is known */
};

/* `length` bytes at `offset` become before + digest + after; either may be NULL. */
struct pin_edit {
        size_t offset, length;
        char *before;
        bool has_digest; /* else: before alone */
        char *after;
};

struct pin_target {
        char *written;            /* with its tag, as people know it: "nginx:1.27" */
        char *reference;          /* in full, as ref_parse says it: what is to be resolved */
        char *pinned;             /* the digest that stands there; NULL: none */
        int line;                 /* from 1 */
        struct pin_edit edits[2]; /* in the order of the text */
        size_t edit_count;
        bool dropped; /* private */
};

/* What was seen and left alone. */
struct pin_hint {
        int line;
        char *message;
        bool dropped; /* private */
};

struct pin_found {
        const char *text; /* borrowed */
        size_t size;
        struct pin_options options;
        struct pin_target *targets; /* in the order of the text */
        size_t target_count, target_capacity;
        struct pin_hint *hints;
        size_t hint_count, hint_capacity;
};

void pin_found_init(
        struct pin_found *f, const char *text, size_t size, const struct pin_options *options);
void pin_found_fini(struct pin_found *f);
#define cleanup_pin_found cleanup(pin_found_fini)

/* ---- finding: both fill *f, once. ERR_CONFIG "name:line:column: what", ERR_TOO_LARGE ---- */

/* YAML and JSON. A Go template is a hint, and nothing else. */
int pin_find_yaml(struct pin_found *f, const char *name, struct err *e) ERR_MUST_CHECK;
/* Terraform's language. */
int pin_find_hcl(struct pin_found *f, const char *name, struct err *e) ERR_MUST_CHECK;

/* ---- changing ---- */

/* The text with all edits of those targets for which digest_for knows a digest; the others stay.
 * The caller frees; *size may be NULL. A NUL follows that is not counted. */
char *pin_apply(const struct pin_found *f,
        const char *(*digest_for)(void *arg, const struct pin_target *target), void *arg,
        size_t *size);

/* ---- for the finders ---- */

/* Where a value stands. */
struct pin_place {
        size_t start, end; /* without quotes */
        size_t after;      /* behind the closing quote */
        int line;
        bool can_comment;   /* a comment may follow on its line */
        bool is_hcl;        /* a comma may stand before that comment, which may begin with // */
        bool tag_is_nearby; /* another key looks like the tag of this one */
        const char *quote;  /* put around what replaces an empty value: "\"" or "" */
        bool needs_a_blank; /* nothing stands between it and the colon before it */
};

/* A value that should be a whole reference. */
void pin_add_reference(struct pin_found *f, const struct pin_place *place);
/* A name with its tag elsewhere, and the value of their digest: pinned already, or empty. */
void pin_add_digest(struct pin_found *f, const char *name, const char *tag, int line,
        const struct pin_place *digest);
/* A tag that has no digest beside it yet. In the style PIN_TAG (and where no comment fits) `before`
 * digest `after` goes in front of its key, at key_start; else `key` digest takes the place of both.
 */
struct pin_new_digest {
        size_t key_start;
        const char *key;            /* "digest: " */
        const char *before, *after; /* NULL: it has no room */
};
void pin_add_tag(struct pin_found *f, const char *name, const char *tag,
        const struct pin_place *place, const struct pin_new_digest *new_digest);

/* A tag that has its digest in itself, "1.27@sha256:...", with the name elsewhere. */
void pin_add_pinned_tag(struct pin_found *f, const char *name, const struct pin_place *place);

void pin_add_hint(struct pin_found *f, int line, const char *fmt, ...)
        __attribute__((format(printf, 3, 4)));
/* What was added from these counts on is forgotten. */
void pin_drop(struct pin_found *f, size_t first_target, size_t end_target, size_t first_hint,
        size_t end_hint);
/* Puts all in order; the last call of a finder. */
void pin_found_finish(struct pin_found *f);

#endif

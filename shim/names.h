/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of the image names of this node: where containerd's records point, which digests
 * the upstream has vouched for, and whether somebody else has moved a tag. In memory, bounded; what
 * is forgotten counts as unclear, and what is unclear accuses nobody.
 *
 * It has no lock of its own: its owner (containers.c) has one. Nothing here blocks.
 *
 * Order. Pulls tell what they write while the worker reads the whole store ("a look"), and a look
 * is a view of the past. All that happens has a number (`at`) that only grows; a look has the
 * number of its beginning, and says nothing about a name for which something has happened since.
 */
#ifndef CRI_RESOLVED_NAMES_H
#define CRI_RESOLVED_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/err.h"
#include "shim/shelf.h"

enum {
        NAMES_MAX = 8192,
        NAMES_OWN_MAX = 16, /* the last digests of a name that were ours */
        NAMES_TEXT_BYTES = 1024,
};

struct name_own {
        char *digest;
        bool verified; /* by the upstream; else a mirror said so, as the configuration permits */
};

struct name {
        char *text; /* as containerd has it: "repository:tag" or "repository@digest" */
        /* The record, at the last look. */
        char *digest;       /* NULL: there is none */
        int64_t labelled_s; /* when the upstream said so, by our label there; 0: it does not say */
        uint64_t look;
        /* The record at the first look of all: what was there before us is nobody's deed. */
        char *first; /* NULL: there was none */
        bool first_known;
        /* What the upstream said last. */
        char *verified; /* NULL: not known */
        int64_t verified_s;
        int64_t moved_s; /* since when it says that, as far as we know */
        struct name_own own[NAMES_OWN_MAX];
        size_t own_next;
        uint64_t own_at;     /* when something of ours happened last */
        unsigned own_events; /* that our writes are about to cause */
        /* containerd's image events. */
        uint64_t event_at; /* 0: none was seen */
        int64_t event_s;
        bool pending;  /* nobody has looked since */
        char *foreign; /* somebody else has pointed it at this, never verified; else NULL */
        int64_t foreign_s;
        /* What the log has been told of the containers of that digest, so that it is told once. */
        char *told_digest;
        int told_verdict;
        /* The background pass. */
        int64_t checked_s; /* 0: never */
        char upstream[DIGEST_MAX];
        enum err_code check_error; /* ERR_NONE: `upstream` is the answer */
};

struct names {
        struct shelf all;
        uint64_t looks;   /* begun */
        uint64_t look_at; /* number of the present look's beginning */
        uint64_t previous_look_at;
        uint64_t doubt_at; /* when events may have been missed last */
        bool complete;     /* one look has been completed, and nothing was left out */
        bool overflowed;
};
void names_fini(struct names *n);

struct name *names_find(const struct names *n, const char *text);

/* ---- what happens ---- */

/* We are about to write the record: to point it at the digest, or to label it. */
void names_writing(
        struct names *n, const char *text, const char *digest, bool verified, uint64_t at);
/* The upstream says that the name is the digest, and the record says so now. */
void names_verified(
        struct names *n, const char *text, const char *digest, int64_t unix_s, uint64_t at);
/* An image event for the name, whoever caused it. */
void names_event(struct names *n, const char *text, int64_t unix_s, uint64_t at);

/* Events may have been missed, of any name: nothing is beyond doubt until the next look. */
void names_doubt(struct names *n, uint64_t at);

/* What the upstream answered to the background pass: `digest`, or NULL and why there is none. True:
 * it is news that the upstream has something else than containerd. */
bool names_checked(
        struct names *n, const char *text, const char *digest, enum err_code error, int64_t unix_s);

/* ---- a look at containerd's store ---- */

struct name_record {
        const char *text, *digest;
        bool is_tag;
        bool exempt; /* others may write it: containerd its sandbox image, or mode = "passthrough"
                      */
        int64_t labelled_s;        /* by the label on this record */
        bool by_mirror;            /* our label says: on a mirror's word */
        int64_t digest_labelled_s; /* by the label on the record repository@digest */
};
void names_look_begin(struct names *n, uint64_t at);
/* True: it has just become clear that somebody else has moved this tag; see `foreign`. */
bool names_look_at(struct names *n, const struct name_record *r);
void names_look_end(struct names *n);

/* Whether it is news for the log that containers of the name which run the digest are worth that;
 * it is news only once. Of a name that is not known it is always news. */
bool names_tell(struct names *n, const char *text, const char *digest, int verdict);

/* ---- what it means ---- */

/* Did the upstream once say that the name is the digest? In memory, that is. */
bool name_owns(const struct name *n, const char *digest);
/* Has somebody else moved the tag, beyond doubt? Accepts NULL. */
bool name_is_foreign(const struct name *n);

#endif

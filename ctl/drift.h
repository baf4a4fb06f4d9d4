/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the verb `drift` finds out: the tags and running containers of a containerd, what the
 * upstreams say of them, and how they compare. Filled and read by one thread; while upstreams are
 * asked (drift_ask), each answer by the thread that got it.
 */
#ifndef CRI_RESOLVED_DRIFT_H
#define CRI_RESOLVED_DRIFT_H

#include <jansson.h>

#include "ctl/cli.h"
#include "ctl/credentials.h"
#include "resolver/ref.h"
#include "resolver/registry.h"

enum drift_state {
        DRIFT_CURRENT,
        DRIFT_MOVED,          /* a tag: the upstream names another digest */
        DRIFT_OLDER,          /* a container: a newer image is at the upstream alone */
        DRIFT_RESTART_NEEDED, /* a container: a newer image is here already */
        DRIFT_GONE,           /* the upstream does not know the tag (any more) */
        DRIFT_UNKNOWN,
        DRIFT_STATES,
};
const char *drift_state_name(enum drift_state state);

/* One record of containerd's image store. */
struct drift_image {
        char *name;
        char *digest;
        char *id;           /* of the image, as CRI has it; NULL: not known */
        int64_t verified_s; /* when the upstream last said so, by our label; 0: not known */
        int64_t updated_s;  /* when containerd last wrote the record; 0: not known */
};

enum drift_mirror_state {
        DRIFT_MIRROR_CURRENT,
        DRIFT_MIRROR_STALE, /* another digest than the upstream's */
        DRIFT_MIRROR_ABSENT,
        DRIFT_MIRROR_DOWN,
        DRIFT_MIRROR_UNKNOWN, /* it answered, the upstream did not */
        DRIFT_MIRROR_STATES,
};

struct drift_mirror {
        const char *url; /* borrowed from the configuration */
        struct err err;  /* code ERR_NONE: it answered */
        char digest[DIGEST_MAX];
        enum drift_mirror_state state;
};

struct drift_tag {
        struct ref ref;
        const struct drift_image *image; /* NULL: containerd lacks it, a container names it */
        bool wanted;                     /* is to be shown as a tag */
        bool named;                      /* by a container that is to be shown */
        struct credentials_held credentials;
        struct err err; /* code ERR_NONE: the upstream answered */
        char digest[DIGEST_MAX];
        enum drift_state state;
        const char *reason; /* of DRIFT_UNKNOWN; static */
        struct drift_mirror *mirrors;
        size_t mirror_count;
};

struct drift_container {
        char *id, *name, *pod, *namespace; /* the last three may be NULL */
        char *said;        /* the reference that it was started from; NULL: not known */
        char *image_id;    /* "sha256:..." */
        int64_t created_s; /* 0: not known */
        struct ref ref;    /* of `said`; zeroed without */
        /* What it runs, by the name that it has in the tag's repository, else by another; borrowed
         * from an image; NULL: not known. */
        const char *digest;
        struct drift_tag *tag; /* NULL: it names none */
        enum drift_state state;
        const char *reason;
};

struct drift {
        struct drift_image *images;
        size_t image_count;
        struct drift_container *containers;
        size_t container_count;
        struct drift_tag *tags; /* by host and name; then those that containers alone name */
        size_t tag_count;
};
void drift_fini(struct drift *d);

/* ---- what there is (drift_read.c) ---- */

/* Fills images and, where wanted, containers from the configuration's sockets. ERR_UNAUTHORIZED
 * when we may not open them, ERR_BACKEND, ERR_CANCELLED; anything else as containerd says it. */
int drift_read(struct drift *d, const struct config *c, bool containers, struct cancel *cancel,
        struct err *e) ERR_MUST_CHECK;

/* ---- the containers, from the daemon (drift_daemon.c) ---- */

/* Its rows; NULL where it is not there, follows no containers, or does not know all of them. The
 * caller decrefs. */
json_t *drift_ask_daemon(const struct config *c, struct cancel *cancel);
void drift_add_rows(struct drift *d, const json_t *rows);
/* When images are there: which of them the rows' image IDs stand for. */
void drift_name_ids(struct drift *d, const json_t *rows);

/* ---- what of it is looked at (drift_gather.c); pure ---- */

struct drift_wanted {
        bool tags, containers;
        const char *const *hosts; /* of these upstreams alone, as in normalised references */
        size_t host_count;        /* 0: of all */
};

void drift_add_image(struct drift *d, const char *name, const char *digest, int64_t verified_s,
        int64_t updated_s);
/* The image's ID for the record of that name, if it is there. Several digests may have one ID: an
 * index and the manifest in it. */
void drift_name_id(struct drift *d, const char *name, const char *id);
/* The same for all records of that digest: it is of one image only, on this node. Accepts NULL. */
void drift_name_digest(struct drift *d, const char *digest, const char *id);
/* Whether the image with this ID has that digest. */
bool drift_has_digest(const struct drift *d, const char *image_id, const char *digest);
/* A tag of a registry: no digest, no image ID, nothing that is the relay's, nothing that CRI would
 * call otherwise. *r is the caller's then. */
bool drift_is_tag(const char *name, struct ref *r);

/* Once, when images and containers are complete: makes tags, drops containers that are not wanted,
 * puts all in order. */
void drift_gather(struct drift *d, const struct drift_wanted *w);

/* ---- what the upstreams say (drift_ask.c) ---- */

/* Whether a server is to be asked any more. */
struct drift_lane {
        const char *name;    /* the upstream's host, or the mirror's URL */
        unsigned in_vain;    /* failures to reach it, one after the other */
        struct err given_up; /* code ERR_NONE: it is asked */
};
/* Takes note of an outcome. A server that asks us to wait, or cannot be reached twice on end, is
 * left alone. Pure. */
void drift_lane_note(struct drift_lane *lane, const struct err *outcome);

/* Asks for each tag that is wanted or named, with its credentials, and with `mirrors` the
 * upstream's mirrors too. Failures are in the tags. */
void drift_ask(struct drift *d, const struct config *c, bool mirrors, struct cancel *cancel);

/* ---- how they compare (drift_judge.c); pure ---- */

struct drift_only {
        bool states[DRIFT_STATES];
};

void drift_judge(struct drift *d);
bool drift_shows_tag(const struct drift_only *only, const struct drift_tag *t);
bool drift_shows_container(const struct drift_only *only, const struct drift_container *c);
/* All of them, shown or not. */
struct drift_counts {
        size_t tags[DRIFT_STATES], containers[DRIFT_STATES];
};
struct drift_counts drift_count(const struct drift *d);
/* CLI_FOUND for what is shown and not current; else the highest exit code of what is unknown, shown
 * or not; else CLI_OK. */
int drift_exit_code(const struct drift *d, const struct drift_only *only);

/* ---- how it is shown (drift_show.c, drift_json.c) ---- */

const char *drift_mirror_state_name(enum drift_mirror_state state);
/* When the digest that is here was last known to be the upstream's. 0: not known. */
int64_t drift_as_of(const struct drift_tag *t);
void drift_print(const struct cli *cli, const struct drift *d, const struct drift_only *only);
/* What failed, on standard error: once for each upstream and kind of failure. */
void drift_print_errors(const struct cli *cli, const struct drift *d);
json_t *drift_json(const struct drift *d, const struct drift_only *only);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One question to a registry, through its redirects, challenges, refusals and retries: the
 * mechanism under registry_resolve and registry_open, and between the files of registry. A question
 * is one thread's; blocks it.
 */
#ifndef CRI_RESOLVED_QUESTION_H
#define CRI_RESOLVED_QUESTION_H

#include "resolver/answer.h"
#include "resolver/auth_memory.h"
#include "resolver/login.h"
#include "resolver/registry.h"

/* What containerd's resolver accepts: the answer must be the digest that containerd would get. */
#define QUESTION_ACCEPT_MANIFEST                                                                   \
        "Accept: application/vnd.docker.distribution.manifest.v2+json, "                           \
        "application/vnd.docker.distribution.manifest.list.v2+json, "                              \
        "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*"

struct registry {
        struct http_pool *pool;
        struct auth_memory *memory;
};

/* What is asked for, where, and with how much patience. Borrowed for the life of the question. */
struct question_terms {
        const struct upstream *upstream;
        const struct credentials *credentials;
        const char *repository;
        const char *reference;
        const char *path;    /* behind the repository, with its query: "manifests/v1" */
        const char *accept;  /* "Accept: ..." */
        int64_t offset;      /* of the first byte that is wanted */
        int64_t deadline_ms; /* of it all; monotonic */
        int64_t timeout_ms;  /* of one request */
        int64_t connect_timeout_ms;
        int64_t token_reuse_ms;
        bool patient;                 /* what may pass is tried again, and Retry-After waited for */
        struct metrics_series *heads; /* counts HEAD requests; NULL: nobody does */
        int watch_fd;                 /* as in http.h */
        struct cancel *cancel;
};

enum question_shown {
        QUESTION_SHOWN_NOTHING,
        QUESTION_SHOWN_BASIC,
        QUESTION_SHOWN_GIVEN_TOKEN,
        QUESTION_SHOWN_OLD_TOKEN,
        QUESTION_SHOWN_NEW_TOKEN,
};

struct question {
        struct registry *registry;
        struct question_terms terms;
        struct login own;
        struct login anonymous;
        char *home; /* the upstream's origin: the only one that sees credentials */
        struct auth_memory *elsewhere; /* of servers behind redirects; NULL: none yet */
        bool home_is_local;

        enum http_method method;
        char *url;
        char *origin;
        enum question_shown shown;
        char *token; /* that was shown */
        unsigned requests, redirects, fresh_tokens;
        bool retried;
        bool challenged;        /* by an answer to this very question */
        int64_t retry_after_ms; /* what the last answer, or a token server, asks for; -1: nothing */
        int64_t sent_ns, answered_ns;
};

int question_init(struct question *s, struct registry *r, const struct question_terms *t,
        struct err *e) ERR_MUST_CHECK;
void question_fini(struct question *s);
#define cleanup_question cleanup(question_fini)

/* Asks until there is an answer that no retry changes: any status but 401, 408, 429, redirects and
 * those from 500 (and 501 to a HEAD). With `stream`, a body of success is left to be read from
 * there (see http_open). */
int question_ask(struct question *s, enum http_method method, struct http_response *r,
        struct http_stream **stream, struct err *e) ERR_MUST_CHECK;

/* The error that belongs to a status which is not the wanted one. */
int question_refuse(const struct question *s, int status, struct err *e);

const char *question_method(const struct question *s);
/* Whether the present URL is the upstream's own. */
bool question_is_home(const struct question *s);
/* How the present URL is trusted. Borrowed from the question. */
struct http_trust question_trust(const struct question *s);

/* ---- question_auth.c ---- */

/* What to do after an answer or a failure; FAIL comes with an error. */
enum question_next { QUESTION_FAIL = -1, QUESTION_DONE, QUESTION_AGAIN };

/* Adds what the registry is known to ask for, with whatever token it takes. */
int question_authorize(struct question *s, struct lines *lines, struct err *e) ERR_MUST_CHECK;
/* After a 401. */
enum question_next question_after_challenge(
        struct question *s, const struct http_response *r, struct err *e);

#endif

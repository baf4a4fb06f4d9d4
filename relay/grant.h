/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A grant: the right of one containerd pull to read one repository through the relay, and what was
 * seen of that pull. It has a password of its own, is good for digests of its repository alone, and
 * is dead when its flight ends. Who shows no living grant gets no byte.
 *
 * The flight issues it, revokes it, and then reads what happened. Requests hold a reference each.
 * Safe from any thread.
 */
#ifndef CRI_RESOLVED_GRANT_H
#define CRI_RESOLVED_GRANT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/digest.h"
#include "base/mem.h"
#include "relay/body.h"
#include "relay/progress.h"
#include "resolver/registry.h"
#include "resolver/route.h"

#define GRANT_USER "cri-resolved"

struct grant_spec {
        const char *name; /* of the repository at the relay: "cri-resolved/ghcr.io/a/b" */
        const char *host; /* of the upstream: "ghcr.io" */
        const char *repository;
        const char *reference;                 /* what is pulled, for the log */
        struct route *route;                   /* becomes the grant's */
        const struct credentials *credentials; /* for the upstream alone; copied */
        /* Fired when nobody has asked the relay for this name within GRANT_REACH_MS: containerd
         * asks somebody else (grant_captured). The flight's; must live until grant_revoke. */
        struct cancel *on_capture;
        struct progress *progress; /* for who watches; shared. NULL: nobody */
};

enum { GRANT_REACH_MS = 4000 };

struct grants; /* the living ones */
struct grants *grants_new(void);
void grants_free(struct grants *t); /* none may be left; accepts NULL */
/* Another time than GRANT_REACH_MS: for tests. */
void grants_set_reach(struct grants *t, int64_t reach_ms);

/* One reference, the caller's. */
struct grant *grant_issue(struct grants *t, const struct grant_spec *spec);
/* Ends it: no request gets in any more, and those that are in are cancelled. */
void grant_revoke(struct grants *t, struct grant *g);
struct grant *grant_share(struct grant *g); /* another reference */
void grant_put(struct grant *g);            /* accepts NULL */
DEFINE_CLEANUP(struct grant, grant_put)
#define cleanup_grant cleanup(grant_put_at)

/* The living grant with this Authorization header; a reference, or NULL. */
struct grant *grants_find(struct grants *t, const char *authorization);
/* Somebody asks for this path, with or without a grant: containerd has found the relay. */
void grants_reached(struct grants *t, const char *path);
/* Fires on_capture of those that were not reached in time. False when no grant is waited for. */
bool grants_check_reach(struct grants *t);

/* Constant while the grant is referenced. */
const char *grant_password(const struct grant *g);
const struct grant_spec *grant_spec_of(const struct grant *g); /* credentials: the copy */
struct cancel *grant_cancel(struct grant *g);                  /* fires with grant_revoke */
/* After grant_revoke: nobody has asked the relay for its name. */
bool grant_unreached(struct grant *g);
/* Its on_capture was fired. */
bool grant_captured(struct grant *g);

/* ---- what happened ---- */

/* A source is not asked any more in this pull: it has lied once. */
void grant_exclude(struct grant *g, size_t source);
bool grant_excluded(struct grant *g, size_t source);
void grant_count_bytes(struct grant *g, size_t source, size_t bytes);
/* "http://10.0.0.1:5000: 1234 bytes, ghcr.io: 17 bytes"; "" if nothing came. The caller frees. */
char *grant_sources_text(struct grant *g);
uint64_t grant_bytes_of(struct grant *g, size_t source);

/* Why a source was left, for the error of the pull. Its first reason counts, shortened: each source
 * has its place, however many blobs it failed for and however much there is to say of others. */
void grant_note_failure(struct grant *g, size_t source, const char *why);
/* "a: why; b: why", in the order of the route; the caller frees. */
char *grant_failures_text(struct grant *g);

/* What a verified manifest says of a digest; see manifest_each. Of sizes the first counts. */
void grant_learn(struct grant *g, const char *digest, int64_t size_bytes, const char *ref);
/* What the manifests of an earlier try said (containerd may have kept them, and not ask again), and
 * which sources failed in it. Both grants are of the same image, by the same configuration. */
void grant_inherit(struct grant *g, struct grant *earlier);
int64_t grant_size_of(struct grant *g, const char *digest); /* -1: not known */
/* The ingest that this pull writes the digest to; the caller frees. NULL if that is not certain: no
 * manifest has said it, or two refs are possible. */
char *grant_ref_of(struct grant *g, const char *digest);

/* Digests by what happened to them, each once. */
enum grant_list {
        GRANT_SPOILT,  /* cut short after bytes had left: locked, for the flight to clean */
        GRANT_REFUSED, /* refused because another pull has spoilt them */
        GRANT_LISTS
};
/* False once the grant is revoked: the flight has read its lists. */
bool grant_add(struct grant *g, enum grant_list list, const char *digest);
bool grant_has(struct grant *g, enum grant_list list, const char *digest);
size_t grant_count(struct grant *g, enum grant_list list);
void grant_at(
        struct grant *g, enum grant_list list, size_t index, char digest[DIGEST_SHA256_SIZE + 1]);

/* Verified manifests, kept for the request after this one: containerd asks with HEAD first. */
void grant_keep(struct grant *g, struct body *b);
struct body *grant_kept(struct grant *g, const char *digest); /* a reference, or NULL */

#endif

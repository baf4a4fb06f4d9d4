/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a running container's image is worth, from what is known of it. Pure.
 */
#ifndef CRI_RESOLVED_CONTAINER_VERDICT_H
#define CRI_RESOLVED_CONTAINER_VERDICT_H

#include "config/lists.h"
#include "resolver/ref.h"
#include "shim/names.h"

enum container_verdict {
        CONTAINER_UNKNOWN,    /* what it runs, or by which name, is not known (yet) */
        CONTAINER_CURRENT,    /* the digest that was last verified for its reference */
        CONTAINER_OLDER,      /* one that was verified too, but the reference has moved since */
        CONTAINER_UNVERIFIED, /* one that was never verified by us */
        CONTAINER_VERDICTS,
};
const char *container_verdict_name(enum container_verdict v);

/* An image can have several digests (an index, and the manifest in it): any of them will do. */
struct container_image {
        struct ref ref; /* of what the pod says; text NULL: not known */
        struct strings digests;
};
enum container_verdict container_judge(const struct names *n, const struct container_image *i);
/* Of its digests the one that its repository knows, or is verified, else the first; NULL: none. */
const char *container_digest(const struct names *n, const struct container_image *i);

/* What an upstream's answer of the background pass says of the container. */
enum container_restart {
        RESTART_NOT_ASKED,
        RESTART_SAME,
        RESTART_DIFFERENT, /* with imagePullPolicy Always */
        RESTART_UNKNOWN,   /* the upstream could not say; see name.check_error */
};
const char *container_restart_name(enum container_restart r); /* NULL: not asked */
enum container_restart container_restart(
        const struct names *n, const struct container_image *i, const struct name **asked);

/* ---- at its creation ---- */

struct creation_facts {
        const struct names *names;
        const struct ref *ref;    /* of what the runtime names as the image; text NULL: nothing */
        bool following;           /* image events arrive */
        bool pods_own_string;     /* ref is what the pod says, not another name of the image */
        enum enforcement enforce; /* of the reference's upstream */
};
/* May it be refused, by all the rules of docs/nri.md? The name says why, else NULL. */
const struct name *creation_refused(const struct creation_facts *f);
/* The digest that the reference has now, if that is beyond doubt, else NULL; *verified_s is when
 * the upstream said so last, 0 if it never did. */
const char *creation_digest(const struct creation_facts *f, int64_t *verified_s);

/* "v2.1.9" and "2.1.9" name the pod's own string if kubelet gives it to them, "1.7.24" and what
 * nobody knows do not. */
bool creation_runtime_is_exact(const char *runtime, const char *version);

/* Does kubelet give the runtime the pod's own string (from Kubernetes 1.28 on)? If it does not, the
 * runtime takes one of the image's names, and nothing at the creation tells the one from the other;
 * CRI shows later what was given. So the newest container of kubelet's decides. Zeroed: none was
 * seen yet, and it does not. */
struct kubelet_habit {
        int64_t newest_ns;
        bool gives_string;
};
/* A container that kubelet made then. */
void kubelet_made(struct kubelet_habit *k, int64_t created_ns, bool gave_string);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/container_verdict.h"

#include <string.h>

enum { EXACT_FROM_MAJOR = 2 };

const char *container_verdict_name(enum container_verdict v)
{
        static const char *const names[CONTAINER_VERDICTS] = {
                [CONTAINER_UNKNOWN] = "unknown",
                [CONTAINER_CURRENT] = "current",
                [CONTAINER_OLDER] = "older",
                [CONTAINER_UNVERIFIED] = "unverified",
        };
        return names[v];
}

const char *container_restart_name(enum container_restart r)
{
        static const char *const names[] = {
                [RESTART_NOT_ASKED] = NULL,
                [RESTART_SAME] = "same",
                [RESTART_DIFFERENT] = "different",
                [RESTART_UNKNOWN] = "unknown",
        };
        return names[r];
}

/* The name repository@digest, NULL if containerd has no such record. */
static const struct name *by_digest(
        const struct names *n, const struct ref *ref, const char *digest)
{
        cleanup_free char *text = ref_with_digest(ref, digest);
        const struct name *name = names_find(n, text);
        return name != NULL && name->digest != NULL ? name : NULL;
}

/* Did the upstream ever vouch for this digest, for the reference or for its repository? */
static bool was_verified(const struct names *n, const struct ref *ref, const char *digest)
{
        const struct name *tag = names_find(n, ref->text);
        const struct name *name = by_digest(n, ref, digest);
        return (tag != NULL && name_owns(tag, digest)) ||
               (name != NULL && (name->labelled_s != 0 || name_owns(name, digest)));
}

enum container_verdict container_judge(const struct names *n, const struct container_image *i)
{
        if (i->ref.text == NULL || i->digests.count == 0)
                return CONTAINER_UNKNOWN;
        const struct name *name = names_find(n, i->ref.text);
        const char *last = name != NULL ? name->verified : NULL;
        if (last != NULL && strings_has(&i->digests, last))
                return CONTAINER_CURRENT;
        for (size_t d = 0; d < i->digests.count; d++)
                if (was_verified(n, &i->ref, i->digests.items[d]))
                        return last != NULL ? CONTAINER_OLDER : CONTAINER_CURRENT;
        return CONTAINER_UNVERIFIED;
}

const char *container_digest(const struct names *n, const struct container_image *i)
{
        if (i->digests.count == 0)
                return NULL;
        for (size_t d = 0; i->ref.text != NULL && d < i->digests.count; d++)
                if (was_verified(n, &i->ref, i->digests.items[d]))
                        return i->digests.items[d];
        for (size_t d = 0; i->ref.text != NULL && d < i->digests.count; d++)
                if (by_digest(n, &i->ref, i->digests.items[d]) != NULL)
                        return i->digests.items[d];
        return i->digests.items[0];
}

enum container_restart container_restart(
        const struct names *n, const struct container_image *i, const struct name **asked)
{
        *asked = i->ref.text != NULL ? names_find(n, i->ref.text) : NULL;
        if (*asked == NULL || (*asked)->checked_s == 0)
                return RESTART_NOT_ASKED;
        if ((*asked)->check_error != ERR_NONE || i->digests.count == 0)
                return RESTART_UNKNOWN;
        return strings_has(&i->digests, (*asked)->upstream) ? RESTART_SAME : RESTART_DIFFERENT;
}

/* ---- at its creation ---- */

const struct name *creation_refused(const struct creation_facts *f)
{
        if (f->enforce != ENFORCE_REFUSE || !f->pods_own_string || !f->following ||
                f->ref->text == NULL || f->ref->tag == NULL)
                return NULL;
        const struct name *name = names_find(f->names, f->ref->text);
        return name_is_foreign(name) ? name : NULL;
}

const char *creation_digest(const struct creation_facts *f, int64_t *verified_s)
{
        *verified_s = 0;
        const struct name *name = f->ref->text != NULL ? names_find(f->names, f->ref->text) : NULL;
        if (name == NULL || name->digest == NULL)
                return NULL;
        bool moves = f->ref->digest == NULL;
        if (moves && (name->pending || !f->following))
                return NULL;
        if (name->verified != NULL && strcmp(name->verified, name->digest) == 0)
                *verified_s = name->verified_s;
        return moves ? name->digest : f->ref->digest;
}

bool creation_runtime_is_exact(const char *runtime, const char *version)
{
        if (runtime == NULL || version == NULL || strcmp(runtime, "containerd") != 0)
                return false;
        return strtol(version + (version[0] == 'v'), NULL, 10) >= EXACT_FROM_MAJOR;
}

/* Of two at the same moment nobody knows which is the newer one. */
void kubelet_made(struct kubelet_habit *k, int64_t created_ns, bool gave_string)
{
        if (created_ns == k->newest_ns)
                k->gives_string &= gave_string;
        if (created_ns <= k->newest_ns)
                return;
        k->newest_ns = created_ns;
        k->gives_string = gave_string;
}

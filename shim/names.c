/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/names.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { WEED_FROM = NAMES_MAX / 4 * 3 };

static bool same(const char *a, const char *b)
{
        return a != NULL && b != NULL && strcmp(a, b) == 0;
}

static void set(char **to, const char *text)
{
        char *copy = mem_strdup_or_null(text);
        free(*to);
        *to = copy;
}

static void free_name(void *thing)
{
        struct name *n = thing;
        for (size_t i = 0; i < NAMES_OWN_MAX; i++)
                free(n->own[i].digest);
        free(n->text);
        free(n->digest);
        free(n->first);
        free(n->verified);
        free(n->foreign);
        free(n->told_digest);
        free(n);
}

void names_fini(struct names *n)
{
        shelf_fini(&n->all, free_name);
}

struct name *names_find(const struct names *n, const char *text)
{
        return shelf_find(&n->all, text);
}

/* NULL: there is no room. */
static struct name *get(struct names *n, const char *text)
{
        struct name *found = names_find(n, text);
        if (found != NULL || strlen(text) >= NAMES_TEXT_BYTES)
                return found;
        struct name *new = mem_zalloc(sizeof(*new));
        new->text = mem_strdup(text);
        new->first_known = n->complete; /* and then it was not there */
        if (shelf_put(&n->all, new, NAMES_MAX))
                return new;
        n->overflowed = true;
        n->complete = false;
        free_name(new);
        return NULL;
}

/* ---- what happens ---- */

static void own(struct name *n, const char *digest, bool verified)
{
        for (size_t i = 0; i < NAMES_OWN_MAX; i++) {
                if (!same(n->own[i].digest, digest))
                        continue;
                n->own[i].verified |= verified;
                return;
        }
        struct name_own *place = &n->own[n->own_next++ % NAMES_OWN_MAX];
        set(&place->digest, digest);
        place->verified = verified;
}

static void absolve(struct name *n)
{
        set(&n->foreign, NULL);
        n->foreign_s = 0;
}

void names_writing(
        struct names *n, const char *text, const char *digest, bool verified, uint64_t at)
{
        struct name *name = get(n, text);
        if (name == NULL)
                return;
        own(name, digest, verified);
        name->own_events++;
        name->own_at = at;
}

/* The upstream says `digest`, and said so at that time. */
static void vouch(struct name *n, const char *digest, int64_t unix_s, int64_t since_s)
{
        if (!same(n->verified, digest)) {
                set(&n->verified, digest);
                n->moved_s = since_s;
        }
        n->verified_s = unix_s;
}

void names_verified(
        struct names *n, const char *text, const char *digest, int64_t unix_s, uint64_t at)
{
        struct name *name = get(n, text);
        if (name == NULL)
                return;
        own(name, digest, true);
        vouch(name, digest, unix_s, unix_s);
        set(&name->digest, digest);
        absolve(name);
        name->pending = false;
        name->own_at = at;
}

void names_event(struct names *n, const char *text, int64_t unix_s, uint64_t at)
{
        struct name *name = get(n, text);
        if (name == NULL)
                return;
        name->event_at = at;
        name->event_s = unix_s;
        if (name->own_events > 0)
                name->own_events--; /* most likely; a look will tell */
        else
                name->pending = true;
}

bool names_checked(
        struct names *n, const char *text, const char *digest, enum err_code error, int64_t unix_s)
{
        struct name *name = names_find(n, text);
        if (name == NULL)
                return false;
        name->checked_s = unix_s;
        name->check_error = error;
        if (digest == NULL || same(name->upstream, digest))
                return false;
        snprintf(name->upstream, sizeof(name->upstream), "%s", digest);
        return !same(name->digest, digest);
}

void names_doubt(struct names *n, uint64_t at)
{
        n->doubt_at = at;
        for (size_t i = 0; i < n->all.count; i++)
                ((struct name *)n->all.things[i])->pending = true;
}

/* ---- a look ---- */

void names_look_begin(struct names *n, uint64_t at)
{
        n->looks++;
        n->previous_look_at = n->look_at;
        n->look_at = at;
        n->overflowed = false;
}

/* Does what happened since make the look useless for this name? */
static bool is_outdated(const struct names *n, const struct name *name)
{
        return name->own_at > n->look_at || name->event_at > n->look_at;
}

/* Somebody else's, if: we have seen that it was written, it is not what was there before us, we did
 * not write it, and no label of ours says that the upstream has vouched for it. */
static bool is_foreign(const struct name *n, const struct name_record *r)
{
        bool ours = r->exempt || r->labelled_s != 0 || r->by_mirror || r->digest_labelled_s != 0;
        for (size_t i = 0; i < NAMES_OWN_MAX; i++)
                ours |= same(n->own[i].digest, r->digest);
        return r->is_tag && n->event_at != 0 && n->first_known && !same(n->first, r->digest) &&
               !ours;
}

/* What outlives us: the label on the tag. The one on the digest is older if the tag's was renewed.
 */
static void learn(struct name *n, const struct name_record *r)
{
        bool older = r->digest_labelled_s != 0 && r->digest_labelled_s < r->labelled_s;
        if (r->labelled_s != 0 && n->verified == NULL)
                vouch(n, r->digest, r->labelled_s, older ? r->digest_labelled_s : r->labelled_s);
        if (r->labelled_s != 0 && same(n->verified, r->digest) && r->labelled_s > n->verified_s)
                n->verified_s = r->labelled_s;
}

bool names_look_at(struct names *n, const struct name_record *r)
{
        struct name *name = get(n, r->text);
        if (name == NULL)
                return false;
        name->look = n->looks;
        if (!name->first_known) {
                set(&name->first, r->digest);
                name->first_known = true;
        }
        if (is_outdated(n, name))
                return false;
        set(&name->digest, r->digest);
        name->labelled_s = r->labelled_s;
        name->pending = n->doubt_at > n->look_at;
        if (name->own_at <= n->previous_look_at)
                name->own_events = 0; /* that has not come will not come: a write failed */
        learn(name, r);
        if (r->exempt) /* and stays so when the configuration does not permit it any more */
                own(name, r->digest, false);
        if (!is_foreign(name, r)) {
                absolve(name);
                return false;
        }
        bool is_new = !same(name->foreign, r->digest);
        if (is_new) {
                set(&name->foreign, r->digest);
                name->foreign_s = name->event_s;
        }
        return is_new;
}

static void gone(struct name *n)
{
        set(&n->digest, NULL);
        n->labelled_s = 0;
        n->pending = false;
        n->first_known = true;
        absolve(n);
}

static bool is_forgettable(void *arg, void *thing)
{
        const struct name *n = thing;
        return n->digest == NULL && !is_outdated(arg, n);
}

void names_look_end(struct names *n)
{
        for (size_t i = 0; i < n->all.count; i++) {
                struct name *name = n->all.things[i];
                if (name->look != n->looks && !is_outdated(n, name))
                        gone(name);
        }
        n->complete = !n->overflowed;
        if (n->all.count >= WEED_FROM)
                shelf_weed(&n->all, is_forgettable, n, free_name);
}

bool names_tell(struct names *n, const char *text, const char *digest, int verdict)
{
        struct name *name = names_find(n, text);
        if (name == NULL)
                return true;
        if (name->told_verdict == verdict && same(name->told_digest, digest))
                return false;
        set(&name->told_digest, digest);
        name->told_verdict = verdict;
        return true;
}

/* ---- what it means ---- */

bool name_owns(const struct name *n, const char *digest)
{
        for (size_t i = 0; i < NAMES_OWN_MAX; i++)
                if (same(n->own[i].digest, digest))
                        return n->own[i].verified;
        return false;
}

bool name_is_foreign(const struct name *n)
{
        return n != NULL && n->foreign != NULL && !n->pending;
}

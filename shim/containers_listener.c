/* SPDX-License-Identifier: Apache-2.0 */
/* What NRI tells, and what is answered. The node's containers wait meanwhile: memory alone. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "shim/containers_internal.h"

#define ANNOTATION_DIGEST   "cri-resolved/image-digest"
#define ANNOTATION_VERIFIED "cri-resolved/verified-at"

enum { TEXT_MAX = 1024 };

/* NULL for nothing, and for what is too long to be true. */
static char *copy_of(const char *s)
{
        return s == NULL || *s == '\0' || strlen(s) > TEXT_MAX ? NULL : mem_strdup(s);
}

static void replace(char **to, char *text)
{
        free(*to);
        *to = text;
}

/* Zeroed if it is none: an image's ID would pass as a tag of a repository named sha256. */
static void read_reference(const char *said, struct ref *out)
{
        struct err unused;
        if (said == NULL || ref_is_image_id(said, NULL) ||
                ref_parse(said, strlen(said), out, &unused) < 0)
                *out = (struct ref){0};
}

void container_set_reference(struct container *c, const char *said)
{
        ref_fini(&c->image.ref);
        read_reference(said, &c->image.ref);
}

/* ---- the table; under the lock ---- */

static struct container *get(struct containers *c, const char *id)
{
        struct container *found = shelf_find(&c->all, id);
        if (found != NULL || *id == '\0' || strlen(id) > TEXT_MAX)
                return found;
        struct container *new = mem_zalloc(sizeof(*new));
        new->id = mem_strdup(id);
        if (shelf_put(&c->all, new, CONTAINERS_MAX))
                return new;
        c->left_out++;
        container_free(new);
        return NULL;
}

static void remove_one(struct containers *c, const char *id)
{
        container_free(shelf_take(&c->all, id));
}

static void put(struct containers *c, const struct nri_pod *pod, const struct nri_container *from)
{
        struct container *to = get(c, from->id);
        if (to == NULL)
                return;
        to->state = from->state;
        replace(&to->pod_id, copy_of(from->pod_id));
        replace(&to->name, copy_of(from->name));
        if (pod != NULL) {
                replace(&to->pod, copy_of(pod->name));
                replace(&to->namespace_name, copy_of(pod->namespace_name));
        }
        if (to->annotated == NULL && (to->annotated = copy_of(from->image)) != NULL &&
                to->image.ref.text == NULL)
                container_set_reference(to, to->annotated);
}

/* ---- the connection ---- */

static void configured(void *arg, const char *runtime, const char *version)
{
        struct containers *c = arg;
        pthread_mutex_lock(&c->lock);
        snprintf(c->state.runtime, sizeof(c->state.runtime), "%s", runtime);
        snprintf(c->state.version, sizeof(c->state.version), "%s", version);
        c->exact_runtime = creation_runtime_is_exact(runtime, version);
        pthread_mutex_unlock(&c->lock);
}

static void disconnected(void *arg, const char *reason)
{
        struct containers *c = arg;
        pthread_mutex_lock(&c->lock);
        c->state.connected = false;
        snprintf(c->state.error, sizeof(c->state.error), "%s", reason);
        c->urgent = true;
        containers_happened(c); /* the worker tells the log */
        pthread_mutex_unlock(&c->lock);
}

/* Of two IDs, or of two things whose first member is one. */
static int compare_ids(const void *a, const void *b)
{
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* All that one synchronization tells, by ID: made before the lock is taken. */
struct told {
        const char **kept; /* IDs of containers */
        size_t kept_count;
        struct nri_pod *pods; /* copies; their strings are NRI's */
        size_t pod_count;
};

static struct told sorted(const struct nri_pod *pods, size_t pod_count,
        const struct nri_container *containers, size_t container_count)
{
        struct told t = {.kept_count = container_count, .pod_count = pod_count};
        t.kept = mem_zalloc((container_count + 1) * sizeof(*t.kept));
        for (size_t i = 0; i < container_count; i++)
                t.kept[i] = containers[i].id;
        t.pods = mem_zalloc((pod_count + 1) * sizeof(*t.pods));
        for (size_t i = 0; i < pod_count; i++)
                t.pods[i] = pods[i];
        qsort(t.kept, t.kept_count, sizeof(*t.kept), compare_ids);
        qsort(t.pods, t.pod_count, sizeof(*t.pods), compare_ids);
        return t;
}

static bool is_not_kept(void *arg, void *thing)
{
        const struct told *t = arg;
        return bsearch(thing, t->kept, t->kept_count, sizeof(*t->kept), compare_ids) == NULL;
}

/* NULL: no such pod was told. */
static const struct nri_pod *pod_with(const struct told *t, const char *id)
{
        return bsearch(&id, t->pods, t->pod_count, sizeof(*t->pods), compare_ids);
}

/* Who was there before and still is keeps what was found out about it. */
static void synchronized(void *arg, const struct nri_pod *pods, size_t pod_count,
        const struct nri_container *containers, size_t container_count)
{
        struct containers *c = arg;
        struct told told = sorted(pods, pod_count, containers, container_count);
        pthread_mutex_lock(&c->lock);
        c->left_out = 0;
        shelf_weed(&c->all, is_not_kept, &told, container_free);
        for (size_t i = 0; i < container_count; i++)
                put(c, pod_with(&told, containers[i].pod_id), &containers[i]);
        c->state.connected = true;
        c->state.error[0] = '\0';
        c->urgent = true;
        containers_happened(c);
        pthread_mutex_unlock(&c->lock);
        free(told.kept);
        free(told.pods);
}

/* ---- one container ---- */

static void annotate(struct nri_creation *a, const char *key, const char *value)
{
        a->annotations[a->annotation_count].key = key;
        snprintf(a->annotations[a->annotation_count].value,
                sizeof(a->annotations[a->annotation_count].value), "%s", value);
        a->annotation_count++;
}

static void add_annotations(const struct creation_facts *f, struct nri_creation *a)
{
        int64_t verified_s = 0;
        const char *digest = creation_digest(f, &verified_s);
        if (digest == NULL)
                return;
        annotate(a, ANNOTATION_DIGEST, digest);
        struct tm t;
        char text[32];
        time_t at = (time_t)verified_s;
        if (verified_s > 0 && gmtime_r(&at, &t) != NULL &&
                strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &t) > 0)
                annotate(a, ANNOTATION_VERIFIED, text);
}

/* The worker logs it. */
static void remember_refusal(
        struct containers *c, const struct nri_pod *pod, const struct name *name)
{
        if (c->refusal_count == REFUSALS_MAX) {
                c->refusals_lost++;
                return;
        }
        c->refusals[c->refusal_count++] = (struct refusal){
                .reference = mem_strdup(name->text),
                .digest = mem_strdup(name->foreign),
                .pod = mem_printf("%s/%s", pod->namespace_name, pod->name),
        };
}

static void refuse(struct containers *c, const struct ref *ref, const struct nri_pod *pod,
        const struct name *name, struct nri_creation *a)
{
        snprintf(a->refusal, sizeof(a->refusal),
                "cri-resolved: %.140s was pointed at %.72s on this node by somebody else, and its "
                "upstream has not confirmed that. Pull it through cri-resolved (imagePullPolicy: "
                "Always, or crictl pull), or set enforce = \"off\" in [upstream.\"%.60s\"]",
                name->text, name->foreign, ref->host);
        remember_refusal(c, pod, name);
        c->urgent = true;
        containers_happened(c); /* the worker tells the log */
}

static void container_creating(void *arg, const struct nri_pod *pod,
        const struct nri_container *container, struct nri_creation *answer)
{
        struct containers *c = arg;
        cleanup_ref struct ref ref = {0};
        cleanup_config const struct config *config = config_get();
        bool has_entry = false;
        read_reference(container->image, &ref);
        pthread_mutex_lock(&c->lock);
        struct creation_facts facts = {
                .names = &c->names,
                .ref = &ref,
                .following = c->state.following,
                .pods_own_string = containers_hear_pods_string(c),
                .enforce = ref.host != NULL
                                   ? config_upstream_for(config, ref.host, &has_entry)->enforce
                                   : ENFORCE_OFF,
        };
        const struct name *refused = creation_refused(&facts);
        if (refused != NULL) {
                refuse(c, &ref, pod, refused, answer);
        } else {
                put(c, pod, container);
                if (config->nri_annotate)
                        add_annotations(&facts, answer);
        }
        pthread_mutex_unlock(&c->lock);
}

/* Of one that was refused nothing is known, and nothing is remembered. */
static void set_state(struct containers *c, const char *container_id, enum nri_state state)
{
        pthread_mutex_lock(&c->lock);
        struct container *known = shelf_find(&c->all, container_id);
        if (known != NULL && known->state != NRI_STOPPED)
                known->state = state;
        if (known != NULL && known->image_id == NULL)
                containers_happened(c); /* CRI knows a container once its creation has ended */
        pthread_mutex_unlock(&c->lock);
}

static void container_stopped(void *arg, const char *container_id)
{
        set_state(arg, container_id, NRI_STOPPED);
}

void containers_started(struct containers *c, const char *container_id)
{
        set_state(c, container_id, NRI_RUNNING);
}

static void container_removed(void *arg, const char *container_id)
{
        struct containers *c = arg;
        pthread_mutex_lock(&c->lock);
        remove_one(c, container_id);
        pthread_mutex_unlock(&c->lock);
}

struct nri_listener containers_listener(struct containers *c)
{
        return (struct nri_listener){
                .arg = c,
                .configured = configured,
                .synchronized = synchronized,
                .container_creating = container_creating,
                .container_stopped = container_stopped,
                .container_removed = container_removed,
                .disconnected = disconnected,
        };
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/inventory.h"

#include <string.h>

#include "proto/containerd.pb-c.h"
#include "proto/cri.pb-c.h"
#include "relay/place.h"
#include "resolver/ref.h"
#include "shim/message.h"

#define ID_PREFIX           "sha256:"
#define PINNED_LABEL        "io.cri-containerd.pinned"
#define POD_NAME_LABEL      "io.kubernetes.pod.name"
#define POD_NAMESPACE_LABEL "io.kubernetes.pod.namespace"

/* More records than names.h remembers are of no use; more containers than any node runs. */
enum { CALL_TIMEOUT_MS = 10000, THINGS_MAX = 4 * NAMES_MAX };

struct reading {
        struct inventory *out;
        struct cancel *cancel;
};

/* ---- life ---- */

static void free_image(void *thing)
{
        struct inventory_image *i = thing;
        free(i->text);
        free(i->digest);
        free(i);
}

static void free_id(void *thing)
{
        struct inventory_id *i = thing;
        strings_clear(&i->digests);
        free(i->id);
        free(i);
}

static void free_container(void *thing)
{
        struct inventory_container *c = thing;
        free(c->id);
        free(c->image_id);
        free(c->said);
        free(c->pod);
        free(c->namespace_name);
        free(c->name);
        free(c);
}

void inventory_fini(struct inventory *i)
{
        shelf_fini(&i->images, free_image);
        shelf_fini(&i->ids, free_id);
        shelf_fini(&i->containers, free_container);
}

/* Takes the thing; the first of a name stays. */
static void keep(struct shelf *s, void *thing, void (*free_thing)(void *thing))
{
        if (shelf_find(s, *(char **)thing) != NULL || !shelf_put(s, thing, THINGS_MAX))
                free_thing(thing);
}

/* ---- image IDs ---- */

static void add_digest(struct reading *r, const char *id, const char *digest)
{
        struct inventory_id *i = shelf_find(&r->out->ids, id);
        if (i == NULL) {
                i = mem_zalloc(sizeof(*i));
                i->id = mem_strdup(id);
                if (!shelf_put(&r->out->ids, i, THINGS_MAX)) {
                        free_id(i);
                        return;
                }
        }
        if (!strings_has(&i->digests, digest))
                strings_add(&i->digests, digest);
}

/* "repository@digest" never moves, so that what CRI says by it cannot lag behind the store. */
static void add_id(struct reading *r, const Cri__ImageNames *image)
{
        for (size_t i = 0; image->id != NULL && i < image->n_repo_digests; i++) {
                const char *at = strrchr(image->repo_digests[i], '@');
                if (at != NULL && digest_valid(at + 1, strlen(at + 1)))
                        add_digest(r, image->id, at + 1);
        }
}

static int ask(struct reading *r, struct rpc *rpc, const char *method,
        const ProtobufCMessage *request, struct rpc_answer *answer, struct err *e)
{
        return message_ask_until(rpc, method, request, CALL_TIMEOUT_MS, r->cancel, answer, e);
}

static int read_ids(struct reading *r, struct rpc *cri, struct err *e)
{
        Cri__ListImagesRequest request = CRI__LIST_IMAGES_REQUEST__INIT;
        cleanup_rpc_answer struct rpc_answer answer = {0};
        if (ask(r, cri, "/runtime.v1.ImageService/ListImages", &request.base, &answer, e) < 0)
                return -1;
        Cri__ListImagesResponse *list =
                cri__list_images_response__unpack(NULL, answer.response_size, answer.response);
        if (list == NULL)
                return err_set(e, ERR_PROTOCOL, "containerd: ListImages: not its response");
        for (size_t i = 0; i < list->n_images; i++)
                add_id(r, list->images[i]);
        cri__list_images_response__free_unpacked(list, NULL);
        return 0;
}

/* ---- records ---- */

static const char *label_of(const Containerd__ImageView *image, const char *key)
{
        for (size_t i = 0; i < image->n_labels; i++)
                if (image->labels[i]->key != NULL && image->labels[i]->value != NULL &&
                        strcmp(image->labels[i]->key, key) == 0)
                        return image->labels[i]->value;
        return NULL;
}

/* A name as CRI would give it, and not one that the relay's pulls have for a moment. */
static bool is_of_registry(const char *text, bool *is_tag)
{
        struct err unused;
        cleanup_ref struct ref r = {0};
        if (place_is_ours(text) || ref_parse(text, strlen(text), &r, &unused) < 0 ||
                strcmp(r.text, text) != 0)
                return false;
        *is_tag = r.tag != NULL;
        return true;
}

static bool says_mirror(const char *label, const char *name, const char *digest)
{
        cleanup_free char *text = verification_text(name, digest, (struct verification){0});
        return label != NULL && strcmp(label, text) == 0;
}

static void add_image(struct reading *r, const Containerd__ImageView *image)
{
        bool is_tag = false;
        if (image->name == NULL || image->target == NULL || image->target->digest == NULL)
                return;
        if (strncmp(image->name, ID_PREFIX, strlen(ID_PREFIX)) == 0)
                add_digest(r, image->name, image->target->digest);
        else if (is_of_registry(image->name, &is_tag)) {
                const char *label = label_of(image, VERIFICATION_LABEL);
                struct inventory_image *i = mem_zalloc(sizeof(*i));
                i->text = mem_strdup(image->name);
                i->digest = mem_strdup(image->target->digest);
                i->labelled_s = verification_read(label, i->text, i->digest).unix_s;
                i->by_mirror = says_mirror(label, i->text, i->digest);
                i->is_tag = is_tag;
                i->pinned = label_of(image, PINNED_LABEL) != NULL;
                keep(&r->out->images, i, free_image);
        }
}

static int read_images(struct reading *r, struct rpc *containerd, struct err *e)
{
        Containerd__ListImagesRequest request = CONTAINERD__LIST_IMAGES_REQUEST__INIT;
        cleanup_rpc_answer struct rpc_answer answer = {0};
        if (ask(r, containerd, "/containerd.services.images.v1.Images/List", &request.base, &answer,
                    e) < 0)
                return -1;
        Containerd__ListImagesView *list =
                containerd__list_images_view__unpack(NULL, answer.response_size, answer.response);
        if (list == NULL)
                return err_set(e, ERR_PROTOCOL, "containerd: List: not its response");
        for (size_t i = 0; i < list->n_images; i++)
                add_image(r, list->images[i]);
        containerd__list_images_view__free_unpacked(list, NULL);
        return 0;
}

struct name_record inventory_record(const struct inventory *i, const struct inventory_image *image)
{
        struct name_record record = {
                .text = image->text,
                .digest = image->digest,
                .is_tag = image->is_tag,
                .labelled_s = image->labelled_s,
                .by_mirror = image->by_mirror,
                .exempt = image->pinned,
        };
        size_t name_size = image->is_tag ? (size_t)(strrchr(image->text, ':') - image->text)
                                         : strcspn(image->text, "@");
        cleanup_free char *text = mem_printf("%.*s@%s", (int)name_size, image->text, image->digest);
        const struct inventory_image *by_digest = shelf_find(&i->images, text);
        if (by_digest != NULL && strcmp(by_digest->digest, image->digest) == 0)
                record.digest_labelled_s = by_digest->labelled_s;
        return record;
}

/* ---- containers ---- */

static char *pod_label(const Cri__Container *c, const char *key)
{
        for (size_t i = 0; i < c->n_labels; i++)
                if (c->labels[i]->key != NULL && strcmp(c->labels[i]->key, key) == 0)
                        return mem_strdup_or_null(c->labels[i]->value);
        return NULL;
}

static char *said_of(const Cri__Container *c)
{
        const Cri__ContainerImageView *image = c->image;
        if (image == NULL)
                return NULL;
        const char *const candidates[] = {image->user_specified_image, image->image};
        for (size_t i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++)
                if (candidates[i] != NULL && candidates[i][0] != '\0' &&
                        !ref_is_image_id(candidates[i], c->image_ref))
                        return mem_strdup(candidates[i]);
        return NULL;
}

static bool gave_string(const Cri__Container *c)
{
        const char *string = c->image != NULL ? c->image->user_specified_image : NULL;
        return string != NULL && *string != '\0';
}

static void add_container(struct reading *r, const Cri__Container *from)
{
        if (from->id == NULL)
                return;
        struct inventory_container *c = mem_zalloc(sizeof(*c));
        c->id = mem_strdup(from->id);
        c->image_id = mem_strdup_or_null(from->image_ref);
        c->said = said_of(from);
        c->gave_string = gave_string(from);
        c->pod = pod_label(from, POD_NAME_LABEL);
        c->namespace_name = pod_label(from, POD_NAMESPACE_LABEL);
        c->name = mem_strdup_or_null(from->metadata != NULL ? from->metadata->name : NULL);
        c->state = from->state;
        c->created_ns = from->created_at;
        keep(&r->out->containers, c, free_container);
}

static int read_containers(struct reading *r, struct rpc *cri, struct err *e)
{
        Cri__ListContainersRequest request = CRI__LIST_CONTAINERS_REQUEST__INIT;
        cleanup_rpc_answer struct rpc_answer answer = {0};
        if (ask(r, cri, "/runtime.v1.RuntimeService/ListContainers", &request.base, &answer, e) < 0)
                return -1;
        Cri__ListContainersResponse *list =
                cri__list_containers_response__unpack(NULL, answer.response_size, answer.response);
        if (list == NULL)
                return err_set(e, ERR_PROTOCOL, "containerd: ListContainers: not its response");
        for (size_t i = 0; i < list->n_containers; i++)
                add_container(r, list->containers[i]);
        cri__list_containers_response__free_unpacked(list, NULL);
        return 0;
}

/* Containers first: what starts meanwhile has its image in the lists that are read after it. */
int inventory_read(struct images *im, bool containers, struct cancel *cancel, struct inventory *out,
        struct err *e)
{
        *out = (struct inventory){0};
        struct reading r = {.out = out, .cancel = cancel};
        if ((!containers || read_containers(&r, im->cri, e) == 0) &&
                read_images(&r, im->containerd, e) == 0 && read_ids(&r, im->cri, e) == 0)
                return 0;
        inventory_fini(out);
        return -1;
}

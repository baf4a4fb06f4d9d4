/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/images.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "proto/containerd.pb-c.h"
#include "proto/cri.pb-c.h"
#include "shim/message.h"

enum {
        CALL_TIMEOUT_MS = 10000,
        VISIBLE_TIMEOUT_MS = 10000,
        VISIBLE_POLL_FIRST_MS = 1,
        VISIBLE_POLL_MAX_MS = 50,
};

enum { GRPC_NOT_FOUND = 5, GRPC_ALREADY_EXISTS = 6 };

#define IMAGES_SERVICE "/containerd.services.images.v1.Images/"
#define LABEL_MANAGED  "io.cri-containerd.image"
#define LABEL_PINNED   "io.cri-containerd.pinned"

/* A write, where only the status counts. It has no time limit: containerd does not look at one once
 * a write waits for its database, so a write given up here could still land later, over a newer
 * one. It ends with containerd's word or with the connection. */
static int tell(struct rpc *rpc, const char *method, const ProtobufCMessage *request, int *code,
        struct err *e)
{
        cleanup_rpc_answer struct rpc_answer answer = {0};
        int r = message_ask(rpc, method, request, 0, &answer, e);
        *code = answer.code;
        return r;
}

static const char *label_of(const Containerd__Image *image, const char *key)
{
        for (size_t i = 0; i < image->n_labels; i++)
                if (image->labels[i]->key != NULL && strcmp(image->labels[i]->key, key) == 0)
                        return image->labels[i]->value;
        return NULL;
}

int images_get(struct images *im, const char *name, struct image_record *out, struct err *e)
{
        *out = (struct image_record){0};
        Containerd__GetImageRequest request = CONTAINERD__GET_IMAGE_REQUEST__INIT;
        request.name = (char *)name;
        cleanup_rpc_answer struct rpc_answer answer = {0};
        if (message_ask(im->containerd, IMAGES_SERVICE "Get", &request.base, CALL_TIMEOUT_MS,
                    &answer, e) < 0)
                return -1;
        out->answer =
                containerd__image_response__unpack(NULL, answer.response_size, answer.response);
        const Containerd__Image *image = out->answer == NULL ? NULL : out->answer->image;
        if (image == NULL || image->target == NULL || image->target->digest == NULL) {
                image_record_fini(out);
                return err_set(e, ERR_PROTOCOL, "containerd: the record of %s has no target", name);
        }
        out->digest = image->target->digest;
        out->verified = verification_read(
                label_of(image, VERIFICATION_LABEL), image->name, image->target->digest);
        return 0;
}

void image_record_fini(struct image_record *r)
{
        if (r->answer != NULL)
                containerd__image_response__free_unpacked(r->answer, NULL);
        *r = (struct image_record){0};
}

/* Filtered here: names hold what containerd's filters take for operators, and its three versions
 * would have to agree on the quoting. */
int images_list(struct images *im, const char *prefix, struct cancel *stop, struct strings *names,
        struct err *e)
{
        Containerd__ListImagesRequest request = CONTAINERD__LIST_IMAGES_REQUEST__INIT;
        cleanup_rpc_answer struct rpc_answer answer = {0};
        if (message_ask_until(im->containerd, IMAGES_SERVICE "List", &request.base, CALL_TIMEOUT_MS,
                    stop, &answer, e) < 0)
                return -1;
        Containerd__ListImagesResponse *list = containerd__list_images_response__unpack(
                NULL, answer.response_size, answer.response);
        if (list == NULL)
                return err_set(e, ERR_PROTOCOL, "containerd: List: not its response");
        for (size_t i = 0; i < list->n_images; i++) {
                const char *name = list->images[i]->name;
                if (name != NULL && strncmp(name, prefix, strlen(prefix)) == 0)
                        strings_add(names, name);
        }
        containerd__list_images_response__free_unpacked(list, NULL);
        return 0;
}

/* `{"chainID": "sha256:...", ...}` under the key "info" of a verbose ImageStatus. */
static char *chain_id_of(const Cri__ImageStatusResponse *status)
{
        for (size_t i = 0; i < status->n_info; i++) {
                const Cri__StringPair *pair = status->info[i];
                if (pair->key == NULL || pair->value == NULL || strcmp(pair->key, "info") != 0)
                        continue;
                json_t *info = json_loads(pair->value, 0, NULL);
                char *chain_id =
                        mem_strdup_or_null(json_string_value(json_object_get(info, "chainID")));
                json_decref(info);
                return chain_id;
        }
        return NULL;
}

int images_status(
        struct images *im, const char *reference, char **id, char **chain_id, struct err *e)
{
        *id = NULL;
        Cri__ImageSpec spec = CRI__IMAGE_SPEC__INIT;
        spec.image = (char *)reference;
        Cri__ImageStatusRequest request = CRI__IMAGE_STATUS_REQUEST__INIT;
        request.image = &spec;
        request.has_verbose = request.verbose = chain_id != NULL;
        cleanup_rpc_answer struct rpc_answer answer = {0};
        if (message_ask(im->cri, "/runtime.v1.ImageService/ImageStatus", &request.base,
                    CALL_TIMEOUT_MS, &answer, e) < 0)
                return -1;
        Cri__ImageStatusResponse *status =
                cri__image_status_response__unpack(NULL, answer.response_size, answer.response);
        if (status == NULL)
                return err_set(e, ERR_PROTOCOL, "containerd: ImageStatus: not its response");
        if (status->image != NULL)
                *id = mem_strdup_or_null(status->image->id);
        if (chain_id != NULL)
                *chain_id = chain_id_of(status);
        cri__image_status_response__free_unpacked(status, NULL);
        if (*id == NULL)
                return err_set(e, ERR_NOT_FOUND, "containerd: CRI does not know %s", reference);
        return 0;
}

/* 0 with *present; a snapshot that is missing is an answer, not an error. */
static int snapshot_stat(struct images *im, const char *snapshotter, const char *chain_id,
        bool *present, struct err *e)
{
        Containerd__StatSnapshotRequest request = CONTAINERD__STAT_SNAPSHOT_REQUEST__INIT;
        request.snapshotter = (char *)snapshotter;
        request.key = (char *)chain_id;
        cleanup_rpc_answer struct rpc_answer answer = {0};
        int r = message_ask(im->containerd, "/containerd.services.snapshots.v1.Snapshots/Stat",
                &request.base, CALL_TIMEOUT_MS, &answer, e);
        *present = r == 0;
        return answer.code == GRPC_NOT_FOUND ? 0 : r;
}

/* The ID under a name, or NULL when CRI does not know it. */
static int status_or_null(
        struct images *im, const char *reference, char **id, char **chain_id, struct err *e)
{
        if (images_status(im, reference, id, chain_id, e) == 0 || e->code == ERR_NOT_FOUND)
                return 0;
        return -1;
}

int images_current(struct images *im, const char *tagged, const char *digested,
        const char *snapshotter, char **id, struct err *e)
{
        *id = NULL;
        if (snapshotter == NULL)
                return 0;
        cleanup_free char *by_tag = NULL;
        cleanup_free char *by_digest = NULL;
        cleanup_free char *chain_id = NULL;
        if (status_or_null(im, digested, &by_digest, &chain_id, e) < 0)
                return -1;
        if (by_digest == NULL || chain_id == NULL)
                return 0;
        if (status_or_null(im, tagged, &by_tag, NULL, e) < 0)
                return -1;
        if (by_tag == NULL || strcmp(by_tag, by_digest) != 0)
                return 0;
        bool present = false;
        if (snapshot_stat(im, snapshotter, chain_id, &present, e) < 0)
                return -1;
        if (present)
                *id = take(&by_digest);
        return 0;
}

/* Paths are written, all else of the record stays (an empty mask would replace it). */
static int update(struct images *im, Containerd__Image *image, char **paths, size_t path_count,
        int *code, struct err *e)
{
        Containerd__FieldMask mask = CONTAINERD__FIELD_MASK__INIT;
        mask.n_paths = path_count;
        mask.paths = paths;
        Containerd__UpdateImageRequest request = CONTAINERD__UPDATE_IMAGE_REQUEST__INIT;
        request.image = image;
        request.update_mask = &mask;
        return tell(im->containerd, IMAGES_SERVICE "Update", &request.base, code, e);
}

static int create(struct images *im, Containerd__Image *image, int *code, struct err *e)
{
        Containerd__CreateImageRequest request = CONTAINERD__CREATE_IMAGE_REQUEST__INIT;
        request.image = image;
        return tell(im->containerd, IMAGES_SERVICE "Create", &request.base, code, e);
}

/* Update first: most tags that are pulled again exist. Create loses a race only to another writer
 * of the same name, and then the name exists: update once more. */
static int put(struct images *im, Containerd__Image *image, struct err *e)
{
        char *paths[] = {"target", "labels." VERIFICATION_LABEL, "labels." LABEL_MANAGED};
        size_t path_count = 1 + image->n_labels;
        int code = 0;
        if (update(im, image, paths, path_count, &code, e) == 0)
                return 0;
        if (code != GRPC_NOT_FOUND)
                return -1;
        if (create(im, image, &code, e) == 0)
                return 0;
        if (code != GRPC_ALREADY_EXISTS)
                return -1;
        return update(im, image, paths, path_count, &code, e);
}

int images_alias(struct images *im, const struct image_alias *a, struct err *e)
{
        cleanup_free char *text = verification_text(a->name, a->from->digest, a->verified);
        Containerd__Label verified = CONTAINERD__LABEL__INIT;
        verified.key = VERIFICATION_LABEL;
        verified.value = text;
        Containerd__Label managed = CONTAINERD__LABEL__INIT;
        managed.key = LABEL_MANAGED;
        managed.value = "managed";
        Containerd__Label *labels[] = {&verified, &managed}; /* as the paths in put() */
        Containerd__Image image = CONTAINERD__IMAGE__INIT;
        image.name = (char *)a->name;
        image.target = a->from->answer->image->target;
        image.labels = labels;
        image.n_labels = a->managed ? 2 : 1;
        if (put(im, &image, e) < 0)
                return err_wrap(e, "cannot point %s at %s", a->name, a->from->digest);
        return 0;
}

int images_delete(struct images *im, const char *name, struct err *e)
{
        Containerd__DeleteImageRequest request = CONTAINERD__DELETE_IMAGE_REQUEST__INIT;
        request.name = (char *)name;
        int code = 0;
        if (tell(im->containerd, IMAGES_SERVICE "Delete", &request.base, &code, e) == 0 ||
                code == GRPC_NOT_FOUND)
                return 0;
        return err_wrap(e, "cannot remove the name %s", name);
}

/* One label of a record, and nothing else. */
static int set_label(struct images *im, const char *name, const char *key, const char *value,
        int *code, struct err *e)
{
        Containerd__Label label = CONTAINERD__LABEL__INIT;
        label.key = (char *)key;
        label.value = (char *)value;
        Containerd__Label *labels[] = {&label};
        /* 1.7 and later read the target before they look at the mask, and crash when there is none.
         */
        Containerd__Descriptor unused_target = CONTAINERD__DESCRIPTOR__INIT;
        Containerd__Image image = CONTAINERD__IMAGE__INIT;
        image.name = (char *)name;
        image.target = &unused_target;
        image.labels = labels;
        image.n_labels = 1;
        cleanup_free char *path = mem_printf("labels.%s", key);
        return update(im, &image, &path, 1, code, e);
}

int images_mark(struct images *im, const char *name, const char *digest,
        struct verification verified, struct err *e)
{
        cleanup_free char *text = verification_text(name, digest, verified);
        int code;
        if (set_label(im, name, VERIFICATION_LABEL, text, &code, e) < 0)
                return err_wrap(e, "cannot label %s as verified", name);
        return 0;
}

int images_pin_alike(struct images *im, const char *tagged, const char *digested, struct err *e)
{
        cleanup_image_record struct image_record r = {0};
        if (images_get(im, tagged, &r, e) < 0)
                return e->code == ERR_NOT_FOUND ? 0 : -1;
        const char *pinned = label_of(r.answer->image, LABEL_PINNED);
        int code = 0;
        if (pinned == NULL || set_label(im, digested, LABEL_PINNED, pinned, &code, e) == 0 ||
                code == GRPC_NOT_FOUND)
                return 0;
        return err_wrap(e, "cannot pin %s as %s is", digested, tagged);
}

static void pause_ms(int64_t ms)
{
        nanosleep(&(struct timespec){.tv_nsec = (long)ms * 1000000}, NULL);
}

/* Whether the store still says what we wait for CRI to show: 0 and *moved when somebody has moved
 * the name on, ERR_NOT_FOUND when somebody has removed it. */
static int still_there(
        struct images *im, const char *name, const char *digest, bool *moved, struct err *e)
{
        cleanup_image_record struct image_record r = {0};
        if (images_get(im, name, &r, e) < 0)
                return err_wrap(e, "%s was removed while it was pulled", name);
        *moved = strcmp(r.digest, digest) != 0;
        return 0;
}

int images_wait_visible(
        struct images *im, const char *name, const char *digest, const char *id, struct err *e)
{
        int64_t deadline_ms = clock_mono_ms() + VISIBLE_TIMEOUT_MS;
        for (int64_t wait_ms = VISIBLE_POLL_FIRST_MS;; wait_ms *= 2) {
                cleanup_free char *shown = NULL;
                if (status_or_null(im, name, &shown, NULL, e) < 0)
                        return err_wrap(e, "cannot see whether %s has arrived", name);
                if (shown != NULL && strcmp(shown, id) == 0)
                        return 0;
                bool moved = false;
                if (still_there(im, name, digest, &moved, e) < 0)
                        return -1;
                if (moved)
                        return 0;
                if (clock_mono_ms() >= deadline_ms)
                        return err_set(e, ERR_TIMEOUT,
                                "containerd's CRI plugin does not show %s as %s after %d s; its "
                                "log "
                                "tells why (an image event that fails is tried again later)",
                                name, id, VISIBLE_TIMEOUT_MS / 1000);
                pause_ms(wait_ms < VISIBLE_POLL_MAX_MS ? wait_ms : VISIBLE_POLL_MAX_MS);
        }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The other half: containerd, asked over CRI and over its own API. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "config/trust.h"
#include "ctl/drift.h"
#include "proto/containerd.pb-c.h"
#include "proto/cri.pb-c.h"
#include "shim/images.h"

#define POD_NAME_LABEL      "io.kubernetes.pod.name"
#define POD_NAMESPACE_LABEL "io.kubernetes.pod.namespace"
#define URL_PREFIX          "unix://"

enum { CALL_TIMEOUT_MS = 20000, MS_PER_S = 1000, NS_PER_S = 1000000000 };
enum { GRPC_OK = 0, GRPC_DEADLINE_EXCEEDED = 4, GRPC_UNAVAILABLE = 14, CONTAINER_RUNNING = 1 };

struct reading {
        struct drift *drift;
        struct cancel *cancel;
        const char *url; /* of the socket */
        struct rpc *rpc;
};

/* ---- one call ---- */

static bool may_open(const char *url)
{
        const char *path = url + strlen(URL_PREFIX);
        return strncmp(url, URL_PREFIX, strlen(URL_PREFIX)) != 0 ||
               access(path, R_OK | W_OK) == 0 || errno != EACCES;
}

static int explain(
        const struct reading *r, const char *method, const struct rpc_answer *a, struct err *e)
{
        const char *said = a->message != NULL ? a->message : "no message";
        if (cancel_fired(r->cancel))
                return err_set(e, ERR_CANCELLED, "cancelled");
        if (a->code == GRPC_DEADLINE_EXCEEDED)
                return err_set(e, ERR_BACKEND, "containerd at %s has not answered %s for %d s",
                        r->url, strrchr(method, '/') + 1, CALL_TIMEOUT_MS / MS_PER_S);
        if (a->code != GRPC_UNAVAILABLE)
                return err_set(
                        e, ERR_INTERNAL, "containerd: %s: %s", strrchr(method, '/') + 1, said);
        if (!may_open(r->url))
                return err_set(e, ERR_UNAUTHORIZED,
                        "%s: permission denied; run this as root, or as a member of the group that "
                        "may read and write the socket",
                        r->url);
        return err_set(e, ERR_BACKEND,
                "%s; is it running? Where it is: backend and containerd in [shim] of the "
                "configuration (--config)",
                said);
}

static int ask(const struct reading *r, const char *method, const ProtobufCMessage *request,
        struct rpc_answer *answer, struct err *e)
{
        size_t size = protobuf_c_message_get_packed_size(request);
        cleanup_free uint8_t *packed = mem_zalloc(size);
        protobuf_c_message_pack(request, packed);
        const struct rpc_call call = {
                .method = method,
                .request = packed,
                .request_size = size,
                .timeout_ms = CALL_TIMEOUT_MS,
                .cancel = r->cancel,
        };
        rpc_do(r->rpc, &call, answer);
        return answer->code == GRPC_OK ? 0 : explain(r, method, answer, e);
}

/* ---- images ---- */

static void add_image(struct drift *d, const Containerd__ImageView *image)
{
        const char *label = NULL;
        if (image->name == NULL || image->target == NULL || image->target->digest == NULL)
                return;
        for (size_t i = 0; i < image->n_labels; i++)
                if (image->labels[i]->key != NULL &&
                        strcmp(image->labels[i]->key, VERIFICATION_LABEL) == 0)
                        label = image->labels[i]->value;
        drift_add_image(d, image->name, image->target->digest,
                verification_read(label, image->name, image->target->digest).unix_s,
                image->updated_at != NULL ? image->updated_at->seconds : 0);
}

static int read_images(struct reading *r, struct err *e)
{
        static const char method[] = "/containerd.services.images.v1.Images/List";
        Containerd__ListImagesRequest request = CONTAINERD__LIST_IMAGES_REQUEST__INIT;
        cleanup_rpc_answer struct rpc_answer answer = {0};
        if (ask(r, method, &request.base, &answer, e) < 0)
                return -1;
        Containerd__ListImagesView *list =
                containerd__list_images_view__unpack(NULL, answer.response_size, answer.response);
        if (list == NULL)
                return err_set(e, ERR_PROTOCOL, "containerd: List: not its response");
        for (size_t i = 0; i < list->n_images; i++)
                add_image(r->drift, list->images[i]);
        containerd__list_images_view__free_unpacked(list, NULL);
        return 0;
}

static void add_names(struct drift *d, const Cri__ImageNames *image)
{
        if (image->id == NULL)
                return;
        for (size_t i = 0; i < image->n_repo_tags; i++)
                drift_name_id(d, image->repo_tags[i], image->id);
        for (size_t i = 0; i < image->n_repo_digests; i++)
                drift_name_id(d, image->repo_digests[i], image->id);
}

static int read_ids(struct reading *r, struct err *e)
{
        Cri__ListImagesRequest request = CRI__LIST_IMAGES_REQUEST__INIT;
        cleanup_rpc_answer struct rpc_answer answer = {0};
        if (ask(r, "/runtime.v1.ImageService/ListImages", &request.base, &answer, e) < 0)
                return -1;
        Cri__ListImagesResponse *list =
                cri__list_images_response__unpack(NULL, answer.response_size, answer.response);
        if (list == NULL)
                return err_set(e, ERR_PROTOCOL, "containerd: ListImages: not its response");
        for (size_t i = 0; i < list->n_images; i++)
                add_names(r->drift, list->images[i]);
        cri__list_images_response__free_unpacked(list, NULL);
        return 0;
}

/* ---- containers ---- */

static char *label_of(const Cri__Container *c, const char *key)
{
        for (size_t i = 0; i < c->n_labels; i++)
                if (c->labels[i]->key != NULL && strcmp(c->labels[i]->key, key) == 0)
                        return mem_strdup_or_null(c->labels[i]->value);
        return NULL;
}

/* What the pod says, else what the kubelet asked for, which is often the image's ID. */
static char *said_of(const Cri__Container *c)
{
        const char *const candidates[] = {c->image != NULL ? c->image->user_specified_image : NULL,
                c->image != NULL ? c->image->image : NULL};
        for (size_t i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++)
                if (candidates[i] != NULL && candidates[i][0] != '\0' &&
                        !ref_is_image_id(candidates[i], c->image_ref))
                        return mem_strdup(candidates[i]);
        return NULL;
}

static void add_container(struct drift *d, const Cri__Container *c)
{
        if (c->id == NULL)
                return;
        d->containers =
                mem_resize(d->containers, (d->container_count + 1) * sizeof(*d->containers));
        d->containers[d->container_count++] = (struct drift_container){
                .id = mem_strdup(c->id),
                .name = mem_strdup_or_null(c->metadata != NULL ? c->metadata->name : NULL),
                .pod = label_of(c, POD_NAME_LABEL),
                .namespace = label_of(c, POD_NAMESPACE_LABEL),
                .said = said_of(c),
                .image_id = mem_strdup_or_null(c->image_ref),
                .created_s = c->created_at / NS_PER_S,
        };
}

static int read_containers(struct reading *r, struct err *e)
{
        Cri__ContainerStateValue running = CRI__CONTAINER_STATE_VALUE__INIT;
        running.has_state = true;
        running.state = CONTAINER_RUNNING;
        Cri__ContainerFilter filter = CRI__CONTAINER_FILTER__INIT;
        filter.state = &running;
        Cri__ListContainersRequest request = CRI__LIST_CONTAINERS_REQUEST__INIT;
        request.filter = &filter;
        cleanup_rpc_answer struct rpc_answer answer = {0};
        if (ask(r, "/runtime.v1.RuntimeService/ListContainers", &request.base, &answer, e) < 0)
                return -1;
        Cri__ListContainersResponse *list =
                cri__list_containers_response__unpack(NULL, answer.response_size, answer.response);
        if (list == NULL)
                return err_set(e, ERR_PROTOCOL, "containerd: ListContainers: not its response");
        for (size_t i = 0; i < list->n_containers; i++)
                add_container(r->drift, list->containers[i]);
        cri__list_containers_response__free_unpacked(list, NULL);
        return 0;
}

static void take_name(struct drift *d, const Containerd__Container *c)
{
        struct ref r = {0};
        if (c->id == NULL || c->image == NULL || !drift_is_tag(c->image, &r))
                return;
        ref_fini(&r);
        for (size_t i = 0; i < d->container_count; i++)
                if (d->containers[i].said == NULL && strcmp(d->containers[i].id, c->id) == 0)
                        d->containers[i].said = mem_strdup(c->image);
}

/* containerd's own record keeps the first name, by the alphabet, that the image had when the
 * container was made. That is all there is where the kubelet said an ID and 1.6 forgot the rest. */
static int read_names(struct reading *r, struct err *e)
{
        static const char method[] = "/containerd.services.containers.v1.Containers/List";
        Containerd__ListContainersRequest request = CONTAINERD__LIST_CONTAINERS_REQUEST__INIT;
        cleanup_rpc_answer struct rpc_answer answer = {0};
        if (ask(r, method, &request.base, &answer, e) < 0)
                return -1;
        Containerd__ListContainersResponse *list = containerd__list_containers_response__unpack(
                NULL, answer.response_size, answer.response);
        if (list == NULL)
                return err_set(e, ERR_PROTOCOL, "containerd: List: not its response");
        for (size_t i = 0; i < list->n_containers; i++)
                take_name(r->drift, list->containers[i]);
        containerd__list_containers_response__free_unpacked(list, NULL);
        return 0;
}

static bool some_say_nothing(const struct drift *d)
{
        for (size_t i = 0; i < d->container_count; i++)
                if (d->containers[i].said == NULL)
                        return true;
        return false;
}

/* ---- trust ---- */

/* containerd 1.x without certs.d: upstreams are reached as its own configuration says. */
static int read_trust(struct reading *r, struct err *e)
{
        Cri__StatusRequest request = CRI__STATUS_REQUEST__INIT;
        request.has_verbose = request.verbose = true;
        cleanup_rpc_answer struct rpc_answer answer = {0};
        if (ask(r, "/runtime.v1.RuntimeService/Status", &request.base, &answer, e) < 0)
                return -1;
        Cri__StatusResponse *status =
                cri__status_response__unpack(NULL, answer.response_size, answer.response);
        if (status == NULL)
                return err_set(e, ERR_PROTOCOL, "containerd: Status: not its response");
        for (size_t i = 0; i < status->n_info; i++) {
                const Cri__StringPair *pair = status->info[i];
                if (pair->key == NULL || pair->value == NULL || strcmp(pair->key, "config") != 0)
                        continue;
                json_t *config = json_loads(pair->value, 0, NULL);
                trust_set_legacy(json_object_get(config, "registry"));
                json_decref(config);
        }
        cri__status_response__free_unpacked(status, NULL);
        return 0;
}

/* ---- all of it ---- */

/* Containers first: what starts meanwhile has its image in the list that is read after it. */
static int read_all(struct reading *cri, struct reading *api, bool containers, const json_t *rows,
        struct err *e)
{
        if (read_trust(cri, e) < 0)
                return -1;
        if (rows != NULL)
                drift_add_rows(cri->drift, rows);
        else if (containers && read_containers(cri, e) < 0)
                return -1;
        if (some_say_nothing(api->drift) && read_names(api, e) < 0)
                return -1;
        if (read_images(api, e) < 0)
                return -1;
        if (rows != NULL)
                drift_name_ids(cri->drift, rows);
        return containers && rows == NULL ? read_ids(cri, e) : 0;
}

int drift_read(struct drift *d, const struct config *c, bool containers, struct cancel *cancel,
        struct err *e)
{
        struct reading cri = {.drift = d, .cancel = cancel, .url = c->backend};
        struct reading api = {.drift = d, .cancel = cancel, .url = c->containerd};
        cri.rpc = rpc_new(cri.url);
        api.rpc = rpc_new(api.url);
        json_t *rows = containers ? drift_ask_daemon(c, cancel) : NULL;
        int status = read_all(&cri, &api, containers, rows, e);
        json_decref(rows);
        rpc_free(api.rpc);
        rpc_free(cri.rpc);
        return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/backend.h"

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "base/clock.h"
#include "config/trust.h"
#include "proto/cri.pb-c.h"
#include "resolver/ref.h"
#include "shim/message.h"

enum { KEEP_MS = 10000, ASK_TIMEOUT_MS = 10000, VERSION_TIMEOUT_MS = 3000 };

/* The last part of an image file system's path names the snapshotter (containerd:
 * plugins/cri/images/plugin.go, ImageFSPaths). */
#define SNAPSHOTTER_DIRECTORY "io.containerd.snapshotter.v1."

struct backend {
        struct rpc *cri;
        pthread_mutex_t lock; /* never held across I/O */
        struct backend_facts facts;
        bool known;
        int64_t asked_ms;
};

struct backend *backend_new(struct rpc *cri)
{
        struct backend *b = mem_zalloc(sizeof(*b));
        b->cri = cri;
        pthread_mutex_init(&b->lock, NULL);
        return b;
}

void backend_free(struct backend *b)
{
        if (b == NULL)
                return;
        backend_facts_fini(&b->facts);
        pthread_mutex_destroy(&b->lock);
        free(b);
}

void backend_facts_fini(struct backend_facts *f)
{
        free(f->snapshotter);
        free(f->sandbox_image);
        *f = (struct backend_facts){0};
}

static struct backend_facts facts_copy(const struct backend_facts *f)
{
        return (struct backend_facts){
                .snapshotter = mem_strdup_or_null(f->snapshotter),
                .sandbox_image = mem_strdup_or_null(f->sandbox_image),
        };
}

/* Whatever containerd says against it: without these facts nothing can be pulled. */
static int ask(struct backend *b, const char *method, const ProtobufCMessage *request,
        int64_t timeout_ms, struct rpc_answer *answer, struct err *e)
{
        if (message_ask(b->cri, method, request, timeout_ms, answer, e) == 0)
                return 0;
        e->code = ERR_BACKEND;
        return -1;
}

static char *normalised(const char *reference)
{
        struct err ignored;
        cleanup_ref struct ref r = {0};
        if (reference == NULL || ref_parse(reference, strlen(reference), &r, &ignored) < 0)
                return NULL;
        return take(&r.text);
}

/* `config` of the verbose status. 2.x reports the runtime's part only: no registry, no snapshotter
 * and no sandbox image in it. */
static void read_config(const char *text, struct backend_facts *out)
{
        json_t *config = json_loads(text, 0, NULL);
        const json_t *containerd = json_object_get(config, "containerd");
        out->snapshotter =
                mem_strdup_or_null(json_string_value(json_object_get(containerd, "snapshotter")));
        out->sandbox_image = normalised(json_string_value(json_object_get(config, "sandboxImage")));
        trust_set_legacy(json_object_get(config, "registry"));
        json_decref(config);
}

static int ask_status(struct backend *b, struct backend_facts *out, struct err *e)
{
        Cri__StatusRequest request = CRI__STATUS_REQUEST__INIT;
        request.has_verbose = request.verbose = true;
        cleanup_rpc_answer struct rpc_answer answer = {0};
        if (ask(b, "/runtime.v1.RuntimeService/Status", &request.base, ASK_TIMEOUT_MS, &answer, e) <
                0)
                return -1;
        Cri__StatusResponse *status =
                cri__status_response__unpack(NULL, answer.response_size, answer.response);
        if (status == NULL)
                return err_set(e, ERR_PROTOCOL, "containerd: Status: not a StatusResponse");
        for (size_t i = 0; i < status->n_info; i++) {
                const Cri__StringPair *pair = status->info[i];
                if (pair->key != NULL && pair->value != NULL && strcmp(pair->key, "config") == 0)
                        read_config(pair->value, out);
        }
        cri__status_response__free_unpacked(status, NULL);
        return 0;
}

static int ask_snapshotter(struct backend *b, struct backend_facts *out, struct err *e)
{
        Cri__ImageFsInfoRequest request = CRI__IMAGE_FS_INFO_REQUEST__INIT;
        cleanup_rpc_answer struct rpc_answer answer = {0};
        if (ask(b, "/runtime.v1.ImageService/ImageFsInfo", &request.base, ASK_TIMEOUT_MS, &answer,
                    e) < 0)
                return -1;
        Cri__ImageFsInfoResponse *info =
                cri__image_fs_info_response__unpack(NULL, answer.response_size, answer.response);
        if (info == NULL)
                return err_set(e, ERR_PROTOCOL, "containerd: ImageFsInfo: not its response");
        if (info->n_image_filesystems > 0 && info->image_filesystems[0]->fs_id != NULL) {
                const char *path = info->image_filesystems[0]->fs_id->mountpoint;
                const char *at = path == NULL ? NULL : strstr(path, SNAPSHOTTER_DIRECTORY);
                if (at != NULL)
                        out->snapshotter = mem_strdup(at + strlen(SNAPSHOTTER_DIRECTORY));
        }
        cri__image_fs_info_response__free_unpacked(info, NULL);
        return 0;
}

static int refresh(struct backend *b, struct err *e)
{
        cleanup_backend_facts struct backend_facts fresh = {0};
        if (ask_status(b, &fresh, e) < 0)
                return -1;
        if (fresh.snapshotter == NULL && ask_snapshotter(b, &fresh, e) < 0)
                return -1;
        pthread_mutex_lock(&b->lock);
        struct backend_facts old = b->facts;
        b->facts = fresh;
        b->known = true;
        b->asked_ms = clock_mono_ms();
        pthread_mutex_unlock(&b->lock);
        fresh = old;
        return 0;
}

static bool copy_known(struct backend *b, bool even_old, struct backend_facts *out)
{
        pthread_mutex_lock(&b->lock);
        bool usable = b->known && (even_old || clock_mono_ms() - b->asked_ms < KEEP_MS);
        if (usable)
                *out = facts_copy(&b->facts);
        pthread_mutex_unlock(&b->lock);
        return usable;
}

int backend_ask(struct backend *b, struct backend_facts *out, struct err *e)
{
        *out = (struct backend_facts){0};
        if (copy_known(b, false, out))
                return 0;
        int r = refresh(b, e);
        return copy_known(b, true, out) ? 0 : r;
}

int backend_version(struct backend *b, char **name, char **version, struct err *e)
{
        Cri__VersionRequest request = CRI__VERSION_REQUEST__INIT;
        cleanup_rpc_answer struct rpc_answer answer = {0};
        if (ask(b, "/runtime.v1.RuntimeService/Version", &request.base, VERSION_TIMEOUT_MS, &answer,
                    e) < 0)
                return -1;
        Cri__VersionResponse *v =
                cri__version_response__unpack(NULL, answer.response_size, answer.response);
        if (v == NULL)
                return err_set(e, ERR_PROTOCOL, "containerd: Version: not a VersionResponse");
        *name = mem_strdup(v->runtime_name != NULL ? v->runtime_name : "");
        *version = mem_strdup(v->runtime_version != NULL ? v->runtime_version : "");
        cri__version_response__free_unpacked(v, NULL);
        return 0;
}

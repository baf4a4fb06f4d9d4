/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/facts_running.h"

#include <string.h>

#include "base/clock.h"
#include "proto/containerd.pb-c.h"
#include "proto/cri.pb-c.h"

enum { CALL_TIMEOUT_MS = 10000, POISONED_AGE_S = 10, GRPC_NOT_FOUND = 5 };

#define CONTENT "/containerd.services.content.v1.Content/"

void running_facts_fini(struct running_facts *f)
{
        free(f->why_not);
        free(f->version);
        free(f->cri_answer);
        json_decref(f->registry);
        strings_clear(&f->images);
        for (size_t i = 0; i < f->ingest_count; i++)
                free(f->ingests[i].ref);
        free(f->ingests);
        *f = (struct running_facts){0};
}

struct asking {
        struct rpc *rpc;
        struct cancel *cancel;
};

/* True for an answer that is none of an error. request NULL: empty. */
static bool ask(const struct asking *a, const char *method, const ProtobufCMessage *request,
        struct rpc_answer *answer)
{
        size_t size = request != NULL ? protobuf_c_message_get_packed_size(request) : 0;
        cleanup_free uint8_t *packed = mem_zalloc(size + 1);
        if (request != NULL)
                protobuf_c_message_pack(request, packed);
        struct rpc_call call = {.method = method,
                .request = packed,
                .request_size = size,
                .timeout_ms = CALL_TIMEOUT_MS,
                .cancel = a->cancel};
        rpc_do(a->rpc, &call, answer);
        return answer->code == 0;
}

static char *words_of(const struct rpc_answer *answer)
{
        return mem_strdup(answer->message != NULL ? answer->message : "no answer");
}

void running_version(const char *text, int *major, int *minor)
{
        text += *text == 'v';
        char *end = NULL;
        long first = strtol(text, &end, 10);
        long second = end != text && *end == '.' ? strtol(end + 1, NULL, 10) : 0;
        bool good = end != text && *end == '.' && first >= 0 && first < 1000 && second < 100000;
        *major = good ? (int)first : 0;
        *minor = good ? (int)second : 0;
}

static void ask_version(const struct asking *a, struct running_facts *f)
{
        cleanup_rpc_answer struct rpc_answer answer = {0};
        f->answers = ask(a, "/containerd.services.version.v1.Version/Version", NULL, &answer);
        if (!f->answers) {
                f->why_not = words_of(&answer);
                return;
        }
        Containerd__VersionResponse *r =
                containerd__version_response__unpack(NULL, answer.response_size, answer.response);
        if (r != NULL && r->version != NULL) {
                f->version = mem_strdup(r->version);
                running_version(r->version, &f->major, &f->minor);
        }
        if (r != NULL)
                containerd__version_response__free_unpacked(r, NULL);
}

static void take_report(struct running_facts *f, const Cri__StatusResponse *r)
{
        for (size_t i = 0; i < r->n_info; i++) {
                const Cri__StringPair *pair = r->info[i];
                if (pair->key == NULL || pair->value == NULL || strcmp(pair->key, "config") != 0)
                        continue;
                json_t *config = json_loads(pair->value, 0, NULL);
                json_decref(f->registry);
                f->registry = json_incref(json_object_get(config, "registry"));
                json_decref(config);
        }
}

static void ask_status(const struct asking *a, struct running_facts *f)
{
        Cri__StatusRequest request = CRI__STATUS_REQUEST__INIT;
        request.has_verbose = request.verbose = true;
        cleanup_rpc_answer struct rpc_answer answer = {0};
        f->has_cri = ask(a, "/runtime.v1.RuntimeService/Status", &request.base, &answer);
        if (!f->has_cri) {
                f->cri_answer = words_of(&answer);
                return;
        }
        Cri__StatusResponse *r =
                cri__status_response__unpack(NULL, answer.response_size, answer.response);
        if (r == NULL)
                return;
        take_report(f, r);
        cri__status_response__free_unpacked(r, NULL);
}

static void ask_images(const struct asking *a, struct running_facts *f)
{
        cleanup_rpc_answer struct rpc_answer answer = {0};
        if (!ask(a, "/containerd.services.images.v1.Images/List", NULL, &answer))
                return;
        Containerd__ListImagesResponse *r = containerd__list_images_response__unpack(
                NULL, answer.response_size, answer.response);
        if (r == NULL)
                return;
        for (size_t i = 0; i < r->n_images; i++)
                if (r->images[i]->name != NULL)
                        strings_add(&f->images, r->images[i]->name);
        containerd__list_images_response__free_unpacked(r, NULL);
}

static void take_ingests(struct running_facts *f, const Containerd__ListContentStatusesResponse *r)
{
        f->ingests = mem_zalloc((r->n_statuses + 1) * sizeof(*f->ingests));
        for (size_t i = 0; i < r->n_statuses; i++) {
                const Containerd__ContentStatus *s = r->statuses[i];
                if (s->ref == NULL)
                        continue;
                int64_t updated = s->updated != NULL ? s->updated->seconds : 0;
                f->ingests[f->ingest_count++] = (struct ingest){.ref = mem_strdup(s->ref),
                        .offset = s->offset,
                        .total = s->total,
                        .age_s = clock_unix_s() - updated};
        }
}

static void ask_ingests(const struct asking *a, struct running_facts *f)
{
        cleanup_rpc_answer struct rpc_answer answer = {0};
        if (!ask(a, CONTENT "ListStatuses", NULL, &answer))
                return;
        Containerd__ListContentStatusesResponse *r =
                containerd__list_content_statuses_response__unpack(
                        NULL, answer.response_size, answer.response);
        if (r == NULL)
                return;
        take_ingests(f, r);
        containerd__list_content_statuses_response__free_unpacked(r, NULL);
}

bool ingest_is_poisoned(const struct ingest *i)
{
        return i->total > 0 && i->offset >= i->total && i->age_s >= POISONED_AGE_S;
}

void running_facts_load(
        const char *containerd, const char *cri, struct cancel *cancel, struct running_facts *out)
{
        *out = (struct running_facts){0};
        struct asking api = {.rpc = rpc_new(containerd), .cancel = cancel};
        ask_version(&api, out);
        if (out->answers) {
                struct asking plugin = {.rpc = rpc_new(cri), .cancel = cancel};
                ask_status(&plugin, out);
                ask_images(&api, out);
                ask_ingests(&api, out);
                rpc_free(plugin.rpc);
        }
        rpc_free(api.rpc);
}

int running_abort_ingest(const char *containerd, const char *ref, struct err *e)
{
        struct asking a = {.rpc = rpc_new(containerd)};
        Containerd__AbortContentRequest request = CONTAINERD__ABORT_CONTENT_REQUEST__INIT;
        request.ref = (char *)ref;
        cleanup_rpc_answer struct rpc_answer answer = {0};
        bool done = ask(&a, CONTENT "Abort", &request.base, &answer);
        rpc_free(a.rpc);
        if (done || answer.code == GRPC_NOT_FOUND)
                return 0;
        return err_set(e, ERR_BACKEND, "cannot clear %s: containerd: %s", ref,
                answer.message != NULL ? answer.message : "no answer");
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/pull.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "proto/cri.pb-c.h"
#include "resolver/ref.h"
#include "resolver/resolve.h"
#include "shim/degrade.h"
#include "shim/message.h"
#include "shim/pull_internal.h"

/* ---- 1. read ---- */

/* Whether the request is one that we can do something for. */
static bool read_request(struct pull *p)
{
        size_t size = 0;
        const uint8_t *bytes = proxy_call_request(p->call, &size);
        if (!request_read(&p->request, bytes, size))
                return false;
        tally_refers(p->service->tally, p->seen, p->request.ref.text);
        bool has_entry = false;
        p->entry = config_upstream_for(p->config, p->request.ref.host, &has_entry);
        return p->entry->mode != UPSTREAM_PASSTHROUGH;
}

/* The request as it came: containerd knows what to say to it. */
static void forward(struct pull *p)
{
        struct rpc_call call = {
                .method = proxy_call_method(p->call),
                .cancel = proxy_call_cancel(p->call),
        };
        call.request = proxy_call_request(p->call, &call.request_size);
        call.metadata = proxy_call_metadata(p->call, &call.metadata_count);
        rpc_do(p->service->images.cri, &call, &p->answer);
        p->source = "containerd";
}

/* ---- answers ---- */

void pull_answer_image(struct pull *p, const char *id)
{
        Cri__PullImageResponse response = CRI__PULL_IMAGE_RESPONSE__INIT;
        response.image_ref = (char *)id;
        rpc_answer_fini(&p->answer);
        p->answer.response = message_pack(&response.base, &p->answer.response_size);
}

static enum step answer_error(struct pull *p, const struct err *e)
{
        rpc_answer_fini(&p->answer);
        p->answer.code = err_grpc_status(e->code);
        /* kubelet knows an unavailable registry by this very prefix, of an Unknown status. */
        p->answer.message = mem_printf("%sfailed to pull and unpack image \"%s\": %s",
                p->unavailable ? "RegistryUnavailable: " : "", p->request.ref.text, e->msg);
        return STEP_FAILED;
}

/* The ID that containerd answered; NULL if it makes no sense. The caller frees. */
static char *image_ref_of(const struct rpc_answer *a)
{
        Cri__PullImageResponse *response =
                cri__pull_image_response__unpack(NULL, a->response_size, a->response);
        char *id = response == NULL ? NULL : mem_strdup_or_null(response->image_ref);
        if (response != NULL)
                cri__pull_image_response__free_unpacked(response, NULL);
        return id;
}

/* ---- 2. resolve ---- */

/* The upstream cannot be asked: what the configuration permits instead. */
static int degrade_step(struct pull *p, struct err *why, struct err *e)
{
        struct degrade_question question = {
                .images = &p->service->images,
                .registry = resolver_registry(p->service->resolver),
                .health = p->service->health,
                .config = p->config,
                .policy = p->entry,
                .ref = &p->request.ref,
                .has_credentials = credentials_present(&p->request.credentials),
                .cancel = proxy_call_cancel(p->call),
        };
        err_wrap(why, "failed to resolve reference \"%s\"", p->request.ref.text);
        p->resolved = (struct registry_answer){0};
        if (degrade(&question, why, p->resolved.digest, &p->by_mirror, e) < 0)
                return -1;
        snprintf(p->degraded, sizeof(p->degraded), "%.500s", why->msg);
        return 0;
}

static int resolve_step(struct pull *p, struct err *e)
{
        struct err why;
        p->verified =
                resolve(p->service->resolver, p->config, &p->request.ref, &p->request.credentials,
                        proxy_call_cancel(p->call), &p->resolved, &p->heads_shared_by, &why) == 0;
        p->verified_unix_s = clock_unix_s();
        p->unavailable = !p->verified && err_try_next_source(why.code);
        p->degraded[0] = '\0';
        p->by_mirror = false;
        if (!p->verified && degrade_step(p, &why, e) < 0)
                return -1;
        free(p->digested);
        p->digested = ref_with_digest(&p->request.ref, p->resolved.digest);
        tally_pulls(p->service->tally, p->seen, p->digested);
        return 0;
}

/* ---- 3. current? ---- */

/* Is the tag's record what the upstream says? Remembers where it pointed when we came. */
static int record_agrees(struct pull *p, bool *agrees, struct err *e)
{
        cleanup_image_record struct image_record record = {0};
        *agrees = false;
        if (images_get(&p->service->images, p->request.ref.text, &record, e) < 0)
                return e->code == ERR_NOT_FOUND ? 0 : -1;
        if (p->previous == NULL)
                p->previous = mem_strdup(record.digest);
        *agrees = strcmp(record.digest, p->resolved.digest) == 0;
        return 0;
}

/* *id is set when nothing needs to be pulled. */
static int current_step(struct pull *p, char **id, struct err *e)
{
        *id = NULL;
        bool agrees = false;
        if (record_agrees(p, &agrees, e) < 0)
                return -1;
        if (!agrees || *p->request.runtime_handler != '\0')
                return 0;
        return images_current(&p->service->images, p->request.ref.text, p->digested,
                p->backend.snapshotter, id, e);
}

enum step pull_failed_or_removed(struct pull *p, const struct err *e)
{
        p->removed = e->code == ERR_NOT_FOUND;
        return p->removed ? STEP_AGAIN : STEP_FAILED;
}

/* ---- 6. wait ---- */

static enum step wait_visible(struct pull *p, struct err *e)
{
        cleanup_free char *id = image_ref_of(&p->answer);
        if (id == NULL || *id == '\0') {
                err_set(e, ERR_PROTOCOL, "containerd answered no image reference");
                return STEP_FAILED;
        }
        if (images_wait_visible(
                    &p->service->images, p->request.ref.text, p->resolved.digest, id, e) == 0)
                return STEP_DONE;
        return pull_failed_or_removed(p, e);
}

/* ---- the whole ---- */

static enum step attempt(struct pull *p, struct err *e)
{
        if (resolve_step(p, e) < 0)
                return STEP_FAILED;
        cleanup_free char *id = NULL;
        if (current_step(p, &id, e) < 0)
                return STEP_FAILED;
        if (id != NULL) {
                pull_answer_image(p, id);
                p->source = p->verified ? "current" : "stale";
        } else {
                if (pull_fly(p, e) < 0)
                        return STEP_FAILED;
                if (p->answer.code != 0)
                        return STEP_DONE;
        }
        if (p->by_mirror)
                p->source = "mirror";
        enum step s = pull_settle(p, e);
        if (s == STEP_DONE)
                s = wait_visible(p, e);
        /* Only a pull makes names anew, and containerd labels the tag before CRI shows it. */
        if (s == STEP_DONE && id == NULL &&
                images_pin_alike(&p->service->images, p->request.ref.text, p->digested, e) < 0)
                return STEP_FAILED;
        return s;
}

static void pull_resolved(struct pull *p)
{
        struct err e = {0};
        if (backend_ask(p->service->backend, &p->backend, &e) < 0) {
                answer_error(p, &e);
                return;
        }
        if (p->request.ref.tag != NULL)
                p->tag = order_enter(p->service->order, p->request.ref.text);
        enum step s = STEP_AGAIN;
        while (s == STEP_AGAIN && p->rounds < PULL_ROUNDS_MAX) {
                p->rounds++;
                p->removed = false;
                s = attempt(p, &e);
        }
        if (s == STEP_AGAIN && !p->removed) /* the tag may name an older digest than ours */
                err_set(&e, ERR_UPSTREAM, "the tag was moved in each of %d rounds: ask again",
                        p->rounds);
        if (s != STEP_DONE)
                answer_error(p, &e);
}

static void pull_fini(struct pull *p)
{
        order_leave(p->service->order, p->tag);
        request_fini(&p->request);
        backend_facts_fini(&p->backend);
        rpc_answer_fini(&p->answer);
        free(p->digested);
        free(p->previous);
        free(p->sources);
        free(p->failures);
        config_put(p->config);
}

void pull_handle(struct proxy_call *call, void *arg)
{
        struct pull p = {
                .service = arg,
                .call = call,
                .started_ms = clock_mono_ms(),
                .config = config_get(),
        };
        p.seen = tally_begin(p.service->tally);
        if (read_request(&p))
                pull_resolved(&p);
        else
                forward(&p);
        pull_record(&p);
        proxy_call_answer(call, &p.answer);
        pull_renew(&p);
        containers_pulled(p.service->containers);
        pull_fini(&p);
}

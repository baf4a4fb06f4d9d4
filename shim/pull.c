/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/pull.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "config/trust.h"
#include "proto/cri.pb-c.h"
#include "resolver/ref.h"
#include "resolver/resolve.h"
#include "shim/degrade.h"
#include "shim/message.h"

enum { ROUNDS_MAX = 4, CLOCK_SKEW_S = 60 };

/* containerd: core/annotations and CRI's snapshotterFromPodSandboxConfig. */
#define ANNOTATION_RUNTIME_HANDLER "io.containerd.cri.runtime-handler"

struct pull {
        struct pull_service *service;
        struct proxy_call *call;
        int64_t started_ms;
        const struct config *config;
        const struct config_upstream *entry;

        Cri__PullImageRequest *request;
        struct ref ref;
        struct credentials credentials;
        char *runtime_handler;
        struct backend_facts backend;
        struct order_tag *tag; /* NULL: the request names a digest */

        struct registry_answer resolved; /* step 2 */
        char *digested;                  /* name@digest */
        char *previous;                  /* what the tag targeted when we came; NULL: nothing */
        bool verified;                   /* by the upstream, not degraded */
        int64_t verified_unix_s;
        bool removed;             /* somebody removes the image while we pull it */
        bool unavailable;         /* the upstream cannot be asked */
        struct rpc_answer answer; /* what kubelet gets */

        /* for the log */
        const char *source;
        char degraded[512]; /* why */
        unsigned heads_shared_by;
        int rounds;
};

enum step { STEP_DONE, STEP_AGAIN, STEP_FAILED };

/* ---- 1. read ---- */

static char *annotated_handler(const Cri__PullImageRequest *request)
{
        char *handler = NULL;
        Cri__SandboxConfigView *view = cri__sandbox_config_view__unpack(
                NULL, request->sandbox_config.len, request->sandbox_config.data);
        for (size_t i = 0; view != NULL && i < view->n_annotations && handler == NULL; i++) {
                const Cri__StringPair *a = view->annotations[i];
                if (a->key != NULL && strcmp(a->key, ANNOTATION_RUNTIME_HANDLER) == 0)
                        handler = mem_strdup_or_null(a->value);
        }
        if (view != NULL)
                cri__sandbox_config_view__free_unpacked(view, NULL);
        return handler;
}

/* What chooses the snapshotter, in both ways that it can be said: containerd's versions differ in
 * which one they obey. "" when neither is. */
static char *runtime_handler_of(const Cri__PullImageRequest *request)
{
        const char *asked = log_or(request->image->runtime_handler);
        cleanup_free char *annotated = annotated_handler(request);
        if (*asked == '\0' && *log_or(annotated) == '\0')
                return mem_strdup("");
        return mem_printf("%s\n%s", asked, log_or(annotated));
}

/* False when there is a NUL in the name: as a C string it would be another image's. */
static bool name_is_text(const uint8_t *request, size_t size)
{
        Cri__PullImageNameView *view = cri__pull_image_name_view__unpack(NULL, size, request);
        if (view == NULL)
                return false;
        bool text = view->image != NULL && view->image->image.len != 0 &&
                    memchr(view->image->image.data, '\0', view->image->image.len) == NULL;
        cri__pull_image_name_view__free_unpacked(view, NULL);
        return text;
}

/* Whether the request is one that we can do something for. */
static bool read_request(struct pull *p)
{
        size_t size = 0;
        const uint8_t *bytes = proxy_call_request(p->call, &size);
        p->request = cri__pull_image_request__unpack(NULL, size, bytes);
        if (p->request == NULL || p->request->image == NULL || p->request->image->image == NULL ||
                !name_is_text(bytes, size))
                return false;
        struct err unused;
        const char *image = p->request->image->image;
        if (ref_parse(image, strlen(image), &p->ref, &unused) < 0)
                return false;
        const Cri__AuthConfig *auth = p->request->auth;
        if (auth != NULL)
                p->credentials = (struct credentials){
                        .username = auth->username,
                        .password = auth->password,
                        .auth = auth->auth,
                        .server_address = auth->server_address,
                        .identity_token = auth->identity_token,
                        .registry_token = auth->registry_token,
                };
        p->runtime_handler = runtime_handler_of(p->request);
        bool has_entry = false;
        p->entry = config_upstream_for(p->config, p->ref.host, &has_entry);
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

static void answer_image(struct pull *p, const char *id)
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
                p->unavailable ? "RegistryUnavailable: " : "", p->ref.text, e->msg);
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

static int resolve_step(struct pull *p, struct err *e)
{
        struct err why;
        p->verified =
                resolve(p->service->resolver, p->config, &p->ref, &p->credentials,
                        proxy_call_cancel(p->call), &p->resolved, &p->heads_shared_by, &why) == 0;
        p->verified_unix_s = clock_unix_s();
        p->unavailable = !p->verified && err_try_next_source(why.code);
        p->degraded[0] = '\0';
        if (!p->verified) {
                err_wrap(&why, "failed to resolve reference \"%s\"", p->ref.text);
                p->resolved = (struct registry_answer){0};
                if (degrade(&p->service->images, p->entry, &p->ref,
                            credentials_present(&p->credentials), &why, p->resolved.digest, e) < 0)
                        return -1;
                snprintf(p->degraded, sizeof(p->degraded), "%.500s", why.msg);
        }
        free(p->digested);
        p->digested = ref_with_digest(&p->ref, p->resolved.digest);
        return 0;
}

/* ---- 3. current? ---- */

/* Is the tag's record what the upstream says? Remembers where it pointed when we came. */
static int record_agrees(struct pull *p, bool *agrees, struct err *e)
{
        cleanup_image_record struct image_record record = {0};
        *agrees = false;
        if (images_get(&p->service->images, p->ref.text, &record, e) < 0)
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
        if (!agrees || *p->runtime_handler != '\0')
                return 0;
        return images_current(
                &p->service->images, p->ref.text, p->digested, p->backend.snapshotter, id, e);
}

/* ---- 4. fly ---- */

/* A pull that was cancelled may have finished all the same: then the tag is moved all the same. */
static void rescue(struct pull *p)
{
        struct err unused;
        cleanup_free char *id = NULL;
        if (images_status(&p->service->images, p->digested, &id, NULL, &unused) < 0)
                return;
        answer_image(p, id);
}

/* The answer is containerd's, success or not. */
static int fly(struct pull *p, struct err *e)
{
        char credentials[DIGEST_SHA256_SIZE + 1];
        credentials_key(&p->credentials, credentials);
        cleanup_upstream struct upstream *upstream = NULL;
        if (upstream_new_as_containerd(p->config, p->ref.host, &upstream, e) < 0)
                return -1;
        struct flight flight = {
                .pulled_name = p->digested,
                .request = p->request,
                .runtime_handler = p->runtime_handler,
                .credentials_key = credentials,
                .server_address = upstream->origin,
        };
        flight.metadata = proxy_call_metadata(p->call, &flight.metadata_count);
        struct flight_result *result = NULL;
        if (flight_run(p->service->flights, &flight, proxy_call_cancel(p->call), &result, e) < 0)
                return -1;
        rpc_answer_copy(&p->answer, &result->answer);
        share_result_put(&result->shared);
        if (p->answer.code != 0 && cancel_fired(proxy_call_cancel(p->call)))
                rescue(p);
        return 0;
}

/* ---- 5. settle ---- */

/* What is gone now was there a moment ago: somebody (kubelet's garbage collection, crictl) removes
 * the image at the same time. The next round pulls it again. */
static enum step failed_or_removed(struct pull *p, const struct err *e)
{
        p->removed = e->code == ERR_NOT_FOUND;
        return p->removed ? STEP_AGAIN : STEP_FAILED;
}

/* What the label says after this call. */
static struct verification own_verification(const struct pull *p)
{
        return (struct verification){
                .unix_s = p->verified_unix_s,
                .anonymous = !credentials_present(&p->credentials),
        };
}

/* Is our verification worth a label? Not if a good one would be lost: "to anybody" is said anew
 * only by a request without credentials, and it ends with max_stale. */
static bool improves(const struct pull *p, struct verification was, int64_t old_enough_s)
{
        struct verification own = own_verification(p);
        int64_t age_s = own.unix_s - was.unix_s;
        if (own.anonymous != was.anonymous)
                return own.anonymous || age_s > p->entry->max_stale_s;
        return age_s > old_enough_s || age_s < -CLOCK_SKEW_S; /* a label from the future */
}

static bool is_sandbox_image(const struct pull *p)
{
        return p->backend.sandbox_image != NULL &&
               strcmp(p->backend.sandbox_image, p->ref.text) == 0;
}

/* The digest's own record bears the label too; it is there since containerd pulled it. */
static int mark_digest(struct pull *p, struct image_record *digested, struct err *e)
{
        if (images_get(&p->service->images, p->digested, digested, e) < 0)
                return err_wrap(e, "containerd has pulled %s, but now", p->digested);
        if (!improves(p, digested->verified, p->entry->max_stale_s))
                return 0;
        return images_mark(
                &p->service->images, p->digested, p->resolved.digest, own_verification(p), e);
}

static int write_tag(struct pull *p, struct err *e)
{
        cleanup_image_record struct image_record digested = {0};
        if (mark_digest(p, &digested, e) < 0)
                return -1;
        struct image_alias alias = {
                .name = p->ref.text,
                .from = &digested,
                .verified = own_verification(p),
                .managed = !is_sandbox_image(p),
        };
        return images_alias(&p->service->images, &alias, e);
}

/* In the turn nobody else writes: if the upstream still says what we pulled, it says so later than
 * all that was written. The last round ends here, so that overlapping answers alone cannot fail a
 * pull. */
static bool still_so(struct pull *p)
{
        struct err unused;
        struct registry_answer again;
        if (p->rounds < ROUNDS_MAX ||
                resolve(p->service->resolver, p->config, &p->ref, &p->credentials,
                        proxy_call_cancel(p->call), &again, &p->heads_shared_by, &unused) < 0 ||
                strcmp(again.digest, p->resolved.digest) != 0)
                return false;
        p->resolved = again;
        p->verified_unix_s = clock_unix_s();
        return true;
}

static enum step settle_in_turn(struct pull *p, struct err *e)
{
        cleanup_image_record struct image_record record = {0};
        if (images_get(&p->service->images, p->ref.text, &record, e) < 0 &&
                e->code != ERR_NOT_FOUND)
                return STEP_FAILED;
        switch (order_judge(p->tag, &p->resolved, record.digest)) {
        case ORDER_ASK_AGAIN:
                if (!still_so(p))
                        return STEP_AGAIN;
                __attribute__((fallthrough));
        case ORDER_WRITE:
                if (write_tag(p, e) < 0)
                        return failed_or_removed(p, e);
                break;
        case ORDER_NOTHING_TO_WRITE:
                break;
        }
        order_confirm(p->tag, &p->resolved);
        return STEP_DONE;
}

static enum step settle(struct pull *p, struct err *e)
{
        if (!p->verified) /* a degraded answer moves nothing */
                return STEP_DONE;
        if (p->tag == NULL) {
                cleanup_image_record struct image_record digested = {0};
                return mark_digest(p, &digested, e) < 0 ? failed_or_removed(p, e) : STEP_DONE;
        }
        order_turn_begin(p->service->order, p->tag);
        enum step s = settle_in_turn(p, e);
        order_turn_end(p->service->order, p->tag);
        return s;
}

/* ---- 6. wait ---- */

static enum step wait_visible(struct pull *p, struct err *e)
{
        cleanup_free char *id = image_ref_of(&p->answer);
        if (id == NULL || *id == '\0') {
                err_set(e, ERR_PROTOCOL, "containerd answered no image reference");
                return STEP_FAILED;
        }
        if (images_wait_visible(&p->service->images, p->ref.text, p->resolved.digest, id, e) == 0)
                return STEP_DONE;
        return failed_or_removed(p, e);
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
                answer_image(p, id);
                p->source = p->verified ? "current" : "stale";
        } else {
                p->source = "upstream";
                if (fly(p, e) < 0)
                        return STEP_FAILED;
                if (p->answer.code != 0)
                        return STEP_DONE;
        }
        enum step s = settle(p, e);
        if (s == STEP_DONE)
                s = wait_visible(p, e);
        /* Only a pull makes names anew, and containerd labels the tag before CRI shows it. */
        if (s == STEP_DONE && id == NULL &&
                images_pin_alike(&p->service->images, p->ref.text, p->digested, e) < 0)
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
        if (p->ref.tag != NULL)
                p->tag = order_enter(p->service->order, p->ref.text);
        enum step s = STEP_AGAIN;
        while (s == STEP_AGAIN && p->rounds < ROUNDS_MAX) {
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

static void log_pull(const struct pull *p)
{
        char duration[32];
        char shared[16];
        char rounds[16];
        snprintf(duration, sizeof(duration), "%" PRId64, clock_mono_ms() - p->started_ms);
        snprintf(shared, sizeof(shared), "%u", p->heads_shared_by);
        snprintf(rounds, sizeof(rounds), "%d", p->rounds);
        const char *image = p->ref.text;
        if (image == NULL && p->request != NULL && p->request->image != NULL)
                image = p->request->image->image;
        bool ok = p->answer.code == 0;
        log_line(ok && p->degraded[0] == '\0' ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "pull",
                "reference", log_or(image), "digest", p->resolved.digest, "previous",
                log_or(p->previous), "source", log_or(p->source), "outcome", ok ? "ok" : "failed",
                "error", log_or(p->answer.message), "degraded", p->degraded, "duration_ms",
                duration, "heads_shared_by", shared, "rounds", rounds, NULL);
}

/* With the policy "stale" an unchanged answer renews the label, now and then: each write is a
 * transaction of containerd's database and an event. After the answer: nobody waits for it. */
static void renew(struct pull *p)
{
        if (p->answer.code != 0 || !p->verified ||
                p->entry->on_upstream_down != UPSTREAM_DOWN_STALE)
                return;
        struct err unused;
        struct images *im = &p->service->images;
        if (p->tag != NULL)
                order_turn_begin(p->service->order, p->tag);
        cleanup_image_record struct image_record record = {0};
        if (images_get(im, p->ref.text, &record, &unused) == 0 &&
                strcmp(record.digest, p->resolved.digest) == 0 &&
                improves(p, record.verified, p->entry->max_stale_s / 4) &&
                images_mark(im, p->ref.text, record.digest, own_verification(p), &unused) < 0)
                log_line(LOG_LEVEL_WARNING, "label not renewed", "reference", p->ref.text, "error",
                        unused.msg, NULL);
        if (p->tag != NULL)
                order_turn_end(p->service->order, p->tag);
}

static void wipe(char *secret)
{
        if (secret != NULL)
                mem_wipe(secret, strlen(secret));
}

static void pull_fini(struct pull *p)
{
        order_leave(p->service->order, p->tag);
        if (p->request != NULL && p->request->auth != NULL) {
                wipe(p->request->auth->password);
                wipe(p->request->auth->auth);
                wipe(p->request->auth->identity_token);
                wipe(p->request->auth->registry_token);
        }
        if (p->request != NULL)
                cri__pull_image_request__free_unpacked(p->request, NULL);
        ref_fini(&p->ref);
        backend_facts_fini(&p->backend);
        rpc_answer_fini(&p->answer);
        free(p->runtime_handler);
        free(p->digested);
        free(p->previous);
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
        if (read_request(&p))
                pull_resolved(&p);
        else
                forward(&p);
        log_pull(&p);
        proxy_call_answer(call, &p.answer);
        if (p.rounds > 0)
                renew(&p);
        pull_fini(&p);
}

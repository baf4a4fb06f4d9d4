/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/flight.h"

#include <string.h>

#include "base/mem.h"
#include "shim/flight_internal.h"

enum { DIRECT_TRIES = 3 };

struct flights *flights_new(struct images *images, struct relay *relay, struct tally *tally)
{
        struct flights *f = mem_zalloc(sizeof(*f));
        f->images = images;
        f->relay = relay;
        f->tally = tally;
        f->direct = share_group_new();
        f->relayed = share_group_new();
        pthread_mutex_init(&f->lock, NULL);
        pthread_cond_init(&f->name_freed, NULL);
        return f;
}

void flights_free(struct flights *f)
{
        if (f == NULL)
                return;
        share_group_free(f->direct);
        share_group_free(f->relayed);
        pthread_cond_destroy(&f->name_freed);
        pthread_mutex_destroy(&f->lock);
        free(f);
}

static void result_free(struct share_result *r)
{
        struct flight_result *result = (struct flight_result *)r;
        rpc_answer_fini(&result->answer);
        free(result->sources);
        free(result->failures);
        progress_put(result->progress);
        free(result);
}

struct flight_result *flight_result_new(void)
{
        struct flight_result *result = mem_zalloc(sizeof(*result));
        share_result_init(&result->shared, result_free);
        return result;
}

void flight_ask(struct flights *f, const struct flight *flight, const char *image,
        Cri__AuthConfig *auth, struct cancel *cancel, struct rpc_answer *answer)
{
        Cri__PullImageRequest request = *flight->request;
        Cri__ImageSpec spec = *flight->request->image;
        spec.image = (char *)image;
        request.image = &spec;
        request.auth = auth;
        size_t size = 0;
        uint8_t *bytes = message_pack(&request.base, &size);
        struct rpc_call call = {
                .method = "/runtime.v1.ImageService/PullImage",
                .request = bytes,
                .request_size = size,
                .metadata = flight->metadata,
                .metadata_count = flight->metadata_count,
                .cancel = cancel,
        };
        rpc_answer_fini(answer);
        rpc_do(f->images->cri, &call, answer);
        mem_wipe(bytes, size); /* credentials */
        free(bytes);
}

/* ---- cleaning ---- */

void flight_abort(struct flights *f, const char *ref, const char *digest)
{
        struct err e;
        bool was_there = false;
        if (ingests_abort(f->images->containerd, ref, &was_there, &e) < 0) {
                log_line(LOG_LEVEL_WARNING, "a spoilt ingest was not aborted", "ref", ref, "digest",
                        digest, "error", e.msg, NULL);
        } else if (was_there) {
                metrics_add(METRIC_INGESTS_ABORTED, 1, METRICS_WORDS(NULL));
                log_line(LOG_LEVEL_INFO, "a spoilt ingest was aborted", "ref", ref, "digest",
                        digest, NULL);
        }
}

/* Of those that another flight is writing, or cleaning, at this moment, we keep our hands. */
bool flight_heal(struct flights *f, const struct rpc_answer *answer)
{
        enum ingest_trouble trouble = ingests_trouble_of(answer);
        if (trouble != INGEST_TROUBLE_SPOILT)
                return trouble == INGEST_TROUBLE_TAKEN;
        cleanup_free struct ingest_ref *refs = mem_zalloc(HEALED_MAX * sizeof(*refs));
        size_t count = ingests_of_error(answer->message, refs, HEALED_MAX);
        struct spoilt *spoilt = relay_spoilt(f->relay);
        for (size_t i = 0; i < count; i++) {
                const char *digest = refs[i].digest;
                if (strlen(digest) != DIGEST_SHA256_SIZE || !spoilt_claim(spoilt, digest))
                        continue;
                flight_abort(f, refs[i].ref, digest);
                spoilt_unlock(spoilt, digest);
        }
        return true;
}

/* ---- direct ---- */

struct work {
        struct flights *flights;
        const struct flight *flight;
};

static struct share_result *pull_directly(void *arg, struct cancel *cancel)
{
        struct work *work = arg;
        const struct flight *f = work->flight;
        struct flight_result *result = flight_result_new();
        Cri__AuthConfig auth = CRI__AUTH_CONFIG__INIT;
        if (f->request->auth != NULL) {
                auth = *f->request->auth;
                if (auth.server_address == NULL || *auth.server_address == '\0')
                        auth.server_address = (char *)f->server_address;
        }
        do {
                flight_ask(work->flights, f, f->pulled_name,
                        f->request->auth != NULL ? &auth : NULL, cancel, &result->answer);
                result->tries++;
        } while (flight_heal(work->flights, &result->answer) && result->tries < DIRECT_TRIES &&
                 !cancel_fired(cancel));
        return &result->shared;
}

int flight_run_direct(struct flights *f, const struct flight *flight, struct cancel *caller,
        struct flight_result **out, struct err *e)
{
        cleanup_free char *key = mem_printf("%s\n%s\n%s", flight->pulled_name,
                flight->runtime_handler, flight->credentials_key);
        struct work work = {.flights = f, .flight = flight};
        struct share_result *result = NULL;
        if (share_run(f->direct, key, SHARE_JOIN_RUNNING, pull_directly, &work, caller, &result,
                    e) < 0)
                return -1;
        *out = (struct flight_result *)result;
        return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/flight.h"

#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "proto/cri.pb-c.h"
#include "shim/message.h"

enum { TRIES = 3 };

struct flights {
        struct rpc *cri;
        struct share_group *group;
};

struct work {
        struct rpc *cri;
        const struct flight *flight;
};

struct flights *flights_new(struct rpc *cri)
{
        struct flights *f = mem_zalloc(sizeof(*f));
        f->cri = cri;
        f->group = share_group_new();
        return f;
}

void flights_free(struct flights *f)
{
        if (f == NULL)
                return;
        share_group_free(f->group);
        free(f);
}

static void result_free(struct share_result *r)
{
        struct flight_result *result = (struct flight_result *)r;
        rpc_answer_fini(&result->answer);
        free(result);
}

/* The caller's request with another image name, and with credentials bound to the upstream. Holds
 * secrets: wipe it. */
static uint8_t *rewrite(const struct flight *f, size_t *size)
{
        Cri__PullImageRequest request = *f->request;
        Cri__ImageSpec image = *f->request->image;
        image.image = (char *)f->pulled_name;
        request.image = &image;
        Cri__AuthConfig auth = CRI__AUTH_CONFIG__INIT;
        if (request.auth != NULL) {
                auth = *request.auth;
                if (auth.server_address == NULL || *auth.server_address == '\0')
                        auth.server_address = (char *)f->server_address;
                request.auth = &auth;
        }
        return message_pack(&request.base, size);
}

/* Other pulls that share a blob with this one can spoil its ingest; containerd then needs to be
 * asked again and nothing else (containerd content/local: Commit). */
static bool worth_another_try(const struct rpc_answer *a)
{
        if (a->code == 0 || a->message == NULL)
                return false;
        if (strstr(a->message, "unexpected commit digest") != NULL ||
                strstr(a->message, "failed size validation") != NULL)
                return true;
        const char *commit = strstr(a->message, "failed commit");
        return commit != NULL && strstr(commit, "no such file") != NULL;
}

static struct share_result *pull(void *arg, struct cancel *cancel)
{
        struct work *work = arg;
        const struct flight *f = work->flight;
        struct flight_result *result = mem_zalloc(sizeof(*result));
        share_result_init(&result->shared, result_free);
        size_t size = 0;
        uint8_t *request = rewrite(f, &size);
        struct rpc_call call = {
                .method = "/runtime.v1.ImageService/PullImage",
                .request = request,
                .request_size = size,
                .metadata = f->metadata,
                .metadata_count = f->metadata_count,
                .cancel = cancel,
        };
        do {
                rpc_answer_fini(&result->answer);
                rpc_do(work->cri, &call, &result->answer);
                result->tries++;
        } while (result->tries < TRIES && worth_another_try(&result->answer));
        mem_wipe(request, size);
        free(request);
        return &result->shared;
}

int flight_run(struct flights *f, const struct flight *flight, struct cancel *caller,
        struct flight_result **out, struct err *e)
{
        cleanup_free char *key = mem_printf("%s\n%s\n%s", flight->pulled_name,
                flight->runtime_handler, flight->credentials_key);
        struct work work = {.cri = f->cri, .flight = flight};
        struct share_result *result = NULL;
        if (share_run(f->group, key, SHARE_JOIN_RUNNING, pull, &work, caller, &result, e) < 0)
                return -1;
        *out = (struct flight_result *)result;
        return 0;
}

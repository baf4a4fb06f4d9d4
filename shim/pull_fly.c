/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "config/trust.h"
#include "shim/pull_internal.h"
#include "shim/way.h"

/* A pull that was cancelled may have finished all the same: then the tag is moved all the same. */
static void rescue(struct pull *p)
{
        struct err unused;
        cleanup_free char *id = NULL;
        if (images_status(&p->service->images, p->digested, &id, NULL, &unused) < 0)
                return;
        pull_answer_image(p, id);
}

static void take_result(struct pull *p, struct flight_result *result)
{
        rpc_answer_copy(&p->answer, &result->answer);
        if (p->answer.code != 0 && cancel_fired(proxy_call_cancel(p->call)))
                rescue(p);
        if (result->sources != NULL) {
                free(p->sources);
                free(p->failures);
                p->sources = mem_strdup(result->sources);
                p->failures = mem_strdup(result->failures);
        }
        tally_flew(p->service->tally, p->seen, result->progress);
        share_result_put(&result->shared);
}

static int fly_directly(struct pull *p, struct flight *flight, struct err *e)
{
        cleanup_upstream struct upstream *upstream = NULL;
        if (upstream_new_as_containerd(p->config, p->request.ref.host, &upstream, e) < 0)
                return -1;
        flight->server_address = upstream->origin;
        struct flight_result *result = NULL;
        if (flight_run_direct(p->service->flights, flight, proxy_call_cancel(p->call), &result, e) <
                0)
                return -1;
        take_result(p, result);
        p->source = "upstream";
        return 0;
}

static int fly_relayed(struct pull *p, struct flight *flight, struct err *e)
{
        struct flight_result *result = NULL;
        if (flight_run_relayed(
                    p->service->flights, flight, proxy_call_cancel(p->call), &result, e) < 0)
                return -1;
        take_result(p, result);
        p->source = "relay";
        return 0;
}

/* kubelet shows containerd's words; which mirrors were tried, and why in vain, belongs there too.
 */
static void add_failures(struct pull *p)
{
        if (p->answer.code == 0 || p->failures == NULL || p->failures[0] == '\0')
                return;
        char *message =
                mem_printf("%s (through the relay: %s)", log_or(p->answer.message), p->failures);
        free(p->answer.message);
        p->answer.message = message;
}

int pull_fly(struct pull *p, struct err *e)
{
        char credentials[DIGEST_SHA256_SIZE + 1];
        credentials_key(&p->request.credentials, credentials);
        struct way_question way = {
                .config = p->config,
                .ref = &p->request.ref,
                .digest = p->resolved.digest,
                .runtime_handler = p->request.runtime_handler,
                .backend = &p->backend,
        };
        cleanup_free char *relay_name = way_relay_name(p->service->relay, &way);
        struct flight flight = {
                .host = p->request.ref.host,
                .repository = p->request.ref.repository,
                .digest = p->resolved.digest,
                .pulled_name = p->digested,
                .request = p->request.message,
                .runtime_handler = p->request.runtime_handler,
                .credentials = &p->request.credentials,
                .credentials_key = credentials,
                .relay_name = relay_name,
                .health = p->service->health,
                .config = p->config,
        };
        flight.metadata = proxy_call_metadata(p->call, &flight.metadata_count);
        if (relay_name != NULL && fly_relayed(p, &flight, e) < 0)
                return -1;
        bool ended = relay_name != NULL &&
                     (p->answer.code == 0 || cancel_fired(proxy_call_cancel(p->call)));
        if (!ended && fly_directly(p, &flight, e) < 0)
                return -1;
        add_failures(p);
        return 0;
}

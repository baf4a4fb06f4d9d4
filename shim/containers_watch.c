/* SPDX-License-Identifier: Apache-2.0 */
/* Two threads: one looks at containerd when something has happened, one reads its events: images
 * that are written, containers that are started. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "proto/containerd.pb-c.h"
#include "resolver/pause.h"
#include "shim/containers_internal.h"
#include "shim/message.h"

#define TASK_STARTED "/tasks/start"

/* Between two looks; somebody who waits for one cuts it short. What a look takes, of containerd's
 * processor above all, it takes from containers that start: where there are many, or many start at
 * once, there are fewer looks. */
enum {
        LOOK_PAUSE_MS = 1000,
        LOOK_PAUSE_MAX_MS = 10 * 1000,
        LOOK_PAUSE_FACTOR = 300, /* times as long as the look before it */
        LOOK_RETRY_MS = 2000,
        FOLLOW_RETRY_MS = 1000
};

/* ---- looking ---- */

/* Refusals, in the log at last. */
static void log_refusals(struct containers *c)
{
        struct refusal told[REFUSALS_MAX];
        char lost[32] = "";
        pthread_mutex_lock(&c->lock);
        size_t count = c->refusal_count;
        for (size_t i = 0; i < count; i++)
                told[i] = c->refusals[i];
        if (c->refusals_lost > 0)
                snprintf(lost, sizeof(lost), "%zu", c->refusals_lost);
        c->refusal_count = c->refusals_lost = 0;
        pthread_mutex_unlock(&c->lock);
        for (size_t i = 0; i < count; i++) {
                log_line(LOG_LEVEL_WARNING, "container refused", "reference", told[i].reference,
                        "digest", told[i].digest, "pod", told[i].pod, "and_more",
                        i + 1 == count ? lost : "", NULL);
                free(told[i].reference);
                free(told[i].digest);
                free(told[i].pod);
        }
}

/* Once for each change, not for each attempt. */
static void log_connection(struct containers *c)
{
        struct containers_state s;
        pthread_mutex_lock(&c->lock);
        s = c->state;
        bool is_news = s.connected ? !c->told_connected
                                   : s.error[0] != '\0' && strcmp(s.error, c->told_error) != 0;
        c->told_connected = s.connected;
        memcpy(c->told_error, s.error, sizeof(c->told_error));
        pthread_mutex_unlock(&c->lock);
        if (is_news && s.connected)
                log_line(LOG_LEVEL_INFO, "containers: NRI is connected", "runtime", s.runtime,
                        "version", s.version, NULL);
        else if (is_news)
                log_line(LOG_LEVEL_WARNING, "containers: NRI is not connected", "error", s.error,
                        NULL);
}

static int look(struct containers *c, struct err *e)
{
        cleanup_inventory struct inventory inventory = {0};
        pthread_mutex_lock(&c->lock);
        uint64_t at = c->at;
        bool containers = containers_has_unknown(c);
        c->dirty = c->urgent = false;
        c->looking = true;
        pthread_mutex_unlock(&c->lock);
        int r = inventory_read(c->images, containers, &c->stop, &inventory, e);
        if (r == 0)
                containers_take(c, &inventory, at);
        log_connection(c);
        log_refusals(c);
        pthread_mutex_lock(&c->lock);
        c->dirty |= r < 0;
        c->looking = false;
        pthread_cond_broadcast(&c->changed);
        pthread_mutex_unlock(&c->lock);
        return r;
}

/* Under the lock. */
static int64_t pause_after(const struct containers *c, int64_t look_ms)
{
        int64_t pause_ms = look_ms * LOOK_PAUSE_FACTOR;
        if (c->urgent || pause_ms < LOOK_PAUSE_MS)
                return LOOK_PAUSE_MS;
        return pause_ms < LOOK_PAUSE_MAX_MS ? pause_ms : LOOK_PAUSE_MAX_MS;
}

/* Under the lock. Events may be lost: as long as CRI has not said of everybody what it runs, and
 * that it runs, it is asked again. */
static void wait_for_news(struct containers *c)
{
        int64_t again_ms = clock_mono_ms() + LOOK_PAUSE_MAX_MS;
        while (!c->stopping && !c->dirty) {
                containers_wait(c, LOOK_PAUSE_MAX_MS);
                c->dirty |= clock_mono_ms() >= again_ms && containers_has_unknown(c);
        }
}

/* False: it is time to stop. */
static bool wait_for_work(struct containers *c, int64_t look_ms)
{
        int64_t began_ms = clock_mono_ms();
        int64_t left_ms = 0;
        pthread_mutex_lock(&c->lock);
        while (!c->stopping && c->waiting == 0 &&
                (left_ms = began_ms + pause_after(c, look_ms) - clock_mono_ms()) > 0)
                containers_wait(c, left_ms);
        wait_for_news(c);
        bool goes_on = !c->stopping;
        pthread_mutex_unlock(&c->lock);
        return goes_on;
}

void *containers_watch(void *arg)
{
        struct containers *c = arg;
        bool failing = false;
        int64_t look_ms = 0;
        do {
                struct err e;
                int64_t began_ms = clock_mono_ms();
                bool failed = look(c, &e) < 0;
                if (failed && !failing && e.code != ERR_CANCELLED)
                        log_line(LOG_LEVEL_WARNING, "containers: cannot look at containerd",
                                "error", e.msg, NULL);
                failing = failed;
                look_ms = clock_mono_ms() - began_ms;
                if (failed)
                        pause_ms(&c->stop, LOOK_RETRY_MS); /* whoever waits */
        } while (wait_for_work(c, failing ? 0 : look_ms));
        return NULL;
}

/* ---- events ---- */

static void note_image(struct containers *c, const ProtobufCBinaryData *value)
{
        Containerd__ImageEvent *event =
                containerd__image_event__unpack(NULL, value->len, value->data);
        if (event == NULL)
                return;
        if (event->name != NULL) {
                pthread_mutex_lock(&c->lock);
                c->urgent = true; /* whom to refuse hangs on it */
                names_event(&c->names, event->name, clock_unix_s(), containers_happened(c));
                pthread_mutex_unlock(&c->lock);
        }
        containerd__image_event__free_unpacked(event, NULL);
}

static void note_start(struct containers *c, const ProtobufCBinaryData *value)
{
        Containerd__TaskStart *event =
                containerd__task_start__unpack(NULL, value->len, value->data);
        if (event == NULL)
                return;
        if (event->container_id != NULL)
                containers_started(c, event->container_id);
        containerd__task_start__free_unpacked(event, NULL);
}

static void note_event(struct containers *c, const Containerd__EventEnvelope *envelope)
{
        const Containerd__EventPayload *payload = envelope->event;
        if (payload == NULL || !payload->has_value || envelope->topic == NULL)
                return;
        if (strcmp(envelope->topic, TASK_STARTED) == 0)
                note_start(c, &payload->value);
        else
                note_image(c, &payload->value);
}

static void hear(void *arg, const uint8_t *message, size_t size)
{
        Containerd__EventEnvelope *envelope =
                containerd__event_envelope__unpack(NULL, size, message);
        if (envelope == NULL)
                return;
        note_event(arg, envelope);
        containerd__event_envelope__free_unpacked(envelope, NULL);
}

static void set_following(struct containers *c, bool following)
{
        pthread_mutex_lock(&c->lock);
        c->state.following = following;
        if (following)
                names_doubt(&c->names, containers_happened(c)); /* what was missed, a look sees */
        pthread_mutex_unlock(&c->lock);
}

static void follow(struct containers *c, struct rpc_answer *answer)
{
        char *filters[] = {"namespace==k8s.io,topic~=\"^/images/\"",
                "namespace==k8s.io,topic==\"" TASK_STARTED "\""};
        Containerd__SubscribeRequest request = CONTAINERD__SUBSCRIBE_REQUEST__INIT;
        request.filters = filters;
        request.n_filters = sizeof(filters) / sizeof(filters[0]);
        size_t size = 0;
        cleanup_free uint8_t *packed = message_pack(&request.base, &size);
        const struct rpc_call call = {
                .method = "/containerd.services.events.v1.Events/Subscribe",
                .request = packed,
                .request_size = size,
                .cancel = &c->stop,
        };
        set_following(c, true);
        rpc_read(c->images->containerd, &call, hear, c, answer);
        set_following(c, false);
}

void *containers_follow(void *arg)
{
        struct containers *c = arg;
        bool failing = false;
        do {
                cleanup_rpc_answer struct rpc_answer answer = {0};
                int64_t began_ms = clock_mono_ms();
                follow(c, &answer);
                failing &= clock_mono_ms() - began_ms < FOLLOW_RETRY_MS;
                if (!failing && !cancel_fired(&c->stop))
                        log_line(LOG_LEVEL_WARNING, "containers: image events are lost", "error",
                                log_or(answer.message), NULL);
                failing = true;
        } while (pause_ms(&c->stop, FOLLOW_RETRY_MS));
        return NULL;
}

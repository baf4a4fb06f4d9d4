/* SPDX-License-Identifier: Apache-2.0 */
#include "nri/session.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "proto/nri_ttrpc.pb-c.h"

#define PLUGIN_NAME     "cri-resolved"
#define PLUGIN_SERVICE  "nri.pkg.api.v1alpha1.Plugin"
#define RUNTIME_SERVICE "nri.pkg.api.v1alpha1.Runtime"

/* Plugins are called in this order; late, so that a container that another plugin refuses is not
 * heard of. */
#define PLUGIN_INDEX "90"

enum {
        REGISTRATION_STREAM = 1, /* the first odd one */
        GRPC_PERMISSION_DENIED = 7,
        GRPC_UNIMPLEMENTED = 12,
        OUT_MAX_BYTES = 256 * 1024, /* some hundred answers: it has one question at a time */
};

/* The mask has a bit for each event, from 1. */
enum {
        EVENTS = 1 << (NRI__EVENT__CREATE_CONTAINER - 1) | 1 << (NRI__EVENT__STOP_CONTAINER - 1) |
                 1 << (NRI__EVENT__REMOVE_CONTAINER - 1),
};

/* ---- saying ---- */

static uint8_t *pack(const ProtobufCMessage *m, size_t *size)
{
        *size = protobuf_c_message_get_packed_size(m);
        uint8_t *packed = mem_zalloc(*size + 1);
        protobuf_c_message_pack(m, packed);
        return packed;
}

static void say(struct nri_session *s, enum nri_connection connection, uint32_t stream,
        const ProtobufCMessage *m)
{
        size_t size = 0;
        cleanup_free uint8_t *packed = pack(m, &size);
        nri_frame_write(&s->out, &(struct nri_message){connection, stream, packed, size});
}

static void answer(struct nri_session *s, uint32_t stream, const ProtobufCMessage *m)
{
        Ttrpc__Response response = TTRPC__RESPONSE__INIT;
        cleanup_free uint8_t *payload = pack(m, &response.payload.len);
        response.payload.data = payload;
        response.has_payload = true;
        say(s, NRI_PLUGIN_SERVICE, stream, &response.base);
}

static void answer_nothing(struct nri_session *s, uint32_t stream)
{
        Ttrpc__Response response = TTRPC__RESPONSE__INIT;
        say(s, NRI_PLUGIN_SERVICE, stream, &response.base);
}

static void answer_error(struct nri_session *s, uint32_t stream, int32_t code, char *message)
{
        Ttrpc__Status status = TTRPC__STATUS__INIT;
        status.has_code = true;
        status.code = code;
        status.message = message;
        Ttrpc__Response response = TTRPC__RESPONSE__INIT;
        response.status = &status;
        say(s, NRI_PLUGIN_SERVICE, stream, &response.base);
}

static void register_plugin(struct nri_session *s)
{
        static char service[] = RUNTIME_SERVICE, method[] = "RegisterPlugin";
        static char name[] = PLUGIN_NAME, index[] = PLUGIN_INDEX;
        Nri__RegisterPluginRequest registration = NRI__REGISTER_PLUGIN_REQUEST__INIT;
        registration.plugin_name = name;
        registration.plugin_idx = index;
        Ttrpc__Request request = TTRPC__REQUEST__INIT;
        cleanup_free uint8_t *payload = pack(&registration.base, &request.payload.len);
        request.service = service;
        request.method = method;
        request.payload.data = payload;
        request.has_payload = true;
        say(s, NRI_RUNTIME_SERVICE, REGISTRATION_STREAM, &request.base);
}

void nri_session_init(struct nri_session *s, const struct nri_listener *listener)
{
        *s = (struct nri_session){.listener = listener};
        nri_frame_reader_init(&s->in);
        buf_init(&s->out, OUT_MAX_BYTES);
        nri_snapshot_init(&s->snapshot);
        register_plugin(s);
}

void nri_session_fini(struct nri_session *s)
{
        nri_frame_reader_fini(&s->in);
        buf_fini(&s->out);
        nri_snapshot_fini(&s->snapshot);
}

/* ---- hearing: a function for each method ---- */

/* What a method is given: the stream to answer on, and the request. */
struct call {
        uint32_t stream;
        ProtobufCBinaryData payload;
};

static int malformed(struct err *e, const char *what)
{
        return err_set(e, ERR_PROTOCOL, "NRI: a %s that cannot be read", what);
}

static int configure(struct nri_session *s, const struct call *c, struct err *e)
{
        Nri__ConfigureRequest *r =
                nri__configure_request__unpack(NULL, c->payload.len, c->payload.data);
        if (r == NULL)
                return malformed(e, "Configure request");
        s->configured = true;
        s->synchronized = false;
        s->listener->configured(
                s->listener->arg, log_or(r->runtime_name), log_or(r->runtime_version));
        nri__configure_request__free_unpacked(r, NULL);
        Nri__ConfigureResponse response = NRI__CONFIGURE_RESPONSE__INIT;
        response.has_events = true;
        response.events = EVENTS;
        answer(s, c->stream, &response.base);
        return 0;
}

static int synchronize(struct nri_session *s, const struct call *c, struct err *e)
{
        Nri__SynchronizeRequest *r =
                nri__synchronize_request__unpack(NULL, c->payload.len, c->payload.data);
        if (r == NULL)
                return malformed(e, "Synchronize request");
        bool more = r->more;
        if (nri_snapshot_add(&s->snapshot, r, c->payload.len, e) < 0)
                return -1;
        if (!more) {
                nri_snapshot_tell(&s->snapshot, s->listener);
                nri_snapshot_fini(&s->snapshot);
                s->synchronized = true;
        }
        Nri__SynchronizeResponse response = NRI__SYNCHRONIZE_RESPONSE__INIT;
        response.has_more =
                true; /* that it can be split is learnt from the same word in the answer */
        response.more = more;
        answer(s, c->stream, &response.base);
        return 0;
}

static int shut_down(struct nri_session *s, const struct call *c, struct err *e)
{
        (void)e;
        answer_nothing(s, c->stream); /* and then it closes the connection */
        return 0;
}

/* The listener's answer; the strings are its own. */
static void answer_creation(struct nri_session *s, uint32_t stream, struct nri_creation *says)
{
        if (says->refusal[0] != '\0') {
                answer_error(s, stream, GRPC_PERMISSION_DENIED, says->refusal);
                return;
        }
        Nri__Entry entries[NRI_ANNOTATIONS_MAX];
        Nri__Entry *list[NRI_ANNOTATIONS_MAX];
        for (size_t i = 0; i < says->annotation_count; i++) {
                nri__entry__init(&entries[i]);
                entries[i].key = (char *)says->annotations[i].key;
                entries[i].value = says->annotations[i].value;
                list[i] = &entries[i];
        }
        Nri__ContainerAdjustment adjustment = NRI__CONTAINER_ADJUSTMENT__INIT;
        adjustment.n_annotations = says->annotation_count;
        adjustment.annotations = list;
        Nri__CreateContainerResponse response = NRI__CREATE_CONTAINER_RESPONSE__INIT;
        response.adjust = says->annotation_count > 0 ? &adjustment : NULL;
        answer(s, stream, &response.base);
}

static bool can_be_heard(const struct nri_session *s, const Nri__Container *c)
{
        return s->synchronized && c != NULL && c->id != NULL && c->id[0] != '\0';
}

static int create(struct nri_session *s, const struct call *c, struct err *e)
{
        Nri__ContainerRequest *r =
                nri__container_request__unpack(NULL, c->payload.len, c->payload.data);
        if (r == NULL)
                return malformed(e, "CreateContainer request");
        struct nri_creation says = {0};
        if (can_be_heard(s, r->container)) {
                struct nri_pod pod = nri_pod_of(r->pod);
                struct nri_container container = nri_container_of(r->container);
                container.state = NRI_CREATED;
                s->listener->container_creating(s->listener->arg, &pod, &container, &says);
        }
        nri__container_request__free_unpacked(r, NULL);
        answer_creation(s, c->stream, &says);
        return 0;
}

static void tell_event(struct nri_session *s, int32_t event, const Nri__Container *c)
{
        if (!can_be_heard(s, c))
                return;
        if (event == NRI__EVENT__STOP_CONTAINER)
                s->listener->container_stopped(s->listener->arg, c->id);
        else if (event == NRI__EVENT__REMOVE_CONTAINER)
                s->listener->container_removed(s->listener->arg, c->id);
}

static int hear_event(struct nri_session *s, const struct call *c, int32_t event, struct err *e)
{
        Nri__ContainerRequest *r =
                nri__container_request__unpack(NULL, c->payload.len, c->payload.data);
        if (r == NULL)
                return malformed(e, "container's event");
        tell_event(s, event, r->container);
        nri__container_request__free_unpacked(r, NULL);
        answer_nothing(s, c->stream);
        return 0;
}

static int stop(struct nri_session *s, const struct call *c, struct err *e)
{
        return hear_event(s, c, NRI__EVENT__STOP_CONTAINER, e);
}

static int remove_container(struct nri_session *s, const struct call *c, struct err *e)
{
        return hear_event(s, c, NRI__EVENT__REMOVE_CONTAINER, e);
}

/* How runtimes up to NRI 0.9 tell of all events that can only be acknowledged. */
static int change_state(struct nri_session *s, const struct call *c, struct err *e)
{
        Nri__StateChangeEvent *r =
                nri__state_change_event__unpack(NULL, c->payload.len, c->payload.data);
        if (r == NULL)
                return malformed(e, "StateChange request");
        tell_event(s, r->event, r->container);
        nri__state_change_event__free_unpacked(r, NULL);
        answer_nothing(s, c->stream);
        return 0;
}

static const struct method {
        const char *name;
        int (*serve)(struct nri_session *s, const struct call *c, struct err *e);
} methods[] = {
        {"Configure", configure},
        {"Synchronize", synchronize},
        {"Shutdown", shut_down},
        {"CreateContainer", create},
        {"StopContainer", stop},
        {"RemoveContainer", remove_container},
        {"StateChange", change_state},
};

static const struct method *find_method(const Ttrpc__Request *r)
{
        if (strcmp(log_or(r->service), PLUGIN_SERVICE) != 0)
                return NULL;
        for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
                if (strcmp(log_or(r->method), methods[i].name) == 0)
                        return &methods[i];
        return NULL;
}

static int serve_request(struct nri_session *s, const struct nri_message *m, struct err *e)
{
        static char unknown[] = "this plugin does not know the method";
        Ttrpc__Request *r = ttrpc__request__unpack(NULL, m->size, m->data);
        if (r == NULL)
                return malformed(e, "ttrpc request");
        const struct method *method = find_method(r);
        struct call c = {m->stream, r->payload};
        int result = 0;
        if (method == NULL)
                answer_error(s, m->stream, GRPC_UNIMPLEMENTED, unknown);
        else
                result = method->serve(s, &c, e);
        ttrpc__request__free_unpacked(r, NULL);
        return result;
}

/* The only thing that the runtime is ever asked is to register the plugin. */
static int hear_registered(const struct nri_message *m, struct err *e)
{
        Ttrpc__Response *r = ttrpc__response__unpack(NULL, m->size, m->data);
        if (r == NULL)
                return malformed(e, "RegisterPlugin response");
        int result = 0;
        if (m->stream != REGISTRATION_STREAM)
                result = err_set(e, ERR_PROTOCOL, "NRI: a response to nothing that was asked");
        else if (r->status != NULL && r->status->code != 0)
                result = err_set(e, ERR_INVALID, "NRI: the runtime refuses the plugin: %s (%d)",
                        log_or(r->status->message), r->status->code);
        ttrpc__response__free_unpacked(r, NULL);
        return result;
}

int nri_session_feed(struct nri_session *s, const uint8_t *data, size_t size, struct err *e)
{
        struct nri_message m;
        int n = 0;
        while ((n = nri_frame_read(&s->in, &data, &size, &m, e)) > 0) {
                int result = m.connection == NRI_PLUGIN_SERVICE ? serve_request(s, &m, e)
                                                                : hear_registered(&m, e);
                if (result < 0)
                        return -1;
                if (s->out.overflow)
                        return err_set(e, ERR_BROKEN, "NRI: the runtime does not take the answers");
        }
        return n;
}

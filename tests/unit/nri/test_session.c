/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>
#include <stdio.h>

#include "base/log.h"
#include "nri/session.h"
#include "proto/nri_ttrpc.pb-c.h"

#define PLUGIN_SERVICE "nri.pkg.api.v1alpha1.Plugin"

enum { UNIMPLEMENTED = 12, PERMISSION_DENIED = 7 };

/* ---- a listener that writes down what it hears, and says what it is told to ---- */

struct ear {
        struct buf heard;
        struct nri_creation says;
};

static void on_configured(void *arg, const char *runtime, const char *version)
{
        buf_printf(&((struct ear *)arg)->heard, "configured %s %s\n", runtime, version);
}

static const char state_letters[] = "CRS?";

static void note_container(struct ear *ear, const char *what, const struct nri_container *c)
{
        buf_printf(&ear->heard, "%s %s %s %s %c %s\n", what, c->id, c->pod_id, c->name,
                state_letters[c->state], c->image != NULL ? c->image : "-");
}

static void on_synchronized(void *arg, const struct nri_pod *pods, size_t pod_count,
        const struct nri_container *containers, size_t container_count)
{
        struct ear *ear = arg;
        for (size_t i = 0; i < pod_count; i++)
                buf_printf(&ear->heard, "pod %s\n", pods[i].id);
        for (size_t i = 0; i < container_count; i++)
                note_container(ear, "container", &containers[i]);
        buf_puts(&ear->heard, "synchronized\n");
}

static void on_creating(void *arg, const struct nri_pod *pod, const struct nri_container *container,
        struct nri_creation *answer)
{
        struct ear *ear = arg;
        buf_printf(&ear->heard, "pod %s %s %s %s\n", pod->id, pod->namespace_name, pod->name,
                pod->uid);
        note_container(ear, "creating", container);
        *answer = ear->says;
}

static void on_stopped(void *arg, const char *container_id)
{
        buf_printf(&((struct ear *)arg)->heard, "stopped %s\n", container_id);
}

static void on_removed(void *arg, const char *container_id)
{
        buf_printf(&((struct ear *)arg)->heard, "removed %s\n", container_id);
}

static void on_disconnected(void *arg, const char *reason)
{
        (void)arg;
        fail_msg("a session knows no connection: %s", reason);
}

/* ---- a session with it ---- */

struct talk {
        struct ear ear;
        struct nri_listener listener;
        struct nri_session session;
};

static int set_up(void **state)
{
        struct talk *t = mem_zalloc(sizeof(*t));
        buf_init(&t->ear.heard, 64 * 1024);
        t->listener = (struct nri_listener){&t->ear, on_configured, on_synchronized, on_creating,
                on_stopped, on_removed, on_disconnected};
        nri_session_init(&t->session, &t->listener);
        *state = t;
        return 0;
}

static int tear_down(void **state)
{
        struct talk *t = *state;
        nri_session_fini(&t->session);
        buf_fini(&t->ear.heard);
        free(t);
        return 0;
}

/* The message's bytes in a frame of the runtime's; the caller frees. */
static uint8_t *framed(uint8_t connection, uint32_t stream, const ProtobufCMessage *m, size_t *size)
{
        size_t length = protobuf_c_message_get_packed_size(m);
        *size = length + 18;
        uint8_t *data = mem_zalloc(*size);
        uint8_t head[18] = {[3] = connection,
                [5] = (uint8_t)((length + 10) >> 16),
                [6] = (uint8_t)((length + 10) >> 8),
                [7] = (uint8_t)(length + 10),
                [9] = (uint8_t)(length >> 16),
                [10] = (uint8_t)(length >> 8),
                [11] = (uint8_t)length,
                [15] = (uint8_t)stream,
                [16] = connection};
        memcpy(data, head, sizeof(head));
        protobuf_c_message_pack(m, data + sizeof(head));
        return data;
}

static int send_bytes(
        struct talk *t, const char *method, uint8_t *payload, size_t payload_size, struct err *e)
{
        Ttrpc__Request r = TTRPC__REQUEST__INIT;
        r.service = (char *)PLUGIN_SERVICE;
        r.method = (char *)method;
        r.has_payload = true;
        r.payload = (ProtobufCBinaryData){payload_size, payload};
        size_t size = 0;
        cleanup_free uint8_t *data = framed(NRI_PLUGIN_SERVICE, 7, &r.base, &size);
        buf_reset(&t->session.out);
        return nri_session_feed(&t->session, data, size, e);
}

/* What it answers, which is in one frame and on the stream that was asked on; the caller frees. */
static Ttrpc__Response *ask(struct talk *t, const char *method, const ProtobufCMessage *m)
{
        struct err e = {0};
        size_t size = protobuf_c_message_get_packed_size(m);
        cleanup_free uint8_t *payload = mem_zalloc(size + 1);
        protobuf_c_message_pack(m, payload);
        if (send_bytes(t, method, payload, size, &e) < 0)
                fail_msg("%s: %s", method, e.msg);
        const struct buf *out = &t->session.out;
        assert_true(out->size >= 18);
        assert_int_equal(out->data[15], 7);
        Ttrpc__Response *r =
                ttrpc__response__unpack(NULL, out->size - 18, (const uint8_t *)out->data + 18);
        assert_non_null(r);
        return r;
}

/* Asks, and drops what may only be a good answer. */
static void tell(struct talk *t, const char *method, const ProtobufCMessage *m)
{
        Ttrpc__Response *r = ask(t, method, m);
        assert_null(r->status);
        ttrpc__response__free_unpacked(r, NULL);
}

static void assert_heard(struct talk *t, const char *expected)
{
        assert_string_equal(buf_str(&t->ear.heard), expected);
        buf_reset(&t->ear.heard);
}

static void configure(struct talk *t)
{
        Nri__ConfigureRequest r = NRI__CONFIGURE_REQUEST__INIT;
        r.runtime_name = (char *)"containerd";
        r.runtime_version = (char *)"v2";
        tell(t, "Configure", &r.base);
}

static void synchronize(struct talk *t)
{
        Nri__SynchronizeRequest r = NRI__SYNCHRONIZE_REQUEST__INIT;
        tell(t, "Synchronize", &r.base);
        buf_reset(&t->ear.heard);
}

/* A request about one container of one pod; valid as long as it is not moved. */
struct event {
        Nri__Entry entries[2], *list[2];
        Nri__PodSandbox pod;
        Nri__Container container;
        Nri__ContainerRequest request;
};

static void make_event(struct event *v)
{
        *v = (struct event){.pod = NRI__POD_SANDBOX__INIT,
                .container = NRI__CONTAINER__INIT,
                .request = NRI__CONTAINER_REQUEST__INIT};
        static const char *const words[][2] = {
                {"io.kubernetes.cri.image", "no"}, {"io.kubernetes.cri.image-name", "a.io/b:1"}};
        for (size_t i = 0; i < 2; i++) {
                nri__entry__init(&v->entries[i]);
                v->entries[i].key = (char *)words[i][0];
                v->entries[i].value = (char *)words[i][1];
                v->list[i] = &v->entries[i];
        }
        v->pod.id = (char *)"p1";
        v->pod.name = (char *)"web-0";
        v->pod.namespace_ = (char *)"shop";
        v->pod.uid = (char *)"u1";
        v->container.id = (char *)"c1";
        v->container.pod_sandbox_id = (char *)"p1";
        v->container.name = (char *)"main";
        v->container.has_state = true;
        v->container.state = NRI__CONTAINER_STATE__PAUSED;
        v->container.n_annotations = 2;
        v->container.annotations = v->list;
        v->request.pod = &v->pod;
        v->request.container = &v->container;
}

/* ---- the tests ---- */

static void registers_first(void **state)
{
        struct talk *t = *state;
        const struct buf *out = &t->session.out;
        assert_memory_equal(out->data, "\0\0\0\2", 4);
        Ttrpc__Request *r =
                ttrpc__request__unpack(NULL, out->size - 18, (const uint8_t *)out->data + 18);
        assert_non_null(r);
        assert_string_equal(r->service, "nri.pkg.api.v1alpha1.Runtime");
        assert_string_equal(r->method, "RegisterPlugin");
        assert_int_equal(r->payload.len, 18);
        assert_memory_equal(r->payload.data, "\012\014cri-resolved\022\00290", 18);
        ttrpc__request__free_unpacked(r, NULL);
}

static void asks_for_three_events(void **state)
{
        struct talk *t = *state;
        Nri__ConfigureRequest request = NRI__CONFIGURE_REQUEST__INIT;
        Ttrpc__Response *r = ask(t, "Configure", &request.base);
        Nri__ConfigureResponse *says =
                nri__configure_response__unpack(NULL, r->payload.len, r->payload.data);
        assert_int_equal(says->events, 1 << 3 | 1 << 9 | 1 << 10);
        nri__configure_response__free_unpacked(says, NULL);
        ttrpc__response__free_unpacked(r, NULL);
        assert_heard(t, "configured  \n");
}

static void a_container_from_its_creation_to_its_end(void **state)
{
        struct talk *t = *state;
        struct event v;
        make_event(&v);
        configure(t);
        synchronize(t);
        tell(t, "CreateContainer", &v.request.base);
        assert_heard(t, "pod p1 shop web-0 u1\ncreating c1 p1 main C a.io/b:1\n");
        tell(t, "StopContainer", &v.request.base);
        assert_heard(t, "stopped c1\n");
        tell(t, "RemoveContainer", &v.request.base);
        assert_heard(t, "removed c1\n");
}

static void state_changes(void **state)
{
        struct talk *t = *state;
        struct event v;
        make_event(&v);
        configure(t);
        synchronize(t);
        static const struct {
                int32_t event;
                const char *heard;
        } cases[] = {
                {0, ""},
                {1, ""},
                {4, ""},
                {5, ""},
                {7, ""},
                {9, ""},
                {-1, ""},
                {1000, ""},
                {6, ""},
                {10, "stopped c1\n"},
                {11, "removed c1\n"},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Nri__StateChangeEvent event = NRI__STATE_CHANGE_EVENT__INIT;
                event.has_event = true;
                event.event = cases[i].event;
                event.container = &v.container;
                tell(t, "StateChange", &event.base);
                assert_heard(t, cases[i].heard);
                event.container = NULL;
                tell(t, "StateChange", &event.base);
                assert_heard(t, "");
        }
}

static void nothing_is_heard_before_it_is_synchronized(void **state)
{
        struct talk *t = *state;
        struct event v;
        make_event(&v);
        snprintf(t->ear.says.refusal, sizeof(t->ear.says.refusal), "no");
        configure(t);
        buf_reset(&t->ear.heard);
        static const char *const methods[] = {
                "CreateContainer", "StopContainer", "RemoveContainer"};
        for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
                tell(t, methods[i], &v.request.base);
        assert_heard(t, "");
}

static void synchronized_in_parts(void **state)
{
        struct talk *t = *state;
        struct event v;
        make_event(&v);
        Nri__Container *containers[] = {&v.container};
        Nri__PodSandbox *pods[] = {&v.pod};
        Nri__SynchronizeRequest part = NRI__SYNCHRONIZE_REQUEST__INIT;
        part.pods = pods;
        part.containers = containers;
        part.has_more = part.more = true;
        part.n_pods = 1;
        tell(t, "Synchronize", &part.base);
        part.n_pods = 0;
        part.n_containers = 1;
        tell(t, "Synchronize", &part.base);
        assert_heard(t, "");
        assert_false(t->session.synchronized);
        part.more = false;
        v.container.state = 77;
        v.container.n_annotations = 1;
        tell(t, "Synchronize", &part.base);
        assert_heard(t, "pod p1\ncontainer c1 p1 main R a.io/b:1\ncontainer c1 p1 main ? "
                        "-\nsynchronized\n");
        assert_true(t->session.synchronized);
        part.n_containers = 0;
        tell(t, "Synchronize", &part.base);
        assert_heard(t, "synchronized\n");
}

static void annotations(void **state)
{
        struct talk *t = *state;
        struct event v;
        make_event(&v);
        configure(t);
        synchronize(t);
        for (size_t count = 1; count <= NRI_ANNOTATIONS_MAX; count++) {
                t->ear.says.annotation_count = count;
                t->ear.says.annotations[count - 1].key = "cri-resolved/x";
                snprintf(t->ear.says.annotations[count - 1].value, 256, "%zu", count);
                Ttrpc__Response *r = ask(t, "CreateContainer", &v.request.base);
                assert_null(r->status);
                Nri__CreateContainerResponse *says = nri__create_container_response__unpack(
                        NULL, r->payload.len, r->payload.data);
                assert_int_equal(says->adjust->n_annotations, count);
                const Nri__Entry *last = says->adjust->annotations[count - 1];
                assert_string_equal(last->key, "cri-resolved/x");
                assert_string_equal(last->value, t->ear.says.annotations[count - 1].value);
                nri__create_container_response__free_unpacked(says, NULL);
                ttrpc__response__free_unpacked(r, NULL);
        }
}

static void assert_refused(struct talk *t, const char *method, const ProtobufCMessage *m, int code,
        const char *message)
{
        Ttrpc__Response *r = ask(t, method, m);
        assert_non_null(r->status);
        assert_int_equal(r->status->code, code);
        assert_string_equal(r->status->message, message);
        assert_int_equal(r->payload.len, 0);
        ttrpc__response__free_unpacked(r, NULL);
}

static void refusals(void **state)
{
        struct talk *t = *state;
        struct event v;
        make_event(&v);
        configure(t);
        synchronize(t);
        snprintf(t->ear.says.refusal, sizeof(t->ear.says.refusal), "a.io/b:1 was retagged");
        t->ear.says.annotation_count = 1;
        t->ear.says.annotations[0].key = "k";
        assert_refused(
                t, "CreateContainer", &v.request.base, PERMISSION_DENIED, "a.io/b:1 was retagged");
        static const char *const unknown[] = {
                "", "createContainer", "UpdateContainer", "CreateContainerX"};
        for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
                assert_refused(t, unknown[i], &v.request.base, UNIMPLEMENTED,
                        "this plugin does not know the method");
}

static int hear_registered(struct talk *t, uint32_t stream, int32_t code, struct err *e)
{
        Ttrpc__Status status = TTRPC__STATUS__INIT;
        status.has_code = true;
        status.code = code;
        Ttrpc__Response r = TTRPC__RESPONSE__INIT;
        r.status = &status;
        size_t size = 0;
        cleanup_free uint8_t *data = framed(NRI_RUNTIME_SERVICE, stream, &r.base, &size);
        return nri_session_feed(&t->session, data, size, e);
}

static void the_answer_to_the_registration(void **state)
{
        struct err e = {0};
        assert_int_equal(hear_registered(*state, 1, 0, &e), 0);
        assert_int_equal(hear_registered(*state, 3, 0, &e), -1);
        assert_int_equal(e.code, ERR_PROTOCOL);
        assert_int_equal(hear_registered(*state, 1, 5, &e), -1);
        assert_int_equal(e.code, ERR_INVALID);
        assert_string_equal(e.msg, "NRI: the runtime refuses the plugin:  (5)");
}

static void requests_that_cannot_be_read(void **state)
{
        static const char *const methods[] = {"Configure", "Synchronize", "CreateContainer",
                "StopContainer", "RemoveContainer", "StateChange"};
        for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
                struct talk *t = *state;
                struct err e = {0};
                static uint8_t cut_short[] = {0x12, 0x7f, 'x'}; /* field 2, of 127 bytes */
                assert_int_equal(send_bytes(t, methods[i], cut_short, sizeof(cut_short), &e), -1);
                assert_int_equal(e.code, ERR_PROTOCOL);
                assert_non_null(strstr(e.msg, "cannot be read"));
        }
}

/* Nobody resets `out`. */
static void answers_that_nobody_takes(void **state)
{
        struct talk *t = *state;
        struct err e = {0};
        Ttrpc__Request nothing = TTRPC__REQUEST__INIT;
        size_t size = 0;
        cleanup_free uint8_t *data = framed(NRI_PLUGIN_SERVICE, 9, &nothing.base, &size);
        int answered = 0;
        while (nri_session_feed(&t->session, data, size, &e) == 0)
                answered++;
        assert_int_equal(e.code, ERR_BROKEN);
        assert_in_range(answered, 1000, 10000);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(registers_first),
                TEST(asks_for_three_events),
                TEST(a_container_from_its_creation_to_its_end),
                TEST(state_changes),
                TEST(nothing_is_heard_before_it_is_synchronized),
                TEST(synchronized_in_parts),
                TEST(annotations),
                TEST(refusals),
                TEST(the_answer_to_the_registration),
                TEST(requests_that_cannot_be_read),
                TEST(answers_that_nobody_takes),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

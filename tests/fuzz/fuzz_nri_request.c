/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A byte that names a method, and any bytes as its request, to a plugin that has been synchronized:
 * it is answered, or it cannot be read. The corpus is tests/fuzz/corpus/nri_request.
 */
#include <stdint.h>

#include "proto/nri_ttrpc.pb-c.h"
#include "tests/fuzz/nri_ear.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const methods[] = {"Configure", "Synchronize", "Shutdown", "CreateContainer",
        "StopContainer", "RemoveContainer", "StateChange", "Nonsense"};

/* One frame with one request. */
static int ask(struct nri_session *s, const char *method, const uint8_t *payload, size_t size,
        struct err *e)
{
        Ttrpc__Request r = TTRPC__REQUEST__INIT;
        r.service = (char *)"nri.pkg.api.v1alpha1.Plugin";
        r.method = (char *)method;
        r.has_payload = true;
        r.payload = (ProtobufCBinaryData){size, (uint8_t *)payload};
        size_t length = protobuf_c_message_get_packed_size(&r.base);
        cleanup_free uint8_t *data = mem_zalloc(length + 18);
        for (int i = 0; i < 4; i++) {
                data[4 + i] = (uint8_t)((length + 10) >> (24 - 8 * i));
                data[8 + i] = (uint8_t)(length >> (24 - 8 * i));
        }
        data[3] = data[15] = data[16] = 1;
        protobuf_c_message_pack(&r.base, data + 18);
        return nri_session_feed(s, data, length + 18, e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size == 0 || size > 1 << 20)
                return 0;
        struct nri_ear ear;
        struct nri_listener listener = nri_ear_listener(&ear);
        struct nri_session s;
        struct err e;
        nri_session_init(&s, &listener);
        if (ask(&s, "Configure", NULL, 0, &e) < 0 || ask(&s, "Synchronize", NULL, 0, &e) < 0)
                abort();
        for (int i = 0; i < 3; i++) { /* the listener says something else each time */
                size_t before = s.out.size;
                if (ask(&s, methods[data[0] % 9], data + 1, size - 1, &e) == 0)
                        assert(s.out.size >= before + 18);
                else
                        assert(e.code == ERR_PROTOCOL);
        }
        nri_session_fini(&s);
        buf_fini(&ear.heard);
        return 0;
}

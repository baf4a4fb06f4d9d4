/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "nri/frame.h"

/* Bytes with zeros in them, and how many. */
#define BYTES(s) (const uint8_t *)(s), sizeof(s) - 1

/* An outer frame's head: connection and length; a message's head: length, stream, type, flags. */
#define FRAME(connection, length)           "\0\0\0" connection "\0\0\0" length
#define HEAD(length, stream, type)          "\0\0\0" length "\0\0\0" stream type "\0"
#define MESSAGE(length, stream, type, data) HEAD(length, stream, type) data

/* What is read, as a line a message: "connection/stream: data". */
static int read_all(struct nri_frame_reader *r, const uint8_t *data, size_t size, struct buf *out,
        struct err *e)
{
        struct nri_message m;
        int n = 0;
        while ((n = nri_frame_read(r, &data, &size, &m, e)) > 0)
                buf_printf(out, "%d/%u: %.*s\n", (int)m.connection, m.stream, (int)m.size,
                        (const char *)m.data);
        if (n == 0)
                assert_int_equal(size, 0);
        return n;
}

/* The first `first` bytes, then pieces of `piece` bytes. */
static int read_split(const uint8_t *data, size_t size, size_t first, size_t piece, struct buf *out,
        struct err *e)
{
        struct nri_frame_reader r;
        nri_frame_reader_init(&r);
        int n = 0;
        for (size_t at = 0, next = first; n == 0 && at < size; at += next, next = piece) {
                next = next < size - at ? next : size - at;
                /* a copy of the exact size, so that a sanitizer sees who reads on */
                cleanup_free uint8_t *copy = mem_zalloc(next + 1);
                memcpy(copy, data + at, next);
                n = read_all(&r, copy, next, out, e);
        }
        nri_frame_reader_fini(&r);
        return n;
}

static const struct {
        const char *what, *messages;
        const uint8_t *data;
        size_t size;
} readable[] = {
        {"one message in one frame", "1/3: abc\n",
                BYTES(FRAME("\1", "\15") MESSAGE("\3", "\3", "\1", "abc"))},
        {"an empty message", "1/5: \n", BYTES(FRAME("\1", "\12") HEAD("\0", "\5", "\1"))},
        {"a response of the runtime", "2/1: ok\n",
                BYTES(FRAME("\2", "\14") MESSAGE("\2", "\1", "\2", "ok"))},
        {"two messages in a frame", "1/1: a\n1/3: b\n",
                BYTES(FRAME("\1", "\26") MESSAGE("\1", "\1", "\1", "a")
                                MESSAGE("\1", "\3", "\1", "b"))},
        {"a frame with a message and the beginning of another", "1/1: a\n1/3: bc\n",
                BYTES(FRAME("\1", "\15") MESSAGE("\1", "\1", "\1", "a") "\0\0" FRAME(
                        "\1", "\12") "\0\2\0\0\0\3\1\0"
                                     "bc")},
        {"a message in three frames, one of them empty", "1/1: abcd\n",
                BYTES(FRAME("\1", "\14") MESSAGE("\4", "\1", "\1", "ab") FRAME("\1", "\0")
                                FRAME("\1", "\2") "cd")},
        {"two connections, cut into each other", "2/1: ok\n1/1: abcd\n",
                BYTES(FRAME("\1", "\14") MESSAGE("\4", "\1", "\1", "ab") FRAME("\2", "\14")
                                MESSAGE("\2", "\1", "\2", "ok") FRAME("\1", "\2") "cd")},
        {"a flag that says what is so anyway", "1/1: a\n",
                BYTES(FRAME("\1", "\13") "\0\0\0\1\0\0\0\1\1\1"
                                         "a")},
};

static void messages_however_they_are_cut(void **state)
{
        (void)state;
        for (size_t i = 0; i < sizeof(readable) / sizeof(readable[0]); i++)
                for (size_t first = 1; first <= readable[i].size; first++)
                        for (size_t piece = 1; piece <= readable[i].size; piece += piece) {
                                struct err e = {0};
                                cleanup_buf struct buf out;
                                buf_init(&out, 4096);
                                assert_int_equal(read_split(readable[i].data, readable[i].size,
                                                         first, piece, &out, &e),
                                        0);
                                assert_string_equal(buf_str(&out), readable[i].messages);
                        }
}

static const struct {
        const char *messages, *error;
        enum err_code code;
        const uint8_t *data;
        size_t size;
} broken[] = {
        {"", "NRI: a frame for connection 0", ERR_PROTOCOL, BYTES(FRAME("\0", "\1") "x")},
        {"", "NRI: a frame for connection 3", ERR_PROTOCOL, BYTES(FRAME("\3", "\0"))},
        {"", "NRI: a frame for connection 4278190081", ERR_PROTOCOL, BYTES("\377\0\0\1\0\0\0\0")},
        {"", "NRI: a frame of 16777217 bytes", ERR_TOO_LARGE, BYTES("\0\0\0\1\1\0\0\1")},
        {"", "NRI: a message of 4194305 bytes, more than 4194304", ERR_TOO_LARGE,
                BYTES(FRAME("\1", "\12") "\0\100\0\1\0\0\0\1\1\0")},
        {"", "NRI: a message of type 2 on connection 1", ERR_PROTOCOL,
                BYTES(FRAME("\1", "\12") HEAD("\0", "\1", "\2"))},
        {"", "NRI: a message of type 1 on connection 2", ERR_PROTOCOL,
                BYTES(FRAME("\2", "\12") HEAD("\0", "\1", "\1"))},
        {"", "NRI: a message of type 3 on connection 1", ERR_PROTOCOL,
                BYTES(FRAME("\1", "\12") HEAD("\0", "\1", "\3"))},
        {"", "NRI: a request that is a stream", ERR_PROTOCOL,
                BYTES(FRAME("\1", "\12") "\0\0\0\0\0\0\0\1\1\2")},
        {"1/1: a\n", "NRI: a message of type 0 on connection 1", ERR_PROTOCOL,
                BYTES(FRAME("\1", "\25") MESSAGE("\1", "\1", "\1", "a") HEAD("\0", "\3", "\0"))},
};

static void what_a_runtime_does_not_send(void **state)
{
        (void)state;
        for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
                for (size_t first = 1; first <= broken[i].size; first++) {
                        struct err e = {0};
                        cleanup_buf struct buf out;
                        buf_init(&out, 4096);
                        assert_int_equal(read_split(broken[i].data, broken[i].size, first,
                                                 broken[i].size, &out, &e),
                                -1);
                        assert_int_equal(e.code, broken[i].code);
                        assert_string_equal(e.msg, broken[i].error);
                        assert_string_equal(buf_str(&out), broken[i].messages);
                }
}

static void memory_follows_what_came(void **state)
{
        (void)state;
        struct nri_frame_reader r;
        struct err e;
        nri_frame_reader_init(&r);
        cleanup_buf struct buf out;
        buf_init(&out, 64);
        /* a head that claims all there may be */
        assert_int_equal(read_all(&r,
                                 BYTES("\0\0\0\1\0\100\0\12\0\100\0\0\0\0\0\1\1\0"
                                       "abc"),
                                 &out, &e),
                0);
        assert_true(r.parts[0].data.capacity < 4096);
        /* and then does send it */
        size_t rest = NRI_MESSAGE_MAX_BYTES - 3;
        cleanup_free uint8_t *data = mem_zalloc(rest);
        const uint8_t *at = data;
        struct nri_message m;
        assert_int_equal(nri_frame_read(&r, &at, &rest, &m, &e), 1);
        assert_int_equal(m.size, NRI_MESSAGE_MAX_BYTES);
        assert_memory_equal(m.data, "abc\0", 4);
        assert_int_equal(nri_frame_read(&r, &at, &rest, &m, &e), 0);
        assert_int_equal(r.parts[0].data.capacity, 0);
        nri_frame_reader_fini(&r);
}

/* What a runtime makes of frames: the payloads, one after the other. */
static void unframe(const struct buf *in, uint8_t connection, struct buf *out)
{
        const uint8_t *p = (const uint8_t *)in->data;
        for (size_t at = 0; at < in->size;) {
                assert_true(in->size - at >= 8);
                assert_memory_equal(p + at, "\0\0\0", 3);
                assert_int_equal(p[at + 3], connection);
                size_t length = (size_t)p[at + 4] << 24 | (size_t)p[at + 5] << 16 |
                                (size_t)p[at + 6] << 8 | p[at + 7];
                assert_true(length > 0 && length <= NRI_FRAME_MAX_BYTES);
                assert_true(length <= in->size - at - 8);
                buf_append(out, p + at + 8, length);
                at += 8 + length;
        }
}

static void frames_are_as_large_as_the_runtime_can_read(void **state)
{
        (void)state;
        static const struct {
                size_t size, frames;
        } cases[] = {{0, 1}, {1, 1}, {4085, 1}, {4086, 1}, {4087, 2}, {8182, 2}, {8183, 3},
                {NRI_MESSAGE_MAX_BYTES, 1025}};
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                size_t size = cases[i].size;
                cleanup_free uint8_t *data = mem_zalloc(size + 1);
                for (size_t j = 0; j < size; j++)
                        data[j] = (uint8_t)(j * 7 + j / 256);
                cleanup_buf struct buf out;
                cleanup_buf struct buf got;
                buf_init(&out, 2 * NRI_MESSAGE_MAX_BYTES);
                buf_init(&got, 2 * NRI_MESSAGE_MAX_BYTES);
                nri_frame_write(
                        &out, &(struct nri_message){NRI_PLUGIN_SERVICE, 0x01020304, data, size});
                unframe(&out, 1, &got);
                assert_int_equal(got.size, 10 + size);
                assert_int_equal(out.size, 8 * cases[i].frames + 10 + size);
                uint8_t head[] = {(uint8_t)(size >> 24), (uint8_t)(size >> 16),
                        (uint8_t)(size >> 8), (uint8_t)size, 1, 2, 3, 4, 2, 0};
                assert_memory_equal(got.data, head, sizeof(head));
                assert_memory_equal(got.data + 10, data, size);
        }
}

static void a_request_for_the_runtime(void **state)
{
        (void)state;
        cleanup_buf struct buf out;
        buf_init(&out, 64);
        nri_frame_write(
                &out, &(struct nri_message){NRI_RUNTIME_SERVICE, 1, (const uint8_t *)"abc", 3});
        static const char expected[] = FRAME("\2", "\15") MESSAGE("\3", "\1", "\1", "abc");
        assert_int_equal(out.size, sizeof(expected) - 1);
        assert_memory_equal(out.data, expected, out.size);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(messages_however_they_are_cut),
                cmocka_unit_test(what_a_runtime_does_not_send),
                cmocka_unit_test(memory_follows_what_came),
                cmocka_unit_test(frames_are_as_large_as_the_runtime_can_read),
                cmocka_unit_test(a_request_for_the_runtime),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

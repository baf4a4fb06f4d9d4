/* SPDX-License-Identifier: Apache-2.0 */
/* request.c: what is read of a PullImageRequest, and that all of it is still there afterwards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "shim/message.h"
#include "shim/request.h"

/* A field of the wire format: the number of a length-delimited field below 16, or of a larger one
 * up to 127, and its bytes. */
static void put(struct buf *out, unsigned field, const void *data, size_t size)
{
        unsigned key = field << 3 | 2;
        unsigned char head[4] = {(unsigned char)key};
        size_t n = 1;
        if (key > 127) {
                head[0] = (unsigned char)(key | 128);
                head[n++] = (unsigned char)(key >> 7);
        }
        assert_true(size < 128);
        head[n++] = (unsigned char)size;
        buf_append(out, head, n);
        buf_append(out, data, size);
}

static void put_text(struct buf *out, unsigned field, const char *text)
{
        put(out, field, text, strlen(text));
}

static void put_message(struct buf *out, unsigned field, const struct buf *inner)
{
        put(out, field, buf_str(inner), inner->size);
}

enum { REQUEST_IMAGE = 1, REQUEST_AUTH = 2, REQUEST_SANDBOX = 3, UNKNOWN = 99 };
enum { IMAGE_NAME = 1, IMAGE_ANNOTATIONS = 2, IMAGE_USER_NAME = 18, IMAGE_HANDLER = 19 };
enum { SANDBOX_ANNOTATIONS = 7 };

/* What a request has; NULL: nothing. */
struct asked {
        const char *image, *handler, *annotated;
};

static void build(struct buf *out, const struct asked *a)
{
        cleanup_buf struct buf image = {.max_bytes = 1000};
        cleanup_buf struct buf sandbox = {.max_bytes = 1000};
        cleanup_buf struct buf pair = {.max_bytes = 1000};
        buf_init(out, 10000);
        if (a->image != NULL)
                put_text(&image, IMAGE_NAME, a->image);
        if (a->handler != NULL)
                put_text(&image, IMAGE_HANDLER, a->handler);
        put_message(out, REQUEST_IMAGE, &image);
        if (a->annotated == NULL)
                return;
        put_text(&pair, 1, "io.containerd.cri.runtime-handler");
        put_text(&pair, 2, a->annotated);
        put_text(&sandbox, SANDBOX_ANNOTATIONS, "\x0a\x01x\x12\x01y"); /* another one first */
        put_message(&sandbox, SANDBOX_ANNOTATIONS, &pair);
        put_message(out, REQUEST_SANDBOX, &sandbox);
}

static bool read_buf(struct request *r, const struct buf *bytes)
{
        return request_read(r, (const uint8_t *)buf_str(bytes), bytes->size);
}

static void what_chooses_the_snapshotter(void **state)
{
        (void)state;
        static const struct {
                struct asked asked;
                const char *handler;
        } cases[] = {
                {{"ghcr.io/a/b:1", NULL, NULL}, ""},
                {{"ghcr.io/a/b:1", "", ""}, ""},
                {{"ghcr.io/a/b:1", "kata", NULL}, "kata\n"},
                {{"ghcr.io/a/b:1", NULL, "kata"}, "\nkata"},
                {{"ghcr.io/a/b:1", "kata", "runc"}, "kata\nrunc"},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_buf struct buf bytes;
                struct request r;
                build(&bytes, &cases[i].asked);
                assert_true(read_buf(&r, &bytes));
                assert_string_equal(r.runtime_handler, cases[i].handler);
                assert_string_equal(r.ref.text, "ghcr.io/a/b:1");
                assert_false(credentials_present(&r.credentials));
                request_fini(&r);
                assert_null(r.message);
        }
}

static void what_is_none_of_our_business(void **state)
{
        (void)state;
        static const struct asked cases[] = {
                {NULL, NULL, NULL},
                {"", NULL, NULL},
                {"A B", NULL, NULL},
                {"ghcr.io/A/b", NULL, NULL},
                {"ghcr.io/a@sha256:12", NULL, NULL},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_buf struct buf bytes;
                struct request r;
                build(&bytes, &cases[i]);
                assert_false(read_buf(&r, &bytes));
                request_fini(&r);
        }
        static const char *const broken[] = {
                "", "\x0a", "\x0a\x05\x0a", "\xff\xff\xff", "\x08\x01"};
        for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
                struct request r;
                assert_false(request_read(&r, (const uint8_t *)broken[i], strlen(broken[i])));
                request_fini(&r);
        }
}

/* As a C string it would be ghcr.io/a/b. */
static void a_name_with_a_nul(void **state)
{
        (void)state;
        cleanup_buf struct buf image = {.max_bytes = 1000};
        cleanup_buf struct buf bytes = {.max_bytes = 1000};
        put(&image, IMAGE_NAME, "ghcr.io/a/b\0evil", 16);
        put_message(&bytes, REQUEST_IMAGE, &image);
        struct request r;
        assert_false(read_buf(&r, &bytes));
        request_fini(&r);
}

static void credentials_by_field(void **state)
{
        (void)state;
        cleanup_buf struct buf bytes;
        cleanup_buf struct buf auth = {.max_bytes = 1000};
        static const char *const values[] = {"u", "p", "a", "s", "i", "r"};
        for (unsigned i = 0; i < 6; i++)
                put_text(&auth, i + 1, values[i]);
        build(&bytes, &(struct asked){.image = "nginx"});
        put_message(&bytes, REQUEST_AUTH, &auth);
        struct request r;
        assert_true(read_buf(&r, &bytes));
        assert_string_equal(r.ref.text, "docker.io/library/nginx:latest");
        assert_string_equal(r.credentials.username, "u");
        assert_string_equal(r.credentials.password, "p");
        assert_string_equal(r.credentials.auth, "a");
        assert_string_equal(r.credentials.server_address, "s");
        assert_string_equal(r.credentials.identity_token, "i");
        assert_string_equal(r.credentials.registry_token, "r");
        request_fini(&r);
}

/* Fields of tomorrow, on every level that we take apart; in the order in which they are packed. */
static void nothing_is_lost(void **state)
{
        (void)state;
        cleanup_buf struct buf image = {.max_bytes = 1000};
        cleanup_buf struct buf auth = {.max_bytes = 1000};
        cleanup_buf struct buf bytes = {.max_bytes = 10000};
        put_text(&image, IMAGE_NAME, "ghcr.io/a/b:1");
        put_text(&image, IMAGE_HANDLER, "kata");
        put_text(&image, IMAGE_ANNOTATIONS, "\x0a\x01k\x12\x01v");
        put_text(&image, IMAGE_USER_NAME, "b:1");
        put_text(&image, UNKNOWN, "of the image");
        put_text(&auth, 1, "user");
        put_text(&auth, UNKNOWN, "of auth");
        put_message(&bytes, REQUEST_IMAGE, &image);
        put_message(&bytes, REQUEST_AUTH, &auth);
        put_text(&bytes, REQUEST_SANDBOX, "\xfa\x06\x03of it"); /* 111: "of " and broken then */
        put_text(&bytes, UNKNOWN, "of the request");
        struct request r;
        assert_true(read_buf(&r, &bytes));
        size_t size = 0;
        cleanup_free uint8_t *again = message_pack(&r.message->base, &size);
        assert_int_equal(size, bytes.size);
        assert_memory_equal(again, bytes.data, size);
        request_fini(&r);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_chooses_the_snapshotter),
                cmocka_unit_test(what_is_none_of_our_business),
                cmocka_unit_test(a_name_with_a_nul),
                cmocka_unit_test(credentials_by_field),
                cmocka_unit_test(nothing_is_lost),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

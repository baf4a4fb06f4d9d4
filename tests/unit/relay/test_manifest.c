/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>

#include "base/buf.h"
#include "relay/manifest.h"

#define A "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define C "sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
#define SHA512                                                                                     \
        "sha512:dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"  \
        "dddddddddddddddddddddddddddddddddddddddddddddddd"

#define OCI_INDEX    "application/vnd.oci.image.index.v1+json"
#define OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"

static void note(void *arg, const char *digest, int64_t size_bytes, const char *ref)
{
        (void)ref;
        buf_printf(arg, "%c %lld,", digest[strlen("sha256:")], (long long)size_bytes);
}

static const struct {
        const char *text, *media_type, *sizes; /* "digit size," of each */
} documents[] = {
        {"{\"mediaType\": \"x/y\", \"config\": {\"digest\": \"" A "\", \"size\": 1},"
         " \"layers\": [{\"digest\": \"" B "\", \"size\": 22}, {\"digest\": \"" C
         "\", \"size\": 333}]}",
                "x/y", "a 1,b 22,c 333,"},
        {"{\"config\": {\"digest\": \"" A "\", \"size\": 1}, \"layers\": []}", OCI_MANIFEST,
                "a 1,"},
        {"{\"manifests\": [{\"digest\": \"" A "\", \"size\": 9007199254740993}]}", OCI_INDEX,
                "a 9007199254740993,"},
        /* OCI artifact manifests of image-spec 1.1-rc */
        {"{\"blobs\": [{\"digest\": \"" A "\", \"size\": 5}]}", NULL, "a 5,"},
        {"{\"manifests\": {}, \"layers\": 1, \"config\": []}", NULL, ""},
        {"{\"mediaType\": 1, \"layers\": []}", OCI_MANIFEST, ""},
        /* Descriptors that say nothing that we could use. */
        {"{\"layers\": [{\"digest\": \"" A "\"}, {\"size\": 1}, {\"digest\": 1, \"size\": 1},"
         " {\"digest\": \"" B "\", \"size\": \"1\"}, {\"digest\": \"" B "\", \"size\": 1.5},"
         " {\"digest\": \"" SHA512 "\", \"size\": 1}, {\"digest\": \"sha256:a\", \"size\": 1},"
         " null, 1, [], \"" A "\", {\"digest\": \"" C "\", \"size\": 7}]}",
                OCI_MANIFEST, "c 7,"},
        {"{\"layers\": [{\"digest\": \"" A "\", \"size\": -1}]}", OCI_MANIFEST, "a -1,"},
        {"{\"layers\": [{\"digest\": \"" A "\\u0000\", \"size\": 1}]}", NULL, ""},
        {"[]", NULL, ""},
        {"null", NULL, ""},
        {"\"" A "\"", NULL, ""},
        {"{", NULL, ""},
        {"", NULL, ""},
        {"{} x", NULL, ""},
        {"\xff\xfe", NULL, ""},
};

static void what_documents_say(void **state)
{
        (void)state;
        for (size_t i = 0; i < sizeof(documents) / sizeof(documents[0]); i++) {
                cleanup_buf struct buf sizes;
                buf_init(&sizes, 4096);
                /* A copy of exactly its size: what is read beyond it is seen by ASan. */
                size_t size = strlen(documents[i].text);
                cleanup_free char *text = mem_zalloc(size);
                memcpy(text, documents[i].text, size);
                struct manifest *m = manifest_parse(text, size);
                const char *type = manifest_media_type(m);
                const char *wanted = documents[i].media_type;
                if ((type == NULL) != (wanted == NULL) ||
                        (type != NULL && strcmp(type, wanted) != 0))
                        fail_msg("%s: %s", documents[i].text, type);
                manifest_each(m, note, &sizes);
                if (strcmp(buf_str(&sizes), documents[i].sizes) != 0)
                        fail_msg("%s: %s", documents[i].text, buf_str(&sizes));
                manifest_free(m);
        }
        manifest_free(NULL);
}

/* ---- refs ---- */

#define OCI_LAYER  "application/vnd.oci.image.layer."
#define OCI_CONFIG "application/vnd.oci.image.config.v1+json"
#define DOCKER     "application/vnd.docker."
#define NAMED      "\"org.opencontainers.image.ref.name\""
#define OF_A       "\"digest\": \"" A "\", \"size\": 1"
#define LAYER_A    OF_A ", \"mediaType\": \"" OCI_LAYER "v1.tar\""
#define LAYERS(d)  "{\"layers\": [{" d "}]}"

static void note_ref(void *arg, const char *digest, int64_t size_bytes, const char *ref)
{
        (void)digest;
        (void)size_bytes;
        buf_printf(arg, "%s,", ref != NULL ? ref : "-");
}

static void expect_refs(const char *text, const char *wanted)
{
        cleanup_buf struct buf refs;
        buf_init(&refs, 4096);
        struct manifest *m = manifest_parse(text, strlen(text));
        manifest_each(m, note_ref, &refs);
        manifest_free(m);
        if (strcmp(buf_str(&refs), wanted) != 0)
                fail_msg("%s: %s", text, buf_str(&refs));
}

static const struct {
        const char *type, *ref;
} types[] = {
        {OCI_LAYER "v1.tar", "layer-" A ","},
        {OCI_LAYER "v1.tar+zstd+encrypted", "layer-" A ","},
        {OCI_LAYER "nondistributable.v1.tar+gzip", "layer-" A ","},
        {OCI_LAYER, "layer-" A ","},
        {DOCKER "image.rootfs.diff.tar", "layer-" A ","},
        {DOCKER "image.rootfs.diff.tar.gzip", "layer-" A ","},
        {DOCKER "image.rootfs.diff.tar+x+y", "layer-" A ","},
        {DOCKER "image.rootfs.foreign.diff.tar", "layer-" A ","},
        {DOCKER "image.rootfs.foreign.diff.tar.gzip", "layer-" A ","},
        {OCI_CONFIG, "config-" A ","},
        {DOCKER "container.image.v1+json", "config-" A ","},
        {"application/vnd.containerd.container.criu.checkpoint.criu.tar", "config-" A ","},
        {"application/vnd.containerd.container.checkpoint.config.v1+proto", "config-" A ","},
        /* "unknown-" for one containerd, something else for another */
        {DOCKER "image.rootfs.diff.tar.zstd", "-,"},
        {"application/vnd.in-toto+json", "-,"},
        {"application/vnd.erofs.layer.v1", "-,"},
        {"application/vnd.oci.image.layer", "-,"},
        {"Application/vnd.oci.image.layer.v1.tar", "-,"},
        {OCI_CONFIG " ", "-,"},
        {DOCKER "image.rootfs.diff.tar.gzi", "-,"},
        {OCI_INDEX, "-,"},
        {OCI_MANIFEST, "-,"},
        {"", "-,"},
};

static void the_ref_goes_by_the_type(void **state)
{
        (void)state;
        for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
                static const char *const texts[] = {
                        "{\"config\": {" OF_A ", \"mediaType\": \"%s\"}}",
                        LAYERS(OF_A ", \"mediaType\": \"%s\""),
                };
                for (size_t t = 0; t < 2; t++) {
                        cleanup_buf struct buf text;
                        buf_init(&text, 4096);
                        const char *hole = strstr(texts[t], "%s");
                        buf_append(&text, texts[t], (size_t)(hole - texts[t]));
                        buf_puts(&text, types[i].type);
                        buf_puts(&text, hole + 2);
                        expect_refs(buf_str(&text), types[i].ref);
                }
        }
}

static void and_by_the_name(void **state)
{
        (void)state;
        expect_refs(LAYERS(LAYER_A ", \"annotations\": {" NAMED ": \"1.0\"}"), "layer-1.0@" A ",");
        expect_refs(LAYERS(LAYER_A ", \"annotations\": {" NAMED ": \"\"}"), "layer-@" A ",");
        expect_refs(LAYERS(LAYER_A ", \"annotations\": {\"Other\": \"1\"}"), "layer-" A ",");
        expect_refs(LAYERS(LAYER_A ", \"annotations\": null"), "layer-" A ",");
        expect_refs("{\"config\": {" OF_A ", \"mediaType\": \"" OCI_CONFIG
                    "\", \"annotations\": {" NAMED ": \"a-b@c\"}}}",
                "config-a-b@c@" A ",");
}

/* Whose document says one thing to us and another to containerd must not choose whom we abort. */
static void what_can_be_read_in_two_ways_gives_no_ref(void **state)
{
        (void)state;
        static const char *const texts[] = {
                LAYERS(LAYER_A ", \"MediaType\": \"" OCI_CONFIG "\""),
                LAYERS(LAYER_A ", \"mediaType\": \"" OCI_LAYER "\""),
                LAYERS(LAYER_A ", \"annotations\": {" NAMED ": \"x\"}, \"annotations\": {}"),
                LAYERS(LAYER_A ", \"Annotations\": {" NAMED ": \"x\"}"),
                LAYERS(LAYER_A ", \"annotation\u017f\": {" NAMED ": \"x\"}"),
                LAYERS(LAYER_A ", \"DIGEST\": \"" B "\""),
                "{\"layers\": [{" LAYER_A "}], \"Layers\": []}",
                "{\"layers\": [], \"layers\": [{" LAYER_A "}]}",
                "{\"layers\": [{" LAYER_A "}], \"Config\": {}}",
                LAYERS(OF_A),
                LAYERS(OF_A ", \"mediaType\": 1"),
                /* containerd writes neither as these: it fetches no blobs, and an index has no
                   layers */
                "{\"blobs\": [{" LAYER_A "}]}",
                "{\"manifests\": [{" LAYER_A "}]}",
        };
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
                expect_refs(texts[i], "-,");
        expect_refs(LAYERS(LAYER_A ", \"platform\": {}, \"Other\": 1"), "layer-" A ",");
}

/* ---- what costs too much ---- */

enum { RELAYS_STACK_BYTES = 256 * 1024, MANIFEST_MAX_BYTES = 4 * 1024 * 1024 };

static size_t allocated_bytes; /* by jansson */

static void *count_and_allocate(size_t size)
{
        allocated_bytes += size;
        return mem_zalloc(size);
}

struct reading {
        const struct buf *text;
        char type[64]; /* "": none */
        struct buf sizes;
};

static void *read_it(void *arg)
{
        struct reading *r = arg;
        allocated_bytes = 0;
        struct manifest *m = manifest_parse(r->text->data, r->text->size);
        const char *type = manifest_media_type(m);
        snprintf(r->type, sizeof(r->type), "%s", type != NULL ? type : "");
        manifest_each(m, note, &r->sizes);
        manifest_free(m);
        return NULL;
}

/* With a stack of the size that the relay's threads have. "" as type: no manifest, and not a byte
 * was spent on it. */
static void expect_read(const struct buf *text, const char *type, const char *sizes)
{
        struct reading r = {.text = text};
        pthread_t thread;
        pthread_attr_t small;
        buf_init(&r.sizes, 4096);
        assert_false(text->overflow);
        pthread_attr_init(&small);
        assert_int_equal(pthread_attr_setstacksize(&small, RELAYS_STACK_BYTES), 0);
        assert_int_equal(pthread_create(&thread, &small, read_it, &r), 0);
        pthread_join(thread, NULL);
        pthread_attr_destroy(&small);
        assert_string_equal(r.type, type);
        assert_string_equal(buf_str(&r.sizes), sizes);
        assert_int_equal(allocated_bytes > 0, *type != '\0');
        buf_fini(&r.sizes);
}

#define START "{\"mediaType\":\"x/y\",\"config\":{\"digest\":\"" A "\",\"size\":1},\"x\":"

static void repeat(struct buf *b, const char *what, size_t times)
{
        for (size_t i = 0; i < times; i++)
                buf_puts(b, what);
}

/* What jansson would take (it ends at 2048), on a stack that holds it just so, and more. */
static void depth_is_bounded(void **state)
{
        (void)state;
        static const char *const brackets[][2] = {{"[", "]"}, {"{\"x\":", "}"}};
        static const size_t depths[] = {16, 2000, 100000};
        for (size_t i = 0; i < 2; i++) {
                for (size_t d = 0; d < sizeof(depths) / sizeof(depths[0]); d++) {
                        cleanup_buf struct buf text;
                        buf_init(&text, MANIFEST_MAX_BYTES);
                        buf_puts(&text, START);
                        repeat(&text, brackets[i][0], depths[d]);
                        buf_puts(&text, "1");
                        repeat(&text, brackets[i][1], depths[d]);
                        buf_puts(&text, "}");
                        expect_read(&text, "", "");
                }
        }
        cleanup_buf struct buf most;
        buf_init(&most, MANIFEST_MAX_BYTES);
        buf_puts(&most, START "[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]}");
        expect_read(&most, "x/y", "a 1,");
}

/* Each bracket would take a hundred times its room. */
static void floods_are_not_parsed(void **state)
{
        (void)state;
        static const char *const floods[] = {"{},", "[],", "1,", "{\"a\":{}},", "\"[\\\"\","};
        for (size_t i = 0; i < sizeof(floods) / sizeof(floods[0]); i++) {
                cleanup_buf struct buf text;
                buf_init(&text, MANIFEST_MAX_BYTES);
                buf_puts(&text, START "[");
                repeat(&text, floods[i], (MANIFEST_MAX_BYTES - 1000) / strlen(floods[i]));
                buf_puts(&text, "1]}");
                expect_read(&text, "", "");
        }
}

/* The most expensive one that is still read, and a string that only looks like a flood. */
static void what_is_read_is_affordable(void **state)
{
        (void)state;
        enum { VALUES_MAX = 20000, OTHER_VALUES = 6, AFFORDABLE_BYTES = 16 * 1024 * 1024 };
        cleanup_buf struct buf text;
        buf_init(&text, MANIFEST_MAX_BYTES);
        buf_puts(&text, START "[");
        repeat(&text, "{\"a\":{}},", (VALUES_MAX - OTHER_VALUES) / 3);
        buf_puts(&text, "1]}");
        expect_read(&text, "x/y", "a 1,");
        assert_true(allocated_bytes < AFFORDABLE_BYTES);
        buf_reset(&text);
        buf_puts(&text, START "\"\\\"");
        repeat(&text, "[{,", 100000);
        buf_puts(&text, "\"}");
        expect_read(&text, "x/y", "a 1,");
}

int main(void)
{
        json_set_alloc_funcs(count_and_allocate, free);
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_documents_say),
                cmocka_unit_test(the_ref_goes_by_the_type),
                cmocka_unit_test(and_by_the_name),
                cmocka_unit_test(what_can_be_read_in_two_ways_gives_no_ref),
                cmocka_unit_test(depth_is_bounded),
                cmocka_unit_test(floods_are_not_parsed),
                cmocka_unit_test(what_is_read_is_affordable),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A relay's parts with real sources: an upstream and two mirrors, fake registries all three, that
 * have the same content until a test gives them rules. Content is text: rules can say it, too.
 */
#ifndef CRI_RESOLVED_TESTS_KITCHEN_H
#define CRI_RESOLVED_TESTS_KITCHEN_H

#include "relay/stream.h"
#include "tests/unit/config/scratch.h"
#include "tests/unit/relay/capture.h"
#include "tests/unit/resolver/fake.h"

#define REPOSITORY "team/app"
#define NAME       "cri-resolved/ghcr.io/" REPOSITORY

enum {
        SMALL_BYTES = 5000,
        LARGE_BYTES = 1000 * 1000,
        NOBODY = -1, /* as client */
};

struct content {
        enum registry_content kind;
        char *text;
        size_t size;
        char digest[DIGEST_SHA256_SIZE + 1];
};

/* All tests of a program share these; rules and logs are each test's own. */
struct kitchen {
        struct scratch *scratch;
        struct fake first, second, home; /* two mirrors and the upstream */
        struct content small, large, manifest;
};

/* One test's own. */
struct meal {
        struct kitchen *k;
        struct config *config;
        struct health *health;
        struct grants *grants;
        struct grant *grant;
        struct stream_parts parts;
        struct capture log;
};

/* Text of lines that are all different: what is out of place is seen. */
__attribute__((unused)) static struct content content_make(
        enum registry_content kind, const char *start, size_t size)
{
        struct content c = {.kind = kind, .size = size};
        cleanup_buf struct buf text;
        buf_init(&text, SIZE_MAX / 2);
        buf_puts(&text, start);
        for (size_t line = 0; text.size < size; line++)
                buf_printf(&text, " line %zu of %zu bytes ", line, size);
        c.text = mem_strndup(buf_str(&text), size);
        digest_of(c.text, size, c.digest);
        return c;
}

__attribute__((unused)) static void kitchen_put(struct fake *f, const struct content *c)
{
        bool manifest = c->kind == REGISTRY_MANIFEST;
        cleanup_free char *path = manifest ? mem_printf("manifests/" REPOSITORY "/%s", c->digest)
                                           : mem_printf("blobs/%s", c->digest);
        json_decref(fake_call(f, "PUT", path,
                manifest ? "application/vnd.oci.image.manifest.v1+json" : "text/plain", c->text));
}

#define MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"
#define CONFIG_TYPE   "application/vnd.oci.image.config.v1+json"

/* A manifest that tells of the small blob, not of the large one. */
__attribute__((unused)) static struct content content_manifest(const struct content *small)
{
        cleanup_free char *text = mem_printf("{\"schemaVersion\":2,\"mediaType\":\"" MANIFEST_TYPE
                                             "\",\"config\":{\"mediaType\":\"" CONFIG_TYPE
                                             "\",\"digest\":\"%s\",\"size\":%zu},\"layers\":[]}",
                small->digest, small->size);
        return content_make(REGISTRY_MANIFEST, text, strlen(text));
}

__attribute__((unused)) static int kitchen_open(void **state)
{
        struct kitchen *k = mem_zalloc(sizeof(*k));
        void *scratch = NULL;
        if (scratch_setup(&scratch) != 0)
                return -1;
        k->scratch = scratch;
        k->small = content_make(REGISTRY_BLOB, "small", SMALL_BYTES);
        k->large = content_make(REGISTRY_BLOB, "large", LARGE_BYTES);
        k->manifest = content_manifest(&k->small);
        struct fake *fakes[] = {&k->first, &k->second, &k->home};
        for (size_t i = 0; i < 3; i++) {
                fake_start(fakes[i], NULL);
                kitchen_put(fakes[i], &k->small);
                kitchen_put(fakes[i], &k->large);
                kitchen_put(fakes[i], &k->manifest);
        }
        *state = k;
        return 0;
}

__attribute__((unused)) static int kitchen_close(void **state)
{
        struct kitchen *k = *state;
        fake_stop(&k->first);
        fake_stop(&k->second);
        fake_stop(&k->home);
        free(k->small.text);
        free(k->large.text);
        free(k->manifest.text);
        void *scratch = k->scratch;
        free(k);
        return scratch_teardown(&scratch);
}

/* Mirrors that went down stay down. */
static int meal_probe(
        void *arg, const struct upstream *mirror, struct cancel *cancel, struct err *e)
{
        (void)arg;
        (void)mirror;
        (void)cancel;
        return err_set(e, ERR_UNREACHABLE, "no probe in this test");
}

__attribute__((unused)) static struct route *meal_route(struct meal *m)
{
        struct err e;
        struct route *route = NULL;
        if (route_new(m->health, m->config, "ghcr.io", &route, &e) < 0)
                fake_die(e.msg);
        return route;
}

/* Another pull of the same image. */
__attribute__((unused)) static struct grant *meal_grant(struct meal *m)
{
        static const struct credentials pod = {.username = "pod", .password = "word"};
        struct grant_spec spec = {.name = NAME,
                .host = "ghcr.io",
                .repository = REPOSITORY,
                .reference = "ghcr.io/" REPOSITORY ":1",
                .route = meal_route(m),
                .credentials = &pod};
        return grant_issue(m->grants, &spec);
}

static const char *meal_stall_timeout = "1s";
static const char *meal_host = "ghcr.io"; /* whose table it is; "default": it has none */

/* mirrors: a list in TOML; NULL: the two of the kitchen. */
__attribute__((unused)) static struct config *meal_config(struct kitchen *k, const char *mirrors)
{
        cleanup_free char *both = mem_printf("[\"http://127.0.0.1:%d\", \"http://127.0.0.1:%d\"]",
                k->first.port, k->second.port);
        cleanup_free char *text = mem_printf("[resolve]\ntimeout = \"2s\"\nbudget = \"2s\"\n"
                                             "[relay]\nconnect_timeout = \"1s\"\n"
                                             "first_byte_timeout = \"2s\"\n"
                                             "stall_timeout = \"%s\"\n"
                                             "[upstream.\"%s\"]\n"
                                             "server = \"http://127.0.0.1:%d\"\nmirrors = %s\n",
                meal_stall_timeout, meal_host, k->home.port, mirrors != NULL ? mirrors : both);
        cleanup_free char *path = scratch_write(k->scratch, "c.toml", text);
        struct config *config = NULL;
        struct err e;
        if (config_load(path, &config, &e) < 0)
                fake_die(e.msg);
        return config;
}

__attribute__((unused)) static void meal_begin(
        struct meal *m, struct kitchen *k, const char *mirrors)
{
        *m = (struct meal){.k = k, .config = meal_config(k, mirrors)};
        fake_reset(&k->first);
        fake_reset(&k->second);
        fake_reset(&k->home);
        m->health = health_new(meal_probe, NULL);
        m->grants = grants_new();
        m->parts = (struct stream_parts){.registry = registry_new(),
                .room = body_room_new(),
                .room_of_others = body_room_new(),
                .spoilt = spoilt_new()};
        m->grant = meal_grant(m);
        capture_begin(&m->log);
}

/* What was logged; the caller frees. */
__attribute__((unused)) static char *meal_end(struct meal *m)
{
        grant_revoke(m->grants, m->grant);
        grant_put(m->grant);
        grants_free(m->grants);
        registry_free(m->parts.registry);
        body_room_free(m->parts.room);
        body_room_free(m->parts.room_of_others);
        spoilt_free(m->parts.spoilt);
        health_free(m->health);
        config_put(m->config);
        return capture_end(&m->log);
}

__attribute__((unused)) static void meal_end_silently(struct meal *m)
{
        char *log = meal_end(m);
        free(log);
}

__attribute__((unused)) static int meal_open(
        struct meal *m, const struct content *c, struct stream **out, struct err *e)
{
        return stream_open(&m->parts, m->grant, c->kind, c->digest, NOBODY, out, e);
}

/* Reads to the end as libmicrohttpd would; false: cut. */
__attribute__((unused)) static bool meal_read(struct stream *s, struct buf *out)
{
        enum { BLOCK = 128 * 1024 };
        cleanup_free char *block = mem_zalloc(BLOCK);
        size_t size = (size_t)stream_size(s);
        while (out->size < size) {
                size_t left = size - out->size;
                ssize_t n = stream_read(s, block, left < BLOCK ? left : BLOCK);
                if (n <= 0)
                        return false;
                assert_true((size_t)n <= left);
                buf_append(out, block, (size_t)n);
        }
        return true;
}

/* The content comes whole and right. */
__attribute__((unused)) static void meal_expect(struct meal *m, const struct content *c)
{
        struct err e;
        struct stream *s = NULL;
        cleanup_buf struct buf got;
        buf_init(&got, SIZE_MAX / 2);
        if (meal_open(m, c, &s, &e) < 0)
                fail_msg("%s", e.msg);
        assert_int_equal(stream_size(s), c->size);
        if (!meal_read(s, &got))
                fail_msg("cut after %zu bytes", got.size);
        stream_free(s);
        assert_int_equal(got.size, c->size);
        assert_memory_equal(got.data, c->text, c->size);
}

/* The content begins, and is cut; how many bytes came. They are whatever the source had. */
__attribute__((unused)) static size_t meal_expect_cut(struct meal *m, const struct content *c)
{
        struct err e;
        struct stream *s = NULL;
        cleanup_buf struct buf got;
        buf_init(&got, SIZE_MAX / 2);
        if (meal_open(m, c, &s, &e) < 0)
                fail_msg("%s", e.msg);
        assert_false(meal_read(s, &got));
        stream_free(s);
        return got.size;
}

__attribute__((unused)) static void meal_expect_failure(
        struct meal *m, const struct content *c, enum err_code code, const char *words)
{
        struct err e;
        struct stream *s = NULL;
        assert_int_equal(meal_open(m, c, &s, &e), -1);
        assert_null(s);
        if (strstr(e.msg, words) == NULL)
                fail_msg("%s: %s instead of %s", err_label(e.code), e.msg, words);
        assert_int_equal(e.code, code);
}

/* What was asked of a fake, an entry a line: "GET blobs bytes=5-"; "-" for no Range. Empties it. */
__attribute__((unused)) static char *meal_story(struct fake *f)
{
        cleanup_buf struct buf story;
        buf_init(&story, 1 << 20);
        json_t *log = fake_log(f);
        size_t i;
        json_t *entry;
        json_array_foreach (log, i, entry) {
                cleanup_free char *range = fake_header(entry, "Range");
                const char *path = json_string_value(json_object_get(entry, "path"));
                buf_printf(&story, "%s %s %s\n",
                        json_string_value(json_object_get(entry, "method")),
                        strstr(path, "/manifests/") != NULL ? "manifests"
                        : strstr(path, "/blobs/") != NULL   ? "blobs"
                                                            : path,
                        range != NULL ? range : "-");
        }
        json_decref(log);
        fake_order(f, "DELETE", "log", "");
        return mem_strdup(buf_str(&story));
}

__attribute__((unused)) static void meal_expect_story(
        struct meal *m, const char *first, const char *second, const char *home)
{
        cleanup_free char *one = meal_story(&m->k->first);
        cleanup_free char *two = meal_story(&m->k->second);
        cleanup_free char *three = meal_story(&m->k->home);
        assert_string_equal(one, first);
        assert_string_equal(two, second);
        assert_string_equal(three, home);
}

/* `text` with the URLs of the mirrors for "$1" and "$2"; the caller frees. */
__attribute__((unused)) static char *meal_text(const struct meal *m, const char *text)
{
        cleanup_buf struct buf out;
        buf_init(&out, 1 << 20);
        for (; *text != '\0'; text++) {
                bool name = *text == '$' && (text[1] == '1' || text[1] == '2');
                if (name)
                        buf_printf(&out, "http://127.0.0.1:%d",
                                *++text == '1' ? m->k->first.port : m->k->second.port);
                else
                        buf_append(&out, text, 1);
        }
        return mem_strdup(buf_str(&out));
}

__attribute__((unused)) static void meal_expect_sources(struct meal *m, const char *wanted)
{
        cleanup_free char *is = grant_sources_text(m->grant);
        cleanup_free char *text = meal_text(m, wanted);
        assert_string_equal(is, text);
}

__attribute__((unused)) static void meal_expect_failures(struct meal *m, const char *wanted)
{
        cleanup_free char *is = grant_failures_text(m->grant);
        cleanup_free char *text = meal_text(m, wanted);
        assert_string_equal(is, text);
}

/* The mirrors by number. */
__attribute__((unused)) static struct mirror *meal_mirror(struct meal *m, int number)
{
        return grant_spec_of(m->grant)->route->sources[number - 1].mirror;
}

__attribute__((unused)) static bool meal_is_up(struct meal *m, int number)
{
        struct mirror_state state;
        mirror_state(meal_mirror(m, number), &state);
        return state.up;
}

#endif

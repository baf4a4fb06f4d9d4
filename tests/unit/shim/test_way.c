/* SPDX-License-Identifier: Apache-2.0 */
/* way.c: what goes through the relay, and why the rest does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "shim/way.h"
#include "tests/unit/config/scratch.h"
#include "tests/unit/relay/capture.h"
#include "tests/unit/relay/client.h"

#define HEX    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SHA256 "sha256:" HEX
#define SHA512 "sha512:" HEX HEX

/* "@" is the test's folder. */
static const char text[] = "[relay]\n"
                           "image_verifier_dir = \"@/verifiers\"\n"
                           "[upstream.\"ghcr.io\"]\n"
                           "mirrors = [\"http://127.0.0.1:5010\"]\n"
                           "[upstream.\"quay.io\"]\n"
                           "mirrors = [\"http://127.0.0.1:5010\"]\n"
                           "relay = \"off\"\n"
                           "[upstream.\"gcr.io\"]\n"
                           "mirrors = []\n"
                           "[upstream.\"[::1]:5000\"]\n"
                           "mirrors = [\"http://127.0.0.1:5010\"]\n";

struct place {
        struct scratch *scratch;
        struct config *config;
        struct registry *registry;
        struct relay *relay;
        struct capture log;
};

static int open_place(void **state)
{
        struct place *p = mem_zalloc(sizeof(*p));
        void *scratch = NULL;
        if (scratch_setup(&scratch) != 0)
                return -1;
        p->scratch = scratch;
        cleanup_free char *own = scratch_expand(p->scratch, text);
        cleanup_free char *path = scratch_write(p->scratch, "c.toml", own);
        struct err e;
        if (config_load(path, &p->config, &e) < 0) {
                fprintf(stderr, "%s\n", e.msg);
                return -1;
        }
        p->registry = registry_new();
        p->relay = relay_new(p->registry, (uint16_t)client_free_port());
        way_forget();
        capture_begin(&p->log);
        relay_listen(p->relay);
        free(capture_wait(&p->log, "the relay serves"));
        *state = p;
        return 0;
}

static int close_place(void **state)
{
        struct place *p = *state;
        relay_free(p->relay);
        registry_free(p->registry);
        config_put(p->config);
        free(capture_end(&p->log));
        void *scratch = p->scratch;
        free(p);
        return scratch_teardown(&scratch);
}

/* What may be unusual about a question. */
struct question {
        const char *image, *digest, *handler, *snapshotter;
};

static char *ask(struct place *p, const struct question *is)
{
        struct err e;
        cleanup_ref struct ref ref = {0};
        if (ref_parse(is->image, strlen(is->image), &ref, &e) < 0)
                fail_msg("%s", e.msg);
        struct backend_facts backend = {.snapshotter = (char *)is->snapshotter};
        struct way_question q = {.config = p->config,
                .ref = &ref,
                .digest = is->digest,
                .runtime_handler = is->handler,
                .backend = &backend};
        return way_relay_name(p->relay, &q);
}

static void expect_relay(struct place *p, const struct question *q, const char *name)
{
        cleanup_free char *is = ask(p, q);
        if (is == NULL || strcmp(is, name) != 0)
                fail_msg("%s goes to %s instead of %s", q->image, is, name);
}

/* Twice: it is said once. reason NULL: it is not said at all. */
static void expect_direct(struct place *p, const struct question *q, const char *reason)
{
        for (int i = 0; i < 2; i++) {
                cleanup_free char *is = ask(p, q);
                if (is != NULL)
                        fail_msg("%s goes to %s", q->image, is);
        }
        if (reason == NULL)
                return;
        cleanup_free char *line = capture_wait(&p->log, "pulled directly");
        cleanup_free char *wanted =
                mem_printf(" info pulled directly reason=\"%s\" reference=", reason);
        if (strstr(line, wanted) == NULL)
                fail_msg("%s instead of %s", line, wanted);
        assert_int_equal(capture_count(buf_str(&p->log.text), "pulled directly"), 1);
        buf_reset(&p->log.text);
        way_forget();
}

static const struct question usual = {"ghcr.io/a/b:1", SHA256, "", "overlayfs"};

static void through_the_relay(void **state)
{
        expect_relay(*state, &usual, "cri-resolved/ghcr.io/a/b");
        static const char *const snapshotters[] = {
                "overlayfs", "native", "btrfs", "zfs", "erofs", "devmapper", "blockfile"};
        for (size_t i = 0; i < sizeof(snapshotters) / sizeof(snapshotters[0]); i++) {
                struct question q = usual;
                q.snapshotter = snapshotters[i];
                expect_relay(*state, &q, "cri-resolved/ghcr.io/a/b");
        }
}

static void a_runtime_handler(void **state)
{
        struct question q = usual;
        q.handler = "kata";
        expect_direct(*state, &q, "a runtime handler may choose another snapshotter");
}

static void nobody_wonders_where_no_mirror_is_to_be_used(void **state)
{
        struct place *p = *state;
        struct question q = usual;
        static const char *const images[] = {"gcr.io/a", "docker.io/library/a"};
        for (size_t i = 0; i < sizeof(images) / sizeof(images[0]); i++) {
                q.image = images[i];
                expect_direct(p, &q, NULL);
        }
        q.image = "quay.io/a"; /* the next line is the first */
        expect_direct(p, &q, "the configuration says so");
}

static void digests_of_another_kind(void **state)
{
        struct question q = usual;
        q.digest = SHA512;
        expect_direct(*state, &q, "the digest is not a sha256");
}

static void snapshotters_that_come_back(void **state)
{
        static const char *const snapshotters[] = {
                "stargz", "soci", "nydus", "overlaybd", "overlayfs2", "", NULL};
        for (size_t i = 0; i < sizeof(snapshotters) / sizeof(snapshotters[0]); i++) {
                struct question q = usual;
                q.snapshotter = snapshotters[i];
                expect_direct(
                        *state, &q, "the snapshotter may ask for the pulled name again later");
        }
}

static void names_that_cannot_be_said(void **state)
{
        struct question q = usual;
        q.image = "[::1]:5000/a";
        expect_direct(*state, &q, "the relay's name would be no reference");
        cleanup_free char *image = mem_zalloc(300);
        strcpy(image, "ghcr.io/");
        memset(image + strlen(image), 'a', 240);
        q.image = image;
        expect_direct(*state, &q, "the relay's name would have more than 255 characters");
}

static void an_image_verifier(void **state)
{
        struct place *p = *state;
        static const char reason[] = "an image verifier is installed";
        expect_relay(p, &usual, "cri-resolved/ghcr.io/a/b"); /* there is no such directory */
        cleanup_free char *note = scratch_write(p->scratch, "verifiers/README", "no program");
        cleanup_free char *inner = scratch_write(p->scratch, "verifiers/folder/x", "");
        cleanup_free char *gone = mem_printf("%s/verifiers/gone", p->scratch->path);
        assert_int_equal(symlink("/nonexistent", gone), 0);
        expect_relay(p, &usual, "cri-resolved/ghcr.io/a/b");
        cleanup_free char *program = scratch_write(p->scratch, "verifiers/v", "#!/bin/true\n");
        assert_int_equal(chmod(program, 0755), 0);
        expect_direct(p, &usual, reason);
        assert_int_equal(chmod(program, 0644), 0);
        expect_relay(p, &usual, "cri-resolved/ghcr.io/a/b");
        assert_int_equal(chmod(program, 0010), 0);
        expect_direct(p, &usual, reason);
        assert_int_equal(unlink(program), 0);
        assert_int_equal(symlink("/bin/true", program), 0);
        expect_direct(p, &usual, reason);
        free(take(&p->config->image_verifier_dir)); /* "" in the file */
        expect_relay(p, &usual, "cri-resolved/ghcr.io/a/b");
}

static void a_relay_that_is_of_no_use(void **state)
{
        struct place *p = *state;
        relay_captured(p->relay, SHA256, true);
        relay_captured(p->relay, SHA256, true);
        expect_direct(p, &usual, "containerd does not ask the relay");
        relay_forget_capture(p->relay);
        expect_relay(p, &usual, "cri-resolved/ghcr.io/a/b");
        struct relay *open = p->relay;
        p->relay = relay_new(p->registry, 1);
        expect_direct(p, &usual, "the relay does not listen");
        relay_free(p->relay);
        p->relay = open;
}

/* Other reasons are said meanwhile, and the same one again after a reload. */
static void each_reason_is_said_once(void **state)
{
        struct place *p = *state;
        struct question digest = usual;
        struct question snapshotter = usual;
        digest.digest = SHA512;
        snapshotter.snapshotter = "soci";
        for (int i = 0; i < 3; i++) {
                assert_null(ask(p, &digest));
                assert_null(ask(p, &snapshotter));
        }
        way_forget();
        assert_null(ask(p, &digest));
        struct question image = digest;
        image.image = "ghcr.io/other:1";
        assert_null(ask(p, &image)); /* once for all images */
        log_line(LOG_LEVEL_INFO, "the end of it", NULL);
        free(capture_wait(&p->log, "the end of it"));
        const char *log = buf_str(&p->log.text);
        assert_int_equal(capture_count(log, "the digest is not a sha256"), 2);
        assert_int_equal(capture_count(log, "the snapshotter may ask"), 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_place, close_place)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(through_the_relay),
                TEST(nobody_wonders_where_no_mirror_is_to_be_used),
                TEST(digests_of_another_kind),
                TEST(a_runtime_handler),
                TEST(snapshotters_that_come_back),
                TEST(names_that_cannot_be_said),
                TEST(an_image_verifier),
                TEST(a_relay_that_is_of_no_use),
                TEST(each_reason_is_said_once),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

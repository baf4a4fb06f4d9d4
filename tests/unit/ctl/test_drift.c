/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "ctl/drift.h"
#include "tests/unit/ctl/capture.h"

#define DIGEST(letter) "sha256:" letter letter letter letter
#define OLD            DIGEST("aaaaaaaaaaaaaaaa")
#define NEW            DIGEST("bbbbbbbbbbbbbbbb")
#define NEWEST         DIGEST("cccccccccccccccc")
#define ID             DIGEST("1111111111111111")
#define OTHER_ID       DIGEST("2222222222222222")
#define TAG            "ghcr.io/team/app:stable"

static const struct drift_only all = {.states = {true, true, true, true, true, true}};
static const struct drift_wanted both = {.tags = true, .containers = true};

static void add_container(struct drift *d, const char *pod, const char *said, const char *image_id)
{
        d->containers =
                mem_resize(d->containers, (d->container_count + 1) * sizeof(*d->containers));
        d->containers[d->container_count++] = (struct drift_container){
                .id = mem_strdup("0123456789abcdef"),
                .name = mem_strdup("main"),
                .pod = mem_strdup_or_null(pod),
                .namespace = mem_strdup_or_null(pod != NULL ? "default" : NULL),
                .said = mem_strdup_or_null(said),
                .image_id = mem_strdup_or_null(image_id),
                .created_s = 1790000000,
        };
}

static void answer(struct drift_tag *t, const char *digest, enum err_code failure)
{
        if (failure != ERR_NONE)
                (void)err_set(&t->err, failure, "why it failed");
        else
                memcpy(t->digest, digest, strlen(digest) + 1);
}

/* ---- names ---- */

static void which_names_are_tags(void **state)
{
        (void)state;
        static const struct {
                const char *name;
                bool is_tag;
        } cases[] = {
                {TAG, true},
                {"docker.io/library/nginx:1.27", true},
                {"localhost:5000/a:b", true},
                {"127.0.0.1:5000/team/app:1", true},
                {"127.0.0.1:5000/cri-resolved2/app:1", true},
                {"ghcr.io/cri-resolved/app:1", true},
                {"127.0.0.1:7780/cri-resolved/ghcr.io/team/app:1", false},
                {"127.0.0.1:7780/cri-resolved/ghcr.io/team/app@" OLD, false},
                {"ghcr.io/team/app@" OLD, false},
                {"ghcr.io/team/app:stable@" OLD, false},
                {OLD, false},
                {"nginx:1.27", false}, /* CRI would call it docker.io/library/nginx:1.27 */
                {"ghcr.io/team/app", false},
                {"import-2026-11-20", false},
                {"ghcr.io/UPPER:1", false},
                {"", false},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct ref r;
                bool is_tag = drift_is_tag(cases[i].name, &r);
                if (is_tag != cases[i].is_tag)
                        fail_msg("%s", cases[i].name);
                if (is_tag)
                        assert_string_equal(r.text, cases[i].name);
                else
                        assert_null(r.text);
                ref_fini(&r);
        }
}

/* ---- what is gathered ---- */

static void in_order_and_linked(void **state)
{
        (void)state;
        struct drift d = {0};
        drift_add_image(&d, "quay.io/z:1", OLD, 0, 0);
        drift_add_image(&d, TAG, OLD, 17, 18);
        drift_add_image(&d, "docker.io/library/b:1", OLD, 0, 19);
        drift_add_image(&d, "docker.io/library/a:1", OLD, 0, 0);
        drift_add_image(&d, "docker.io/library/a@" OLD, OLD, 0, 0);
        drift_add_image(&d, ID, OLD, 0, 0);
        add_container(&d, "web-1", TAG, ID);
        add_container(&d, "web-0", "a:1", ID);
        add_container(&d, "web-2", "ghcr.io/not/here:1", ID);
        add_container(&d, NULL, NULL, ID);
        add_container(&d, "web-3", "not A reference", ID);
        drift_gather(&d, &both);
        static const char *const texts[] = {"docker.io/library/a:1", "docker.io/library/b:1", TAG,
                "quay.io/z:1", "ghcr.io/not/here:1"};
        assert_int_equal(d.tag_count, 5);
        for (size_t i = 0; i < 5; i++) {
                assert_string_equal(d.tags[i].ref.text, texts[i]);
                assert_int_equal(d.tags[i].wanted, i < 4);
                assert_int_equal(d.tags[i].named, i != 1 && i != 3);
        }
        assert_null(d.tags[4].image);
        assert_string_equal(d.tags[4].ref.host, "ghcr.io");
        assert_string_equal(d.tags[4].ref.tag, "1");
        assert_int_equal(drift_as_of(&d.tags[1]), 19); /* written; nobody has verified it */
        assert_int_equal(drift_as_of(&d.tags[2]), 17);
        assert_int_equal(drift_as_of(&d.tags[4]), 0);
        static const char *const pods[] = {NULL, "web-3", "web-0", "web-1", "web-2"};
        for (size_t i = 0; i < 5; i++)
                if (pods[i] != NULL)
                        assert_string_equal(d.containers[i].pod, pods[i]);
        assert_null(d.containers[0].tag);
        assert_null(d.containers[1].tag);
        assert_ptr_equal(d.containers[2].tag, &d.tags[0]);
        assert_ptr_equal(d.containers[3].tag, &d.tags[2]);
        assert_ptr_equal(d.containers[4].tag, &d.tags[4]);
        assert_string_equal(d.containers[3].digest, OLD);
        drift_fini(&d);
}

static void gather(struct drift *d, struct drift_wanted wanted)
{
        drift_add_image(d, TAG, OLD, 0, 0);
        drift_add_image(d, "quay.io/z:1", OLD, 0, 0);
        add_container(d, "a", "quay.io/z:1", ID);
        add_container(d, "b", TAG, ID);
        add_container(d, "c", NULL, ID);
        drift_gather(d, &wanted);
}

static void filters(void **state)
{
        (void)state;
        static const char *const hosts[] = {"quay.io", "nobody.example"};
        struct drift d = {0};
        gather(&d, (struct drift_wanted){.tags = true, .hosts = hosts, .host_count = 2});
        assert_int_equal(d.container_count, 0);
        assert_false(d.tags[0].wanted || d.tags[0].named);
        assert_true(d.tags[1].wanted && !d.tags[1].named);
        drift_fini(&d);
        gather(&d, (struct drift_wanted){.containers = true, .hosts = hosts, .host_count = 1});
        assert_int_equal(d.container_count, 1);
        assert_string_equal(d.containers[0].pod, "a");
        assert_true(d.tags[1].named && !d.tags[1].wanted);
        drift_fini(&d);
}

/* ---- what the answers mean ---- */

static void states_of_tags(void **state)
{
        (void)state;
        static const struct {
                const char *upstream;
                enum err_code failure;
                enum drift_state state;
                const char *reason;
                int code;
        } cases[] = {
                {OLD, ERR_NONE, DRIFT_CURRENT, NULL, 0},
                {NEW, ERR_NONE, DRIFT_MOVED, NULL, 1},
                {NULL, ERR_NOT_FOUND, DRIFT_GONE, NULL, 1},
                {NULL, ERR_UNAUTHORIZED, DRIFT_UNKNOWN, "unauthorized", 77},
                {NULL, ERR_RATE_LIMITED, DRIFT_UNKNOWN, "rate_limited", 75},
                {NULL, ERR_UNREACHABLE, DRIFT_UNKNOWN, "unreachable", 69},
                {NULL, ERR_CONFIG, DRIFT_UNKNOWN, "config", 78},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct drift d = {0};
                drift_add_image(&d, TAG, OLD, 0, 0);
                drift_gather(&d, &both);
                answer(&d.tags[0], cases[i].upstream, cases[i].failure);
                drift_judge(&d);
                assert_int_equal(d.tags[0].state, cases[i].state);
                if (cases[i].reason != NULL)
                        assert_string_equal(d.tags[0].reason, cases[i].reason);
                else
                        assert_null(d.tags[0].reason);
                assert_int_equal(drift_exit_code(&d, &all), cases[i].code);
                assert_int_equal(drift_count(&d).tags[cases[i].state], 1);
                drift_fini(&d);
        }
}

static void states_of_containers(void **state)
{
        (void)state;
        static const struct {
                const char *runs, *here, *upstream;
                enum err_code failure;
                enum drift_state state;
                const char *reason;
                int code;
        } cases[] = {
                {OLD, OLD, OLD, ERR_NONE, DRIFT_CURRENT, NULL, 0},
                {OLD, OLD, NEW, ERR_NONE, DRIFT_OLDER, NULL, 1},
                {OLD, NEW, NEW, ERR_NONE, DRIFT_RESTART_NEEDED, NULL, 1},
                {OLD, NEW, NEWEST, ERR_NONE, DRIFT_OLDER, NULL, 1},
                {OLD, NEW, OLD, ERR_NONE, DRIFT_CURRENT, NULL, 0}, /* it was moved back */
                {OLD, NULL, OLD, ERR_NONE, DRIFT_CURRENT, NULL, 0},
                {OLD, NULL, NEW, ERR_NONE, DRIFT_OLDER, NULL, 1},
                {OLD, OLD, NULL, ERR_NOT_FOUND, DRIFT_GONE, NULL, 1},
                {OLD, NEW, NULL, ERR_NOT_FOUND, DRIFT_GONE, NULL, 1},
                {OLD, OLD, NULL, ERR_TIMEOUT, DRIFT_UNKNOWN, "timeout", 69},
                {OLD, NEW, NULL, ERR_TIMEOUT, DRIFT_RESTART_NEEDED, NULL, 1},
                {OLD, NULL, NULL, ERR_TIMEOUT, DRIFT_UNKNOWN, "timeout", 69},
                {NULL, OLD, OLD, ERR_NONE, DRIFT_UNKNOWN, "no_image", 66},
        };
        const struct drift_wanted wanted = {.containers = true};
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct drift d = {0};
                if (cases[i].runs != NULL)
                        drift_add_image(&d, ID, cases[i].runs, 0, 0);
                if (cases[i].here != NULL)
                        drift_add_image(&d, TAG, cases[i].here, 0, 0);
                if (cases[i].runs != NULL && cases[i].here != NULL)
                        drift_name_id(&d, TAG, strcmp(cases[i].here, OLD) == 0 ? ID : OTHER_ID);
                add_container(&d, "web-0", TAG, ID);
                drift_gather(&d, &wanted);
                answer(&d.tags[0], cases[i].upstream, cases[i].failure);
                drift_judge(&d);
                if (d.containers[0].state != cases[i].state)
                        fail_msg("case %zu: %s", i, drift_state_name(d.containers[0].state));
                if (cases[i].reason != NULL)
                        assert_string_equal(d.containers[0].reason, cases[i].reason);
                else
                        assert_null(d.containers[0].reason);
                assert_int_equal(drift_exit_code(&d, &all), cases[i].code);
                drift_fini(&d);
        }
}

/* An index and the manifest in it are one image: its record has the digest that came last. */
static void one_image_of_two_digests(void **state)
{
        (void)state;
        struct drift d = {0};
        drift_add_image(&d, ID, NEW, 0, 0);
        drift_add_image(&d, "quay.io/z:1", NEW, 0, 0);
        drift_add_image(&d, TAG, OLD, 0, 0);
        drift_name_id(&d, "quay.io/z:1", ID);
        drift_name_id(&d, TAG, ID);
        drift_name_id(&d, "ghcr.io/not/here:1", ID);
        add_container(&d, "web-0", TAG, ID);
        drift_gather(&d, &both);
        answer(&d.tags[0], OLD, ERR_NONE);
        answer(&d.tags[1], NEW, ERR_NONE);
        drift_judge(&d);
        assert_int_equal(d.containers[0].state, DRIFT_CURRENT);
        assert_string_equal(d.containers[0].digest, OLD);
        assert_int_equal(drift_exit_code(&d, &all), 0);
        drift_fini(&d);
}

static void containers_without_a_tag(void **state)
{
        (void)state;
        struct drift d = {0};
        drift_add_image(&d, ID, OLD, 0, 0);
        add_container(&d, "nothing", NULL, ID);
        add_container(&d, "fixed", "ghcr.io/team/app@" DIGEST("3333333333333333"), ID);
        drift_gather(&d, &both);
        drift_judge(&d);
        assert_int_equal(d.tag_count, 0);
        assert_string_equal(d.containers[0].pod, "nothing");
        assert_int_equal(d.containers[0].state, DRIFT_UNKNOWN);
        assert_string_equal(d.containers[0].reason, "no_tag");
        assert_int_equal(d.containers[1].state, DRIFT_CURRENT);
        assert_int_equal(drift_exit_code(&d, &all), 66);
        drift_fini(&d);
}

static void give_mirrors(struct drift_tag *t, size_t count)
{
        t->mirror_count = count;
        t->mirrors = mem_zalloc(count * sizeof(*t->mirrors));
        for (size_t i = 0; i < count; i++)
                t->mirrors[i].url = "http://127.0.0.1:5000";
}

static void mirror_says(struct drift_mirror *m, const char *digest, enum err_code failure)
{
        if (failure != ERR_NONE)
                (void)err_set(&m->err, failure, "why the mirror failed");
        else
                memcpy(m->digest, digest, strlen(digest) + 1);
}

static void check_mirror(const char *upstream, enum err_code upstream_fails, const char *mirror,
        enum err_code mirror_fails, enum drift_mirror_state expected, int code)
{
        struct drift d = {0};
        drift_add_image(&d, TAG, OLD, 0, 0);
        drift_gather(&d, &both);
        answer(&d.tags[0], upstream, upstream_fails);
        give_mirrors(&d.tags[0], 1);
        mirror_says(&d.tags[0].mirrors[0], mirror, mirror_fails);
        drift_judge(&d);
        assert_int_equal(d.tags[0].mirrors[0].state, expected);
        assert_int_equal(drift_exit_code(&d, &all), code);
        drift_fini(&d);
}

static void states_of_mirrors(void **state)
{
        (void)state;
        check_mirror(OLD, ERR_NONE, OLD, ERR_NONE, DRIFT_MIRROR_CURRENT, 0);
        check_mirror(OLD, ERR_NONE, NEW, ERR_NONE, DRIFT_MIRROR_STALE, 1);
        check_mirror(OLD, ERR_NONE, NULL, ERR_NOT_FOUND, DRIFT_MIRROR_ABSENT, 0);
        check_mirror(OLD, ERR_NONE, NULL, ERR_UNREACHABLE, DRIFT_MIRROR_DOWN, 0);
        check_mirror(NULL, ERR_TIMEOUT, OLD, ERR_NONE, DRIFT_MIRROR_UNKNOWN, 69);
        check_mirror(NULL, ERR_TIMEOUT, NULL, ERR_NOT_FOUND, DRIFT_MIRROR_ABSENT, 69);
        check_mirror(NULL, ERR_NOT_FOUND, OLD, ERR_NONE, DRIFT_MIRROR_STALE, 1);
}

/* What is not shown is not reported, but that something is unknown is. */
static void exit_codes_of_what_is_shown(void **state)
{
        (void)state;
        struct drift d = {0};
        struct drift_only only = {.states = {[DRIFT_GONE] = true}};
        drift_add_image(&d, TAG, OLD, 0, 0);
        drift_add_image(&d, "quay.io/z:1", OLD, 0, 0);
        drift_gather(&d, &both);
        answer(&d.tags[0], NEW, ERR_NONE);
        answer(&d.tags[1], OLD, ERR_NONE);
        drift_judge(&d);
        assert_int_equal(drift_exit_code(&d, &only), CLI_OK);
        answer(&d.tags[1], NULL, ERR_UNAUTHORIZED);
        drift_judge(&d);
        assert_int_equal(drift_exit_code(&d, &only), 77);
        only.states[DRIFT_MOVED] = true;
        assert_int_equal(drift_exit_code(&d, &only), CLI_FOUND);
        drift_fini(&d);
}

/* ---- who is asked ---- */

static void a_server_is_given_up(void **state)
{
        (void)state;
        const struct err ok = {0};
        struct err away, late, slow, absent;
        (void)err_set(&away, ERR_UNREACHABLE, "away");
        (void)err_set(&late, ERR_TIMEOUT, "late");
        (void)err_set(&slow, ERR_RATE_LIMITED, "wait");
        (void)err_set(&absent, ERR_NOT_FOUND, "absent");
        struct drift_lane lane = {.name = "ghcr.io"};
        const struct err *const harmless[] = {&away, &ok, &late, &absent, &away, &ok};
        for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++) {
                drift_lane_note(&lane, harmless[i]);
                assert_int_equal(lane.given_up.code, ERR_NONE);
        }
        drift_lane_note(&lane, &away);
        drift_lane_note(&lane, &late);
        assert_int_equal(lane.given_up.code, ERR_TIMEOUT);
        struct drift_lane limited = {.name = "docker.io"};
        drift_lane_note(&limited, &slow);
        assert_int_equal(limited.given_up.code, ERR_RATE_LIMITED);
        assert_string_equal(limited.given_up.msg, "wait");
}

/* ---- how it looks ---- */

static void set_scene(struct drift *d)
{
        drift_add_image(d, TAG, OLD, 1790000000, 1790000001);
        drift_add_image(d, "quay.io/z:1", OLD, 0, 0);
        drift_add_image(d, ID, OLD, 0, 0);
        add_container(d, "web-0", TAG, ID);
        add_container(d, NULL, NULL, ID);
        drift_gather(d, &both);
        answer(&d->tags[0], NEW, ERR_NONE);
        answer(&d->tags[1], NULL, ERR_RATE_LIMITED);
        give_mirrors(&d->tags[0], 2);
        mirror_says(&d->tags[0].mirrors[0], OLD, ERR_NONE);
        mirror_says(&d->tags[0].mirrors[1], NULL, ERR_UNREACHABLE);
        drift_judge(d);
}

static void as_tables(void **state)
{
        (void)state;
        struct drift d = {0};
        struct cli cli = {.width = 80};
        set_scene(&d);
        struct capture c;
        capture_start(&c, stdout);
        drift_print(&cli, &d, &all);
        cleanup_free char *out = capture_end(&c);
        assert_string_equal(out,
                "(no upstream)\n"
                "container  state    tag  runs          upstream\n"
                "main       unknown       aaaaaaaaaaaa  no tag\n"
                "\n"
                "ghcr.io\n"
                "tag              state  here          upstream      as of (UTC)\n"
                "team/app:stable  moved  aaaaaaaaaaaa  bbbbbbbbbbbb  2026-09-21 14:13\n"
                "container           state  tag              runs          upstream\n"
                "default/web-0/main  older  team/app:stable  aaaaaaaaaaaa  bbbbbbbbbbbb\n"
                "tag              mirror                 state  digest\n"
                "team/app:stable  http://127.0.0.1:5000  stale  aaaaaaaaaaaa\n"
                "team/app:stable  http://127.0.0.1:5000  down\n"
                "\n"
                "quay.io\n"
                "tag  state    here          upstream      as of (UTC)\n"
                "z:1  unknown  aaaaaaaaaaaa  rate limited\n"
                "\n"
                "2 tags: 1 moved, 1 unknown; 2 containers: 1 older, 1 unknown\n");
        drift_fini(&d);
}

static void once_for_each_kind_of_failure(void **state)
{
        (void)state;
        struct drift d = {0};
        struct cli cli = {.width = 80};
        static const char *const names[] = {"a.example/a:1", "a.example/b:1", "a.example/c:1",
                "b.example/a:1", "c.example/a:1"};
        for (size_t i = 0; i < 5; i++)
                drift_add_image(&d, names[i], OLD, 0, 0);
        drift_gather(&d, &both);
        for (size_t i = 0; i < 4; i++)
                answer(&d.tags[i], NULL, i == 1 ? ERR_UNAUTHORIZED : ERR_RATE_LIMITED);
        answer(&d.tags[4], NULL, ERR_NOT_FOUND); /* is an answer */
        give_mirrors(&d.tags[4], 2);
        mirror_says(&d.tags[4].mirrors[0], NULL, ERR_UNREACHABLE);
        mirror_says(&d.tags[4].mirrors[1], NULL, ERR_UNREACHABLE);
        drift_judge(&d);
        struct capture c;
        capture_start(&c, stderr);
        drift_print_errors(&cli, &d);
        cleanup_free char *out = capture_end(&c);
        assert_string_equal(out,
                "cri-resolvectl: a.example/a:1 (and 1 more): why it failed; wait, or show "
                "credentials that may ask more\n"
                "cri-resolvectl: a.example/b:1: why it failed; show credentials with "
                "--credentials\n"
                "cri-resolvectl: b.example/a:1: why it failed; wait, or show credentials that may "
                "ask more\n"
                "cri-resolvectl: the mirror http://127.0.0.1:5000: why the mirror failed\n");
        drift_fini(&d);
}

static void as_json(void **state)
{
        (void)state;
        struct drift d = {0};
        set_scene(&d);
        struct drift_only moved = {.states = {[DRIFT_MOVED] = true}};
        json_t *found = drift_json(&d, &moved);
        json_t *expected = json_pack(
                "{s:[{s:s, s:s, s:s, s:n, s:s, s:s, s:s, s:s, s:n, s:[{s:s, s:s, s:s, s:n},"
                " {s:s, s:s, s:n, s:{s:s, s:s}}]}], s:[], s:{s:{s:i, s:i, s:i, s:i, s:i, s:i},"
                " s:{s:i, s:i, s:i, s:i, s:i, s:i}}}",
                "tags", "tag", TAG, "upstream", "ghcr.io", "state", "moved", "reason", "digest",
                OLD, "upstream_digest", NEW, "verified", "2026-09-21T14:13:20Z", "written",
                "2026-09-21T14:13:21Z", "error", "mirrors", "mirror", "http://127.0.0.1:5000",
                "state", "stale", "digest", OLD, "error", "mirror", "http://127.0.0.1:5000",
                "state", "down", "digest", "error", "code", "unreachable", "message",
                "why the mirror failed", "containers", "summary", "tags", "current", 0, "moved", 1,
                "older", 0, "restart-needed", 0, "gone", 0, "unknown", 1, "containers", "current",
                0, "moved", 0, "older", 1, "restart-needed", 0, "gone", 0, "unknown", 1);
        assert_non_null(expected);
        assert_true(json_equal(found, expected));
        json_decref(found);
        json_decref(expected);
        found = drift_json(&d, &all);
        expected = json_pack("{s:s, s:s, s:s, s:s, s:s, s:n, s:s, s:s, s:s, s:s, s:s, s:s, s:s, "
                             "s:n}",
                "id", "0123456789abcdef", "name", "main", "pod", "web-0", "namespace", "default",
                "state", "older", "reason", "reference", TAG, "upstream", "ghcr.io", "image_id", ID,
                "digest", OLD, "tag_digest", OLD, "upstream_digest", NEW, "created",
                "2026-09-21T14:13:20Z", "error");
        assert_true(json_equal(json_array_get(json_object_get(found, "containers"), 1), expected));
        json_decref(found);
        json_decref(expected);
        drift_fini(&d);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(which_names_are_tags),
                cmocka_unit_test(in_order_and_linked),
                cmocka_unit_test(filters),
                cmocka_unit_test(states_of_tags),
                cmocka_unit_test(states_of_containers),
                cmocka_unit_test(one_image_of_two_digests),
                cmocka_unit_test(containers_without_a_tag),
                cmocka_unit_test(states_of_mirrors),
                cmocka_unit_test(exit_codes_of_what_is_shown),
                cmocka_unit_test(a_server_is_given_up),
                cmocka_unit_test(as_tables),
                cmocka_unit_test(once_for_each_kind_of_failure),
                cmocka_unit_test(as_json),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

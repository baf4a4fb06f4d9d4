/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is answered to the creation of a container: who is refused, who is not, and annotations. The
 * rules that go by the story of a tag are in test_names.c; here are the others, and the way from
 * NRI's call to its answer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "tests/unit/shim/table.h"

/* ---- does the runtime tell what the pod says? ---- */

static void which_runtimes_are_exact(void **state)
{
        (void)state;
        static const struct {
                const char *runtime, *version;
                bool exact;
        } cases[] = {
                {"containerd", "v2.1.9", true},
                {"containerd", "2.1.9+unknown", true},
                {"containerd", "v2.0.0-rc.1", true},
                {"containerd", "10.0", true},
                {"containerd", "1.7.24", false},
                {"containerd", "v1.7.24", false},
                {"containerd", "", false},
                {"containerd", "v", false},
                {"containerd", "main", false},
                {"containerd", NULL, false},
                {"cri-o", "2.0", false},
                {"", "2.0", false},
                {NULL, "2.0", false},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                if (creation_runtime_is_exact(cases[i].runtime, cases[i].version) != cases[i].exact)
                        fail_msg("case %zu", i);
}

static void the_newest_container_tells_what_kubelet_gives(void **state)
{
        (void)state;
        static const struct {
                const char *made; /* when, and whether with the pod's string */
                bool gives;
        } cases[] = {
                {"", false},
                {"1+", true},
                {"1-", false},
                {"1- 2+", true},
                {"1+ 2-", false},
                {"2- 1+", false},
                {"2+ 1-", true},
                {"2+ 1- 2+", true},
                {"1+ 1-", false},
                {"1- 1+", false},
                {"0+", false}, /* nobody knows when */
                {"1+ 2- 3+ 2-", true},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct kubelet_habit k = {0};
                for (const char *at = cases[i].made; *at != '\0'; at += 2 + (at[2] == ' '))
                        kubelet_made(&k, at[0] - '0', at[1] == '+');
                if (k.gives_string != cases[i].gives)
                        fail_msg("case %zu: %s", i, cases[i].made);
        }
}

/* ---- from the call to the answer ---- */

static size_t foreign_count;

static void count_foreign(void *arg, const struct name *n)
{
        (void)arg;
        (void)n;
        foreign_count++;
}

/* The first look of all, then somebody else points the tag at B, and it is looked at. */
static void retag(struct containers *c)
{
        look(c, A);
        pthread_mutex_lock(&c->lock);
        names_event(&c->names, TAG, 1700000000, containers_happened(c));
        pthread_mutex_unlock(&c->lock);
        look(c, B);
}

#define ENFORCED "[nri]\nenabled = true\n[upstream.\"ghcr.io\"]\nenforce = \"refuse\"\n"

static void refused_with_words(void **state)
{
        (void)state;
        struct nri_listener l;
        struct containers *c = connected(&l);
        configure(ENFORCED);
        retag(c);
        struct nri_creation answer = create(&l, "c9", TAG);
        assert_non_null(strstr(answer.refusal, TAG));
        assert_non_null(strstr(answer.refusal, B));
        assert_non_null(strstr(answer.refusal, "enforce = \"off\" in [upstream.\"ghcr.io\"]"));
        assert_string_equal(all(c).ids, "c1 "); /* it will not exist */
        assert_int_equal(c->refusal_count, 1);
        foreign_count = 0;
        containers_each_foreign(c, count_foreign, NULL);
        assert_int_equal(foreign_count, 1);
        /* The pull that helps. */
        containers_verified(c, TAG, B, 1700000000);
        assert_string_equal(create(&l, "c9", TAG).refusal, "");
        assert_string_equal(all(c).ids, "c1 c9 ");
        containers_free(c);
}

static void whoever_is_unclear_starts(void **state)
{
        (void)state;
        struct nri_listener l;
        struct containers *c = connected(&l);
        configure(ENFORCED);
        retag(c);
        static const char fixed[] = FIXED;
        static const char *const images[] = {
                NULL, "", "not a reference", "ghcr.io/a/b:2", fixed, "quay.io/a/b:1", ID};
        for (size_t i = 0; i < sizeof(images) / sizeof(images[0]); i++)
                assert_string_equal(create(&l, "c9", images[i]).refusal, "");
        c->state.following = false;
        assert_string_equal(create(&l, "c9", TAG).refusal, "");
        c->state.following = true;
        l.configured(l.arg, "containerd", "1.7.24");
        assert_string_equal(create(&l, "c9", TAG).refusal, "");
        l.configured(l.arg, "containerd", "v2.0.1");
        configure("[nri]\nenabled = true\n");
        assert_string_equal(create(&l, "c9", TAG).refusal, "");
        configure(ENFORCED);
        assert_string_not_equal(create(&l, "c9", TAG).refusal, "");
        containers_free(c);
}

/* One more container, so many nanoseconds after c1; pod NULL: not kubelet's. */
static void look_at_one(struct containers *c, int64_t later_ns, const char *pod_name, bool gave)
{
        struct inventory i = {0};
        put_container(&i, "other", gave ? TAG : NULL, INVENTORY_EXITED);
        struct inventory_container *one = i.containers.things[0];
        one->created_ns += later_ns;
        if (pod_name == NULL) {
                free(one->pod);
                one->pod = NULL;
        }
        put_image(&i, TAG, B);
        containers_take(c, &i, c->at);
        inventory_fini(&i);
}

static void nobody_is_refused_until_kubelet_shows_what_it_gives(void **state)
{
        (void)state;
        static const struct {
                int64_t later_ns;
                const char *pod;
                bool gave, refuses;
        } steps[] = {
                {1, "old", false, false},
                {0, "before", true, false},
                {2, NULL, true, false}, /* crictl's */
                {3, "new", true, true},
                {2, "old", false, true}, /* seen again */
                {4, NULL, false, true},
                {5, "downgraded", false, false},
                {6, "new", true, true},
        };
        struct nri_listener l;
        struct containers *c = connected(&l);
        configure(ENFORCED);
        retag(c);
        c->kubelet = (struct kubelet_habit){0}; /* as if c1 had not been seen */
        assert_string_equal(create(&l, "c9", TAG).refusal, "");
        for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
                look_at_one(c, steps[i].later_ns, steps[i].pod, steps[i].gave);
                struct containers_state told;
                containers_state(c, &told);
                if ((create(&l, "c9", TAG).refusal[0] != '\0') != steps[i].refuses ||
                        told.pods_own_string != steps[i].refuses)
                        fail_msg("step %zu", i);
                l.container_removed(l.arg, "c9");
        }
        /* containerd 1.7 does not hand on what it was given. */
        l.configured(l.arg, "containerd", "1.7.24");
        struct containers_state told;
        containers_state(c, &told);
        assert_false(told.pods_own_string);
        containers_free(c);
}

static void refusals_for_the_log_are_bounded(void **state)
{
        (void)state;
        struct nri_listener l;
        struct containers *c = connected(&l);
        configure(ENFORCED);
        retag(c);
        for (int i = 0; i < REFUSALS_MAX + 5; i++)
                assert_string_not_equal(create(&l, "c9", TAG).refusal, "");
        assert_int_equal(c->refusal_count, REFUSALS_MAX);
        assert_int_equal(c->refusals_lost, 5);
        containers_free(c);
}

static void annotated(void **state)
{
        (void)state;
        struct nri_listener l;
        struct containers *c = connected(&l);
        configure("[nri]\nenabled = true\n");
        look(c, A);
        containers_verified(c, TAG, A, 1700000000);
        assert_int_equal(create(&l, "c2", TAG).annotation_count, 0);
        configure("[nri]\nenabled = true\nannotate = true\n");
        struct nri_creation answer = create(&l, "c3", TAG);
        assert_int_equal(answer.annotation_count, 2);
        assert_string_equal(answer.annotations[0].key, "cri-resolved/image-digest");
        assert_string_equal(answer.annotations[0].value, A);
        assert_string_equal(answer.annotations[1].key, "cri-resolved/verified-at");
        assert_string_equal(answer.annotations[1].value, "2023-11-14T22:13:20Z");
        assert_int_equal(create(&l, "c4", "ghcr.io/other:1").annotation_count, 0);
        containers_free(c);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(which_runtimes_are_exact),
                cmocka_unit_test(the_newest_container_tells_what_kubelet_gives),
                CONFIGURED(refused_with_words),
                CONFIGURED(whoever_is_unclear_starts),
                CONFIGURED(nobody_is_refused_until_kubelet_shows_what_it_gives),
                CONFIGURED(refusals_for_the_log_are_bounded),
                CONFIGURED(annotated),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

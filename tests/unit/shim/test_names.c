/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names.c and container_verdict.c: when a tag counts as moved by somebody else, what containers are
 * worth, and what is said at their creation. Each story is a list of what happens, as one line of
 * text: see `play`.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>
#include <stdio.h>

#include "base/mem.h"
#include "shim/container_verdict.h"

#define REPO "ghcr.io/a/b"
#define TAG  REPO ":1"

/* Digests are told apart by one letter. */
static char *digest_with(char letter)
{
        char hex[65];
        memset(hex, letter, sizeof(hex) - 1);
        hex[64] = '\0';
        return mem_printf("sha256:%s", hex);
}

struct scene {
        struct names names;
        uint64_t at;
        char record;    /* where the tag points now; '-': there is none */
        char labelled;  /* its label counts for this digest; '-': none */
        char vouched;   /* repository@digest is labelled for this one; '-': none */
        bool by_mirror; /* the label says so */
        bool exempt;
        bool said_moved; /* the last look said so */
};

static void look(struct scene *s, uint64_t begun_at)
{
        cleanup_free char *digest = digest_with(s->record);
        cleanup_free char *vouched = digest_with(s->vouched);
        cleanup_free char *by_digest = mem_printf(REPO "@%s", vouched);
        names_look_begin(&s->names, begun_at);
        struct name_record of_digest = {.text = by_digest, .digest = vouched, .labelled_s = 500};
        struct name_record of_tag = {
                .text = TAG,
                .digest = digest,
                .is_tag = true,
                .exempt = s->exempt,
                .labelled_s = s->labelled == s->record ? 1000 : 0,
                .by_mirror = s->by_mirror,
                .digest_labelled_s = s->vouched == s->record ? 500 : 0,
        };
        if (s->record != '-')
                s->said_moved = names_look_at(&s->names, &of_tag);
        if (s->vouched != '-')
                names_look_at(&s->names, &of_digest);
        names_look_end(&s->names);
}

/*
 * One step a word:
 *   =a   the tag points at a (somebody did it)     =-  it is removed
 *   e    an image event for it                     L   a look
 *   wa   we are about to write a, by the upstream  ma  by a mirror
 *   va   the upstream says a, and the record too   d   events may have been missed
 *   la   its label counts for a  l-  for nothing   ra  the label of repository@a counts
 *   M    the label says that a mirror said so      x   others may write it, until X
 *   [ ]  a look that began at "[" ends at "]"
 */
static void step(struct scene *s, const char *word, uint64_t *begun)
{
        cleanup_free char *digest = digest_with(word[1]);
        switch (word[0]) {
        case '=':
                s->record = word[1];
                break;
        case 'e':
                names_event(&s->names, TAG, 2000, ++s->at);
                break;
        case 'L':
                look(s, s->at);
                break;
        case 'w':
        case 'm':
                names_writing(&s->names, TAG, digest, word[0] == 'w', ++s->at);
                break;
        case 'v':
                s->record = word[1];
                names_verified(&s->names, TAG, digest, 3000, ++s->at);
                break;
        case 'd':
                names_doubt(&s->names, ++s->at);
                break;
        case 'l':
                s->labelled = word[1];
                break;
        case 'r':
                s->vouched = word[1];
                break;
        case 'M':
                s->by_mirror = true;
                break;
        case 'x':
        case 'X':
                s->exempt = word[0] == 'x';
                break;
        case '[':
                *begun = s->at;
                break;
        case ']':
                look(s, *begun);
                break;
        default:
                fail_msg("no such step: %s", word);
        }
}

static void play(struct scene *s, const char *story)
{
        uint64_t begun = 0;
        *s = (struct scene){.record = '-', .labelled = '-', .vouched = '-'};
        cleanup_free char *words = mem_strdup(story);
        char *rest = words;
        for (char *word; (word = strsep(&rest, " ")) != NULL;)
                step(s, word, &begun);
}

static void who_moved_a_tag(void **state)
{
        (void)state;
        static const struct {
                const char *story;
                char foreign; /* '-': nobody, beyond doubt */
        } cases[] = {
                {"=a L", '-'},               /* what was there before us */
                {"=a L e L", '-'},           /* ... and an event that changes nothing */
                {"=a L =b L", '-'},          /* no event was seen */
                {"=a L =b e L", 'b'},        /* retagged */
                {"=a L =b e", '-'},          /* ... but nobody has looked yet */
                {"=a L =b L e L", 'b'},      /* seen before its event */
                {"L =b e L", 'b'},           /* loaded, or pulled around us */
                {"e =b L", '-'},             /* before the first look: unclear */
                {"e =b L e L", '-'},         /* ... for ever */
                {"=a L =b e L =a e L", '-'}, /* put back */
                {"=a L =b e L =- e L", '-'}, /* removed */
                {"=a L =b e L =- e L =b e L", 'b'},
                {"=a L =b e L =c e L", 'c'},
                {"=a L =b e L =c e", '-'},  /* the last word is not known yet */
                {"=a L =b e L d", '-'},     /* events may have been missed */
                {"=a L =b e L d L", 'b'},   /* ... but it is as it was */
                {"=a L wb vb e L", '-'},    /* ours */
                {"=a L wb =b e L vb", '-'}, /* ours, and looked at in between */
                {"=a L mb =b e L", '-'},    /* a mirror's word, permitted by the configuration */
                {"=a L wb vb wc vc =b e L", '-'}, /* back to one that was verified */
                {"=a L =b e L wc vc", '-'},       /* healed by a pull, at once */
                {"=a L =b e L wc vc e e L", '-'},
                {"=a L =b e L wb vb", '-'}, /* the upstream says the same after all */
                {"=a L [ =b e ]", '-'},     /* a look into the past says nothing */
                {"=a L =b e L [ wc vc =b ]", '-'},
                {"=a L wc vc =b e [ ] L", 'b'},
                {"=a L =b lb e L", '-'}, /* a label of ours counts, after a restart */
                {"=a L =b rb e L", '-'}, /* ... on repository@digest as well */
                {"=a L =b ra e L", 'b'}, /* ... of another digest it does not */
                {"=a L =b M e L", '-'},
                {"=a L =b x e L", '-'},
                {"=a L =b x e L X e L", '-'}, /* it was permitted when it was written */
                {"=a L =b x e L X =c e L", 'c'},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct scene s;
                play(&s, cases[i].story);
                const struct name *n = names_find(&s.names, TAG);
                cleanup_free char *expected = digest_with(cases[i].foreign);
                bool foreign = name_is_foreign(n);
                if (foreign != (cases[i].foreign != '-') ||
                        (foreign && strcmp(n->foreign, expected) != 0))
                        fail_msg("%s: %s", cases[i].story, foreign ? n->foreign : "nobody");
                names_fini(&s.names);
        }
}

static void it_is_news_once(void **state)
{
        (void)state;
        struct scene s;
        play(&s, "=a L =b e L");
        assert_true(s.said_moved);
        look(&s, s.at);
        assert_false(s.said_moved);
        names_fini(&s.names);
        play(&s, "=a L =b e L =c e L");
        assert_true(s.said_moved);
        names_fini(&s.names);
}

/* Our writes cause events; they leave no doubt, for those that start right after a pull. */
static void events_of_our_own(void **state)
{
        (void)state;
        static const struct {
                const char *story;
                bool pending;
        } cases[] = {
                {"=a L wb vb e", false},
                {"=a L wb vb e e", true},     /* one write, one event */
                {"=a L wb vb wb e e", false}, /* the label, after the answer */
                {"=a L wb vb L e", false},    /* late */
                {"=a L wb vb e e L", false},
                {"=a L wb e L e L e", true},
                {"=a L wb L e L e L e", true},
                {"=a L wb L L L e", true}, /* a write that failed is not waited for */
                {"=a L d", true},          /* missed events may be of any tag */
                {"=a L [ d ]", true},      /* ... and a look that began before ends no doubt */
                {"=a L d L", false},
                {"=a L d wb vb", false},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct scene s;
                play(&s, cases[i].story);
                if (names_find(&s.names, TAG)->pending != cases[i].pending)
                        fail_msg("%s", cases[i].story);
                names_fini(&s.names);
        }
}

static void since_when(void **state)
{
        (void)state;
        static const struct {
                const char *story;
                int64_t verified_s, moved_s;
        } cases[] = {
                {"=a la L", 1000, 1000},
                {"=a la ra L", 1000, 500}, /* the tag's label was renewed since */
                {"=a L va", 3000, 3000},
                {"=a la ra L va", 3000, 500}, /* that it still says so is no move */
                {"=a la ra L vb", 3000, 3000}, {"=a L", 0, 0},
                {"=a la [ d ]", 1000, 1000}, /* what it read it has read */
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct scene s;
                play(&s, cases[i].story);
                const struct name *n = names_find(&s.names, TAG);
                if (n->verified_s != cases[i].verified_s || n->moved_s != cases[i].moved_s)
                        fail_msg("%s: %d %d", cases[i].story, (int)n->verified_s, (int)n->moved_s);
                names_fini(&s.names);
        }
}

/* ---- what a container is worth ---- */

static void give_digests(struct container_image *image, const char *letters)
{
        for (; *letters != '\0'; letters++) {
                cleanup_free char *digest = digest_with(*letters);
                strings_add(&image->digests, digest);
        }
}

static struct container_image image_of(const char *said, const char *letters)
{
        struct err e;
        struct container_image image = {0};
        if (said != NULL)
                assert_int_equal(ref_parse(said, strlen(said), &image.ref, &e), 0);
        give_digests(&image, letters);
        return image;
}

static void image_fini(struct container_image *image)
{
        ref_fini(&image->ref);
        strings_clear(&image->digests);
}

static void verdicts(void **state)
{
        (void)state;
        static const struct {
                const char *story, *said, *runs;
                enum container_verdict verdict;
                char digest; /* that is shown; '-': none */
        } cases[] = {
                {"=a L", TAG, "a", CONTAINER_UNVERIFIED, 'a'},
                {"=a L", TAG, "", CONTAINER_UNKNOWN, '-'},
                {"=a L", NULL, "a", CONTAINER_UNKNOWN, 'a'},
                {"=a la L", TAG, "a", CONTAINER_CURRENT, 'a'},
                {"=a L va", TAG, "a", CONTAINER_CURRENT, 'a'},
                {"=a L wa va vb", TAG, "a", CONTAINER_OLDER, 'a'},
                {"=b lb ra L", TAG, "a", CONTAINER_OLDER, 'a'}, /* after a restart: by labels */
                {"=b lb L", TAG, "a", CONTAINER_UNVERIFIED, 'a'},
                {"=b ra L", TAG, "a", CONTAINER_CURRENT, 'a'},    /* nothing newer was verified */
                {"=b L mc", TAG, "c", CONTAINER_UNVERIFIED, 'c'}, /* a mirror's word */
                {"=a L va =b e L", TAG, "b", CONTAINER_UNVERIFIED, 'b'},
                {"=a L va =b e L", TAG, "a", CONTAINER_CURRENT, 'a'},
                /* an index, and the manifest in it */
                {"=a L va", TAG, "ca", CONTAINER_CURRENT, 'a'},
                {"=a L va vb", TAG, "ca", CONTAINER_OLDER, 'a'},
                {"L", TAG, "a", CONTAINER_UNVERIFIED, 'a'},
                {"L", "ghcr.io/other:1", "a", CONTAINER_UNVERIFIED, 'a'},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct scene s;
                play(&s, cases[i].story);
                struct container_image image = image_of(cases[i].said, cases[i].runs);
                cleanup_free char *expected = digest_with(cases[i].digest);
                const char *shown = container_digest(&s.names, &image);
                enum container_verdict v = container_judge(&s.names, &image);
                if (v != cases[i].verdict || (shown != NULL) != (cases[i].digest != '-') ||
                        (shown != NULL && strcmp(shown, expected) != 0))
                        fail_msg("%s, runs %s: %s, %s", cases[i].story, cases[i].runs,
                                container_verdict_name(v), shown != NULL ? shown : "none");
                image_fini(&image);
                names_fini(&s.names);
        }
}

static void a_reference_by_digest(void **state)
{
        (void)state;
        cleanup_free char *digest = digest_with('a');
        cleanup_free char *said = mem_printf(REPO "@%s", digest);
        struct container_image image = image_of(said, "a");
        struct scene s;
        play(&s, "=b L");
        assert_int_equal(container_judge(&s.names, &image), CONTAINER_UNVERIFIED);
        names_verified(&s.names, said, digest, 1, ++s.at);
        assert_int_equal(container_judge(&s.names, &image), CONTAINER_CURRENT);
        names_fini(&s.names);
        play(&s, "=b ra L"); /* by its label */
        assert_int_equal(container_judge(&s.names, &image), CONTAINER_CURRENT);
        names_fini(&s.names);
        image_fini(&image);
}

static void after_a_restart(void **state)
{
        (void)state;
        struct scene s;
        play(&s, "=a L va");
        struct container_image image = image_of(TAG, "a");
        cleanup_free char *a = digest_with('a');
        cleanup_free char *b = digest_with('b');
        const struct name *asked = NULL;
        assert_int_equal(container_restart(&s.names, &image, &asked), RESTART_NOT_ASKED);
        assert_false(names_checked(&s.names, TAG, a, ERR_NONE, 10)); /* no news: it is here */
        assert_int_equal(container_restart(&s.names, &image, &asked), RESTART_SAME);
        assert_true(names_checked(&s.names, TAG, b, ERR_NONE, 20));
        assert_false(names_checked(&s.names, TAG, b, ERR_NONE, 30)); /* no news any more */
        assert_int_equal(container_restart(&s.names, &image, &asked), RESTART_DIFFERENT);
        assert_int_equal(asked->checked_s, 30);
        assert_false(names_checked(&s.names, TAG, NULL, ERR_UNAUTHORIZED, 40));
        assert_int_equal(container_restart(&s.names, &image, &asked), RESTART_UNKNOWN);
        assert_false(names_checked(&s.names, "ghcr.io/nobody:1", a, ERR_NONE, 50));
        image_fini(&image);
        names_fini(&s.names);
}

/* ---- at a creation ---- */

/* All of what a refusal needs; each case takes one thing away. */
static void refusals(void **state)
{
        (void)state;
        static const struct {
                const char *story, *image;
                bool following, own_string;
                enum enforcement enforce;
                bool refused;
        } cases[] = {
                {"=a L =b e L", TAG, true, true, ENFORCE_REFUSE, true},
                {"=a L =b e L", TAG, true, true, ENFORCE_OFF, false},
                {"=a L =b e L", TAG, true, false, ENFORCE_REFUSE, false},
                {"=a L =b e L", TAG, false, true, ENFORCE_REFUSE, false},
                {"=a L =b e L", NULL, true, true, ENFORCE_REFUSE, false},
                {"=a L =b e L", REPO ":2", true, true, ENFORCE_REFUSE, false},
                {"=a L =b e L e", TAG, true, true, ENFORCE_REFUSE, false},
                {"=a L =b L", TAG, true, true, ENFORCE_REFUSE, false},
                {"=a L =b rb e L", TAG, true, true, ENFORCE_REFUSE, false},
                {"=a L wb vb =c e L =b e L", TAG, true, true, ENFORCE_REFUSE, false},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct scene s;
                play(&s, cases[i].story);
                struct container_image image = image_of(cases[i].image, "");
                struct creation_facts facts = {.names = &s.names,
                        .ref = &image.ref,
                        .following = cases[i].following,
                        .pods_own_string = cases[i].own_string,
                        .enforce = cases[i].enforce};
                if ((creation_refused(&facts) != NULL) != cases[i].refused)
                        fail_msg("case %zu: %s", i, cases[i].story);
                image_fini(&image);
                names_fini(&s.names);
        }
}

static void a_digest_cannot_be_refused(void **state)
{
        (void)state;
        cleanup_free char *digest = digest_with('b');
        cleanup_free char *said = mem_printf(REPO "@%s", digest);
        struct scene s;
        play(&s, "=a L =b e L");
        struct container_image image = image_of(said, "");
        struct creation_facts facts = {.names = &s.names,
                .ref = &image.ref,
                .following = true,
                .pods_own_string = true,
                .enforce = ENFORCE_REFUSE};
        assert_null(creation_refused(&facts));
        image_fini(&image);
        names_fini(&s.names);
}

static void what_annotations_say(void **state)
{
        (void)state;
        static const struct {
                const char *story;
                bool following;
                char digest; /* '-': nothing is said */
                int64_t verified_s;
        } cases[] = {
                {"=a L", true, 'a', 0},
                {"=a la L", true, 'a', 1000},
                {"=a L wb vb e", true, 'b', 3000},
                {"=a la L =b e", true, '-', 0},
                {"=a la L =b e L", true, 'b', 0},
                {"=a la L", false, '-', 0},
                {"L", true, '-', 0},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct scene s;
                play(&s, cases[i].story);
                struct container_image image = image_of(TAG, "");
                struct creation_facts facts = {
                        .names = &s.names, .ref = &image.ref, .following = cases[i].following};
                int64_t verified_s = -1;
                const char *digest = creation_digest(&facts, &verified_s);
                cleanup_free char *expected = digest_with(cases[i].digest);
                if (verified_s != cases[i].verified_s ||
                        (digest != NULL) != (cases[i].digest != '-') ||
                        (digest != NULL && strcmp(digest, expected) != 0))
                        fail_msg("case %zu: %s", i, cases[i].story);
                image_fini(&image);
                names_fini(&s.names);
        }
}

/* ---- the log ---- */

static void told_once(void **state)
{
        (void)state;
        struct scene s;
        play(&s, "=a L");
        cleanup_free char *a = digest_with('a');
        cleanup_free char *b = digest_with('b');
        assert_true(names_tell(&s.names, TAG, a, CONTAINER_UNVERIFIED));
        assert_false(names_tell(&s.names, TAG, a, CONTAINER_UNVERIFIED));
        assert_true(names_tell(&s.names, TAG, a, CONTAINER_OLDER));
        assert_true(names_tell(&s.names, TAG, b, CONTAINER_OLDER));
        assert_false(names_tell(&s.names, TAG, b, CONTAINER_OLDER));
        assert_true(names_tell(&s.names, "ghcr.io/nobody:1", b, CONTAINER_OLDER));
        names_fini(&s.names);
}

/* ---- bounds ---- */

static void add_record(struct names *n, const char *text)
{
        cleanup_free char *digest = digest_with('a');
        struct name_record r = {.text = text, .digest = digest, .is_tag = true};
        names_look_at(n, &r);
}

static void names_are_bounded(void **state)
{
        (void)state;
        struct names n = {0};
        char text[64];
        names_look_begin(&n, 0);
        for (int i = 0; i < NAMES_MAX + 10; i++) {
                snprintf(text, sizeof(text), "ghcr.io/a:%06d", i);
                add_record(&n, text);
        }
        names_look_end(&n);
        assert_int_equal(n.all.count, NAMES_MAX);
        /* What was left out was there perhaps: nobody is accused. */
        assert_false(n.complete);
        /* Those that are gone make room. */
        names_look_begin(&n, 1);
        add_record(&n, "ghcr.io/a:000001");
        names_look_end(&n);
        assert_int_equal(n.all.count, 1);
        assert_true(n.complete);
        cleanup_free char *long_text = mem_zalloc(NAMES_TEXT_BYTES + 1);
        memset(long_text, 'a', NAMES_TEXT_BYTES);
        names_event(&n, long_text, 1, 2);
        assert_int_equal(n.all.count, 1);
        names_fini(&n);
}

static void our_own_digests_are_bounded(void **state)
{
        (void)state;
        struct names n = {0};
        uint64_t at = 0;
        for (int letter = 'a'; letter <= 'z'; letter++) {
                cleanup_free char *digest = digest_with((char)letter);
                names_verified(&n, TAG, digest, 1, ++at);
        }
        const struct name *name = names_find(&n, TAG);
        for (int letter = 'a'; letter <= 'z'; letter++) {
                cleanup_free char *digest = digest_with((char)letter);
                assert_int_equal(name_owns(name, digest), letter > 'z' - NAMES_OWN_MAX);
        }
        names_fini(&n);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(who_moved_a_tag),
                cmocka_unit_test(it_is_news_once),
                cmocka_unit_test(events_of_our_own),
                cmocka_unit_test(since_when),
                cmocka_unit_test(verdicts),
                cmocka_unit_test(a_reference_by_digest),
                cmocka_unit_test(after_a_restart),
                cmocka_unit_test(refusals),
                cmocka_unit_test(a_digest_cannot_be_refused),
                cmocka_unit_test(what_annotations_say),
                cmocka_unit_test(told_once),
                cmocka_unit_test(names_are_bounded),
                cmocka_unit_test(our_own_digests_are_bounded),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "resolver/breaker.h"

enum { FIRST_MS = 500, MAX_MS = 30000, NOISE = 12345 };

/*
 * A life as two lines: what happens, and what comes of it, a character each. g n f s: a use that is
 * let in is good, neutral, failed, silent; y x: a probe is answered, or not. Comes of it: '.'
 * nothing, 'D' went down, 'd' stays down, 'U' came back, '-' not let in.
 */
static const struct {
        const char *title, *events, *outcome;
} lives[] = {
        {"good for ever", "gggggggggggg", "............"},
        {"silence is enough", "ggsg", "..D-"},
        {"three failures of eight", "fgfgf", "....D"},
        {"three failures in a row", "fffg", "..D-"},
        {"two failures of eight are none", "ffggggggffg", "..........."},
        {"the third is the ninth use", "ffggggggf", "........."},
        {"the third is the eighth use", "ffgggggf", ".......D"},
        {"neutral is no use", "fnnnnnnnnnnfnnnnnnnnnf", ".....................D"},
        {"neutral only", "nnnnnnnn", "........"},
        {"a probe alone brings nothing back", "sgxgxgygf", "D-.-.-.U."},
        {"a probe while up says nothing", "xygfxf", "......"},
        {"a trial that says nothing", "synnng", "D....U"},
        {"a trial that fails", "syfgygg", "D.d-.U."},
        {"a trial that stays silent", "sysgysgyg", "D.d-.d-.U"},
        {"back with a clean slate", "fffygffgf", "..D.U...D"},
        {"down twice", "sygsyg", "D.UD.U"},
};

static enum mirror_verdict verdict_of(char event)
{
        switch (event) {
        case 'g':
                return MIRROR_GOOD;
        case 'n':
                return MIRROR_NEUTRAL;
        case 'f':
                return MIRROR_FAILED;
        default:
                return MIRROR_SILENT;
        }
}

static char letter_of(enum breaker_change change)
{
        static const char letters[] = {
                [BREAKER_SAME] = '.',
                [BREAKER_WENT_DOWN] = 'D',
                [BREAKER_STAYS_DOWN] = 'd',
                [BREAKER_CAME_BACK] = 'U',
        };
        return letters[change];
}

static char happen(struct breaker *b, char event, int64_t now_ms)
{
        uint64_t term = 0;
        if (event == 'y' || event == 'x') {
                breaker_probed(b, event == 'y', now_ms);
                return '.';
        }
        if (!breaker_admit(b, &term))
                return '-';
        return letter_of(breaker_report(b, &term, verdict_of(event), -1, now_ms));
}

static struct breaker new_breaker(void)
{
        struct breaker b;
        breaker_init(&b, FIRST_MS, MAX_MS, NOISE);
        return b;
}

static void live(struct breaker *b, const char *events, int64_t now_ms)
{
        for (; *events != '\0'; events++)
                happen(b, *events, now_ms);
}

static void lives_go_as_told(void **state)
{
        (void)state;
        for (size_t i = 0; i < sizeof(lives) / sizeof(lives[0]); i++) {
                struct breaker b = new_breaker();
                char outcome[64] = "";
                for (size_t at = 0; lives[i].events[at] != '\0'; at++)
                        outcome[at] = happen(&b, lives[i].events[at], (int64_t)at);
                if (strcmp(outcome, lives[i].outcome) != 0)
                        fail_msg("%s: %s: %s instead of %s", lives[i].title, lives[i].events,
                                outcome, lives[i].outcome);
        }
}

static void assert_pause(const struct breaker *b, int64_t now_ms, int64_t about_ms)
{
        assert_int_equal(b->state, BREAKER_DOWN);
        assert_in_range(b->probe_at_ms - now_ms, about_ms * 8 / 10, about_ms * 12 / 10);
}

static void pauses_double_up_to_the_longest(void **state)
{
        (void)state;
        static const int64_t pauses[] = {500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000};
        struct breaker b = new_breaker();
        live(&b, "s", 7000);
        for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
                assert_pause(&b, 7000, pauses[i]);
                breaker_probed(&b, false, 7000);
        }
        live(&b, "yg", 0);
        assert_int_equal(b.state, BREAKER_UP);
        live(&b, "s", 9000);
        assert_pause(&b, 9000, 500);
}

/* It answers probes and serves nothing: it must not be met every half second. */
static void failed_trials_lengthen_the_pause(void **state)
{
        (void)state;
        struct breaker b = new_breaker();
        live(&b, "syf", 0);
        assert_pause(&b, 0, 1000);
        live(&b, "ys", 100);
        assert_pause(&b, 100, 2000);
        live(&b, "xynf", 200);
        assert_pause(&b, 200, 8000);
}

static void pauses_have_jitter(void **state)
{
        (void)state;
        int64_t least = INT64_MAX;
        int64_t most = 0;
        for (uint64_t noise = 0; noise < 200; noise++) {
                struct breaker b;
                breaker_init(&b, MAX_MS, MAX_MS, noise * 0x9e3779b97f4a7c15);
                live(&b, "s", 0);
                assert_pause(&b, 0, MAX_MS);
                least = b.probe_at_ms < least ? b.probe_at_ms : least;
                most = b.probe_at_ms > most ? b.probe_at_ms : most;
        }
        assert_true(least < MAX_MS * 9 / 10 && most > MAX_MS * 11 / 10);
}

static enum breaker_change fail_with(struct breaker *b, int64_t retry_after_ms, int64_t now_ms)
{
        uint64_t term = 0;
        assert_true(breaker_admit(b, &term));
        return breaker_report(b, &term, MIRROR_FAILED, retry_after_ms, now_ms);
}

static void retry_after_is_heeded(void **state)
{
        (void)state;
        struct breaker b = new_breaker();
        assert_int_equal(fail_with(&b, -1, 0), BREAKER_SAME);
        assert_int_equal(
                fail_with(&b, 60000, 0), BREAKER_WENT_DOWN); /* who asks for a pause gets it */
        assert_int_equal(b.probe_at_ms, 60000);
        breaker_probed(&b, true, 60000);
        assert_int_equal(fail_with(&b, 5000, 60000), BREAKER_STAYS_DOWN);
        assert_int_equal(b.probe_at_ms, 65000);
        breaker_probed(&b, true, 65000);
        assert_int_equal(fail_with(&b, 1, 65000), BREAKER_STAYS_DOWN);
        assert_pause(&b, 65000, 2000); /* sooner than our own pause: that stays */
}

static void retry_after_is_bounded(void **state)
{
        (void)state;
        struct breaker b = new_breaker();
        live(&b, "ff", 0);
        fail_with(&b, INT64_MAX, 100);
        assert_int_equal(b.probe_at_ms, 100 + BREAKER_RETRY_AFTER_MAX_MS);
}

static void late_reports_of_an_earlier_term_say_nothing(void **state)
{
        (void)state;
        static const char verdicts[] = "gnfs";
        for (const char *v = verdicts; *v != '\0'; v++) {
                struct breaker b = new_breaker();
                uint64_t old = 0;
                uint64_t trial = 0;
                assert_true(breaker_admit(&b, &old));
                live(&b, "s", 0);
                struct breaker before = b;
                assert_int_equal(breaker_report(&b, &old, verdict_of(*v), 50000, 1), BREAKER_SAME);
                assert_memory_equal(&b, &before, sizeof(b));
                breaker_probed(&b, true, 2); /* on trial, before and after its user has come */
                assert_int_equal(breaker_report(&b, &old, verdict_of(*v), -1, 3), BREAKER_SAME);
                assert_true(breaker_admit(&b, &trial));
                assert_int_equal(breaker_report(&b, &old, verdict_of(*v), -1, 4), BREAKER_SAME);
                assert_int_equal(b.state, BREAKER_TRIAL);
                assert_int_equal(breaker_report(&b, &trial, MIRROR_GOOD, -1, 5), BREAKER_CAME_BACK);
                before = b;
                assert_int_equal(breaker_report(&b, &old, verdict_of(*v), -1, 6), BREAKER_SAME);
                assert_memory_equal(&b, &before, sizeof(b));
        }
}

static void a_trial_has_one_user_at_a_time(void **state)
{
        (void)state;
        struct breaker b = new_breaker();
        uint64_t first = 0;
        uint64_t second = 0;
        live(&b, "sy", 0);
        assert_true(breaker_admit(&b, &first));
        assert_false(breaker_admit(&b, &second));
        assert_int_equal(breaker_report(&b, &first, MIRROR_NEUTRAL, -1, 0), BREAKER_SAME);
        assert_true(breaker_admit(&b, &second));
        assert_false(breaker_admit(&b, &first));
        /* Who has had its turn does not decide the next one's. */
        assert_int_equal(breaker_report(&b, &first, MIRROR_SILENT, -1, 0), BREAKER_SAME);
        assert_int_equal(breaker_report(&b, &second, MIRROR_GOOD, -1, 0), BREAKER_CAME_BACK);
}

/* Good at its first byte, then cut off: the use that brought the mirror back counts like others. */
static void the_trials_own_use_counts_afterwards(void **state)
{
        (void)state;
        struct breaker b = new_breaker();
        uint64_t term = 0;
        live(&b, "sy", 0);
        assert_true(breaker_admit(&b, &term));
        assert_int_equal(breaker_report(&b, &term, MIRROR_GOOD, -1, 0), BREAKER_CAME_BACK);
        assert_int_equal(breaker_report(&b, &term, MIRROR_SILENT, -1, 0), BREAKER_WENT_DOWN);
}

static void probes_are_put_off_until_wanted(void **state)
{
        (void)state;
        struct breaker b = new_breaker();
        assert_false(breaker_wanted(&b, 0));
        live(&b, "s", 0);
        assert_false(breaker_wanted(&b, 1)); /* it has its time */
        assert_pause(&b, 0, 500);
        breaker_put_off(&b);
        assert_int_equal(b.probe_at_ms, BREAKER_NEVER);
        assert_true(breaker_wanted(&b, 9000));
        assert_int_equal(b.probe_at_ms, 9000);
        assert_false(breaker_wanted(&b, 9001));
        breaker_probed(&b, true, 9001);
        assert_false(breaker_wanted(&b, 9002));
}

static void wanted_does_not_overrule_retry_after(void **state)
{
        (void)state;
        struct breaker b = new_breaker();
        live(&b, "ff", 0);
        fail_with(&b, 20000, 0);
        breaker_put_off(&b);
        assert_true(breaker_wanted(&b, 9000));
        assert_int_equal(b.probe_at_ms, 20000);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(lives_go_as_told),
                cmocka_unit_test(pauses_double_up_to_the_longest),
                cmocka_unit_test(failed_trials_lengthen_the_pause),
                cmocka_unit_test(pauses_have_jitter),
                cmocka_unit_test(retry_after_is_heeded),
                cmocka_unit_test(retry_after_is_bounded),
                cmocka_unit_test(late_reports_of_an_earlier_term_say_nothing),
                cmocka_unit_test(a_trial_has_one_user_at_a_time),
                cmocka_unit_test(the_trials_own_use_counts_afterwards),
                cmocka_unit_test(probes_are_put_off_until_wanted),
                cmocka_unit_test(wanted_does_not_overrule_retry_after),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "base/log.h"
#include "base/metrics.h"
#include "resolver/health.h"
#include "tests/unit/config/scratch.h"

#define ONE  "http://127.0.0.1:5001"
#define TWO  "http://127.0.0.1:5002/prefix"
#define HOST "r.example"

enum { THREADS = 4, ROUNDS = 2000, CAPTURE_MAX = 1 << 20 };

/* ---- mirrors that are probed by a function ---- */

/* How the two mirrors answer probes, and how often they were asked. */
static struct prober {
        pthread_mutex_t lock;
        pthread_cond_t asked;
        unsigned count[2];
        bool answers[2];
        bool hangs; /* until the token fires */
        bool hung;
        char base_url[2][64];
} prober = {.lock = PTHREAD_MUTEX_INITIALIZER, .asked = PTHREAD_COND_INITIALIZER};

static void wake(void *arg)
{
        (void)arg;
        pthread_mutex_lock(&prober.lock);
        prober.hung = false;
        pthread_cond_broadcast(&prober.asked);
        pthread_mutex_unlock(&prober.lock);
}

static void hang(struct cancel *cancel)
{
        struct cancel_hook hook;
        prober.hung = true;
        pthread_cond_broadcast(&prober.asked);
        pthread_mutex_unlock(&prober.lock);
        cancel_hook(cancel, &hook, wake, NULL);
        pthread_mutex_lock(&prober.lock);
        while (prober.hung)
                pthread_cond_wait(&prober.asked, &prober.lock);
        pthread_mutex_unlock(&prober.lock);
        cancel_unhook(cancel, &hook);
        pthread_mutex_lock(&prober.lock);
}

static int ask(void *arg, const struct upstream *mirror, struct cancel *cancel, struct err *e)
{
        int which = strcmp(mirror->host, ONE) == 0 ? 0 : 1;
        struct prober *p = arg;
        pthread_mutex_lock(&p->lock);
        p->count[which]++;
        snprintf(p->base_url[which], sizeof(p->base_url[which]), "%s", mirror->base_url);
        pthread_cond_broadcast(&p->asked);
        if (p->hangs)
                hang(cancel);
        bool answers = p->answers[which];
        pthread_mutex_unlock(&p->lock);
        return answers ? 0 : err_set(e, ERR_UNREACHABLE, "nobody there");
}

static void set_answers(int which, bool answers)
{
        pthread_mutex_lock(&prober.lock);
        prober.answers[which] = answers;
        pthread_mutex_unlock(&prober.lock);
}

static unsigned asked(int which)
{
        pthread_mutex_lock(&prober.lock);
        unsigned n = prober.count[which];
        pthread_mutex_unlock(&prober.lock);
        return n;
}

static void wait_asked_more(int which, unsigned more)
{
        pthread_mutex_lock(&prober.lock);
        unsigned until = prober.count[which] + more;
        while (prober.count[which] < until)
                pthread_cond_wait(&prober.asked, &prober.lock);
        pthread_mutex_unlock(&prober.lock);
}

/* A configuration with these mirrors is the current one. */
static void publish(const char *mirrors)
{
        struct scratch *s = NULL;
        assert_int_equal(scratch_setup((void **)&s), 0);
        cleanup_free char *text = mem_printf("[upstream.\"" HOST "\"]\nmirrors = %s\n", mirrors);
        cleanup_free char *path = scratch_write(s, "c.toml", text);
        struct config *c = NULL;
        struct err e;
        if (config_load(path, &c, &e) < 0)
                fail_msg("%s", e.msg);
        config_publish(c, NULL);
        assert_int_equal(scratch_teardown((void **)&s), 0);
}

/* ---- the calendar, in libc's place for all of this program ---- */

static _Atomic time_t today;

time_t time(time_t *out)
{
        time_t now = atomic_load(&today);
        if (out != NULL)
                *out = now;
        return now;
}

/* ---- the log ---- */

static FILE *captured;
static int saved;

/* No assertion may run until the end: cmocka itself writes there. */
static void capture_begin(void)
{
        captured = tmpfile();
        assert_non_null(captured);
        log_setup(LOG_LEVEL_INFO, false);
        saved = dup(STDERR_FILENO);
        dup2(fileno(captured), STDERR_FILENO);
}

/* The lines without their times. */
static char *capture_end(void)
{
        dup2(saved, STDERR_FILENO);
        close(saved);
        log_setup(LOG_LEVEL_ERROR, false);
        char *text = mem_zalloc(CAPTURE_MAX);
        char line[2048];
        rewind(captured);
        while (fgets(line, sizeof(line), captured) != NULL)
                strncat(text, strchr(line, ' ') + 1, CAPTURE_MAX - strlen(text) - 1);
        fclose(captured);
        return text;
}

/* ---- uses ---- */

static int setup(void **state)
{
        prober.count[0] = prober.count[1] = 0;
        prober.answers[0] = prober.answers[1] = false;
        prober.hangs = false;
        publish("[\"" ONE "\", \"" TWO "\"]");
        struct health *h = health_new(ask, &prober);
        health_set_backoff(h, 1, 2);
        *state = h;
        return 0;
}

static int teardown(void **state)
{
        health_free(*state);
        config_publish(NULL, NULL);
        return 0;
}

static bool report_one(struct mirror *m, enum mirror_verdict verdict, const char *message)
{
        struct err why = {0};
        if (message != NULL)
                err_set(&why, ERR_UPSTREAM, "%s", message);
        cleanup_mirror_use struct mirror_use use = {0};
        if (!mirror_admit(m, &use))
                return false;
        mirror_report(&use, verdict, -1, message != NULL ? &why : NULL);
        return true;
}

/* The probe's answer is there soon, but there is no event for it. */
static void admit_when_it_answers(struct mirror *m, struct mirror_use *use)
{
        while (!mirror_admit(m, use))
                sched_yield();
}

static bool is_up(struct mirror *m)
{
        struct mirror_state s;
        mirror_state(m, &s);
        return s.up;
}

/* ---- tests ---- */

static void each_url_has_one_breaker(void **state)
{
        struct health *h = *state;
        struct mirror *one = health_mirror(h, ONE, HOST);
        struct mirror *two = health_mirror(h, TWO, HOST);
        assert_ptr_not_equal(one, two);
        assert_ptr_equal(health_mirror(h, ONE, HOST), one);
        assert_ptr_equal(health_mirror(h, TWO, HOST), two);
        assert_true(report_one(one, MIRROR_SILENT, "gone"));
        assert_false(report_one(one, MIRROR_GOOD, NULL));
        assert_true(report_one(two, MIRROR_GOOD, NULL));
}

/* One URL for two entries: what one learns of it is nothing to the other. */
static void each_entry_has_its_own(void **state)
{
        struct health *h = *state;
        struct mirror *own = health_mirror(h, ONE, HOST);
        struct mirror *shared = health_mirror(h, ONE, "");
        struct mirror_state s;
        assert_ptr_not_equal(own, shared);
        assert_ptr_equal(health_mirror(h, ONE, HOST), own);
        assert_ptr_equal(health_mirror(h, ONE, ""), shared);
        assert_true(report_one(shared, MIRROR_SILENT, "gone"));
        mirror_quarantine(shared, "sha256:aa");
        assert_false(report_one(shared, MIRROR_GOOD, NULL));
        for (int i = 0; i < 8; i++)
                assert_true(report_one(own, MIRROR_GOOD, NULL));
        assert_false(mirror_quarantined(own, "sha256:aa"));
        assert_true(mirror_quarantined(shared, "sha256:aa"));
        mirror_state(own, &s);
        assert_true(s.up);
        assert_string_equal(s.last_error, "");
        assert_false(is_up(shared)); /* nor do the other's good uses bring it back */
}

/* Both are probed, each comes back by a use of its own, and the log tells them apart. */
static void each_entry_comes_back_by_itself(void **state)
{
        struct mirror *own = health_mirror(*state, ONE, HOST);
        struct mirror *shared = health_mirror(*state, ONE, "");
        struct mirror_use use;
        capture_begin();
        report_one(own, MIRROR_SILENT, "gone");
        report_one(shared, MIRROR_SILENT, "lost");
        set_answers(0, true);
        admit_when_it_answers(shared, &use);
        mirror_report(&use, MIRROR_GOOD, -1, NULL);
        admit_when_it_answers(own, &use);
        mirror_report(&use, MIRROR_GOOD, -1, NULL);
        cleanup_free char *log = capture_end();
        assert_true(is_up(own) && is_up(shared));
        assert_string_equal(log,
                "warning mirror went down mirror=" ONE " upstream=" HOST " error=gone\n"
                "warning mirror went down mirror=" ONE " upstream=default error=lost\n"
                "info mirror came back mirror=" ONE " upstream=default\n"
                "info mirror came back mirror=" ONE " upstream=" HOST "\n");
}

static void the_upstream_has_no_breaker(void **state)
{
        (void)state;
        for (int i = 0; i < 10; i++)
                assert_true(report_one(NULL, MIRROR_SILENT, "gone"));
}

static void nobody_is_probed_while_up(void **state)
{
        struct mirror *m = health_mirror(*state, ONE, HOST);
        for (int i = 0; i < 20; i++)
                assert_true(report_one(m, i % 4 == 0 ? MIRROR_FAILED : MIRROR_GOOD,
                        i % 4 == 0 ? "now and then" : NULL));
        health_free(*state);
        *state = NULL;
        assert_int_equal(asked(0), 0);
}

static void changes_are_told_once(void **state)
{
        struct mirror *m = health_mirror(*state, TWO, HOST);
        uint64_t before = metrics_counter_get(COUNTER_MIRRORS_WENT_DOWN);
        struct mirror_use use[4];
        struct err why;
        bool let_in = true;
        err_set(&why, ERR_UPSTREAM, "500 of \"it\"");
        capture_begin();
        for (int i = 0; i < 4; i++) /* all at once, as a pull's layers are */
                let_in = mirror_admit(m, &use[i]) && let_in;
        for (int i = 0; i < 4; i++) {
                mirror_report(&use[i], MIRROR_FAILED, -1, &why);
                mirror_leave(&use[i]);
        }
        bool let_in_down = mirror_admit(m, &use[0]);
        wait_asked_more(1, 2);
        set_answers(1, true);
        admit_when_it_answers(m, &use[0]); /* a trial that fails is no news */
        set_answers(1, false);
        mirror_report(&use[0], MIRROR_SILENT, -1, &why);
        wait_asked_more(1, 2);
        set_answers(1, true);
        admit_when_it_answers(m, &use[0]);
        bool let_in_beside = mirror_admit(m, &use[1]);
        mirror_report(&use[0], MIRROR_GOOD, -1, NULL);
        bool let_in_after = report_one(m, MIRROR_GOOD, NULL);
        cleanup_free char *log = capture_end();
        assert_true(let_in && let_in_after);
        assert_false(let_in_down || let_in_beside);
        assert_string_equal(log, "warning mirror went down mirror=" TWO " upstream=" HOST
                                 " error=\"500 of \\\"it\\\"\"\n"
                                 "info mirror came back mirror=" TWO " upstream=" HOST "\n");
        assert_int_equal(metrics_counter_get(COUNTER_MIRRORS_WENT_DOWN) - before, 1);
        assert_string_equal(prober.base_url[1], TWO "/v2");
}

static void state_is_told(void **state)
{
        struct mirror *m = health_mirror(*state, ONE, HOST);
        struct mirror_state s;
        mirror_state(m, &s);
        assert_string_equal(s.last_error, "");
        report_one(m, MIRROR_SILENT, "it sleeps");
        wait_asked_more(0, 2); /* the first has ended when the second begins */
        mirror_state(m, &s);
        assert_false(s.up);
        assert_string_equal(s.last_error, "nobody there");
}

static void expect_state(struct mirror *m, bool up, int64_t since_unix_s)
{
        struct mirror_state s;
        mirror_state(m, &s);
        assert_int_equal(s.up, up);
        assert_int_equal(s.since_unix_s, since_unix_s);
}

/* It is up when it would be asked, whether or not anybody has something to ask. */
static void it_is_up_when_it_answers(void **state)
{
        atomic_store(&today, 100);
        struct mirror *m = health_mirror(*state, ONE, HOST);
        struct mirror_use use;
        struct err why;
        err_set(&why, ERR_UPSTREAM, "500");
        expect_state(m, true, 100);
        atomic_store(&today, 200);
        report_one(m, MIRROR_SILENT, "gone");
        expect_state(m, false, 200);
        atomic_store(&today, 300);
        set_answers(0, true);
        admit_when_it_answers(m, &use);
        expect_state(m, true, 300);
        atomic_store(&today, 400); /* the trial fails, and the next one ends well */
        set_answers(0, false);
        mirror_report(&use, MIRROR_FAILED, -1, &why);
        expect_state(m, false, 400);
        atomic_store(&today, 500);
        set_answers(0, true);
        admit_when_it_answers(m, &use);
        expect_state(m, false, 400); /* who answers probes and serves nothing is down all along */
        mirror_report(&use, MIRROR_GOOD, -1, NULL);
        expect_state(m, true, 500);
}

static void late_reports_change_nothing(void **state)
{
        struct mirror *m = health_mirror(*state, ONE, HOST);
        struct mirror_use early;
        struct mirror_use trial;
        struct mirror_use other;
        struct err why;
        err_set(&why, ERR_BROKEN, "cut off");
        assert_true(mirror_admit(m, &early));
        report_one(m, MIRROR_SILENT, "gone");
        mirror_report(&early, MIRROR_GOOD, -1, NULL);
        assert_false(is_up(m));
        set_answers(0, true);
        admit_when_it_answers(m, &trial);
        mirror_report(&early, MIRROR_GOOD, -1, NULL);
        assert_false(mirror_admit(m, &other)); /* the trial goes on */
        mirror_report(&early, MIRROR_SILENT, -1, &why);
        assert_true(is_up(m));
        mirror_report(&trial, MIRROR_GOOD, -1, NULL);
        assert_true(is_up(m));
        mirror_report(&early, MIRROR_SILENT, -1, &why);
        assert_true(is_up(m));
}

static void who_leaves_makes_room_for_the_next(void **state)
{
        struct mirror *m = health_mirror(*state, ONE, HOST);
        report_one(m, MIRROR_SILENT, "gone");
        set_answers(0, true);
        for (int i = 0; i < 3; i++) {
                cleanup_mirror_use struct mirror_use use = {0};
                struct mirror_use other;
                admit_when_it_answers(m, &use);
                assert_false(mirror_admit(m, &other));
                mirror_leave(&other); /* was not let in: nothing of the trial's is its to free */
                assert_false(mirror_admit(m, &other));
                mirror_leave(&use);
        }
        assert_true(report_one(m, MIRROR_GOOD, NULL));
        assert_true(is_up(m));
}

static void who_is_not_listed_is_not_probed(void **state)
{
        struct mirror *one = health_mirror(*state, ONE, HOST);
        struct mirror *two = health_mirror(*state, TWO, HOST);
        publish("[\"" TWO "\"]");
        report_one(one, MIRROR_SILENT, "gone");
        report_one(two, MIRROR_SILENT, "gone");
        wait_asked_more(1, 3); /* the other's turn came before these */
        assert_int_equal(asked(0), 0);
        publish("[\"" TWO "\", \"" ONE "\"]");
        set_answers(0, true);
        struct mirror_use use;
        admit_when_it_answers(one, &use);
        assert_int_equal(asked(0), 1);
}

static void no_configuration_no_probe(void **state)
{
        struct mirror *one = health_mirror(*state, ONE, HOST);
        config_publish(NULL, NULL);
        report_one(one, MIRROR_SILENT, "gone");
        for (int i = 0; i < ROUNDS; i++) { /* each makes it due again */
                assert_false(report_one(one, MIRROR_GOOD, NULL));
                sched_yield();
        }
        health_free(*state);
        *state = NULL;
        assert_int_equal(asked(0), 0);
}

static void the_end_does_not_wait_for_a_probe(void **state)
{
        prober.hangs = true;
        report_one(health_mirror(*state, ONE, HOST), MIRROR_SILENT, "gone");
        pthread_mutex_lock(&prober.lock);
        while (!prober.hung)
                pthread_cond_wait(&prober.asked, &prober.lock);
        pthread_mutex_unlock(&prober.lock);
        health_free(*state); /* returns */
        *state = NULL;
        assert_int_equal(asked(0), 1);
}

static void the_end_does_not_wait_for_a_pause(void **state)
{
        health_set_backoff(*state, 1000000000, 1000000000);
        report_one(health_mirror(*state, ONE, HOST), MIRROR_SILENT, "gone");
        health_free(*state); /* returns */
        *state = NULL;
        assert_int_equal(asked(0), 0);
}

static void verdicts_by_error(void **state)
{
        (void)state;
        static const enum mirror_verdict want[] = {
                [ERR_UNREACHABLE] = MIRROR_SILENT,
                [ERR_TIMEOUT] = MIRROR_SILENT,
                [ERR_NOT_FOUND] = MIRROR_NEUTRAL,
                [ERR_UNAUTHORIZED] = MIRROR_NEUTRAL,
                [ERR_CANCELLED] = MIRROR_NEUTRAL,
                [ERR_UPSTREAM] = MIRROR_FAILED,
                [ERR_RATE_LIMITED] = MIRROR_FAILED,
                [ERR_BROKEN] = MIRROR_FAILED,
                [ERR_DIGEST] = MIRROR_FAILED,
                [ERR_PROTOCOL] = MIRROR_FAILED,
                [ERR_TOO_LARGE] = MIRROR_FAILED,
                [ERR_CONFIG] = MIRROR_FAILED,
                [ERR_BACKEND] = MIRROR_FAILED,
        };
        for (enum err_code code = 0; code < sizeof(want) / sizeof(want[0]); code++) {
                struct err e = {.code = code};
                if (want[code] != MIRROR_GOOD)
                        assert_int_equal(mirror_verdict_of(&e), want[code]);
        }
}

static void quarantine_is_per_mirror(void **state)
{
        struct mirror *one = health_mirror(*state, ONE, HOST);
        struct mirror *two = health_mirror(*state, TWO, HOST);
        mirror_quarantine(one, "sha256:aa");
        assert_true(mirror_quarantined(one, "sha256:aa"));
        assert_false(mirror_quarantined(one, "sha256:bb"));
        assert_false(mirror_quarantined(two, "sha256:aa"));
        assert_true(is_up(one)); /* one wrong content is one failed use, said by its user */
}

/* ---- many at once ---- */

enum { GROUPS = 3 };

static const struct {
        int which;
        const char *url, *upstream, *told;
} groups[GROUPS] = {{0, ONE, HOST, HOST}, {1, TWO, HOST, HOST}, {1, TWO, "", "default"}};

static void *use_many(void *arg)
{
        struct health *h = arg;
        unsigned random = (unsigned)(uintptr_t)&h; /* another for each thread */
        for (int i = 0; i < ROUNDS; i++) {
                random = random * 1103515245 + 12345;
                size_t group = (random >> 16) % GROUPS;
                struct mirror *m = health_mirror(h, groups[group].url, groups[group].upstream);
                struct mirror_state s;
                switch (random >> 20 & 7) {
                case 0:
                        report_one(m, MIRROR_SILENT, "gone");
                        break;
                case 1:
                        report_one(m, MIRROR_FAILED, "failed");
                        break;
                case 2:
                        mirror_quarantine(m, "sha256:aa");
                        mirror_state(m, &s);
                        break;
                case 3:
                        report_one(m, MIRROR_NEUTRAL, NULL);
                        break;
                default:
                        report_one(m, MIRROR_GOOD, NULL);
                }
                set_answers(i % 2, random & 0x40000);
        }
        return NULL;
}

static unsigned count_of(const char *log, const char *needle)
{
        unsigned n = 0;
        for (; (log = strstr(log, needle)) != NULL; log++)
                n++;
        return n;
}

/* Each group's changes alternate, whoever causes them. */
static void changes_add_up(void **state)
{
        pthread_t threads[THREADS];
        capture_begin();
        for (int i = 0; i < THREADS; i++)
                pthread_create(&threads[i], NULL, use_many, *state);
        for (int i = 0; i < THREADS; i++)
                pthread_join(threads[i], NULL);
        for (size_t i = 0; i < GROUPS; i++) {
                struct mirror *m = health_mirror(*state, groups[i].url, groups[i].upstream);
                set_answers(groups[i].which, true);
                while (!report_one(m, MIRROR_GOOD, NULL))
                        sched_yield();
        }
        cleanup_free char *log = capture_end();
        for (size_t i = 0; i < GROUPS; i++) {
                cleanup_free char *where =
                        mem_printf("mirror=%s upstream=%s", groups[i].url, groups[i].told);
                cleanup_free char *down = mem_printf("went down %s error=", where);
                cleanup_free char *back = mem_printf("came back %s\n", where);
                unsigned downs = count_of(log, down);
                unsigned backs = count_of(log, back);
                assert_true(downs > 0);
                assert_int_equal(downs, backs);
        }
}

int main(void)
{
        log_setup(LOG_LEVEL_ERROR, false);
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(each_url_has_one_breaker),
                TEST(each_entry_has_its_own),
                TEST(each_entry_comes_back_by_itself),
                TEST(the_upstream_has_no_breaker),
                TEST(nobody_is_probed_while_up),
                TEST(changes_are_told_once),
                TEST(state_is_told),
                TEST(it_is_up_when_it_answers),
                TEST(late_reports_change_nothing),
                TEST(who_leaves_makes_room_for_the_next),
                TEST(who_is_not_listed_is_not_probed),
                TEST(no_configuration_no_probe),
                TEST(the_end_does_not_wait_for_a_probe),
                TEST(the_end_does_not_wait_for_a_pause),
                TEST(verdicts_by_error),
                TEST(quarantine_is_per_mirror),
                TEST(changes_add_up),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "shim/process_figures.h"

enum { MORE_FDS = 7, MORE_BYTES = 64 << 20 };

static void *wait_for_end(void *arg)
{
        pthread_mutex_t *held = arg;
        pthread_mutex_lock(held);
        pthread_mutex_unlock(held);
        return NULL;
}

static void they_follow_what_is_done(void **state)
{
        (void)state;
        struct process_figures before, after;
        struct rlimit limit;
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
        pthread_t threads[2]; /* with the first one a sanitizer starts one of its own */
        pthread_mutex_lock(&held);
        assert_int_equal(pthread_create(&threads[0], NULL, wait_for_end, &held), 0);
        process_figures_read(&before);
        int fds[MORE_FDS];
        for (int i = 0; i < MORE_FDS; i++)
                assert_true((fds[i] = open("/dev/null", O_RDONLY)) >= 0);
        cleanup_free char *memory = mem_zalloc(MORE_BYTES);
        for (size_t i = 0; i < MORE_BYTES; i += 512)
                ((volatile char *)memory)[i] = 1;
        assert_int_equal(pthread_create(&threads[1], NULL, wait_for_end, &held), 0);
        process_figures_read(&after);
        pthread_mutex_unlock(&held);
        pthread_join(threads[0], NULL);
        pthread_join(threads[1], NULL);
        for (int i = 0; i < MORE_FDS; i++)
                close(fds[i]);
        assert_true(after.open_fds - before.open_fds == MORE_FDS);
        assert_true(after.threads - before.threads == 1);
        assert_true(after.resident_bytes - before.resident_bytes > MORE_BYTES / 2);
        assert_true(after.cpu_s > before.cpu_s);
        assert_true(after.max_fds == (double)limit.rlim_cur);
        assert_true(after.started_unix_s == before.started_unix_s);
        double now_s = (double)clock_unix_s();
        assert_true(after.started_unix_s > now_s - 3600 && after.started_unix_s < now_s + 1);
}

/* The program's name stands in /proc/self/stat, between the figures. */
static void a_name_confuses_nobody(void **state)
{
        (void)state;
        struct process_figures plain, odd;
        process_figures_read(&plain);
        assert_int_equal(prctl(PR_SET_NAME, "a) 1 2 (3", 0, 0, 0), 0);
        process_figures_read(&odd);
        assert_true(odd.threads == plain.threads);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(they_follow_what_is_done),
                cmocka_unit_test(a_name_confuses_nobody),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

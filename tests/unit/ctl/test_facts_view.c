/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "ctl/facts_process.h"
#include "ctl/facts_view.h"
#include "tests/unit/config/scratch.h"

#define ROOT          "Name:\tx\nUid:\t0\t0\t0\t0\n"
#define NO_CAPABILITY ROOT "CapEff:\t0000000000000000\n"

/* A process 77 that finds at "/" what we do. */
static void of_process(const struct scratch *s, const char *status, struct file_view *out)
{
        free(scratch_write(s, "proc/77/status", status));
        cleanup_free char *proc = scratch_expand(s, "@/proc");
        cleanup_free char *root = scratch_expand(s, "@/proc/77/root");
        unlink(root);
        assert_int_equal(symlink("/", root), 0);
        file_view_of_process(proc, 77, out);
}

static char *obstacle(const struct file_view *v, const char *path, bool expect_hidden)
{
        bool hidden = false;
        char *found = file_view_obstacle(v, path, &hidden);
        assert_int_equal(hidden, expect_hidden);
        return found;
}

static void modes(void **state)
{
        static const struct {
                uid_t owner;
                gid_t group;
                mode_t folder, file;
                const char *obstacle;
        } cases[] = {
                {0, 0, 0700, 0600, NULL},
                {0, 0, 0700, 0044, "@/d/f"},
                {1000, 1000, 0700, 0600, "@/d"},
                {1000, 1000, 0711, 0640, "@/d/f"},
                {1000, 1000, 0711, 0604, NULL},
                {1000, 0, 0710, 0640, NULL},
                {1000, 0, 0701, 0640, "@/d"},
        };
        if (geteuid() != 0)
                skip();
        struct file_view v;
        of_process(*state, NO_CAPABILITY, &v);
        cleanup_free char *path = scratch_write(*state, "d/f", "x");
        cleanup_free char *folder = scratch_expand(*state, "@/d");
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                assert_int_equal(chown(folder, cases[i].owner, cases[i].group), 0);
                assert_int_equal(chown(path, cases[i].owner, cases[i].group), 0);
                assert_int_equal(chmod(folder, cases[i].folder) | chmod(path, cases[i].file), 0);
                cleanup_free char *found = obstacle(&v, path, false);
                assert_int_equal(found == NULL, cases[i].obstacle == NULL);
                cleanup_free char *wanted =
                        found != NULL ? scratch_expand(*state, cases[i].obstacle) : NULL;
                if (found != NULL)
                        assert_string_equal(found, wanted);
        }
        file_view_fini(&v);
}

static void capabilities(void **state)
{
        static const struct {
                const char *status;
                bool reads_all;
        } cases[] = {
                {NO_CAPABILITY, false},
                {ROOT "CapPrm:\t000001ffffffffff\nCapEff:\t0000000000000001\n", false},
                {ROOT "CapEff:\t0000000000000002\n", true},
                {ROOT "CapEff:\t000001ffffffffff\n", true},
                {ROOT, true},
                /* another user, whose groups are not known */
                {"Name:\tx\nUid:\t0\t1000\t0\t0\nCapEff:\t0000000000000000\n", true},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct file_view v;
                of_process(*state, cases[i].status, &v);
                assert_int_equal(v.reads_all, cases[i].reads_all);
                file_view_fini(&v);
        }
        cleanup_free char *proc = scratch_expand(*state, "@/proc");
        assert_true(process_reads_all(proc, 78));
}

static void what_is_hidden(void **state)
{
        struct file_view v;
        of_process(*state, NO_CAPABILITY, &v);
        cleanup_free char *there = scratch_write(*state, "a", "x");
        assert_null(obstacle(&v, there, false));
        free(v.root);
        v.root = scratch_expand(*state, "@/ended"); /* nothing can be said any more */
        v.reads_all = true;
        assert_null(obstacle(&v, there, false));
        free(v.root);
        v.root = scratch_expand(*state, "@/proc"); /* where it is not */
        v.reads_all = true;
        cleanup_free char *link = scratch_expand(*state, "@/link");
        assert_int_equal(symlink("a", link), 0);
        cleanup_free char *found = obstacle(&v, link, true);
        assert_string_equal(found, there);
        assert_null(obstacle(&v, "/nowhere/at-all", false));
        file_view_fini(&v);
        file_view_of_unit(&v);
        cleanup_free char *by_unit = obstacle(&v, link, true); /* scratch is in /tmp */
        assert_string_equal(by_unit, there);
        assert_null(obstacle(&v, "/etc/passwd", false));
        file_view_fini(&v);
        assert_null(obstacle(&v, link, false)); /* nothing is known */
}

/* What is not read whole is not read. */
static void environments(void **state)
{
        size_t size = 0;
        cleanup_free char *proc = scratch_expand(*state, "@/proc");
        assert_null(process_environment(proc, 77, &size));
        free(scratch_write(*state, "proc/77/environ", "A=1"));
        cleanup_free char *text = process_environment(proc, 77, &size);
        assert_int_equal(size, 3);
        assert_string_equal(text, "A=1");
        cleanup_free char *much = mem_printf("%0100000d", 1);
        free(scratch_write(*state, "proc/77/environ", much));
        assert_null(process_environment(proc, 77, &size));
}

#define IN_SCRATCH(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                IN_SCRATCH(modes),
                IN_SCRATCH(capabilities),
                IN_SCRATCH(what_is_hidden),
                IN_SCRATCH(environments),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

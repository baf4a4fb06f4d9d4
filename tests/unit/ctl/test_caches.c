/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "ctl/caches.h"
#include "tests/unit/config/scratch.h"

static struct config *load(const struct scratch *s, const char *text)
{
        struct err e;
        struct config *c = NULL;
        cleanup_free char *path = scratch_write(s, "config.toml", text);
        if (config_load(path, &c, &e) < 0)
                fail_msg("%s", e.msg);
        return c;
}

/* "name port remote" of each cache in order, and "; " between them; the error's words if there is
 * one. The caller frees. */
static char *planned(const struct scratch *s, const char *text, const char *address, size_t *notes)
{
        struct err e;
        struct config *c = load(s, text);
        cleanup_rendering struct rendering r = {0};
        cleanup_caches struct caches caches;
        cleanup_buf struct buf b;
        buf_init(&b, 4096);
        if (caches_plan(c, address, &caches, &r, &e) < 0)
                buf_puts(&b, e.msg);
        else
                for (size_t i = 0; i < caches.count; i++)
                        buf_printf(&b, "%s%s %d %s", i > 0 ? "; " : "", caches.list[i].name,
                                caches.list[i].port, caches.list[i].remote);
        *notes = r.notes.count;
        config_put(c);
        return mem_strdup(buf_str(&b));
}

static void where_caches_listen(void **state)
{
        static const struct {
                const char *config, *address, *plan;
                size_t notes;
        } cases[] = {
                {"[upstream.\"docker.io\"]\nmirrors = [\"http://10.0.0.1:5000\"]\n", NULL,
                        "docker.io 5000 https://registry-1.docker.io", 0},
                {"[upstream.\"ghcr.io\"]\n[upstream.\"quay.io\"]\n"
                 "[upstream.\"docker.io\"]\nmirrors = [\"http://10.0.0.1:5000\"]\n",
                        NULL,
                        "ghcr.io 5010 https://ghcr.io; quay.io 5020 https://quay.io; "
                        "docker.io 5000 https://registry-1.docker.io",
                        2},
                {"[upstream.\"a.example:8443\"]\nserver = \"http://10.0.0.3:81/x\"\n"
                 "mirrors = [\"https://harbor/x\", \"http://10.0.0.1\"]\n",
                        NULL, "a.example_8443 80 http://10.0.0.3:81", 0},
                {"[upstream.\"a.example\"]\nmirrors = "
                 "[\"https://harbor/x\"]\n[upstream.\"b.example\"]\n",
                        NULL, "b.example 5000 https://b.example", 2},
                {"[upstream.\"a.example\"]\nmirrors = [\"http://10.0.0.1:5000\"]\n"
                 "[upstream.\"b.example\"]\nmirrors = [\"http://10.0.0.2:5000\"]\n",
                        "10.0.0.2", "b.example 5000 https://b.example", 1},
                {"[upstream.\"a.example\"]\nmirrors = [\"http://cache.lan:5000\"]\n", "10.0.0.2",
                        "a.example 5000 https://a.example", 0},
                {"[upstream.\"a.example\"]\nmirrors = [\"http://10.0.0.1:5000\"]\n"
                 "[upstream.\"b.example\"]\nmirrors = [\"http://10.0.0.2:5000\"]\n",
                        NULL,
                        "a.example and b.example have their cache at the same port 5000, and "
                        "distribution serves one upstream; give each a port of its own in "
                        "`mirrors`, or say with --address which machine is meant",
                        0},
                {"[upstream.\"a.example\"]\nca = \"/etc/ssl/certs/ca-certificates.crt\"\n", NULL,
                        "a.example 5000 https://a.example", 2},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                size_t notes = 0;
                cleanup_free char *plan =
                        planned(*state, cases[i].config, cases[i].address, &notes);
                assert_string_equal(plan, cases[i].plan);
                assert_int_equal(notes, cases[i].notes);
        }
}

static void addresses(void **state)
{
        (void)state;
        cleanup_free char *any = caches_listen(NULL, 5000);
        cleanup_free char *four = caches_listen("10.0.0.1", 5010);
        cleanup_free char *six = caches_listen("2001:db8::1", 5020);
        assert_string_equal(any, ":5000");
        assert_string_equal(four, "10.0.0.1:5010");
        assert_string_equal(six, "[2001:db8::1]:5020");
}

/* As many as one night an hour and ten minutes allow are told apart. */
static void nights(void **state)
{
        (void)state;
        enum { MANY = 7 * 4 * 6 };
        bool taken[7][24][60] = {0};
        for (size_t i = 0; i < MANY; i++) {
                struct cache_time t = caches_time(i);
                assert_in_range(t.hour, 2, 5);
                assert_false(taken[t.weekday][t.hour][t.minute]);
                taken[t.weekday][t.hour][t.minute] = true;
        }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(where_caches_listen),
                cmocka_unit_test(addresses),
                cmocka_unit_test(nights),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

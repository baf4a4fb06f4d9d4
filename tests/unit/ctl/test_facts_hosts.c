/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "base/buf.h"
#include "ctl/facts_hosts.h"
#include "tests/unit/config/scratch.h"

/* Faults as "line key" with "~nearest" for a slip and "!" for what discards the file. */
static char *faults_of(const char *text)
{
        struct hosts_file f;
        cleanup_buf struct buf b;
        buf_init(&b, 4096);
        hosts_file_read("/certs/a.io/hosts.toml", "a.io", text, strlen(text), &f);
        for (size_t i = 0; i < f.fault_count; i++)
                buf_printf(&b, "%s%d %s%s%s%s", i > 0 ? ", " : "", f.faults[i].line,
                        f.faults[i].key, f.faults[i].nearest != NULL ? "~" : "",
                        f.faults[i].nearest != NULL ? f.faults[i].nearest : "",
                        f.faults[i].why != NULL ? "!" : "");
        char *all = mem_strdup(buf_str(&b));
        bool discards = strchr(all, '!') != NULL;
        assert_int_equal(f.discarded, discards);
        hosts_file_fini(&f);
        return all;
}

static void keys_and_types(void **state)
{
        (void)state;
        static const struct {
                const char *text, *faults;
        } cases[] = {
                {"", ""},
                {"server = \"https://a.io\"\nca = \"x.pem\"\n", ""},
                {"server = \"a.io\"\n[host.\"m.io\"]\n", ""},
                {"ca = [\"a\", \"b\"]\nclient = [[\"c\", \"k\"], \"both\"]\n", ""},
                {"header = { X = \"1\", Y = [\"2\", \"3\"] }\noverride_path = false\n", ""},
                {"dial_timeout = \"3s\"\n[host.\"https://m\"]\ncapabilities = [\"Pull\", "
                 "\"referrers\"]\n",
                        ""},
                {"serve = \"x\"\n", "1 serve~server"},
                {"[host.\"http://m\"]\n  capabilites = [\"pull\"]\n", "2 capabilites~capabilities"},
                {"[host.\"http://m\"]\nserver = \"x\"\n", "2 server"},
                {"[hosts.\"http://m\"]\n", "1 hosts~host"},
                {"frobnicate = 1\n", "1 frobnicate"},
                {"skip_verify = \"true\"\n", "1 skip_verify!"},
                {"override_path = 1\n", "1 override_path!"},
                {"server = true\n", "1 server!"},
                {"server = \"https://user@a\"\n", "1 server!"},
                {"capabilities = \"pull\"\n", "1 capabilities!"},
                {"[host.\"http://m\"]\ncapabilities = [\"pull\", \"reslove\"]\n",
                        "2 capabilities!"},
                {"ca = 1\n", "1 ca!"},
                {"client = [[\"c\"]]\n", "1 client!"},
                {"header = \"X: 1\"\n", "1 header!"},
                {"header = { X = 1 }\n", "1 header!"},
                {"host = \"http://m\"\n", "1 host!"},
                {"[host]\n\"http://m\" = 1\n", "2 http://m!"},
                {"[host.\"ftp:// m\"]\n", "1 ftp:// m!"},
                {"a = 1\nb =\n", "2 !"},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_free char *got = faults_of(cases[i].text);
                assert_string_equal(got, cases[i].faults);
        }
}

static void mirrors_and_what_they_may(void **state)
{
        (void)state;
        static const char text[] =
                "server = \"https://a.io\"\n\n"
                "[host.\"http://one\"]\ncapabilities = [\"pull\"]\n"
                "[host.\"two\"]\ncapabilities = [\"pull\", \"RESOLVE\"]\nca = \"c.pem\"\n"
                "[host.\"https://three/v2/x\"]\noverride_path = true\nskip_verify = true\n";
        struct hosts_file f;
        hosts_file_read("/certs/a.io/hosts.toml", "a.io", text, strlen(text), &f);
        assert_int_equal(f.mirror_count, 3);
        assert_string_equal(f.server, "https://a.io");
        assert_int_equal(f.server_line, 1);
        assert_string_equal(f.mirrors[0].url, "http://one");
        assert_false(f.mirrors[0].may_resolve);
        assert_int_equal(f.mirrors[0].line, 3);
        assert_int_equal(f.mirrors[0].capabilities_line, 4);
        assert_string_equal(f.mirrors[1].url, "https://two");
        assert_true(f.mirrors[1].may_resolve);
        assert_string_equal(f.mirrors[1].ca_file, "/certs/a.io/c.pem");
        assert_true(f.mirrors[2].may_resolve);
        assert_int_equal(f.mirrors[2].capabilities_line, 0);
        assert_true(f.mirrors[2].override_path && f.mirrors[2].skip_verify);
        hosts_file_fini(&f);
}

static void trees(void **state)
{
        free(scratch_write(*state, "one/a.io/hosts.toml", "server = \"https://x\"\n"));
        free(scratch_write(*state, "one/127.0.0.1_7780_/hosts.toml", ""));
        free(scratch_write(*state, "one/b.io/ca.crt", ""));
        free(scratch_write(*state, "one/stray", ""));
        free(scratch_write(*state, "one/.away/hosts.toml", ""));
        free(scratch_write(*state, "two/_default/hosts.toml", "[host.\"http://m\"]\n"));
        cleanup_free char *roots = scratch_expand(*state, "@/one:@/two:@/none:");
        cleanup_hosts_tree struct hosts_tree tree;
        struct err e;
        assert_int_equal(hosts_tree_load(roots, &tree, &e), 0);
        assert_int_equal(tree.file_count, 3);
        assert_string_equal(tree.files[0].host, "127.0.0.1:7780");
        assert_string_equal(tree.files[1].host, "a.io");
        assert_string_equal(tree.files[2].host, "_default");
        assert_ptr_equal(hosts_tree_find(&tree, "a.io"), &tree.files[1]);
        assert_ptr_equal(hosts_tree_find(&tree, "c.io"), &tree.files[2]);
}

static void names_of_directories(void **state)
{
        (void)state;
        static const char *const cases[][2] = {
                {"a.io", "a.io"}, {"a.io:5000", "a.io_5000_"}, {"[::1]:80", "[::1]_80_"}};
        for (size_t i = 0; i < 3; i++) {
                cleanup_free char *got = hosts_directory(cases[i][0]);
                assert_string_equal(got, cases[i][1]);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(keys_and_types),
                cmocka_unit_test(mirrors_and_what_they_may),
                cmocka_unit_test_setup_teardown(trees, scratch_setup, scratch_teardown),
                cmocka_unit_test(names_of_directories),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "base/mem.h"
#include "ctl/toml_edit.h"
#include "ctl/toml_text.h"

/* "a/b/c" as a path; hosts have no slash. */
static struct strings path_of(const char *s)
{
        struct strings path = {0};
        for (;;) {
                size_t size = strcspn(s, "/");
                cleanup_free char *key = mem_strndup(s, size);
                strings_add(&path, key);
                if (s[size] == '\0')
                        return path;
                s += size + 1;
        }
}

struct edit_case {
        const char *text, *path, *want;
};

static void removing_takes_the_whole_of_a_table_and_nothing_else(void **state)
{
        (void)state;
        static const struct edit_case cases[] = {
                {"a = 1\n", "b", "a = 1\n"},
                {"", "b", ""},
                {"[p.m]\nx = 1\n", "p/m", ""},
                {"[p]\nk = 1\n[p.m.\"x.y\"]\n  e = [ # one\n  \"]\",\n  ]\n[q]\nz = 2\n", "p/m",
                        "[p]\nk = 1\n[q]\nz = 2\n"},
                /* comments in front stay, those within go, those of the next table stay */
                {"# head\n[p.m]\n# in\nx = 1\n# last\n\n# of q\n[q] # here\n", "p/m",
                        "# head\n\n# of q\n[q] # here\n"},
                {"k = 1\n\n[p.m]\nx = 1\n\n[q]\ny = 1\n", "p/m", "k = 1\n\n[q]\ny = 1\n"},
                {"[p.m]\nx = 1\n# of q\n[q]\n", "p/m", "# of q\n[q]\n"},
                /* dotted keys, quotes of both kinds, escapes */
                {"[p]\nm.\"x.y\".e = 1\nm . 'z' = 2\nk = 3\n", "p/m", "[p]\nk = 3\n"},
                {"['p'.\"\\u006d\"]\nx = 1\n[k]\n", "p/m", "[k]\n"},
                {"p.m = 1\r\nk = 2\r\n", "p/m", "k = 2\r\n"},
                /* inline tables: the first, one in the middle, the last, the only one */
                {"p = { m = 1, k = 2 }\n", "p/m", "p = { k = 2 }\n"},
                {"p = { j = 1, m = { x = [1, 2] }, k = 2 } # c\n", "p/m",
                        "p = { j = 1, k = 2 } # c\n"},
                {"p = { j = 1, m = \"}\" }\n", "p/m", "p = { j = 1 }\n"},
                {"p = { m = 1 }\n", "p/m", "p = {  }\n"},
                {"p = { m.a = 1, m.b = 2, k = 3, m.c = 4 }\n", "p/m", "p = { k = 3 }\n"},
                {"p = { q = { m = 1, z = 1 }, m = 2 }\n", "p/q/m",
                        "p = { q = { z = 1 }, m = 2 }\n"},
                /* strings that look like tables */
                {"k = \"\"\"\n[p.m]\nx = 1\n\"\"\"\n[p.m]\ny = '''\n[k]'''\n", "p/m",
                        "k = \"\"\"\n[p.m]\nx = 1\n\"\"\"\n"},
                {"[p.m]\nx = 1", "p/m", ""},
                {"[p.mm]\nx = 1\n", "p/m", "[p.mm]\nx = 1\n"},
                {"[[p.m]]\nx = 1\n[[p.m]]\nx = 2\n[[k]]\nd = 1979-05-27 07:32:00 # when\n", "p/m",
                        "[[k]]\nd = 1979-05-27 07:32:00 # when\n"},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_strings struct strings path = path_of(cases[i].path);
                cleanup_free char *got = NULL;
                struct err e = {0};
                if (toml_edit_remove(cases[i].text, &path, &got, &e) < 0)
                        fail_msg("case %zu: %s", i, e.msg);
                assert_string_equal(got, cases[i].want);
        }
}

static void setting_finds_the_place_and_the_looks(void **state)
{
        (void)state;
        static const struct edit_case cases[] = {
                {"", "p/c", "[p]\nc = \"v\"\n"},
                {"a = 1", "p/c", "a = 1\n\n[p]\nc = \"v\"\n"},
                {"p = { x = 1 }\n", "p/c", "p = { c = \"v\", x = 1 }\n"},
                {"p = {}\n", "p/c", "p = { c = \"v\" }\n"},
                {"p = { q = {  } }\n", "p/q/c", "p = { q = { c = \"v\"   } }\n"},
                {"p = { x = 1 }\n", "p/q/c", "p = { q = { c = \"v\" }, x = 1 }\n"},
                /* there already: the value alone */
                {"[p]\nc   =   'old' # why\n", "p/c", "[p]\nc   =   'v' # why\n"},
                {"p.c = [\"a\",\n\"b\"]\n", "p/c", "p.c = \"v\"\n"},
                {"p = { q = { c = \"\" } }\n", "p/q/c", "p = { q = { c = \"v\" } }\n"},
                /* its table is there */
                {"[p]\n[q]\n", "p/c", "[p]\nc = \"v\"\n[q]\n"},
                {"  [p] # of p\n    k = 1\n", "p/c", "  [p] # of p\n    c = \"v\"\n    k = 1\n"},
                {"[p]\r\nk = 1\r\n", "p/c", "[p]\r\nc = \"v\"\r\nk = 1\r\n"},
                /* dotted keys make its table */
                {"[p]\n  q.x = 1\n  k = 2\n", "p/q/c", "[p]\n  q.c = \"v\"\n  q.x = 1\n  k = 2\n"},
                /* a table below it is there */
                {"k = 1\n\n# x\n[p.q.r]\nx = 1\n", "p/q/c",
                        "k = 1\n\n[p.q]\nc = \"v\"\n\n# x\n[p.q.r]\nx = 1\n"},
                /* behind its relatives, as these look */
                {"[p.'q']\n  k = 1\n  [p.'q'.r]\n    x = 1\n[z]\n", "p/q/s/c",
                        "[p.'q']\n  k = 1\n  [p.'q'.r]\n    x = 1\n\n  [p.q.s]\n    c = "
                        "'v'\n[z]\n"},
                {"[p.'x.y']\nk = 1\n", "p/x.y/s/c", "[p.'x.y']\nk = 1\n\n[p.'x.y'.s]\nc = 'v'\n"},
        };
        json_t *value = json_string("v");
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_strings struct strings path = path_of(cases[i].path);
                cleanup_free char *got = NULL;
                struct err e = {0};
                if (toml_edit_set(cases[i].text, &path, value, &got, &e) < 0)
                        fail_msg("case %zu: %s", i, e.msg);
                assert_string_equal(got, cases[i].want);
        }
        json_decref(value);
}

static void what_cannot_be_changed_is_refused(void **state)
{
        (void)state;
        static const struct edit_case cases[] = {
                {"p = 1\n", "p/c", "c cannot be changed without touching what is around it"},
                {"[[p]]\nx = 1\n", "p/c", "c cannot be changed without touching what is around it"},
                {"[p]\nc.x = 1\n", "p/c", "c cannot be changed without touching what is around it"},
                {"a = \n", "p/c", "line:1:5: "},
                {"a = 1\na = 2\n", "p/c", "line:2:5: "},
        };
        json_t *value = json_string("v");
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_strings struct strings path = path_of(cases[i].path);
                char *got = NULL;
                struct err e = {0};
                assert_int_equal(toml_edit_set(cases[i].text, &path, value, &got, &e), -1);
                assert_null(got);
                if (strncmp(e.msg, cases[i].want, strlen(cases[i].want)) != 0)
                        fail_msg("case %zu: %s", i, e.msg);
        }
        json_decref(value);
}

static void values_are_written_as_toml(void **state)
{
        (void)state;
        json_t *value = json_pack("{s:s, s:[s, s], s:b, s:i, s:{}}", "a b", "q\"\\\n", "list",
                "it's", "x", "yes", 1, "n", -5, "none");
        cleanup_buf struct buf b;
        buf_init(&b, 4096);
        toml_put_value(&b, value, '\'');
        assert_string_equal(buf_str(&b), "{ 'a b' = \"q\\\"\\\\\\u000A\", list = [\"it's\", 'x'], "
                                         "yes = true, n = -5, none = {} }");
        json_decref(value);
}

static void positions_are_those_of_the_text(void **state)
{
        (void)state;
        static const char text[] = "a = 1 # x\n[t]\n  b.c = { d = [1, { e = 2 }], f = 'g' }\n";
        cleanup_toml_text struct toml_text t = {0};
        struct err e = {0};
        assert_int_equal(toml_text_scan(text, strlen(text), &t, &e), 0);
        static const char *const want[] = {
                "1", NULL, "{ d = [1, { e = 2 }], f = 'g' }", "[1, { e = 2 }]", "'g'"};
        assert_int_equal(t.count, sizeof(want) / sizeof(want[0]));
        for (size_t i = 0; i < t.count; i++) {
                const struct toml_item *item = &t.items[i];
                assert_int_equal(item->kind == TOML_HEADER, want[i] == NULL);
                if (want[i] == NULL)
                        continue;
                assert_int_equal(item->value_end - item->value_begin, strlen(want[i]));
                assert_memory_equal(text + item->value_begin, want[i], strlen(want[i]));
        }
        assert_int_equal(t.items[2].table_depth, 1);
        assert_int_equal(t.items[2].path.count, 3);
        assert_string_equal(t.items[4].path.items[3], "f");
        assert_int_equal(t.items[4].parent, 2);
        assert_int_equal(toml_text_next(&t, 2), t.count);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(removing_takes_the_whole_of_a_table_and_nothing_else),
                cmocka_unit_test(setting_finds_the_place_and_the_looks),
                cmocka_unit_test(what_cannot_be_changed_is_refused),
                cmocka_unit_test(values_are_written_as_toml),
                cmocka_unit_test(positions_are_those_of_the_text),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

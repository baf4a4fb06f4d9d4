/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "base/buf.h"
#include "ctl/yaml.h"

static char *dumped(const char *text, size_t size)
{
        json_t *values = NULL;
        struct err e = {0};
        if (yaml_parse(text, size, "f", &values, NULL, &e) < 0) {
                assert_null(values);
                return mem_strdup(e.msg);
        }
        char *dump = json_dumps(values, JSON_COMPACT);
        char *copy = mem_strdup(dump);
        free(dump);
        json_decref(values);
        return copy;
}

static void values_and_refusals(void **state)
{
        (void)state;
        static const struct {
                const char *text, *expected;
        } cases[] = {
                {"", "[]"},
                {"a: 1\n", "[{\"a\":1}]"},
                {"\xef\xbb\xbf"
                 "a: x\n",
                        "[{\"a\":\"x\"}]"},
                {"a: \"1\"\nb: '2'\nc: 03\nd: -4\n",
                        "[{\"a\":\"1\",\"b\":\"2\",\"c\":\"03\",\"d\":-4}]"},
                {"a: true\nb: False\nc: ~\nd:\ne: yes\n",
                        "[{\"a\":true,\"b\":false,\"c\":null,\"d\":null,\"e\":\"yes\"}]"},
                {"- 1\n- [a, {b: c}]\n- |\n  t\n  u\n", "[[1,[\"a\",{\"b\":\"c\"}],\"t\\nu\\n\"]]"},
                {"a: 1\n---\nb: 2\n...\n---\nc\n", "[{\"a\":1},{\"b\":2},\"c\"]"},
                {"a: &x [1, 2]\nb: *x\n", "[{\"a\":[1,2],\"b\":[1,2]}]"},
                {"a: !!str 1\n", "[{\"a\":\"1\"}]"},
                {"a: &x 1\n---\nb: *x\n", "f:3:4: an alias of what is not known, or not whole yet"},
                {"a: &x [*x]\n", "f:1:8: an alias of what is not known, or not whole yet"},
                {"a: 1\na: 2\n", "f:2:1: a key that was there before"},
                {"? [a]\n: b\n", "f:1:3: a key that is no text"},
                {"\"a\\0b\": 1\n", "f:1:1: a key that is no text"},
                {"a: [1\n", "f:2:1: did not find expected ',' or ']'"},
                {"a: \xff\n", "f:1:1: invalid leading UTF-8 octet"},
                {"\tb: 1\n", "f:1:1: found character that cannot start any token"},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_free char *got = dumped(cases[i].text, strlen(cases[i].text));
                assert_string_equal(got, cases[i].expected);
        }
}

static void lines_of_keys(void **state)
{
        (void)state;
        static const char text[] =
                "# first\nkind: X\nlist:\n- a\n- b: 1\n  c: 2\nmap:\n  d:\n    e\n";
        json_t *values = NULL;
        json_t *lines = NULL;
        struct err e;
        assert_int_equal(yaml_parse(text, strlen(text), "f", &values, &lines, &e), 0);
        char *dump = json_dumps(lines, JSON_COMPACT);
        assert_string_equal(dump, "[{\"kind\":[2,null],\"list\":[3,[[4,null],[5,{\"b\":[5,null],"
                                  "\"c\":[6,null]}]]],\"map\":[7,{\"d\":[8,null]}]}]");
        free(dump);
        json_decref(values);
        json_decref(lines);
}

/* Ten aliases of ten aliases of ...: each text is small, what it says is not. */
static void texts_that_say_more_than_they_are(void **state)
{
        (void)state;
        cleanup_buf struct buf b;
        buf_init(&b, 1 << 20);
        buf_puts(&b, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for (int i = 1; i < 10; i++) {
                buf_printf(&b, "a%d: &a%d [", i, i);
                for (int k = 0; k < 10; k++)
                        buf_printf(&b, "%s*a%d", k > 0 ? "," : "", i - 1);
                buf_puts(&b, "]\n");
        }
        cleanup_free char *got = dumped(b.data, b.size);
        assert_non_null(strstr(got, ": more than 100000 values in one document"));
        buf_reset(&b);
        for (int i = 0; i < 65; i++)
                buf_puts(&b, "[");
        cleanup_free char *deep = dumped(b.data, b.size);
        assert_string_equal(deep, "f:1:65: more than 64 levels deep");
}

struct seen {
        const char *text;
        struct buf *out;
};

static int keep(void *arg, const struct yaml_event *v, struct err *e)
{
        const struct seen *s = arg;
        (void)e;
        if (v->kind == YAML_SCALAR)
                buf_printf(s->out, "<%.*s>", (int)(v->end.offset - v->start.offset),
                        s->text + v->start.offset);
        return 0;
}

/* What pin rests on: the bytes of a scalar are those between its places. */
static void places_in_bytes(void **state)
{
        (void)state;
        static const char text[] = "\xef\xbb\xbf# \xc3\xbc\nimage: \"\xe6\x97\xa5:1\" # "
                                   "\xc3\xbc\nb: caf\xc3\xa9:2\nc: "
                                   "'x'\n";
        cleanup_buf struct buf b;
        buf_init(&b, 4096);
        struct seen s = {text, &b};
        struct err e;
        assert_int_equal(yaml_walk(text, strlen(text), "f", keep, &s, &e), 0);
        assert_string_equal(buf_str(&b), "<image><\"\xe6\x97\xa5:1\"><b><caf\xc3\xa9:2><c><'x'>");
}

static int refuse(void *arg, const struct yaml_event *v, struct err *e)
{
        (void)arg;
        return v->kind == YAML_SCALAR ? err_set(e, ERR_INVALID, "enough") : 0;
}

static void who_takes_events_may_end_the_walk(void **state)
{
        (void)state;
        struct err e;
        assert_int_equal(yaml_walk("a: 1\n", 5, "f", refuse, NULL, &e), -1);
        assert_string_equal(e.msg, "enough");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(values_and_refusals),
                cmocka_unit_test(lines_of_keys),
                cmocka_unit_test(texts_that_say_more_than_they_are),
                cmocka_unit_test(places_in_bytes),
                cmocka_unit_test(who_takes_events_may_end_the_walk),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

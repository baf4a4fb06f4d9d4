/* SPDX-License-Identifier: Apache-2.0 */
/* shelf.c: things in order, found, taken and bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>
#include <stdio.h>

#include "base/mem.h"
#include "shim/shelf.h"

struct thing {
        char *name;
        bool goes;
};

static size_t freed;

static void free_thing(void *thing)
{
        struct thing *t = thing;
        freed++;
        free(t->name);
        free(t);
}

static struct thing *make(const char *name)
{
        struct thing *t = mem_zalloc(sizeof(*t));
        t->name = mem_strdup(name);
        return t;
}

static void in_any_order_and_found(void **state)
{
        (void)state;
        struct shelf s = {0};
        char name[16];
        for (int i = 0; i < 1000; i++) { /* 7 and 1000 share no factor: each number once */
                snprintf(name, sizeof(name), "%04d", i * 7 % 1000);
                assert_true(shelf_put(&s, make(name), 1000));
        }
        for (int i = 0; i < 1000; i++) {
                snprintf(name, sizeof(name), "%04d", i);
                assert_string_equal(((struct thing *)s.things[i])->name, name);
                assert_ptr_equal(shelf_find(&s, name), s.things[i]);
        }
        assert_null(shelf_find(&s, "0500x"));
        assert_null(shelf_find(&s, ""));
        freed = 0;
        shelf_fini(&s, free_thing);
        assert_int_equal(freed, 1000);
}

static void no_more_than_there_is_room_for(void **state)
{
        (void)state;
        struct shelf s = {0};
        struct thing *third = make("c");
        assert_true(shelf_put(&s, make("a"), 2));
        assert_true(shelf_put(&s, make("b"), 2));
        assert_false(shelf_put(&s, third, 2));
        free_thing(shelf_take(&s, "a"));
        assert_true(shelf_put(&s, third, 2));
        assert_null(shelf_take(&s, "a"));
        shelf_fini(&s, free_thing);
}

static void a_walk_survives_changes(void **state)
{
        (void)state;
        struct shelf s = {0};
        assert_null(shelf_after(&s, NULL));
        for (const char *n = "bdf"; *n != '\0'; n++)
                assert_true(shelf_put(&s, make((char[]){*n, '\0'}), 9));
        assert_string_equal(((struct thing *)shelf_after(&s, NULL))->name, "b");
        free_thing(shelf_take(&s, "b"));
        assert_string_equal(((struct thing *)shelf_after(&s, "b"))->name, "d");
        assert_string_equal(((struct thing *)shelf_after(&s, "d"))->name, "f");
        assert_null(shelf_after(&s, "f"));
        shelf_fini(&s, free_thing);
}

static bool goes(void *arg, void *thing)
{
        (void)arg;
        return ((struct thing *)thing)->goes;
}

static void weeded(void **state)
{
        (void)state;
        struct shelf s = {0};
        for (const char *n = "abcd"; *n != '\0'; n++) {
                struct thing *t = make((char[]){*n, '\0'});
                t->goes = *n == 'a' || *n == 'c';
                assert_true(shelf_put(&s, t, 9));
        }
        freed = 0;
        shelf_weed(&s, goes, NULL, free_thing);
        assert_int_equal(freed, 2);
        assert_int_equal(s.count, 2);
        assert_non_null(shelf_find(&s, "b"));
        assert_non_null(shelf_find(&s, "d"));
        shelf_fini(&s, free_thing);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(in_any_order_and_found),
                cmocka_unit_test(no_more_than_there_is_room_for),
                cmocka_unit_test(a_walk_survives_changes),
                cmocka_unit_test(weeded),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

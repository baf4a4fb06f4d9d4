/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/mem.h"
#include "relay/body.h"

enum { NO_WAIT = 0, LONG_MS = 60 * 1000 };

static struct body *must(struct body_room *r, size_t size, int64_t wait_ms)
{
        struct err e;
        struct body *b = body_new(r, size, wait_ms, &e);
        if (b == NULL)
                fail_msg("%s", e.msg);
        return b;
}

static void assert_no_room(struct body_room *r, size_t size)
{
        struct err e;
        assert_null(body_new(r, size, NO_WAIT, &e));
        assert_int_equal(e.code, ERR_TIMEOUT);
        cleanup_free char *wanted = mem_printf(
                "no memory for %zu bytes: too many manifests and small blobs are under way", size);
        assert_string_equal(e.msg, wanted);
}

static void all_of_it_is_bounded(void **state)
{
        (void)state;
        struct body_room *r = body_room_new();
        struct body *first = must(r, BODY_MANIFEST_MAX_BYTES, NO_WAIT);
        struct body *second = must(r, BODY_MANIFEST_MAX_BYTES, NO_WAIT);
        assert_no_room(r, 1);
        struct body *nothing = must(r, 0, NO_WAIT);
        body_put(nothing);
        body_put(first);
        first = must(r, BODY_MANIFEST_MAX_BYTES - 1, NO_WAIT);
        assert_no_room(r, 2);
        struct body *last = must(r, 1, NO_WAIT);
        memset(first->data, 'x', first->size);
        assert_int_equal(first->size, BODY_MANIFEST_MAX_BYTES - 1);
        body_put(first);
        body_put(second);
        body_put(last);
        body_put(NULL);
        body_room_free(r);
        body_room_free(NULL);
}

/* The last reference gives the room back, not the first. */
static void references(void **state)
{
        (void)state;
        struct body_room *r = body_room_new();
        struct body *b = must(r, BODY_ALL_MAX_BYTES, NO_WAIT);
        b->content_type = mem_strdup("a/b");
        assert_ptr_equal(body_share(b), b);
        body_put(b);
        assert_no_room(r, 1);
        assert_string_equal(b->content_type, "a/b");
        body_put(b);
        body_put(must(r, BODY_ALL_MAX_BYTES, NO_WAIT));
        body_room_free(r);
}

struct waiter {
        struct body_room *room;
        pthread_t thread;
        size_t size;
        atomic_bool begun;
        struct body *got;
};

static void *wait_for_room(void *arg)
{
        struct waiter *w = arg;
        struct err e;
        atomic_store(&w->begun, true);
        w->got = body_new(w->room, w->size, LONG_MS, &e);
        return NULL;
}

static void who_waits_gets_what_others_give_back(void **state)
{
        (void)state;
        enum { WAITERS = 4 };
        struct body_room *r = body_room_new();
        struct body *all = must(r, BODY_ALL_MAX_BYTES, NO_WAIT);
        struct waiter waiters[WAITERS];
        for (size_t i = 0; i < WAITERS; i++) {
                waiters[i] = (struct waiter){
                        .room = r, .size = BODY_ALL_MAX_BYTES / WAITERS, .got = NULL};
                pthread_create(&waiters[i].thread, NULL, wait_for_room, &waiters[i]);
                while (!atomic_load(&waiters[i].begun))
                        sched_yield();
        }
        body_put(all);
        for (size_t i = 0; i < WAITERS; i++) {
                pthread_join(waiters[i].thread, NULL);
                assert_non_null(waiters[i].got);
        }
        assert_no_room(r, 1);
        for (size_t i = 0; i < WAITERS; i++)
                body_put(waiters[i].got);
        body_room_free(r);
}

static void who_waits_in_vain_is_told(void **state)
{
        (void)state;
        struct body_room *r = body_room_new();
        struct err e;
        struct body *all = must(r, BODY_ALL_MAX_BYTES, NO_WAIT);
        assert_null(body_new(r, 1, 20, &e));
        assert_int_equal(e.code, ERR_TIMEOUT);
        body_put(all);
        body_room_free(r);
}

/* What grants keep leaves room for what is under way, always. */
static void only_half_may_be_kept(void **state)
{
        (void)state;
        struct body_room *r = body_room_new();
        struct body *kept = must(r, BODY_KEPT_MAX_BYTES - 1, NO_WAIT);
        struct body *other = must(r, 2, NO_WAIT);
        struct body *byte = must(r, 1, NO_WAIT);
        assert_true(body_keep(kept));
        assert_false(body_keep(other));
        assert_true(body_keep(byte));
        body_unkeep(byte);
        body_unkeep(kept);
        assert_true(body_keep(other));
        body_unkeep(other);
        body_put(kept);
        body_put(other);
        body_put(byte);
        body_room_free(r);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(all_of_it_is_bounded),
                cmocka_unit_test(references),
                cmocka_unit_test(who_waits_gets_what_others_give_back),
                cmocka_unit_test(who_waits_in_vain_is_told),
                cmocka_unit_test(only_half_may_be_kept),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

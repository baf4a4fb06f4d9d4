/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>

#include "relay/progress.h"

#define MIRROR "http://10.0.0.1:5000"

static void digest_no(size_t number, char out[DIGEST_SHA256_SIZE + 1])
{
        snprintf(out, DIGEST_SHA256_SIZE + 1, "sha256:%064zu", number);
}

struct seen {
        size_t count;
        struct progress_content last;
        struct progress_source source;
};

static void see_content(void *arg, const struct progress_content *c)
{
        struct seen *s = arg;
        s->count++;
        memcpy(&s->last, c, sizeof(s->last));
}

static void see_source(void *arg, const struct progress_source *c)
{
        struct seen *s = arg;
        s->count++;
        s->source = *c;
}

static struct seen contents_of(struct progress *p)
{
        struct seen s = {0};
        progress_each_content(p, see_content, &s);
        return s;
}

static struct seen sources_of(struct progress *p)
{
        struct seen s = {0};
        progress_each_source(p, see_source, &s);
        return s;
}

static void a_content_from_first_to_last(void **state)
{
        (void)state;
        char digest[DIGEST_SHA256_SIZE + 1];
        digest_no(1, digest);
        cleanup_progress struct progress *p = progress_new();
        struct progress_content *c = progress_content(p, REGISTRY_BLOB, digest);
        assert_ptr_equal(progress_content(p, REGISTRY_BLOB, digest), c);
        struct seen s = contents_of(p);
        assert_int_equal(s.count, 1);
        assert_string_equal(s.last.digest, digest);
        assert_int_equal(s.last.kind, REGISTRY_BLOB);
        assert_int_equal(s.last.size_bytes, -1);
        assert_int_equal(s.last.sent_bytes, 0);
        assert_null(s.last.source);
        progress_size(c, 1000);
        progress_size(c, -1); /* no news */
        progress_feeds(p, c, MIRROR);
        progress_sent(c, 300);
        progress_left(p, c, MIRROR, "it broke");
        progress_left(p, c, MIRROR, "it broke");
        progress_feeds(p, c, "ghcr.io");
        s = contents_of(p);
        assert_int_equal(s.last.size_bytes, 1000);
        assert_int_equal(s.last.sent_bytes, 300);
        assert_string_equal(s.last.source, "ghcr.io");
        assert_int_equal(s.last.left_count, 1);
        assert_string_equal(s.last.left[0].source, MIRROR);
        assert_string_equal(s.last.left[0].error, "it broke");
}

static void nobody_watches(void **state)
{
        (void)state;
        char digest[DIGEST_SHA256_SIZE + 1];
        digest_no(1, digest);
        assert_null(progress_content(NULL, REGISTRY_BLOB, digest));
        progress_size(NULL, 1);
        progress_sent(NULL, 1);
        progress_feeds(NULL, NULL, MIRROR);
        progress_left(NULL, NULL, MIRROR, "it broke");
        progress_gave(NULL, MIRROR, true, 1);
        progress_put(NULL);
}

static void it_is_bounded(void **state)
{
        (void)state;
        char digest[DIGEST_SHA256_SIZE + 1];
        cleanup_progress struct progress *p = progress_new();
        for (size_t i = 0; i < 2 * PROGRESS_CONTENTS_MAX; i++) {
                digest_no(i, digest);
                struct progress_content *c = progress_content(p, REGISTRY_BLOB, digest);
                assert_int_equal(c != NULL, i < PROGRESS_CONTENTS_MAX);
                progress_sent(c, 5);
        }
        digest_no(0, digest);
        struct progress_content *first = progress_content(p, REGISTRY_BLOB, digest);
        char error[2 * PROGRESS_ERROR_BYTES];
        for (size_t i = 0; i < 2 * PROGRESS_LEFT_MAX; i++) {
                snprintf(error, sizeof(error), "%zu %0*d", i, 2 * PROGRESS_ERROR_BYTES - 10, 0);
                progress_left(p, first, MIRROR, error);
                progress_left(p, first, MIRROR, error); /* the same, though it was cut */
        }
        assert_int_equal(contents_of(p).count, PROGRESS_CONTENTS_MAX);
        assert_int_equal(first->left_count, PROGRESS_LEFT_MAX);
        assert_int_equal(strlen(first->left[0].error), PROGRESS_ERROR_BYTES - 1);
        for (size_t i = 0; i < 2 * PROGRESS_SOURCES_MAX; i++) {
                snprintf(error, sizeof(error), "source %zu", i);
                progress_gave(p, error, true, 1);
        }
        assert_int_equal(sources_of(p).count, PROGRESS_SOURCES_MAX);
}

static void bytes_of_all_tries(void **state)
{
        (void)state;
        cleanup_progress struct progress *p = progress_new();
        progress_gave(p, "ghcr.io", false, 0); /* gave nothing */
        assert_int_equal(sources_of(p).count, 0);
        progress_gave(p, MIRROR, true, 17);
        progress_gave(p, MIRROR, true, 4);
        struct seen s = sources_of(p);
        assert_int_equal(s.count, 1);
        assert_string_equal(s.source.name, MIRROR);
        assert_true(s.source.is_mirror);
        assert_int_equal(s.source.bytes, 21);
}

enum { THREADS = 4, ROUNDS = 2000 };

static void *work(void *arg)
{
        struct progress *p = arg;
        char digest[DIGEST_SHA256_SIZE + 1];
        for (size_t i = 0; i < ROUNDS; i++) {
                digest_no(i % 8, digest);
                struct progress_content *c = progress_content(p, REGISTRY_BLOB, digest);
                progress_size(c, ROUNDS);
                progress_feeds(p, c, i % 2 == 0 ? MIRROR : "ghcr.io");
                progress_sent(c, (int64_t)i);
                progress_left(p, c, MIRROR, "it broke");
                progress_gave(p, MIRROR, true, 1);
        }
        progress_put(p);
        return NULL;
}

static void read_all(void *arg, const struct progress_content *c)
{
        size_t *sum = arg;
        *sum += (size_t)c->sent_bytes + (c->source != NULL ? strlen(c->source) : 0);
}

static void many_write_and_one_reads(void **state)
{
        (void)state;
        cleanup_progress struct progress *p = progress_new();
        pthread_t threads[THREADS];
        for (size_t i = 0; i < THREADS; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, work, progress_share(p)), 0);
        size_t sum = 0;
        for (size_t i = 0; i < ROUNDS; i++)
                progress_each_content(p, read_all, &sum);
        for (size_t i = 0; i < THREADS; i++)
                pthread_join(threads[i], NULL);
        assert_int_equal(contents_of(p).count, 8);
        assert_int_equal(sources_of(p).source.bytes, THREADS * ROUNDS);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_content_from_first_to_last),
                cmocka_unit_test(nobody_watches),
                cmocka_unit_test(it_is_bounded),
                cmocka_unit_test(bytes_of_all_tries),
                cmocka_unit_test(many_write_and_one_reads),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

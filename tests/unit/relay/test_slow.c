/* SPDX-License-Identifier: Apache-2.0 */
/* feed.c and sources that crawl: left for another one, never for nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>

#include "tests/unit/relay/client.h"
#include "tests/unit/relay/kitchen.h"

/* Much slower than FEED_SLOWEST_BYTES_PER_S, for two stall_timeouts, but never silent for one. */
#define STALL_TIMEOUT "600ms"
enum { DRIP_BYTES = 100, TRICKLE_BYTES = 5, DRIP_MS = 20, DRIPS = 60, BEGINNING = 5000 };

/* Serves the large blob from its beginning, whatever it is asked: at once so far, then in drips,
 * and after these the rest. */
struct drip {
        int listener, port;
        size_t bytes; /* of a drip */
        int drips;
        const struct content *content;
        atomic_int asked;
        pthread_t thread;
};

static bool give(int fd, const char **from, size_t size)
{
        ssize_t n = send(fd, *from, size, MSG_NOSIGNAL);
        *from += size;
        return n == (ssize_t)size;
}

static void drip_serve(struct drip *d, int fd)
{
        char request[4096];
        const char *at = d->content->text;
        if (recv(fd, request, sizeof(request), 0) <= 0)
                return;
        atomic_fetch_add(&d->asked, 1);
        cleanup_free char *head =
                mem_printf("HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", d->content->size);
        client_puts(fd, head);
        bool reads = give(fd, &at, BEGINNING);
        for (int i = 0; reads && i < d->drips; i++) {
                poll(NULL, 0, DRIP_MS); /* this is what it is about */
                reads = give(fd, &at, d->bytes);
        }
        if (reads)
                give(fd, &at, d->content->size - BEGINNING - (size_t)d->drips * d->bytes);
        shutdown(fd, SHUT_WR);
        while (recv(fd, request, sizeof(request), 0) > 0)
                ;
}

static void *drip_main(void *arg)
{
        struct drip *d = arg;
        for (int fd; (fd = accept4(d->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0; close(fd))
                drip_serve(d, fd);
        return NULL;
}

static void drip_start(struct drip *d, const struct content *content)
{
        *d = (struct drip){.content = content, .bytes = DRIP_BYTES, .drips = DRIPS};
        d->listener = client_bound(&d->port);
        if (listen(d->listener, 8) < 0)
                client_die("listen");
        pthread_create(&d->thread, NULL, drip_main, d);
}

/* No connection to it may be open. */
static void drip_stop(struct drip *d)
{
        shutdown(d->listener, SHUT_RDWR);
        pthread_join(d->thread, NULL);
        close(d->listener);
}

static char *url_of(const struct drip *d)
{
        return mem_printf("[\"http://127.0.0.1:%d\"]", d->port);
}

static void who_crawls_is_left_for_another(void **state)
{
        struct meal m;
        struct drip d;
        struct kitchen *k = *state;
        drip_start(&d, &k->large);
        cleanup_free char *mirrors = url_of(&d);
        meal_begin(&m, k, mirrors);
        meal_expect(&m, &k->large);
        assert_int_equal(atomic_load(&d.asked), 1);
        assert_false(meal_is_up(&m, 1));
        uint64_t slowly = grant_bytes_of(m.grant, 0);
        assert_true(slowly >= BEGINNING && slowly < BEGINNING + DRIPS * DRIP_BYTES);
        assert_int_equal(grant_bytes_of(m.grant, 1), LARGE_BYTES - slowly);
        cleanup_free char *rest = mem_printf("GET blobs bytes=%d-\n", (int)slowly);
        meal_expect_story(&m, "", "", rest);
        cleanup_free char *failures = grant_failures_text(m.grant);
        assert_non_null(strstr(failures, ": too slow: "));
        cleanup_free char *log = meal_end(&m);
        assert_int_equal(capture_count(log, "mirror went down"), 1);
        drip_stop(&d);
}

/* Nobody else has it: then it is good enough after all. */
static void who_crawls_is_asked_again_where_all_others_fail(void **state)
{
        struct meal m;
        struct drip d;
        struct kitchen *k = *state;
        drip_start(&d, &k->large);
        cleanup_free char *mirrors = url_of(&d);
        meal_begin(&m, k, mirrors);
        fake_rules(&k->home, "[{\"status\": 404}]");
        meal_expect(&m, &k->large);
        assert_int_equal(atomic_load(&d.asked), 2);
        assert_int_equal(grant_bytes_of(m.grant, 0), LARGE_BYTES);
        meal_end_silently(&m);
        drip_stop(&d);
}

static void the_last_one_is_never_left_for_slowness(void **state)
{
        struct meal m;
        struct drip d;
        struct kitchen *k = *state;
        drip_start(&d, &k->large);
        int port = k->home.port;
        k->home.port = d.port; /* of the configuration */
        struct config *config = meal_config(k, "[]");
        k->home.port = port;
        meal_begin(&m, k, "[]");
        config_put(m.config);
        m.config = config;
        grant_revoke(m.grants, m.grant);
        grant_put(m.grant);
        m.grant = meal_grant(&m);
        meal_expect(&m, &k->large);
        assert_int_equal(atomic_load(&d.asked), 1);
        meal_expect_failures(&m, "");
        meal_end_silently(&m);
        drip_stop(&d);
}

/* A trickle is as good as silence, whoever it is. */
static void who_trickles_is_left_for_nobody(void **state)
{
        struct meal m;
        struct drip d;
        struct kitchen *k = *state;
        drip_start(&d, &k->large);
        d.bytes = TRICKLE_BYTES;
        d.drips = 3 * DRIPS;
        cleanup_free char *mirrors = url_of(&d);
        meal_begin(&m, k, mirrors);
        fake_rules(&k->home, "[{\"status\": 404}]");
        meal_expect_cut(&m, &k->large);
        assert_int_equal(atomic_load(&d.asked), 2); /* slow at first, then silent */
        cleanup_free char *failures = grant_failures_text(m.grant);
        assert_non_null(strstr(failures, ": too slow: "));
        spoilt_unlock(m.parts.spoilt, k->large.digest);
        meal_end_silently(&m);
        drip_stop(&d);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(who_crawls_is_left_for_another),
                cmocka_unit_test(who_crawls_is_asked_again_where_all_others_fail),
                cmocka_unit_test(the_last_one_is_never_left_for_slowness),
                cmocka_unit_test(who_trickles_is_left_for_nobody),
        };
        meal_stall_timeout = STALL_TIMEOUT;
        return cmocka_run_group_tests(tests, kitchen_open, kitchen_close);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "base/buf.h"
#include "resolver/route.h"
#include "tests/unit/config/scratch.h"

static const char text[] = "[resolve]\n"
                           "timeout = \"4s\"\n"
                           "token_reuse = \"30s\"\n"
                           "[relay]\n"
                           "connect_timeout = \"1200ms\"\n"
                           "first_byte_timeout = \"9s\"\n"
                           "stall_timeout = \"8s\"\n"
                           "[upstream.default]\n"
                           "mirrors = [\"http://127.0.0.1:5000\"]\n"
                           "[upstream.\"ghcr.io\"]\n"
                           "server = \"http://127.0.0.1:5555\"\n"
                           "mirrors = [\"http://127.0.0.1:5010\", \"https://h.example/ghcr\"]\n"
                           "[upstream.\"quay.io\"]\n"
                           "mirrors = []\n"
                           "[upstream.\"gcr.io\"]\n"
                           "server = \"https://gcr.example\"\n"
                           "[upstream.\"empty.example\"]\n"
                           "[mirror.\"https://h.example/ghcr\"]\n"
                           "skip_verify = true\n"
                           "headers = { X-Team = \"platform\" }\n";

struct place {
        struct scratch *scratch;
        struct config *config;
        struct health *health;
};

/* "name=base_url!" per source; the mark is for those with a breaker, which is this entry's. */
static char *describe(struct health *h, const struct route *r, const char *entry)
{
        cleanup_buf struct buf b;
        buf_init(&b, 4096);
        for (size_t i = 0; i < r->count; i++) {
                const struct source *s = &r->sources[i];
                buf_printf(&b, "%s%s=%s%s", i > 0 ? " " : "", s->name, s->access->base_url,
                        s->mirror != NULL ? "!" : "");
                if (s->mirror != NULL)
                        assert_ptr_equal(s->mirror, health_mirror(h, s->name, entry));
        }
        return mem_strdup(buf_str(&b));
}

static const struct {
        const char *host, *entry, *sources;
} routes[] = {
        {"ghcr.io", "ghcr.io",
                "http://127.0.0.1:5010=http://127.0.0.1:5010/v2! "
                "https://h.example/ghcr=https://h.example/ghcr/v2! "
                "ghcr.io=http://127.0.0.1:5555/v2"},
        {"quay.io", "quay.io", "quay.io=https://quay.io/v2"},
        {"gcr.io", "gcr.io",
                "http://127.0.0.1:5000=http://127.0.0.1:5000/v2! gcr.io=https://gcr.example/v2"},
        {"docker.io", "",
                "http://127.0.0.1:5000=http://127.0.0.1:5000/v2! "
                "docker.io=https://registry-1.docker.io/v2"},
        {"empty.example", "empty.example",
                "http://127.0.0.1:5000=http://127.0.0.1:5000/v2! "
                "empty.example=https://empty.example/v2"},
        {"pod.example:5000", "",
                "http://127.0.0.1:5000=http://127.0.0.1:5000/v2! "
                "pod.example:5000=https://pod.example:5000/v2"},
        {"GCR.io", "gcr.io",
                "http://127.0.0.1:5000=http://127.0.0.1:5000/v2! "
                "GCR.io=https://gcr.example/v2"},
};

static void mirrors_come_before_their_upstream(void **state)
{
        struct place *p = *state;
        for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
                struct err e;
                cleanup_route struct route *r = NULL;
                if (route_new(p->health, p->config, routes[i].host, &r, &e) < 0)
                        fail_msg("%s: %s", routes[i].host, e.msg);
                cleanup_free char *sources = describe(p->health, r, routes[i].entry);
                assert_string_equal(sources, routes[i].sources);
        }
}

static struct mirror *first_mirror(struct place *p, const char *host)
{
        struct err e;
        cleanup_route struct route *r = NULL;
        if (route_new(p->health, p->config, host, &r, &e) < 0)
                fail_msg("%s: %s", host, e.msg);
        return r->sources[0].mirror;
}

/* All hosts without an entry are one; who inherits the same mirror by an entry is another. */
static void a_mirror_is_told_apart_by_entry(void **state)
{
        struct place *p = *state;
        struct mirror *shared = first_mirror(p, "pod.example:5000");
        struct mirror *own = first_mirror(p, "gcr.io");
        assert_ptr_equal(first_mirror(p, "docker.io"), shared);
        assert_ptr_not_equal(own, shared);
        mirror_quarantine(shared, "sha256:aa");
        assert_true(mirror_quarantined(first_mirror(p, "other.example"), "sha256:aa"));
        assert_false(mirror_quarantined(own, "sha256:aa"));
}

static void all_of_it_outlives_the_configuration(void **state)
{
        struct place *p = *state;
        struct err e;
        cleanup_route struct route *r = NULL;
        cleanup_free char *host = mem_strdup("ghcr.io");
        assert_int_equal(route_new(p->health, p->config, host, &r, &e), 0);
        config_put(p->config);
        p->config = NULL;
        memset(host, 'x', strlen(host));
        cleanup_free char *sources = describe(p->health, r, "ghcr.io");
        assert_string_equal(sources, routes[0].sources);
        const struct upstream *mirror = r->sources[1].access;
        assert_true(mirror->skip_verify);
        assert_int_equal(mirror->header_count, 1);
        assert_string_equal(mirror->headers[0].value, "platform");
        assert_int_equal(r->connect_timeout_ms, 1200);
        assert_int_equal(r->first_byte_timeout_ms, 9000);
        assert_int_equal(r->stall_timeout_ms, 8000);
        assert_int_equal(r->resolve_timeout_ms, 4000);
        assert_int_equal(r->token_reuse_ms, 30000);
}

/* Where containerd's own configuration of the host cannot be read, so cannot we. */
static void an_upstream_that_cannot_be_told_is_an_error(void **state)
{
        struct place *p = *state;
        cleanup_free char *broken = /* a folder in the file's place */
                scratch_write(p->scratch, "certs.d/broken.example/hosts.toml/x", "");
        assert_non_null(broken);
        struct err e = {0};
        struct route *r = (struct route *)p; /* must be overwritten */
        assert_int_equal(route_new(p->health, p->config, "broken.example", &r, &e), -1);
        assert_int_equal(e.code, ERR_CONFIG);
        assert_null(r);
        route_free(r);
}

static int setup(void **state)
{
        struct place *p = mem_zalloc(sizeof(*p));
        *state = p;
        scratch_setup((void **)&p->scratch);
        cleanup_free char *all =
                mem_printf("[shim]\ncerts_dir = \"%s/certs.d\"\n%s", p->scratch->path, text);
        cleanup_free char *path = scratch_write(p->scratch, "c.toml", all);
        struct err e;
        if (config_load(path, &p->config, &e) < 0)
                fail_msg("%s", e.msg);
        p->health = health_new(NULL, NULL);
        return 0;
}

static int teardown(void **state)
{
        struct place *p = *state;
        health_free(p->health);
        config_put(p->config);
        scratch_teardown((void **)&p->scratch);
        free(p);
        return 0;
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(mirrors_come_before_their_upstream),
                TEST(a_mirror_is_told_apart_by_entry),
                TEST(all_of_it_outlives_the_configuration),
                TEST(an_upstream_that_cannot_be_told_is_an_error),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

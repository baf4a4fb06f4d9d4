/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "tests/unit/resolver/fake.h"

static struct fake proxy;

/* A pool under the given environment, which then is empty again. */
static struct http_pool *pool_with(const char *name, const char *no_proxy)
{
        cleanup_free char *address = mem_printf("http://127.0.0.1:%d", proxy.port);
        setenv(name, address, 1);
        setenv("NO_PROXY", no_proxy, 1);
        struct http_pool *pool = http_pool_new();
        unsetenv(name);
        unsetenv("NO_PROXY");
        return pool;
}

static int get(struct http_pool *pool, const char *url, int *status, struct err *e)
{
        struct http_request q = {.url = url, .max_body_bytes = 1000, .timeout_ms = 5000};
        struct http_response r;
        if (http_do(pool, &q, &r, e) < 0)
                return -1;
        *status = r.status;
        http_response_fini(&r);
        return 0;
}

/* Names that nobody can look up reach the proxy in absolute form. */
static void invented_names(void **state)
{
        (void)state;
        fake_reset(&proxy);
        struct http_pool *pool = pool_with("HTTP_PROXY", "");
        struct err e;
        int status;
        assert_int_equal(get(pool, "http://registry.invented.test:5000/v2/?a=b", &status, &e), 0);
        assert_int_equal(status, 200);
        json_t *log = fake_log(&proxy);
        const json_t *entry = json_array_get(log, 0);
        assert_string_equal(json_string_value(json_object_get(entry, "url")),
                "http://registry.invented.test:5000/v2/?a=b");
        assert_string_equal(
                json_string_value(json_object_get(entry, "host")), "registry.invented.test:5000");
        json_decref(log);
        http_pool_free(pool);
}

static void loopback_goes_directly(void **state)
{
        (void)state;
        fake_reset(&proxy);
        struct http_pool *pool = pool_with("http_proxy", "");
        cleanup_free char *url = mem_printf("http://127.0.0.1:%d/v2/", proxy.port);
        struct err e;
        int status;
        assert_int_equal(get(pool, url, &status, &e), 0);
        json_t *log = fake_log(&proxy);
        assert_true(json_is_false(json_object_get(json_array_get(log, 0), "proxied")));
        json_decref(log);
        http_pool_free(pool);
}

/* curl's own reading of the environment is never asked, though it still holds NO_PROXY=*. */
static void the_pool_decides_alone(void **state)
{
        (void)state;
        fake_reset(&proxy);
        struct http_pool *pool = pool_with("HTTP_PROXY", "");
        setenv("no_proxy", "*", 1);
        struct err e;
        int status;
        assert_int_equal(get(pool, "http://registry.invented.test/v2/", &status, &e), 0);
        assert_int_equal(status, 200);
        unsetenv("no_proxy");
        http_pool_free(pool);
        pool = http_pool_new();
        cleanup_free char *address = mem_printf("http://127.0.0.1:%d", proxy.port);
        setenv("http_proxy", address, 1);
        assert_int_equal(get(pool, "http://127.0.0.2:1/v2/", &status, &e), -1);
        assert_string_equal(e.msg, "cannot connect to http://127.0.0.2:1: Connection refused");
        unsetenv("http_proxy");
        http_pool_free(pool);
}

static void a_proxy_that_wants_credentials(void **state)
{
        (void)state;
        fake_reset(&proxy);
        fake_rules(&proxy, "[{\"status\": 407}]");
        struct http_pool *pool = pool_with("HTTP_PROXY", "");
        struct err e;
        int status;
        assert_int_equal(get(pool, "http://registry.invented.test/v2/", &status, &e), -1);
        assert_string_equal(
                e.msg, "the proxy for http://registry.invented.test wants other credentials");
        assert_int_equal(e.code, ERR_UNREACHABLE);
        const struct http_request q = {
                .url = "http://registry.invented.test/v2/", .timeout_ms = 5000};
        struct http_response r;
        struct http_stream *stream;
        assert_int_equal(http_open(pool, &q, &r, &stream, &e), -1);
        assert_string_equal(
                e.msg, "the proxy for http://registry.invented.test wants other credentials");
        assert_null(stream);
        http_pool_free(pool);
}

static void a_proxy_that_is_not_there(void **state)
{
        (void)state;
        setenv("HTTP_PROXY", "http://user:proxyword@127.0.0.1:1", 1);
        struct http_pool *pool = http_pool_new();
        unsetenv("HTTP_PROXY");
        struct err e;
        int status;
        assert_int_equal(get(pool, "http://registry.invented.test/v2/", &status, &e), -1);
        assert_string_equal(e.msg,
                "cannot connect to http://registry.invented.test through its proxy: Connection "
                "refused");
        assert_int_equal(e.code, ERR_UNREACHABLE);
        http_pool_free(pool);
}

/* Where a registry behind the proxy leads, asked for team/app:v1. Loopback takes no proxy. */
static void expect_refused(struct registry *registry, const char *what)
{
        const struct upstream upstream = {.host = (char *)"registry.invented.test",
                .base_url = (char *)"http://registry.invented.test/v2",
                .origin = (char *)"http://registry.invented.test"};
        const struct credentials anna = {.username = "anna", .password = "word"};
        const struct registry_query q = {.upstream = &upstream,
                .credentials = &anna,
                .repository = "team/app",
                .reference = "v1",
                .timeout_ms = 5000,
                .budget_ms = 10000};
        struct registry_answer a;
        struct err e = {0};
        assert_int_equal(registry_resolve(registry, &q, &a, &e), -1);
        cleanup_free char *wanted = mem_printf("%shttp://127.0.0.1:%d is refused: its address "
                                               "127.0.0.1 is local to this node, and the "
                                               "upstream's is not",
                what, proxy.port);
        assert_string_equal(e.msg, wanted);
        assert_int_equal(e.code, ERR_PROTOCOL);
        cleanup_free char *story = fake_story(&proxy);
        assert_string_equal(story, "HEAD /v2/team/app/manifests/v1 -\n");
}

static void a_registry_elsewhere_leads_nobody_to_this_node(void **state)
{
        (void)state;
        fake_reset(&proxy);
        cleanup_free char *address = mem_printf("http://127.0.0.1:%d", proxy.port);
        setenv("HTTP_PROXY", address, 1);
        struct registry *registry = registry_new();
        unsetenv("HTTP_PROXY");
        cleanup_free char *redirect = mem_printf("[{\"redirect\": \"%s/metadata\"}]", address);
        fake_rules(&proxy, redirect);
        expect_refused(registry, "");
        cleanup_free char *realm =
                mem_printf("[{\"status\": 401, \"headers\": {\"WWW-Authenticate\": "
                           "\"Bearer realm=\\\"%s/metadata\\\"\"}}]",
                        address);
        fake_rules(&proxy, realm);
        expect_refused(registry, "failed to authorize: failed to fetch oauth token: ");
        registry_free(registry);
}

/* Names count for nothing, and neither do connections that somebody else opened. */
static void local_addresses_are_refused_where_asked(void **state)
{
        (void)state;
        static const struct {
                const char *host, *address;
        } cases[] = {{"127.0.0.1", "127.0.0.1"}, {"127.0.0.2", "127.0.0.2"}, {"0.0.0.0", "0.0.0.0"},
                {"[::1]", "::1"}, {"[::ffff:127.0.0.1]", "::ffff:127.0.0.1"},
                {"127.1", "127.0.0.1"}};
        fake_reset(&proxy);
        struct http_pool *pool = pool_with("HTTP_PROXY", "0.0.0.0");
        cleanup_free char *open = mem_printf("http://127.0.0.1:%d/v2/", proxy.port);
        struct err e;
        int status;
        assert_int_equal(get(pool, open, &status, &e), 0);
        fake_order(&proxy, "DELETE", "log", "");
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_free char *origin = mem_printf("http://%s:%d", cases[i].host, proxy.port);
                struct http_request q = {.url = origin,
                        .refuse_local_addresses = true,
                        .max_body_bytes = 1000,
                        .timeout_ms = 5000};
                struct http_response r;
                if (http_do(pool, &q, &r, &e) == 0)
                        fail_msg("%s: asked", origin);
                cleanup_free char *wanted =
                        mem_printf(": its address %s is local to this node, and the upstream's is "
                                   "not",
                                cases[i].address);
                if (strstr(e.msg, wanted) == NULL)
                        fail_msg("%s: %s", origin, e.msg);
                assert_int_equal(e.code, ERR_PROTOCOL);
        }
        struct http_request named = {.url = "http://registry.invented.test/v2/",
                .refuse_local_addresses = true,
                .max_body_bytes = 1000,
                .timeout_ms = 5000};
        struct http_response r;
        if (http_do(pool, &named, &r, &e) < 0)
                fail_msg("%s", e.msg);
        http_response_fini(&r);
        cleanup_free char *story = fake_story(&proxy);
        assert_string_equal(story, "GET /v2/ -\n");
        http_pool_free(pool);
}

static int open_proxy(void **state)
{
        (void)state;
        static const char *const names[] = {"HTTP_PROXY", "http_proxy", "HTTPS_PROXY",
                "https_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"};
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                unsetenv(names[i]);
        fake_start(&proxy, NULL);
        return 0;
}

static int close_proxy(void **state)
{
        (void)state;
        fake_stop(&proxy);
        return 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(invented_names),
                cmocka_unit_test(loopback_goes_directly),
                cmocka_unit_test(the_pool_decides_alone),
                cmocka_unit_test(a_proxy_that_wants_credentials),
                cmocka_unit_test(a_proxy_that_is_not_there),
                cmocka_unit_test(a_registry_elsewhere_leads_nobody_to_this_node),
                cmocka_unit_test(local_addresses_are_refused_where_asked),
        };
        return cmocka_run_group_tests(tests, open_proxy, close_proxy);
}

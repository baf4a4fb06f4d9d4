/* SPDX-License-Identifier: Apache-2.0 */
/* A libcurl like RHEL 9's: what came after 7.76 is refused, all else is the real one's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include <curl/curl.h>
#include <dlfcn.h>
#include <openssl/x509_vfy.h>

#include "resolver/http_authorities.h"
#include "tests/unit/resolver/fake.h"

#undef curl_easy_setopt
#undef curl_easy_getinfo

static unsigned refused;

/* All values are one word wide. */
CURLcode curl_easy_setopt(CURL *easy, CURLoption option, ...)
{
        CURLcode (*real)(CURL *, CURLoption, ...);
        *(void **)&real = dlsym(RTLD_NEXT, "curl_easy_setopt");
        if (option == CURLOPT_CAINFO_BLOB || option == CURLOPT_PROTOCOLS_STR ||
                option == CURLOPT_QUICK_EXIT) {
                refused++;
                return CURLE_UNKNOWN_OPTION;
        }
        va_list values;
        va_start(values, option);
        void *value = va_arg(values, void *);
        va_end(values);
        return real(easy, option, value);
}

CURLcode curl_easy_getinfo(CURL *easy, CURLINFO info, ...)
{
        CURLcode (*real)(CURL *, CURLINFO, ...);
        *(void **)&real = dlsym(RTLD_NEXT, "curl_easy_getinfo");
        if (info == CURLINFO_CAINFO || info == CURLINFO_CAPATH) {
                refused++;
                return CURLE_UNKNOWN_OPTION;
        }
        va_list values;
        va_start(values, info);
        void *value = va_arg(values, void *);
        va_end(values);
        return real(easy, info, value);
}

static void the_systems_authorities_are_found(void **state)
{
        (void)state;
        unsetenv("SSL_CERT_FILE");
        refused = 0;
        struct http_authorities *all = http_authorities_new();
        assert_int_equal(refused, 2);
        X509_STORE *store = NULL;
        struct err e;
        assert_int_equal(http_authorities_get(all, NULL, 0, &store, &e), 0);
        assert_true(sk_X509_OBJECT_num(X509_STORE_get0_objects(store)) > 10);
        http_authorities_put(store);
        http_authorities_free(all);
}

/* Not passed over: the connection would trust the system's authorities instead of the given ones.
 */
static void a_proxy_by_tls_is_refused(void **state)
{
        (void)state;
        struct http_authorities *all = http_authorities_new();
        CURL *easy = curl_easy_init();
        struct err e;
        assert_int_equal(http_authorities_use_copy(all, easy, NULL, 0, &e), -1);
        assert_int_equal(e.code, ERR_CONFIG);
        assert_non_null(strstr(e.msg, "needs libcurl 7.77; this is "));
        curl_easy_cleanup(easy);
        http_authorities_free(all);
}

static int get(struct http_pool *pool, const char *url, struct err *e)
{
        struct http_request q = {.url = url, .max_body_bytes = 1000, .timeout_ms = 5000};
        struct http_response r;
        if (http_do(pool, &q, &r, e) < 0)
                return -1;
        int status = r.status;
        http_response_fini(&r);
        return status;
}

static void requests_are_made_all_the_same(void **state)
{
        (void)state;
        struct fake server;
        fake_start(&server, NULL);
        struct http_pool *pool = http_pool_new();
        cleanup_free char *url = mem_printf("http://127.0.0.1:%d/v2/", server.port);
        struct err e;
        refused = 0;
        assert_int_equal(get(pool, url, &e), 200);
        assert_int_equal(refused, 2);
        /* Without PROTOCOLS_STR it is we alone who know what a URL may be. */
        assert_int_equal(get(pool, "file:///etc/passwd", &e), -1);
        assert_int_equal(e.code, ERR_PROTOCOL);
        http_pool_free(pool);
        fake_stop(&server);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_systems_authorities_are_found),
                cmocka_unit_test(a_proxy_by_tls_is_refused),
                cmocka_unit_test(requests_are_made_all_the_same),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

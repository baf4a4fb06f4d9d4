/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "resolver/login.h"

/* Fields as containerd's own configuration holds them, used when the request brings nothing. */
static const struct {
        const char *username, *password, *identity_token, *auth;
        const char *want_username, *want_secret, *want_broken;
} own[] = {
        {NULL, NULL, NULL, NULL, "", "", NULL},
        {"u", "p", NULL, NULL, "u", "p", NULL},
        {"u", NULL, NULL, NULL, "u", "", NULL},
        {"u", "p", "t", "YTpi", "u", "p", NULL},
        {NULL, NULL, "t", "YTpi", "", "t", NULL},
        {NULL, NULL, NULL, "YTpi", "a", "b", NULL},
        {NULL, NULL, NULL, "no base64", "", "", "the field auth is not base64"},
        {NULL, NULL, NULL, "YWI=", "", "", "the decoded field auth is not <username>:<password>"},
};

static void requests_without_credentials_take_containerds(void **state)
{
        (void)state;
        for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
                const struct upstream u = {.host = (char *)"a.io",
                        .origin = (char *)"https://a.io",
                        .username = (char *)own[i].username,
                        .password = (char *)own[i].password,
                        .identity_token = (char *)own[i].identity_token,
                        .auth = (char *)own[i].auth};
                cleanup_login struct login l;
                login_init(&l, NULL, &u);
                assert_string_equal(l.username, own[i].want_username);
                assert_string_equal(l.secret, own[i].want_secret);
                assert_null(l.registry_token);
                assert_int_equal(l.broken != NULL, own[i].want_broken != NULL);
                if (l.broken != NULL)
                        assert_string_equal(l.broken, own[i].want_broken);
        }
}

/* Even where the request's are for another server: then it is asked without any. */
static void credentials_of_the_request_come_first(void **state)
{
        (void)state;
        const struct upstream u = {.host = (char *)"a.io",
                .origin = (char *)"https://a.io",
                .username = (char *)"ours",
                .password = (char *)"p"};
        const struct credentials theirs = {.username = "theirs", .password = "q"};
        cleanup_login struct login l;
        login_init(&l, &theirs, &u);
        assert_string_equal(l.username, "theirs");
        assert_string_equal(l.secret, "q");
        const struct credentials elsewhere = {
                .username = "theirs", .password = "q", .server_address = "https://b.io"};
        cleanup_login struct login other;
        login_init(&other, &elsewhere, &u);
        assert_string_equal(other.username, "");
        assert_string_equal(other.secret, "");
}

/* A mebibyte is more than any token has; what a request can hold besides is nobody's password. */
static void fields_are_bounded(void **state)
{
        (void)state;
        enum { LONGEST = 1 << 20 };
        cleanup_free char *longest = mem_zalloc(LONGEST + 2);
        memset(longest, 'a', LONGEST);
        const struct upstream u = {.host = (char *)"a.io", .origin = (char *)"https://a.io"};
        const char *c[6] = {0};
        for (size_t i = 0; i < 6; i++) {
                c[i] = longest;
                const struct credentials all = {c[0], c[1], c[2], NULL, c[4], c[5]};
                const struct credentials bound = {.username = "b", .server_address = c[3]};
                for (size_t size = LONGEST; size <= LONGEST + 1; size++) {
                        longest[LONGEST] = size == LONGEST ? '\0' : 'a';
                        cleanup_login struct login l;
                        login_init(&l, i == 3 ? &bound : &all, &u);
                        bool is_refused = l.broken != NULL &&
                                          strcmp(l.broken, "a field is longer than 1 MiB") == 0;
                        assert_int_equal(is_refused, size > LONGEST && i != 3);
                        if (is_refused) {
                                assert_string_equal(l.secret, "");
                                assert_null(l.registry_token);
                        }
                }
                c[i] = NULL;
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(requests_without_credentials_take_containerds),
                cmocka_unit_test(credentials_of_the_request_come_first),
                cmocka_unit_test(fields_are_bounded),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

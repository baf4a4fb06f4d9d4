/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration without its secrets, for those who may not read them, and the way to them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
/* cmocka wants those above first. */
#include <cmocka.h>

#include "config/trust.h"
#include "tests/unit/config/scratch.h"

#define MIRROR "https://m.io"

static const char text[] =
        "[upstream.\"a.io\"]\nserver = \"https://u.io\"\nmirrors = \"" MIRROR "\"\n"
        "headers = { X-Plain = \"seen\", X-Hidden = { file = \"@/header\" } }\n"
        "[mirror.\"" MIRROR "\"]\nclient_cert = \"@/cert.pem\"\nclient_key = \"@/key.pem\"\n"
        "credentials = \"@/cred\"\n";

static struct config *load_without_secrets(const struct scratch *s)
{
        free(scratch_write(s, "cert.pem", "-----BEGIN CERTIFICATE-----\n"));
        cleanup_free char *expanded = scratch_expand(s, text);
        cleanup_free char *path = scratch_write(s, "c.toml", expanded);
        struct config *c = NULL;
        struct err e;
        if (config_load_without_secrets(path, &c, &e) < 0)
                fail_msg("%s", e.msg);
        assert_int_equal(config_load(path, &(struct config *){NULL}, &e), -1);
        return c;
}

static void write_secrets(const struct scratch *s)
{
        cleanup_free char *credentials = scratch_write(s, "cred", "ann:secret\n");
        assert_int_equal(chmod(credentials, 0600), 0);
        free(scratch_write(s, "key.pem", "-----BEGIN PRIVATE KEY-----\n"));
        free(scratch_write(s, "header", "secret\n"));
}

static struct upstream *upstream_of(const struct config *c)
{
        struct upstream *u = NULL;
        struct err e;
        if (upstream_new(c, "a.io", &u, &e) < 0)
                fail_msg("%s", e.msg);
        return u;
}

/* No file with a secret is there at all, and all else arrives. */
static void nothing_is_opened(void **state)
{
        struct config *c = load_without_secrets(*state);
        cleanup_upstream struct upstream *mirror = upstream_new_mirror(c, MIRROR);
        cleanup_upstream struct upstream *u = upstream_of(c);
        cleanup_free char *key = scratch_expand(*state, "@/key.pem");
        config_put(c);
        assert_string_equal(mirror->client_key, key);
        assert_null(mirror->username);
        assert_string_equal(u->base_url, "https://u.io/v2");
        assert_int_equal(u->header_count, 2);
        assert_string_equal(u->headers[0].value, "seen");
        assert_string_equal(u->headers[1].name, "X-Hidden");
        assert_null(u->headers[1].value);
}

static void they_are_read_when_they_are_needed(void **state)
{
        struct config *c = load_without_secrets(*state);
        cleanup_upstream struct upstream *mirror = upstream_new_mirror(c, MIRROR);
        cleanup_upstream struct upstream *u = upstream_of(c);
        struct err e;
        config_put(c);
        write_secrets(*state);
        assert_int_equal(upstream_read_secrets(mirror, &e), 0);
        assert_string_equal(mirror->username, "ann");
        assert_string_equal(mirror->password, "secret");
        assert_int_equal(upstream_read_secrets(u, &e), 0);
        assert_string_equal(u->headers[1].value, "secret");
        assert_int_equal(upstream_read_secrets(u, &e), 0); /* nothing is left to do */
}

static void refuse(const struct scratch *s, struct upstream *u, const char *want)
{
        cleanup_free char *message = scratch_expand(s, want);
        struct err e = {0};
        assert_int_equal(upstream_read_secrets(u, &e), -1);
        assert_int_equal(e.code, ERR_CONFIG);
        assert_string_equal(e.msg, message);
}

static void what_is_wrong_with_them_is_said_then(void **state)
{
        const struct scratch *s = *state;
        struct config *c = load_without_secrets(s);
        cleanup_upstream struct upstream *mirror = upstream_new_mirror(c, MIRROR);
        cleanup_upstream struct upstream *u = upstream_of(c);
        config_put(c);
        refuse(s, mirror, "cannot read @/cred: No such file or directory");
        refuse(s, u, "header \"X-Hidden\": cannot read @/header: No such file or directory");
        write_secrets(s);
        free(scratch_write(s, "header", "sec\nret"));
        refuse(s, u, "header \"X-Hidden\": the value has control characters");
}

#define SCRATCH(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                SCRATCH(nothing_is_opened),
                SCRATCH(they_are_read_when_they_are_needed),
                SCRATCH(what_is_wrong_with_them_is_said_then),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

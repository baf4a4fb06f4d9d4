/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "base/buf.h"
#include "resolver/ref.h"

#define H32  "0123456789abcdef0123456789abcdef"
#define H63  H32 "0123456789abcdef0123456789abcde"
#define H64  H32 H32
#define T16  "tttttttttttttttt"
#define T128 T16 T16 T16 T16 T16 T16 T16 T16

struct good {
        const char *text, *normalised;
};

struct bad {
        const char *text;
        size_t size; /* NULs are characters too */
        const char *message;
};

#define CASE(s)         s, sizeof(s) - 1
#define NO_HOST         "the part before the first '/' is not a host"
#define NO_NAME         "the repository's name is empty"
#define NO_DIGEST       "what follows '@' is not <algorithm>:<hexadecimal>"
#define AN_ID           "64 hexadecimal digits are an ID, not a name"
#define UPPER_CASE      "the repository's name must be lower case"
#define NOT_HEXADECIMAL "the digest is not lower-case hexadecimal"
#define OTHER_ALGORITHM "the digest's algorithm is not sha256, sha384 or sha512"
#define COMPONENT(number)                                                                          \
        "component " number " of the repository's name is not letters and digits with one of "     \
        "'.', '_', '__' or dashes between"

/* What the reference implementation of the grammar (distribution/reference v0.6.0) gives. */
static const struct good good_cases[] = {
        /* familiar names */
        {"nginx", "docker.io/library/nginx:latest"},
        {"nginx:1.27", "docker.io/library/nginx:1.27"},
        {"n", "docker.io/library/n:latest"},
        {"0", "docker.io/library/0:latest"},
        {"library/nginx", "docker.io/library/nginx:latest"},
        {"bitnami/redis", "docker.io/bitnami/redis:latest"},
        {"bitnami/redis:7", "docker.io/bitnami/redis:7"},
        {"a/b/c", "docker.io/a/b/c:latest"},
        {"a/b/c:d", "docker.io/a/b/c:d"},
        {"library", "docker.io/library/library:latest"},
        {"docker.io", "docker.io/library/docker.io:latest"},
        {"localhost", "docker.io/library/localhost:latest"},
        {"ghcr.io", "docker.io/library/ghcr.io:latest"},
        {"example.com", "docker.io/library/example.com:latest"},
        {"localhost:5000", "docker.io/library/localhost:5000"},
        {"ghcr.io:443", "docker.io/library/ghcr.io:443"},
        {"docker.io:latest", "docker.io/library/docker.io:latest"},
        {"nginx:latest", "docker.io/library/nginx:latest"},
        {"nginx:x", "docker.io/library/nginx:x"},
        {"a.b", "docker.io/library/a.b:latest"},
        {"a_b", "docker.io/library/a_b:latest"},
        {"a__b", "docker.io/library/a__b:latest"},
        {"a-b", "docker.io/library/a-b:latest"},
        {"a--b", "docker.io/library/a--b:latest"},
        {"a-----b", "docker.io/library/a-----b:latest"},
        /* docker hub by its names */
        {"docker.io/nginx", "docker.io/library/nginx:latest"},
        {"docker.io/nginx:1", "docker.io/library/nginx:1"},
        {"docker.io/library/nginx", "docker.io/library/nginx:latest"},
        {"docker.io/bitnami/redis", "docker.io/bitnami/redis:latest"},
        {"index.docker.io/nginx", "docker.io/library/nginx:latest"},
        {"index.docker.io/nginx:1", "docker.io/library/nginx:1"},
        {"index.docker.io/library/nginx:2", "docker.io/library/nginx:2"},
        {"index.docker.io/a/b", "docker.io/a/b:latest"},
        {"registry-1.docker.io/library/nginx", "registry-1.docker.io/library/nginx:latest"},
        {"www.docker.io/nginx", "www.docker.io/nginx:latest"},
        {"docker.io:443/nginx", "docker.io:443/nginx:latest"},
        {"docker.io/library/a/b", "docker.io/library/a/b:latest"},
        {"library/library", "docker.io/library/library:latest"},
        {"docker.io/library", "docker.io/library/library:latest"},
        /* hosts */
        {"ghcr.io/a/b", "ghcr.io/a/b:latest"},
        {"ghcr.io/a", "ghcr.io/a:latest"},
        {"ghcr.io/a:v1", "ghcr.io/a:v1"},
        {"localhost/a", "localhost/a:latest"},
        {"localhost/a/b:c", "localhost/a/b:c"},
        {"localhost:5000/a", "localhost:5000/a:latest"},
        {"localhost:5000/a:v", "localhost:5000/a:v"},
        {"a:1/b", "a:1/b:latest"},
        {"a:1/b:2", "a:1/b:2"},
        {"127.0.0.1/a", "127.0.0.1/a:latest"},
        {"127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b:c"},
        {"10.0.0.1:80/x", "10.0.0.1:80/x:latest"},
        {"Foo/bar", "Foo/bar:latest"},
        {"FOO/bar", "FOO/bar:latest"},
        {"LOCALHOST/a", "LOCALHOST/a:latest"},
        {"fOo/bar/baz:1", "fOo/bar/baz:1"},
        {"Docker.io/nginx", "Docker.io/nginx:latest"},
        {"DOCKER.IO/nginx", "DOCKER.IO/nginx:latest"},
        {"GHCR.io/a", "GHCR.io/a:latest"},
        {"a.b/c", "a.b/c:latest"},
        {"a-b.c/d", "a-b.c/d:latest"},
        {"a--b.c/d", "a--b.c/d:latest"},
        {"xn--bcher-kva.example/a", "xn--bcher-kva.example/a:latest"},
        {"1.2/a", "1.2/a:latest"},
        {"a.b.c.d.e.f/g", "a.b.c.d.e.f/g:latest"},
        {"a.1/b", "a.1/b:latest"},
        {"host:0/a", "host:0/a:latest"},
        {"host:65536/a", "host:65536/a:latest"},
        {"host:00080/a", "host:00080/a:latest"},
        {"host:99999999999999999999/a", "host:99999999999999999999/a:latest"},
        {"foo/bar", "docker.io/foo/bar:latest"},
        {"foo1/bar/baz", "docker.io/foo1/bar/baz:latest"},
        {"a/b.c/d", "docker.io/a/b.c/d:latest"},
        /* IPv6 */
        {"[::1]/a", "[::1]/a:latest"},
        {"[::1]:5000/a", "[::1]:5000/a:latest"},
        {"[::1]:5000/a:v", "[::1]:5000/a:v"},
        {"[2001:db8::1]/a/b", "[2001:db8::1]/a/b:latest"},
        {"[2001:DB8::1]:443/a", "[2001:DB8::1]:443/a:latest"},
        {"[fe80::1]/a", "[fe80::1]/a:latest"},
        {"[:]/a", "[:]/a:latest"},
        {"[abc:]/a", "[abc:]/a:latest"},
        {"[a:b:c:d:e:f:0:1]:1/x", "[a:b:c:d:e:f:0:1]:1/x:latest"},
        {"[::1]:5000/a@sha256:" H64, "[::1]:5000/a@sha256:" H64},
        /* hosts with underscores */
        {"my_host.com/a", "my_host.com/a:latest"},
        {"my_host.com/a:v1", "my_host.com/a:v1"},
        {"a_b.c/d/e", "a_b.c/d/e:latest"},
        {"a__b.c/d", "a__b.c/d:latest"},
        {"my_host.com/a@sha256:" H64, "my_host.com/a@sha256:" H64},
        {"a_b/c", "docker.io/a_b/c:latest"},
        /* tags */
        {"a:A", "docker.io/library/a:A"},
        {"a:_", "docker.io/library/a:_"},
        {"a:_x", "docker.io/library/a:_x"},
        {"a:0", "docker.io/library/a:0"},
        {"a:1.2.3-rc.1_x", "docker.io/library/a:1.2.3-rc.1_x"},
        {"a:v1..2", "docker.io/library/a:v1..2"},
        {"a:v--", "docker.io/library/a:v--"},
        {"a:v.", "docker.io/library/a:v."},
        {"a:" T128, "docker.io/library/a:" T128},
        {"a:"
         "0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF012345678"
         "9ABCDEF0123456789ABCDEF0123456789ABCDEF",
                "docker.io/library/"
                "a:"
                "0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF01"
                "23456789ABCDEF0123456789ABCDEF0123456789ABCDEF"},
        {"ghcr.io/a/b:" T128, "ghcr.io/a/b:" T128},
        {"a/b:5000", "docker.io/a/b:5000"},
        {"a:latest.", "docker.io/library/a:latest."},
        {"a:" H64, "docker.io/library/a:" H64},
        {"sha256:" H64, "docker.io/library/sha256:" H64},
        /* digests */
        {"a@sha256:" H64, "docker.io/library/a@sha256:" H64},
        {"a:t@sha256:" H64, "docker.io/library/a@sha256:" H64},
        {"ghcr.io/a/b:1@sha256:" H64, "ghcr.io/a/b@sha256:" H64},
        {"docker.io/a@sha256:" H64, "docker.io/library/a@sha256:" H64},
        {"index.docker.io/a:x@sha256:" H64, "docker.io/library/a@sha256:" H64},
        {"localhost:5000/a:t@sha256:" H64, "localhost:5000/a@sha256:" H64},
        {"a@sha384:" H64 H32, "docker.io/library/a@sha384:" H64 H32},
        {"a@sha512:" H64 H64, "docker.io/library/a@sha512:" H64 H64},
        {"a:t@sha512:" H64 H64, "docker.io/library/a@sha512:" H64 H64},
        {"a:latest@sha256:" H64, "docker.io/library/a@sha256:" H64},
        {"b.c:1/d:2@sha384:" H64 H32, "b.c:1/d@sha384:" H64 H32},
        {"library/a@sha256:" H64, "docker.io/library/a@sha256:" H64},
        /* nearly IDs */
        {H63, "docker.io/library/" H63 ":latest"},
        {H64 "0", "docker.io/library/" H64 "0:latest"},
        {H63 "g", "docker.io/library/" H63 "g:latest"},
        {H64 ":t", "docker.io/library/" H64 ":t"},
        {"library/" H64, "docker.io/library/" H64 ":latest"},
        {H64 "@sha256:" H64, "docker.io/library/" H64 "@sha256:" H64},
        {"docker.io/" H64, "docker.io/library/" H64 ":latest"},
        /* components */
        {"a0", "docker.io/library/a0:latest"},
        {"0a", "docker.io/library/0a:latest"},
        {"a.b.c", "docker.io/library/a.b.c:latest"},
        {"a_b_c", "docker.io/library/a_b_c:latest"},
        {"a__b__c", "docker.io/library/a__b__c:latest"},
        {"a-b--c---d", "docker.io/library/a-b--c---d:latest"},
        {"a/b-c/d_e/f.g", "docker.io/a/b-c/d_e/f.g:latest"},
        {"x/a.b", "docker.io/x/a.b:latest"},
        {"x/a_b", "docker.io/x/a_b:latest"},
        {"x/a__b", "docker.io/x/a__b:latest"},
        {"x/a-b", "docker.io/x/a-b:latest"},
        {"x/0", "docker.io/x/0:latest"},
        {"x/y/z/w/v/u/t", "docker.io/x/y/z/w/v/u/t:latest"},
        {"a.b_c-d__e", "docker.io/library/a.b_c-d__e:latest"},
};

static const struct bad bad_cases[] = {
        /* empty parts */
        {CASE(""), "the image reference is empty"},
        {CASE("/"), COMPONENT("1")},
        {CASE(":"), NO_NAME},
        {CASE("@"), NO_NAME},
        {CASE("."), COMPONENT("1")},
        {CASE("-"), COMPONENT("1")},
        {CASE("_"), COMPONENT("1")},
        {CASE("/a"), COMPONENT("1")},
        {CASE("a/"), COMPONENT("2")},
        {CASE("a//b"), COMPONENT("2")},
        {CASE("//a"), COMPONENT("1")},
        {CASE("a:"), "the tag after ':' is empty"},
        {CASE("a@"), NO_DIGEST},
        {CASE("a:@"), "the tag after ':' is empty"},
        {CASE("a:t@"), NO_DIGEST},
        {CASE(":t"), NO_NAME},
        {CASE("@sha256:" H64), NO_NAME},
        {CASE("/a:t"), COMPONENT("1")},
        {CASE("ghcr.io/"), NO_NAME},
        {CASE("ghcr.io//a"), COMPONENT("1")},
        {CASE("ghcr.io/:t"), NO_NAME},
        {CASE("ghcr.io/@sha256:" H64), NO_NAME},
        {CASE("localhost:5000/"), NO_NAME},
        {CASE("docker.io/"), NO_NAME},
        {CASE("index.docker.io/"), NO_NAME},
        {CASE("a/b/"), COMPONENT("3")},
        {CASE("a/b//c"), COMPONENT("3")},
        /* upper case */
        {CASE("Nginx"), UPPER_CASE},
        {CASE("NGINX"), UPPER_CASE},
        {CASE("nginX:1"), UPPER_CASE},
        {CASE("a/B"), UPPER_CASE},
        {CASE("ghcr.io/A"), UPPER_CASE},
        {CASE("ghcr.io/a/B:t"), UPPER_CASE},
        {CASE("Foo/Bar"), UPPER_CASE},
        {CASE("docker.io/Nginx"), UPPER_CASE},
        {CASE("localhost/A"), UPPER_CASE},
        {CASE("library/A"), UPPER_CASE},
        /* components */
        {CASE("a..b"), COMPONENT("1")},
        {CASE("a._b"), COMPONENT("1")},
        {CASE("a_.b"), COMPONENT("1")},
        {CASE("a-.b"), COMPONENT("1")},
        {CASE("a.-b"), COMPONENT("1")},
        {CASE("a-_b"), COMPONENT("1")},
        {CASE("a_-b"), COMPONENT("1")},
        {CASE("a___b"), COMPONENT("1")},
        {CASE("-a"), COMPONENT("1")},
        {CASE("a-"), COMPONENT("1")},
        {CASE("_a"), COMPONENT("1")},
        {CASE("a_"), COMPONENT("1")},
        {CASE(".a"), COMPONENT("1")},
        {CASE("a."), COMPONENT("1")},
        {CASE("x/-a"), COMPONENT("2")},
        {CASE("x/a-"), COMPONENT("2")},
        {CASE("x/.a"), COMPONENT("2")},
        {CASE("x/a."), COMPONENT("2")},
        {CASE("x/_a"), COMPONENT("2")},
        {CASE("x/a_"), COMPONENT("2")},
        {CASE("x/a..b"), COMPONENT("2")},
        {CASE("x/a___b"), COMPONENT("2")},
        {CASE("a/../b"), COMPONENT("2")},
        {CASE("../a"), NO_HOST},
        {CASE("./a"), NO_HOST},
        {CASE("a/."), COMPONENT("2")},
        {CASE("a/.."), COMPONENT("2")},
        {CASE(" a"), COMPONENT("1")},
        {CASE("a "), COMPONENT("1")},
        {CASE("a b"), COMPONENT("1")},
        {CASE("a/ b"), COMPONENT("2")},
        {CASE("a\tb"), COMPONENT("1")},
        {CASE("a\n"), COMPONENT("1")},
        {CASE("a\r\n"), COMPONENT("1")},
        {CASE("\na"), COMPONENT("1")},
        {CASE("nginx\n"), COMPONENT("1")},
        {CASE("a\000"), COMPONENT("1")},
        {CASE("a\000b"), COMPONENT("1")},
        {CASE("a+b"), COMPONENT("1")},
        {CASE("a%2fb"), COMPONENT("1")},
        {CASE("a~b"), COMPONENT("1")},
        {CASE("a=b"), COMPONENT("1")},
        {CASE("a\\b"), COMPONENT("1")},
        {CASE("a*"), COMPONENT("1")},
        {CASE("a?b"), COMPONENT("1")},
        {CASE("a#b"), COMPONENT("1")},
        {CASE("a$b"), COMPONENT("1")},
        {CASE("a!b"), COMPONENT("1")},
        {CASE("a,b"), COMPONENT("1")},
        {CASE("a;b"), COMPONENT("1")},
        {CASE("a&b"), COMPONENT("1")},
        {CASE("(a)"), COMPONENT("1")},
        {CASE("{a}"), COMPONENT("1")},
        {CASE("\"a\""), COMPONENT("1")},
        {CASE("'a'"), COMPONENT("1")},
        {CASE("\303\251"), COMPONENT("1")},
        {CASE("a/\303\251"), COMPONENT("2")},
        {CASE("\377\376"), COMPONENT("1")},
        {CASE("\342\200\256"), COMPONENT("1")},
        /* hosts */
        {CASE("a_b:1/c"), NO_HOST},
        {CASE("host:/a"), NO_HOST},
        {CASE("host:x/a"), NO_HOST},
        {CASE("host:1a/a"), NO_HOST},
        {CASE("host:-1/a"), NO_HOST},
        {CASE("host:1:2/a"), NO_HOST},
        {CASE(":1/a"), NO_HOST},
        {CASE("a..b/c"), NO_HOST},
        {CASE("a.-b/c"), NO_HOST},
        {CASE("a-.b/c"), NO_HOST},
        {CASE(".a/b"), NO_HOST},
        {CASE("-a.b/c"), NO_HOST},
        {CASE("a./b"), NO_HOST},
        {CASE("A_b/c"), NO_HOST},
        {CASE("-A/b"), NO_HOST},
        {CASE("A-/b"), NO_HOST},
        {CASE("http://a/b"), NO_HOST},
        {CASE("https://ghcr.io/a"), NO_HOST},
        {CASE("[::1/a"), NO_HOST},
        {CASE("::1/a"), NO_HOST},
        {CASE("::1]/a"), NO_HOST},
        {CASE("[]/a"), COMPONENT("1")},
        {CASE("[::1]x/a"), NO_HOST},
        {CASE("[::1]:/a"), NO_HOST},
        {CASE("[::1]:x/a"), NO_HOST},
        {CASE("[g::1]/a"), NO_HOST},
        {CASE("[fe80::1%25eth0]/a"), NO_HOST},
        {CASE("[::ffff:1.2.3.4]/a"), NO_HOST},
        {CASE("[::1]"), COMPONENT("1")},
        {CASE("user@host.com/a"), NO_HOST},
        {CASE("user:pw@host.com/a"), NO_HOST},
        {CASE("ho st.com/a"), NO_HOST},
        {CASE("\303\251.com/a"), NO_HOST},
        {CASE("a.b:1@2/c"), NO_HOST},
        {CASE("a_b.C/d"), NO_HOST},
        {CASE("a__b.c:1/d"), NO_HOST},
        {CASE("a___b.c/d"), NO_HOST},
        /* tags */
        {CASE("a:-x"), "character 1 of the tag is not allowed there"},
        {CASE("a:.x"), "character 1 of the tag is not allowed there"},
        {CASE("a:x y"), "character 2 of the tag is not allowed there"},
        {CASE("a:x/y"), NO_HOST},
        {CASE("a:x:y"), "character 2 of the tag is not allowed there"},
        {CASE("a:" T128 "t"), "the tag has 129 characters, more than 128"},
        {CASE("a:x+y"), "character 2 of the tag is not allowed there"},
        {CASE("a:\303\251"), "character 1 of the tag is not allowed there"},
        {CASE("a:x\n"), "character 2 of the tag is not allowed there"},
        {CASE("a: x"), "character 1 of the tag is not allowed there"},
        {CASE("a:x\000"), "character 2 of the tag is not allowed there"},
        {CASE("a:@sha256:" H64), "the tag after ':' is empty"},
        {CASE("ghcr.io/a:-"), "character 1 of the tag is not allowed there"},
        {CASE("ghcr.io/a:b:c"), "character 2 of the tag is not allowed there"},
        {CASE("a:x@"), NO_DIGEST},
        /* digests */
        {CASE("a@sha256"), NO_DIGEST},
        {CASE("a@sha256:"), NOT_HEXADECIMAL},
        {CASE("a@" H64), NO_DIGEST},
        {CASE("a@sha256:" H63), "the sha256 digest has 63 digits"},
        {CASE("a@sha256:" H64 "0"), "the sha256 digest has 65 digits"},
        {CASE("a@sha256:0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF"),
                NOT_HEXADECIMAL},
        {CASE("a@sha256:" H63 "g"), NOT_HEXADECIMAL},
        {CASE("a@sha384:" H64), "the sha384 digest has 64 digits"},
        {CASE("a@sha512:" H64), "the sha512 digest has 64 digits"},
        {CASE("a@md5:" H32), OTHER_ALGORITHM},
        {CASE("a@SHA256:" H64), OTHER_ALGORITHM},
        {CASE("a:t@SHA256:" H64), OTHER_ALGORITHM},
        {CASE("a@sha256+b64:" H64), OTHER_ALGORITHM},
        {CASE("a@sha1:" H32 "01234567"), OTHER_ALGORITHM},
        {CASE("a@sha256:" H64 "@sha256:" H64), NOT_HEXADECIMAL},
        {CASE("a@sha256:" H64 ":t"), NOT_HEXADECIMAL},
        {CASE("a@sha256:" H64 "\n"), NOT_HEXADECIMAL},
        {CASE("a@ sha256:" H64), OTHER_ALGORITHM},
        {CASE("a@@sha256:" H64), OTHER_ALGORITHM},
        {CASE("a@sha512:" H64 H64 "0"), "the sha512 digest has 129 digits"},
        {CASE("a@blake3:" H64), OTHER_ALGORITHM},
        {CASE("a@:" H64), OTHER_ALGORITHM},
        {CASE("a@sha256:" H32 " 0123456789abcdef0123456789abcde"), NOT_HEXADECIMAL},
        /* IDs */
        {CASE(H64), AN_ID},
        {CASE("ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"), AN_ID},
        {CASE("0000000000000000000000000000000000000000000000000000000000000000"), AN_ID},
};

static void good_references(void **state)
{
        (void)state;
        for (size_t i = 0; i < sizeof(good_cases) / sizeof(good_cases[0]); i++) {
                const struct good *c = &good_cases[i];
                cleanup_ref struct ref r;
                struct err e;
                if (ref_parse(c->text, strlen(c->text), &r, &e) < 0)
                        fail_msg("%s: %s", c->text, e.msg);
                if (strcmp(r.text, c->normalised) != 0)
                        fail_msg("%s: %s instead of %s", c->text, r.text, c->normalised);
        }
}

static void bad_references(void **state)
{
        (void)state;
        for (size_t i = 0; i < sizeof(bad_cases) / sizeof(bad_cases[0]); i++) {
                const struct bad *c = &bad_cases[i];
                struct ref r;
                struct err e;
                if (ref_parse(c->text, c->size, &r, &e) == 0)
                        fail_msg("%s: taken for %s", c->text, r.text);
                if (e.code != ERR_INVALID || strcmp(e.msg, c->message) != 0)
                        fail_msg("%s: %s instead of %s", c->text, e.msg, c->message);
                assert_null(r.text);
        }
}

static void parts_of_a_reference(void **state)
{
        (void)state;
        static const struct {
                const char *text, *host, *repository, *name, *tag, *digest;
        } cases[] = {
                {"nginx", "docker.io", "library/nginx", "docker.io/library/nginx", "latest", NULL},
                {"ghcr.io/a/b:c", "ghcr.io", "a/b", "ghcr.io/a/b", "c", NULL},
                {"[::1]:5/a", "[::1]:5", "a", "[::1]:5/a", "latest", NULL},
                {"a_b.c/d:e", "a_b.c", "d", "a_b.c/d", "e", NULL},
                {"h:1/a:t@sha256:" H64, "h:1", "a", "h:1/a", NULL, "sha256:" H64},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_ref struct ref r;
                struct err e;
                assert_int_equal(ref_parse(cases[i].text, strlen(cases[i].text), &r, &e), 0);
                assert_string_equal(r.host, cases[i].host);
                assert_string_equal(r.repository, cases[i].repository);
                assert_string_equal(r.name, cases[i].name);
                assert_int_equal(r.tag == NULL, cases[i].tag == NULL);
                if (r.tag != NULL)
                        assert_string_equal(r.tag, cases[i].tag);
                assert_int_equal(r.digest == NULL, cases[i].digest == NULL);
                if (r.digest != NULL)
                        assert_string_equal(r.digest, cases[i].digest);
        }
}

/* The limit is on the path, with "library/" and without the host; a host that is none by the
 * grammar counts as path. */
static void long_names(void **state)
{
        (void)state;
        static const struct {
                const char *prefix;
                size_t most; /* letters after the prefix */
        } cases[] = {{"", 247}, {"docker.io/", 247}, {"b/", 253}, {"ghcr.io/", 255},
                {"ghcr.io/b/", 253}, {"library/", 247}, {"localhost:5000/", 255}, {"a_b.c/", 249}};
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_buf struct buf name;
                buf_init(&name, 1024);
                buf_puts(&name, cases[i].prefix);
                for (size_t n = 0; n < cases[i].most; n++)
                        buf_puts(&name, "a");
                struct ref r;
                struct err e;
                if (ref_parse(name.data, name.size, &r, &e) < 0)
                        fail_msg("%s: %s", cases[i].prefix, e.msg);
                ref_fini(&r);
                buf_puts(&name, "a");
                assert_int_equal(ref_parse(name.data, name.size, &r, &e), -1);
                assert_int_equal(e.code, ERR_INVALID);
                assert_string_equal(
                        e.msg, "the repository's name has 256 characters, more than 255");
        }
}

static void endless_text(void **state)
{
        (void)state;
        cleanup_free char *text = mem_zalloc(100000);
        memset(text, 'a', 100000);
        struct ref r;
        struct err e;
        assert_int_equal(ref_parse(text, 100000, &r, &e), -1);
        assert_int_equal(e.code, ERR_INVALID);
        assert_string_equal(e.msg, "the image reference has 100000 characters, more than 4096");
}

static void name_with_another_digest(void **state)
{
        (void)state;
        cleanup_ref struct ref r;
        struct err e;
        assert_int_equal(ref_parse("ghcr.io/a/b:c", 13, &r, &e), 0);
        cleanup_free char *text = ref_with_digest(&r, "sha256:" H64);
        assert_string_equal(text, "ghcr.io/a/b@sha256:" H64);
}

#define ID "sha256:1111111111111111111111111111111111111111111111111111111111111111"

static void what_is_an_id(void **state)
{
        (void)state;
        assert_true(ref_is_image_id(ID, ID));
        assert_true(ref_is_image_id(ID, NULL));
        assert_true(ref_is_image_id("1111111111111", ID));
        assert_false(ref_is_image_id("1111111", ID)); /* a name may look like that */
        assert_false(ref_is_image_id("1111111111112", ID));
        assert_false(ref_is_image_id("nginx", ID));
        assert_false(ref_is_image_id("nginx", NULL));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(good_references),
                cmocka_unit_test(bad_references),
                cmocka_unit_test(parts_of_a_reference),
                cmocka_unit_test(long_names),
                cmocka_unit_test(endless_text),
                cmocka_unit_test(name_with_another_digest),
                cmocka_unit_test(what_is_an_id),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

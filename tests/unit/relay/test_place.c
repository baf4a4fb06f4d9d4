/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "base/mem.h"
#include "relay/place.h"

#define HEX    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SHA256 "sha256:" HEX
#define SHA512 "sha512:" HEX HEX

static const struct {
        const char *host, *repository, *name; /* NULL: there is no such name */
} names[] = {
        {"ghcr.io", "a/b", "cri-resolved/ghcr.io/a/b"},
        {"docker.io", "library/nginx", "cri-resolved/docker.io/library/nginx"},
        {"GHCR.io", "a/b", NULL}, /* ghcr.io's */
        {"registry.local:5000", "a", "cri-resolved/registry.local__5000/a"},
        {"localhost:5000", "a/b/c", "cri-resolved/localhost__5000/a/b/c"},
        {"127.0.0.1:5000", "a", "cri-resolved/127.0.0.1__5000/a"},
        {"reg-istry.example:443", "a_b/c-d/e.f", "cri-resolved/reg-istry.example__443/a_b/c-d/e.f"},
        {"h.x__5000", "a", NULL}, /* h.x:5000's */
        {"[::1]:5000", "a", NULL},
        {"[2001:db8::1]", "a", NULL},
        {"ghcr.io", "", NULL},
        {"ghcr.io", "A/b", NULL},
        {"ghcr.io", "a//b", NULL},
        {"ghcr.io", "a/b:tag", NULL},
        {"ghcr.io", "a/b@" SHA256, NULL},
        {"ghcr.io", "a/b/", NULL},
        {"ghcr.io", "a b", NULL},
        {"", "a", NULL},
};

static void what_a_repository_is_called(void **state)
{
        (void)state;
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                struct err e;
                cleanup_free char *name = NULL;
                int r = place_name(names[i].host, names[i].repository, 7780, &name, &e);
                const char *wanted = names[i].name;
                if (r == 0 && (wanted == NULL || strcmp(name, wanted) != 0))
                        fail_msg("%s / %s: %s", names[i].host, names[i].repository, name);
                if (r < 0 && wanted != NULL)
                        fail_msg("%s / %s: %s", names[i].host, names[i].repository, e.msg);
                if (r < 0) {
                        assert_int_equal(e.code, ERR_INVALID);
                        assert_string_equal(e.msg, "the relay's name would be no reference");
                }
        }
}

/* Of "127.0.0.1:7780/cri-resolved/ghcr.io/<repository>", 36 characters are not the repository's. */
static void not_a_character_over_255(void **state)
{
        (void)state;
        char repository[256];
        memset(repository, 'a', sizeof(repository));
        repository[255 - 36] = '\0';
        struct err e;
        cleanup_free char *name = NULL;
        assert_int_equal(place_name("ghcr.io", repository, 7780, &name, &e), 0);
        assert_int_equal(strlen("127.0.0.1:7780/") + strlen(name), 255);
        cleanup_free char *longer = NULL;
        assert_int_equal(place_name("ghcr.io", repository, 17780, &longer, &e), -1);
        assert_int_equal(e.code, ERR_INVALID);
        assert_string_equal(e.msg, "the relay's name would have more than 255 characters");
        assert_null(longer);
}

static void images(void **state)
{
        (void)state;
        static const struct {
                const char *image;
                bool ours;
        } cases[] = {
                {"127.0.0.1:7780/cri-resolved/ghcr.io/a/b@" SHA256, true},
                {"127.0.0.1:1/cri-resolved/x", true},
                {"127.0.0.1:65535/cri-resolved/", true},
                {"127.0.0.1:7780/cri-resolved", false},
                {"127.0.0.1:7780/cri-resolvedx/a", false},
                {"127.0.0.1:7780/a/cri-resolved/b", false},
                {"127.0.0.1:/cri-resolved/x", false},
                {"127.0.0.1/cri-resolved/x", false},
                {"127.0.0.1:77x/cri-resolved/x", false},
                {"127.0.0.2:7780/cri-resolved/x", false},
                {"ghcr.io/cri-resolved/x", false},
                {"sha256:" HEX, false},
                {"", false},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                if (place_is_ours(cases[i].image) != cases[i].ours)
                        fail_msg("%s", cases[i].image);
        cleanup_free char *image = place_image("cri-resolved/ghcr.io/a/b", SHA256, 7780);
        assert_string_equal(image, "127.0.0.1:7780/cri-resolved/ghcr.io/a/b@" SHA256);
        assert_true(place_is_ours(image));
}

#define NAME     "cri-resolved/ghcr.io/a/b"
#define MANIFEST "/v2/" NAME "/manifests/" SHA256
#define BLOB     "/v2/" NAME "/blobs/" SHA256

static const char *const foreign_paths[] = {
        "",
        "/",
        "/v2",
        "/v2/",
        "/v2/" NAME,
        "/v2/" NAME "/",
        "/v2/" NAME "/manifests",
        "/v2/" NAME "/manifests/",
        "/v2/" NAME "/manifests/latest",
        "/v2/" NAME "/blobs/latest",
        "/v2/" NAME "/manifests/" SHA512,
        "/v2/" NAME "/blobs/" SHA512,
        "/v2/" NAME "/manifests/sha256:" HEX "0", /* a digit more */
        "/v2/" NAME
        "/manifests/sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde",
        "/v2/" NAME
        "/manifests/sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
        "/v2/" NAME
        "/manifests/sha256:0123456789abcdeg0123456789abcdef0123456789abcdef0123456789abcdef",
        "/v2/" NAME "/manifests/sha257:" HEX,
        "/v2/" NAME "/manifests/" HEX,
        MANIFEST "/",
        BLOB "/",
        MANIFEST "\n",
        " " MANIFEST,
        "/v2//" NAME "/blobs/" SHA256,
        "//v2/" NAME "/blobs/" SHA256,
        "/v2/" NAME "//blobs/" SHA256,
        "/v2/" NAME "/blobs//" SHA256,
        "/v2/" NAME "/./blobs/" SHA256,
        "/v2/" NAME "/../b/blobs/" SHA256,
        "/v2/cri-resolved/ghcr.io/a/blobs/" SHA256, /* a folder above */
        "/v2/cri-resolved/ghcr.io/a/bc/blobs/" SHA256,
        "/v2/cri-resolved/ghcr.io/a/b/c/blobs/" SHA256,
        "/v2/cri-resolved/ghcr.io/A/b/blobs/" SHA256,
        "/v2/cri-resolved/ghcr.io/x/b/blobs/" SHA256,
        "/v2/ghcr.io/a/b/blobs/" SHA256,
        "/v1/" NAME "/blobs/" SHA256,
        "/V2/" NAME "/blobs/" SHA256,
        "/v2/" NAME "/tags/list",
        "/v2/" NAME "/tags/" SHA256,
        "/v2/" NAME "/blobs/uploads/",
        "/v2/" NAME "/referrers/" SHA256,
        "/v2/" NAME "/Blobs/" SHA256,
        "v2/" NAME "/blobs/" SHA256,
};

static void what_a_request_asks_for(void **state)
{
        (void)state;
        struct place_request place;
        assert_true(place_parse(MANIFEST, NAME, &place));
        assert_int_equal(place.kind, REGISTRY_MANIFEST);
        assert_string_equal(place.digest, SHA256);
        assert_true(place_parse(BLOB, NAME, &place));
        assert_int_equal(place.kind, REGISTRY_BLOB);
        assert_string_equal(place.digest, SHA256);
        for (size_t i = 0; i < sizeof(foreign_paths) / sizeof(foreign_paths[0]); i++)
                if (place_parse(foreign_paths[i], NAME, &place))
                        fail_msg("%s", foreign_paths[i]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_a_repository_is_called),
                cmocka_unit_test(not_a_character_over_255),
                cmocka_unit_test(images),
                cmocka_unit_test(what_a_request_asks_for),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

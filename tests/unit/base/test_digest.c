/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "base/digest.h"
#include "base/mem.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define HEX32 "0123456789abcdef0123456789abcdef"

static void valid_digests(void **state)
{
        (void)state;
        static const struct {
                const char *digest;
                bool valid;
        } cases[] = {
                {"sha256:" HEX64, true},
                {"sha384:" HEX64 HEX32, true},
                {"sha512:" HEX64 HEX64, true},
                {"", false},
                {"sha256:", false},
                {HEX64, false},
                {"sha256:" HEX64 "0", false},
                {"sha256:" HEX32, false},
                {"sha512:" HEX64, false},
                {"sha256:0123456789ABCDEF" HEX32 "0123456789abcdef", false},
                {"sha256:g123456789abcdef" HEX32 "0123456789abcdef", false},
                {"SHA256:" HEX64, false},
                {"md5:" HEX32, false},
                {"sha256-" HEX64, false},
                {" sha256:" HEX64, false},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                if (digest_valid(cases[i].digest, strlen(cases[i].digest)) != cases[i].valid)
                        fail_msg("%s: not %s", cases[i].digest,
                                cases[i].valid ? "valid" : "invalid");
}

/* The size decides, not a NUL. */
static void valid_looks_at_size_bytes_only(void **state)
{
        (void)state;
        const char *text = "sha256:" HEX64 "@more";
        assert_true(digest_valid(text, DIGEST_SHA256_SIZE));
        assert_false(digest_valid(text, DIGEST_SHA256_SIZE + 1));
        char holed[] = "sha256:" HEX64;
        holed[20] = '\0';
        assert_false(digest_valid(holed, DIGEST_SHA256_SIZE));
}

/* FIPS 180-2, appendix B, and the digest of nothing. */
static void known_hashes(void **state)
{
        (void)state;
        char out[DIGEST_SHA256_SIZE + 1];
        digest_of("", 0, out);
        assert_string_equal(
                out, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        digest_of("abc", 3, out);
        assert_string_equal(
                out, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_true(digest_valid(out, strlen(out)));
}

static void pieces_hash_as_the_whole(void **state)
{
        (void)state;
        char whole[DIGEST_SHA256_SIZE + 1];
        char pieces[DIGEST_SHA256_SIZE + 1];
        unsigned char data[5000];
        for (size_t i = 0; i < sizeof(data); i++)
                data[i] = (unsigned char)(i * 7);
        digest_of(data, sizeof(data), whole);
        struct digest_hash *h = digest_hash_new();
        for (size_t at = 0, size = 0; at < sizeof(data); at += size, size++) {
                size_t left = sizeof(data) - at;
                digest_hash_update(h, data + at, size < left ? size : left);
        }
        digest_hash_final(h, pieces);
        assert_string_equal(pieces, whole);
}

static void free_accepts_null_and_unfinished(void **state)
{
        (void)state;
        digest_hash_free(NULL);
        struct digest_hash *h = digest_hash_new();
        digest_hash_update(h, "abc", 3);
        digest_hash_free(h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(valid_digests),
                cmocka_unit_test(valid_looks_at_size_bytes_only),
                cmocka_unit_test(known_hashes),
                cmocka_unit_test(pieces_hash_as_the_whole),
                cmocka_unit_test(free_accepts_null_and_unfinished),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

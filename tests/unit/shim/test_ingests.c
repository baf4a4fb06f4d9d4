/* SPDX-License-Identifier: Apache-2.0 */
/* ingests.c: what containerd's words for a failed pull say. All messages but the few marked "made
 * up" are those of containerd 1.6.20, 1.7.24 and 2.1.9, with other digests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "shim/ingests.h"

#define HEX_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HEX_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define HEX_C "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
#define A     "sha256:" HEX_A
#define B     "sha256:" HEX_B
#define C     "sha256:" HEX_C

#define PULL "failed to pull and unpack image \"ghcr.io/team/a1:t\": "
#define BY_DIGEST                                                                                  \
        "failed to pull and unpack image \"127.0.0.1:7780/cri-resolved/ghcr.io/a/b@" C "\": "
#define ROOT "/var/lib/containerd/io.containerd.content.v1.content/"

enum { MAX = 3 };

static const struct {
        const char *message;
        enum ingest_trouble trouble;
        const char *refs[MAX];
} cases[] = {
        /* corrupt, the right length; and again at the next pull, without a fetch */
        {PULL "failed commit on ref \"layer-" A "\": unexpected commit digest " B ", expected " A
              ": failed precondition",
                INGEST_TROUBLE_SPOILT, {"layer-" A}},
        {BY_DIGEST "failed commit on ref \"layer-" A "\": unexpected commit digest " B
                   ", expected " A ": failed precondition",
                INGEST_TROUBLE_SPOILT, {"layer-" A}},
        {PULL "failed commit on ref \"config-" A "\": unexpected commit digest " B ", expected " A
              ": failed precondition",
                INGEST_TROUBLE_SPOILT, {"config-" A}},
        {BY_DIGEST "failed commit on ref \"manifest-" C "\": unexpected commit digest " B
                   ", expected " C ": failed precondition",
                INGEST_TROUBLE_SPOILT, {"manifest-" C}},
        {PULL "failed commit on ref \"index-" A "\": unexpected commit digest " B ", expected " A
              ": failed precondition",
                INGEST_TROUBLE_SPOILT, {"index-" A}},
        /* too long */
        {PULL "failed commit on ref \"layer-" A "\": \"layer-" A
              "\" failed size validation: 200383 != 200283: failed precondition",
                INGEST_TROUBLE_SPOILT, {"layer-" A}},
        /* aborted by somebody while it was written */
        {PULL "failed commit on ref \"layer-" A "\": rename " ROOT "ingest/" HEX_B "/data " ROOT
              "blobs/sha256/" HEX_A ": no such file or directory",
                INGEST_TROUBLE_TAKEN, {"layer-" A}},
        /* cut short: 1.6 and 1.7, then 2 */
        {PULL "failed to read expected number of bytes: unexpected EOF", INGEST_TROUBLE_NONE, {0}},
        {PULL "short read: expected 200282 bytes but got 1000: unexpected EOF", INGEST_TROUBLE_NONE,
                {0}},
        /* no answer, or another one */
        {PULL "failed to copy: httpReadSeeker: failed open: failed to do request: Get "
              "\"http://127.0.0.1:7780/v2/team/a7/blobs/" A "?ns=ghcr.io\": EOF",
                INGEST_TROUBLE_NONE, {0}},
        {PULL "failed to copy: httpReadSeeker: failed open: unexpected status code "
              "http://127.0.0.1:7780/v2/team/a8/blobs/" A "?ns=ghcr.io: 502 Bad Gateway",
                INGEST_TROUBLE_NONE, {0}},
        {PULL "failed to copy: httpReadSeeker: failed open: unexpected status from GET request to "
              "http://127.0.0.1:7780/v2/team/a8/blobs/" A "?ns=ghcr.io: 502 Bad Gateway",
                INGEST_TROUBLE_NONE, {0}},
        {PULL "failed to copy: httpReadSeeker: failed open: could not fetch content descriptor " A
              " (application/vnd.oci.image.layer.v1.tar+gzip) from remote: not found",
                INGEST_TROUBLE_NONE, {0}},
        /* made up: several; one twice; other algorithms; a prefix with a dash */
        {"failed commit on ref \"layer-" A "\": unexpected commit digest " C
         "; failed commit on ref \"layer-" A "\": again; failed commit on ref \"my-layer-" B
         "\": x",
                INGEST_TROUBLE_SPOILT, {"layer-" A, "my-layer-" B}},
        {"failed commit on ref \"layer-sha512:" HEX_A HEX_B "\": unexpected commit digest " C,
                INGEST_TROUBLE_SPOILT, {"layer-sha512:" HEX_A HEX_B}},
        /* made up: what is no ref of a digest, and a name that looks like one */
        {"failed commit on ref \"layer-sha256:" HEX_A, INGEST_TROUBLE_NONE, {0}},
        {"failed commit on ref \"" A "\": unexpected commit digest " B, INGEST_TROUBLE_SPOILT, {0}},
        {"failed commit on ref \"layer-sha256:abc\": disk full", INGEST_TROUBLE_NONE, {0}},
        {"failed commit on ref \"", INGEST_TROUBLE_NONE, {0}},
        {"failed to resolve reference \"ghcr.io/a/layer-" A "\": not found", INGEST_TROUBLE_NONE,
                {0}},
        {"failed to read ghcr.io/a/b: open /etc/x: no such file or directory", INGEST_TROUBLE_NONE,
                {0}},
        {"", INGEST_TROUBLE_NONE, {0}},
        {NULL, INGEST_TROUBLE_NONE, {0}},
};

/* Names that the author of an image chose: made up, but for how Go quotes them. */
static const struct {
        const char *name_and_digest, *digest; /* NULL: left alone */
} named[] = {
        {"layer-1.0@" A, A},
        {"config-a-b@c-d@" A, A},
        {"layer-@" A, A},
        {"layer-" B "@" A, A},
        {"layer-a b@" A, A},
        {"unknown-" A, A},
        {"attestation-" A, A},
        {"layer-\\\"@" A, NULL},
        {"layer-\\\\@" A, NULL},
        {"layer-failed commit on ref \\\"layer-" B "\\\"@" A, NULL},
        {"layer-" B "\\\": unexpected commit digest@" A, NULL},
        {"layer-a@b" A, NULL},
        {"layer-a@" A " ", NULL},
        {"layer-a@", NULL},
        {"@", NULL},
};

enum { GRPC_OK = 0, GRPC_UNKNOWN = 2, GRPC_NOT_FOUND = 5, GRPC_FAILED_PRECONDITION = 9 };

static enum ingest_trouble trouble_of(int code, const char *message)
{
        struct rpc_answer answer = {.code = code, .message = (char *)message};
        return ingests_trouble_of(&answer);
}

static void test_trouble(void **state)
{
        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                bool spoilt = cases[i].trouble == INGEST_TROUBLE_SPOILT;
                int code = spoilt ? GRPC_FAILED_PRECONDITION : GRPC_UNKNOWN;
                if (trouble_of(code, cases[i].message) != cases[i].trouble)
                        fail_msg("misjudged: %s", cases[i].message);
                /* A success is no trouble; a registry's words do not spoil an ingest. */
                assert_int_equal(trouble_of(GRPC_OK, cases[i].message), INGEST_TROUBLE_NONE);
                if (spoilt && trouble_of(GRPC_UNKNOWN, cases[i].message) != INGEST_TROUBLE_NONE)
                        fail_msg("believed: %s", cases[i].message);
        }
}

/* containerd 1.6 */
static void test_lost_snapshot(void **state)
{
        (void)state;
        static const char message[] =
                PULL "failed to prepare extraction snapshot \"extract-173028620-fdbd " A
                     "\": parent snapshot " B " does not exist: not found";
        assert_int_equal(trouble_of(GRPC_NOT_FOUND, message), INGEST_TROUBLE_TAKEN);
        assert_int_equal(trouble_of(GRPC_UNKNOWN, message), INGEST_TROUBLE_NONE);
        assert_int_equal(trouble_of(GRPC_NOT_FOUND, PULL "not found"), INGEST_TROUBLE_NONE);
}

/* An abort ends whoever writes the ingest: "config-" A says nothing of "layer-" A. */
static void test_refs(void **state)
{
        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct ingest_ref refs[MAX];
                size_t wanted = 0;
                while (wanted < MAX && cases[i].refs[wanted] != NULL)
                        wanted++;
                if (ingests_of_error(cases[i].message, refs, MAX) != wanted)
                        fail_msg("not %zu refs: %s", wanted, cases[i].message);
                for (size_t n = 0; n < wanted; n++) {
                        assert_string_equal(refs[n].ref, cases[i].refs[n]);
                        assert_string_equal(refs[n].digest, strstr(refs[n].ref, "sha"));
                }
        }
}

static void test_names(void **state)
{
        (void)state;
        for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
                struct ingest_ref ref = {0};
                cleanup_free char *message =
                        mem_printf(PULL "failed commit on ref \"%s\": unexpected commit digest " C
                                        ", expected " A ": failed precondition",
                                named[i].name_and_digest);
                bool found = ingests_of_error(message, &ref, 1) == 1;
                if (found != (named[i].digest != NULL))
                        fail_msg("%s: %s", message, ref.ref);
                if (!found)
                        continue;
                assert_string_equal(ref.ref, named[i].name_and_digest);
                assert_string_equal(ref.digest, named[i].digest);
        }
}

static void test_length_of_names(void **state)
{
        (void)state;
        struct ingest_ref ref;
        cleanup_free char *name = mem_zalloc(INGEST_REF_MAX);
        memset(name, 'n', INGEST_REF_MAX - strlen("layer-@" A) - 1);
        cleanup_free char *fits = mem_printf("failed commit on ref \"layer-%s@" A "\": x", name);
        cleanup_free char *not = mem_printf("failed commit on ref \"layer-%sn@" A "\": x", name);
        assert_int_equal(ingests_of_error(fits, &ref, 1), 1);
        assert_int_equal(strlen(ref.ref), INGEST_REF_MAX - 1);
        assert_int_equal(ingests_of_error(not, &ref, 1), 0);
}

/* Two images may give one digest two parts to play. */
static void test_no_more_refs_than_fit(void **state)
{
        (void)state;
        const char *two =
                "failed commit on ref \"layer-" A "\": x; failed commit on ref \"config-" A "\": x";
        struct ingest_ref refs[2] = {{"", ""}, {"untouched", "untouched"}};
        assert_int_equal(ingests_of_error(two, refs, 1), 1);
        assert_string_equal(refs[0].ref, "layer-" A);
        assert_string_equal(refs[1].ref, "untouched");
        assert_int_equal(ingests_of_error(two, refs, 0), 0);
        assert_int_equal(ingests_of_error(two, refs, 2), 2);
        assert_string_equal(refs[1].ref, "config-" A);
        assert_string_equal(refs[1].digest, A);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_trouble),
                cmocka_unit_test(test_lost_snapshot),
                cmocka_unit_test(test_refs),
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_length_of_names),
                cmocka_unit_test(test_no_more_refs_than_fit),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

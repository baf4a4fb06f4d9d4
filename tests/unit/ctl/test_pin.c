/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All files of tests/data/pin: NAME becomes NAME.tag, NAME.comment and, with --update, NAME.update,
 * with the remarks NAME.hints and NAME.update-hints. In all of them "sha256:<x>" stands for the
 * hash of x; the registry of these tests names each reference by its own hash.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include <dirent.h>

#include "base/buf.h"
#include "base/digest.h"
#include "config/files.h"
#include "ctl/pin_edit.h"
#include "ctl/pin_files.h"

#define CORPUS SOURCE_DIR "/tests/data/pin"

enum { TEXT_MAX_BYTES = 1 << 20, CASES_MIN = 40 };

static const char *registry(void *arg, const struct pin_target *t)
{
        char *digest = arg;
        digest_of(t->reference, strlen(t->reference), digest);
        return digest;
}

static char *expand(const char *text)
{
        static const char mark[] = "sha256:<";
        struct buf b;
        buf_init(&b, TEXT_MAX_BYTES);
        for (const char *at = NULL; (at = strstr(text, mark)) != NULL;) {
                char digest[DIGEST_SHA256_SIZE + 1];
                const char *name = at + strlen(mark);
                size_t size = strcspn(name, ">");
                buf_append(&b, text, (size_t)(at - text));
                digest_of(name, size, digest);
                buf_puts(&b, digest);
                text = name + size + 1;
        }
        buf_puts(&b, text);
        assert_false(b.overflow);
        return b.data != NULL ? b.data : mem_strdup("");
}

/* NULL: there is no such file. */
static char *load(const char *name, const char *suffix)
{
        struct err e;
        cleanup_free char *path = mem_printf("%s/%s%s", CORPUS, name, suffix);
        cleanup_free char *text = NULL;
        if (file_read(path, TEXT_MAX_BYTES, &text, NULL, &e) < 0)
                return NULL;
        return expand(text);
}

static char *hints_of(const struct pin_found *f)
{
        struct buf b;
        buf_init(&b, TEXT_MAX_BYTES);
        for (size_t i = 0; i < f->hint_count; i++)
                buf_printf(&b, "%d: %s\n", f->hints[i].line, f->hints[i].message);
        return b.data != NULL ? b.data : mem_strdup("");
}

static void find(
        struct pin_found *f, const char *name, const char *text, const struct pin_options *options)
{
        struct err e;
        pin_found_init(f, text, strlen(text), options);
        int status = pin_is_hcl(name) ? pin_find_hcl(f, name, &e) : pin_find_yaml(f, name, &e);
        if (status < 0)
                fail_msg("%s: %s", name, e.msg);
}

/* Tells the first line that is not as it should be; all files are gone through. */
static int differs(const char *name, const char *suffix, const char *got, const char *expected)
{
        size_t same = 0, line = 0;
        if (strcmp(got, expected) == 0)
                return 0;
        while (got[same] != '\0' && got[same] == expected[same])
                if (got[same++] == '\n')
                        line = same;
        print_error("%s%s:\n  got      %.*s\n  expected %.*s\n", name, suffix,
                (int)strcspn(got + line, "\n"), got + line, (int)strcspn(expected + line, "\n"),
                expected + line);
        return 1;
}

static int run_case(const char *name, const struct pin_options *options, const char *suffix,
        const char *hint_suffix)
{
        char digest[DIGEST_MAX];
        cleanup_free char *text = load(name, "");
        cleanup_free char *expected = load(name, suffix);
        cleanup_free char *loaded = load(name, hint_suffix);
        cleanup_pin_found struct pin_found f;
        size_t size = 0;
        assert_non_null(expected);
        find(&f, name, text, options);
        cleanup_free char *result = pin_apply(&f, registry, digest, &size);
        cleanup_free char *hints = hints_of(&f);
        assert_int_equal(size, strlen(result));
        return differs(name, suffix, result, expected) +
               differs(name, hint_suffix, hints, loaded != NULL ? loaded : "");
}

/* Once pinned, a text stays; updated, too, by a registry that says the same. */
static int run_again(const char *name, const char *suffix, enum pin_style style)
{
        char digest[DIGEST_MAX];
        int failures = 0;
        cleanup_free char *text = load(name, suffix);
        cleanup_free char *updated = load(name, ".update");
        for (int update = 0; update < 2; update++) {
                cleanup_pin_found struct pin_found f;
                find(&f, name, text, &(struct pin_options){.style = style, .update = update == 1});
                failures += update == 0 && f.target_count > 0;
                cleanup_free char *result = pin_apply(&f, registry, digest, NULL);
                if (update == 0 || updated == NULL)
                        failures += differs(name, suffix, result, text);
        }
        return failures;
}

static bool is_input(const char *name)
{
        static const char *const endings[] = {".yaml", ".json", ".tf"};
        for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
                const char *found = strstr(name, endings[i]);
                if (found != NULL && strcmp(found + strlen(endings[i]), "") == 0)
                        return true;
        }
        return strcmp(name, "main.tf.json") == 0;
}

static int run_name(const char *name)
{
        int failures = 0;
        failures += run_case(name, &(struct pin_options){.style = PIN_TAG}, ".tag", ".hints");
        failures +=
                run_case(name, &(struct pin_options){.style = PIN_COMMENT}, ".comment", ".hints");
        failures += run_again(name, ".tag", PIN_TAG);
        failures += run_again(name, ".comment", PIN_COMMENT);
        cleanup_free char *updated = load(name, ".update");
        cleanup_free char *hints = load(name, ".update-hints");
        if (updated != NULL)
                failures += run_case(name, &(struct pin_options){.update = true}, ".update",
                        hints != NULL ? ".update-hints" : ".hints");
        return failures;
}

static void corpus(void **state)
{
        (void)state;
        int count = 0, failures = 0;
        DIR *d = opendir(CORPUS);
        assert_non_null(d);
        for (struct dirent *entry = NULL; (entry = readdir(d)) != NULL;)
                if (is_input(entry->d_name)) {
                        count++;
                        failures += run_name(entry->d_name);
                }
        closedir(d);
        assert_int_equal(failures, 0);
        assert_true(count >= CASES_MIN);
}

/* ---- what a corpus does not tell ---- */

static const char *nobody(void *arg, const struct pin_target *t)
{
        const char *known = arg;
        return strcmp(t->written, known) == 0 ? "sha256:1" : NULL;
}

static void unresolved_ones_stay(void **state)
{
        (void)state;
        const char text[] = "- image: a:1\n- image: b:2\n- image: c:3\n";
        cleanup_pin_found struct pin_found f;
        find(&f, "x.yaml", text, &(struct pin_options){.style = PIN_COMMENT});
        assert_int_equal(f.target_count, 3);
        assert_int_equal(f.targets[1].line, 2);
        assert_string_equal(f.targets[1].reference, "docker.io/library/b:2");
        cleanup_free char *result = pin_apply(&f, nobody, (void *)"b:2", NULL);
        assert_string_equal(result, "- image: a:1\n- image: b@sha256:1 # was 2\n- image: c:3\n");
}

static void pinned_ones_say_by_what(void **state)
{
        (void)state;
        char old[DIGEST_MAX];
        digest_of("old", 3, old);
        cleanup_free char *text = mem_printf("image: a:1@%s\n", old);
        cleanup_pin_found struct pin_found f;
        find(&f, "x.yaml", text, &(struct pin_options){.update = true});
        assert_int_equal(f.target_count, 1);
        assert_string_equal(f.targets[0].pinned, old);
        assert_string_equal(f.targets[0].written, "a:1");
}

static void what_is_broken_is_an_error(void **state)
{
        (void)state;
        static const struct {
                const char *name, *text;
                size_t size;
                const char *message;
        } cases[] = {
                {"a.yaml", "a: b: c\n", 8,
                        "a.yaml:1:5: mapping values are not allowed in this context"},
                {"a.yaml", "a: [\n", 5, "a.yaml:2:1: did not find expected node content"},
                {"a.yaml", "a: \xff\n", 5, "a.yaml:1:1: invalid leading UTF-8 octet"},
                {"a.yaml", "a\0b", 3, "a.yaml:1:1: holds NUL bytes: not text in UTF-8"},
                {"a.tf", "a\0b", 3, "a.tf:1:1: holds NUL bytes: not text in UTF-8"},
                {"a.tf", "\nimage = \"nginx", 15, "a.tf:2:1: a string has no end"},
                {"a.tf", "\nimage = \"nginx\n\"", 17, "a.tf:2:1: a string has no end"},
                {"a.tf", "\n\n/* a", 6, "a.tf:3:1: a comment has no end"},
                {"a.tf", "x = <<EOF\na\n", 12, "a.tf:1:1: a heredoc has no end"},
                {"a.tf", "x = \"${", 7, "a.tf:1:1: a string has no end"},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct err e;
                const struct pin_options options = {0};
                cleanup_pin_found struct pin_found f;
                pin_found_init(&f, cases[i].text, cases[i].size, &options);
                int status = pin_is_hcl(cases[i].name) ? pin_find_hcl(&f, cases[i].name, &e)
                                                       : pin_find_yaml(&f, cases[i].name, &e);
                assert_int_equal(status, -1);
                assert_int_equal(e.code, ERR_CONFIG);
                assert_string_equal(e.msg, cases[i].message);
        }
}

static void nested_too_deep(void **state)
{
        (void)state;
        struct err e;
        struct buf b;
        const struct pin_options options = {0};
        buf_init(&b, TEXT_MAX_BYTES);
        buf_puts(&b, "a = ");
        for (int i = 0; i < 100; i++)
                buf_puts(&b, "\"${");
        cleanup_pin_found struct pin_found f;
        pin_found_init(&f, b.data, b.size, &options);
        assert_int_equal(pin_find_hcl(&f, "a.tf", &e), -1);
        assert_string_equal(e.msg, "a.tf:1:1: templates are nested too deep");
        buf_fini(&b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(corpus),
                cmocka_unit_test(unresolved_ones_stay),
                cmocka_unit_test(pinned_ones_say_by_what),
                cmocka_unit_test(what_is_broken_is_an_error),
                cmocka_unit_test(nested_too_deep),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

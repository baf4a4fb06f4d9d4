/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "config/config.h"
#include "config/files.h"
#include "config/keys.h"
#include "tests/unit/config/scratch.h"

static const char example[] = SOURCE_DIR "/config/example.toml";
static const char folder[] = "/etc/cri-resolved";

static char *read_example(void)
{
        char *text = NULL;
        struct err e;
        if (file_read(example, 1 << 20, &text, NULL, &e) < 0)
                fail_msg("%s", e.msg);
        return text;
}

/* A line of TOML behind any number of "# "; NULL for a sentence. */
static const char *uncommented(const char *line)
{
        line += strspn(line, "# ");
        size_t name = strspn(line, "abcdefghijklmnopqrstuvwxyz_");
        bool is_key = name > 0 && strncmp(line + name, " = ", 3) == 0;
        bool is_table = line[0] == '[' && line[strlen(line) - 1] == ']';
        return is_key || is_table ? line : NULL;
}

/* Marks the key of one line, if it has one; `table` follows the headings. */
static void mark(const char *line, char table[64], int *seen)
{
        const char *toml = uncommented(line);
        if (toml == NULL)
                return;
        if (toml[0] == '[') {
                size_t dot = strcspn(toml, ".]");
                snprintf(table, 64, "%.*s%s", (int)dot - 1, toml + 1, toml[dot] == '.' ? ".*" : "");
                return;
        }
        cleanup_free char *name = mem_strndup(toml, strcspn(toml, " "));
        const struct key *k = key_find(table, name);
        if (k == NULL)
                fail_msg("example.toml has %s in [%s]: no such key", name, table);
        seen[k - keys]++;
}

static void example_names_every_key_once_and_no_other(void **state)
{
        (void)state;
        cleanup_free char *text = read_example();
        cleanup_free int *seen = mem_zalloc(key_count * sizeof(int));
        char table[64] = "";
        char *rest = text;
        for (char *line; (line = strsep(&rest, "\n")) != NULL;)
                mark(line, table, seen);
        for (size_t i = 0; i < key_count; i++)
                if (seen[i] != 1)
                        fail_msg("example.toml has %s %d times", keys[i].path, seen[i]);
}

static void example_is_the_defaults(void **state)
{
        (void)state;
        struct config *defaults = NULL;
        struct config *loaded = NULL;
        struct err e;
        assert_int_equal(config_load(NULL, &defaults, &e), 0);
        if (config_load(example, &loaded, &e) < 0)
                fail_msg("%s", e.msg);
        assert_int_equal(loaded->upstream_count, 0);
        assert_int_equal(loaded->mirror_count, 0);
        for (size_t i = 0; i < key_count; i++) {
                bool upstream = keys[i].home == KEY_OF_UPSTREAM;
                const void *a = upstream ? (void *)&defaults->upstream_default : defaults;
                const void *b = upstream ? (void *)&loaded->upstream_default : loaded;
                if (keys[i].home != KEY_OF_MIRROR && !key_equal(&keys[i], a, b))
                        fail_msg("example.toml: %s is not the default", keys[i].path);
        }
        config_put(defaults);
        config_put(loaded);
}

/* The commented table works when somebody takes the comments away, and its files are there. */
static void example_works_uncommented(void **state)
{
        struct scratch *s = *state;
        cleanup_free char *text = read_example();
        char *whole = mem_strdup("");
        char *rest = text;
        for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
                const char *toml = uncommented(line);
                char *next = mem_printf("%s%s\n", whole, toml != NULL ? toml : "");
                free(whole);
                whole = next;
        }
        for (char *at; (at = strstr(whole, folder)) != NULL;) {
                *at = '\0';
                char *next = mem_printf("%s%s%s", whole, s->path, at + strlen(folder));
                free(whole);
                whole = next;
        }
        free(scratch_write(s, "ca.pem", "-----BEGIN CERTIFICATE-----\n"));
        free(scratch_write(s, "client.pem", "-----BEGIN CERTIFICATE-----\n"));
        free(scratch_write(s, "client.key", "-----BEGIN PRIVATE KEY-----\n"));
        free(scratch_write(s, "token", "content\n"));
        cleanup_free char *secret = scratch_write(s, "harbor.credentials", "robot:secret\n");
        assert_int_equal(chmod(secret, 0600), 0);
        cleanup_free char *path = scratch_write(s, "example.toml", whole);
        free(whole);
        struct config *c = NULL;
        struct err e;
        if (config_load(path, &c, &e) < 0)
                fail_msg("%s", e.msg);
        assert_int_equal(c->upstream_count, 1);
        assert_string_equal(c->upstreams[0].host, "registry.example.com");
        assert_int_equal(c->upstreams[0].header_count, 2);
        assert_string_equal(c->upstreams[0].headers[1].value, "content");
        assert_int_equal(c->upstreams[0].mirror_count, 2);
        const struct config_mirror *m = config_mirror_for(c, c->upstreams[0].mirrors[0]);
        assert_string_equal(m->username, "robot");
        assert_int_equal(m->header_count, 2);
        config_put(c);
}

static void table_is_well_formed(void **state)
{
        (void)state;
        for (size_t i = 0; i < key_count; i++) {
                size_t end = strlen(keys[i].doc);
                assert_true(end > 10 && keys[i].doc[end - 1] == '.');

                for (size_t j = 0; j < i; j++)
                        assert_string_not_equal(keys[i].path, keys[j].path);
        }
}

#define SCRATCH(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(example_names_every_key_once_and_no_other),
                cmocka_unit_test(example_is_the_defaults),
                SCRATCH(example_works_uncommented),
                cmocka_unit_test(table_is_well_formed),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

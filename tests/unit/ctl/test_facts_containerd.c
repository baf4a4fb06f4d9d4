/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "ctl/facts_containerd.h"
#include "ctl/facts_running.h"
#include "tests/unit/config/scratch.h"

#define OLD "[plugins.\"io.containerd.grpc.v1.cri\".registry"
#define NEW "[plugins.\"io.containerd.cri.v1.images\".registry"

struct text {
        const char *name, *text;
};

/* Writes the files and reads the first of them; the error's text, or NULL. The caller frees. */
static char *load(void **state, const struct text *files, size_t count, int major,
        struct containerd_facts *out)
{
        cleanup_free char *first = NULL;
        for (size_t i = 0; i < count && files[i].name != NULL; i++) {
                cleanup_free char *text = scratch_expand(*state, files[i].text);
                cleanup_free char *path = scratch_write(*state, files[i].name, text);
                if (i == 0)
                        first = take(&path);
        }
        struct err e;
        if (containerd_facts_load(first, major, out, &e) == 0)
                return NULL;
        const struct scratch *s = *state;
        char *at = strstr(e.msg, s->path);
        return mem_strdup(at != NULL ? at + strlen(s->path) : e.msg);
}

static void formats(void **state)
{
        static const struct {
                const char *text;
                int major;
                const char *path; /* "line value" */
        } cases[] = {
                {"[plugins.cri.registry]\nconfig_path = \"/a\"\n", 1, "2 /a"},
                {"[plugins.cri.registry]\nconfig_path = \"/a\"\n", 0, "2 /a"},
                {"[plugins.cri.registry]\nconfig_path = \"/a\"\n", 2, ""},
                {"version = 1\n[plugins.cri]\nregistry = { config_path = \"/a\" }\n", 1, "3 /a"},
                {"version = 2\n" OLD "]\nconfig_path = \"/b\"\n", 1, "3 /b"},
                {"version = 2\n" OLD "]\nconfig_path = \"/b\"\n", 2, "3 /b"},
                {"version = 2\n" NEW "]\nconfig_path = \"/b\"\n", 2, ""},
                {"version = 2\n[plugins.cri.registry]\nconfig_path = \"/b\"\n", 1, ""},
                {"version = 3\n" NEW "]\n  config_path = '/c'\n", 2, "3 /c"},
                {"version = 3\n" OLD "]\nconfig_path = \"/c\"\n", 2, ""},
                {"version = 3\n", 2, ""},
                {"", 1, ""},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_containerd_facts struct containerd_facts f;
                const struct text file = {"config.toml", cases[i].text};
                assert_null(load(state, &file, 1, cases[i].major, &f));
                struct containerd_value v = containerd_registry_value(&f, "config_path");
                cleanup_free char *got =
                        v.value == NULL ? mem_strdup("")
                                        : mem_printf("%d %s", v.line, containerd_config_path(&f));
                assert_string_equal(got, cases[i].path);
                bool ignored = f.section_count > 0 && !f.sections[0].known;
                assert_int_equal(ignored, f.section_count > 0 && got[0] == '\0');
        }
}

static const struct text parts[] = {
        {"config.toml", "version = 2\nimports = [\"@/d/*.toml\", \"other.toml\"]\n" OLD
                        ".mirrors.\"docker.io\"]\nendpoint = [\"http://one\"]\n"},
        {"d/b.toml", OLD "]\nconfig_path = \"/b\"\n"},
        {"d/a.toml", "version = 2\n" OLD ".mirrors.\"ghcr.io\"]\nendpoint = [\"http://two\"]\n"},
        {"other.toml",
                "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"p\"\n"},
};

/* 1.x: the last file with the plugin's section says all of it, whatever the others say. */
static void imports_replace_sections_in_1(void **state)
{
        cleanup_containerd_facts struct containerd_facts f;
        assert_null(load(state, parts, 4, 1, &f));
        assert_int_equal(f.config.count, 4);
        assert_non_null(strstr(f.config.files[1].path, "/d/a.toml"));
        assert_int_equal(f.config.files[2].format, 2); /* as the main one's */
        assert_null(containerd_registry_value(&f, "mirrors").value);
        assert_string_equal(containerd_config_path(&f), "");
        assert_string_equal(json_string_value(containerd_plugin_value(&f, "sandbox_image")), "p");
}

static void imports_are_merged_in_2(void **state)
{
        cleanup_containerd_facts struct containerd_facts f;
        assert_null(load(state, parts, 4, 2, &f));
        struct containerd_value path = containerd_registry_value(&f, "config_path");
        assert_string_equal(containerd_config_path(&f), "/b");
        assert_non_null(strstr(path.file, "/d/b.toml"));
        assert_int_equal(path.line, 2);
        assert_int_equal(json_object_size(containerd_registry_value(&f, "mirrors").value), 1);
        assert_int_equal(f.section_count, 3);
}

static void what_containerd_would_not_start_with(void **state)
{
        static const struct {
                struct text files[2];
                int major;
                const char *error;
        } cases[] = {
                {{{"a.toml", "version = 2\n[plugins\n"}}, 1, "/a.toml:2:9: "},
                {{{"a.toml", "version = 4\n"}}, 2, "/a.toml:1: version: allowed: 1, 2 or 3"},
                {{{"a.toml", "version = \"2\"\n"}}, 1, "/a.toml:1: version: allowed: 1, 2 or 3"},
                {{{"a.toml", "version = 3\n"}}, 1,
                        "/a.toml:1: version = 3 is for containerd 2.0 and later; this one is 1.x"},
                {{{"a.toml", "imports = [\"none.toml\"]\n"}}, 1, "/none.toml: No such file"},
                {{{"a.toml", "imports = [\"none.toml\"]\n"}}, 2, "/none.toml: No such file"},
                {{{"a.toml", "imports = [\"b.toml\"]\n"}, {"b.toml", "="}}, 2, "/b.toml:1:1: "},
                {{{"a.toml", "imports = [\"@/none/*.toml\"]\n"}}, 2, NULL},
                {{{"a.toml", "imports = [\"a.toml\", \"b.toml\"]\n"},
                         {"b.toml", "imports = [\"a.toml\"]"}},
                        1, NULL},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_containerd_facts struct containerd_facts f;
                cleanup_free char *error = load(state, cases[i].files, 2, cases[i].major, &f);
                assert_int_equal(error == NULL, cases[i].error == NULL);
                if (error != NULL)
                        assert_memory_equal(error, cases[i].error, strlen(cases[i].error));
        }
}

static void versions(void **state)
{
        (void)state;
        static const struct {
                const char *text;
                int major, minor;
        } cases[] = {{"v2.1.9+unknown", 2, 1}, {"1.6.20~ds1", 1, 6}, {"2.10.0-beta.1", 2, 10},
                {"unknown", 0, 0}, {"", 0, 0}, {"2", 0, 0}};
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                int major = -1;
                int minor = -1;
                running_version(cases[i].text, &major, &minor);
                assert_int_equal(major, cases[i].major);
                assert_int_equal(minor, cases[i].minor);
        }
}

static void poisoned_ingests(void **state)
{
        (void)state;
        static const struct {
                struct ingest ingest;
                bool poisoned;
        } cases[] = {
                {{.offset = 10, .total = 10, .age_s = 100}, true},
                {{.offset = 12, .total = 10, .age_s = 100}, true},
                {{.offset = 10, .total = 10, .age_s = 1}, false}, /* about to be committed */
                {{.offset = 9, .total = 10, .age_s = 100}, false},
                {{.offset = 0, .total = 0, .age_s = 100}, false},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                assert_int_equal(ingest_is_poisoned(&cases[i].ingest), cases[i].poisoned);
}

#define IN_SCRATCH(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                IN_SCRATCH(formats),
                IN_SCRATCH(imports_replace_sections_in_1),
                IN_SCRATCH(imports_are_merged_in_2),
                IN_SCRATCH(what_containerd_would_not_start_with),
                cmocka_unit_test(versions),
                cmocka_unit_test(poisoned_ingests),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

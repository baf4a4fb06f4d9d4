/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "ctl/facts_kubelet.h"
#include "ctl/facts_process.h"
#include "tests/unit/config/scratch.h"

static void flags_in_texts(void **state)
{
        (void)state;
        static const struct {
                const char *text, *value;
                int line;
        } cases[] = {
                {"--x=/a", "/a", 1},
                {"A=\"--v=2 --x=/a --y\"\n", "/a", 1},
                {"--x /a\n", "/a", 1},
                {"--x=\"/a b\"\n", "/a b", 1},
                {"KUBELET_ARGS=--x=/a\n", "/a", 1},
                {"[Service]\nExecStart=/usr/bin/kubelet \\\n  --x=/a \\\n  --x=/b\n", "/b", 4},
                {"# --x=/a\n", NULL, 0},
                {" ; --x=/a\n", NULL, 0},
                {"--x-y=/a --no--x=/b --x\n", NULL, 0},
                {"", NULL, 0},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                int line = 0;
                cleanup_free char *got = kubelet_flag(cases[i].text, "x", &line);
                assert_int_equal(got == NULL, cases[i].value == NULL);
                if (got != NULL)
                        assert_string_equal(got, cases[i].value);
                assert_int_equal(line, cases[i].line);
        }
}

static void options_of_processes(void **state)
{
        (void)state;
        static const char *const cases[][2] = {
                {"containerd --config /a.toml -l debug", "/a.toml"},
                {"containerd --config=/b.toml", "/b.toml"},
                {"containerd -c /c.toml", "/c.toml"},
        };
        for (size_t i = 0; i < 3; i++) {
                cleanup_free char *got = process_option(cases[i][0], "config", 'c');
                assert_string_equal(got, cases[i][1]);
        }
        assert_null(process_option("containerd --configure x", "config", 'c'));
}

struct kubelet_case {
        const char *config, *drop_in, *flags, *process; /* process "": none runs */
        const char *image;                              /* "place value" */
};

static void check_kubelet(void **state, const struct kubelet_case *k)
{
        cleanup_free char *config = scratch_write(*state, "config.yaml", k->config);
        cleanup_free char *drop_in = scratch_write(*state, "d/10-x.conf", k->drop_in);
        cleanup_free char *stray =
                scratch_write(*state, "d/20-x.yaml", "imageServiceEndpoint: no\n");
        cleanup_free char *said = scratch_expand(*state, k->flags);
        cleanup_free char *flags = scratch_write(*state, "flags.env", said);
        cleanup_free char *comm = scratch_write(*state, "proc/77/comm", "kubelet\n");
        cleanup_free char *started = scratch_expand(*state, k->process);
        cleanup_free char *words = scratch_write(*state, "proc/77/cmdline", started);
        cleanup_free char *other =
                scratch_write(*state, "other.yaml", "imageServiceEndpoint: unix:///o\n");
        cleanup_free char *proc = scratch_expand(*state, "@/proc");
        const char *const files[] = {"/nowhere/flags", flags, NULL};
        struct kubelet_places places = {
                .config = config, .flags = files, .proc = k->process[0] != '\0' ? proc : NULL};
        cleanup_kubelet_facts struct kubelet_facts f;
        struct err e;
        assert_int_equal(kubelet_facts_load(&places, &f, &e), 0);
        assert_true(f.found);
        const struct scratch *s = *state;
        const char *place = f.image.value == NULL ? "" : f.image.place;
        if (strncmp(place, s->path, strlen(s->path)) == 0)
                place += strlen(s->path);
        cleanup_free char *got =
                mem_printf("%s %s", place, f.image.value != NULL ? f.image.value : "");
        assert_string_equal(got, k->image);
}

/* In kubelet's order: the file, its drop-ins, flags; what runs has been started with its own. */
static void places_of_the_endpoint(void **state)
{
        static const struct kubelet_case cases[] = {
                {"kind: K\n", "", "", "kubelet", " "},
                {"kind: K\nimageServiceEndpoint: unix:///a\n", "", "", "kubelet",
                        "/config.yaml:2 unix:///a"},
                /* drop-ins count where kubelet was told of them, and nowhere else */
                {"imageServiceEndpoint: unix:///a\n", "\nimageServiceEndpoint: unix:///b\n", "",
                        "kubelet --config-dir=@/d", "/d/10-x.conf:2 unix:///b"},
                {"imageServiceEndpoint: unix:///a\n", "imageServiceEndpoint: unix:///b\n", "",
                        "kubelet", "/config.yaml:1 unix:///a"},
                {"imageServiceEndpoint: unix:///a\n", "imageServiceEndpoint: unix:///b\n",
                        "X=--config-dir=@/d\n", "kubelet", "/config.yaml:1 unix:///a"},
                {"", "imageServiceEndpoint: unix:///b\n", "X=--config-dir=@/d\n", "",
                        "/d/10-x.conf:1 unix:///b"},
                {"imageServiceEndpoint: unix:///a\n", "", "", "kubelet --config @/other.yaml",
                        "/other.yaml:1 unix:///o"},
                {"imageServiceEndpoint: unix:///a\n", "",
                        "\nX=--image-service-endpoint=unix:///c\n", "kubelet",
                        "/flags.env:2 unix:///c"},
                {"imageServiceEndpoint: unix:///a\n", "", "X=--image-service-endpoint=unix:///c\n",
                        "kubelet --image-service-endpoint=unix:///d", "process 77 unix:///d"},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                check_kubelet(state, &cases[i]);
}

/* A pod's process may have any name. Only root can give a folder away: for others their own counts.
 */
static void a_strangers_kubelet(void **state)
{
        enum { STRANGER = 4242 };
        cleanup_free char *comm = scratch_write(*state, "proc/77/comm", "kubelet\n");
        cleanup_free char *proc = scratch_expand(*state, "@/proc");
        cleanup_free char *folder = scratch_expand(*state, "@/proc/77");
        assert_int_equal(process_find(proc, "kubelet"), 77);
        bool given = chown(folder, STRANGER, (gid_t)-1) == 0;
        assert_int_equal(process_find(proc, "kubelet"), given ? 0 : 77);
}

static void crictl_files(void **state)
{
        static const struct {
                const char *text, *value;
                int line;
        } cases[] = {
                {"", NULL, 0},
                {"runtime-endpoint: unix:///a\n", "unix:///a", 0},
                {"runtime-endpoint: unix:///a\nimage-endpoint: \"unix:///b\"\n", "unix:///b", 2},
                {"image-endpoint: \"\"\nruntime-endpoint: unix:///a\n", "unix:///a", 1},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_free char *path = scratch_write(*state, "crictl.yaml", cases[i].text);
                cleanup_crictl_facts struct crictl_facts f;
                struct err e;
                assert_int_equal(crictl_facts_load(path, &f, &e), 0);
                assert_int_equal(f.image_line, cases[i].line);
                assert_int_equal(f.image.value == NULL, cases[i].value == NULL);
                if (f.image.value != NULL)
                        assert_string_equal(f.image.value, cases[i].value);
        }
        cleanup_free char *broken = scratch_write(*state, "broken.yaml", "a: [\n");
        cleanup_crictl_facts struct crictl_facts f;
        struct err e;
        assert_int_equal(crictl_facts_load(broken, &f, &e), -1);
        assert_non_null(strstr(e.msg, "broken.yaml:2:1: "));
        assert_int_equal(crictl_facts_load("/nowhere/crictl.yaml", &f, &e), 0);
        assert_false(f.found);
}

#define IN_SCRATCH(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(flags_in_texts),
                cmocka_unit_test(options_of_processes),
                IN_SCRATCH(places_of_the_endpoint),
                IN_SCRATCH(a_strangers_kubelet),
                IN_SCRATCH(crictl_files),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

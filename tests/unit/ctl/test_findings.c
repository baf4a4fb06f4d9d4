/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "base/mem.h"
#include "ctl/findings.h"

/* Steps of one file go from its end to its beginning, whatever the order in which they came. */
static void steps_of_one_file_from_its_end(void **state)
{
        (void)state;
        static const struct {
                const char *path;
                int first;
        } added[] = {{"a", 5}, {"a", 9}, {"b", 7}, {"a", 2}, {"b", 8}};
        json_t *list = json_array();
        json_t *finding = finding_add(list, FINDING_WILDCARD_MIRROR);
        for (size_t i = 0; i < 5; i++)
                finding_replace(finding, added[i].path, added[i].first, added[i].first, "");
        finding_run(finding, "systemctl", "restart", "containerd", NULL);
        const json_t *steps = json_object_get(json_object_get(finding, "remedy"), "steps");
        assert_int_equal(json_array_size(steps), 6);
        json_int_t last_a = 100;
        json_int_t last_b = 100;
        for (size_t i = 0; i < 5; i++) {
                const json_t *step = json_array_get(steps, i);
                bool is_a = strcmp(json_string_value(json_object_get(step, "path")), "a") == 0;
                json_int_t first = json_integer_value(json_object_get(step, "first"));
                assert_true(first < (is_a ? last_a : last_b));
                *(is_a ? &last_a : &last_b) = first;
        }
        const json_t *run = json_array_get(steps, 5);
        assert_string_equal(json_string_value(json_object_get(run, "action")), "run");
        json_decref(list);
}

static char *printed(const json_t *list, int width, size_t unseen)
{
        struct cli cli = {.width = width};
        char *text = NULL;
        size_t size = 0;
        FILE *to = open_memstream(&text, &size);
        findings_print(&cli, to, list, unseen);
        fclose(to);
        char *copy = mem_strdup(text);
        free(text);
        return copy;
}

static void for_people(void **state)
{
        (void)state;
        json_t *list = json_array();
        json_t *finding = finding_add(list, FINDING_CLOCK_SKEW);
        finding_evidence(finding, "https://a.io", "its clock\n\033[31m is \xff wrong");
        finding_write(finding, "/etc/x", "one\n\ntwo\n");
        finding_replace(finding, "/etc/y", 3, 2, "new\n");
        finding_replace(finding, "/etc/z", 4, 6, "");
        finding_run(finding, "echo", "it's", "plain", "", NULL);
        cleanup_free char *text = printed(list, 80, 0);
        assert_string_equal(text,
                "== network ==\n"
                "warning: clock-skew\n"
                "  this machine's clock differs from a registry's\n"
                "  https://a.io:\n"
                "      its clock\\n\\x1b[31m is ? wrong\n"
                "  leads to: Tokens seem to have ended or not to have begun, certificates too:\n"
                "            pulls fail with \"unauthorized\" or a TLS error that names a date.\n"
                "  remedy:   Set the clock, and keep it by NTP.\n"
                "    - write /etc/x:\n"
                "      | one\n"
                "      |\n"
                "      | two\n"
                "    - insert before line 3 of /etc/y:\n"
                "      | new\n"
                "    - delete lines 4 to 6 of /etc/z\n"
                "    - echo 'it'\\''s' plain ''\n"
                "  more:     docs/findings/clock-skew.md\n"
                "\n"
                "0 errors, 1 warning, 0 hints\n");
        json_decref(list);
}

/* By area, worst first, else as they came; every text of the table fits. */
static void all_kinds_in_order(void **state)
{
        (void)state;
        json_t *list = json_array();
        for (int kind = FINDING_KINDS; kind > 0; kind--)
                finding_add(list, (enum finding_kind)(kind - 1));
        json_t *first = finding_add(list, FINDING_WILDCARD_MIRROR);
        finding_set_severity(first, SEVERITY_HINT);
        findings_sort(list);
        assert_int_equal(json_array_size(list), FINDING_KINDS + 1);
        const json_t *last_of_containerd = NULL;
        for (size_t i = 0; i < json_array_size(list); i++) {
                const json_t *one = json_array_get(list, i);
                if (strcmp(json_string_value(json_object_get(one, "area")), "containerd") == 0)
                        last_of_containerd = one;
        }
        assert_ptr_equal(last_of_containerd, first);
        assert_int_equal(findings_count(list, SEVERITY_HINT), 3);
        cleanup_free char *text = printed(list, 200, 0);
        for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
                size_t size = strcspn(line, "\n");
                assert_true(size <= 80 && (size == 0 || line[size - 1] != ' '));
        }
        json_decref(list);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(steps_of_one_file_from_its_end),
                cmocka_unit_test(for_people),
                cmocka_unit_test(all_kinds_in_order),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "base/cancel.h"
#include "capture.h"
#include "ctl/help.h"
#include "ctl/options.h"
#include "ctl/start.h"

static const struct cli_option own[] = {
        {'a', "all", NULL, "All.", NULL},
        {'i', "in-place", NULL, "Writes.", NULL},
        {'f', "file", "FILE", "A file.", NULL},
        {0, "shape", "SHAPE", "A shape.", "round|square"},
        {0},
};
static const struct verb verb = {.name = "test", .arguments = "", .options = own};

enum { WORDS_MAX = 8 };

/* Parses words after the verb; what was printed on standard error is in *said. */
static int parse(struct cli *cli, char *const *words, char **said)
{
        char *argv[WORDS_MAX + 2] = {(char *)"cri-resolvectl"};
        int argc = 1;
        for (; words[argc - 1] != NULL; argc++)
                argv[argc] = words[argc - 1];
        struct capture c;
        *cli = (struct cli){.verb = &verb, .width = 80};
        capture_start(&c, stderr);
        int code = options_parse(cli, argc, argv);
        *said = capture_end(&c);
        return code;
}

#define WORDS(...)                                                                                 \
        (char *const[])                                                                            \
        {                                                                                          \
                __VA_ARGS__, NULL                                                                  \
        }

static void options_and_arguments(void **state)
{
        (void)state;
        struct cli cli;
        cleanup_free char *said = NULL;
        assert_int_equal(parse(&cli,
                                 WORDS((char *)"one", (char *)"--all", (char *)"--file=x=y",
                                         (char *)"-ojson", (char *)"-", (char *)"--", (char *)"-i"),
                                 &said),
                -1);
        assert_string_equal(said, "");
        assert_int_equal(cli.argument_count, 3);
        assert_string_equal(cli.arguments[0], "one");
        assert_string_equal(cli.arguments[1], "-");
        assert_string_equal(cli.arguments[2], "-i");
        assert_string_equal(cli_value(&cli, "all"), "");
        assert_string_equal(cli_value(&cli, "file"), "x=y");
        assert_null(cli_value(&cli, "in-place"));
        assert_null(cli_value(&cli, "no such option"));
        assert_true(cli.json);
        assert_null(cli.config_path);
        options_fini(&cli);
}

static void letters_in_one_word(void **state)
{
        (void)state;
        struct cli cli;
        cleanup_free char *said = NULL;
        assert_int_equal(parse(&cli, WORDS((char *)"-aif", (char *)"x", (char *)"-fy"), &said), -1);
        size_t count = 0;
        const char *const *files = cli_values(&cli, "file", &count);
        assert_int_equal(count, 2);
        assert_string_equal(files[0], "x");
        assert_string_equal(files[1], "y");
        assert_string_equal(cli_value(&cli, "file"), "y");
        assert_string_equal(cli_value(&cli, "all"), "");
        assert_string_equal(cli_value(&cli, "in-place"), "");
        assert_null(cli_values(&cli, "shape", &count));
        assert_int_equal(count, 0);
        options_fini(&cli);
}

static void the_last_one_counts(void **state)
{
        (void)state;
        struct cli cli;
        cleanup_free char *said = NULL;
        assert_int_equal(parse(&cli,
                                 WORDS((char *)"-o", (char *)"json", (char *)"--output=table",
                                         (char *)"--config", (char *)"a.toml"),
                                 &said),
                -1);
        assert_false(cli.json);
        assert_string_equal(cli.config_path, "a.toml");
        options_fini(&cli);
}

static void wrong_options(void **state)
{
        (void)state;
        static const struct {
                const char *word, *said;
        } cases[] = {
                {"--al", "there is no option \"--al\" (did you mean \"--all\"?)"},
                {"--confg=x", "there is no option \"--confg\" (did you mean \"--config\"?)"},
                {"--nothing-like-it", "there is no option \"--nothing-like-it\""},
                {"-x", "there is no option \"-x\""},
                {"-ax", "there is no option \"-x\""},
                {"--all=yes", "the option \"--all\" takes no value"},
                {"--file", "the option \"--file\" needs a value: FILE"},
                {"-af", "the option \"--file\" needs a value: FILE"},
                {"--shape=oval", "the option \"--shape\" takes round|square, not \"oval\""},
                {"--shape=", "the option \"--shape\" takes round|square, not \"\""},
                {"--shape=round|square",
                        "the option \"--shape\" takes round|square, not \"round|square\""},
                {"-oxml", "the option \"--output\" takes table|json, not \"xml\""},
                {"--\033[31m", "there is no option \"--\\x1b[31m\""},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct cli cli;
                cleanup_free char *said = NULL;
                assert_int_equal(parse(&cli, WORDS((char *)cases[i].word), &said), CLI_USAGE);
                cleanup_free char *wanted = mem_printf(
                        "cri-resolvectl test: %s\nsee cri-resolvectl test --help\n", cases[i].said);
                assert_string_equal(said, wanted);
                options_fini(&cli);
        }
}

/* ---- the whole program ---- */

static int run(char *const *words, char **out, char **said)
{
        char *argv[WORDS_MAX + 2] = {(char *)"cri-resolvectl"};
        int argc = 1;
        for (; words[argc - 1] != NULL; argc++)
                argv[argc] = words[argc - 1];
        struct capture to_out, to_err;
        struct cancel cancel;
        cancel_init(&cancel);
        capture_start(&to_out, stdout);
        capture_start(&to_err, stderr);
        int code = start(argc, argv, &cancel);
        *said = capture_end(&to_err);
        *out = capture_end(&to_out);
        cancel_fini(&cancel);
        return code;
}

static void without_a_verb(void **state)
{
        (void)state;
        cleanup_free char *out = NULL, *said = NULL, *help = NULL, *nothing = NULL;
        assert_int_equal(run((char *const[]){NULL}, &out, &said), CLI_USAGE);
        assert_string_equal(out, "");
        assert_int_equal(run(WORDS((char *)"--help"), &help, &nothing), CLI_OK);
        assert_string_equal(said, help);
        assert_string_equal(nothing, "");
        assert_int_equal(strncmp(help, "usage: cri-resolvectl VERB ", 27), 0);
}

static void unknown_verbs(void **state)
{
        (void)state;
        cleanup_free char *out = NULL, *said = NULL, *far_out = NULL, *far_said = NULL;
        assert_int_equal(run(WORDS((char *)"complete"), &out, &said), CLI_USAGE);
        assert_string_equal(said, "cri-resolvectl: there is no verb \"complete\" (did you mean "
                                  "\"completion\"?)\nsee cri-resolvectl --help\n");
        assert_int_equal(
                run(WORDS((char *)"help", (char *)"frobnicate"), &far_out, &far_said), CLI_USAGE);
        assert_string_equal(far_said, "cri-resolvectl help: there is no verb \"frobnicate\"\n"
                                      "see cri-resolvectl help --help\n");
        assert_string_equal(far_out, "");
}

static void version(void **state)
{
        (void)state;
        cleanup_free char *out = NULL, *said = NULL;
        assert_int_equal(run(WORDS((char *)"help", (char *)"--version"), &out, &said), CLI_OK);
        assert_string_equal(out, "cri-resolvectl " CRI_RESOLVED_VERSION "\n");
}

static void check_lines(const char *name, const char *text)
{
        for (const char *line = text; *line != '\0';) {
                size_t size = strcspn(line, "\n");
                if (size > 80 || (size > 0 && line[size - 1] == ' '))
                        fail_msg("%s: longer than 80, or a blank at the end: \"%.*s\"", name,
                                (int)size, line);
                line += size + (line[size] == '\n');
        }
}

static void help_fits_80_columns(void **state)
{
        (void)state;
        for (size_t i = 0; cli_verbs[i] != NULL; i++) {
                const struct verb *v = cli_verbs[i];
                cleanup_free char *out = NULL, *said = NULL, *same = NULL, *nothing = NULL;
                assert_int_equal(run(WORDS((char *)"help", (char *)v->name), &out, &said), CLI_OK);
                check_lines(v->name, out);
                assert_int_equal(
                        run(WORDS((char *)v->name, (char *)"-h"), &same, &nothing), CLI_OK);
                assert_string_equal(out, same);
                assert_true(strlen(v->summary) <= 72 && v->summary[strlen(v->summary) - 1] == '.');
                if (v->help[0] == '\0' || v->help[strlen(v->help) - 1] != '\n')
                        fail_msg("%s: help that ends with no line feed", v->name);
        }
        cleanup_free char *all = NULL, *said = NULL;
        assert_int_equal(run(WORDS((char *)"--help"), &all, &said), CLI_OK);
        check_lines("--help", all);
}

/* No verb takes a name or a letter that all have. */
static void options_are_told_apart(void **state)
{
        (void)state;
        for (size_t i = 0; cli_verbs[i] != NULL; i++)
                for (const struct cli_option *o = cli_verbs[i]->options;
                        o != NULL && o->name != NULL; o++) {
                        assert_true(o->doc != NULL && o->doc[strlen(o->doc) - 1] == '.');
                        for (const struct cli_option *c = options_common; c->name != NULL; c++)
                                assert_true(strcmp(o->name, c->name) != 0 &&
                                            (o->letter == 0 || o->letter != c->letter));
                        for (const struct cli_option *c = o + 1; c->name != NULL; c++)
                                assert_true(strcmp(o->name, c->name) != 0 &&
                                            (o->letter == 0 || o->letter != c->letter));
                }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(options_and_arguments),
                cmocka_unit_test(letters_in_one_word),
                cmocka_unit_test(the_last_one_counts),
                cmocka_unit_test(wrong_options),
                cmocka_unit_test(without_a_verb),
                cmocka_unit_test(unknown_verbs),
                cmocka_unit_test(version),
                cmocka_unit_test(help_fits_80_columns),
                cmocka_unit_test(options_are_told_apart),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/options.h"

#include <string.h>

#include "config/nearest.h"
#include "ctl/help.h"

const struct cli_option options_common[] = {
        {'o', "output", "FORMAT", "How results look: a table for people, or JSON.", "table|json"},
        {0, "config", "FILE",
                "The daemon's configuration (default: /etc/cri-resolved/config.toml, if it is "
                "there).",
                NULL},
        {'h', "help", NULL, "Explains the verb, or all of them.", NULL},
        {0, "version", NULL, "Prints the version.", NULL},
        {0},
};

/* Where the reading of the command line stands. */
struct reading {
        struct cli *cli;
        int argc;
        char *const *argv;
        int at;
        char **arguments;
        bool only_arguments; /* after -- */
};

const struct verb *options_find_verb(const char *name)
{
        for (size_t i = 0; cli_verbs[i] != NULL; i++)
                if (strcmp(cli_verbs[i]->name, name) == 0)
                        return cli_verbs[i];
        return NULL;
}

static char *suggestion(const struct nearest *near, const char *dashes)
{
        if (!nearest_is_slip(near))
                return mem_strdup("");
        return mem_printf(" (did you mean \"%s%s\"?)", dashes, near->name);
}

char *options_suggest_verb(const char *name)
{
        struct nearest near = {0};
        for (size_t i = 0; cli_verbs[i] != NULL; i++)
                nearest_try(&near, name, cli_verbs[i]->name);
        return suggestion(&near, "");
}

static const struct cli_option *find_in(
        const struct cli_option *options, const char *name, size_t size)
{
        for (; options != NULL && options->name != NULL; options++)
                if (strlen(options->name) == size && strncmp(options->name, name, size) == 0)
                        return options;
        return NULL;
}

static const struct cli_option *find_letter_in(const struct cli_option *options, char letter)
{
        for (; options != NULL && options->name != NULL; options++)
                if (options->letter == letter)
                        return options;
        return NULL;
}

static const struct cli_option *own_options(const struct cli *cli)
{
        return cli->verb != NULL ? cli->verb->options : NULL;
}

static int unknown_option(const struct cli *cli, const char *name, size_t size)
{
        struct nearest near = {0};
        cleanup_free char *written = mem_strndup(name, size);
        const struct cli_option *tables[] = {own_options(cli), options_common};
        for (size_t i = 0; i < 2; i++)
                for (const struct cli_option *o = tables[i]; o != NULL && o->name != NULL; o++)
                        nearest_try(&near, written, o->name);
        cleanup_free char *hint = suggestion(&near, "--");
        return cli_usage(cli, "there is no option \"--%s\"%s", written, hint);
}

static bool is_choice(const char *choices, const char *value)
{
        size_t size = strlen(value);
        for (const char *c = choices; c != NULL; c = strchr(c, '|')) {
                c += *c == '|';
                if (strcspn(c, "|") == size && strncmp(c, value, size) == 0)
                        return true;
        }
        return choices == NULL;
}

static void keep(struct cli *cli, const struct cli_option *option, const char *value)
{
        struct cli_given *g = NULL;
        for (size_t i = 0; i < cli->given_count; i++)
                if (cli->given[i].option == option)
                        g = &cli->given[i];
        if (g == NULL) {
                cli->given =
                        mem_resize(cli->given, (cli->given_count + 1) * sizeof(struct cli_given));
                g = &cli->given[cli->given_count++];
                *g = (struct cli_given){.option = option};
        }
        g->values = mem_resize(g->values, (g->count + 1) * sizeof(*g->values));
        g->values[g->count++] = value;
}

/* `inline_value` is what stood in the same word, NULL: nothing. -1, or an exit code. */
static int take_option(struct reading *r, const struct cli_option *option, const char *inline_value)
{
        const char *value = inline_value;
        if (option->value == NULL && value != NULL)
                return cli_usage(r->cli, "the option \"--%s\" takes no value", option->name);
        if (option->value != NULL && value == NULL) {
                if (r->at >= r->argc)
                        return cli_usage(r->cli, "the option \"--%s\" needs a value: %s",
                                option->name, option->value);
                value = r->argv[r->at++];
        }
        if (option->value != NULL && !is_choice(option->choices, value))
                return cli_usage(r->cli, "the option \"--%s\" takes %s, not \"%s\"", option->name,
                        option->choices, value);
        keep(r->cli, option, value != NULL ? value : "");
        return -1;
}

static int take_long(struct reading *r, const char *word)
{
        size_t size = strcspn(word, "=");
        const struct cli_option *option = find_in(own_options(r->cli), word, size);
        if (option == NULL)
                option = find_in(options_common, word, size);
        if (option == NULL)
                return unknown_option(r->cli, word, size);
        return take_option(r, option, word[size] == '=' ? word + size + 1 : NULL);
}

/* -abc is -a -b -c as long as they are flags; the first that takes a value has the rest. */
static int take_letters(struct reading *r, const char *word)
{
        int code = -1;
        while (*word != '\0' && code < 0) {
                const struct cli_option *option = find_letter_in(own_options(r->cli), *word);
                if (option == NULL)
                        option = find_letter_in(options_common, *word);
                if (option == NULL)
                        return cli_usage(r->cli, "there is no option \"-%c\"", *word);
                word++;
                bool rest = option->value != NULL && *word != '\0';
                code = take_option(r, option, rest ? word : NULL);
                if (rest)
                        break;
        }
        return code;
}

static int take_argument(struct reading *r, char *word)
{
        struct cli *cli = r->cli;
        if (cli->verb != NULL) {
                r->arguments[cli->argument_count++] = word;
                return -1;
        }
        cli->verb = options_find_verb(word);
        if (cli->verb != NULL)
                return -1;
        cleanup_free char *hint = options_suggest_verb(word);
        return cli_usage(cli, "there is no verb \"%s\"%s", word, hint);
}

static int take_word(struct reading *r)
{
        char *word = r->argv[r->at++];
        if (r->only_arguments || word[0] != '-' || word[1] == '\0')
                return take_argument(r, word);
        if (strcmp(word, "--") == 0) {
                r->only_arguments = true;
                return -1;
        }
        return word[1] == '-' ? take_long(r, word + 2) : take_letters(r, word + 1);
}

static int use_common(struct cli *cli)
{
        if (cli_value(cli, "version") != NULL) {
                puts("cri-resolvectl " CRI_RESOLVED_VERSION);
                return CLI_OK;
        }
        if (cli_value(cli, "help") != NULL) {
                if (cli->verb != NULL)
                        help_verb(stdout, cli->verb);
                else
                        help_all(stdout);
                return CLI_OK;
        }
        if (cli->verb == NULL) {
                help_all(stderr);
                return CLI_USAGE;
        }
        const char *output = cli_value(cli, "output");
        cli->json = output != NULL && strcmp(output, "json") == 0;
        cli->config_path = cli_value(cli, "config");
        return -1;
}

int options_parse(struct cli *cli, int argc, char *const *argv)
{
        struct reading r = {.cli = cli, .argc = argc, .argv = argv, .at = 1};
        r.arguments = mem_zalloc(((size_t)argc + 1) * sizeof(*r.arguments));
        cli->arguments = r.arguments;
        int code = -1;
        while (r.at < argc && code < 0)
                code = take_word(&r);
        return code >= 0 ? code : use_common(cli);
}

void options_fini(struct cli *cli)
{
        for (size_t i = 0; i < cli->given_count; i++)
                free(cli->given[i].values);
        free(cli->given);
        free((void *)cli->arguments);
        cli->given = NULL;
        cli->arguments = NULL;
        cli->given_count = cli->argument_count = 0;
}

const char *const *cli_values(const struct cli *cli, const char *name, size_t *count)
{
        for (size_t i = 0; i < cli->given_count; i++) {
                const struct cli_given *g = &cli->given[i];
                if (strcmp(g->option->name, name) == 0) {
                        *count = g->count;
                        return g->values;
                }
        }
        *count = 0;
        return NULL;
}

const char *cli_value(const struct cli *cli, const char *name)
{
        size_t count = 0;
        const char *const *values = cli_values(cli, name, &count);
        return count > 0 ? values[count - 1] : NULL;
}

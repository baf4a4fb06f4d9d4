/* SPDX-License-Identifier: Apache-2.0 */
/* The verb `completion`: what a shell is told, from the tables of verbs and options. */
#include <string.h>

#include "ctl/cli.h"
#include "ctl/drift.h"
#include "ctl/findings.h"
#include "ctl/options.h"
#include "ctl/verbs.h"

/* What may stand in the place of "FILE...", "a|b", "[VERB]", "[AREA...]" or "STATE,...". From
 * VALUES_WORDS on they are words that can be listed. */
enum values {
        VALUES_ANY,
        VALUES_FILES,
        VALUES_WORDS,
        VALUES_VERBS,
        VALUES_AREAS,
        VALUES_STATES,
};

static enum values values_of(const char *name)
{
        if (name == NULL)
                return VALUES_ANY;
        if (strchr(name, '|') != NULL)
                return VALUES_WORDS;
        if (strstr(name, "VERB") != NULL)
                return VALUES_VERBS;
        if (strstr(name, "AREA") != NULL)
                return VALUES_AREAS;
        if (strstr(name, "STATE") != NULL)
                return VALUES_STATES;
        return strstr(name, "FILE") != NULL || strstr(name, "DIR") != NULL ? VALUES_FILES
                                                                           : VALUES_ANY;
}

static bool has_words(const char *name)
{
        return values_of(name) >= VALUES_WORDS;
}

/* The i-th of them, NULL after the last. */
static const char *word_at(enum values values, size_t i)
{
        if (values == VALUES_VERBS)
                return cli_verbs[i] != NULL ? cli_verbs[i]->name : NULL;
        if (values == VALUES_AREAS)
                return i < AREA_COUNT ? finding_areas[i] : NULL;
        return i < DRIFT_STATES ? drift_state_name((enum drift_state)i) : NULL;
}

/* With a blank between them. */
static void print_words(const char *name)
{
        enum values values = values_of(name);
        const char *word = NULL;
        if (values != VALUES_WORDS) {
                for (size_t i = 0; (word = word_at(values, i)) != NULL; i++)
                        printf("%s%s", i > 0 ? " " : "", word);
                return;
        }
        for (const char *c = name; *c != '\0'; c++)
                if (strchr("[]", *c) == NULL)
                        putchar(*c == '|' ? ' ' : *c);
}

/* What an option's value is chosen from. */
static const char *choices_of(const struct cli_option *o)
{
        return o->choices != NULL ? o->choices : o->value;
}

/* s inside single quotes; `special` get a backslash besides. */
static void print_quoted(const char *s, const char *special)
{
        for (; *s != '\0'; s++) {
                if (*s == '\'')
                        fputs("'\\''", stdout);
                else if (strchr(special, *s) != NULL)
                        printf("\\%c", *s);
                else
                        putchar(*s);
        }
}

/* ---- bash ---- */

static void bash_option_names(const struct cli_option *options)
{
        for (const struct cli_option *o = options; o != NULL && o->name != NULL; o++)
                printf(" --%s", o->name);
}

/* What follows an option that takes a value, after any verb that has it. Files are bash's own. */
static void bash_option_values(const char *verb, const struct cli_option *options)
{
        for (const struct cli_option *o = options; o != NULL && o->name != NULL; o++) {
                if (o->value == NULL)
                        continue;
                printf("    %s:--%s", verb, o->name);
                if (o->letter != 0)
                        printf(" | %s:-%c", verb, o->letter);
                fputs(") words='", stdout);
                if (has_words(choices_of(o)))
                        print_words(choices_of(o));
                puts("' ;;");
        }
}

static void bash_verb(const struct verb *v)
{
        printf("    %s)\n      options='", v->name);
        bash_option_names(v->options);
        bash_option_names(options_common);
        fputs("'\n      words='", stdout);
        if (has_words(v->arguments))
                print_words(v->arguments);
        puts("' ;;");
}

static void print_bash(void)
{
        puts("# bash completion of cri-resolvectl: source <(cri-resolvectl completion bash)\n"
             "_cri_resolvectl() {\n"
             "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
             "  local verb= options= words= value=1 i\n"
             "  if [[ $cur == '=' ]]; then cur=; fi\n"
             "  if [[ $prev == '=' ]]; then prev=${COMP_WORDS[COMP_CWORD - 2]}; fi\n"
             "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
             "    case ${COMP_WORDS[i]} in\n"
             "      -o | --output | --config) ((i++)) ;;\n"
             "      -*) ;;\n"
             "      *) verb=${COMP_WORDS[i]}; break ;;\n"
             "    esac\n"
             "  done\n"
             "  case $verb:$prev in");
        bash_option_values("*", options_common);
        for (size_t i = 0; cli_verbs[i] != NULL; i++)
                bash_option_values(cli_verbs[i]->name, cli_verbs[i]->options);
        fputs("    *) value= ;;\n  esac\n  if [[ -z $value ]]; then\n    case $verb in\n    '')\n"
              "      options='",
                stdout);
        bash_option_names(options_common);
        fputs("'\n      words='", stdout);
        print_words("VERB");
        puts("' ;;");
        for (size_t i = 0; cli_verbs[i] != NULL; i++)
                bash_verb(cli_verbs[i]);
        puts("    esac\n"
             "    if [[ $cur == -* ]]; then words=$options; fi\n"
             "  fi\n"
             "  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
             "}\n"
             "complete -o default -F _cri_resolvectl cri-resolvectl");
}

/* ---- zsh ---- */

static void zsh_values(const char *name)
{
        if (values_of(name) == VALUES_FILES) {
                fputs("_files", stdout);
        } else if (has_words(name)) {
                putchar('(');
                print_words(name);
                putchar(')');
        }
}

static void zsh_options(const struct cli_option *options)
{
        for (const struct cli_option *o = options; o != NULL && o->name != NULL; o++) {
                if (o->letter != 0)
                        printf("    '(-%c --%s)'{-%c,--%s}'[", o->letter, o->name, o->letter,
                                o->name);
                else
                        printf("    '--%s[", o->name);
                print_quoted(o->doc, "[]:");
                putchar(']');
                if (o->value != NULL) {
                        printf(":%s:", o->value);
                        zsh_values(choices_of(o));
                }
                puts("' \\");
        }
}

static void zsh_verb(const struct verb *v)
{
        printf("  %s) _arguments \\\n", v->name);
        zsh_options(v->options);
        zsh_options(options_common);
        fputs("    '*:", stdout);
        print_quoted(v->arguments, "[]:");
        putchar(':');
        zsh_values(v->arguments);
        puts("' ;;");
}

static void print_zsh(void)
{
        puts("#compdef cri-resolvectl\n"
             "_cri_resolvectl() {\n"
             "  local context state line\n"
             "  local -a verbs\n"
             "  typeset -A opt_args\n"
             "  verbs=(");
        for (size_t i = 0; cli_verbs[i] != NULL; i++) {
                printf("    '%s:", cli_verbs[i]->name);
                print_quoted(cli_verbs[i]->summary, "");
                puts("'");
        }
        puts("  )\n  _arguments -C \\");
        zsh_options(options_common);
        puts("    '1:verb:->verb' '*::argument:->arguments'\n"
             "  [[ $state != verb ]] || _describe verb verbs\n"
             "  [[ $state == arguments ]] || return\n"
             "  case $words[1] in");
        for (size_t i = 0; cli_verbs[i] != NULL; i++)
                zsh_verb(cli_verbs[i]);
        puts("  esac\n}\nif [[ $funcstack[1] == _cri_resolvectl ]]; then _cri_resolvectl \"$@\"; "
             "else compdef _cri_resolvectl cri-resolvectl; fi");
}

/* ---- fish ---- */

/* fish's single quotes take a backslash for a backslash and for a quote. */
static void fish_doc(const char *doc)
{
        fputs(" -d '", stdout);
        for (; *doc != '\0'; doc++)
                printf("%s%c", strchr("\\'", *doc) != NULL ? "\\" : "", *doc);
        putchar('\'');
}

static void fish_values(const char *name, bool of_option)
{
        if (values_of(name) == VALUES_FILES)
                fputs(" -r -F", stdout);
        else if (of_option)
                fputs(" -x", stdout);
        if (!has_words(name))
                return;
        fputs(" -a '", stdout);
        print_words(name);
        putchar('\'');
}

static void fish_options(const char *condition, const struct cli_option *options)
{
        for (const struct cli_option *o = options; o != NULL && o->name != NULL; o++) {
                printf("complete -c cri-resolvectl%s -l %s", condition, o->name);
                if (o->letter != 0)
                        printf(" -s %c", o->letter);
                if (o->value != NULL)
                        fish_values(choices_of(o), true);
                fish_doc(o->doc);
                putchar('\n');
        }
}

static void fish_verb(const struct verb *v)
{
        printf("complete -c cri-resolvectl -n __fish_use_subcommand -a %s", v->name);
        fish_doc(v->summary);
        putchar('\n');
        cleanup_free char *after = mem_printf(" -n '__fish_seen_subcommand_from %s'", v->name);
        if (values_of(v->arguments) != VALUES_ANY) {
                printf("complete -c cri-resolvectl%s", after);
                fish_values(v->arguments, false);
                putchar('\n');
        }
        fish_options(after, v->options);
}

static void print_fish(void)
{
        puts("# fish completion of cri-resolvectl\ncomplete -c cri-resolvectl -f");
        fish_options("", options_common);
        for (size_t i = 0; cli_verbs[i] != NULL; i++)
                fish_verb(cli_verbs[i]);
}

/* ---- the verb ---- */

static const struct {
        const char *name;
        void (*print)(void);
} shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};

static int run(struct cli *cli)
{
        if (cli->argument_count == 1)
                for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++)
                        if (strcmp(shells[i].name, cli->arguments[0]) == 0) {
                                shells[i].print();
                                return CLI_OK;
                        }
        return cli_usage(cli, "name one shell: bash, zsh or fish");
}

const struct verb verb_completion = {
        .name = "completion",
        .arguments = "bash|zsh|fish",
        .summary = "Prints what a shell needs to complete this program's words.",
        .help = "Where it goes:\n\n"
                "  source <(cri-resolvectl completion bash)   # in ~/.bashrc\n"
                "  source <(cri-resolvectl completion zsh)    # in ~/.zshrc, after compinit\n"
                "  cri-resolvectl completion fish | source    # in fish's config.fish\n",
        .run = run,
};

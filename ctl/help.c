/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/help.h"

#include <string.h>

#include "base/buf.h"
#include "ctl/options.h"
#include "ctl/text.h"
#include "ctl/verbs.h"

enum { COLUMNS = 80, TERM_COLUMNS = 26, LINE_MAX_BYTES = 4096 };

static const char exit_codes[] =
        "Exit codes: 0 done; 1 done, with something to report; 64 wrong arguments or input; 66 "
        "not found; 69 a server cannot be reached; 70 an error of this program; 71 a file or "
        "another part of the system refused; 75 cancelled, or a server asks to wait; 76 an "
        "answer makes no sense; 77 not authorised; 78 the configuration is wrong; 130 and 143 "
        "after SIGINT and SIGTERM; 141 when nobody reads the output any more.\n";

/* A term, and beside it its text, filled. */
static void print_term(FILE *to, const char *term, const char *text)
{
        size_t width = text_width(term, strlen(term));
        size_t size = strlen(text), at = 0, next = 0;
        fprintf(to, "  %s", term);
        if (width + 4 > TERM_COLUMNS)
                fprintf(to, "\n%*s", TERM_COLUMNS, "");
        else
                fprintf(to, "%*s", (int)(TERM_COLUMNS - 2 - width), "");
        while (at < size) {
                size_t count = text_line(text + at, size - at, COLUMNS - TERM_COLUMNS, &next);
                fprintf(to, "%*s%.*s\n", at > 0 ? TERM_COLUMNS : 0, "", (int)count, text + at);
                at += next;
        }
}

static void print_options(FILE *to, const char *title, const struct cli_option *options)
{
        if (options == NULL || options->name == NULL)
                return;
        fprintf(to, "\n%s:\n", title);
        for (const struct cli_option *o = options; o->name != NULL; o++) {
                cleanup_buf struct buf term;
                buf_init(&term, LINE_MAX_BYTES);
                if (o->letter != 0)
                        buf_printf(&term, "-%c, ", o->letter);
                buf_printf(&term, "--%s", o->name);
                if (o->value != NULL)
                        buf_printf(&term, " %s", o->choices != NULL ? o->choices : o->value);
                print_term(to, buf_str(&term), o->doc);
        }
}

void help_all(FILE *to)
{
        fputs("usage: cri-resolvectl VERB [OPTION...] [ARGUMENT...]\n\n", to);
        text_fill(to,
                "Looks into and sets up pulls through cri-resolved: what a tag is now, what "
                "this node has, what the mirrors say, and what is wrong.\n\nVerbs:\n",
                0, COLUMNS);
        for (size_t i = 0; cli_verbs[i] != NULL; i++)
                print_term(to, cli_verbs[i]->name, cli_verbs[i]->summary);
        print_options(to, "Options of all verbs", options_common);
        fputs("\n`cri-resolvectl VERB --help` says more.\n\n", to);
        text_fill(to, exit_codes, 0, COLUMNS);
}

void help_verb(FILE *to, const struct verb *verb)
{
        cleanup_free char *usage = mem_printf("usage: cri-resolvectl %s [OPTION...]%s%s",
                verb->name, verb->arguments[0] != '\0' ? " " : "", verb->arguments);
        text_fill(to, usage, 0, COLUMNS);
        fputc('\n', to);
        text_fill(to, verb->summary, 0, COLUMNS);
        fputc('\n', to);
        text_fill(to, verb->help, 0, COLUMNS);
        print_options(to, "Options", verb->options);
        print_options(to, "Options of all verbs", options_common);
}

static int run(struct cli *cli)
{
        if (cli->argument_count > 1)
                return cli_usage(cli, "one verb at a time");
        if (cli->argument_count == 0) {
                help_all(stdout);
                return CLI_OK;
        }
        const struct verb *verb = options_find_verb(cli->arguments[0]);
        if (verb != NULL) {
                help_verb(stdout, verb);
                return CLI_OK;
        }
        cleanup_free char *hint = options_suggest_verb(cli->arguments[0]);
        return cli_usage(cli, "there is no verb \"%s\"%s", cli->arguments[0], hint);
}

const struct verb verb_help = {
        .name = "help",
        .arguments = "[VERB]",
        .summary = "Explains a verb, or lists all of them.",
        .help = "The same as --help after the verb.\n",
        .run = run,
};

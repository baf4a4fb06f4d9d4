/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <unistd.h>

#include "ctl/cli.h"
#include "ctl/diff.h"
#include "ctl/text.h"

enum { CONTEXT = 3 };

struct sink {
        const struct cli *cli;
        FILE *to;
        bool escape; /* a terminal must not be steered; a patch must stay one */
};

static void print_styled(const struct sink *s, enum cli_style style, const char *text)
{
        if (s->escape)
                cli_print_styled(s->cli, s->to, style, text);
        else
                fputs(text, s->to);
        fputc('\n', s->to);
}

/* Tabs stay: they are the text's, and steer nothing. */
static void print_line(const struct sink *s, const struct diff_edit *e)
{
        bool ended = e->line.size > 0 && e->line.at[e->line.size - 1] == '\n';
        enum cli_style style = e->kind == '+' ? CLI_GOOD : e->kind == '-' ? CLI_BAD : CLI_PLAIN;
        cleanup_free char *line =
                mem_printf("%c%.*s", e->kind, (int)(e->line.size - (ended ? 1 : 0)), e->line.at);
        print_styled(s, style, line);
        if (!ended)
                print_styled(s, CLI_FAINT, "\\ No newline at end of file");
}

/* "12,3", and "12" for one line; an empty range stands after the line before it. */
static char *range(size_t first, size_t count)
{
        if (count == 1)
                return mem_printf("%zu", first + 1);
        return mem_printf("%zu,%zu", count == 0 ? first : first + 1, count);
}

static void print_hunk(const struct sink *s, const struct diff_edit *edits, size_t count)
{
        size_t before = 0, after = 0;
        for (size_t i = 0; i < count; i++) {
                before += edits[i].kind != '+';
                after += edits[i].kind != '-';
        }
        cleanup_free char *from = range(edits[0].before, before);
        cleanup_free char *to = range(edits[0].after, after);
        cleanup_free char *head = mem_printf("@@ -%s +%s @@", from, to);
        print_styled(s, CLI_FAINT, head);
        for (size_t i = 0; i < count; i++)
                print_line(s, &edits[i]);
}

static size_t next_change(const struct diff_edit *edits, size_t count, size_t at)
{
        while (at < count && edits[at].kind == ' ')
                at++;
        return at;
}

/* Where the hunk ends that begins with the change at `at`: changes that share context are one. */
static size_t hunk_end(const struct diff_edit *edits, size_t count, size_t at)
{
        for (;;) {
                size_t end = at;
                while (end < count && edits[end].kind != ' ')
                        end++;
                at = next_change(edits, count, end);
                if (at >= count || at - end > 2 * (size_t)CONTEXT)
                        return end + CONTEXT < count ? end + CONTEXT : count;
        }
}

void cli_print_diff(
        const struct cli *cli, FILE *to, const char *name, const char *before, const char *after)
{
        if (strcmp(before, after) == 0)
                return;
        struct diff_edit *edits = NULL;
        size_t count = diff_edits(before, after, &edits);
        struct sink s = {.cli = cli, .to = to, .escape = cli->colour || isatty(fileno(to)) == 1};
        cleanup_free char *old_name = mem_printf("--- %s", name);
        cleanup_free char *new_name = mem_printf("+++ %s", name);
        print_styled(&s, CLI_BOLD, old_name);
        print_styled(&s, CLI_BOLD, new_name);
        for (size_t at = next_change(edits, count, 0); at < count;) {
                size_t start = at > CONTEXT ? at - CONTEXT : 0;
                size_t end = hunk_end(edits, count, at);
                print_hunk(&s, edits + start, end - start);
                at = next_change(edits, count, end);
        }
        free(edits);
}

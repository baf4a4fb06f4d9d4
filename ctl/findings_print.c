/* SPDX-License-Identifier: Apache-2.0 */
/* Findings for people: paragraphs of at most the terminal's width, or 80 columns where it is wider.
 */
#include <string.h>

#include "base/buf.h"
#include "ctl/findings.h"

enum { WIDTH_MAX = 80, WIDTH_MIN = 40, LINE_MAX_BYTES = 1 << 20 };

struct printer {
        const struct cli *cli;
        FILE *to;
        int width;
};

/* One line; what comes from files and from the network is escaped on the way. */
static void line(const struct printer *p, enum cli_style style, int indent, const char *s)
{
        fprintf(p->to, "%*s", indent, "");
        cli_print_styled(p->cli, p->to, style, s);
        fputc('\n', p->to);
}

/* How much of s fits: up to a blank, or one long word. */
static size_t piece(const char *s, size_t room)
{
        size_t end = strcspn(s, " ");
        while (s[end] != '\0') {
                size_t next = end + 1 + strcspn(s + end + 1, " ");
                if (next > room)
                        break;
                end = next;
        }
        return end;
}

/* `first` stands before the first line, blanks of the same width before the others. */
static void paragraph(const struct printer *p, int indent, const char *first, const char *s)
{
        size_t lead = strlen(first);
        size_t room = (size_t)(p->width - indent) - lead;
        for (bool begins = true; *s != '\0' || begins; begins = false) {
                size_t size = piece(s, room);
                cleanup_free char *whole =
                        mem_printf("%*s%.*s", (int)lead, begins ? first : "", (int)size, s);
                line(p, CLI_PLAIN, indent, whole);
                s += size + (s[size] == ' ');
        }
}

static const char *member(const json_t *object, const char *key)
{
        const char *s = json_string_value(json_object_get(object, key));
        return s != NULL ? s : "";
}

static void print_block(const struct printer *p, const char *text)
{
        while (*text != '\0') {
                size_t size = strcspn(text, "\n");
                cleanup_free char *one =
                        mem_printf("|%s%.*s", size > 0 ? " " : "", (int)size, text);
                line(p, CLI_PLAIN, 6, one);
                text += size + (text[size] == '\n');
        }
}

static void print_lines_step(const struct printer *p, const json_t *step)
{
        int first = (int)json_integer_value(json_object_get(step, "first"));
        int last = (int)json_integer_value(json_object_get(step, "last"));
        const char *text = member(step, "text");
        const char *verb = last < first ? "insert before" : text[0] == '\0' ? "delete" : "replace";
        cleanup_free char *lines = last > first ? mem_printf("lines %d to %d", first, last)
                                                : mem_printf("line %d", first);
        cleanup_free char *what = mem_printf(
                "%s %s of %s%s", verb, lines, member(step, "path"), text[0] == '\0' ? "" : ":");
        paragraph(p, 4, "- ", what);
        print_block(p, text);
}

/* As it can be pasted into a shell. */
static void print_command(const struct printer *p, const json_t *command)
{
        cleanup_buf struct buf b;
        buf_init(&b, LINE_MAX_BYTES);
        buf_puts(&b, "-");
        for (size_t i = 0; i < json_array_size(command); i++) {
                const char *word = json_string_value(json_array_get(command, i));
                bool plain =
                        word[0] != '\0' && strpbrk(word, " \t\n'\"\\$`*?[]{}()<>|&;#~!") == NULL;
                buf_puts(&b, plain ? " " : " '");
                for (const char *c = word; *c != '\0'; c++)
                        if (*c == '\'')
                                buf_puts(&b, "'\\''");
                        else
                                buf_append(&b, c, 1);
                buf_puts(&b, plain ? "" : "'");
        }
        line(p, CLI_BOLD, 4, buf_str(&b));
}

static void print_step(const struct printer *p, const json_t *step)
{
        const char *action = member(step, "action");
        if (strcmp(action, "run") == 0) {
                print_command(p, json_object_get(step, "command"));
        } else if (strcmp(action, "replace_lines") == 0) {
                print_lines_step(p, step);
        } else {
                cleanup_free char *what = mem_printf("write %s:", member(step, "path"));
                paragraph(p, 4, "- ", what);
                print_block(p, member(step, "content"));
        }
}

static void print_finding(const struct printer *p, const json_t *finding)
{
        const char *severity = member(finding, "severity");
        enum cli_style style = severity[0] == 'e'   ? CLI_BAD
                               : severity[0] == 'w' ? CLI_WARN
                                                    : CLI_FAINT;
        cleanup_free char *head = mem_printf("%s: %s", severity, member(finding, "identifier"));
        line(p, style, 0, head);
        paragraph(p, 2, "", member(finding, "title"));
        const json_t *evidence = json_object_get(finding, "evidence");
        for (size_t i = 0; i < json_array_size(evidence); i++) {
                const json_t *one = json_array_get(evidence, i);
                cleanup_free char *place = mem_printf("%s:", member(one, "place"));
                line(p, CLI_BOLD, 2, place);
                paragraph(p, 6, "", member(one, "text"));
        }
        paragraph(p, 2, "leads to: ", member(finding, "leads_to"));
        const json_t *remedy = json_object_get(finding, "remedy");
        paragraph(p, 2, "remedy:   ", member(remedy, "text"));
        const json_t *steps = json_object_get(remedy, "steps");
        for (size_t i = 0; i < json_array_size(steps); i++)
                print_step(p, json_array_get(steps, i));
        paragraph(p, 2, "more:     ", member(finding, "documentation"));
}

static void print_summary(const struct printer *p, const json_t *list, size_t unseen)
{
        size_t errors = findings_count(list, SEVERITY_ERROR);
        size_t warnings = findings_count(list, SEVERITY_WARNING);
        size_t hints = findings_count(list, SEVERITY_HINT);
        cleanup_free char *text =
                mem_printf("%zu error%s, %zu warning%s, %zu hint%s", errors, errors == 1 ? "" : "s",
                        warnings, warnings == 1 ? "" : "s", hints, hints == 1 ? "" : "s");
        cleanup_free char *more = unseen == 0 ? mem_strdup("")
                                              : mem_printf(", %zu area%s not looked at", unseen,
                                                        unseen == 1 ? "" : "s");
        cleanup_free char *whole = mem_printf("%s%s", text, more);
        enum cli_style style = errors > 0                   ? CLI_BAD
                               : warnings > 0 || unseen > 0 ? CLI_WARN
                                                            : CLI_GOOD;
        line(p, style, 0, whole);
}

void findings_print(const struct cli *cli, FILE *to, const json_t *list, size_t unseen)
{
        int width = cli->width > WIDTH_MAX ? WIDTH_MAX : cli->width;
        struct printer p = {.cli = cli, .to = to, .width = width < WIDTH_MIN ? WIDTH_MIN : width};
        const char *area = "";
        for (size_t i = 0; i < json_array_size(list); i++) {
                const json_t *finding = json_array_get(list, i);
                if (strcmp(area, member(finding, "area")) != 0) {
                        area = member(finding, "area");
                        cleanup_free char *title = mem_printf("== %s ==", area);
                        line(&p, CLI_BOLD, 0, title);
                }
                print_finding(&p, finding);
                fputc('\n', to);
        }
        print_summary(&p, list, unseen);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "ctl/cli.h"
#include "ctl/text.h"

/* A column that had to give way stays this wide. */
enum { COLUMN_MIN = 8, GAP = 2 };

struct row {
        char **cells; /* escaped */
        int styled;
        enum cli_style style;
};

struct cli_table {
        const struct cli *cli;
        size_t columns;
        struct row *rows; /* the first one are the titles */
        size_t row_count;
};

void cli_table_row(struct cli_table *t, const char *const *cells, int styled, enum cli_style style)
{
        t->rows = mem_resize(t->rows, (t->row_count + 1) * sizeof(*t->rows));
        struct row *r = &t->rows[t->row_count++];
        *r = (struct row){.styled = styled, .style = style};
        r->cells = mem_zalloc(t->columns * sizeof(*r->cells));
        for (size_t i = 0; i < t->columns; i++)
                r->cells[i] =
                        cells[i] != NULL ? text_escape(cells[i], strlen(cells[i])) : mem_strdup("");
}

struct cli_table *cli_table_new(const struct cli *cli, const char *const *titles, size_t columns)
{
        struct cli_table *t = mem_zalloc(sizeof(*t));
        *t = (struct cli_table){.cli = cli, .columns = columns};
        cli_table_row(t, titles, -1, CLI_BOLD);
        return t;
}

void cli_table_free(struct cli_table *t)
{
        if (t == NULL)
                return;
        for (size_t i = 0; i < t->row_count; i++) {
                for (size_t c = 0; c < t->columns; c++)
                        free(t->rows[i].cells[c]);
                free(t->rows[i].cells);
        }
        free(t->rows);
        free(t);
}

/* Each column as wide as its widest cell; *total with the gaps. */
static size_t *natural_widths(const struct cli_table *t, size_t *total)
{
        size_t *widths = mem_zalloc(t->columns * sizeof(*widths));
        *total = t->columns > 0 ? (t->columns - 1) * GAP : 0;
        for (size_t c = 0; c < t->columns; c++) {
                for (size_t i = 0; i < t->row_count; i++) {
                        const char *cell = t->rows[i].cells[c];
                        size_t w = text_width(cell, strlen(cell));
                        widths[c] = w > widths[c] ? w : widths[c];
                }
                *total += widths[c];
        }
        return widths;
}

static size_t *fitting_widths(const struct cli_table *t)
{
        size_t total = 0;
        size_t *widths = natural_widths(t, &total);
        while (total > (size_t)t->cli->width) {
                size_t widest = 0;
                for (size_t c = 1; c < t->columns; c++)
                        if (widths[c] > widths[widest])
                                widest = c;
                if (widths[widest] <= COLUMN_MIN)
                        break;
                widths[widest]--;
                total--;
        }
        return widths;
}

/* The next line of a cell; its width. `pad` blanks go before it: none come after the last one. */
static size_t print_piece(const struct cli_table *t, FILE *to, const struct row *r, size_t column,
        size_t column_width, size_t pad, const char **rest)
{
        size_t size = strlen(*rest), next = 0;
        size_t count = text_line(*rest, size, column_width, &next);
        cleanup_free char *piece = mem_strndup(*rest, count);
        *rest += next;
        fprintf(to, "%*s", (int)pad, "");
        bool styled = r->styled < 0 || (size_t)r->styled == column;
        cli_print_styled(t->cli, to, styled ? r->style : CLI_PLAIN, piece);
        return text_width(piece, count);
}

static void print_row(
        const struct cli_table *t, FILE *to, const struct row *r, const size_t *widths)
{
        const char **rest = mem_zalloc(t->columns * sizeof(*rest));
        memcpy(rest, r->cells, t->columns * sizeof(*rest));
        for (bool more = true; more;) {
                size_t pad = 0;
                more = false;
                for (size_t c = 0; c < t->columns; c++) {
                        size_t width = 0;
                        if (*rest[c] != '\0') {
                                width = print_piece(t, to, r, c, widths[c], pad, &rest[c]);
                                pad = 0;
                        }
                        pad += widths[c] - (width < widths[c] ? width : widths[c]) + GAP;
                        more = more || *rest[c] != '\0';
                }
                fputc('\n', to);
        }
        free(rest);
}

void cli_table_print(struct cli_table *t, FILE *to)
{
        cleanup_free size_t *widths = fitting_widths(t);
        for (size_t i = 0; i < t->row_count; i++)
                print_row(t, to, &t->rows[i], widths);
}

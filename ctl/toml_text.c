/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/toml_text.h"

#include <ctype.h>
#include <string.h>

#include "config/toml.h"

enum { DEPTH_MAX = 64 };

/* A text on its way into items. `at` never passes the end; peek gives 0 there. */
struct scan {
        struct toml_text *out;
        size_t at;
        struct strings table; /* the path of the last header */
        int depth;            /* of nested values */
};

static char peek(const struct scan *s, size_t ahead)
{
        if (s->at + ahead >= s->out->size)
                return '\0';
        return s->out->text[s->at + ahead];
}

static bool looking_at(const struct scan *s, const char *what)
{
        size_t size = strlen(what);
        return s->out->size - s->at >= size && memcmp(s->out->text + s->at, what, size) == 0;
}

static void skip_blanks(struct scan *s)
{
        while (peek(s, 0) == ' ' || peek(s, 0) == '\t')
                s->at++;
}

static void skip_comment(struct scan *s)
{
        while (s->at < s->out->size && peek(s, 0) != '\n')
                s->at++;
}

/* White space, lines and comments, as they may stand within an array. */
static void skip_space(struct scan *s)
{
        for (;;) {
                while (peek(s, 0) != '\0' && strchr(" \t\r\n", peek(s, 0)) != NULL)
                        s->at++;
                if (peek(s, 0) != '#')
                        return;
                skip_comment(s);
        }
}

static bool skip_block_string(struct scan *s, const char *fence)
{
        s->at += strlen(fence);
        for (; s->at < s->out->size; s->at++) {
                if (peek(s, 0) == '\\' && fence[0] == '"')
                        s->at++;
                else if (looking_at(s, fence))
                        break;
        }
        if (s->at >= s->out->size)
                return false;
        while (peek(s, 0) == fence[0]) /* up to two quotes may stand before the fence */
                s->at++;
        return true;
}

static bool skip_string(struct scan *s)
{
        char quote = peek(s, 0);
        const char *fence = quote == '"' ? "\"\"\"" : "'''";
        if (looking_at(s, fence))
                return skip_block_string(s, fence);
        for (s->at++; s->at < s->out->size && peek(s, 0) != '\n'; s->at++) {
                if (peek(s, 0) == '\\' && quote == '"') {
                        s->at++;
                } else if (peek(s, 0) == quote) {
                        s->at++;
                        return true;
                }
        }
        return false;
}

/* ---- keys ---- */

static bool is_bare(char c)
{
        return isalnum((unsigned char)c) || c == '_' || c == '-';
}

/* A quoted key with escapes means what the parser says it means. */
static char *unescape(const char *quoted, size_t size)
{
        cleanup_free char *line = mem_printf("k = %.*s\n", (int)size, quoted);
        json_t *values = NULL;
        struct err ignored;
        if (toml_parse(line, strlen(line), "key", &values, NULL, &ignored) < 0)
                return NULL;
        char *key = mem_strdup_or_null(json_string_value(json_object_get(values, "k")));
        json_decref(values);
        return key;
}

static char *take_key(struct scan *s)
{
        size_t begin = s->at;
        const char *text = s->out->text + begin;
        if (peek(s, 0) == '"' || peek(s, 0) == '\'') {
                if (!skip_string(s))
                        return NULL;
                size_t size = s->at - begin;
                return text[0] == '"' && memchr(text, '\\', size) != NULL
                               ? unescape(text, size)
                               : mem_strndup(text + 1, size - 2);
        }
        while (is_bare(peek(s, 0)))
                s->at++;
        return s->at > begin ? mem_strndup(text, s->at - begin) : NULL;
}

/* Adds a dotted key to the path. */
static bool take_path(struct scan *s, struct strings *path)
{
        for (;;) {
                skip_blanks(s);
                cleanup_free char *key = take_key(s);
                if (key == NULL)
                        return false;
                strings_add(path, key);
                skip_blanks(s);
                if (peek(s, 0) != '.')
                        return true;
                s->at++;
        }
}

/* ---- items ---- */

static size_t add_item(struct scan *s, struct toml_item item, const struct strings *table)
{
        struct toml_text *t = s->out;
        for (size_t i = 0; i < table->count; i++)
                strings_add(&item.path, table->items[i]);
        item.table_depth = table->count;
        t->items = mem_resize(t->items, (t->count + 1) * sizeof(*t->items));
        t->items[t->count] = item;
        return t->count++;
}

static bool take_value(struct scan *s, size_t owner);

static bool take_array(struct scan *s)
{
        s->at++;
        for (;;) {
                skip_space(s);
                if (peek(s, 0) == ']') {
                        s->at++;
                        return true;
                }
                if (!take_value(s, TOML_STATEMENT))
                        return false;
                skip_space(s);
                if (peek(s, 0) == ',')
                        s->at++;
                else if (peek(s, 0) != ']')
                        return false;
        }
}

/* key = value, of the table or of the member's owner; its item is added first. */
static bool take_assignment(struct scan *s, const struct strings *table, size_t owner, size_t begin)
{
        size_t index = add_item(
                s, (struct toml_item){.kind = TOML_VALUE, .parent = owner, .begin = begin}, table);
        struct strings path = s->out->items[index].path;
        bool ok = take_path(s, &path);
        s->out->items[index].path = path;
        skip_blanks(s);
        if (!ok || peek(s, 0) != '=')
                return false;
        s->at++;
        skip_blanks(s);
        s->out->items[index].value_begin = s->at;
        if (!take_value(s, index))
                return false;
        s->out->items[index].value_end = s->at;
        s->out->items[index].end = s->at;
        return true;
}

/* `owner` is the value that this table is; TOML_STATEMENT within an array: nobody asks for those
 * members. */
static bool take_inline_table(struct scan *s, size_t owner)
{
        size_t before = s->out->count;
        cleanup_strings struct strings table = {0};
        if (owner != TOML_STATEMENT)
                for (size_t i = 0; i < s->out->items[owner].path.count; i++)
                        strings_add(&table, s->out->items[owner].path.items[i]);
        s->at++;
        for (;;) {
                skip_space(s);
                if (peek(s, 0) == '}')
                        break;
                if (!take_assignment(s, &table, owner, s->at))
                        return false;
                skip_space(s);
                if (peek(s, 0) == ',')
                        s->at++;
                else if (peek(s, 0) != '}')
                        return false;
        }
        s->at++;
        while (owner == TOML_STATEMENT && s->out->count > before)
                strings_clear(&s->out->items[--s->out->count].path);
        return true;
}

/* Numbers, dates (with a blank in them, perhaps) and the like. */
static bool take_bare_value(struct scan *s)
{
        size_t begin = s->at;
        while (peek(s, 0) != '\0' && strchr(",]}#\r\n", peek(s, 0)) == NULL)
                s->at++;
        while (s->at > begin && strchr(" \t", s->out->text[s->at - 1]) != NULL)
                s->at--;
        return s->at > begin;
}

static bool take_value(struct scan *s, size_t owner)
{
        bool ok = false;
        char first = peek(s, 0);
        if (++s->depth <= DEPTH_MAX) {
                if (first == '[')
                        ok = take_array(s);
                else if (first == '{')
                        ok = take_inline_table(s, owner);
                else if (first == '"' || first == '\'')
                        ok = skip_string(s);
                else
                        ok = take_bare_value(s);
        }
        s->depth--;
        return ok;
}

static bool take_header(struct scan *s, size_t begin)
{
        bool array = peek(s, 1) == '[';
        strings_clear(&s->table);
        s->at += array ? 2 : 1;
        bool ok = take_path(s, &s->table) && looking_at(s, array ? "]]" : "]");
        s->at += array ? 2 : 1;
        if (ok)
                add_item(s,
                        (struct toml_item){.kind = array ? TOML_ARRAY_HEADER : TOML_HEADER,
                                .parent = TOML_STATEMENT,
                                .begin = begin},
                        &s->table);
        return ok;
}

/* What may stand behind a statement on its line, and the line's end. */
static bool take_line_end(struct scan *s)
{
        skip_blanks(s);
        if (peek(s, 0) == '#')
                skip_comment(s);
        if (peek(s, 0) == '\r')
                s->at++;
        if (s->at >= s->out->size)
                return true;
        return s->out->text[s->at++] == '\n';
}

static bool take_statement(struct scan *s)
{
        size_t begin = s->at;
        skip_blanks(s);
        char first = peek(s, 0);
        if (first == '#' || first == '\r' || first == '\n' || s->at >= s->out->size)
                return take_line_end(s);
        size_t index = s->out->count;
        bool ok = first == '[' ? take_header(s, begin)
                               : take_assignment(s, &s->table, TOML_STATEMENT, begin);
        if (!ok || !take_line_end(s))
                return false;
        s->out->items[index].end = s->at;
        return true;
}

static int line_of(const char *text, size_t at)
{
        int line = 1;
        for (size_t i = 0; i < at; i++)
                line += text[i] == '\n';
        return line;
}

int toml_text_scan(const char *text, size_t size, struct toml_text *out, struct err *e)
{
        *out = (struct toml_text){.text = text, .size = size};
        struct scan s = {.out = out};
        bool ok = memchr(text, '\0', size) == NULL;
        if (looking_at(&s, "\xef\xbb\xbf"))
                s.at += strlen("\xef\xbb\xbf");
        size_t begin = s.at;
        while (ok && s.at < size) {
                begin = s.at;
                ok = take_statement(&s);
        }
        strings_clear(&s.table);
        if (ok)
                return 0;
        toml_text_fini(out);
        return err_set(e, ERR_INVALID, "line %d: not understood", line_of(text, begin));
}

void toml_text_fini(struct toml_text *t)
{
        for (size_t i = 0; i < t->count; i++)
                strings_clear(&t->items[i].path);
        free(t->items);
        *t = (struct toml_text){0};
}

bool toml_path_below(const struct strings *path, const struct strings *prefix)
{
        for (size_t i = 0; i < prefix->count; i++)
                if (i >= path->count || strcmp(path->items[i], prefix->items[i]) != 0)
                        return false;
        return true;
}

size_t toml_text_next(const struct toml_text *t, size_t i)
{
        do
                i++;
        while (i < t->count && t->items[i].parent != TOML_STATEMENT);
        return i;
}

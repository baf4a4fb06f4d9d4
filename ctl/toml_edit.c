/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/toml_edit.h"

#include <stdarg.h>
#include <string.h>

#include "config/toml.h"
#include "ctl/toml_text.h"

enum { TEXT_MAX_BYTES = 8 << 20 };

struct strings toml_path(const char *first, ...)
{
        struct strings path = {0};
        va_list keys;
        va_start(keys, first);
        for (const char *key = first; key != NULL; key = va_arg(keys, const char *))
                strings_add(&path, key);
        va_end(keys);
        return path;
}

/* ---- what a change should mean ---- */

static int parse(const char *text, json_t **values, struct err *e)
{
        return toml_parse(text, strlen(text), "line", values, NULL, e);
}

static void json_decref_at(json_t **value)
{
        json_decref(*value);
}
#define cleanup_json cleanup(json_decref_at)

/* Tables with nothing in them mean nothing, and need no header. */
static void prune(json_t *object)
{
        const char *key = NULL;
        json_t *value = NULL;
        void *next = NULL;
        json_object_foreach_safe(object, next, key, value)
        {
                if (!json_is_object(value))
                        continue;
                prune(value);
                if (json_object_size(value) == 0)
                        json_object_del(object, key);
        }
}

/* The table that holds the last key of the path; NULL if there is none. With `make`, it is made. */
static json_t *table_of(json_t *values, const struct strings *path, bool make)
{
        for (size_t i = 0; values != NULL && i + 1 < path->count; i++) {
                json_t *below = json_object_get(values, path->items[i]);
                if (below == NULL && make) {
                        below = json_object();
                        json_object_set_new(values, path->items[i], below);
                }
                values = json_is_object(below) ? below : NULL;
        }
        return values;
}

/* `value` NULL: it is gone. */
static int check(const char *before, const char *after, const struct strings *path,
        const json_t *value, struct err *e)
{
        cleanup_json json_t *wanted = NULL;
        cleanup_json json_t *got = NULL;
        if (parse(before, &wanted, e) < 0)
                return -1;
        struct err ignored;
        if (parse(after, &got, &ignored) == 0) {
                json_t *table = table_of(wanted, path, value != NULL);
                const char *key = path->items[path->count - 1];
                if (value != NULL && table != NULL)
                        json_object_set_new(table, key, json_deep_copy(value));
                else if (table != NULL)
                        json_object_del(table, key);
                prune(wanted);
                prune(got);
                if (json_equal(wanted, got))
                        return 0;
        }
        return err_set(e, ERR_INVALID, "%s cannot be changed without touching what is around it",
                path->items[path->count - 1]);
}

static int scan(const char *text, struct toml_text *t, struct err *e)
{
        cleanup_json json_t *values = NULL;
        if (parse(text, &values, e) < 0)
                return -1;
        return toml_text_scan(text, strlen(text), t, e);
}

/* ---- removing ---- */

static bool goes(const struct toml_text *t, size_t i, const struct strings *path)
{
        return i < t->count && toml_path_below(&t->items[i].path, path);
}

/* Where the next line begins. */
static size_t line_end(const char *text, size_t at)
{
        const char *end = strchr(text + at, '\n');
        return end != NULL ? (size_t)(end - text) + 1 : at + strlen(text + at);
}

static bool is_blank_line(const char *text, size_t at, size_t end)
{
        return at < end && at + strspn(text + at, " \t\r") < end &&
               text[at + strspn(text + at, " \t\r")] == '\n';
}

static bool ends_blank(const char *s)
{
        size_t size = strlen(s);
        return size == 0 || (size > 1 && s[size - 1] == '\n' && s[size - 2] == '\n') ||
               (size > 2 && strcmp(s + size - 3, "\n\r\n") == 0);
}

/*
 * Between what goes, up to `begin`, and what stays, from `end` on: lines up to the first blank one
 * are of what goes, and those behind it of what stays; without a blank one all of them are. The
 * blank lines go where there is one already. Returns from where the text stays.
 */
static size_t kept_from(const char *text, size_t begin, size_t end, const char *before)
{
        size_t at = begin;
        while (at < end && !is_blank_line(text, at, end))
                at = line_end(text, at);
        if (at >= end)
                return begin;
        while (ends_blank(before) && is_blank_line(text, at, end))
                at = line_end(text, at);
        return at;
}

/* Members of the inline table of item `owner`: each that goes takes one comma along. */
static size_t remove_members(const struct toml_text *t, size_t owner, const struct strings *path,
        size_t copied, struct buf *out);

static size_t remove_member(const struct toml_text *t, size_t i, size_t last_kept, size_t next,
        size_t copied, struct buf *out)
{
        const struct toml_item *m = &t->items[i];
        size_t begin = m->begin;
        size_t end = m->end;
        if (last_kept != 0)
                begin = last_kept; /* with the comma, and what is around it */
        else if (next < t->count)
                end = t->items[next].begin;
        if (begin > copied)
                buf_append(out, t->text + copied, begin - copied);
        return end > copied ? end : copied;
}

static size_t next_member(const struct toml_text *t, size_t i, size_t owner)
{
        for (i++; i < t->count && t->items[i].parent != TOML_STATEMENT; i++)
                if (t->items[i].parent == owner)
                        return i;
        return t->count;
}

static size_t remove_members(const struct toml_text *t, size_t owner, const struct strings *path,
        size_t copied, struct buf *out)
{
        size_t last_kept = 0; /* the end of the last member that stays */
        for (size_t i = next_member(t, owner, owner); i < t->count; i = next_member(t, i, owner)) {
                if (goes(t, i, path)) {
                        copied = remove_member(
                                t, i, last_kept, next_member(t, i, owner), copied, out);
                } else {
                        copied = remove_members(t, i, path, copied, out);
                        last_kept = t->items[i].end;
                }
        }
        return copied;
}

static void remove_all(const struct toml_text *t, const struct strings *path, struct buf *out)
{
        size_t copied = 0;
        for (size_t i = 0; i < t->count; i = toml_text_next(t, i)) {
                const struct toml_item *item = &t->items[i];
                if (!goes(t, i, path)) {
                        copied = remove_members(t, i, path, copied, out);
                        continue;
                }
                if (item->begin > copied)
                        buf_append(out, t->text + copied, item->begin - copied);
                size_t next = toml_text_next(t, i);
                size_t end = next < t->count ? t->items[next].begin : t->size;
                copied = goes(t, next, path) ? end
                                             : kept_from(t->text, item->end, end, buf_str(out));
        }
        buf_append(out, t->text + copied, t->size - copied);
}

int toml_edit_remove(const char *text, const struct strings *path, char **out, struct err *e)
{
        *out = NULL;
        cleanup_toml_text struct toml_text t = {0};
        if (scan(text, &t, e) < 0)
                return -1;
        cleanup_buf_secret struct buf b;
        buf_init(&b, TEXT_MAX_BYTES);
        remove_all(&t, path, &b);
        if (b.overflow)
                return err_set(e, ERR_TOO_LARGE, "more than %d bytes", TEXT_MAX_BYTES);
        if (check(text, buf_str(&b), path, NULL, e) < 0)
                return -1;
        *out = mem_strdup(buf_str(&b));
        return 0;
}

/* ---- setting ---- */

/* A place for a key, and how it is to be written there. */
struct place {
        size_t at, end;     /* what is replaced: nothing where they are the same */
        const char *indent; /* of what is added; not ended */
        size_t indent_size;
        const char *key_indent; /* of a key below an added header */
        size_t key_indent_size;
        bool deeper;      /* two blanks more than that, where there are any */
        size_t depth;     /* keys of the path that the place gives already */
        bool header;      /* the table is to be opened first */
        bool member;      /* in an inline table */
        bool more;        /* ... that has other members */
        bool replace;     /* the value alone */
        bool blank_after; /* a table before another */
};

static size_t indent_of(const char *line)
{
        return strspn(line, " \t");
}

static bool same_path(const struct strings *a, const struct strings *b, size_t keys)
{
        return a->count == keys && b->count >= keys && toml_path_below(b, a);
}

static bool find_value(const struct toml_text *t, const struct strings *path, struct place *p)
{
        for (size_t i = 0; i < t->count; i++) {
                const struct toml_item *item = &t->items[i];
                if (item->kind != TOML_VALUE || !strings_equal(&item->path, path))
                        continue;
                *p = (struct place){
                        .at = item->value_begin, .end = item->value_end, .replace = true};
                return true;
        }
        return false;
}

/* The innermost inline table that is a part of the path. */
static bool find_inline(const struct toml_text *t, const struct strings *path, struct place *p)
{
        bool found = false;
        for (size_t i = 0; i < t->count; i++) {
                const struct toml_item *item = &t->items[i];
                if (item->kind != TOML_VALUE || t->text[item->value_begin] != '{' ||
                        item->path.count >= path->count || !toml_path_below(path, &item->path))
                        continue;
                size_t at = item->value_begin + 1;
                *p = (struct place){.at = at,
                        .end = at,
                        .depth = item->path.count,
                        .member = true,
                        .more = next_member(t, i, i) < t->count};
                found = true;
        }
        return found;
}

/* Below the header of the key's own table, as the first one. */
static bool find_header(const struct toml_text *t, const struct strings *path, struct place *p)
{
        for (size_t i = 0; i < t->count; i++) {
                const struct toml_item *item = &t->items[i];
                if (item->kind != TOML_HEADER || !same_path(&item->path, path, path->count - 1))
                        continue;
                size_t next = toml_text_next(t, i);
                bool has_keys = next < t->count && t->items[next].kind == TOML_VALUE;
                const char *line = t->text + (has_keys ? t->items[next].begin : item->begin);
                *p = (struct place){.at = item->end,
                        .end = item->end,
                        .indent = line,
                        .indent_size = indent_of(line),
                        .deeper = !has_keys,
                        .depth = path->count - 1};
                return true;
        }
        return false;
}

/* Beside a dotted key that defines the key's table. */
static bool find_dotted(const struct toml_text *t, const struct strings *path, struct place *p)
{
        for (size_t i = 0; i < t->count; i = toml_text_next(t, i)) {
                const struct toml_item *item = &t->items[i];
                if (item->kind != TOML_VALUE || item->path.count < path->count ||
                        item->table_depth >= path->count - 1)
                        continue;
                bool sibling = true;
                for (size_t k = 0; k + 1 < path->count; k++)
                        sibling = sibling && strcmp(item->path.items[k], path->items[k]) == 0;
                if (!sibling)
                        continue;
                *p = (struct place){.at = item->begin,
                        .end = item->begin,
                        .indent = t->text + item->begin,
                        .indent_size = indent_of(t->text + item->begin),
                        .depth = item->table_depth};
                return true;
        }
        return false;
}

static bool shares(const struct toml_item *item, const struct strings *path, size_t keys)
{
        if (item->path.count < keys)
                return false;
        for (size_t k = 0; k < keys; k++)
                if (strcmp(item->path.items[k], path->items[k]) != 0)
                        return false;
        return true;
}

/* In front of the comment lines that belong to the statement at `begin`. */
static size_t before_comments(const struct toml_text *t, size_t begin)
{
        while (begin > 0) {
                size_t line = begin - 1;
                while (line > 0 && t->text[line - 1] != '\n')
                        line--;
                if (t->text[line + indent_of(t->text + line)] != '#')
                        break;
                begin = line;
        }
        return begin;
}

/* A table that is added looks like the one whose header is item i, and its key like that one's. */
static void look_like(const struct toml_text *t, size_t i, struct place *p)
{
        size_t next = toml_text_next(t, i);
        bool has_keys = next < t->count && t->items[next].kind == TOML_VALUE;
        p->indent = t->text + t->items[i].begin;
        p->indent_size = indent_of(p->indent);
        p->key_indent = has_keys ? t->text + t->items[next].begin : p->indent;
        p->key_indent_size = indent_of(p->key_indent);
        p->deeper = !has_keys;
}

static bool is_sibling(const struct toml_item *item, const struct strings *path)
{
        return item->kind == TOML_HEADER && item->path.count == path->count - 1;
}

/* Where a table of its own is opened: in front of the first one below it, else behind the last
 * statement of those it is nearest to, else at the end. */
static void find_room(const struct toml_text *t, const struct strings *path, struct place *p)
{
        *p = (struct place){.at = t->size, .end = t->size, .header = true};
        for (size_t i = 0; i < t->count; i = toml_text_next(t, i)) {
                const struct toml_item *item = &t->items[i];
                if (item->kind != TOML_HEADER || !shares(item, path, path->count - 1))
                        continue;
                p->at = p->end = before_comments(t, item->begin);
                look_like(t, i, p);
                p->blank_after = true;
                return;
        }
        if (path->count < 3)
                return;
        for (size_t i = 0; i < t->count; i = toml_text_next(t, i)) {
                const struct toml_item *item = &t->items[i];
                if (!shares(item, path, path->count - 2))
                        continue;
                p->at = p->end = item->end;
                if (item->kind != TOML_VALUE && (p->indent == NULL || is_sibling(item, path)))
                        look_like(t, i, p);
        }
}

/* The quote that the text's keys have, so that what is added looks like the rest. */
static char quote_of(const struct toml_text *t)
{
        return strstr(t->text, ".'") != NULL && strstr(t->text, ".\"") == NULL ? '\'' : '"';
}

static void put_path(struct buf *b, const struct strings *path, size_t from, size_t to, char quote)
{
        for (size_t i = from; i < to; i++) {
                buf_puts(b, i > from ? "." : "");
                toml_put_key(b, path->items[i], quote);
        }
}

/* {a = {b = value}}: a dotted key in an inline table is more than old parsers take. */
static void put_member(struct buf *b, const struct place *p, const struct strings *path,
        const json_t *value, char quote)
{
        buf_puts(b, " ");
        for (size_t i = p->depth; i < path->count; i++) {
                toml_put_key(b, path->items[i], quote);
                buf_puts(b, i + 1 < path->count ? " = { " : " = ");
        }
        toml_put_value(b, value, quote);
        for (size_t i = p->depth; i + 1 < path->count; i++)
                buf_puts(b, " }");
        buf_puts(b, p->more ? "," : " ");
}

static void put_lines(struct buf *b, const struct toml_text *t, const struct place *p,
        const struct strings *path, const json_t *value, char quote)
{
        const char *newline = strstr(t->text, "\r\n") != NULL ? "\r\n" : "\n";
        size_t last = path->count - 1;
        if (p->at > 0 && t->text[p->at - 1] != '\n')
                buf_puts(b, newline);
        if (p->header) {
                if (p->at > 0 && !ends_blank(buf_str(b)))
                        buf_puts(b, newline);
                buf_append(b, p->indent, p->indent_size);
                buf_puts(b, "[");
                put_path(b, path, 0, last, quote);
                buf_printf(b, "]%s", newline);
        }
        size_t indent = p->header ? p->key_indent_size : p->indent_size;
        buf_append(b, p->header ? p->key_indent : p->indent, indent);
        buf_puts(b, p->deeper && indent > 0 ? "  " : "");
        put_path(b, path, p->header ? last : p->depth, path->count, quote);
        buf_puts(b, " = ");
        toml_put_value(b, value, quote);
        buf_puts(b, newline);
        buf_puts(b, p->blank_after ? newline : "");
}

static void put(struct buf *b, const struct toml_text *t, const struct place *p,
        const struct strings *path, const json_t *value)
{
        char quote = quote_of(t);
        buf_append(b, t->text, p->at);
        if (p->replace)
                toml_put_value(b, value, t->text[p->at] == '\'' ? '\'' : '"');
        else if (p->member)
                put_member(b, p, path, value, quote);
        else
                put_lines(b, t, p, path, value, quote);
        buf_append(b, t->text + p->end, t->size - p->end);
}

int toml_edit_set(const char *text, const struct strings *path, const json_t *value, char **out,
        struct err *e)
{
        *out = NULL;
        cleanup_toml_text struct toml_text t = {0};
        if (scan(text, &t, e) < 0)
                return -1;
        struct place p = {0};
        if (!find_value(&t, path, &p) && !find_inline(&t, path, &p) && !find_header(&t, path, &p) &&
                !find_dotted(&t, path, &p))
                find_room(&t, path, &p);
        cleanup_buf_secret struct buf b;
        buf_init(&b, TEXT_MAX_BYTES);
        put(&b, &t, &p, path, value);
        if (b.overflow)
                return err_set(e, ERR_TOO_LARGE, "more than %d bytes", TEXT_MAX_BYTES);
        if (check(text, buf_str(&b), path, value, e) < 0)
                return -1;
        *out = mem_strdup(buf_str(&b));
        return 0;
}

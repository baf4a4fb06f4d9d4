/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/edit_toml.h"

#include <jansson.h>
#include <string.h>

#include "base/buf.h"
#include "config/toml.h"

enum { TEXT_MAX_BYTES = 4 << 20 };

static const char *next_line(const char *line)
{
        line += strcspn(line, "\n");
        return line + (*line == '\n');
}

/* Reads one name of a header, bare or in quotes. NULL unless it is `name`; else what follows it. */
static const char *skip_name(const char *at, const char *name)
{
        size_t size = strlen(name);
        at += strspn(at, " \t");
        char quote = *at;
        if (quote == '"' || quote == '\'')
                at++;
        else
                quote = '\0';
        if (strncmp(at, name, size) != 0)
                return NULL;
        at += size;
        if (quote != '\0' && *at++ != quote)
                return NULL;
        return at + strspn(at, " \t");
}

/* Whether the line is the header of the table at `path`, or (below) of one under it. */
static bool is_header_of(const char *line, const char *const *path, size_t depth, bool below)
{
        const char *at = line + strspn(line, " \t");
        if (*at++ != '[' || *at == '[')
                return false;
        for (size_t i = 0; i < depth; i++) {
                at = skip_name(at, path[i]);
                if (at == NULL || (i + 1 < depth && *at++ != '.'))
                        return false;
        }
        return *at == ']' || (below && *at == '.');
}

static bool is_header(const char *line)
{
        return line[strspn(line, " \t")] == '[';
}

static bool has_value(const char *line)
{
        return strchr("#\r\n", line[strspn(line, " \t")]) == NULL;
}

int edit_toml_header(const char *text, const char *const *path, size_t depth)
{
        int number = 1;
        for (const char *line = text; *line != '\0'; line = next_line(line), number++)
                if (is_header_of(line, path, depth, false))
                        return number;
        return 0;
}

static size_t find_tables(
        const char *text, const char *const *path, size_t depth, struct edit_lines *out, size_t max)
{
        size_t count = 0;
        int number = 1;
        bool inside = false;
        for (const char *line = text; *line != '\0'; line = next_line(line), number++) {
                if (is_header(line)) {
                        inside = is_header_of(line, path, depth, true);
                        if (inside && count == max)
                                return 0;
                        if (inside)
                                out[count++] = (struct edit_lines){number, number};
                } else if (inside && has_value(line)) {
                        out[count - 1].last = number;
                }
        }
        return count;
}

static json_t *value_at(json_t *top, const char *const *path, size_t depth)
{
        for (size_t i = 0; i < depth; i++)
                top = json_object_get(top, path[i]);
        return top;
}

/* Takes out what is at the path, and what is empty above it then. */
static void take_out(json_t *top, const char *const *path, size_t depth)
{
        for (size_t i = depth; i > 0; i--) {
                json_t *above = value_at(top, path, i - 1);
                const json_t *value = json_object_get(above, path[i - 1]);
                if (i == depth || (json_is_object(value) && json_object_size(value) == 0))
                        json_object_del(above, path[i - 1]);
        }
}

static json_t *parse(const char *text)
{
        json_t *values = NULL;
        struct err ignored;
        return toml_parse(text, strlen(text), "", &values, NULL, &ignored) == 0 ? values : NULL;
}

/* Whether `after` says what `before` says but for the table at the path. */
static bool only_differs_at(
        const char *before, const char *after, const char *const *path, size_t depth)
{
        json_t *wanted = parse(before);
        json_t *got = parse(after);
        bool gone = got != NULL && value_at(got, path, depth) == NULL;
        take_out(wanted, path, depth);
        take_out(got, path, depth);
        bool same = gone && json_equal(wanted, got);
        json_decref(wanted);
        json_decref(got);
        return same;
}

size_t edit_toml_tables(
        const char *text, const char *const *path, size_t depth, struct edit_lines *out, size_t max)
{
        size_t count = find_tables(text, path, depth, out, max);
        cleanup_free char *after = edit_without(text, out, count);
        return count > 0 && only_differs_at(text, after, path, depth) ? count : 0;
}

char *edit_without(const char *text, const struct edit_lines *lines, size_t count)
{
        cleanup_buf struct buf b;
        buf_init(&b, TEXT_MAX_BYTES);
        int number = 1;
        for (const char *line = text; *line != '\0'; line = next_line(line), number++) {
                bool out = false;
                for (size_t i = 0; i < count; i++)
                        out = out || (number >= lines[i].first && number <= lines[i].last);
                if (!out)
                        buf_append(&b, line, (size_t)(next_line(line) - line));
        }
        return mem_strdup(buf_str(&b));
}

int edit_count_lines(const char *text)
{
        int count = 0;
        for (const char *line = text; *line != '\0'; line = next_line(line))
                count++;
        return count;
}

char *edit_line(const char *text, int n)
{
        for (; n > 1; n--)
                text = next_line(text);
        return mem_strndup(text, strcspn(text, "\r\n"));
}

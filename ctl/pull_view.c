/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/pull_view.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/size.h"
#include "ctl/text.h"

enum {
        DIGEST_SHOWN = 19, /* "sha256:" and twelve digits */
        BAR_MIN = 8,
        BAR_MAX = 30,
        LINE_MAX_BYTES = 4096,
        NAME_COLUMNS = 21, /* "blob     " and twelve digits */
        SIZE_COLUMNS = 19, /* "1023 MiB / 1023 MiB" */
        DIGITS_AT = 7,
        DIGITS = 12,
};

/* One content, as it was seen last. */
struct content {
        char *digest, *kind, *source;
        int64_t size_bytes; /* -1: not known */
        int64_t sent_bytes;
        bool announced;
};

/* A source that was left: told once for the whole pull, though every blob may have met it. */
struct told {
        char *source, *error;
};

struct pull_view {
        struct pull_view_options options;
        struct content *contents;
        size_t content_count;
        struct told *told;
        size_t told_count;
        size_t drawn; /* lines of bars on the terminal, above the cursor */
};

struct pull_view *pull_view_new(const struct pull_view_options *o)
{
        struct pull_view *v = mem_zalloc(sizeof(*v));
        v->options = *o;
        return v;
}

void pull_view_free(struct pull_view *v)
{
        if (v == NULL)
                return;
        for (size_t i = 0; i < v->content_count; i++) {
                free(v->contents[i].digest);
                free(v->contents[i].kind);
                free(v->contents[i].source);
        }
        for (size_t i = 0; i < v->told_count; i++) {
                free(v->told[i].source);
                free(v->told[i].error);
        }
        free(v->contents);
        free(v->told);
        free(v);
}

/* ---- lines that stay ---- */

static const char *text_of(const json_t *o, const char *name)
{
        const char *s = json_string_value(json_object_get(o, name));
        return s != NULL ? s : "";
}

static void add_line(struct buf *out, const char *line)
{
        cleanup_free char *shown = text_escape(line, strlen(line));
        buf_puts(out, shown);
        buf_puts(out, "\n");
}

static bool is_told(const struct pull_view *v, const char *source, const char *error)
{
        for (size_t i = 0; i < v->told_count; i++)
                if (strcmp(v->told[i].source, source) == 0 && strcmp(v->told[i].error, error) == 0)
                        return true;
        return false;
}

static void tell_left(struct pull_view *v, const json_t *failover, struct buf *out)
{
        const char *source = text_of(failover, "source");
        const char *error = text_of(failover, "error");
        if (is_told(v, source, error))
                return;
        v->told = mem_resize(v->told, (v->told_count + 1) * sizeof(*v->told));
        v->told[v->told_count++] =
                (struct told){.source = mem_strdup(source), .error = mem_strdup(error)};
        cleanup_free char *line = mem_printf("left %s: %s", source, error);
        if (v->options.colour)
                buf_puts(out, "\033[33m");
        add_line(out, line);
        if (v->options.colour)
                buf_puts(out, "\033[0m");
}

static void tell_all_left(struct pull_view *v, const json_t *failovers, struct buf *out)
{
        for (size_t i = 0; i < json_array_size(failovers); i++)
                tell_left(v, json_array_get(failovers, i), out);
}

/* Without bars: once, as soon as somebody feeds it. */
static void announce(struct content *c, struct buf *out)
{
        char size[SIZE_TEXT_BYTES];
        if (c->announced || c->source == NULL)
                return;
        c->announced = true;
        cleanup_free char *line = mem_printf("%s %.*s: %s from %s", c->kind, DIGEST_SHOWN,
                c->digest, c->size_bytes >= 0 ? size_text(c->size_bytes, size) : "size unknown",
                c->source);
        add_line(out, line);
}

/* ---- what the document says ---- */

static struct content *content_of(struct pull_view *v, const char *digest)
{
        for (size_t i = 0; i < v->content_count; i++)
                if (strcmp(v->contents[i].digest, digest) == 0)
                        return &v->contents[i];
        v->contents = mem_resize(v->contents, (v->content_count + 1) * sizeof(*v->contents));
        struct content *c = &v->contents[v->content_count++];
        *c = (struct content){.digest = mem_strdup(digest), .size_bytes = -1};
        return c;
}

static void replace(char **field, const char *s)
{
        free(*field);
        *field = mem_strdup_or_null(s);
}

static void read_content(struct pull_view *v, const json_t *o)
{
        struct content *c = content_of(v, text_of(o, "digest"));
        const json_t *size = json_object_get(o, "size_bytes");
        replace(&c->kind, text_of(o, "kind"));
        replace(&c->source, json_string_value(json_object_get(o, "source")));
        c->size_bytes = json_is_integer(size) ? (int64_t)json_integer_value(size) : -1;
        c->sent_bytes = (int64_t)json_integer_value(json_object_get(o, "sent_bytes"));
}

/* Others may pull the same at the same time; they share the flight, and with it the contents. */
static const json_t *contents_of(const struct pull_view *v, const json_t *pulls)
{
        const json_t *running = json_object_get(pulls, "running");
        const json_t *found = NULL;
        for (size_t i = 0; i < json_array_size(running); i++) {
                const json_t *pull = json_array_get(running, i);
                const json_t *contents = json_object_get(pull, "contents");
                if (strcmp(text_of(pull, "reference"), v->options.reference) == 0 &&
                        json_array_size(contents) > 0)
                        found = contents;
        }
        return found;
}

/* ---- bars ---- */

static bool is_whole(const struct content *c)
{
        return c->size_bytes >= 0 && c->sent_bytes >= c->size_bytes;
}

static void add_bar(struct buf *line, const struct content *c, size_t columns)
{
        size_t full = 0;
        if (c->size_bytes > 0)
                full = (size_t)((double)c->sent_bytes / (double)c->size_bytes * (double)columns);
        if (full > columns || is_whole(c))
                full = columns;
        buf_puts(line, " [");
        for (size_t i = 0; i < columns; i++)
                buf_puts(line, i < full ? "=" : i == full && c->sent_bytes > 0 ? ">" : " ");
        buf_puts(line, "] ");
}

static void add_sizes(struct buf *line, const struct content *c)
{
        char sent[SIZE_TEXT_BYTES];
        char size[SIZE_TEXT_BYTES];
        char both[2 * SIZE_TEXT_BYTES + 4];
        size_text(c->sent_bytes, sent);
        if (is_whole(c))
                snprintf(both, sizeof(both), "%s", sent);
        else
                snprintf(both, sizeof(both), "%s / %s", sent,
                        c->size_bytes >= 0 ? size_text(c->size_bytes, size) : "?");
        buf_printf(line, "%-*s", SIZE_COLUMNS, both);
}

/* As much of s as fits into so many columns. */
static void add_cut(struct buf *line, const char *s, size_t columns)
{
        size_t bytes = strlen(s);
        while (bytes > 0 &&
                (text_width(s, bytes) > columns || ((unsigned char)s[bytes] & 0xC0) == 0x80))
                bytes--;
        buf_append(line, s, bytes);
}

static void draw_content(const struct pull_view *v, const struct content *c, struct buf *out)
{
        cleanup_buf struct buf line;
        buf_init(&line, LINE_MAX_BYTES);
        size_t digits = strlen(c->digest) > DIGITS_AT ? DIGITS_AT : 0;
        size_t columns = (size_t)(v->options.width > 1 ? v->options.width - 1 : 1);
        size_t others = NAME_COLUMNS + SIZE_COLUMNS + 4;
        size_t bar = columns > others + BAR_MIN ? (columns - others) / 3 : 0;
        buf_printf(&line, "%-8s %.*s", c->kind, DIGITS, c->digest + digits);
        if (bar >= BAR_MIN)
                add_bar(&line, c, bar > BAR_MAX ? BAR_MAX : bar);
        else
                buf_puts(&line, " ");
        add_sizes(&line, c);
        buf_printf(&line, " %s", c->source != NULL ? c->source : "");
        while (line.size > 0 && line.data[line.size - 1] == ' ')
                line.data[--line.size] = '\0';
        cleanup_free char *shown = text_escape(buf_str(&line), line.size);
        add_cut(out, shown, columns);
        buf_puts(out, "\033[K\n");
}

static size_t count_whole(const struct pull_view *v)
{
        size_t count = 0;
        for (size_t i = 0; i < v->content_count; i++)
                count += is_whole(&v->contents[i]);
        return count;
}

/* All that fit; what is complete gives way first. */
static void draw(struct pull_view *v, struct buf *out)
{
        size_t surplus = v->content_count > PULL_VIEW_BARS_MAX
                                 ? v->content_count - PULL_VIEW_BARS_MAX + 1
                                 : 0;
        size_t whole = count_whole(v);
        size_t hide_whole = surplus < whole ? surplus : whole;
        size_t hide_others = surplus - hide_whole;
        v->drawn = 0;
        if (surplus > 0) {
                buf_printf(out, "%zu contents, %zu complete\033[K\n", v->content_count, whole);
                v->drawn++;
        }
        size_t others = v->content_count - whole - hide_others;
        for (size_t i = 0; i < v->content_count; i++) {
                const struct content *c = &v->contents[i];
                size_t *left = is_whole(c) ? &hide_whole : &others;
                bool shown = is_whole(c) ? *left == 0 : *left > 0;
                if (*left > 0)
                        (*left)--;
                if (!shown)
                        continue;
                draw_content(v, c, out);
                v->drawn++;
        }
}

/* The cursor to where the bars begin, and nothing below it: lines that stay come there. */
static void clear(struct pull_view *v, struct buf *out)
{
        if (v->drawn > 0)
                buf_printf(out, "\033[%zuA\r\033[J", v->drawn);
        v->drawn = 0;
}

/* ---- both ---- */

void pull_view_update(struct pull_view *v, const json_t *pulls, struct buf *out)
{
        const json_t *contents = contents_of(v, pulls);
        if (contents == NULL)
                return;
        if (v->options.redraw)
                clear(v, out);
        for (size_t i = 0; i < json_array_size(contents); i++) {
                const json_t *o = json_array_get(contents, i);
                read_content(v, o);
                tell_all_left(v, json_object_get(o, "failovers"), out);
        }
        for (size_t i = 0; i < v->content_count && !v->options.redraw; i++)
                announce(&v->contents[i], out);
        if (v->options.redraw)
                draw(v, out);
}

void pull_view_end(struct pull_view *v, const json_t *record, bool went_well, struct buf *out)
{
        if (v->options.redraw)
                clear(v, out);
        tell_all_left(v, json_object_get(record, "failovers"), out);
        for (size_t i = 0; i < v->content_count && went_well; i++)
                if (v->contents[i].size_bytes >= 0)
                        v->contents[i].sent_bytes = v->contents[i].size_bytes;
        if (v->options.redraw)
                draw(v, out);
}

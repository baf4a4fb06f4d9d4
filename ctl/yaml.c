/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/yaml.h"

#include <string.h>
#include <yaml.h>

enum { TEXT_MAX_BYTES = 16 << 20, DEPTH_MAX = 64 };

/* libyaml counts characters, others want bytes: this one goes along. */
struct cursor {
        const char *text;
        size_t size;
        size_t index; /* in characters */
        size_t offset;
};

struct walk {
        yaml_parser_t parser;
        struct cursor cursor;
        size_t mark_bytes; /* of a byte order mark, which libyaml does not get to see */
        const char *name;
        int (*on_event)(void *arg, const struct yaml_event *event, struct err *e);
        void *arg;
        int depth;
};

static size_t cursor_offset(struct cursor *c, size_t index)
{
        if (index < c->index)
                c->index = c->offset = 0;
        while (c->index < index && c->offset < c->size) {
                c->offset++;
                while (c->offset < c->size && ((unsigned char)c->text[c->offset] & 0xc0) == 0x80)
                        c->offset++;
                c->index++;
        }
        return c->offset;
}

static struct yaml_place place_of(struct walk *w, const yaml_mark_t *mark)
{
        return (struct yaml_place){
                .offset = cursor_offset(&w->cursor, mark->index) + w->mark_bytes,
                .line = (int)mark->line + 1,
                .column = (int)mark->column + 1,
        };
}

static int fail_at(
        const struct walk *w, size_t line, size_t column, const char *what, struct err *e)
{
        return err_set(e, ERR_CONFIG, "%s:%zu:%zu: %s", w->name, line + 1, column + 1, what);
}

static int fail_parse(const struct walk *w, struct err *e)
{
        const yaml_parser_t *p = &w->parser;
        const char *what = p->problem != NULL ? p->problem : "not YAML";
        bool from_reader = p->error == YAML_READER_ERROR;
        return fail_at(w, from_reader ? p->mark.line : p->problem_mark.line,
                from_reader ? p->mark.column : p->problem_mark.column, what, e);
}

static enum yaml_style style_of(yaml_scalar_style_t style)
{
        switch (style) {
        case YAML_SINGLE_QUOTED_SCALAR_STYLE:
                return YAML_SINGLE_QUOTED;
        case YAML_DOUBLE_QUOTED_SCALAR_STYLE:
                return YAML_DOUBLE_QUOTED;
        case YAML_LITERAL_SCALAR_STYLE:
                return YAML_LITERAL;
        case YAML_FOLDED_SCALAR_STYLE:
                return YAML_FOLDED;
        default:
                return YAML_PLAIN;
        }
}

static void describe_scalar(const yaml_event_t *raw, struct yaml_event *out)
{
        out->kind = YAML_SCALAR;
        out->text = (const char *)raw->data.scalar.value;
        out->size = raw->data.scalar.length;
        out->anchor = (const char *)raw->data.scalar.anchor;
        out->tagged = raw->data.scalar.tag != NULL;
        out->style = style_of(raw->data.scalar.style);
}

static void describe_alias(const yaml_event_t *raw, struct yaml_event *out)
{
        out->kind = YAML_ALIAS;
        out->text = (const char *)raw->data.alias.anchor;
        out->size = strlen(out->text);
}

/* False for what nobody needs to see. */
static bool describe(const yaml_event_t *raw, struct yaml_event *out)
{
        switch (raw->type) {
        case YAML_DOCUMENT_START_EVENT:
                out->kind = YAML_DOCUMENT_START;
                return true;
        case YAML_DOCUMENT_END_EVENT:
                out->kind = YAML_DOCUMENT_END;
                return true;
        case YAML_MAPPING_START_EVENT:
                out->kind = YAML_MAPPING_START;
                out->anchor = (const char *)raw->data.mapping_start.anchor;
                out->tagged = raw->data.mapping_start.tag != NULL;
                return true;
        case YAML_MAPPING_END_EVENT:
                out->kind = YAML_MAPPING_END;
                return true;
        case YAML_SEQUENCE_START_EVENT:
                out->kind = YAML_SEQUENCE_START;
                out->anchor = (const char *)raw->data.sequence_start.anchor;
                out->tagged = raw->data.sequence_start.tag != NULL;
                return true;
        case YAML_SEQUENCE_END_EVENT:
                out->kind = YAML_SEQUENCE_END;
                return true;
        case YAML_SCALAR_EVENT:
                describe_scalar(raw, out);
                return true;
        case YAML_ALIAS_EVENT:
                describe_alias(raw, out);
                return true;
        default:
                return false;
        }
}

static int take_event(struct walk *w, const yaml_event_t *raw, struct err *e)
{
        struct yaml_event event = {.start = place_of(w, &raw->start_mark)};
        event.end = place_of(w, &raw->end_mark);
        if (!describe(raw, &event))
                return 0;
        if (event.kind == YAML_MAPPING_START || event.kind == YAML_SEQUENCE_START)
                w->depth++;
        if (event.kind == YAML_MAPPING_END || event.kind == YAML_SEQUENCE_END)
                w->depth--;
        if (w->depth > DEPTH_MAX)
                return fail_at(w, raw->start_mark.line, raw->start_mark.column,
                        "more than 64 levels deep", e);
        return w->on_event(w->arg, &event, e);
}

static int walk_all(struct walk *w, struct err *e)
{
        for (bool ended = false; !ended;) {
                yaml_event_t raw;
                if (!yaml_parser_parse(&w->parser, &raw))
                        return fail_parse(w, e);
                ended = raw.type == YAML_STREAM_END_EVENT;
                int r = take_event(w, &raw, e);
                yaml_event_delete(&raw);
                if (r < 0)
                        return -1;
        }
        return 0;
}

int yaml_walk(const char *text, size_t size, const char *name,
        int (*on_event)(void *arg, const struct yaml_event *event, struct err *e), void *arg,
        struct err *e)
{
        static const char mark[] = "\xef\xbb\xbf";
        size_t skip = size >= 3 && memcmp(text, mark, 3) == 0 ? 3 : 0;
        if (size > TEXT_MAX_BYTES)
                return err_set(e, ERR_TOO_LARGE, "%s has more than 16 MiB", name);
        struct walk w = {
                .cursor = {.text = text + skip, .size = size - skip},
                .mark_bytes = skip,
                .name = name,
                .on_event = on_event,
                .arg = arg,
        };
        if (!yaml_parser_initialize(&w.parser))
                return err_set(e, ERR_INTERNAL, "no memory for a YAML parser");
        yaml_parser_set_encoding(&w.parser, YAML_UTF8_ENCODING);
        yaml_parser_set_input_string(&w.parser, (const unsigned char *)text + skip, size - skip);
        int r = walk_all(&w, e);
        yaml_parser_delete(&w.parser);
        return r;
}

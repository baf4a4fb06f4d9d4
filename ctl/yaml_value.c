/* SPDX-License-Identifier: Apache-2.0 */
/* YAML events as JSON values: a stack of what is not yet whole, no recursion. */
#include <string.h>

#include "base/mem.h"
#include "ctl/yaml.h"

enum { DEPTH_MAX = 64 + 1, NODES_MAX = 100000 };

/* A mapping or sequence that is being read. */
struct level {
        json_t *value;
        json_t *lines; /* object or array */
        char *key;     /* of a mapping: the one whose value comes next */
        int key_line;
        int line; /* where it begins */
        size_t nodes;
        char *anchor;
};

struct anchor {
        char *name;
        json_t *value, *lines;
        size_t nodes;
};

struct build {
        const char *name;
        struct level levels[DEPTH_MAX];
        size_t depth;
        struct anchor *anchors; /* of this document */
        size_t anchor_count;
        size_t nodes; /* of this document */
        json_t *documents, *document_lines;
};

/* A node that is whole, on its way into what holds it. */
struct node {
        json_t *value, *lines;
        size_t nodes;
        int line;
};

static int fail(const struct build *b, const struct yaml_place *at, const char *what, struct err *e)
{
        return err_set(e, ERR_CONFIG, "%s:%d:%d: %s", b->name, at->line, at->column, what);
}

static void forget_anchors(struct build *b)
{
        for (size_t i = 0; i < b->anchor_count; i++) {
                free(b->anchors[i].name);
                json_decref(b->anchors[i].value);
                json_decref(b->anchors[i].lines);
        }
        free(b->anchors);
        b->anchors = NULL;
        b->anchor_count = 0;
}

static void keep_anchor(struct build *b, const char *name, const struct node *n)
{
        b->anchors = mem_resize(b->anchors, (b->anchor_count + 1) * sizeof(*b->anchors));
        b->anchors[b->anchor_count++] = (struct anchor){.name = mem_strdup(name),
                .value = json_incref(n->value),
                .lines = json_incref(n->lines),
                .nodes = n->nodes};
}

/* The last one of the name counts. */
static const struct anchor *find_anchor(const struct build *b, const char *name)
{
        for (size_t i = b->anchor_count; i > 0; i--)
                if (strcmp(b->anchors[i - 1].name, name) == 0)
                        return &b->anchors[i - 1];
        return NULL;
}

/* [line, below] */
static json_t *entry_of(int line, json_t *lines)
{
        json_t *entry = json_array();
        json_array_append_new(entry, json_integer(line));
        json_array_append(entry, lines);
        return entry;
}

static void put_in(struct level *l, const struct node *n)
{
        if (json_is_array(l->value)) {
                json_array_append(l->value, n->value);
                json_array_append_new(l->lines, entry_of(n->line, n->lines));
        } else {
                json_object_set(l->value, l->key, n->value);
                json_object_set_new(l->lines, l->key, entry_of(l->key_line, n->lines));
                free(take(&l->key));
        }
        l->nodes += n->nodes;
}

/* Takes both references of the node. */
static void put(struct build *b, const struct node *n)
{
        if (b->depth > 0) {
                put_in(&b->levels[b->depth - 1], n);
        } else {
                json_array_append(b->documents, n->value);
                json_array_append(b->document_lines, n->lines);
        }
        json_decref(n->value);
        json_decref(n->lines);
}

static int count(struct build *b, const struct yaml_event *v, size_t nodes, struct err *e)
{
        b->nodes += nodes;
        return b->nodes > NODES_MAX
                       ? fail(b, &v->start, "more than 100000 values in one document", e)
                       : 0;
}

static bool waits_for_key(const struct build *b)
{
        return b->depth > 0 && json_is_object(b->levels[b->depth - 1].value) &&
               b->levels[b->depth - 1].key == NULL;
}

static bool is_integer(const char *s, size_t size)
{
        size_t digits = size > 0 && s[0] == '-' ? 1 : 0;
        return size > digits && size - digits <= 18 &&
               strspn(s + digits, "0123456789") == size - digits &&
               (s[digits] != '0' || size == digits + 1);
}

static bool is_word(const struct yaml_event *v, const char *a, const char *b, const char *c)
{
        return strcmp(v->text, a) == 0 || strcmp(v->text, b) == 0 || strcmp(v->text, c) == 0;
}

static json_t *scalar_of(const struct yaml_event *v)
{
        bool plain = v->style == YAML_PLAIN && !v->tagged && strlen(v->text) == v->size;
        if (plain &&
                (v->size == 0 || strcmp(v->text, "~") == 0 || is_word(v, "null", "Null", "NULL")))
                return json_null();
        if (plain && is_word(v, "true", "True", "TRUE"))
                return json_true();
        if (plain && is_word(v, "false", "False", "FALSE"))
                return json_false();
        if (plain && is_integer(v->text, v->size))
                return json_integer(strtoll(v->text, NULL, 10));
        return json_stringn(v->text, v->size);
}

static int take_key(struct build *b, const struct yaml_event *v, struct err *e)
{
        struct level *l = &b->levels[b->depth - 1];
        if (v->kind != YAML_SCALAR || strlen(v->text) != v->size)
                return fail(b, &v->start, "a key that is no text", e);
        if (json_object_get(l->value, v->text) != NULL)
                return fail(b, &v->start, "a key that was there before", e);
        l->key = mem_strdup(v->text);
        l->key_line = v->start.line;
        return count(b, v, 1, e);
}

static int take_scalar(struct build *b, const struct yaml_event *v, struct err *e)
{
        struct node n = {
                .value = scalar_of(v), .lines = json_null(), .nodes = 1, .line = v->start.line};
        if (n.value == NULL)
                return fail(b, &v->start, "text that is not UTF-8", e);
        if (v->anchor != NULL)
                keep_anchor(b, v->anchor, &n);
        put(b, &n);
        return count(b, v, 1, e);
}

static int take_alias(struct build *b, const struct yaml_event *v, struct err *e)
{
        const struct anchor *a = find_anchor(b, v->text);
        if (a == NULL)
                return fail(b, &v->start, "an alias of what is not known, or not whole yet", e);
        struct node n = {.value = json_incref(a->value),
                .lines = json_incref(a->lines),
                .nodes = a->nodes,
                .line = v->start.line};
        put(b, &n);
        return count(b, v, n.nodes, e);
}

static int begin(struct build *b, const struct yaml_event *v, bool mapping, struct err *e)
{
        if (b->depth == DEPTH_MAX)
                return fail(b, &v->start, "too deep", e);
        b->levels[b->depth++] = (struct level){
                .value = mapping ? json_object() : json_array(),
                .lines = mapping ? json_object() : json_array(),
                .line = v->start.line,
                .nodes = 1,
                .anchor = mem_strdup_or_null(v->anchor),
        };
        return count(b, v, 1, e);
}

static void end(struct build *b)
{
        struct level l = b->levels[--b->depth];
        struct node n = {.value = l.value, .lines = l.lines, .nodes = l.nodes, .line = l.line};
        if (l.anchor != NULL)
                keep_anchor(b, l.anchor, &n);
        free(l.anchor);
        put(b, &n);
}

static int take_event(void *arg, const struct yaml_event *v, struct err *e)
{
        struct build *b = arg;
        if (waits_for_key(b) && v->kind != YAML_MAPPING_END)
                return take_key(b, v, e);
        switch (v->kind) {
        case YAML_DOCUMENT_START:
                b->nodes = 0;
                return 0;
        case YAML_DOCUMENT_END:
                forget_anchors(b);
                return 0;
        case YAML_MAPPING_START:
        case YAML_SEQUENCE_START:
                return begin(b, v, v->kind == YAML_MAPPING_START, e);
        case YAML_MAPPING_END:
        case YAML_SEQUENCE_END:
                end(b);
                return 0;
        case YAML_SCALAR:
                return take_scalar(b, v, e);
        case YAML_ALIAS:
                return take_alias(b, v, e);
        }
        return 0;
}

static void build_fini(struct build *b)
{
        forget_anchors(b);
        while (b->depth > 0) {
                struct level *l = &b->levels[--b->depth];
                json_decref(l->value);
                json_decref(l->lines);
                free(l->key);
                free(l->anchor);
        }
        json_decref(b->documents);
        json_decref(b->document_lines);
}

int yaml_parse(const char *text, size_t size, const char *name, json_t **values, json_t **lines,
        struct err *e)
{
        *values = NULL;
        if (lines != NULL)
                *lines = NULL;
        struct build b = {.name = name, .documents = json_array(), .document_lines = json_array()};
        int r = yaml_walk(text, size, name, take_event, &b, e);
        if (r == 0) {
                *values = take(&b.documents);
                if (lines != NULL)
                        *lines = take(&b.document_lines);
        }
        build_fini(&b);
        return r;
}

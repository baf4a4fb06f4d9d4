/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where YAML and JSON have image references: `image: REF` at any depth, `image: {reference: REF}`
 * of image volumes, Kustomize's `images:`, and Helm's repository, tag and digest.
 *
 * Each mapping is judged when it ends, with all its keys known. A value is only changed where its
 * bytes are the value itself, without escapes or folds.
 */
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "ctl/pin_level.h"

static const struct {
        const char *name;
        enum pin_key key;
} keys[] = {
        {"image", PIN_KEY_IMAGE},
        {"reference", PIN_KEY_REFERENCE},
        {"registry", PIN_KEY_REGISTRY},
        {"repository", PIN_KEY_REPOSITORY},
        {"tag", PIN_KEY_TAG},
        {"digest", PIN_KEY_DIGEST},
        {"name", PIN_KEY_NAME},
        {"newName", PIN_KEY_NEW_NAME},
        {"newTag", PIN_KEY_NEW_TAG},
        {"kind", PIN_KEY_KIND},
        {"images", PIN_KEY_IMAGES},
        {"data", PIN_KEY_DATA},
        {"stringData", PIN_KEY_DATA},
        {"status", PIN_KEY_STATUS},
        {"labels", PIN_KEY_LABELS},
        {"annotations", PIN_KEY_LABELS},
        {"matchLabels", PIN_KEY_LABELS},
        {"nodeSelector", PIN_KEY_LABELS},
};

struct anchor {
        char *name;
        struct pin_scalar held;
};

enum { FRAMES_MAX = 72, ANCHORS_MAX = 1000, ANCHOR_TEXT_MAX = 4096 };

struct finder {
        struct pin_found *found;
        struct pin_level *frames;
        size_t depth;
        struct anchor *anchors;
        size_t anchor_count;
        bool is_template;
        int template_line;
};

/* ---- scalars ---- */

static void held_fini(struct pin_scalar *h)
{
        free(h->text);
        *h = (struct pin_scalar){0};
}

static bool raw_plain(const char *text, const struct yaml_event *ev, struct pin_scalar *h)
{
        h->end = h->after = ev->end.offset;
        if (ev->size > ev->end.offset - ev->start.offset)
                return false;
        h->start = h->end - ev->size;
        return memcmp(text + h->start, ev->text, ev->size) == 0;
}

static bool raw_quoted(
        const char *text, const struct yaml_event *ev, char quote, struct pin_scalar *h)
{
        h->after = ev->end.offset;
        if (ev->end.offset - ev->start.offset < ev->size + 2)
                return false;
        h->end = h->after - 1;
        h->start = h->end - ev->size;
        return text[h->end] == quote && text[h->start - 1] == quote &&
               memcmp(text + h->start, ev->text, ev->size) == 0;
}

static struct pin_scalar hold(const struct finder *w, const struct yaml_event *ev, bool in_flow)
{
        const char *text = w->found->text;
        struct pin_scalar h = {
                .text = mem_strndup(ev->text, ev->size),
                .style = ev->style,
                .in_flow = in_flow,
        };
        if (ev->style == YAML_PLAIN)
                h.is_raw = raw_plain(text, ev, &h);
        else if (ev->style == YAML_SINGLE_QUOTED)
                h.is_raw = raw_quoted(text, ev, '\'', &h);
        else if (ev->style == YAML_DOUBLE_QUOTED)
                h.is_raw = raw_quoted(text, ev, '"', &h);
        h.line = h.is_raw ? ev->end.line : ev->start.line;
        return h;
}

static struct pin_scalar held_copy(const struct pin_scalar *h)
{
        struct pin_scalar copy = *h;
        copy.text = mem_strdup(h->text);
        return copy;
}

static void remember_anchor(struct finder *w, const struct yaml_event *ev, bool in_flow)
{
        if (ev->anchor == NULL || ev->size > ANCHOR_TEXT_MAX || w->anchor_count == ANCHORS_MAX)
                return;
        w->anchors[w->anchor_count++] =
                (struct anchor){.name = mem_strdup(ev->anchor), .held = hold(w, ev, in_flow)};
}

static void forget_anchors(struct finder *w)
{
        while (w->anchor_count > 0) {
                struct anchor *a = &w->anchors[--w->anchor_count];
                free(a->name);
                held_fini(&a->held);
        }
}

static bool hold_alias(const struct finder *w, const struct yaml_event *ev, struct pin_scalar *out)
{
        for (size_t i = w->anchor_count; i-- > 0;)
                if (strcmp(w->anchors[i].name, ev->text) == 0) {
                        *out = held_copy(&w->anchors[i].held);
                        out->is_alias = true;
                        return true;
                }
        return false;
}

/* ---- events ---- */

static struct pin_level *top(struct finder *w)
{
        return &w->frames[w->depth - 1];
}

static enum pin_key find_key(const char *name)
{
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
                if (strcmp(keys[i].name, name) == 0)
                        return keys[i].key;
        return PIN_KEY_NONE;
}

static bool ends_with(const char *s, size_t size, const char *end)
{
        size_t n = strlen(end);
        return size >= n && strncasecmp(s + size - n, end, n) == 0;
}

static void take_key(struct finder *w, const struct yaml_event *ev)
{
        struct pin_level *fr = top(w);
        fr->has_key = true;
        held_fini(&fr->key_place);
        fr->key = PIN_KEY_NONE;
        fr->key_ends_in_image = false;
        if (ev->kind != YAML_SCALAR)
                return;
        fr->key_place = hold(w, ev, fr->in_flow);
        fr->key = find_key(fr->key_place.text);
        fr->key_ends_in_image = ends_with(ev->text, ev->size, "image");
        if (ends_with(ev->text, ev->size, "tag") || strcmp(fr->key_place.text, "version") == 0)
                fr->other_tag = true;
}

static void open_range(struct finder *w, struct pin_level *fr)
{
        if ((fr->key != PIN_KEY_DATA && fr->key != PIN_KEY_STATUS) ||
                fr->range_count == PIN_RANGES_MAX)
                return;
        fr->ranges[fr->range_count++] = (struct pin_range){.is_status = fr->key == PIN_KEY_STATUS,
                .is_open = true,
                .first_target = w->found->target_count,
                .first_hint = w->found->hint_count};
}

static void value_done(struct finder *w)
{
        if (w->depth == 0)
                return;
        struct pin_level *fr = top(w);
        struct pin_range *r = fr->range_count > 0 ? &fr->ranges[fr->range_count - 1] : NULL;
        if (r != NULL && r->is_open) {
                r->is_open = false;
                r->end_target = w->found->target_count;
                r->end_hint = w->found->hint_count;
        }
        fr->has_key = false;
        fr->key = PIN_KEY_NONE;
}

static void keep_value(struct pin_level *fr, struct pin_scalar *value)
{
        const struct pin_scalar *key = &fr->key_place;
        if (fr->key == PIN_KEY_NONE) {
                held_fini(value);
                return;
        }
        value->key_start = key->start - (key->style == YAML_PLAIN ? 0 : 1);
        value->key_after = key->after;
        value->key_is_raw = key->is_raw;
        value->json_key = key->style == YAML_DOUBLE_QUOTED;
        held_fini(&fr->held[fr->key]);
        fr->held[fr->key] = *value;
}

static void take_scalar(struct finder *w, const struct yaml_event *ev)
{
        const bool in_flow = w->depth > 0 && top(w)->in_flow;
        struct pin_scalar value = {0};
        if (ev->kind == YAML_SCALAR)
                remember_anchor(w, ev, in_flow);
        if (w->depth == 0 || !top(w)->is_mapping)
                return;
        if (!top(w)->has_key) {
                take_key(w, ev);
                return;
        }
        if (ev->kind == YAML_SCALAR)
                value = hold(w, ev, in_flow);
        if (ev->kind == YAML_SCALAR || hold_alias(w, ev, &value))
                keep_value(top(w), &value);
        value_done(w);
}

static bool begins_flow(const struct finder *w, const struct yaml_event *ev)
{
        if (ev->end.offset == 0)
                return false;
        char last = w->found->text[ev->end.offset - 1];
        return last == '{' || last == '[';
}

/* "{{ .Values.image }}" is YAML, too: a mapping with a mapping as its key. Nobody means that. */
static int check_template(struct finder *w, const struct yaml_event *ev, struct err *e)
{
        size_t at = ev->end.offset;
        if (ev->kind != YAML_MAPPING_START || at == 0 || at >= w->found->size ||
                w->found->text[at - 1] != '{' || w->found->text[at] != '{')
                return 0;
        w->is_template = true;
        w->template_line = ev->start.line;
        return err_set(e, ERR_CONFIG, "line %d is a template's", ev->start.line);
}

/* What a collection is in the one around it. */
static void inherit(struct finder *w, const struct yaml_event *ev, struct pin_level *fr)
{
        struct pin_level *parent = top(w);
        fr->in_flow = fr->in_flow || parent->in_flow;
        fr->excluded = parent->excluded || parent->key == PIN_KEY_LABELS;
        fr->under = parent->is_mapping ? parent->key : parent->under;
        fr->in_sequence = !parent->is_mapping;
        if (!parent->is_mapping)
                return;
        if (parent->has_key) {
                open_range(w, parent);
                fr->under_image = parent->key_ends_in_image;
        } else {
                take_key(w, ev); /* a collection as a key: nothing in it is an image */
                fr->excluded = fr->is_key = true;
        }
}

static int take_start(struct finder *w, const struct yaml_event *ev, struct err *e)
{
        struct pin_level fr = {
                .is_mapping = ev->kind == YAML_MAPPING_START,
                .in_flow = begins_flow(w, ev),
        };
        if (check_template(w, ev, e) < 0)
                return -1;
        if (w->depth == FRAMES_MAX)
                return err_set(e, ERR_CONFIG, "line %d: too deep", ev->start.line);
        if (w->depth > 0)
                inherit(w, ev, &fr);
        w->frames[w->depth++] = fr;
        return 0;
}

static void frame_fini(struct pin_level *fr)
{
        held_fini(&fr->key_place);
        for (size_t i = 0; i < PIN_KEY_COUNT; i++)
                held_fini(&fr->held[i]);
}

static void take_end(struct finder *w)
{
        struct pin_level *fr = top(w);
        const bool was_key = fr->is_key;
        if (fr->is_mapping)
                pin_judge_level(w->found, fr);
        frame_fini(fr);
        w->depth--;
        if (!was_key)
                value_done(w);
}

static int take_event(void *arg, const struct yaml_event *ev, struct err *e)
{
        struct finder *w = arg;
        switch (ev->kind) {
        case YAML_MAPPING_START:
        case YAML_SEQUENCE_START:
                return take_start(w, ev, e);
        case YAML_MAPPING_END:
        case YAML_SEQUENCE_END:
                take_end(w);
                return 0;
        case YAML_SCALAR:
        case YAML_ALIAS:
                take_scalar(w, ev);
                return 0;
        default:
                forget_anchors(w);
                return 0;
        }
}

static void finder_fini(struct finder *w)
{
        while (w->depth > 0)
                frame_fini(&w->frames[--w->depth]);
        forget_anchors(w);
        free(w->frames);
        free(w->anchors);
}

/* What libyaml does not take but holds "{{" is a template, too. */
static int explain(struct finder *w, struct err *e)
{
        struct pin_found *f = w->found;
        if (!w->is_template && memmem(f->text, f->size, "{{", 2) == NULL)
                return -1;
        pin_drop(f, 0, f->target_count, 0, f->hint_count);
        if (w->is_template)
                pin_add_hint(f, w->template_line, "a template, not YAML: the file is left alone");
        else
                pin_add_hint(
                        f, 1, "the file is left alone: it seems to be a template (%.300s)", e->msg);
        return 0;
}

int pin_find_yaml(struct pin_found *f, const char *name, struct err *e)
{
        if (f->size > 0 && memchr(f->text, '\0', f->size) != NULL)
                return err_set(e, ERR_CONFIG, "%s:1:1: holds NUL bytes: not text in UTF-8", name);
        struct finder w = {
                .found = f,
                .frames = mem_zalloc(FRAMES_MAX * sizeof(struct pin_level)),
                .anchors = mem_zalloc(ANCHORS_MAX * sizeof(struct anchor)),
        };
        int status = yaml_walk(f->text, f->size, name, take_event, &w, e);
        if (status < 0)
                status = explain(&w, e);
        finder_fini(&w);
        pin_found_finish(f);
        return status;
}

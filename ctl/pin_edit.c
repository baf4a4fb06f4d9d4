/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/pin_edit.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/digest.h"
#include "base/mem.h"
#include "resolver/ref.h"

enum { SHOWN_MAX = 200 };

/* ---- the list ---- */

void pin_found_init(
        struct pin_found *f, const char *text, size_t size, const struct pin_options *options)
{
        *f = (struct pin_found){.text = text, .size = size, .options = *options};
}

static void edit_fini(struct pin_edit *edit)
{
        free(edit->before);
        free(edit->after);
        *edit = (struct pin_edit){0};
}

static void target_fini(struct pin_target *t)
{
        free(t->written);
        free(t->reference);
        free(t->pinned);
        for (size_t i = 0; i < t->edit_count; i++)
                edit_fini(&t->edits[i]);
        *t = (struct pin_target){0};
}

void pin_found_fini(struct pin_found *f)
{
        for (size_t i = 0; i < f->target_count; i++)
                target_fini(&f->targets[i]);
        for (size_t i = 0; i < f->hint_count; i++)
                free(f->hints[i].message);
        free(f->targets);
        free(f->hints);
        *f = (struct pin_found){0};
}

static void *with_room(void *array, size_t count, size_t *capacity, size_t size)
{
        if (count < *capacity)
                return array;
        *capacity = *capacity == 0 ? 16 : *capacity * 2;
        return mem_resize(array, *capacity * size);
}

static void add_target(struct pin_found *f, struct pin_target *t)
{
        f->targets = with_room(f->targets, f->target_count, &f->target_capacity, sizeof(*t));
        f->targets[f->target_count++] = *t;
}

void pin_add_hint(struct pin_found *f, int line, const char *fmt, ...)
{
        char message[1024];
        va_list args;
        va_start(args, fmt);
        vsnprintf(message, sizeof(message), fmt, args);
        va_end(args);
        f->hints = with_room(f->hints, f->hint_count, &f->hint_capacity, sizeof(*f->hints));
        f->hints[f->hint_count++] = (struct pin_hint){.line = line, .message = mem_strdup(message)};
}

void pin_drop(struct pin_found *f, size_t first_target, size_t end_target, size_t first_hint,
        size_t end_hint)
{
        for (size_t i = first_target; i < end_target; i++)
                f->targets[i].dropped = true;
        for (size_t i = first_hint; i < end_hint; i++)
                f->hints[i].dropped = true;
}

static int by_offset(const void *a, const void *b)
{
        const struct pin_target *x = a, *y = b;
        return (x->edits[0].offset > y->edits[0].offset) -
               (x->edits[0].offset < y->edits[0].offset);
}

static int by_line(const void *a, const void *b)
{
        const struct pin_hint *x = a, *y = b;
        return x->line != y->line ? (x->line > y->line) - (x->line < y->line)
                                  : strcmp(x->message, y->message);
}

/* A value that several aliases name was found several times. */
static void finish_targets(struct pin_found *f)
{
        size_t kept = 0, end = 0;
        if (f->target_count > 0)
                qsort(f->targets, f->target_count, sizeof(*f->targets), by_offset);
        for (size_t i = 0; i < f->target_count; i++) {
                struct pin_target *t = &f->targets[i];
                if (t->dropped || (kept > 0 && t->edits[0].offset <= end)) {
                        target_fini(t);
                        continue;
                }
                end = t->edits[t->edit_count - 1].offset + t->edits[t->edit_count - 1].length;
                f->targets[kept++] = *t;
        }
        f->target_count = kept;
}

static void finish_hints(struct pin_found *f)
{
        size_t kept = 0;
        if (f->hint_count > 0)
                qsort(f->hints, f->hint_count, sizeof(*f->hints), by_line);
        for (size_t i = 0; i < f->hint_count; i++) {
                struct pin_hint *h = &f->hints[i];
                if (h->dropped || (kept > 0 && by_line(h, &f->hints[kept - 1]) == 0))
                        free(h->message);
                else
                        f->hints[kept++] = *h;
        }
        f->hint_count = kept;
}

void pin_found_finish(struct pin_found *f)
{
        finish_targets(f);
        finish_hints(f);
}

/* ---- the rest of a line ---- */

/* Where a comment of ours goes or stands. */
struct remark {
        bool fits;
        size_t point;              /* where one is put in */
        size_t tag_start, tag_end; /* of the one that stands there; equal: none */
};

static bool is_blank(char c)
{
        return c == ' ' || c == '\t';
}

static bool at_line_end(const struct pin_found *f, size_t at)
{
        return at >= f->size || f->text[at] == '\n' || f->text[at] == '\r';
}

static size_t skip_blanks(const struct pin_found *f, size_t at)
{
        while (at < f->size && is_blank(f->text[at]))
                at++;
        return at;
}

static bool starts_with(const struct pin_found *f, size_t at, const char *s)
{
        return f->size - at >= strlen(s) && memcmp(f->text + at, s, strlen(s)) == 0;
}

/* "was 1.27" */
static void read_remark(const struct pin_found *f, size_t at, struct remark *r)
{
        at = skip_blanks(f, at);
        if (!starts_with(f, at, "was") || at + 3 >= f->size || !is_blank(f->text[at + 3]))
                return;
        at = skip_blanks(f, at + 3);
        r->tag_start = at;
        while (!at_line_end(f, at) && !is_blank(f->text[at]))
                at++;
        r->tag_end = at;
}

static struct remark find_remark(const struct pin_found *f, const struct pin_place *place)
{
        struct remark r = {.point = place->after};
        size_t at = skip_blanks(f, place->after);
        if (place->is_hcl && at < f->size && f->text[at] == ',') {
                r.point = at + 1;
                at = skip_blanks(f, r.point);
        }
        size_t mark = 0;
        if (starts_with(f, at, "#"))
                mark = 1;
        else if (place->is_hcl && starts_with(f, at, "//"))
                mark = 2;
        r.fits = place->can_comment && (mark > 0 || at_line_end(f, at));
        if (r.fits && mark > 0)
                read_remark(f, at + mark, &r);
        return r;
}

static struct pin_edit remark_edit(
        const struct pin_found *f, const struct remark *r, const char *tag)
{
        struct pin_edit edit = {.offset = r->point};
        if (r->tag_start < r->tag_end) {
                edit.offset = r->tag_start;
                edit.length = r->tag_end - r->tag_start;
                edit.before = mem_strdup(tag);
                return edit;
        }
        bool apart = at_line_end(f, r->point) || is_blank(f->text[r->point]);
        edit.before = mem_printf(" # was %s%s", tag, apart ? "" : " ");
        return edit;
}

/* ---- what changes ---- */

static bool is_template(const char *value)
{
        return strstr(value, "{{") != NULL || strstr(value, "${") != NULL ||
               strstr(value, "$(") != NULL || strstr(value, "%{") != NULL;
}

static void left_alone(struct pin_found *f, int line, const char *value, const char *why)
{
        pin_add_hint(f, line, "\"%.*s\" is left alone: %s", SHOWN_MAX, value, why);
}

/* Words that YAML takes for something else than a string. */
static bool is_nothing(const char *value)
{
        static const char *const words[] = {"", "~", "null", "Null", "NULL", "true", "false"};
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
                if (strcmp(value, words[i]) == 0)
                        return true;
        return false;
}

/* The target for name:tag; false with a hint if that is not a reference. */
static bool target_begin(
        struct pin_found *f, const char *name, const char *tag, int line, struct pin_target *t)
{
        cleanup_ref struct ref r = {0};
        struct err e;
        cleanup_free char *whole = mem_printf("%s:%s", name, tag);
        if (is_template(whole)) {
                left_alone(f, line, whole, "it is a template");
                return false;
        }
        if (ref_parse(whole, strlen(whole), &r, &e) < 0) {
                left_alone(f, line, whole, e.msg);
                return false;
        }
        *t = (struct pin_target){
                .written = take(&whole), .reference = take(&r.text), .line = line, .edit_count = 1};
        return true;
}

static void add_update(
        struct pin_found *f, const char *name, const char *tag, int line, size_t start, size_t end)
{
        struct pin_target t;
        if (!target_begin(f, name, tag, line, &t))
                return;
        t.pinned = mem_strndup(f->text + start, end - start);
        t.edits[0] = (struct pin_edit){.offset = start, .length = end - start, .has_digest = true};
        add_target(f, &t);
}

/* The colon before the tag; NULL: there is no tag. */
static char *find_tag(char *name)
{
        char *slash = strrchr(name, '/');
        return strrchr(slash != NULL ? slash : name, ':');
}

static void add_pinned(
        struct pin_found *f, const struct pin_place *place, char *value, char *digest)
{
        if (!f->options.update)
                return;
        struct remark r = find_remark(f, place);
        *digest = '\0';
        char *colon = find_tag(value);
        cleanup_free char *tag = NULL;
        if (colon != NULL) {
                *colon = '\0';
                tag = mem_strdup(colon + 1);
        } else if (r.tag_start < r.tag_end) {
                tag = mem_strndup(f->text + r.tag_start, r.tag_end - r.tag_start);
        } else {
                left_alone(f, place->line, value,
                        "which tag its digest was is not written; write name:tag@digest");
                return;
        }
        add_update(f, value, tag, place->line, place->start + (size_t)(digest + 1 - value),
                place->end);
}

void pin_add_pinned_tag(struct pin_found *f, const char *name, const struct pin_place *place)
{
        cleanup_free char *tag = mem_strndup(f->text + place->start, place->end - place->start);
        char *digest = strchr(tag, '@');
        size_t start = place->start + (size_t)(digest - tag) + 1;
        if (!digest_valid(f->text + start, place->end - start)) {
                left_alone(f, place->line, tag, "what follows '@' should be a digest");
                return;
        }
        *digest = '\0';
        if (f->options.update)
                add_update(f, name, tag, place->line, start, place->end);
}

static void add_unpinned(struct pin_found *f, const struct pin_place *place, char *value)
{
        struct pin_target t;
        struct remark r = find_remark(f, place);
        char *colon = find_tag(value);
        size_t name_size = colon != NULL ? (size_t)(colon - value) : strlen(value);
        const char *tag = colon != NULL ? colon + 1 : "latest";
        if (colon == NULL && place->tag_is_nearby) {
                left_alone(f, place->line, value, "its tag seems to stand in a key beside it");
                return;
        }
        cleanup_free char *name = mem_strndup(value, name_size);
        if (!target_begin(f, name, tag, place->line, &t))
                return;
        if (f->options.style == PIN_COMMENT && r.fits) {
                t.edits[0] = (struct pin_edit){.offset = place->start + name_size,
                        .length = place->end - place->start - name_size,
                        .before = mem_strdup("@"),
                        .has_digest = true};
                t.edits[t.edit_count++] = remark_edit(f, &r, tag);
        } else {
                t.edits[0] = (struct pin_edit){.offset = place->end,
                        .before = mem_strdup(colon != NULL ? "@" : ":latest@"),
                        .has_digest = true};
        }
        add_target(f, &t);
}

void pin_add_reference(struct pin_found *f, const struct pin_place *place)
{
        cleanup_ref struct ref r = {0};
        struct err e;
        cleanup_free char *value = mem_strndup(f->text + place->start, place->end - place->start);
        if (is_nothing(value))
                left_alone(f, place->line, value, "it names no image");
        else if (is_template(value))
                left_alone(f, place->line, value, "it is a template");
        else if (strpbrk(value, " \t") != NULL)
                left_alone(f, place->line, value, "an image reference has no blanks");
        else if (ref_parse(value, strlen(value), &r, &e) < 0)
                left_alone(f, place->line, value, e.msg);
        else if (r.digest != NULL)
                add_pinned(f, place, value, strchr(value, '@'));
        else
                add_unpinned(f, place, value);
}

void pin_add_digest(struct pin_found *f, const char *name, const char *tag, int line,
        const struct pin_place *digest)
{
        struct pin_target t;
        cleanup_free char *old = mem_strndup(f->text + digest->start, digest->end - digest->start);
        struct remark r = find_remark(f, digest);
        cleanup_free char *remarked = r.tag_start < r.tag_end ? mem_strndup(f->text + r.tag_start,
                                                                        r.tag_end - r.tag_start)
                                                              : NULL;
        if (tag == NULL)
                tag = remarked;
        if (digest_valid(old, strlen(old))) {
                if (f->options.update && tag == NULL)
                        left_alone(f, digest->line, name,
                                "which tag its digest was is not written beside it");
                else if (f->options.update)
                        add_update(f, name, tag, digest->line, digest->start, digest->end);
                return;
        }
        if (!is_nothing(old)) {
                left_alone(f, digest->line, old, "it should be a digest");
                return;
        }
        if (tag == NULL || !target_begin(f, name, tag, line, &t))
                return;
        t.edits[0] = (struct pin_edit){.offset = digest->start,
                .length = digest->end - digest->start,
                .before = mem_printf("%s%s", digest->needs_a_blank ? " " : "", digest->quote),
                .has_digest = true,
                .after = mem_strdup(digest->quote)};
        add_target(f, &t);
}

void pin_add_tag(struct pin_found *f, const char *name, const char *tag,
        const struct pin_place *place, const struct pin_new_digest *new_digest)
{
        struct pin_target t;
        struct remark r = find_remark(f, place);
        bool in_comment = f->options.style == PIN_COMMENT && r.fits;
        if (!in_comment && new_digest->before == NULL) {
                left_alone(f, place->line, tag, "there is no room for a digest before it");
                return;
        }
        if (!target_begin(f, name, tag, place->line, &t))
                return;
        if (in_comment) {
                t.edits[0] = (struct pin_edit){.offset = new_digest->key_start,
                        .length = place->after - new_digest->key_start,
                        .before = mem_strdup(new_digest->key),
                        .has_digest = true};
                t.edits[t.edit_count++] = remark_edit(f, &r, tag);
        } else {
                t.edits[0] = (struct pin_edit){.offset = new_digest->key_start,
                        .before = mem_strdup(new_digest->before),
                        .has_digest = true,
                        .after = mem_strdup(new_digest->after)};
        }
        add_target(f, &t);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/pin_level.h"

#include <string.h>

#include "base/mem.h"

static struct pin_place place_of(const struct pin_found *f, const struct pin_scalar *h)
{
        bool bare = h->style == YAML_PLAIN && h->start == h->end;
        return (struct pin_place){
                .start = h->start,
                .end = h->end,
                .after = h->after,
                .line = h->line,
                .can_comment = !h->in_flow,
                .quote = h->in_flow && h->style == YAML_PLAIN ? "\"" : "",
                .needs_a_blank = bare && h->start > 0 && f->text[h->start - 1] == ':',
        };
}

static const char *text_of(const struct pin_level *fr, enum pin_key key)
{
        return fr->held[key].text;
}

static bool is_empty(const char *s)
{
        return s == NULL || *s == '\0' || strcmp(s, "~") == 0 || strcmp(s, "null") == 0;
}

static void not_plain(struct pin_found *f, const struct pin_scalar *h)
{
        pin_add_hint(f, h->line,
                "an image is left alone: it is written with escapes or on several lines");
}

static void judge_reference(
        struct pin_found *f, const struct pin_level *fr, const struct pin_scalar *h)
{
        struct pin_place place = place_of(f, h);
        place.tag_is_nearby = fr->other_tag;
        if (h->is_raw)
                pin_add_reference(f, &place);
        else
                not_plain(f, h);
}

/* The blanks that a line before the key begins with; false: other things than "- " stand there. */
static bool find_indent(const struct pin_found *f, size_t key_start, size_t *indent)
{
        size_t at = key_start;
        while (at > 0 && (f->text[at - 1] == ' ' || f->text[at - 1] == '-'))
                at--;
        *indent = key_start - at;
        return at == 0 || f->text[at - 1] == '\n';
}

static bool has_crlf(const struct pin_found *f, size_t at)
{
        const char *end = memchr(f->text + at, '\n', f->size - at);
        return end != NULL && end > f->text && end[-1] == '\r';
}

/* Whether nothing but a colon and blanks stands between a key and its value: both may be replaced
 * as one then. */
static bool is_pair(const struct pin_found *f, const struct pin_scalar *value)
{
        size_t colons = 0, end = value->start - (value->style == YAML_PLAIN ? 0 : 1);
        for (size_t at = value->key_after; at < end; at++) {
                colons += f->text[at] == ':';
                if (strchr(": \t", f->text[at]) == NULL)
                        return false;
        }
        return colons == 1;
}

/* "digest: sha256:...", before a key: on a line of its own in block style. */
static void judge_new_digest(struct pin_found *f, const struct pin_level *fr, const char *name,
        const struct pin_scalar *tag)
{
        struct pin_place place = place_of(f, tag);
        const bool json = tag->json_key;
        size_t indent = 0;
        struct pin_new_digest new_digest = {.key_start = tag->key_start, .key = "digest: "};
        cleanup_free char *after = NULL;
        if (!tag->is_raw || !tag->key_is_raw || tag->is_alias) {
                pin_add_hint(f, tag->line,
                        "newTag is left alone: it is an alias, or written with escapes");
                return;
        }
        place.can_comment = place.can_comment && is_pair(f, tag);
        if (fr->in_flow)
                after = mem_strdup("\", ");
        else if (find_indent(f, tag->key_start, &indent))
                after = mem_printf(
                        "%s%*s", has_crlf(f, tag->key_start) ? "\r\n" : "\n", (int)indent, "");
        if (after != NULL)
                new_digest.before =
                        json ? "\"digest\": \"" : (fr->in_flow ? "digest: \"" : "digest: ");
        new_digest.after = after;
        pin_add_tag(f, name, tag->text, &place, &new_digest);
}

static void judge_kustomize(struct pin_found *f, const struct pin_level *fr)
{
        const char *name = text_of(fr, PIN_KEY_NEW_NAME);
        const struct pin_scalar *tag = &fr->held[PIN_KEY_NEW_TAG],
                                *digest = &fr->held[PIN_KEY_DIGEST];
        struct pin_place place;
        if (is_empty(name))
                name = text_of(fr, PIN_KEY_NAME);
        if (is_empty(name))
                return;
        if (digest->text != NULL && digest->is_raw && !digest->is_alias) {
                place = place_of(f, digest);
                pin_add_digest(f, name, is_empty(tag->text) ? NULL : tag->text,
                        tag->text != NULL ? tag->line : digest->line, &place);
        } else if (digest->text == NULL && !is_empty(tag->text)) {
                judge_new_digest(f, fr, name, tag);
        }
}

/* A digest that stands in the tag is known to all charts; a digest by its own key to those that
 * have it. */
static void judge_tag(struct pin_found *f, const struct pin_level *fr, const char *name)
{
        const struct pin_scalar *tag = &fr->held[PIN_KEY_TAG], *digest = &fr->held[PIN_KEY_DIGEST];
        struct pin_place place = place_of(f, tag);
        if (strchr(tag->text, '@') != NULL) {
                if (tag->is_raw && !tag->is_alias)
                        pin_add_pinned_tag(f, name, &place);
                return;
        }
        if (digest->text == NULL) {
                if (fr->under_image)
                        pin_add_hint(f, tag->line,
                                "\"%.200s:%.100s\" is left alone: there is no key digest beside "
                                "its "
                                "tag; if the chart knows one, write digest: \"\"",
                                name, tag->text);
                return;
        }
        place = place_of(f, digest);
        if (!digest->is_raw || digest->is_alias ||
                (digest->style == YAML_PLAIN && digest->start == digest->end &&
                        (digest->in_flow || !place.needs_a_blank)))
                pin_add_hint(f, digest->line,
                        "digest is left alone: there is no place for one; write digest: \"\"");
        else
                pin_add_digest(f, name, tag->text, tag->line, &place);
}

static void judge_helm(struct pin_found *f, const struct pin_level *fr)
{
        const char *registry = text_of(fr, PIN_KEY_REGISTRY);
        const char *repository = text_of(fr, PIN_KEY_REPOSITORY);
        const struct pin_scalar *tag = &fr->held[PIN_KEY_TAG];
        const bool is_image = fr->under_image || text_of(fr, PIN_KEY_DIGEST) != NULL;
        if (!is_image || is_empty(repository))
                return;
        if (is_empty(tag->text)) {
                pin_add_hint(f, tag->line,
                        "\"%.200s\" is left alone: its tag is empty, the chart's version decides",
                        repository);
                return;
        }
        cleanup_free char *name = is_empty(registry) ? mem_strdup(repository)
                                                     : mem_printf("%s/%s", registry, repository);
        judge_tag(f, fr, name);
}

static void drop_by_kind(struct pin_found *f, const struct pin_level *fr)
{
        const char *kind = text_of(fr, PIN_KEY_KIND);
        if (kind == NULL)
                return;
        const bool is_data = strcmp(kind, "ConfigMap") == 0 || strcmp(kind, "Secret") == 0;
        for (size_t i = 0; i < fr->range_count; i++) {
                const struct pin_range *r = &fr->ranges[i];
                if (r->is_status || is_data)
                        pin_drop(f, r->first_target, r->end_target, r->first_hint, r->end_hint);
        }
}

void pin_judge_level(struct pin_found *f, const struct pin_level *fr)
{
        drop_by_kind(f, fr);
        if (fr->excluded)
                return;
        if (text_of(fr, PIN_KEY_IMAGE) != NULL)
                judge_reference(f, fr, &fr->held[PIN_KEY_IMAGE]);
        if (fr->under == PIN_KEY_IMAGE && !fr->in_sequence &&
                text_of(fr, PIN_KEY_REFERENCE) != NULL)
                judge_reference(f, fr, &fr->held[PIN_KEY_REFERENCE]);
        if (fr->under == PIN_KEY_IMAGES && fr->in_sequence)
                judge_kustomize(f, fr);
        if (text_of(fr, PIN_KEY_REPOSITORY) != NULL && text_of(fr, PIN_KEY_TAG) != NULL)
                judge_helm(f, fr);
}

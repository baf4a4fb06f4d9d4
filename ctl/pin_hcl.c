/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where Terraform's language has image references: attributes and keys of objects named `image`
 * whose value is one string literal. Only as much of the language is read as tells strings,
 * comments and heredocs apart (hashicorp/hcl, hclsyntax/spec.md, "Lexical Elements").
 */
#include <ctype.h>
#include <string.h>

#include "base/mem.h"
#include "ctl/pin_edit.h"

enum token_kind { TOKEN_END, TOKEN_NEWLINE, TOKEN_NAME, TOKEN_STRING, TOKEN_HEREDOC, TOKEN_OTHER };

struct token {
        enum token_kind kind;
        size_t start, end; /* of a string: with its quotes */
        int line;
        bool is_literal; /* a string without templates and escapes */
        char other;      /* TOKEN_OTHER: its character; else NUL */
};

struct scanner {
        const char *text;
        size_t size;
        size_t at;
        int line;
        const char *what; /* what is wrong; NULL: nothing */
        int what_line;
};

enum { NESTED_MAX = 64 };

/* ---- tokens ---- */

static char look(const struct scanner *s, size_t ahead)
{
        if (s->size - s->at <= ahead)
                return '\0';
        return s->text[s->at + ahead];
}

static void step(struct scanner *s, size_t count)
{
        for (; count > 0 && s->at < s->size; count--)
                if (s->text[s->at++] == '\n')
                        s->line++;
}

static void complain(struct scanner *s, int line, const char *what)
{
        if (s->what == NULL) {
                s->what = what;
                s->what_line = line;
        }
        s->at = s->size;
}

static void skip_line(struct scanner *s)
{
        while (s->at < s->size && s->text[s->at] != '\n')
                s->at++;
}

static void skip_block_comment(struct scanner *s)
{
        int line = s->line;
        step(s, 2);
        while (s->at < s->size && !(look(s, 0) == '*' && look(s, 1) == '/'))
                step(s, 1);
        if (s->at >= s->size)
                complain(s, line, "a comment has no end");
        step(s, 2);
}

static bool at_line_comment(const struct scanner *s)
{
        return look(s, 0) == '#' || (look(s, 0) == '/' && look(s, 1) == '/');
}

static bool at_block_comment(const struct scanner *s)
{
        return look(s, 0) == '/' && look(s, 1) == '*';
}

static void skip_blanks(struct scanner *s)
{
        for (;;) {
                char c = look(s, 0);
                if (s->at < s->size && (c == ' ' || c == '\t' || c == '\r'))
                        s->at++;
                else if (at_line_comment(s))
                        skip_line(s);
                else if (at_block_comment(s))
                        skip_block_comment(s);
                else
                        return;
        }
}

/* A quoted string with the templates in it, and the strings in those, and so on: each level is
 * inside of quotes or inside of braces. */
struct nest {
        bool in_string[NESTED_MAX];
        size_t depth;
};

static void nest_in(struct scanner *s, struct nest *n, bool in_string, size_t bytes)
{
        step(s, bytes);
        if (n->depth == NESTED_MAX)
                complain(s, s->line, "templates are nested too deep");
        else
                n->in_string[n->depth++] = in_string;
}

static void step_in_string(struct scanner *s, struct nest *n, bool *is_literal)
{
        char c = look(s, 0), next = look(s, 1);
        if (c == '\\') {
                *is_literal = false;
                step(s, 2);
        } else if ((c == '$' || c == '%') && next == c && look(s, 2) == '{') {
                *is_literal = false;
                step(s, 3);
        } else if ((c == '$' || c == '%') && next == '{') {
                *is_literal = false;
                nest_in(s, n, false, 2);
        } else {
                if (c == '"')
                        n->depth--;
                step(s, 1);
        }
}

static void step_in_braces(struct scanner *s, struct nest *n)
{
        char c = look(s, 0);
        if (c == '"')
                nest_in(s, n, true, 1);
        else if (c == '{')
                nest_in(s, n, false, 1);
        else if (at_line_comment(s))
                skip_line(s);
        else if (at_block_comment(s))
                skip_block_comment(s);
        else {
                if (c == '}')
                        n->depth--;
                step(s, 1);
        }
}

static void take_string(struct scanner *s, struct token *t)
{
        struct nest n = {.depth = 0};
        t->kind = TOKEN_STRING;
        t->is_literal = true;
        nest_in(s, &n, true, 1);
        while (n.depth > 0 && s->at < s->size) {
                if (n.depth == 1 && look(s, 0) == '\n')
                        break;
                if (n.in_string[n.depth - 1])
                        step_in_string(s, &n, &t->is_literal);
                else
                        step_in_braces(s, &n);
        }
        if (n.depth > 0)
                complain(s, t->line, "a string has no end");
}

static bool is_name(char c)
{
        return isalnum((unsigned char)c) || c == '_' || c == '-' || (unsigned char)c >= 0x80;
}

static bool begins_name(char c)
{
        return is_name(c) && !isdigit((unsigned char)c) && c != '-';
}

/* Whether the line that begins here is the heredoc's end. */
static bool is_heredoc_end(const struct scanner *s, const char *mark, size_t mark_size)
{
        size_t at = s->at;
        while (at < s->size && (s->text[at] == ' ' || s->text[at] == '\t'))
                at++;
        if (s->size - at < mark_size || memcmp(s->text + at, mark, mark_size) != 0)
                return false;
        at += mark_size;
        while (at < s->size && (s->text[at] == ' ' || s->text[at] == '\t' || s->text[at] == '\r'))
                at++;
        return at >= s->size || s->text[at] == '\n';
}

static void take_heredoc(struct scanner *s, struct token *t)
{
        t->kind = TOKEN_HEREDOC;
        step(s, look(s, 2) == '-' ? 3 : 2);
        const char *mark = s->text + s->at;
        size_t mark_size = 0;
        while (mark_size < s->size - s->at && is_name(mark[mark_size]))
                mark_size++;
        do {
                skip_line(s);
                if (s->at >= s->size) {
                        complain(s, t->line, "a heredoc has no end");
                        return;
                }
                step(s, 1);
        } while (!is_heredoc_end(s, mark, mark_size));
        skip_line(s);
}

static bool at_heredoc(const struct scanner *s)
{
        return look(s, 0) == '<' && look(s, 1) == '<' &&
               begins_name(look(s, look(s, 2) == '-' ? 3 : 2));
}

static struct token next_token(struct scanner *s)
{
        skip_blanks(s);
        struct token t = {.start = s->at, .line = s->line};
        char c = look(s, 0);
        if (s->at >= s->size) {
                t.kind = TOKEN_END;
        } else if (c == '"') {
                take_string(s, &t);
        } else if (at_heredoc(s)) {
                take_heredoc(s, &t);
        } else if (begins_name(c)) {
                t.kind = TOKEN_NAME;
                while (s->at < s->size && is_name(look(s, 0)))
                        step(s, 1);
        } else {
                t.kind = c == '\n' ? TOKEN_NEWLINE : TOKEN_OTHER;
                if (c != '\n')
                        t.other = c;
                step(s, 1);
        }
        t.end = s->at;
        return t;
}

/* ---- attributes ---- */

/* Where we are. */
struct body {
        struct pin_found *found;
        struct scanner scanner;
        struct token before; /* the token before this one */
        char mark;           /* the last character that was no newline, name or string */
        size_t depth;        /* of braces */
        bool is_resource;    /* the block's type comes next */
        bool is_machine;     /* the block's images are those of machines */
};

static bool token_is(const struct scanner *s, const struct token *t, const char *word)
{
        size_t quote = t->kind == TOKEN_STRING ? 1 : 0;
        return (t->kind == TOKEN_NAME || (t->kind == TOKEN_STRING && t->is_literal)) &&
               t->end - t->start == strlen(word) + 2 * quote &&
               memcmp(s->text + t->start + quote, word, strlen(word)) == 0;
}

/* Resources whose `image` is a disk to boot a machine from, or an image of another kind of
 * container. */
static bool is_machine(const struct scanner *s, const struct token *type)
{
        static const char *const prefixes[] = {"civo_", "digitalocean_droplet", "equinix_",
                "exoscale_", "google_compute_", "hcloud_", "ibm_is_", "incus_", "libvirt_",
                "linode_", "lxd_", "multipass_", "oci_core_", "openstack_", "packet_", "proxmox_",
                "scaleway_instance_", "upcloud_", "virtualbox_", "vsphere_", "vultr_",
                "yandex_compute_"};
        for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
                size_t size = strlen(prefixes[i]);
                if (type->end - type->start >= size + 2 &&
                        memcmp(s->text + type->start + 1, prefixes[i], size) == 0)
                        return true;
        }
        return false;
}

static bool ends_expression(const struct token *t)
{
        return t->kind == TOKEN_END || t->kind == TOKEN_NEWLINE ||
               (t->other != '\0' && strchr(",}])", t->other) != NULL);
}

static void judge_string(struct body *b, const struct token *value)
{
        const struct pin_place place = {
                .start = value->start + 1,
                .end = value->end - 1,
                .after = value->end,
                .line = value->line,
                .can_comment = true,
                .is_hcl = true,
                .quote = "",
        };
        if (b->is_machine)
                pin_add_hint(b->found, value->line,
                        "an image is left alone: this resource boots machines of it");
        else if (value->is_literal)
                pin_add_reference(b->found, &place);
        else
                pin_add_hint(b->found, value->line,
                        "an image is left alone: its string has a template or escapes");
}

/* The scanner stands behind `image =`; it goes on from there afterwards. */
static void judge_value(struct body *b)
{
        struct scanner ahead = b->scanner;
        struct token value = next_token(&ahead);
        struct token next = next_token(&ahead);
        if (ahead.what != NULL || value.other == '{')
                return;
        if (value.kind == TOKEN_STRING && ends_expression(&next))
                judge_string(b, &value);
        else
                pin_add_hint(b->found, value.line,
                        "an image is left alone: it is an expression, not a string");
}

/* `image =` and `"image" :`, but neither `==`, `=>`, nor the middle of `a ? var.image : b`. */
static bool is_attribute(struct body *b, const struct token *t)
{
        struct scanner ahead = b->scanner;
        bool begins = b->before.kind == TOKEN_NEWLINE || b->before.kind == TOKEN_END ||
                      b->before.other == '{' || b->before.other == ',';
        if (!begins || b->mark == '?' || !token_is(&b->scanner, t, "image"))
                return false;
        struct token sign = next_token(&ahead);
        if ((sign.other != '=' && sign.other != ':') || look(&ahead, 0) == '=' ||
                look(&ahead, 0) == '>')
                return false;
        b->scanner = ahead;
        b->mark = sign.other;
        return true;
}

static void follow_blocks(struct body *b, const struct token *t)
{
        if (t->other == '{')
                b->depth++;
        if (t->other == '}' && b->depth > 0 && --b->depth == 0)
                b->is_machine = false;
        if (b->depth > 0)
                return;
        if (b->is_resource && t->kind == TOKEN_STRING)
                b->is_machine = is_machine(&b->scanner, t);
        b->is_resource = token_is(&b->scanner, t, "resource") && t->kind == TOKEN_NAME;
}

static void find_all(struct body *b)
{
        for (;;) {
                struct token t = next_token(&b->scanner);
                if (t.kind == TOKEN_END)
                        return;
                if (is_attribute(b, &t)) {
                        judge_value(b);
                        t = (struct token){.kind = TOKEN_OTHER, .other = '='};
                }
                follow_blocks(b, &t);
                b->before = t;
                if (t.other != '\0')
                        b->mark = t.other;
        }
}

int pin_find_hcl(struct pin_found *f, const char *name, struct err *e)
{
        if (f->size > 0 && memchr(f->text, '\0', f->size) != NULL)
                return err_set(e, ERR_CONFIG, "%s:1:1: holds NUL bytes: not text in UTF-8", name);
        struct body b = {
                .found = f,
                .scanner = {.text = f->text, .size = f->size, .line = 1},
                .before = {.kind = TOKEN_NEWLINE},
        };
        if (f->size >= 3 && memcmp(f->text, "\xef\xbb\xbf", 3) == 0)
                b.scanner.at = 3;
        find_all(&b);
        pin_found_finish(f);
        if (b.scanner.what != NULL)
                return err_set(
                        e, ERR_CONFIG, "%s:%d:1: %s", name, b.scanner.what_line, b.scanner.what);
        return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/ref.h"

#include <string.h>

#include "base/digest.h"

/*
 * Limits of the grammar. The 255 count the path alone: so do the containerds from 1.7 on. 1.6
 * counts the host too, and refuses by itself what it finds too long.
 */
enum {
        PATH_MAX_BYTES = 255,
        TAG_MAX_BYTES = 128,
        TEXT_MAX_BYTES = 4096, /* ours: host names have no limit in the grammar */
        ID_BYTES = 64,
        SHORT_ID_MIN = 8,
};

#define ID_PREFIX "sha256:"

/* A part of the input. */
struct view {
        const char *at;
        size_t size;
};

/* The input, split but not yet judged. */
struct parts {
        struct view host;
        struct view path; /* of the repository, as written */
        struct view tag;
        struct view digest;
        bool has_tag, has_digest;
        bool library; /* "library/" goes before the path */
};

static bool is_digit(char c)
{
        return c >= '0' && c <= '9';
}

static bool is_lower(char c)
{
        return c >= 'a' && c <= 'z';
}

static bool is_upper(char c)
{
        return c >= 'A' && c <= 'Z';
}

static bool is_hex(char c)
{
        return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_letter_or_digit(char c)
{
        return is_digit(c) || is_lower(c) || is_upper(c);
}

static bool view_is(struct view v, const char *s)
{
        return v.size == strlen(s) && memcmp(v.at, s, v.size) == 0;
}

static struct view view_from(struct view v, size_t start)
{
        return (struct view){v.at + start, v.size - start};
}

/* What precedes the first of the characters in `stops`; all of v if none is there. */
static struct view view_until(struct view v, const char *stops)
{
        size_t n = 0;
        while (n < v.size && (v.at[n] == '\0' || strchr(stops, v.at[n]) == NULL))
                n++;
        return (struct view){v.at, n};
}

static bool view_any(struct view v, bool (*test)(char c))
{
        for (size_t i = 0; i < v.size; i++)
                if (test(v.at[i]))
                        return true;
        return false;
}

static bool view_all(struct view v, bool (*test)(char c))
{
        for (size_t i = 0; i < v.size; i++)
                if (!test(v.at[i]))
                        return false;
        return v.size > 0;
}

/* Lower-case letters and digits in runs, with one ".", "_", "__" or any number of "-" between. */
static bool component_valid(struct view v)
{
        size_t i = 0;
        for (;;) {
                size_t start = i;
                while (i < v.size && (is_lower(v.at[i]) || is_digit(v.at[i])))
                        i++;
                if (i == start)
                        return false;
                if (i == v.size)
                        return true;
                char c = v.at[i++];
                if (c == '-')
                        while (i < v.size && v.at[i] == '-')
                                i++;
                else if (c == '_' && i < v.size && v.at[i] == '_')
                        i++;
                else if (c != '.' && c != '_')
                        return false;
        }
}

/* Components with single slashes between. Returns the number of the first bad one, from 1, or 0. */
static unsigned path_bad_component(struct view v)
{
        for (unsigned n = 1;; n++) {
                struct view component = view_until(v, "/");
                if (!component_valid(component))
                        return n;
                if (component.size == v.size)
                        return 0;
                v = view_from(v, component.size + 1);
        }
}

/* A label of a host name: letters, digits and inner dashes. */
static bool label_valid(struct view v)
{
        if (v.size == 0 || !is_letter_or_digit(v.at[0]) || !is_letter_or_digit(v.at[v.size - 1]))
                return false;
        for (size_t i = 0; i < v.size; i++)
                if (!is_letter_or_digit(v.at[i]) && v.at[i] != '-')
                        return false;
        return true;
}

static bool is_address_char(char c)
{
        return is_hex(c) || c == ':';
}

/* "[...]" of an IPv6 address: the grammar asks for the right characters only. */
static size_t bracket_size(struct view v)
{
        struct view inner = view_until(view_from(v, 1), "]");
        if (inner.size + 1 == v.size || !view_all(inner, is_address_char))
                return 0;
        return inner.size + 2;
}

static size_t host_name_size(struct view v)
{
        struct view name = view_until(v, ":");
        for (struct view rest = name;;) {
                struct view label = view_until(rest, ".");
                if (!label_valid(label))
                        return 0;
                if (label.size == rest.size)
                        return name.size;
                rest = view_from(rest, label.size + 1);
        }
}

static bool host_valid(struct view v)
{
        if (v.size == 0)
                return false;
        size_t n = v.at[0] == '[' ? bracket_size(v) : host_name_size(v);
        if (n == 0 || n == v.size)
                return n > 0;
        return v.at[n] == ':' && view_all(view_from(v, n + 1), is_digit);
}

/* Whether the part before the first slash names a host. */
static bool is_host(struct view first)
{
        return view_is(first, "localhost") || view_until(first, ".:").size < first.size ||
               view_any(first, is_upper);
}

static struct parts split(struct view all)
{
        struct parts p = {.host = {"docker.io", strlen("docker.io")}};
        struct view rest = all;
        struct view first = view_until(all, "/");
        if (first.size < all.size && is_host(first)) {
                if (!view_is(first, "index.docker.io"))
                        p.host = first;
                rest = view_from(all, first.size + 1);
        }
        p.path = view_until(rest, ":@");
        bool hub = view_is(p.host, "docker.io");
        /* The slash is looked for in all that follows the host, as the grammar's owner does. */
        p.library = hub && view_until(rest, "/").size == rest.size;
        rest = view_from(rest, p.path.size);
        if (rest.size > 0 && rest.at[0] == ':') {
                p.has_tag = true;
                p.tag = view_until(view_from(rest, 1), "@");
                rest = view_from(rest, p.tag.size + 1);
        }
        if (rest.size > 0) {
                p.has_digest = true;
                p.digest = view_from(rest, 1);
        }
        return p;
}

static int check_tag(struct view tag, struct err *e)
{
        if (tag.size == 0)
                return err_set(e, ERR_INVALID, "the tag after ':' is empty");
        if (tag.size > TAG_MAX_BYTES)
                return err_set(e, ERR_INVALID, "the tag has %zu characters, more than %d", tag.size,
                        TAG_MAX_BYTES);
        for (size_t i = 0; i < tag.size; i++) {
                char c = tag.at[i];
                bool good = is_letter_or_digit(c) || c == '_' || (i > 0 && (c == '.' || c == '-'));
                if (!good)
                        return err_set(e, ERR_INVALID,
                                "character %zu of the tag is not allowed there", i + 1);
        }
        return 0;
}

static int check_digest(struct view digest, struct err *e)
{
        if (digest_valid(digest.at, digest.size))
                return 0;
        struct view algorithm = view_until(digest, ":");
        if (algorithm.size == digest.size)
                return err_set(e, ERR_INVALID, "what follows '@' is not <algorithm>:<hexadecimal>");
        if (!view_is(algorithm, "sha256") && !view_is(algorithm, "sha384") &&
                !view_is(algorithm, "sha512"))
                return err_set(
                        e, ERR_INVALID, "the digest's algorithm is not sha256, sha384 or sha512");
        struct view digits = view_from(digest, algorithm.size + 1);
        if (!view_all(digits, is_hex) || view_any(digits, is_upper))
                return err_set(e, ERR_INVALID, "the digest is not lower-case hexadecimal");
        return err_set(e, ERR_INVALID, "the %.*s digest has %zu digits", (int)algorithm.size,
                algorithm.at, digits.size);
}

static int check_path(const struct parts *p, struct err *e)
{
        if (p->path.size == 0)
                return err_set(e, ERR_INVALID, "the repository's name is empty");
        if (view_any(p->path, is_upper))
                return err_set(e, ERR_INVALID, "the repository's name must be lower case");
        unsigned bad = path_bad_component(p->path);
        if (bad > 0)
                return err_set(e, ERR_INVALID,
                        "component %u of the repository's name is not letters and digits with one "
                        "of '.', '_', '__' or dashes between",
                        bad);
        return 0;
}

/*
 * A host with underscores and without a port is no host by the grammar but passes as the first
 * component of the path, and containerd then takes it for the host all the same.
 */
static int check_host(const struct parts *p, size_t *counted, struct err *e)
{
        *counted = p->path.size + (p->library ? strlen("library/") : 0);
        if (host_valid(p->host))
                return 0;
        if (!component_valid(p->host))
                return err_set(e, ERR_INVALID, "the part before the first '/' is not a host");
        *counted += p->host.size + 1;
        return 0;
}

static int check(const struct parts *p, struct err *e)
{
        size_t counted;
        if (check_host(p, &counted, e) < 0 || check_path(p, e) < 0)
                return -1;
        if (counted > PATH_MAX_BYTES)
                return err_set(e, ERR_INVALID,
                        "the repository's name has %zu characters, more than %d", counted,
                        PATH_MAX_BYTES);
        if (p->has_tag && check_tag(p->tag, e) < 0)
                return -1;
        return p->has_digest ? check_digest(p->digest, e) : 0;
}

static bool is_id_char(char c)
{
        return is_digit(c) || (c >= 'a' && c <= 'f');
}

static void fill(const struct parts *p, struct ref *r)
{
        r->host = mem_strndup(p->host.at, p->host.size);
        r->repository =
                mem_printf("%s%.*s", p->library ? "library/" : "", (int)p->path.size, p->path.at);
        r->name = mem_printf("%s/%s", r->host, r->repository);
        if (p->has_digest)
                r->digest = mem_strndup(p->digest.at, p->digest.size);
        else if (p->has_tag)
                r->tag = mem_strndup(p->tag.at, p->tag.size);
        else
                r->tag = mem_strdup("latest");
        r->text = r->digest != NULL ? ref_with_digest(r, r->digest)
                                    : mem_printf("%s:%s", r->name, r->tag);
}

int ref_parse(const char *s, size_t size, struct ref *r, struct err *e)
{
        *r = (struct ref){0};
        struct view all = {s, size};
        if (size == 0)
                return err_set(e, ERR_INVALID, "the image reference is empty");
        if (size > TEXT_MAX_BYTES)
                return err_set(e, ERR_INVALID,
                        "the image reference has %zu characters, more than %d", size,
                        TEXT_MAX_BYTES);
        if (size == ID_BYTES && view_all(all, is_id_char))
                return err_set(e, ERR_INVALID, "64 hexadecimal digits are an ID, not a name");
        struct parts p = split(all);
        if (check(&p, e) < 0)
                return -1;
        fill(&p, r);
        return 0;
}

void ref_fini(struct ref *r)
{
        free(r->host);
        free(r->repository);
        free(r->name);
        free(r->tag);
        free(r->digest);
        free(r->text);
        *r = (struct ref){0};
}

char *ref_with_digest(const struct ref *r, const char *digest)
{
        return mem_printf("%s@%s", r->name, digest);
}

bool ref_is_image_id(const char *text, const char *image_id)
{
        size_t prefix = strlen(ID_PREFIX);
        if (strncmp(text, ID_PREFIX, prefix) == 0)
                return true;
        return image_id != NULL && strncmp(image_id, ID_PREFIX, prefix) == 0 &&
               strlen(text) >= SHORT_ID_MIN && strncmp(image_id + prefix, text, strlen(text)) == 0;
}

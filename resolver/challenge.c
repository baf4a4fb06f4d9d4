/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/challenge.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/mem.h"

enum {
        HEADER_MAX_BYTES = 16 * 1024,
        VALUE_MAX_BYTES = 8 * 1024,
        PARAMETERS_MAX = 64,
};

struct cursor {
        const char *at, *end;
};

struct word {
        const char *at;
        size_t size;
};

static bool is_space(char c)
{
        return c == ' ' || c == '\t';
}

/* RFC 9110 section 5.6.2. */
static bool is_token_char(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_token68_char(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               (c != '\0' && strchr("-._~+/", c) != NULL);
}

static void skip_spaces(struct cursor *c)
{
        while (c->at < c->end && is_space(*c->at))
                c->at++;
}

/* Lists may have empty elements. */
static void skip_commas(struct cursor *c)
{
        while (c->at < c->end && (is_space(*c->at) || *c->at == ','))
                c->at++;
}

static bool next_is(const struct cursor *c, char x)
{
        return c->at < c->end && *c->at == x;
}

static struct word read_token(struct cursor *c)
{
        struct word w = {c->at, 0};
        while (c->at < c->end && is_token_char(*c->at))
                c->at++;
        w.size = (size_t)(c->at - w.at);
        return w;
}

static bool word_is(struct word w, const char *s)
{
        return w.size == strlen(s) && strncasecmp(w.at, s, w.size) == 0;
}

static int read_quoted(struct cursor *c, struct buf *value, struct err *e)
{
        for (c->at++; c->at < c->end && *c->at != '"'; c->at++) {
                if (*c->at == '\\' && ++c->at == c->end)
                        break;
                if ((unsigned char)*c->at < ' ' && *c->at != '\t')
                        return err_set(e, ERR_PROTOCOL,
                                "WWW-Authenticate: a control character in a quoted string");
                buf_append(value, c->at, 1);
        }
        if (c->at >= c->end)
                return err_set(e, ERR_PROTOCOL, "WWW-Authenticate: a quoted string has no end");
        c->at++;
        return 0;
}

/* Registries write unquoted values with characters that a token may not have, such as ':' and '/'
 * of a URL: taken up to the next comma or space. */
static int read_value(struct cursor *c, struct buf *value, struct err *e)
{
        if (next_is(c, '"')) {
                if (read_quoted(c, value, e) < 0)
                        return -1;
        } else {
                const char *start = c->at;
                while (c->at<c->end && * c->at> ' ' && *c->at < 127 && *c->at != ',' &&
                        *c->at != '"')
                        c->at++;
                buf_append(value, start, (size_t)(c->at - start));
        }
        if (value->overflow)
                return err_set(e, ERR_PROTOCOL, "WWW-Authenticate: a value has more than %d bytes",
                        VALUE_MAX_BYTES);
        return 0;
}

static void keep(char **slot, const struct buf *value)
{
        /* The first of two equal names counts. */
        if (*slot == NULL)
                *slot = mem_strdup(buf_str(value));
}

static void keep_parameter(struct challenge *c, struct word name, const struct buf *value)
{
        if (word_is(name, "realm"))
                keep(&c->realm, value);
        else if (word_is(name, "service"))
                keep(&c->service, value);
        else if (word_is(name, "scope"))
                keep(&c->scope, value);
        else if (word_is(name, "error"))
                keep(&c->error, value);
}

/* "name = value" at c, or nothing of c is taken: then a new challenge begins there. */
static int read_parameter(struct cursor *c, struct challenge *into, bool *taken, struct err *e)
{
        struct cursor ahead = *c;
        struct word name = read_token(&ahead);
        skip_spaces(&ahead);
        *taken = name.size > 0 && next_is(&ahead, '=');
        if (!*taken)
                return 0;
        ahead.at++;
        skip_spaces(&ahead);
        cleanup_buf struct buf value;
        buf_init(&value, VALUE_MAX_BYTES);
        if (read_value(&ahead, &value, e) < 0)
                return -1;
        keep_parameter(into, name, &value);
        *c = ahead;
        return 0;
}

/* "Negotiate YII=": one blob instead of parameters. */
static bool skip_token68(struct cursor *c)
{
        struct cursor ahead = *c;
        while (ahead.at < ahead.end && is_token68_char(*ahead.at))
                ahead.at++;
        if (ahead.at == c->at)
                return false;
        while (next_is(&ahead, '='))
                ahead.at++;
        skip_spaces(&ahead);
        if (ahead.at < ahead.end && *ahead.at != ',')
                return false;
        *c = ahead;
        return true;
}

static int read_parameters(struct cursor *c, struct challenge *into, struct err *e)
{
        for (unsigned n = 0;; n++) {
                bool taken;
                if (read_parameter(c, into, &taken, e) < 0)
                        return -1;
                if (!taken)
                        return 0;
                if (n == PARAMETERS_MAX)
                        return err_set(e, ERR_PROTOCOL, "WWW-Authenticate: more than %d parameters",
                                PARAMETERS_MAX);
                /* Some registries leave the comma out. */
                if (c->at < c->end && *c->at != ',' && !is_space(*c->at))
                        return err_set(
                                e, ERR_PROTOCOL, "WWW-Authenticate: no comma after a parameter");
                skip_commas(c);
        }
}

static int read_challenge(struct cursor *c, struct challenge *into, struct err *e)
{
        struct word scheme = read_token(c);
        if (scheme.size == 0 || (c->at < c->end && !is_space(*c->at) && *c->at != ','))
                return err_set(e, ERR_PROTOCOL, "WWW-Authenticate: no scheme where one is due");
        if (word_is(scheme, "Bearer"))
                into->scheme = CHALLENGE_BEARER;
        else if (word_is(scheme, "Basic"))
                into->scheme = CHALLENGE_BASIC;
        skip_spaces(c);
        if (next_is(c, ',')) {
                skip_commas(c);
                return 0;
        }
        if (skip_token68(c)) {
                skip_commas(c);
                return 0;
        }
        return read_parameters(c, into, e);
}

int challenge_parse(const char *value, size_t size, struct challenge *c, struct err *e)
{
        if (size > HEADER_MAX_BYTES)
                return err_set(
                        e, ERR_PROTOCOL, "WWW-Authenticate: more than %d bytes", HEADER_MAX_BYTES);
        struct cursor at = {value, value + size};
        for (skip_commas(&at); at.at < at.end;) {
                cleanup_challenge struct challenge next = {0};
                if (read_challenge(&at, &next, e) < 0)
                        return -1;
                if (next.scheme == CHALLENGE_BEARER && next.realm == NULL)
                        return err_set(e, ERR_PROTOCOL,
                                "WWW-Authenticate: a Bearer challenge without realm");
                if (next.scheme > c->scheme) {
                        struct challenge was = *c;
                        *c = next;
                        next = was;
                }
        }
        return 0;
}

void challenge_fini(struct challenge *c)
{
        free(c->realm);
        free(c->service);
        free(c->scope);
        free(c->error);
        *c = (struct challenge){0};
}

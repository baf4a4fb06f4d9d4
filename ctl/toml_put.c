/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "ctl/toml_edit.h"

static bool needs_escapes(const char *s)
{
        for (; *s != '\0'; s++)
                if (((unsigned char)*s < ' ' && *s != '\t') || *s == 0x7f)
                        return true;
        return false;
}

static void put_escaped(struct buf *b, const char *s)
{
        buf_puts(b, "\"");
        for (; *s != '\0'; s++) {
                if (*s == '"' || *s == '\\')
                        buf_printf(b, "\\%c", *s);
                else if ((unsigned char)*s < ' ' || *s == 0x7f)
                        buf_printf(b, "\\u%04X", (unsigned)(unsigned char)*s);
                else
                        buf_append(b, s, 1);
        }
        buf_puts(b, "\"");
}

static void put_string(struct buf *b, const char *s, char quote)
{
        if (quote == '\'' && strchr(s, '\'') == NULL && !needs_escapes(s))
                buf_printf(b, "'%s'", s);
        else
                put_escaped(b, s);
}

static void put_object(struct buf *b, const json_t *object, char quote)
{
        const char *key = NULL;
        json_t *value = NULL;
        const char *between = "{ ";
        json_object_foreach ((json_t *)object, key, value) {
                buf_puts(b, between);
                toml_put_key(b, key, quote);
                buf_puts(b, " = ");
                toml_put_value(b, value, quote);
                between = ", ";
        }
        buf_puts(b, json_object_size(object) > 0 ? " }" : "{}");
}

void toml_put_value(struct buf *b, const json_t *value, char quote)
{
        if (json_is_object(value)) {
                put_object(b, value, quote);
        } else if (json_is_string(value)) {
                put_string(b, json_string_value(value), quote);
        } else if (json_is_integer(value)) {
                buf_printf(b, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        } else if (json_is_boolean(value)) {
                buf_puts(b, json_is_true(value) ? "true" : "false");
        } else {
                buf_puts(b, "[");
                for (size_t i = 0; i < json_array_size(value); i++) {
                        buf_puts(b, i > 0 ? ", " : "");
                        toml_put_value(b, json_array_get(value, i), quote);
                }
                buf_puts(b, "]");
        }
}

void toml_put_key(struct buf *b, const char *key, char quote)
{
        static const char bare[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                   "_-";
        if (key[0] != '\0' && key[strspn(key, bare)] == '\0')
                buf_puts(b, key);
        else
                put_string(b, key, quote);
}

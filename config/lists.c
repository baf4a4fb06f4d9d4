/* SPDX-License-Identifier: Apache-2.0 */
#include "config/lists.h"

#include <string.h>

void strings_add(struct strings *list, const char *s)
{
        list->items = mem_resize(list->items, (list->count + 1) * sizeof(*list->items));
        list->items[list->count++] = mem_strdup(s);
}

bool strings_has(const struct strings *list, const char *s)
{
        for (size_t i = 0; i < list->count; i++)
                if (strcmp(list->items[i], s) == 0)
                        return true;
        return false;
}

void strings_clear(struct strings *list)
{
        for (size_t i = 0; i < list->count; i++)
                free(list->items[i]);
        free(list->items);
        *list = (struct strings){0};
}

bool strings_equal(const struct strings *a, const struct strings *b)
{
        if (a->count != b->count)
                return false;
        for (size_t i = 0; i < a->count; i++)
                if (strcmp(a->items[i], b->items[i]) != 0)
                        return false;
        return true;
}

static void add_header(struct headers *list, struct config_header header)
{
        list->items = mem_resize(list->items, (list->count + 1) * sizeof(*list->items));
        list->items[list->count++] = header;
}

void headers_add(struct headers *list, const char *name, const char *value)
{
        add_header(
                list, (struct config_header){.name = mem_strdup(name), .value = mem_strdup(value)});
}

void headers_add_unread(struct headers *list, const char *name, const char *file)
{
        add_header(
                list, (struct config_header){.name = mem_strdup(name), .file = mem_strdup(file)});
}

void headers_clear(struct headers *list)
{
        for (size_t i = 0; i < list->count; i++) {
                free(list->items[i].name);
                mem_free_secret(list->items[i].value);
                free(list->items[i].file);
        }
        free(list->items);
        *list = (struct headers){0};
}

static bool same(const char *a, const char *b)
{
        return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

bool headers_equal(const struct headers *a, const struct headers *b)
{
        if (a->count != b->count)
                return false;
        for (size_t i = 0; i < a->count; i++)
                if (strcmp(a->items[i].name, b->items[i].name) != 0 ||
                        !same(a->items[i].value, b->items[i].value) ||
                        !same(a->items[i].file, b->items[i].file))
                        return false;
        return true;
}

bool header_name_valid(const char *s)
{
        static const char token[] = "!#$%&'*+-.^_`|~0123456789"
                                    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        return s[0] != '\0' && s[strspn(s, token)] == '\0';
}

bool header_value_valid(const char *s)
{
        for (; *s != '\0'; s++)
                if (((unsigned char)*s < ' ' && *s != '\t') || *s == 0x7f)
                        return false;
        return true;
}

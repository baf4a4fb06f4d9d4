/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TOML for people's eyes: what may be a secret is shown as "***".
 */
#include <ctype.h>
#include <string.h>

#include "base/buf.h"
#include "ctl/migrate_job.h"
#include "ctl/toml_text.h"

enum { TEXT_MAX_BYTES = 8 << 20 };

static const char stars[] = "\"***\"";

static bool is_secret_key(const char *key)
{
        static const char *const keys[] = {
                "username", "password", "auth", "identitytoken", "registrytoken"};
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
                if (strcasecmp(key, keys[i]) == 0)
                        return true;
        return false;
}

static bool is_header_key(const char *key)
{
        return strcasecmp(key, "header") == 0 || strcasecmp(key, "headers") == 0;
}

/* Everything below such a key, and the last key itself where its value is no table. */
static bool is_secret(const struct toml_text *t, const struct toml_item *item)
{
        bool table = item->value_begin < t->size && t->text[item->value_begin] == '{';
        for (size_t i = 0; i + 1 < item->path.count; i++)
                if (is_header_key(item->path.items[i]))
                        return !table;
        return !table && is_secret_key(item->path.items[item->path.count - 1]);
}

/* A comment may be a table that somebody switched off. */
static bool comment_has_secret(const char *s, size_t size)
{
        static const char *const words[] = {
                "password", "auth", "token", "header", "username", "cookie", "secret"};
        cleanup_free char *line = mem_strndup(s, size);
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
                if (strchr(line, '=') != NULL && strcasestr(line, words[i]) != NULL)
                        return true;
        return false;
}

/* What stands between two items: lines of comments among them. */
static void put_between(struct buf *b, const char *s, size_t size)
{
        while (size > 0) {
                const char *end = memchr(s, '\n', size);
                size_t line = end != NULL ? (size_t)(end - s) + 1 : size;
                const char *mark = memchr(s, '#', line);
                const char *equal =
                        mark != NULL ? memchr(mark, '=', line - (size_t)(mark - s)) : NULL;
                if (equal != NULL && comment_has_secret(mark, line - (size_t)(mark - s))) {
                        buf_append(b, s, (size_t)(equal - s) + 1);
                        buf_printf(b, " ***%s", end != NULL ? "\n" : "");
                } else {
                        buf_append(b, s, line);
                }
                s += line;
                size -= line;
        }
}

char *migrate_masked(const char *text)
{
        cleanup_toml_text struct toml_text t = {0};
        struct err ignored;
        if (toml_text_scan(text, strlen(text), &t, &ignored) < 0)
                return mem_strdup("(not shown: it is no TOML, and may hold secrets)\n");
        cleanup_buf_secret struct buf b;
        buf_init(&b, TEXT_MAX_BYTES);
        size_t at = 0;
        for (size_t i = 0; i < t.count; i++) {
                const struct toml_item *item = &t.items[i];
                if (item->kind != TOML_VALUE || item->value_begin < at || !is_secret(&t, item))
                        continue;
                put_between(&b, text + at, item->value_begin - at);
                buf_puts(&b, stars);
                at = item->value_end;
        }
        put_between(&b, text + at, t.size - at);
        return mem_strdup(buf_str(&b));
}

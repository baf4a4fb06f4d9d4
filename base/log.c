/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
        LINE_MAX_BYTES = 4096,  /* PIPE_BUF: a line into a pipe is never torn apart by another's */
        VALUE_MAX_BYTES = 1536, /* of one message or value, escapes included */
        MARK_BYTES = 3,         /* "..." where something was cut off */
        TAIL_BYTES = 3,         /* closing quote, closing brace, newline */
};

/* All three are one program's standard error, hence of the process. */
static atomic_int threshold = LOG_LEVEL_INFO;
static atomic_bool as_json;
static atomic_bool to_journal;

static const struct {
        const char *name;
        enum log_level level;
} levels[] = {
        {"error", LOG_LEVEL_ERROR},
        {"warning", LOG_LEVEL_WARNING},
        {"info", LOG_LEVEL_INFO},
        {"debug", LOG_LEVEL_DEBUG},
};

bool log_level_parse(const char *name, enum log_level *out)
{
        for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
                if (strcmp(levels[i].name, name) == 0) {
                        *out = levels[i].level;
                        return true;
                }
        }
        return false;
}

static const char *level_name(enum log_level level)
{
        for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
                if (levels[i].level == level)
                        return levels[i].name;
        return "unknown";
}

/* systemd.exec(5), $JOURNAL_STREAM: standard error is the journal's if device and inode agree; a
 * redirected child inherits the variable but not the stream. */
static bool stderr_is_journal(void)
{
        const char *stream = getenv("JOURNAL_STREAM");
        if (stream == NULL)
                return false;
        struct stat st;
        if (fstat(STDERR_FILENO, &st) != 0)
                return false;
        char mine[64];
        snprintf(mine, sizeof(mine), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
        return strcmp(stream, mine) == 0;
}

void log_setup(enum log_level level, bool json)
{
        atomic_store(&threshold, (int)level);
        atomic_store(&as_json, json);
        atomic_store(&to_journal, stderr_is_journal());
}

bool log_enabled(enum log_level level)
{
        return (int)level <= atomic_load(&threshold);
}

struct line {
        char bytes[LINE_MAX_BYTES];
        size_t size;
};

static size_t room(const struct line *l)
{
        size_t most = sizeof(l->bytes) - TAIL_BYTES; /* a closing quote may stand in the tail */
        return l->size < most ? most - l->size : 0;
}

static void put(struct line *l, const char *s, size_t size)
{
        memcpy(l->bytes + l->size, s, size);
        l->size += size;
}

static void puts_line(struct line *l, const char *s)
{
        put(l, s, strlen(s));
}

/* Length of the well-formed UTF-8 sequence at s (Unicode 15, table 3-7), 0 if there is none. */
static size_t utf8_size(const unsigned char *s, uint32_t *point)
{
        static const struct {
                unsigned char first, last, second_low, second_high, size, bits;
        } forms[] = {
                {0x00, 0x7f, 0, 0, 1, 0x7f},
                {0xc2, 0xdf, 0x80, 0xbf, 2, 0x1f},
                {0xe0, 0xe0, 0xa0, 0xbf, 3, 0x0f},
                {0xe1, 0xec, 0x80, 0xbf, 3, 0x0f},
                {0xed, 0xed, 0x80, 0x9f, 3, 0x0f},
                {0xee, 0xef, 0x80, 0xbf, 3, 0x0f},
                {0xf0, 0xf0, 0x90, 0xbf, 4, 0x07},
                {0xf1, 0xf3, 0x80, 0xbf, 4, 0x07},
                {0xf4, 0xf4, 0x80, 0x8f, 4, 0x07},
        };
        for (size_t f = 0; f < sizeof(forms) / sizeof(forms[0]); f++) {
                if (s[0] < forms[f].first || s[0] > forms[f].last)
                        continue;
                *point = s[0] & forms[f].bits;
                for (size_t i = 1; i < forms[f].size; i++) {
                        unsigned char low = i == 1 ? forms[f].second_low : 0x80;
                        unsigned char high = i == 1 ? forms[f].second_high : 0xbf;
                        if (s[i] < low || s[i] > high)
                                return 0;
                        *point = *point << 6 | (s[i] & 0x3f);
                }
                return forms[f].size;
        }
        return 0;
}

/* What a terminal or a log viewer would obey instead of show: C0 and C1 controls, line and
 * paragraph separators, changes of the writing direction. */
static bool is_control(uint32_t point)
{
        return point < 0x20 || (point >= 0x7f && point <= 0x9f) ||
               (point >= 0x2028 && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069);
}

/* One character of s as it goes between quotes: writes it to out, returns how many bytes of s it
 * took. Both formats share the escapes, for JSON's are good for text as well. */
static size_t escape(const unsigned char *s, char out[16])
{
        uint32_t point = 0;
        size_t size = utf8_size(s, &point);
        if (size == 0) {
                snprintf(out, 16, "\\ufffd");
                return 1;
        }
        if (point == '"' || point == '\\')
                snprintf(out, 16, "\\%c", (char)point);
        else if (point == '\n')
                snprintf(out, 16, "\\n");
        else if (is_control(point))
                snprintf(out, 16, "\\u%04x", (unsigned)point);
        else
                snprintf(out, 16, "%.*s", (int)size, (const char *)s);
        return size;
}

static void put_escaped(struct line *l, const char *value)
{
        size_t limit = room(l) < VALUE_MAX_BYTES ? room(l) : VALUE_MAX_BYTES;
        if (limit < MARK_BYTES)
                return;
        size_t end = l->size + limit - MARK_BYTES;
        for (const unsigned char *s = (const unsigned char *)value; *s != '\0';) {
                char piece[16];
                s += escape(s, piece);
                if (l->size + strlen(piece) > end) {
                        puts_line(l, "...");
                        return;
                }
                puts_line(l, piece);
        }
}

/* Text values stand bare only when nothing in them could be taken for the end of the value. */
static bool needs_quotes(const char *s, bool spaces_allowed)
{
        if (*s == '\0')
                return true;
        for (; *s != '\0'; s++) {
                unsigned char c = (unsigned char)*s;
                if (c >= 0x7f || c < 0x20 || c == '"' || c == '\\' || c == '=')
                        return true;
                if (c == ' ' && !spaces_allowed)
                        return true;
        }
        return false;
}

static void put_quoted(struct line *l, const char *value)
{
        puts_line(l, "\"");
        put_escaped(l, value);
        puts_line(l, "\"");
}

static void put_text(struct line *l, const char *value, bool spaces_allowed)
{
        if (needs_quotes(value, spaces_allowed))
                put_quoted(l, value);
        else
                put_escaped(l, value);
}

static void put_pair(struct line *l, bool json, const char *key, const char *value)
{
        /* Room for the key in its dress and a value that says more than its mark. */
        if (value[0] == '\0' || room(l) < strlen(key) + 16)
                return;
        if (json) {
                puts_line(l, ",\"");
                puts_line(l, key);
                puts_line(l, "\":");
                put_quoted(l, value);
        } else {
                puts_line(l, " ");
                puts_line(l, key);
                puts_line(l, "=");
                put_text(l, value, false);
        }
}

static void put_head(struct line *l, bool json, enum log_level level, const char *message)
{
        struct timespec now;
        struct tm utc;
        char text[64];
        clock_gettime(CLOCK_REALTIME, &now);
        gmtime_r(&now.tv_sec, &utc);
        size_t n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
        snprintf(text + n, sizeof(text) - n, ".%03dZ", (int)(now.tv_nsec / 1000000));
        if (json) {
                puts_line(l, "{\"time\":\"");
                puts_line(l, text);
                puts_line(l, "\",\"level\":\"");
                puts_line(l, level_name(level));
                puts_line(l, "\",\"message\":");
                put_quoted(l, message);
        } else {
                puts_line(l, text);
                puts_line(l, " ");
                puts_line(l, level_name(level));
                puts_line(l, " ");
                put_text(l, message, true);
        }
}

/* One line between its head and its end. */
static void begin(struct line *l, bool json, enum log_level level, const char *message)
{
        l->size = 0;
        if (atomic_load(&to_journal))
                l->size = (size_t)snprintf(l->bytes, sizeof(l->bytes), "<%d>", (int)level);
        put_head(l, json, level, message);
}

static void end(struct line *l, bool json)
{
        puts_line(l, json ? "}\n" : "\n");
        while (write(STDERR_FILENO, l->bytes, l->size) < 0 && errno == EINTR)
                ;
}

void log_line(enum log_level level, const char *message, ...)
{
        if (!log_enabled(level))
                return;
        int saved_errno = errno;
        bool json = atomic_load(&as_json);
        struct line l;
        begin(&l, json, level, message);
        va_list args;
        va_start(args, message);
        for (const char *key; (key = va_arg(args, const char *)) != NULL;) {
                const char *value = va_arg(args, const char *);
                if (value == NULL)
                        break;
                put_pair(&l, json, key, value);
        }
        va_end(args);
        end(&l, json);
        errno = saved_errno;
}

void log_pairs(
        enum log_level level, const char *message, const struct log_pair *pairs, size_t count)
{
        if (!log_enabled(level))
                return;
        int saved_errno = errno;
        bool json = atomic_load(&as_json);
        struct line l;
        begin(&l, json, level, message);
        for (size_t i = 0; i < count; i++)
                put_pair(&l, json, pairs[i].key, pairs[i].value);
        end(&l, json);
        errno = saved_errno;
}

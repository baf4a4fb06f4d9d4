/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"

enum { ESCAPED_MAX_BYTES = 64 * 1024 * 1024 };

struct range {
        uint32_t first, last;
};

/* By Unicode's East_Asian_Width W and F, in blocks; close enough for a table. */
static const struct range wide[] = {{0x1100, 0x115f}, {0x2e80, 0x303e}, {0x3041, 0xa4cf},
        {0xac00, 0xd7a3}, {0xf900, 0xfaff}, {0xfe30, 0xfe6f}, {0xff00, 0xff60}, {0xffe0, 0xffe6},
        {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff}, {0x1f900, 0x1faff}, {0x20000, 0x3fffd}};
static const struct range empty[] = {
        {0x300, 0x36f}, {0x200b, 0x200d}, {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}};
/* C0, DEL and C1; what changes the direction or breaks lines; private to programs. */
static const struct range unfit[] = {{0, 0x1f}, {0x7f, 0x9f}, {0x200e, 0x200f}, {0x2028, 0x202e},
        {0x2066, 0x2069}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}};

static bool is_in(uint32_t c, const struct range *ranges, size_t count)
{
        for (size_t i = 0; i < count; i++)
                if (c >= ranges[i].first && c <= ranges[i].last)
                        return true;
        return false;
}
#define IS_IN(c, ranges) is_in((c), (ranges), sizeof(ranges) / sizeof((ranges)[0]))

/* The bytes of the character at s, 0 if it is none. Overlong forms and surrogates are none. */
static size_t decode(const char *s, size_t size, uint32_t *out)
{
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        unsigned char first = (unsigned char)s[0];
        size_t count = first < 0x80              ? 1
                       : (first & 0xe0u) == 0xc0 ? 2
                       : (first & 0xf0u) == 0xe0 ? 3
                       : (first & 0xf8u) == 0xf0 ? 4
                                                 : 0;
        if (count == 0 || count > size)
                return 0;
        uint32_t c = count == 1 ? first : first & (0xffu >> (count + 1));
        for (size_t i = 1; i < count; i++) {
                if (((unsigned char)s[i] & 0xc0u) != 0x80)
                        return 0;
                c = c << 6 | ((unsigned char)s[i] & 0x3fu);
        }
        *out = c;
        bool valid = c >= least[count] && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
        return valid ? count : 0;
}

static void append_escaped(struct buf *b, const char *s, size_t size)
{
        if (size == 1 && (*s == '\n' || *s == '\t' || *s == '\r')) {
                buf_printf(b, "\\%c", *s == '\n' ? 'n' : *s == '\t' ? 't' : 'r');
                return;
        }
        for (size_t i = 0; i < size; i++)
                buf_printf(b, "\\x%02x", (unsigned)(unsigned char)s[i]);
}

char *text_escape(const char *s, size_t size)
{
        cleanup_buf struct buf b;
        buf_init(&b, ESCAPED_MAX_BYTES);
        for (size_t i = 0; i < size;) {
                uint32_t c = 0;
                size_t count = decode(s + i, size - i, &c);
                if (count == 0 || IS_IN(c, unfit))
                        append_escaped(&b, s + i, count > 0 ? count : 1);
                else
                        buf_append(&b, s + i, count);
                i += count > 0 ? count : 1;
        }
        return mem_strdup(buf_str(&b));
}

static size_t step(const char *s, size_t size, size_t *columns)
{
        uint32_t c = 0;
        size_t count = decode(s, size, &c);
        *columns = IS_IN(c, wide) ? 2 : IS_IN(c, empty) ? 0 : 1;
        return count > 0 ? count : 1;
}

size_t text_width(const char *s, size_t size)
{
        size_t width = 0;
        for (size_t i = 0, columns = 0; i < size; width += columns)
                i += step(s + i, size - i, &columns);
        return width;
}

static size_t skip_blanks(const char *s, size_t size, size_t at)
{
        while (at < size && s[at] == ' ')
                at++;
        return at;
}

size_t text_line(const char *s, size_t size, size_t columns, size_t *next)
{
        size_t fits = 0;
        for (size_t width = 0, c = 0; fits < size; width += c) {
                size_t count = step(s + fits, size - fits, &c);
                if (width + c > columns && fits > 0)
                        break;
                fits += count;
        }
        size_t end = fits;
        if (fits < size && s[fits] != ' ') {
                while (end > 0 && s[end - 1] != ' ')
                        end--;
                for (size_t i = fits; end == 0 && i > fits / 2; i--)
                        if (strchr("/:@,=", s[i - 1]) != NULL)
                                end = i;
                if (end == 0)
                        end = fits;
        }
        *next = skip_blanks(s, size, end);
        while (end > 0 && s[end - 1] == ' ')
                end--;
        return end;
}

static void fill_paragraph(FILE *to, const char *s, size_t size, size_t indent, size_t columns)
{
        for (size_t at = 0, next = 0; at < size; at += next) {
                size_t count = text_line(s + at, size - at, columns - indent, &next);
                fprintf(to, "%*s%.*s\n", (int)indent, "", (int)count, s + at);
        }
}

/* Lines up to an empty one, or one that begins with a blank, as one. */
static size_t gather(const char *s, struct buf *out)
{
        size_t at = 0;
        while (s[at] != '\0' && s[at] != '\n' && s[at] != ' ') {
                size_t size = strcspn(s + at, "\n");
                if (at > 0)
                        buf_puts(out, " ");
                buf_append(out, s + at, size);
                at += size + (s[at + size] == '\n');
        }
        return at;
}

void text_fill(FILE *to, const char *s, size_t indent, size_t columns)
{
        while (*s != '\0') {
                if (*s == '\n' || *s == ' ') {
                        size_t size = strcspn(s, "\n");
                        if (size > 0)
                                fprintf(to, "%*s%.*s", (int)indent, "", (int)size, s);
                        fputc('\n', to);
                        s += size + (s[size] == '\n');
                        continue;
                }
                cleanup_buf struct buf paragraph;
                buf_init(&paragraph, ESCAPED_MAX_BYTES);
                s += gather(s, &paragraph);
                fill_paragraph(to, buf_str(&paragraph), paragraph.size, indent, columns);
        }
}

/* "repo:tag@sha256:..." has no user. */
static bool is_digest(const char *s)
{
        enum { DIGITS_MIN = 32 };
        size_t name = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789+._-");
        return name > 0 && s[name] == ':' && strspn(s + name + 1, "0123456789abcdef") >= DIGITS_MIN;
}

/* One that cannot be taken apart shows less rather than more. */
static void put_word(struct buf *out, const char *s, size_t size)
{
        size_t end = size; /* behind the '@' */
        while (end > 0 && (s[end - 1] != '@' || is_digest(s + end)))
                end--;
        const char *scheme = memmem(s, end, "://", 3);
        size_t begin = scheme != NULL ? (size_t)(scheme - s) + 3 : 0;
        size_t user = end > begin ? end - begin - 1 : 0;
        bool colon = memchr(s + begin, ':', user) != NULL;
        bool secret = colon || (scheme != NULL && memchr(s + begin, '/', user) == NULL);
        if (user > 0 && secret && s[begin] != '/') {
                buf_append(out, s, begin);
                buf_puts(out, "***@");
                s += end;
                size -= end;
        }
        buf_append(out, s, size);
}

char *text_without_passwords(const char *s)
{
        static const char between[] = " \t\r\n\"'`<>";
        cleanup_buf_secret struct buf out;
        buf_init(&out, SIZE_MAX);
        while (*s != '\0') {
                size_t size = strcspn(s, between);
                put_word(&out, s, size);
                s += size;
                size = strspn(s, between);
                buf_append(&out, s, size);
                s += size;
        }
        return mem_strdup(buf_str(&out));
}

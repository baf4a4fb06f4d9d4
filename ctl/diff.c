/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/diff.h"

#include <stdbool.h>
#include <string.h>

#include "base/mem.h"

/* Edits beyond which nobody reads a diff line by line. It bounds the memory: the search keeps
 * EDITS_MAX^2 integers at most. */
enum { EDITS_MAX = 2000 };

struct text {
        struct diff_line *lines;
        size_t count;
};

struct script {
        struct diff_edit *edits;
        size_t count;
};

static struct text split(const char *s)
{
        struct text t = {0};
        size_t capacity = 0;
        while (*s != '\0') {
                size_t size = strcspn(s, "\n");
                size += s[size] == '\n';
                if (t.count == capacity) {
                        capacity = capacity * 2 + 64;
                        t.lines = mem_resize(t.lines, capacity * sizeof(*t.lines));
                }
                t.lines[t.count++] = (struct diff_line){s, size};
                s += size;
        }
        return t;
}

static bool same(const struct diff_line *a, const struct diff_line *b)
{
        return a->size == b->size && memcmp(a->at, b->at, a->size) == 0;
}

static void add(struct script *s, char kind, const struct diff_line *line, size_t x, size_t y)
{
        s->edits[s->count++] =
                (struct diff_edit){.kind = kind, .line = *line, .before = x, .after = y};
}

/*
 * The furthest x on each diagonal k = x - y after d edits, for d = 0, 1, ...: row d holds d + 1 of
 * them, for k = -d, -d + 2, ..., d.
 */
struct search {
        const struct diff_line *a, *b;
        long a_count, b_count;
        long **rows;
        long depth;
};

static long furthest(const struct search *s, long d, long k)
{
        return s->rows[d][(k + d) / 2];
}

/* Whether the last of d edits to diagonal k went down: an added line. */
static bool came_down(const struct search *s, long d, long k)
{
        return k == -d || (k != d && furthest(s, d - 1, k - 1) < furthest(s, d - 1, k + 1));
}

static bool search_row(struct search *s, long d)
{
        s->rows[d] = mem_zalloc((size_t)(d + 1) * sizeof(long));
        s->depth = d;
        for (long k = -d; k <= d; k += 2) {
                long x = 0;
                if (d > 0)
                        x = came_down(s, d, k) ? furthest(s, d - 1, k + 1)
                                               : furthest(s, d - 1, k - 1) + 1;
                while (x < s->a_count && x - k < s->b_count && x - k >= 0 &&
                        same(&s->a[x], &s->b[x - k]))
                        x++;
                s->rows[d][(k + d) / 2] = x;
                if (x >= s->a_count && x - k >= s->b_count)
                        return true;
        }
        return false;
}

/* Backwards through the rows; the edits come out in reverse. */
static void walk_back(const struct search *s, struct script *out, size_t skipped)
{
        long x = s->a_count, y = s->b_count;
        for (long d = s->depth; d >= 0; d--) {
                long k = x - y;
                bool down = d > 0 && came_down(s, d, k);
                long from = d == 0 ? 0 : furthest(s, d - 1, down ? k + 1 : k - 1);
                long stop = d == 0 ? 0 : down ? from : from + 1;
                for (; x > stop; x--, y--)
                        add(out, ' ', &s->a[x - 1], skipped + (size_t)x - 1,
                                skipped + (size_t)y - 1);
                if (d == 0)
                        return;
                x -= !down;
                y -= down;
                add(out, down ? '+' : '-', down ? &s->b[y] : &s->a[x], skipped + (size_t)x,
                        skipped + (size_t)y);
        }
}

static void reverse(struct diff_edit *edits, size_t count)
{
        for (size_t i = 0; i < count / 2; i++) {
                struct diff_edit e = edits[i];
                edits[i] = edits[count - 1 - i];
                edits[count - 1 - i] = e;
        }
}

static void one_block(const struct search *s, struct script *out, size_t skipped)
{
        for (long i = 0; i < s->a_count; i++)
                add(out, '-', &s->a[i], skipped + (size_t)i, skipped);
        for (long i = 0; i < s->b_count; i++)
                add(out, '+', &s->b[i], skipped + (size_t)s->a_count, skipped + (size_t)i);
}

static void compare(struct search *s, struct script *out, size_t skipped)
{
        bool found = false;
        s->rows = mem_zalloc((EDITS_MAX + 1) * sizeof(*s->rows));
        for (long d = 0; d <= EDITS_MAX && !found; d++)
                found = search_row(s, d);
        size_t start = out->count;
        if (found) {
                walk_back(s, out, skipped);
                reverse(out->edits + start, out->count - start);
        } else {
                one_block(s, out, skipped);
        }
        for (long d = 0; d <= s->depth; d++)
                free(s->rows[d]);
        free(s->rows);
}

size_t diff_edits(const char *before, const char *after, struct diff_edit **edits)
{
        struct text a = split(before), b = split(after);
        struct script out = {.edits = mem_zalloc((a.count + b.count) * sizeof(*out.edits))};
        size_t head = 0, tail = 0;
        while (head < a.count && head < b.count && same(&a.lines[head], &b.lines[head]))
                head++;
        while (tail < a.count - head && tail < b.count - head &&
                same(&a.lines[a.count - 1 - tail], &b.lines[b.count - 1 - tail]))
                tail++;
        for (size_t i = 0; i < head; i++)
                add(&out, ' ', &a.lines[i], i, i);
        struct search s = {
                .a = a.lines + head,
                .b = b.lines + head,
                .a_count = (long)(a.count - head - tail),
                .b_count = (long)(b.count - head - tail),
        };
        if (s.a_count + s.b_count > 0)
                compare(&s, &out, head);
        for (size_t i = tail; i > 0; i--)
                add(&out, ' ', &a.lines[a.count - i], a.count - i, b.count - i);
        free(a.lines);
        free(b.lines);
        *edits = out.edits;
        return out.count;
}

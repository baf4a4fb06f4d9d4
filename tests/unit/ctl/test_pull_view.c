/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>
#include <stdio.h>

#include "ctl/pull_view.h"
#include "ctl/text.h"

#define REFERENCE "ghcr.io/team/app:stable"
#define MIRROR    "http://10.0.20.10:5010"
#define ONE       "sha256:1111111111112222222222222222222222222222222222222222222222222222"
#define TWO       "sha256:3333333333334444444444444444444444444444444444444444444444444444"

static json_t *content(const char *digest, const char *kind, int64_t size, int64_t sent,
        const char *source, const char *why_left)
{
        json_t *failovers = json_array();
        if (why_left != NULL)
                json_array_append_new(
                        failovers, json_pack("{s:s, s:s}", "source", MIRROR, "error", why_left));
        return json_pack("{s:s, s:s, s:o, s:I, s:s?, s:o}", "digest", digest, "kind", kind,
                "size_bytes", size < 0 ? json_null() : json_integer(size), "sent_bytes",
                (json_int_t)sent, "source", source, "failovers", failovers);
}

/* Takes the contents, which end with NULL. */
static json_t *running(const char *reference, json_t *first, ...)
{
        json_t *contents = json_array();
        va_list more;
        va_start(more, first);
        for (json_t *c = first; c != NULL; c = va_arg(more, json_t *))
                json_array_append_new(contents, c);
        va_end(more);
        return json_pack("{s:[{s:s, s:o}], s:[]}", "running", "reference", reference, "contents",
                contents, "recent");
}

static struct pull_view *view_of(bool redraw, int width)
{
        struct pull_view_options o = {.reference = REFERENCE, .redraw = redraw, .width = width};
        return pull_view_new(&o);
}

/* Takes the document; the caller frees what is returned. */
static char *update(struct pull_view *v, json_t *pulls)
{
        cleanup_buf struct buf out;
        buf_init(&out, 1 << 20);
        pull_view_update(v, pulls, &out);
        json_decref(pulls);
        return mem_strdup(buf_str(&out));
}

static void a_line_for_each_event_without_a_terminal(void **state)
{
        (void)state;
        struct pull_view *v = view_of(false, 80);
        cleanup_free char *unknown =
                update(v, running(REFERENCE, content(ONE, "manifest", -1, 0, NULL, NULL), NULL));
        assert_string_equal(unknown, "");
        cleanup_free char *begun =
                update(v, running(REFERENCE, content(ONE, "manifest", 700, 700, MIRROR, NULL),
                                  content(TWO, "blob", 3 << 20, 0, MIRROR, NULL), NULL));
        assert_string_equal(begun, "manifest sha256:111111111111: 700 B from " MIRROR "\n"
                                   "blob sha256:333333333333: 3.0 MiB from " MIRROR "\n");
        cleanup_free char *same =
                update(v, running(REFERENCE, content(ONE, "manifest", 700, 700, MIRROR, NULL),
                                  content(TWO, "blob", 3 << 20, 1 << 20, MIRROR, NULL), NULL));
        assert_string_equal(same, "");
        cleanup_free char *left = update(
                v, running(REFERENCE, content(ONE, "manifest", 700, 700, MIRROR, "it broke"),
                           content(TWO, "blob", 3 << 20, 1 << 20, "ghcr.io", "it broke"), NULL));
        assert_string_equal(left, "left " MIRROR ": it broke\n");
        pull_view_free(v);
}

static void pulls_of_others_are_not_shown(void **state)
{
        (void)state;
        struct pull_view *v = view_of(false, 80);
        cleanup_free char *other = update(v,
                running("ghcr.io/team/app:other", content(ONE, "blob", 5, 5, MIRROR, NULL), NULL));
        assert_string_equal(other, "");
        cleanup_free char *nothing = update(v, json_object());
        assert_string_equal(nothing, "");
        pull_view_free(v);
}

static void what_the_end_brings_is_told_once(void **state)
{
        (void)state;
        struct pull_view *v = view_of(false, 80);
        free(update(v, running(REFERENCE, content(ONE, "blob", 9, 9, MIRROR, "it broke"), NULL)));
        json_t *record = json_pack("{s:[{s:s, s:s}, {s:s, s:s}]}", "failovers", "source", MIRROR,
                "error", "it broke", "source", MIRROR, "error", "wrong content");
        cleanup_buf struct buf out;
        buf_init(&out, 1 << 20);
        pull_view_end(v, record, true, &out);
        assert_string_equal(buf_str(&out), "left " MIRROR ": wrong content\n");
        json_decref(record);
        pull_view_free(v);
}

#define BAR_ONE "manifest 111111111111 [===========] 700 B               " MIRROR "\033[K\n"

static void bars_are_drawn_over(void **state)
{
        (void)state;
        struct pull_view *v = view_of(true, 80);
        cleanup_free char *first =
                update(v, running(REFERENCE, content(ONE, "manifest", 700, 700, MIRROR, NULL),
                                  content(TWO, "blob", 4 << 20, 1 << 20, MIRROR, NULL), NULL));
        assert_string_equal(first, BAR_ONE
                "blob     333333333333 [==>        ] 1.0 MiB / 4.0 MiB   " MIRROR "\033[K\n");
        cleanup_free char *second = update(
                v, running(REFERENCE, content(ONE, "manifest", 700, 700, MIRROR, NULL),
                           content(TWO, "blob", 4 << 20, 2 << 20, "ghcr.io", "it broke"), NULL));
        assert_string_equal(second, "\033[2A\r\033[J"
                                    "left " MIRROR ": it broke\n" BAR_ONE
                                    "blob     333333333333 [=====>     ] 2.0 MiB / 4.0 MiB   "
                                    "ghcr.io\033[K\n");
        cleanup_buf struct buf end;
        buf_init(&end, 1 << 20);
        pull_view_end(v, NULL, true, &end);
        assert_non_null(strstr(buf_str(&end), "blob     333333333333 [===========] 4.0 MiB"));
        pull_view_free(v);
}

/* Whatever the width is: no line reaches its last column, so nothing wraps. */
static void lines_fit(void **state)
{
        (void)state;
        for (int width = 1; width < 200; width++) {
                struct pull_view *v = view_of(true, width);
                cleanup_free char *out = update(v,
                        running(REFERENCE,
                                content(ONE, "blob", (int64_t)900 << 40, (int64_t)800 << 40,
                                        "http://mirror.with.a.very.long.name.example.com:5010/a/b",
                                        NULL),
                                NULL));
                char *end = strstr(out, "\033[K\n");
                assert_non_null(end);
                assert_true(text_width(out, (size_t)(end - out)) < (size_t)width + (width == 1));
                pull_view_free(v);
        }
}

static void control_characters_do_nothing(void **state)
{
        (void)state;
        struct pull_view *v = view_of(true, 200);
        cleanup_free char *out = update(v,
                running(REFERENCE,
                        content(ONE, "blob", 5, 1, "http://x\033[2J", "it\nbroke \033[1m"), NULL));
        assert_null(strstr(out, "\033[2J"));
        assert_null(strstr(out, "\033[1m"));
        assert_null(strstr(out, "it\nbroke"));
        pull_view_free(v);
}

static size_t lines_of(const char *s)
{
        size_t lines = 0;
        for (; *s != '\0'; s++)
                lines += *s == '\n';
        return lines;
}

/* A terminal has few lines: what is complete gives way first. */
static void many_contents(void **state)
{
        (void)state;
        struct pull_view *v = view_of(true, 80);
        json_t *contents = json_array();
        for (int i = 0; i < 40; i++) {
                char digest[80];
                snprintf(digest, sizeof(digest), "sha256:%064d", i);
                json_array_append_new(
                        contents, content(digest, "blob", 10, i < 30 ? 10 : 5, MIRROR, NULL));
        }
        json_t *pulls = json_pack(
                "{s:[{s:s, s:o}]}", "running", "reference", REFERENCE, "contents", contents);
        cleanup_free char *out = update(v, pulls);
        assert_int_equal(lines_of(out), PULL_VIEW_BARS_MAX);
        assert_memory_equal(out, "40 contents, 30 complete", 24);
        size_t halves = 0;
        for (const char *at = out; (at = strstr(at, "5 B / 10 B")) != NULL; at++)
                halves++;
        assert_int_equal(halves, 10);
        pull_view_free(v);
}

static void more_at_work_than_lines(void **state)
{
        (void)state;
        struct pull_view *v = view_of(true, 80);
        json_t *contents = json_array();
        for (int i = 0; i < 40; i++) {
                char digest[80];
                snprintf(digest, sizeof(digest), "sha256:%064d", i);
                json_array_append_new(
                        contents, content(digest, "blob", 10, i < 2 ? 10 : 5, MIRROR, NULL));
        }
        cleanup_free char *out = update(v, json_pack("{s:[{s:s, s:o}]}", "running", "reference",
                                                   REFERENCE, "contents", contents));
        assert_int_equal(lines_of(out), PULL_VIEW_BARS_MAX);
        pull_view_free(v);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_line_for_each_event_without_a_terminal),
                cmocka_unit_test(pulls_of_others_are_not_shown),
                cmocka_unit_test(what_the_end_brings_is_told_once),
                cmocka_unit_test(bars_are_drawn_over),
                cmocka_unit_test(lines_fit),
                cmocka_unit_test(control_characters_do_nothing),
                cmocka_unit_test(many_contents),
                cmocka_unit_test(more_at_work_than_lines),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

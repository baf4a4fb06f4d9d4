/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

enum { CAPTURE_MAX = 1 << 20 };

/* Standard error goes into a file while a test logs; cmocka itself writes there, too, so no
 * assertion may run in between. */
struct capture {
        FILE *file;
        int saved;
};

static struct capture capture_begin(void)
{
        struct capture c = {.file = tmpfile(), .saved = dup(STDERR_FILENO)};
        assert_non_null(c.file);
        dup2(fileno(c.file), STDERR_FILENO);
        return c;
}

static char *capture_end(struct capture *c)
{
        dup2(c->saved, STDERR_FILENO);
        close(c->saved);
        char *text = mem_zalloc(CAPTURE_MAX);
        rewind(c->file);
        text[fread(text, 1, CAPTURE_MAX - 1, c->file)] = '\0';
        fclose(c->file);
        return text;
}

/* Checks the time and puts it out of the way: "2026-01-02T03:04:05.678Z" becomes "T". */
static char *without_time(const char *line, const char *before)
{
        int year, month, day, hour, minute, second, milli;
        size_t skip = strlen(before);
        assert_memory_equal(line, before, skip);
        assert_int_equal(sscanf(line + skip, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ", &year, &month, &day,
                                 &hour, &minute, &second, &milli),
                7);
        assert_true(year >= 2024 && month <= 12 && day <= 31 && hour < 24 && second <= 60);
        return mem_printf("%sT%s", before, line + skip + strlen("2026-01-02T03:04:05.678Z"));
}

static char *one_line(bool json, const char *message, const char *key, const char *value)
{
        log_setup(LOG_LEVEL_INFO, json);
        struct capture c = capture_begin();
        log_line(LOG_LEVEL_INFO, message, key, value, "after", "end", NULL);
        cleanup_free char *text = capture_end(&c);
        return without_time(text, json ? "{\"time\":\"" : "");
}

static const struct {
        const char *value;
        const char *text; /* between "key=" and the next pair */
        const char *json; /* between the quotes */
} values[] = {
        {"nginx", "nginx", "nginx"},
        {"docker.io/library/nginx:1.27", "docker.io/library/nginx:1.27",
                "docker.io/library/nginx:1.27"},
        {"two words", "\"two words\"", "two words"},
        {"a=b", "\"a=b\"", "a=b"},
        {"say \"hi\"", "\"say \\\"hi\\\"\"", "say \\\"hi\\\""},
        {"back\\slash", "\"back\\\\slash\"", "back\\\\slash"},
        {"x\n2026-01-01T00:00:00.000Z error forged",
                "\"x\\n2026-01-01T00:00:00.000Z error forged\"",
                "x\\n2026-01-01T00:00:00.000Z error forged"},
        {"x\r\t\x1b[31m", "\"x\\u000d\\u0009\\u001b[31m\"", "x\\u000d\\u0009\\u001b[31m"},
        {"\x7f", "\"\\u007f\"", "\\u007f"},
        {"caf\xc3\xa9", "\"caf\xc3\xa9\"", "caf\xc3\xa9"},
        {"\xf0\x9f\x90\xb3", "\"\xf0\x9f\x90\xb3\"", "\xf0\x9f\x90\xb3"},
        {"bad \xff\xc3", "\"bad \\ufffd\\ufffd\"", "bad \\ufffd\\ufffd"},
        {"overlong \xc0\xaf", "\"overlong \\ufffd\\ufffd\"", "overlong \\ufffd\\ufffd"},
        {"half \xed\xa0\x80", "\"half \\ufffd\\ufffd\\ufffd\"", "half \\ufffd\\ufffd\\ufffd"},
        {"c1 \xc2\x9b", "\"c1 \\u009b\"", "c1 \\u009b"},
        {"line \xe2\x80\xa8", "\"line \\u2028\"", "line \\u2028"},
        {"turn \xe2\x80\xae", "\"turn \\u202e\"", "turn \\u202e"},
};

static void text_values_are_escaped(void **state)
{
        (void)state;
        for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
                cleanup_free char *line = one_line(false, "pulled", "key", values[i].value);
                cleanup_free char *want =
                        mem_printf("T info pulled key=%s after=end\n", values[i].text);
                assert_string_equal(line, want);
        }
}

static void json_values_are_escaped(void **state)
{
        (void)state;
        for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
                cleanup_free char *line = one_line(true, "pulled", "key", values[i].value);
                cleanup_free char *want = mem_printf(
                        "{\"time\":\"T\",\"level\":\"info\",\"message\":\"pulled\",\"key\":\"%s\","
                        "\"after\":\"end\"}\n",
                        values[i].json);
                assert_string_equal(line, want);
        }
}

static void messages_cannot_pose_as_pairs(void **state)
{
        (void)state;
        cleanup_free char *plain = one_line(false, "pulled an image", "key", "v");
        assert_string_equal(plain, "T info pulled an image key=v after=end\n");
        cleanup_free char *forged = one_line(false, "pulled digest=x\n", "key", "v");
        assert_string_equal(forged, "T info \"pulled digest=x\\n\" key=v after=end\n");
}

static void empty_values_are_left_out(void **state)
{
        (void)state;
        cleanup_free char *text = one_line(false, "pulled", "key", log_or(NULL));
        assert_string_equal(text, "T info pulled after=end\n");
        cleanup_free char *json = one_line(true, "pulled", "key", "");
        assert_string_equal(json,
                "{\"time\":\"T\",\"level\":\"info\",\"message\":\"pulled\",\"after\":\"end\"}\n");
}

static void long_values_are_cut_and_the_line_stays_whole(void **state)
{
        (void)state;
        char value[9001];
        memset(value, '"', sizeof(value) - 1);
        value[sizeof(value) - 1] = '\0';
        for (int json = 0; json < 2; json++) {
                log_setup(LOG_LEVEL_INFO, json);
                struct capture c = capture_begin();
                log_line(LOG_LEVEL_INFO, value, "a", value, "b", value, "c", value, "d", "end",
                        NULL);
                cleanup_free char *text = capture_end(&c);
                size_t size = strlen(text);
                assert_true(size > 3000 && size <= 4096);
                assert_ptr_equal(strchr(text, '\n'), text + size - 1);
                assert_non_null(strstr(text, json ? "...\",\"a\":" : "...\" a="));
                assert_true(text[size - 2] == (json ? '}' : '"'));
        }
}

/* Wherever the end of the line falls: in a value, its mark, its quotes, or the next key. */
static void every_length_ends_in_a_whole_line(void **state)
{
        (void)state;
        static char wide[1537];
        memset(wide, 'x', sizeof(wide) - 1);
        for (size_t size = 900; size < 1100; size++) {
                cleanup_free char *value = mem_zalloc(size + 1);
                memset(value, ' ', size);
                for (int json = 0; json < 2; json++) {
                        log_setup(LOG_LEVEL_INFO, json);
                        struct capture c = capture_begin();
                        log_line(LOG_LEVEL_INFO, wide, "a", wide, "b", value, "c", "v", "d", "v",
                                NULL);
                        cleanup_free char *text = capture_end(&c);
                        size_t end = strlen(text);
                        assert_true(end > 3900 && end <= 4096);
                        assert_ptr_equal(strchr(text, '\n'), text + end - 1);
                        assert_int_equal(text[end - 2], json                   ? '}'
                                                        : text[end - 3] == '=' ? 'v'
                                                                               : '"');
                }
        }
}

/* Both doors make the same line of the same pairs. */
static void pairs_are_written_as_a_list_is(void **state)
{
        (void)state;
        static const struct log_pair pairs[] = {{"a", "1"}, {"empty", ""}, {"b", "two\n\"words\""}};
        for (int json = 0; json < 2; json++) {
                log_setup(LOG_LEVEL_INFO, json);
                struct capture c = capture_begin();
                log_line(LOG_LEVEL_WARNING, "all of it", "a", "1", "empty", "", "b",
                        "two\n\"words\"", NULL);
                log_pairs(LOG_LEVEL_WARNING, "all of it", pairs, 3);
                log_pairs(LOG_LEVEL_DEBUG, "too low", pairs, 3);
                log_pairs(LOG_LEVEL_WARNING, "none", pairs, 0);
                cleanup_free char *text = capture_end(&c);
                char *second = strchr(text, '\n') + 1;
                char *third = strchr(second, '\n') + 1;
                const char *before = json ? "{\"time\":\"" : "";
                cleanup_free char *last = without_time(third, before);
                *third = '\0';
                cleanup_free char *got = without_time(second, before);
                *second = '\0';
                cleanup_free char *want = without_time(text, before);
                assert_string_equal(got, want);
                assert_string_equal(last, json ? "{\"time\":\"T\",\"level\":\"warning\","
                                                 "\"message\":\"none\"}\n"
                                               : "T warning none\n");
        }
}

static void levels_filter(void **state)
{
        (void)state;
        static const struct {
                const char *name;
                enum log_level level;
        } levels[] = {
                {"error", LOG_LEVEL_ERROR},
                {"warning", LOG_LEVEL_WARNING},
                {"info", LOG_LEVEL_INFO},
                {"debug", LOG_LEVEL_DEBUG},
        };
        for (size_t at = 0; at < 4; at++) {
                enum log_level parsed = LOG_LEVEL_ERROR;
                assert_true(log_level_parse(levels[at].name, &parsed));
                assert_int_equal(parsed, levels[at].level);
                log_setup(parsed, false);
                struct capture c = capture_begin();
                for (size_t i = 0; i < 4; i++)
                        log_line(levels[i].level, levels[i].name, NULL);
                cleanup_free char *text = capture_end(&c);
                for (size_t i = 0; i < 4; i++) {
                        cleanup_free char *want =
                                mem_printf(" %s %s\n", levels[i].name, levels[i].name);
                        assert_int_equal(strstr(text, want) != NULL, i <= at);
                        assert_int_equal(log_enabled(levels[i].level), i <= at);
                }
        }
        enum log_level untouched = LOG_LEVEL_DEBUG;
        assert_false(log_level_parse("INFO", &untouched));
        assert_false(log_level_parse("", &untouched));
        assert_int_equal(untouched, LOG_LEVEL_DEBUG);
}

/* The prefix is for journald alone: a stream that is somebody else's gets none. */
static void journal_prefix_only_on_the_journals_stream(void **state)
{
        (void)state;
        struct capture c = capture_begin();
        struct stat st;
        fstat(STDERR_FILENO, &st);
        char stream[64];
        snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
        setenv("JOURNAL_STREAM", stream, 1);
        log_setup(LOG_LEVEL_INFO, false);
        log_line(LOG_LEVEL_WARNING, "mine", NULL);
        snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino + 1);
        setenv("JOURNAL_STREAM", stream, 1);
        log_setup(LOG_LEVEL_INFO, false);
        log_line(LOG_LEVEL_WARNING, "other", NULL);
        unsetenv("JOURNAL_STREAM");
        log_setup(LOG_LEVEL_INFO, false);
        cleanup_free char *text = capture_end(&c);
        char *second = strchr(text, '\n') + 1;
        cleanup_free char *mine = without_time(text, "<4>");
        assert_memory_equal(mine, "<4>T warning mine\n", strlen("<4>T warning mine\n"));
        cleanup_free char *other = without_time(second, "");
        assert_string_equal(other, "T warning other\n");
}

static void *log_many(void *arg)
{
        for (int i = 0; i < 200; i++)
                log_line(LOG_LEVEL_INFO, "line", "from", arg, NULL);
        return NULL;
}

static void lines_of_threads_stay_whole(void **state)
{
        (void)state;
        static char names[4][100];
        pthread_t threads[4];
        log_setup(LOG_LEVEL_INFO, false);
        struct capture c = capture_begin();
        fcntl(STDERR_FILENO, F_SETFL, O_APPEND);
        for (int i = 0; i < 4; i++) {
                memset(names[i], 'a' + i, sizeof(names[i]) - 1);
                pthread_create(&threads[i], NULL, log_many, names[i]);
        }
        for (int i = 0; i < 4; i++)
                pthread_join(threads[i], NULL);
        cleanup_free char *text = capture_end(&c);
        int counts[4] = {0};
        char *rest = text;
        for (char *line; (line = strsep(&rest, "\n")) != NULL && *line != '\0';) {
                char *from = strstr(line, " info line from=");
                assert_non_null(from);
                from += strlen(" info line from=");
                assert_true(*from >= 'a' && *from <= 'd');
                assert_string_equal(from, names[*from - 'a']);
                counts[*from - 'a']++;
        }
        for (int i = 0; i < 4; i++)
                assert_int_equal(counts[i], 200);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(text_values_are_escaped),
                cmocka_unit_test(json_values_are_escaped),
                cmocka_unit_test(messages_cannot_pose_as_pairs),
                cmocka_unit_test(empty_values_are_left_out),
                cmocka_unit_test(long_values_are_cut_and_the_line_stays_whole),
                cmocka_unit_test(every_length_ends_in_a_whole_line),
                cmocka_unit_test(pairs_are_written_as_a_list_is),
                cmocka_unit_test(levels_filter),
                cmocka_unit_test(journal_prefix_only_on_the_journals_stream),
                cmocka_unit_test(lines_of_threads_stay_whole),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

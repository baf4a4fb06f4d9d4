/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/findings.h"

#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "ctl/text.h"

enum { SENTENCE_MAX_BYTES = 64 * 1024 };

const char *const finding_areas[AREA_COUNT] = {
        "containerd", "kubelet", "crictl", "configuration", "mirrors", "store", "network"};
static const char *const severities[] = {"error", "warning", "hint"};

static const struct {
        const char *identifier;
        enum severity severity;
        enum finding_area area;
        const char *title, *leads_to, *remedy;
} table[] = {
#define FINDING(symbol, identifier, severity, area, title, leads_to, remedy)                       \
        {identifier, SEVERITY_##severity, AREA_##area, title, leads_to, remedy},
#include "ctl/findings.def"
#undef FINDING
};

const char *finding_identifier(enum finding_kind kind)
{
        return table[kind].identifier;
}

static json_t *text(const char *s)
{
        json_t *whole = json_string(s);
        if (whole != NULL)
                return whole;
        cleanup_free char *copy = mem_strdup(s);
        for (char *c = copy; *c != '\0'; c++)
                if ((unsigned char)*c >= 0x80)
                        *c = '?';
        return json_string(copy);
}

json_t *finding_text(const char *s)
{
        cleanup_free char *shown = text_without_passwords(s);
        return text(shown);
}

/* Where the packages put it; else where the sources have it. The caller frees. */
static char *page_of(enum finding_kind kind)
{
        char *installed =
                mem_printf("/usr/share/doc/cri-resolved/findings/%s.md", table[kind].identifier);
        if (access(installed, R_OK) == 0)
                return installed;
        free(installed);
        return mem_printf("docs/findings/%s.md", table[kind].identifier);
}

json_t *finding_add(json_t *list, enum finding_kind kind)
{
        cleanup_free char *page = page_of(kind);
        json_t *remedy = json_object();
        json_object_set_new(remedy, "text", text(table[kind].remedy));
        json_object_set_new(remedy, "steps", json_array());
        json_t *finding = json_object();
        json_object_set_new(finding, "identifier", text(table[kind].identifier));
        json_object_set_new(finding, "severity", text(severities[table[kind].severity]));
        json_object_set_new(finding, "area", text(finding_areas[table[kind].area]));
        json_object_set_new(finding, "title", text(table[kind].title));
        json_object_set_new(finding, "evidence", json_array());
        json_object_set_new(finding, "leads_to", text(table[kind].leads_to));
        json_object_set_new(finding, "remedy", remedy);
        json_object_set_new(finding, "documentation", text(page));
        json_array_append_new(list, finding);
        return finding;
}

void finding_set_severity(json_t *finding, enum severity severity)
{
        json_object_set_new(finding, "severity", text(severities[severity]));
}

static char *format(const char *fmt, va_list args)
        __attribute__((format(printf, 1, 0), nonnull(1)));
static char *format(const char *fmt, va_list args)
{
        va_list again;
        va_copy(again, args);
        int size = vsnprintf(NULL, 0, fmt, again);
        va_end(again);
        char *s = mem_zalloc((size_t)size + 1);
        vsnprintf(s, (size_t)size + 1, fmt, args);
        return s;
}

static void add_evidence(json_t *finding, const char *place, const char *fmt, va_list args)
        __attribute__((format(printf, 3, 0), nonnull(3)));
static void add_evidence(json_t *finding, const char *place, const char *fmt, va_list args)
{
        cleanup_free char *what = format(fmt, args);
        json_t *entry = json_object();
        json_object_set_new(entry, "place", finding_text(place));
        json_object_set_new(entry, "text", finding_text(what));
        json_array_append_new(json_object_get(finding, "evidence"), entry);
}

void finding_evidence(json_t *finding, const char *place, const char *fmt, ...)
{
        va_list args;
        va_start(args, fmt);
        add_evidence(finding, place, fmt, args);
        va_end(args);
}

void finding_evidence_line(json_t *finding, const char *file, int line, const char *fmt, ...)
{
        cleanup_free char *place = line > 0 ? mem_printf("%s:%d", file, line) : mem_strdup(file);
        va_list args;
        va_start(args, fmt);
        add_evidence(finding, place, fmt, args);
        va_end(args);
}

void finding_advise(json_t *finding, const char *fmt, ...)
{
        va_list args;
        va_start(args, fmt);
        cleanup_free char *more = format(fmt, args);
        va_end(args);
        json_t *remedy = json_object_get(finding, "remedy");
        cleanup_free char *whole =
                mem_printf("%s %s", json_string_value(json_object_get(remedy, "text")), more);
        json_object_set_new(remedy, "text", finding_text(whole));
}

static json_t *steps_of(json_t *finding)
{
        return json_object_get(json_object_get(finding, "remedy"), "steps");
}

static json_t *step(const char *action, const char *path)
{
        json_t *s = json_object();
        json_object_set_new(s, "action", text(action));
        if (path != NULL)
                json_object_set_new(s, "path", text(path));
        return s;
}

static json_int_t first_of(const json_t *s)
{
        return json_integer_value(json_object_get(s, "first"));
}

static bool is_before(const json_t *s, const char *path, int first)
{
        const char *other = json_string_value(json_object_get(s, "path"));
        return json_object_get(s, "first") != NULL && strcmp(other, path) == 0 &&
               first_of(s) < first;
}

void finding_replace(json_t *finding, const char *path, int first, int last, const char *content)
{
        json_t *s = step("replace_lines", path);
        json_object_set_new(s, "first", json_integer(first));
        json_object_set_new(s, "last", json_integer(last));
        json_object_set_new(s, "text", text(content));
        json_t *steps = steps_of(finding);
        size_t at = 0; /* before those that stand above it in the same file */
        while (at < json_array_size(steps) && !is_before(json_array_get(steps, at), path, first))
                at++;
        json_array_insert_new(steps, at, s);
}

void finding_write(json_t *finding, const char *path, const char *content)
{
        json_t *s = step("write_file", path);
        json_object_set_new(s, "content", text(content));
        json_array_append_new(steps_of(finding), s);
}

void finding_run(json_t *finding, const char *program, ...)
{
        json_t *command = json_array();
        va_list args;
        va_start(args, program);
        for (const char *word = program; word != NULL; word = va_arg(args, const char *))
                json_array_append_new(command, text(word));
        va_end(args);
        json_t *s = step("run", NULL);
        json_object_set_new(s, "command", command);
        json_array_append_new(steps_of(finding), s);
}

void finding_drop_steps(json_t *finding)
{
        json_array_clear(steps_of(finding));
}

static bool has_password(const json_t *step)
{
        const char *key = NULL;
        json_t *value = NULL;
        json_object_foreach ((json_t *)step, key, value) {
                const char *s = json_string_value(value);
                cleanup_free char *shown = s != NULL ? text_without_passwords(s) : NULL;
                if (shown != NULL && strcmp(s, shown) != 0)
                        return true;
        }
        return false;
}

void findings_hide_passwords(json_t *list)
{
        for (size_t i = 0; i < json_array_size(list); i++) {
                json_t *finding = json_array_get(list, i);
                bool any = false;
                for (size_t k = 0; k < json_array_size(steps_of(finding)); k++)
                        any = any || has_password(json_array_get(steps_of(finding), k));
                if (!any)
                        continue;
                finding_drop_steps(finding);
                finding_advise(finding, "Its steps are not shown: a URL in them has a password, "
                                        "which is better kept elsewhere.");
        }
}

static size_t index_in(
        const char *const *names, size_t count, const json_t *finding, const char *key)
{
        const char *name = json_string_value(json_object_get(finding, key));
        for (size_t i = 0; i < count; i++)
                if (strcmp(names[i], name) == 0)
                        return i;
        return count;
}

static size_t rank(const json_t *finding)
{
        return index_in(finding_areas, AREA_COUNT, finding, "area") * 8 +
               index_in(severities, 3, finding, "severity");
}

size_t findings_count(const json_t *list, enum severity severity)
{
        size_t count = 0;
        for (size_t i = 0; i < json_array_size(list); i++)
                count += index_in(severities, 3, json_array_get(list, i), "severity") ==
                         (size_t)severity;
        return count;
}

void findings_sort(json_t *list)
{
        size_t count = json_array_size(list);
        json_t *sorted = json_array();
        for (size_t r = 0; r < (size_t)AREA_COUNT * 8; r++)
                for (size_t i = 0; i < count; i++)
                        if (rank(json_array_get(list, i)) == r)
                                json_array_append(sorted, json_array_get(list, i));
        json_array_clear(list);
        json_array_extend(list, sorted);
        json_decref(sorted);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The part of `pin` that tells what was found and done. */
#include <string.h>

#include "ctl/pin.h"
#include "ctl/text.h"

static const char *name_of(const struct pin_file *f)
{
        return strcmp(f->path, "-") == 0 ? "standard input" : f->path;
}

void pin_print_remarks(const struct pin *p, const struct pin_file *f)
{
        for (size_t i = 0; i < f->found.hint_count; i++)
                cli_note(p->cli, "%s:%d: %s", name_of(f), f->found.hints[i].line,
                        f->found.hints[i].message);
        for (size_t i = 0; i < f->found.target_count; i++) {
                const struct pin_target *t = &f->found.targets[i];
                const struct resolve_answer *a = pin_answer(p, t);
                if (a == NULL || a->err.code == ERR_NONE)
                        continue;
                struct resolve_answer here = *a;
                cleanup_free char *given =
                        mem_printf("%.200s:%d: %.200s", name_of(f), t->line, t->written);
                here.given = given;
                resolve_print_error(p->cli, &here);
        }
        if (f->err.code != ERR_NONE)
                (void)cli_fail(p->cli, &f->err);
}

void pin_print_changes(const struct pin *p, const struct pin_file *f)
{
        for (size_t i = 0; i < f->found.target_count; i++) {
                const struct pin_target *t = &f->found.targets[i];
                const struct resolve_answer *a = pin_answer(p, t);
                if (!pin_changes(p, t))
                        continue;
                cleanup_free char *line =
                        a == NULL ? mem_printf("%s:%d: %s is not pinned", name_of(f), t->line,
                                            t->written)
                                  : mem_printf("%s:%d: %s is now %s, and %s%s here", name_of(f),
                                            t->line, t->written, a->digest,
                                            t->pinned != NULL ? "" : "not pinned",
                                            t->pinned != NULL ? t->pinned : "");
                cli_print_styled(p->cli, stdout, CLI_PLAIN, line);
                putchar('\n');
        }
}

/* ---- JSON ---- */

static json_t *text_or_null(const char *s)
{
        if (s == NULL || *s == '\0')
                return json_null();
        cleanup_free char *shown = text_escape(s, strlen(s));
        return json_string(shown);
}

static json_t *error_or_null(const struct err *e)
{
        if (e == NULL || e->code == ERR_NONE)
                return json_null();
        return json_pack("{s:s, s:o}", "code", err_label(e->code), "message", text_or_null(e->msg));
}

static json_t *target_json(const struct pin *p, const struct pin_target *t)
{
        const struct resolve_answer *a = pin_answer(p, t);
        return json_pack("{s:i, s:o, s:o, s:o, s:b, s:o}", "line", t->line, "reference",
                text_or_null(t->written), "pinned", text_or_null(t->pinned), "digest",
                text_or_null(a != NULL ? a->digest : NULL), "changed", (int)pin_changes(p, t),
                "error", error_or_null(a != NULL ? &a->err : NULL));
}

static json_t *file_json(const struct pin *p, const struct pin_file *f)
{
        json_t *references = json_array(), *hints = json_array();
        for (size_t i = 0; i < f->found.target_count; i++)
                json_array_append_new(references, target_json(p, &f->found.targets[i]));
        for (size_t i = 0; i < f->found.hint_count; i++)
                json_array_append_new(
                        hints, json_pack("{s:i, s:o}", "line", f->found.hints[i].line, "message",
                                       text_or_null(f->found.hints[i].message)));
        return json_pack("{s:o, s:b, s:b, s:o, s:o, s:o}", "path", text_or_null(f->path), "changed",
                (int)(f->changes > 0), "written", (int)f->is_written, "references", references,
                "hints", hints, "error", error_or_null(&f->err));
}

json_t *pin_json(const struct pin *p)
{
        json_t *files = json_array();
        for (size_t i = 0; i < p->file_count; i++)
                json_array_append_new(files, file_json(p, &p->files[i]));
        return json_pack("{s:o}", "files", files);
}

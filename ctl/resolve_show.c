/* SPDX-License-Identifier: Apache-2.0 */
/* The second half of resolve.h: comparing and showing. */
#include <string.h>

#include "ctl/resolve.h"
#include "ctl/text.h"
#include "ctl/when.h"

/* As much of a digest as people compare: "sha256:" and 12 digits, as docker shows them. */
enum { SHORT_DIGEST = 19 };

static const struct {
        const char *name; /* in JSON */
        enum cli_style style;
} states[] = {
        [SOURCE_UPSTREAM] = {"upstream", CLI_PLAIN},
        [SOURCE_CURRENT] = {"current", CLI_GOOD},
        [SOURCE_STALE] = {"stale", CLI_BAD},
        [SOURCE_DIFFERS] = {"differs", CLI_BAD},
        [SOURCE_ABSENT] = {"absent", CLI_WARN},
        [SOURCE_FAILED] = {"failed", CLI_BAD},
        [SOURCE_UNKNOWN] = {"unknown", CLI_WARN},
};

void resolve_answer_fini(struct resolve_answer *a)
{
        for (size_t i = 0; i < a->source_count; i++) {
                free(a->sources[i].name);
                free(a->sources[i].created);
        }
        free(a->sources);
        free(a->resolved);
        ref_fini(&a->ref);
        credentials_held_fini(&a->credentials);
        *a = (struct resolve_answer){0};
}

/* Dates that builders write who want the same image each time (the year 0001 and 1970, or any other
 * one twice) tell nothing. */
static bool both_dated(
        const struct source_answer *upstream, const struct source_answer *mirror, int64_t *behind_s)
{
        int64_t there = 0, here = 0;
        if (upstream->created == NULL || mirror->created == NULL ||
                !when_parse(upstream->created, &there) || !when_parse(mirror->created, &here) ||
                there <= 0 || here <= 0)
                return false;
        *behind_s = there > here ? there - here : 0;
        return there > here;
}

void resolve_compare(struct resolve_answer *a)
{
        const struct source_answer *upstream = &a->sources[0];
        for (size_t i = 1; i < a->source_count; i++) {
                struct source_answer *s = &a->sources[i];
                if (s->digest[0] == '\0')
                        s->state = s->err.code == ERR_NOT_FOUND ? SOURCE_ABSENT : SOURCE_FAILED;
                else if (upstream->digest[0] == '\0')
                        s->state = SOURCE_UNKNOWN;
                else if (strcmp(s->digest, upstream->digest) == 0)
                        s->state = SOURCE_CURRENT;
                else if (both_dated(upstream, s, &s->behind_s))
                        s->state = SOURCE_STALE;
                else
                        s->state = SOURCE_DIFFERS;
        }
}

/* ---- for people ---- */

/* What to do next, by the kind of failure. */
static char *advice(const struct resolve_answer *a)
{
        const char *host = a->ref.host;
        if (host == NULL)
                return mem_strdup("");
        switch (a->err.code) {
        case ERR_NOT_FOUND:
                return mem_strdup("; is the name right, and the tag not deleted?");
        case ERR_UNAUTHORIZED:
                return mem_printf("; show %s with --credentials",
                        credentials_present(&a->credentials.shown) ? "other credentials"
                                                                   : "credentials");
        case ERR_RATE_LIMITED:
                return mem_strdup("; wait, or show credentials that may ask more");
        case ERR_UNREACHABLE:
        case ERR_TIMEOUT:
        case ERR_BROKEN:
                return mem_printf("; is it up? Where it is asked: server in [upstream.\"%s\"], "
                                  "else containerd's certs.d, and HTTPS_PROXY",
                        host);
        default:
                return mem_strdup("");
        }
}

void resolve_print_error(const struct cli *cli, const struct resolve_answer *a)
{
        cleanup_free char *next = advice(a);
        struct err e = a->err;
        size_t size = strlen(e.msg);
        snprintf(e.msg + size, sizeof(e.msg) - size, "%s", next);
        (void)err_wrap(&e, "%.300s", a->given);
        (void)cli_fail(cli, &e);
}

static char *state_text(const struct source_answer *s)
{
        if (s->state == SOURCE_FAILED)
                return mem_strdup(s->err.msg);
        if (s->state != SOURCE_STALE)
                return mem_strdup(states[s->state].name);
        cleanup_free char *span = when_span(s->behind_s);
        return mem_printf("stale by %s", span);
}

static void add_source(struct cli_table *table, const struct source_answer *s)
{
        int64_t unix_s = 0;
        cleanup_free char *state = state_text(s);
        cleanup_free char *created = NULL;
        if (s->created != NULL)
                created = when_parse(s->created, &unix_s) ? when_date(unix_s)
                                                          : mem_strdup(s->created);
        cleanup_free char *digest = mem_strndup(s->digest, SHORT_DIGEST);
        const char *cells[] = {s->name, state, created, digest};
        cli_table_row(table, cells, 1, states[s->state].style);
}

void resolve_print_table(const struct cli *cli, const struct resolve_answer *a)
{
        static const char *const titles[] = {"source", "state", "created (UTC)", "digest"};
        if (a->source_count == 0)
                return;
        cli_print_styled(cli, stdout, CLI_BOLD, a->resolved != NULL ? a->resolved : a->given);
        putchar('\n');
        struct cli_table *table = cli_table_new(cli, titles, 4);
        for (size_t i = 0; i < a->source_count; i++)
                add_source(table, &a->sources[i]);
        cli_table_print(table, stdout);
        cli_table_free(table);
}

/* ---- for programs ---- */

static json_t *text_or_null(const char *s)
{
        json_t *text = s != NULL && *s != '\0' ? json_string(s) : NULL;
        return text != NULL ? text : json_null();
}

static json_t *error_or_null(const struct err *e)
{
        if (e->code == ERR_NONE)
                return json_null();
        cleanup_free char *shown = text_escape(e->msg, strlen(e->msg));
        return json_pack("{s:s, s:s}", "code", err_label(e->code), "message", shown);
}

static json_t *source_json(const struct source_answer *s)
{
        json_t *behind = s->state == SOURCE_STALE ? json_integer(s->behind_s) : json_null();
        return json_pack("{s:o, s:s, s:s, s:o, s:o, s:o, s:o}", "source", text_or_null(s->name),
                "kind", s->is_mirror ? "mirror" : "upstream", "state", states[s->state].name,
                "digest", text_or_null(s->digest), "created", text_or_null(s->created), "behind_s",
                behind, "error", error_or_null(&s->err));
}

json_t *resolve_json(const struct resolve_answer *answers, size_t count)
{
        json_t *list = json_array();
        for (size_t i = 0; i < count; i++) {
                const struct resolve_answer *a = &answers[i];
                json_t *sources = json_array();
                for (size_t k = 0; k < a->source_count; k++)
                        json_array_append_new(sources, source_json(&a->sources[k]));
                cleanup_free char *given = text_escape(a->given, strlen(a->given));
                json_array_append_new(
                        list, json_pack("{s:s, s:o, s:o, s:o, s:o}", "reference", given, "resolved",
                                      text_or_null(a->resolved), "digest", text_or_null(a->digest),
                                      "error", error_or_null(&a->err), "sources", sources));
        }
        return list;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/status.h"

#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "ctl/size.h"
#include "ctl/text.h"
#include "ctl/when.h"

/* ---- fields ---- */

static const char *text_of(const json_t *o, const char *name)
{
        const char *s = json_string_value(json_object_get(o, name));
        return s != NULL ? s : "";
}

static int64_t number_of(const json_t *o, const char *name)
{
        return (int64_t)json_integer_value(json_object_get(o, name));
}

/* How long ago; "" where nothing is said. The caller frees. */
static char *ago(const json_t *o, const char *name, int64_t now_unix_s)
{
        int64_t then = 0;
        if (!when_parse(text_of(o, name), &then))
                return mem_strdup("");
        return when_span(now_unix_s - then);
}

/* "75 %"; "" before the first byte. */
static char *percent(const json_t *share)
{
        if (!json_is_number(share))
                return mem_strdup("");
        return mem_printf("%.0f %%", json_number_value(share) * 100);
}

/* ---- the daemon ---- */

enum { NAME_COLUMNS = 14 };

static void print_line(
        const struct cli *cli, FILE *to, const char *name, enum cli_style style, const char *value)
{
        cleanup_free char *shown = text_escape(value, strlen(value));
        size_t columns = cli->width > 2 * NAME_COLUMNS ? (size_t)cli->width - NAME_COLUMNS
                                                       : (size_t)NAME_COLUMNS;
        size_t size = strlen(shown);
        size_t at = 0;
        do {
                size_t next = 0;
                size_t length = text_line(shown + at, size - at, columns, &next);
                cleanup_free char *part = mem_strndup(shown + at, length);
                fprintf(to, "%-*s", NAME_COLUMNS, at == 0 ? name : "");
                cli_print_styled(cli, to, style, part);
                fputc('\n', to);
                at += next;
        } while (at < size);
}

static void print_backend(const struct cli *cli, FILE *to, const json_t *backend)
{
        const char *socket = text_of(backend, "socket");
        bool reachable = json_is_true(json_object_get(backend, "reachable"));
        cleanup_free char *line =
                reachable ? mem_printf("%s %s at %s", text_of(backend, "runtime_name"),
                                    text_of(backend, "runtime_version"), socket)
                          : mem_printf(
                                    "cannot be asked at %s: %s", socket, text_of(backend, "error"));
        print_line(cli, to, "containerd", reachable ? CLI_PLAIN : CLI_BAD, line);
}

static void print_relay(const struct cli *cli, FILE *to, const json_t *relay)
{
        static const struct {
                const char *state, *words; /* '#' is the port */
                enum cli_style style;
        } states[] = {
                {"serving", "serves on 127.0.0.1:#", CLI_PLAIN},
                {"off", "off: no mirror is configured", CLI_PLAIN},
                {"port taken", "port # is taken by another process: pulls go directly", CLI_BAD},
                {"captured",
                        "containerd asks a mirror of its own instead of 127.0.0.1:#: pulls go "
                        "directly; the daemon's log says what to do",
                        CLI_BAD},
        };
        const char *state = text_of(relay, "state");
        size_t i = 0;
        while (i < sizeof(states) / sizeof(states[0]) && strcmp(state, states[i].state) != 0)
                i++;
        if (i == sizeof(states) / sizeof(states[0])) {
                print_line(cli, to, "relay", CLI_PLAIN, state);
                return;
        }
        const char *words = states[i].words;
        size_t before = strcspn(words, "#");
        cleanup_free char *line = words[before] == '\0'
                                          ? mem_strdup(words)
                                          : mem_printf("%.*s%" PRId64 "%s", (int)before, words,
                                                    number_of(relay, "port"), words + before + 1);
        print_line(cli, to, "relay", states[i].style, line);
}

static void print_pulls(const struct cli *cli, FILE *to, const json_t *status, const json_t *pulls)
{
        const json_t *counters = json_object_get(status, "counters");
        int64_t failed = number_of(counters, "pulls_failed");
        cleanup_free char *line =
                mem_printf("%" PRId64 " answered, %" PRId64 " failed, %zu running",
                        number_of(counters, "pulls"), failed,
                        json_array_size(json_object_get(pulls, "running")));
        print_line(cli, to, "pulls", CLI_PLAIN, line);
        const json_t *degraded = json_object_get(status, "degraded");
        int64_t stale = number_of(degraded, "stale");
        int64_t mirror = number_of(degraded, "mirror");
        cleanup_free char *words =
                stale + mirror == 0 ? mem_strdup("none")
                                    : mem_printf("%" PRId64 " by what was verified last, %" PRId64
                                                 " by a mirror's word",
                                              stale, mirror);
        print_line(cli, to, "degraded", stale + mirror == 0 ? CLI_PLAIN : CLI_WARN, words);
}

static void print_daemon(const struct cli *cli, FILE *to, const json_t *status, int64_t now_unix_s)
{
        int64_t started = 0;
        bool known = when_parse(text_of(status, "started_at"), &started);
        cleanup_free char *date = known ? when_date(started) : mem_strdup("");
        cleanup_free char *span = ago(status, "started_at", now_unix_s);
        cleanup_free char *line = mem_printf("%s, pid %" PRId64 ", since %s UTC (%s)",
                text_of(status, "version"), number_of(status, "pid"), date, span);
        const char *path = json_string_value(json_object_get(status, "configuration"));
        print_line(cli, to, "cri-resolved", CLI_PLAIN, line);
        print_line(cli, to, "configuration", CLI_PLAIN, path != NULL ? path : "none: defaults");
        print_backend(cli, to, json_object_get(status, "backend"));
        print_relay(cli, to, json_object_get(status, "relay"));
}

/* ---- sources ---- */

static void add_upstream(struct cli_table *t, const json_t *u)
{
        char bytes[SIZE_TEXT_BYTES];
        char pulls[64];
        const json_t *counts = json_object_get(u, "pulls");
        int64_t failed = number_of(counts, "failed");
        cleanup_free char *share = percent(json_object_get(u, "share_of_upstream"));
        int used = snprintf(pulls, sizeof(pulls), "%" PRId64, number_of(counts, "total"));
        if (failed > 0)
                snprintf(pulls + used, sizeof(pulls) - (size_t)used, " (%" PRId64 " failed)",
                        failed);
        const char *const cells[] = {text_of(u, "host"), "upstream", "",
                size_text(number_of(u, "bytes_from_upstream"), bytes), share, pulls};
        cli_table_row(t, cells, 0, CLI_BOLD);
}

static void add_mirror(struct cli_table *t, const json_t *m, int64_t now_unix_s)
{
        char bytes[SIZE_TEXT_BYTES];
        cleanup_free char *since = ago(m, "since", now_unix_s);
        cleanup_free char *share = percent(json_object_get(m, "share"));
        const char *state = text_of(m, "state");
        const char *const cells[] = {text_of(m, "url"), state, since,
                size_text(number_of(m, "bytes"), bytes), share, ""};
        cli_table_row(t, cells, 1, strcmp(state, "up") == 0 ? CLI_GOOD : CLI_BAD);
}

static void print_errors(const struct cli *cli, FILE *to, const json_t *upstreams)
{
        for (size_t i = 0; i < json_array_size(upstreams); i++) {
                const json_t *mirrors = json_object_get(json_array_get(upstreams, i), "mirrors");
                for (size_t j = 0; j < json_array_size(mirrors); j++) {
                        const json_t *m = json_array_get(mirrors, j);
                        if (strcmp(text_of(m, "state"), "down") != 0)
                                continue;
                        cleanup_free char *line = mem_printf("%s: %.*s", text_of(m, "url"),
                                STATUS_ERROR_BYTES, text_of(m, "last_error"));
                        print_line(cli, to, "down", CLI_BAD, line);
                }
        }
}

static void print_sources(
        const struct cli *cli, FILE *to, const json_t *upstreams, int64_t now_unix_s)
{
        static const char *const titles[] = {"SOURCE", "STATE", "SINCE", "BYTES", "SHARE", "PULLS"};
        if (json_array_size(upstreams) == 0)
                return;
        struct cli_table *t = cli_table_new(cli, titles, sizeof(titles) / sizeof(titles[0]));
        for (size_t i = 0; i < json_array_size(upstreams); i++) {
                const json_t *u = json_array_get(upstreams, i);
                const json_t *mirrors = json_object_get(u, "mirrors");
                add_upstream(t, u);
                for (size_t j = 0; j < json_array_size(mirrors); j++)
                        add_mirror(t, json_array_get(mirrors, j), now_unix_s);
        }
        fputc('\n', to);
        cli_table_print(t, to);
        cli_table_free(t);
        print_errors(cli, to, upstreams);
}

/* ---- pulls ---- */

/* One line of what went wrong, or what is odd about it. */
static char *remark(const json_t *pull)
{
        const char *error = text_of(pull, "error");
        const char *degraded = text_of(pull, "degraded");
        const char *what = error[0] != '\0' ? error : degraded;
        bool cut = strlen(what) > STATUS_ERROR_BYTES;
        const char *kind = error[0] == '\0' && degraded[0] != '\0' ? "degraded: " : "";
        return mem_printf("%s%.*s%s", kind, STATUS_ERROR_BYTES, what, cut ? "..." : "");
}

static void add_pull(struct cli_table *t, const json_t *pull, int64_t now_unix_s)
{
        cleanup_free char *when = ago(pull, "started_at", now_unix_s);
        cleanup_free char *note = remark(pull);
        cleanup_free char *took =
                mem_printf("%.1f s", (double)number_of(pull, "duration_ms") / 1000);
        const char *outcome = text_of(pull, "outcome");
        const char *const cells[] = {
                when, text_of(pull, "reference"), outcome, text_of(pull, "source"), took, note};
        bool failed = strcmp(outcome, "ok") != 0;
        bool degraded = text_of(pull, "degraded")[0] != '\0';
        cli_table_row(t, cells, 2, failed ? CLI_BAD : degraded ? CLI_WARN : CLI_GOOD);
}

static void print_recent(const struct cli *cli, FILE *to, const json_t *recent, int64_t now_unix_s)
{
        static const char *const titles[] = {"AGO", "PULLED", "OUTCOME", "FROM", "TOOK", "REMARK"};
        size_t count = json_array_size(recent);
        if (count == 0)
                return;
        struct cli_table *t = cli_table_new(cli, titles, sizeof(titles) / sizeof(titles[0]));
        for (size_t i = 0; i < count && i < STATUS_RECENT_MAX; i++)
                add_pull(t, json_array_get(recent, i), now_unix_s);
        fputc('\n', to);
        cli_table_print(t, to);
        cli_table_free(t);
}

void status_print(const struct cli *cli, FILE *to, const json_t *status, const json_t *pulls,
        int64_t now_unix_s)
{
        print_daemon(cli, to, status, now_unix_s);
        print_pulls(cli, to, status, pulls);
        print_sources(cli, to, json_object_get(status, "upstreams"), now_unix_s);
        print_recent(cli, to, json_object_get(pulls, "recent"), now_unix_s);
}

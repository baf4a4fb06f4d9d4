/* SPDX-License-Identifier: Apache-2.0 */
/* For people: a paragraph for each upstream, with its tags, containers and mirrors. */
#include <string.h>

#include "base/buf.h"
#include "config/lists.h"
#include "ctl/drift.h"
#include "ctl/resolve.h"
#include "ctl/when.h"

/* As docker and crictl cut a digest short. */
enum { SHORT_DIGITS = 12, LINE_MAX_BYTES = 4096 };

static const enum cli_style styles[DRIFT_STATES] = {
        [DRIFT_CURRENT] = CLI_GOOD,
        [DRIFT_MOVED] = CLI_BAD,
        [DRIFT_OLDER] = CLI_BAD,
        [DRIFT_RESTART_NEEDED] = CLI_WARN,
        [DRIFT_GONE] = CLI_BAD,
        [DRIFT_UNKNOWN] = CLI_WARN,
};
static const enum cli_style mirror_styles[DRIFT_MIRROR_STATES] = {
        [DRIFT_MIRROR_CURRENT] = CLI_GOOD,
        [DRIFT_MIRROR_STALE] = CLI_BAD,
        [DRIFT_MIRROR_ABSENT] = CLI_PLAIN,
        [DRIFT_MIRROR_DOWN] = CLI_WARN,
        [DRIFT_MIRROR_UNKNOWN] = CLI_WARN,
};

static char *short_digest(const char *digest)
{
        const char *colon = digest != NULL ? strchr(digest, ':') : NULL;
        return colon != NULL ? mem_strndup(colon + 1, SHORT_DIGITS) : mem_strdup("");
}

/* "repository:tag": the host is in the heading. */
static const char *without_host(const struct ref *r)
{
        return r->text != NULL ? r->text + strlen(r->host) + 1 : NULL;
}

/* What the upstream says, or why it says nothing. */
static char *said(const char *digest, const char *reason)
{
        if (reason == NULL)
                return short_digest(digest);
        char *words = mem_strdup(reason);
        for (char *c = words; *c != '\0'; c++)
                if (*c == '_')
                        *c = ' ';
        return words;
}

/* ---- one row each ---- */

static void add_tag(struct cli_table *table, const struct drift_tag *t)
{
        int64_t as_of_s = drift_as_of(t);
        cleanup_free char *here = short_digest(t->image != NULL ? t->image->digest : NULL);
        cleanup_free char *upstream = said(t->digest, t->reason);
        cleanup_free char *as_of = as_of_s > 0 ? when_date(as_of_s) : NULL;
        const char *cells[] = {
                without_host(&t->ref), drift_state_name(t->state), here, upstream, as_of};
        cli_table_row(table, cells, 1, styles[t->state]);
}

static char *name_of(const struct drift_container *c)
{
        const char *name = c->name != NULL ? c->name : c->id;
        if (c->pod == NULL)
                return mem_strdup(name);
        return mem_printf("%s/%s/%s", c->namespace != NULL ? c->namespace : "", c->pod, name);
}

static void add_container(struct cli_table *table, const struct drift_container *c)
{
        cleanup_free char *name = name_of(c);
        cleanup_free char *runs = short_digest(c->digest);
        cleanup_free char *upstream = said(c->tag != NULL ? c->tag->digest : NULL, c->reason);
        const char *cells[] = {
                name, drift_state_name(c->state), without_host(&c->ref), runs, upstream};
        cli_table_row(table, cells, 1, styles[c->state]);
}

static void add_mirrors(struct cli_table *table, const struct drift_tag *t)
{
        for (size_t i = 0; i < t->mirror_count; i++) {
                const struct drift_mirror *m = &t->mirrors[i];
                cleanup_free char *digest = short_digest(m->digest);
                const char *cells[] = {
                        without_host(&t->ref), m->url, drift_mirror_state_name(m->state), digest};
                cli_table_row(table, cells, 2, mirror_styles[m->state]);
        }
}

/* ---- one paragraph ---- */

static bool is_of(const char *host, const struct ref *r)
{
        return r->host != NULL ? strcmp(r->host, host) == 0 : *host == '\0';
}

/* A table of its own, which is printed when there is something in it. */
static void finish(struct cli_table *table, size_t rows)
{
        if (rows > 0)
                cli_table_print(table, stdout);
        cli_table_free(table);
}

static void print_tags(const struct cli *cli, const struct drift *d, const struct drift_only *only,
        const char *host)
{
        static const char *const titles[] = {"tag", "state", "here", "upstream", "as of (UTC)"};
        struct cli_table *table = cli_table_new(cli, titles, 5);
        size_t rows = 0;
        for (size_t i = 0; i < d->tag_count; i++) {
                const struct drift_tag *t = &d->tags[i];
                if (!is_of(host, &t->ref) || !drift_shows_tag(only, t))
                        continue;
                add_tag(table, t);
                rows++;
        }
        finish(table, rows);
}

static void print_containers(const struct cli *cli, const struct drift *d,
        const struct drift_only *only, const char *host)
{
        static const char *const titles[] = {"container", "state", "tag", "runs", "upstream"};
        struct cli_table *table = cli_table_new(cli, titles, 5);
        size_t rows = 0;
        for (size_t i = 0; i < d->container_count; i++) {
                const struct drift_container *c = &d->containers[i];
                if (!is_of(host, &c->ref) || !drift_shows_container(only, c))
                        continue;
                add_container(table, c);
                rows++;
        }
        finish(table, rows);
}

static void print_mirrors(const struct cli *cli, const struct drift *d,
        const struct drift_only *only, const char *host)
{
        static const char *const titles[] = {"tag", "mirror", "state", "digest"};
        struct cli_table *table = cli_table_new(cli, titles, 4);
        size_t rows = 0;
        for (size_t i = 0; i < d->tag_count; i++) {
                const struct drift_tag *t = &d->tags[i];
                if (!is_of(host, &t->ref) || !drift_shows_tag(only, t))
                        continue;
                add_mirrors(table, t);
                rows += t->mirror_count;
        }
        finish(table, rows);
}

/* ---- all of them ---- */

static void note_host(struct strings *hosts, const char *host)
{
        const char *named = host != NULL ? host : "";
        if (!strings_has(hosts, named))
                strings_add(hosts, named);
}

static int compare_hosts(const void *a, const void *b)
{
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void shown_hosts(const struct drift *d, const struct drift_only *only, struct strings *hosts)
{
        for (size_t i = 0; i < d->tag_count; i++)
                if (drift_shows_tag(only, &d->tags[i]))
                        note_host(hosts, d->tags[i].ref.host);
        for (size_t i = 0; i < d->container_count; i++)
                if (drift_shows_container(only, &d->containers[i]))
                        note_host(hosts, d->containers[i].ref.host);
        if (hosts->count > 0)
                qsort(hosts->items, hosts->count, sizeof(*hosts->items), compare_hosts);
}

static void count(struct buf *b, const char *what, const size_t *counts)
{
        size_t all = 0;
        const char *between = ": ";
        for (size_t i = 0; i < DRIFT_STATES; i++)
                all += counts[i];
        buf_printf(b, "%s%zu %s%s", b->size > 0 ? "; " : "", all, what, all == 1 ? "" : "s");
        for (size_t i = 0; i < DRIFT_STATES; i++) {
                if (counts[i] == 0)
                        continue;
                buf_printf(b, "%s%zu %s", between, counts[i], drift_state_name(i));
                between = ", ";
        }
}

static void print_summary(const struct drift *d)
{
        struct drift_counts counts = drift_count(d);
        cleanup_buf struct buf b;
        buf_init(&b, LINE_MAX_BYTES);
        count(&b, "tag", counts.tags);
        count(&b, "container", counts.containers);
        puts(buf_str(&b));
}

void drift_print(const struct cli *cli, const struct drift *d, const struct drift_only *only)
{
        cleanup_strings struct strings hosts = {0};
        shown_hosts(d, only, &hosts);
        for (size_t i = 0; i < hosts.count; i++) {
                const char *host = hosts.items[i];
                cli_print_styled(cli, stdout, CLI_BOLD, *host != '\0' ? host : "(no upstream)");
                putchar('\n');
                print_tags(cli, d, only, host);
                print_containers(cli, d, only, host);
                print_mirrors(cli, d, only, host);
                putchar('\n');
        }
        print_summary(d);
}

/* ---- what failed ---- */

static bool is_like(const struct drift_tag *a, const struct drift_tag *b)
{
        return strcmp(a->ref.host, b->ref.host) == 0 && a->err.code == b->err.code;
}

static void print_error(const struct cli *cli, const struct drift *d, size_t at)
{
        const struct drift_tag *t = &d->tags[at];
        size_t more = 0;
        for (size_t i = 0; i < at; i++)
                if (is_like(&d->tags[i], t))
                        return; /* told already */
        for (size_t i = at + 1; i < d->tag_count; i++)
                more += is_like(&d->tags[i], t);
        cleanup_free char *name = more > 0 ? mem_printf("%s (and %zu more)", t->ref.text, more)
                                           : mem_strdup(t->ref.text);
        const struct resolve_answer shown = {
                .given = name, .ref = t->ref, .credentials = t->credentials, .err = t->err};
        resolve_print_error(cli, &shown);
}

static void print_mirror_errors(
        const struct cli *cli, const struct drift_tag *t, struct strings *told)
{
        for (size_t i = 0; i < t->mirror_count; i++) {
                const struct drift_mirror *m = &t->mirrors[i];
                if (m->state != DRIFT_MIRROR_DOWN || strings_has(told, m->url))
                        continue;
                strings_add(told, m->url);
                struct err e = m->err;
                (void)err_wrap(&e, "the mirror %.300s", m->url);
                (void)cli_fail(cli, &e);
        }
}

void drift_print_errors(const struct cli *cli, const struct drift *d)
{
        cleanup_strings struct strings told = {0};
        for (size_t i = 0; i < d->tag_count; i++) {
                if (d->tags[i].state == DRIFT_UNKNOWN)
                        print_error(cli, d, i);
                print_mirror_errors(cli, &d->tags[i], &told);
        }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The verb `resolve`: which digest a tag is now, at its upstream and at the mirrors. */
#include "ctl/resolve.h"

#include <string.h>

#include "ctl/created.h"
#include "ctl/crew.h"
#include "ctl/verbs.h"
#include "resolver/resolve.h"

enum { AT_ONCE = 4 };

struct work {
        const struct cli *cli;
        const struct config *config;
        struct resolver *resolver;
        bool all;
        struct resolve_answer *answers;
        size_t count;
};

/* ---- one reference, on a thread of the crew ---- */

void resolve_cut_reference(const struct ref *r, struct err *e)
{
        size_t size = strlen(r->text);
        if (strncmp(e->msg, r->text, size) == 0 && strncmp(e->msg + size, ": ", 2) == 0)
                memmove(e->msg, e->msg + size + 2, strlen(e->msg + size + 2) + 1);
}

static void ask_upstream(const struct work *w, struct resolve_answer *a)
{
        struct registry_answer answer;
        unsigned members = 0;
        if (resolve(w->resolver, w->config, &a->ref, &a->credentials.shown, w->cli->cancel, &answer,
                    &members, &a->err) < 0) {
                resolve_cut_reference(&a->ref, &a->err);
                return;
        }
        a->err = (struct err){0};
        memcpy(a->digest, answer.digest, sizeof(a->digest));
        a->resolved = ref_with_digest(&a->ref, a->digest);
}

static int ask_mirror(const struct work *w, const struct resolve_answer *a,
        const struct upstream *mirror, struct registry_answer *answer, struct err *e)
{
        static const struct credentials nobody; /* ours are for the upstream alone */
        const struct registry_query query = {
                .upstream = mirror,
                .credentials = &nobody,
                .repository = a->ref.repository,
                .reference = a->ref.tag != NULL ? a->ref.tag : a->ref.digest,
                .timeout_ms = w->config->timeout_ms,
                .budget_ms = w->config->budget_ms,
                .token_reuse_ms = w->config->token_reuse_ms,
                .cancel = w->cli->cancel,
        };
        return registry_resolve(resolver_registry(w->resolver), &query, answer, e);
}

/* A date that cannot be had is none; who is stale can then not be said, but that they differ. */
static char *created_at(const struct work *w, const struct resolve_answer *a,
        const struct upstream *from, bool is_mirror, const char *digest)
{
        struct err unused;
        char *created = NULL;
        const struct created_question question = {
                .registry = resolver_registry(w->resolver),
                .config = w->config,
                .from = from,
                .host = is_mirror ? a->ref.host : NULL,
                .credentials = is_mirror ? NULL : &a->credentials.shown,
                .repository = a->ref.repository,
                .digest = digest,
                .cancel = w->cli->cancel,
        };
        return created_get(&question, &created, &unused) == 0 ? created : NULL;
}

static void tell_upstream(const struct work *w, struct resolve_answer *a)
{
        struct err e;
        cleanup_upstream struct upstream *upstream = NULL;
        struct source_answer *s = &a->sources[0];
        *s = (struct source_answer){.name = mem_strdup(a->ref.host), .err = a->err};
        s->state = a->digest[0] != '\0' ? SOURCE_UPSTREAM : SOURCE_FAILED;
        memcpy(s->digest, a->digest, sizeof(s->digest));
        if (s->digest[0] != '\0' && upstream_new(w->config, a->ref.host, &upstream, &e) == 0 &&
                upstream_read_secrets(upstream, &e) == 0)
                s->created = created_at(w, a, upstream, false, s->digest);
}

static void tell_mirror(
        const struct work *w, struct resolve_answer *a, struct source_answer *s, const char *url)
{
        struct registry_answer answer;
        cleanup_upstream struct upstream *mirror = upstream_new_mirror(w->config, url);
        *s = (struct source_answer){.name = mem_strdup(url), .is_mirror = true};
        if (upstream_read_secrets(mirror, &s->err) < 0 ||
                ask_mirror(w, a, mirror, &answer, &s->err) < 0)
                return;
        s->err = (struct err){0};
        memcpy(s->digest, answer.digest, sizeof(s->digest));
        s->created = strcmp(s->digest, a->digest) == 0 ? mem_strdup_or_null(a->sources[0].created)
                                                       : created_at(w, a, mirror, true, s->digest);
}

static void ask_all(const struct work *w, struct resolve_answer *a)
{
        bool unused = false;
        const struct config_upstream *u = config_upstream_for(w->config, a->ref.host, &unused);
        a->source_count = u->mirror_count + 1;
        a->sources = mem_zalloc(a->source_count * sizeof(*a->sources));
        tell_upstream(w, a);
        for (size_t i = 0; i < u->mirror_count; i++)
                tell_mirror(w, a, &a->sources[i + 1], u->mirrors[i]);
        resolve_compare(a);
}

static void ask(void *arg, size_t i)
{
        struct work *w = arg;
        struct resolve_answer *a = &w->answers[i];
        if (a->err.code != ERR_NONE)
                return; /* it does not parse, or its credentials cannot be had */
        ask_upstream(w, a);
        if (w->all && !cancel_fired(w->cli->cancel))
                ask_all(w, a);
}

/* ---- all of them ---- */

int resolve_prepare(const struct cli *cli, struct resolve_answer *answers, size_t count,
        struct credential_source *source)
{
        const char *host = NULL;
        for (size_t i = 0; i < count; i++) {
                struct resolve_answer *a = &answers[i];
                a->err = (struct err){0};
                if (ref_parse(a->given, strlen(a->given), &a->ref, &a->err) < 0)
                        continue;
                if (host != NULL && strcmp(host, a->ref.host) != 0 &&
                        credential_source_is_single(source))
                        return cli_usage(cli,
                                "--credentials -: one password is not shown to several registries "
                                "(%s, %s)",
                                host, a->ref.host);
                host = a->ref.host;
                if (credential_source_get(source, &a->ref, &a->credentials, &a->err) == 0)
                        a->err = (struct err){0};
        }
        return CLI_OK;
}

static int source_code(const struct resolve_answer *a)
{
        for (size_t i = 1; i < a->source_count; i++)
                if (a->sources[i].state != SOURCE_CURRENT)
                        return CLI_FOUND;
        return CLI_OK;
}

static int worst_code(const struct work *w)
{
        int worst = CLI_OK;
        for (size_t i = 0; i < w->count; i++) {
                const struct resolve_answer *a = &w->answers[i];
                int code = a->err.code != ERR_NONE ? cli_exit_code(&a->err) : source_code(a);
                worst = code > worst ? code : worst;
        }
        return worst;
}

static int report(const struct work *w)
{
        bool first = true;
        if (w->cli->json)
                cli_print_json(resolve_json(w->answers, w->count));
        for (size_t i = 0; i < w->count; i++) {
                const struct resolve_answer *a = &w->answers[i];
                if (a->err.code != ERR_NONE)
                        resolve_print_error(w->cli, a);
                if (w->cli->json)
                        continue;
                if (a->source_count > 0) {
                        fputs(first ? "" : "\n", stdout);
                        resolve_print_table(w->cli, a);
                } else if (a->resolved != NULL) {
                        puts(a->resolved);
                }
                first = false;
        }
        return worst_code(w);
}

static int run_with(struct work *w, struct credential_source *source)
{
        for (size_t i = 0; i < w->count; i++)
                w->answers[i].given = w->cli->arguments[i];
        int code = resolve_prepare(w->cli, w->answers, w->count, source);
        if (code != CLI_OK)
                return code;
        w->resolver = resolver_new();
        crew_run(w->count, AT_ONCE, ask, w);
        resolver_free(w->resolver);
        return report(w);
}

static int run(struct cli *cli)
{
        struct err e;
        struct work w = {.cli = cli, .count = cli->argument_count};
        cleanup_credential_source struct credential_source *source = NULL;
        if (w.count == 0)
                return cli_usage(cli, "name an image: ghcr.io/team/app:stable");
        if (cli_config(cli, &w.config, &e) < 0 ||
                credential_source_open(cli_value(cli, "credentials"), cli->cancel, &source, &e) < 0)
                return cli_fail(cli, &e);
        w.all = cli_value(cli, "all") != NULL;
        w.answers = mem_zalloc(w.count * sizeof(*w.answers));
        int code = run_with(&w, source);
        for (size_t i = 0; i < w.count; i++)
                resolve_answer_fini(&w.answers[i]);
        free(w.answers);
        return code;
}

static const struct cli_option options[] = {
        {'a', "all", NULL, "Asks the mirrors for the same tag, too, and says who is stale.", NULL},
        {0, "credentials", "FILE", CREDENTIALS_DOC, NULL},
        {0},
};

const struct verb verb_resolve = {
        .name = "resolve",
        .arguments = "REF...",
        .summary = "Asks upstreams which digests these tags are now.",
        .help = "Prints a line name@sha256:... for each reference, in their order. It asks as the "
                "daemon asks: address, trust, headers and times from its configuration, else from "
                "containerd's certs.d; proxies from the environment; a server that says 429 is "
                "waited for as long as [resolve] budget allows. The daemon need not run. What "
                "containerd 1.x has in registry.configs is not looked at.\n"
                "\n"
                "A reference that fails is told on standard error; the others are printed all the "
                "same. The exit code is then the highest of the failures' codes. With --all it is "
                "1 "
                "when a mirror says something else than the upstream, or nothing. By how much a "
                "mirror is stale is the difference of the images' own dates of creation.\n"
                "\n"
                "Credentials go to the upstream alone. Docker's helpers (credHelpers, credsStore) "
                "are asked where its configuration names them.\n"
                "\n"
                "  cri-resolvectl resolve nginx:1.27 ghcr.io/team/app:stable\n"
                "  cri-resolvectl resolve --all --credentials docker ghcr.io/team/app:stable\n"
                "  pass ghcr | cri-resolvectl resolve --credentials - ghcr.io/team/app:stable\n"
                "\n"
                "JSON: a list with, for each reference, reference, resolved, digest, error (code, "
                "message), sources; with --all each of these has source, kind, state (upstream, "
                "current, stale, differs, absent, failed, unknown), digest, created, behind_s, "
                "error.\n",
        .options = options,
        .run = run,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* The part of `pin` that asks the upstreams. */
#include <string.h>

#include "ctl/crew.h"
#include "ctl/pin.h"
#include "resolver/resolve.h"

enum { AT_ONCE = 4 };

struct work {
        const struct cli *cli;
        const struct config *config;
        struct resolver *resolver;
        struct pin_questions *questions;
};

static int by_given(const void *a, const void *b)
{
        const struct resolve_answer *x = a, *y = b;
        return strcmp(x->given, y->given);
}

static void collect(const struct pin *p, struct pin_questions *q)
{
        size_t total = 0, kept = 0;
        for (size_t i = 0; i < p->file_count; i++)
                total += p->files[i].found.target_count;
        q->answers = mem_zalloc((total + 1) * sizeof(*q->answers));
        for (size_t i = 0; i < p->file_count; i++)
                for (size_t n = 0; n < p->files[i].found.target_count; n++)
                        q->answers[q->count++].given = p->files[i].found.targets[n].reference;
        qsort(q->answers, q->count, sizeof(*q->answers), by_given);
        for (size_t i = 0; i < q->count; i++)
                if (kept == 0 || strcmp(q->answers[kept - 1].given, q->answers[i].given) != 0)
                        q->answers[kept++].given = q->answers[i].given;
        q->count = kept;
}

static void ask(void *arg, size_t i)
{
        const struct work *w = arg;
        struct resolve_answer *a = &w->questions->answers[i];
        struct registry_answer answer;
        unsigned members = 0;
        if (a->err.code != ERR_NONE)
                return; /* its credentials cannot be had */
        if (resolve(w->resolver, w->config, &a->ref, &a->credentials.shown, w->cli->cancel, &answer,
                    &members, &a->err) < 0) {
                resolve_cut_reference(&a->ref, &a->err);
                return;
        }
        a->err = (struct err){0};
        memcpy(a->digest, answer.digest, sizeof(a->digest));
}

int pin_ask(struct pin *p)
{
        struct err e;
        struct work w = {.cli = p->cli, .questions = &p->questions};
        cleanup_credential_source struct credential_source *source = NULL;
        if (cli_config(p->cli, &w.config, &e) < 0 ||
                credential_source_open(
                        cli_value(p->cli, "credentials"), p->cli->cancel, &source, &e) < 0)
                return cli_fail(p->cli, &e);
        collect(p, &p->questions);
        int code = resolve_prepare(p->cli, p->questions.answers, p->questions.count, source);
        if (code != CLI_OK)
                return code;
        w.resolver = resolver_new();
        crew_run(p->questions.count, AT_ONCE, ask, &w);
        resolver_free(w.resolver);
        return CLI_OK;
}

void pin_questions_fini(struct pin_questions *q)
{
        for (size_t i = 0; i < q->count; i++)
                resolve_answer_fini(&q->answers[i]);
        free(q->answers);
        *q = (struct pin_questions){0};
}

const struct resolve_answer *pin_answer(const struct pin *p, const struct pin_target *t)
{
        const struct resolve_answer key = {.given = t->reference};
        if (p->questions.count == 0)
                return NULL;
        return bsearch(&key, p->questions.answers, p->questions.count, sizeof(key), by_given);
}

bool pin_changes(const struct pin *p, const struct pin_target *t)
{
        const struct resolve_answer *a = pin_answer(p, t);
        if (a == NULL)
                return t->pinned == NULL;
        return a->digest[0] != '\0' && (t->pinned == NULL || strcmp(t->pinned, a->digest) != 0);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The verb `drift`: what containerd has and runs, beside what the upstreams say now. */
#include "ctl/drift.h"

#include <string.h>

#include "config/lists.h"
#include "ctl/verbs.h"

/* ---- what is wanted ---- */

static int only_one(const struct cli *cli, const char *name, size_t size, struct drift_only *only)
{
        for (size_t i = 0; i < DRIFT_STATES; i++) {
                const char *state = drift_state_name(i);
                if (strlen(state) == size && strncmp(state, name, size) == 0) {
                        only->states[i] = true;
                        return CLI_OK;
                }
        }
        return cli_usage(cli,
                "--only takes current, moved, older, restart-needed, gone, unknown, with commas "
                "between them, not \"%.*s\"",
                (int)size, name);
}

static int read_only(const struct cli *cli, struct drift_only *only)
{
        size_t count = 0;
        const char *const *values = cli_values(cli, "only", &count);
        for (size_t i = 0; i < DRIFT_STATES; i++)
                only->states[i] = count == 0;
        int code = CLI_OK;
        for (size_t i = 0; i < count && code == CLI_OK; i++)
                for (const char *v = values[i]; v != NULL && code == CLI_OK;) {
                        size_t size = strcspn(v, ",");
                        code = only_one(cli, v, size, only);
                        v = v[size] == ',' ? v + size + 1 : NULL;
                }
        return code;
}

static struct drift_wanted read_wanted(const struct cli *cli)
{
        struct drift_wanted w = {
                .tags = cli_value(cli, "tags") != NULL,
                .containers = cli_value(cli, "containers") != NULL,
        };
        if (!w.tags && !w.containers)
                w.tags = w.containers = true;
        w.hosts = cli_values(cli, "upstream", &w.host_count);
        return w;
}

/* ---- who asks ---- */

static int take_credentials(
        const struct cli *cli, struct drift *d, struct credential_source *source)
{
        const char *host = NULL;
        for (size_t i = 0; i < d->tag_count; i++) {
                struct drift_tag *t = &d->tags[i];
                if (!t->wanted && !t->named)
                        continue;
                if (host != NULL && strcmp(host, t->ref.host) != 0 &&
                        credential_source_is_single(source))
                        return cli_usage(cli,
                                "--credentials -: one password is not shown to several registries "
                                "(%s, %s); name one with --upstream",
                                host, t->ref.host);
                host = t->ref.host;
                if (credential_source_get(source, &t->ref, &t->credentials, &t->err) == 0)
                        t->err = (struct err){0};
        }
        return CLI_OK;
}

/* ---- all of it ---- */

static void note_absent(const struct cli *cli, const struct drift *d, const struct drift_wanted *w)
{
        for (size_t h = 0; h < w->host_count; h++) {
                bool found = false;
                for (size_t i = 0; i < d->tag_count && !found; i++)
                        found = strcmp(d->tags[i].ref.host, w->hosts[h]) == 0;
                if (!found)
                        cli_note(cli, "containerd has no tag of %s", w->hosts[h]);
        }
}

static int report(struct cli *cli, const struct drift *d, const struct drift_only *only)
{
        if (cli->json)
                cli_print_json(drift_json(d, only));
        else
                drift_print(cli, d, only);
        drift_print_errors(cli, d);
        return drift_exit_code(d, only);
}

static int look(struct cli *cli, const struct config *c, struct credential_source *source,
        const struct drift_only *only, struct drift *d)
{
        struct err e;
        struct drift_wanted w = read_wanted(cli);
        if (drift_read(d, c, w.containers, cli->cancel, &e) < 0)
                return cli_fail(cli, &e);
        drift_gather(d, &w);
        note_absent(cli, d, &w);
        int code = take_credentials(cli, d, source);
        if (code != CLI_OK)
                return code;
        drift_ask(d, c, cli_value(cli, "mirrors") != NULL, cli->cancel);
        if (cancel_fired(cli->cancel)) /* half a comparison would look like a whole one */
                return err_exit_code(ERR_CANCELLED);
        drift_judge(d);
        return report(cli, d, only);
}

static int run(struct cli *cli)
{
        struct err e;
        struct drift d = {0};
        struct drift_only only = {0};
        const struct config *config = NULL;
        cleanup_credential_source struct credential_source *source = NULL;
        if (cli->argument_count > 0)
                return cli_usage(cli, "it takes no arguments: see --upstream and --only");
        int code = read_only(cli, &only);
        if (code != CLI_OK)
                return code;
        if (cli_config(cli, &config, &e) < 0 ||
                credential_source_open(cli_value(cli, "credentials"), cli->cancel, &source, &e) < 0)
                return cli_fail(cli, &e);
        code = look(cli, config, source, &only, &d);
        drift_fini(&d);
        return code;
}

static const struct cli_option options[] = {
        {'m', "mirrors", NULL, "Asks the mirrors of each upstream for the same tags, too.", NULL},
        {0, "tags", NULL, "Tags alone (with --containers: both, as without either).", NULL},
        {0, "containers", NULL, "Containers alone.", NULL},
        {0, "upstream", "HOST",
                "Of this upstream alone, as it stands in references: ghcr.io. Repeatable.", NULL},
        {0, "only", "STATE,...", "Shows what is in one of these states alone. Repeatable.", NULL},
        {0, "credentials", "FILE", CREDENTIALS_DOC, NULL},
        {0},
};

const struct verb verb_drift = {
        .name = "drift",
        .arguments = "",
        .summary = "Compares the tags and containers of this node with their upstreams.",
        .help = "Reads the tags in containerd and its running containers, and asks the upstreams "
                "by HEAD which digests the tags are now: as the daemon asks (address, trust, "
                "headers and times from its configuration, else as containerd has them), at most "
                "four questions at a time and two to one server. A server that says 429 is waited "
                "for as long as [resolve] budget allows; then it is not asked any more in this "
                "run, and the rest of its tags are unknown. The same goes for a server that could "
                "not be reached twice on end. The daemon need not run. Sockets are [shim] backend "
                "and "
                "containerd of the configuration. Names of images by digest, and names that are "
                "no tags of a registry, are left out.\n"
                "\n"
                "States of tags: current; moved, the upstream names another digest; gone, it does "
                "not know the tag; unknown, it could not be asked, with the reason in its place. "
                "\"As of\" is when the digest that is here was last known to be the upstream's: "
                "when cri-resolved verified it, else when containerd last wrote the tag (a pull, "
                "as "
                "a rule). A tag that has moved did so later, unless it came from a stale mirror.\n"
                "\n"
                "States of containers: current; older, the upstream names another digest than "
                "the one that runs; restart-needed, the newer one is in containerd already (or, "
                "while the upstream cannot be asked, another one than runs); gone and unknown as "
                "above, or \"no tag\" where containerd does not say what the container was "
                "started from, or \"no image\" where it has no record of what runs. Which tag a "
                "container was started from is what its pod says. containerd 1.6 keeps that only "
                "where it was not an ID; else it is the first name that the image had. Where the "
                "daemon follows containers ([nri] enabled) they are asked of it, not of "
                "containerd.\n"
                "\n"
                "States of mirrors: current; stale, another digest than the upstream's, or one "
                "where the upstream has none; absent; down, it gives no answer, or none to us; "
                "unknown, there is nothing to compare with.\n"
                "\n"
                "The exit code is 1 when something that is shown is moved, gone, older or in need "
                "of a restart, or a mirror of it stale; else, when something is unknown (shown or "
                "not), the highest code of the failures; else 0. After a signal nothing is "
                "printed.\n"
                "\n"
                "  cri-resolvectl drift\n"
                "  cri-resolvectl drift --containers --only older,restart-needed\n"
                "  cri-resolvectl drift --upstream ghcr.io --mirrors --credentials docker\n"
                "\n"
                "JSON: tags, each with tag, upstream, state, reason, digest (in containerd), "
                "upstream_digest, verified, written (dates), error (code, message), mirrors (each "
                "with mirror, state, digest, error); containers, each with id, name, pod, "
                "namespace, state, reason, reference, upstream, image_id, digest (what runs), "
                "tag_digest (in containerd), upstream_digest, created, error; summary with tags "
                "and containers, of all of them by state. What is not known is null.\n",
        .options = options,
        .run = run,
};

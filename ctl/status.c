/* SPDX-License-Identifier: Apache-2.0 */
/* The verb `status`: what the daemon says of itself. */
#include "ctl/status.h"

#include "base/clock.h"
#include "ctl/admin_client.h"
#include "ctl/verbs.h"

static int print(const struct cli *cli, json_t *status, json_t *pulls)
{
        if (cli->json)
                return cli_print_json(json_pack("{s:O, s:O}", "status", status, "pulls", pulls));
        status_print(cli, stdout, status, pulls, clock_unix_s());
        return CLI_OK;
}

static int run(struct cli *cli)
{
        struct err e;
        const struct config *config = NULL;
        cleanup_admin_client struct admin_client *client = NULL;
        if (cli->argument_count > 0)
                return cli_usage(cli, "it takes no argument, not \"%s\"", cli->arguments[0]);
        if (cli_config(cli, &config, &e) < 0 || admin_client_open(config, &client, &e) < 0)
                return cli_fail(cli, &e);
        json_t *status = NULL;
        json_t *pulls = NULL;
        int code = 0;
        if (admin_client_get(client, "/v1/status", cli->cancel, &status, &e) < 0 ||
                admin_client_get(client, "/v1/pulls", cli->cancel, &pulls, &e) < 0)
                code = cli_fail(cli, &e);
        else
                code = print(cli, status, pulls);
        json_decref(status);
        json_decref(pulls);
        return code;
}

const struct verb verb_status = {
        .name = "status",
        .arguments = "",
        .summary = "Shows the daemon, its upstreams and mirrors, and the last pulls.",
        .help = "Asks the daemon on its admin socket ([admin] listen in the configuration). Who "
                "may ask is root and the members of the groups in [shim] allow_groups.\n"
                "\n"
                "BYTES are what the relay got from a source since the daemon's start, SHARE is the "
                "source's part of all bytes for that upstream. Pulls that containerd did directly "
                "bring bytes that are not seen. FROM says how a pull was answered: relay (through "
                "the mirrors), upstream (directly), current (nothing to pull), stale and mirror "
                "(degraded answers), containerd (handed on as it came).\n"
                "\n"
                "  cri-resolvectl status\n"
                "  cri-resolvectl status -o json | jq '.status.upstreams[].mirrors[]'\n"
                "\n"
                "JSON: an object with status and pulls, the documents /v1/status and /v1/pulls of "
                "the admin socket as docs/admin.md describes them.\n",
        .run = run,
};

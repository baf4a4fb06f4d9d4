/* SPDX-License-Identifier: Apache-2.0 */
/* The verb `check`: collects the facts, has them looked at, prints what was found. */
#include "ctl/check.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "config/files.h"
#include "config/toml.h"
#include "ctl/admin_client.h"
#include "ctl/facts_process.h"
#include "ctl/socket.h"
#include "ctl/verbs.h"

enum { FILE_MAX_BYTES = 1 << 20 };

#define DEFAULT_STATE        "/var/lib/cri-resolved/check.json"
#define DEFAULT_CONTAINERD   "/etc/containerd/config.toml"
#define DEFAULT_CONFIG_PATHS "/etc/containerd/certs.d:/etc/docker/certs.d" /* of 2.2 and later */

/* Which parts of the machine are to be looked at: all, unless some are named. */
static int take_areas(struct check *c)
{
        const struct cli *cli = c->cli;
        for (size_t i = 0; i < cli->argument_count; i++) {
                size_t area = 0;
                while (area < AREA_COUNT && strcmp(finding_areas[area], cli->arguments[i]) != 0)
                        area++;
                if (area == AREA_COUNT)
                        return cli_usage(cli,
                                "\"%s\" cannot be checked; there are containerd, kubelet, crictl, "
                                "configuration, mirrors, store and network",
                                cli->arguments[i]);
                c->areas[area] = true;
        }
        for (size_t area = 0; area < AREA_COUNT && cli->argument_count == 0; area++)
                c->areas[area] = true;
        return -1;
}

static void add_not_looked_at(
        struct check *c, enum finding_area area, bool file_named, const struct err *e)
{
        json_array_append_new(c->not_looked_at,
                json_pack("{s:s, s:o}", "area", finding_areas[area], "why", finding_text(e->msg)));
        if (c->failure == 0 && (file_named || c->cli->argument_count > 0))
                c->failure = err_exit_code(e->code);
}

void check_not_looked_at(
        struct check *c, enum finding_area area, bool file_named, const struct err *e)
{
        struct err why = *e;
        if (!c->areas[area])
                return;
        if (e->sys == EACCES && geteuid() != 0)
                err_set_at(&why, e->code, 0, e->where, "%s; run as root", e->msg);
        cli_note(c->cli, "%s was not looked at: %s", finding_areas[area], why.msg);
        add_not_looked_at(c, area, file_named, &why);
}

static void load_own_file(struct check *c)
{
        size_t size = 0;
        struct err ignored;
        const char *path = c->cli->config_path;
        if (path != NULL && file_read(path, FILE_MAX_BYTES, &c->own_text, &size, &ignored) == 0 &&
                toml_parse(c->own_text, size, path, &c->own_values, &c->own_lines, &ignored) < 0)
                c->own_values = c->own_lines = NULL;
}

/* The defaults, for a file that we may not read; or that we may, where it names one which we may
 * not: then what kubelet is to be pointed at is known. */
static int load_without(struct check *c, struct err *e)
{
        const json_t *said = json_object_get(json_object_get(c->own_values, "shim"), "listen");
        const json_t *first = json_is_array(said) ? json_array_get(said, 0) : said;
        c->own_unread = true;
        c->listen_unknown = c->own_values == NULL;
        if (config_load(NULL, &c->config, e) < 0)
                return -1;
        if (json_is_string(first)) {
                for (size_t i = 0; i < c->config->listen_count; i++)
                        free(c->config->listen[i]);
                c->config->listen[0] = mem_strdup(json_string_value(first));
                c->config->listen_count = 1;
        }
        return 0;
}

/* A file that is refused is a finding, and the defaults take its place. A file that was asked for
 * and is not there is an error. */
static int load_config(struct check *c, struct err *e)
{
        const char *path = c->cli->config_path;
        load_own_file(c);
        if (config_load(path, &c->config, e) == 0)
                return 0;
        if (e->sys == EACCES) {
                check_not_looked_at(c, AREA_CONFIGURATION, cli_value(c->cli, "config") != NULL, e);
                return load_without(c, e);
        }
        if (e->sys == ENOENT && path != NULL && access(path, F_OK) != 0)
                return -1;
        json_t *finding = finding_add(c->findings, FINDING_CONFIGURATION_INVALID);
        finding_evidence(finding, path, "%s", e->msg);
        return config_load(NULL, &c->config, e);
}

static bool is_address(const char *s)
{
        return s[0] == '/' || strncmp(s, "unix:///", 8) == 0;
}

static void find_containerd(struct check *c)
{
        const char *given = cli_value(c->cli, "containerd");
        cleanup_free char *whole =
                given == NULL ? NULL : mem_printf("%s%s", given[0] == '/' ? "unix://" : "", given);
        c->containerd_address = mem_strdup(whole != NULL ? whole : c->config->containerd);
        c->cri_address = mem_strdup(whole != NULL ? whole : c->config->backend);
        running_facts_load(c->containerd_address, c->cri_address, c->cli->cancel, &c->running);
        trust_set_legacy(c->running.registry);
        if (c->running.answers)
                return;
        struct err e;
        err_set(&e, ERR_BACKEND, "containerd does not answer at %s: %s", c->containerd_address,
                c->running.why_not);
        cli_note(c->cli, "%s", e.msg);
        if (c->areas[AREA_STORE])
                add_not_looked_at(c, AREA_STORE, given != NULL, &e);
}

/* As it was given, as the running one was started, or where it usually is. */
static char *find_containerd_path(const struct check *c)
{
        const char *given = cli_value(c->cli, "containerd-config");
        if (given != NULL)
                return mem_strdup(given);
        long pid = process_listening(c->containerd_address + strlen("unix://"));
        cleanup_free char *words = pid > 0 ? process_command("/proc", pid) : mem_strdup("");
        char *started = process_option(words, "config", 'c');
        return started != NULL ? started : mem_strdup(DEFAULT_CONTAINERD);
}

static int load_containerd(struct check *c, struct err *e)
{
        c->containerd_path = find_containerd_path(c);
        if (containerd_facts_load(c->containerd_path, c->running.major, &c->containerd, e) == 0) {
                c->has_containerd = true;
                return 0;
        }
        bool named = cli_value(c->cli, "containerd-config") != NULL;
        if (e->sys == EACCES) {
                check_not_looked_at(c, AREA_CONTAINERD, named, e);
                return 0;
        }
        if (access(c->containerd_path, F_OK) != 0) /* containerd runs with its defaults then */
                return named ? -1 : 0;
        json_t *finding = finding_add(c->findings, FINDING_CONTAINERD_CONFIG_BROKEN);
        finding_evidence(finding, c->containerd_path, "%s", e->msg);
        return 0;
}

/* config_path as it is in effect. */
static char *find_roots(const struct check *c)
{
        const char *in_file = containerd_config_path(&c->containerd);
        const char *reported =
                json_string_value(json_object_get(c->running.registry, "configPath"));
        if (in_file[0] != '\0')
                return mem_strdup(in_file);
        if (check_version_least(c, 2, 2))
                return mem_strdup(DEFAULT_CONFIG_PATHS);
        if (!c->has_containerd && reported != NULL)
                return mem_strdup(reported);
        return mem_strdup("");
}

static int load_hosts(struct check *c, struct err *e)
{
        c->roots = find_roots(c);
        if (c->config->certs_dir == NULL && c->roots[0] != '\0')
                c->config->certs_dir = mem_strdup(c->roots);
        if (hosts_tree_load(c->roots, &c->hosts, e) == 0)
                return 0;
        if (e->sys != EACCES)
                return -1;
        check_not_looked_at(c, AREA_CONTAINERD, false, e);
        return 0;
}

/* Without a daemon that answers nothing is known, which is no finding of its own. Where it does not
 * run, what systemd would give it counts. */
static void find_daemon(struct check *c)
{
        cleanup_admin_client struct admin_client *client = NULL;
        struct err ignored;
        if (c->own_unread)
                return;
        if (admin_client_open(c->config, &client, &ignored) < 0 ||
                admin_client_get(client, "/v1/status", c->cli->cancel, &c->status, &ignored) < 0)
                c->status = NULL;
        long pid = (long)json_integer_value(json_object_get(c->status, "pid"));
        bool held = process_holds_for_service(socket_path(c->config->listen[0]));
        if (pid == 0 && held) /* it may run without an admin socket */
                pid = process_find("/proc", "cri-resolved");
        if (process_is_named("/proc", pid, "cri-resolved")) {
                c->daemon_pid = pid;
                file_view_of_process("/proc", pid, &c->view);
        } else if (held) {
                file_view_of_unit(&c->view);
        }
}

static void load_references(struct check *c)
{
        size_t count = 0;
        const char *const *given = cli_values(c->cli, "reference", &count);
        for (size_t i = 0; i < count; i++)
                strings_add(&c->references, given[i]);
        for (size_t i = 0; i < c->running.images.count; i++)
                strings_add(&c->references, c->running.images.items[i]);
}

static int load_facts(struct check *c, struct err *e)
{
        if (load_config(c, e) < 0)
                return -1;
        find_containerd(c);
        if (load_containerd(c, e) < 0 || load_hosts(c, e) < 0)
                return -1;
        find_daemon(c);
        load_references(c);
        check_collect_uses(c);
        const char *state = cli_value(c->cli, "state");
        c->state_path = state != NULL ? state : DEFAULT_STATE;
        return 0;
}

static void look(struct check *c)
{
        bool offline = cli_value(c->cli, "offline") != NULL;
        if (!offline && (c->areas[AREA_MIRRORS] || c->areas[AREA_NETWORK]))
                check_network(c);
        check_proxies(c);
        check_containerd(c);
        check_legacy(c);
        check_hosts(c);
        check_wildcards(c);
        check_mirrors(c);
        check_configuration(c);
        check_trust(c);
        if (c->areas[AREA_KUBELET])
                check_kubelet(c);
        if (c->areas[AREA_CRICTL])
                check_crictl(c);
        check_store(c);
}

/* What was not asked for, and was found on the way. */
static void keep_wanted(struct check *c)
{
        for (size_t i = json_array_size(c->findings); i > 0; i--) {
                const char *area = json_string_value(
                        json_object_get(json_array_get(c->findings, i - 1), "area"));
                bool wanted = false;
                for (size_t a = 0; a < AREA_COUNT; a++)
                        wanted = wanted || (c->areas[a] && strcmp(finding_areas[a], area) == 0);
                if (!wanted)
                        json_array_remove(c->findings, i - 1);
        }
}

static bool agreed(const struct check *c, const char *ref)
{
        char line[16] = "";
        if (cli_value(c->cli, "yes") != NULL)
                return true;
        fprintf(stderr, "clear %s? [y/N] ", ref);
        return fgets(line, sizeof(line), stdin) != NULL && (line[0] == 'y' || line[0] == 'Y');
}

/* The one thing that is mended here: nothing else in the node's files changes by itself. */
static int fix(struct check *c, struct err *e)
{
        for (size_t i = 0; i < c->running.ingest_count; i++) {
                struct ingest *in = &c->running.ingests[i];
                if (!ingest_is_poisoned(in) || !agreed(c, in->ref))
                        continue;
                if (running_abort_ingest(c->containerd_address, in->ref, e) < 0)
                        return -1;
                cli_note(c->cli, "cleared %s", in->ref);
                in->total = 0; /* and is no finding any more */
        }
        return 0;
}

/* Areas, whatever the reasons of each. */
static size_t count_not_looked_at(const struct check *c)
{
        size_t count = 0;
        for (size_t area = 0; area < AREA_COUNT; area++) {
                bool any = false;
                for (size_t i = 0; i < json_array_size(c->not_looked_at); i++) {
                        const json_t *one = json_array_get(c->not_looked_at, i);
                        const char *name = json_string_value(json_object_get(one, "area"));
                        any = any || strcmp(name, finding_areas[area]) == 0;
                }
                count += any;
        }
        return count;
}

static int print(const struct check *c)
{
        findings_sort(c->findings);
        findings_hide_passwords(c->findings);
        bool found = findings_count(c->findings, SEVERITY_ERROR) +
                             findings_count(c->findings, SEVERITY_WARNING) >
                     0;
        if (c->cli->json)
                cli_print_json(json_pack(
                        "{s:O, s:O}", "findings", c->findings, "not_looked_at", c->not_looked_at));
        else
                findings_print(c->cli, stdout, c->findings, count_not_looked_at(c));
        return c->failure != 0 ? c->failure : found ? CLI_FOUND : CLI_OK;
}

static int check_all(struct check *c)
{
        struct err e;
        int refused = take_areas(c);
        if (refused >= 0)
                return refused;
        if (cli_value(c->cli, "offline") != NULL && c->cli->argument_count > 0 &&
                c->areas[AREA_NETWORK])
                return cli_usage(c->cli, "network cannot be checked with --offline");
        if (load_facts(c, &e) < 0)
                return cli_fail(c->cli, &e);
        if (cli_value(c->cli, "fix") != NULL && fix(c, &e) < 0)
                return cli_fail(c->cli, &e);
        look(c);
        if (cancel_fired(c->cli->cancel)) {
                err_set(&e, ERR_CANCELLED, "cancelled");
                return cli_fail(c->cli, &e);
        }
        keep_wanted(c);
        return print(c);
}

static void check_fini(struct check *c)
{
        check_free_uses(c);
        strings_clear(&c->references);
        running_facts_fini(&c->running);
        json_decref(c->status);
        file_view_fini(&c->view);
        hosts_tree_fini(&c->hosts);
        containerd_facts_fini(&c->containerd);
        free(c->roots);
        free(c->containerd_path);
        free(c->containerd_address);
        free(c->cri_address);
        mem_free_secret(c->own_text);
        json_decref(c->own_values);
        json_decref(c->own_lines);
        json_decref(c->findings);
        json_decref(c->not_looked_at);
        config_put(c->config);
        trust_set_legacy(NULL);
}

static int run(struct cli *cli)
{
        if (cli_value(cli, "fix") != NULL && cli_value(cli, "yes") == NULL && !isatty(STDIN_FILENO))
                return cli_usage(cli,
                        "--fix asks before it clears anything: without a terminal say "
                        "--yes");
        const char *socket = cli_value(cli, "containerd");
        if (socket != NULL && !is_address(socket))
                return cli_usage(cli, "--containerd %s: allowed: unix:///path", socket);
        struct check c = {.cli = cli, .findings = json_array(), .not_looked_at = json_array()};
        int code = check_all(&c);
        check_fini(&c);
        return code;
}

static const struct cli_option options[] = {
        {.name = "containerd",
                .value = "SOCKET",
                .doc = "containerd's socket, instead of that of the configuration."},
        {.name = "containerd-config",
                .value = "FILE",
                .doc = "containerd's configuration file, instead of the running one's."},
        {.name = "kubelet-config",
                .value = "FILE",
                .doc = "kubelet's configuration file; no other file of kubelet is looked at then."},
        {.name = "kubelet-flags", .value = "FILE", .doc = "A file with kubelet's flags."},
        {.name = "crictl-config", .value = "FILE", .doc = "crictl's configuration file."},
        {.name = "reference",
                .value = "REF",
                .doc = "An image to ask mirrors for, besides those on the node. May be repeated."},
        {.name = "state",
                .value = "FILE",
                .doc = "What earlier checks have seen of mirrors; written where it may be."},
        {.name = "offline", .doc = "Ask nothing over the network."},
        {.name = "fix", .doc = "Clear poisoned ingests; asks before each."},
        {.name = "yes", .doc = "With --fix: do not ask."},
        {0},
};

const struct verb verb_check = {
        .name = "check",
        .arguments = "[AREA...]",
        .summary = "Finds what is wrong with this node's way to its images.",
        .help = "Looks at containerd's configuration with its imports, at the running containerd, "
                "at "
                "certs.d, at kubelet's and crictl's configuration, at our own, at containerd's "
                "content "
                "store, and asks each mirror and upstream. Reports findings, each with its "
                "evidence, "
                "what it leads to, and the remedy. Changes nothing, but for --fix.\n"
                "\n"
                "Areas: containerd, kubelet, crictl, configuration, mirrors, store, network. All "
                "of them "
                "unless some are named. Where kubelet is named, standard error says besides how it "
                "is "
                "pointed here (by drop-in, flag and kubeadm), or how to go back.\n"
                "\n"
                "The exit code is 0 where there is nothing worse than a hint, and 1 otherwise. It "
                "is "
                "that of the error where an area or a file that was named could not be looked at; "
                "of other areas the summary says how many were not.\n"
                "\n"
                "Examples:\n"
                "  cri-resolvectl check\n"
                "  cri-resolvectl check containerd kubelet --offline\n"
                "  cri-resolvectl check mirrors --reference ghcr.io/team/app:v1 -o json\n",
        .options = options,
        .run = run,
};

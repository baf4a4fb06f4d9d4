/* SPDX-License-Identifier: Apache-2.0 */
/* The verb `render`: the files of the other side, shown or written. */
#include "ctl/render.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/files.h"
#include "ctl/cli.h"
#include "ctl/text.h"
#include "ctl/verbs.h"

/* What stands at a file's place. */
enum place { PLACE_NEW, PLACE_SAME, PLACE_CHANGED };

static const char *const place_names[] = {"new", "same", "changed"};

struct target {
        char *path;
        enum place place;
        char *before; /* PLACE_CHANGED */
};

struct targets {
        struct target *list;
        size_t count;
};

static void targets_fini(struct targets *t)
{
        for (size_t i = 0; i < t->count; i++) {
                free(t->list[i].path);
                free(t->list[i].before);
        }
        free(t->list);
}
#define cleanup_targets cleanup(targets_fini)

/* ---- looking ---- */

static int look(struct target *t, const char *text, struct err *e)
{
        if (access(t->path, F_OK) < 0 && (errno == ENOENT || errno == ENOTDIR))
                return 0;
        if (file_read(t->path, RENDER_MAX_BYTES, &t->before, NULL, e) < 0)
                return -1;
        t->place = strcmp(t->before, text) == 0 ? PLACE_SAME : PLACE_CHANGED;
        return 0;
}

static int look_at_all(
        const struct rendering *r, const char *directory, struct targets *out, struct err *e)
{
        size_t size = strlen(directory);
        bool slash = size > 0 && directory[size - 1] == '/';
        out->list = mem_zalloc(r->file_count * sizeof(*out->list));
        for (size_t i = 0; i < r->file_count; i++) {
                struct target *t = &out->list[out->count++];
                t->path = mem_printf("%s%s%s", directory, slash ? "" : "/", r->files[i].path);
                if (look(t, r->files[i].text, e) < 0)
                        return -1;
        }
        return 0;
}

/* ---- writing ---- */

static int write_all(const struct rendering *r, const struct targets *t, struct err *e)
{
        for (size_t i = 0; i < t->count; i++) {
                const char *text = r->files[i].text;
                if (t->list[i].place == PLACE_SAME)
                        continue;
                if (cli_make_folders(t->list[i].path, e) < 0 ||
                        cli_write_file(t->list[i].path, text, strlen(text), true, e) < 0)
                        return -1;
        }
        return 0;
}

/* ---- showing ---- */

static void show(const struct cli *cli, const struct rendering *r, const struct targets *t)
{
        for (size_t i = 0; i < t->count; i++) {
                const struct target *target = &t->list[i];
                if (i > 0)
                        putchar('\n');
                if (target->place == PLACE_CHANGED) {
                        cli_print_diff(cli, stdout, target->path, target->before, r->files[i].text);
                        continue;
                }
                cleanup_free char *head = mem_printf("# %s%s", target->path,
                        target->place == PLACE_SAME ? " (is there, the same)" : "");
                cli_print_styled(cli, stdout, CLI_BOLD, head);
                putchar('\n');
                if (target->place == PLACE_NEW)
                        fputs(r->files[i].text, stdout);
        }
}

static void show_written(const struct cli *cli, const struct targets *t)
{
        static const char *const words[] = {"written", "was the same", "changed"};
        for (size_t i = 0; i < t->count; i++) {
                cli_print_styled(cli, stdout, CLI_PLAIN, t->list[i].path);
                printf(": %s\n", words[t->list[i].place]);
        }
}

static void show_notes(const struct cli *cli, const struct rendering *r)
{
        int columns = cli->width < 80 ? cli->width : 80;
        fflush(stdout);
        for (size_t i = 0; i < r->notes.count; i++) {
                fputc('\n', stderr);
                text_fill(stderr, r->notes.items[i], 0, (size_t)columns);
        }
}

static json_t *as_json(const struct rendering *r, const struct targets *t, bool written)
{
        json_t *files = json_array(), *notes = json_array();
        for (size_t i = 0; i < t->count; i++)
                json_array_append_new(
                        files, json_pack("{s:s, s:s, s:s}", "path", t->list[i].path, "state",
                                       place_names[t->list[i].place], "text", r->files[i].text));
        for (size_t i = 0; i < r->notes.count; i++)
                json_array_append_new(notes, json_string(r->notes.items[i]));
        return json_pack("{s:b, s:o, s:o}", "written", written, "files", files, "notes", notes);
}

/* ---- the verb ---- */

static int deliver(const struct cli *cli, const struct rendering *r)
{
        struct err e;
        cleanup_targets struct targets t = {0};
        const char *directory = cli_value(cli, "directory");
        bool write = cli_value(cli, "write") != NULL;
        if (look_at_all(r, directory != NULL ? directory : r->directory, &t, &e) < 0)
                return cli_fail(cli, &e);
        if (write && write_all(r, &t, &e) < 0)
                return cli_fail(cli, &e);
        if (cli->json)
                return cli_print_json(as_json(r, &t, write));
        if (write)
                show_written(cli, &t);
        else
                show(cli, r, &t);
        show_notes(cli, r);
        return CLI_OK;
}

static int caches(const struct cli *cli, const struct config *c, struct rendering *r, struct err *e)
{
        static const char *const shapes[] = {"systemd", "compose", "kubernetes"};
        const char *shape = cli_value(cli, "shape");
        for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
                if (strcmp(shape, shapes[i]) == 0)
                        return render_caches(
                                c, (enum cache_shape)i, cli_value(cli, "address"), r, e);
        return err_set(e, ERR_INTERNAL, "no such shape");
}

static bool is_address(const char *s)
{
        struct in6_addr six;
        struct in_addr four;
        return inet_pton(AF_INET, s, &four) == 1 || inet_pton(AF_INET6, s, &six) == 1;
}

/* Options of `caches` alone; -1: all is well. */
static int check_options(const struct cli *cli, bool is_caches)
{
        const char *address = cli_value(cli, "address");
        if (!is_caches && (address != NULL || cli_value(cli, "shape") != NULL))
                return cli_usage(cli, "--shape and --address are for caches");
        if (is_caches && cli_value(cli, "shape") == NULL)
                return cli_usage(cli, "caches need --shape systemd, compose or kubernetes");
        if (address != NULL && !is_address(address))
                return cli_usage(cli, "--address takes an IP address, not \"%s\"", address);
        return -1;
}

static int render(const struct cli *cli, const char *what, const struct config *c,
        struct rendering *r, struct err *e)
{
        if (strcmp(what, "hosts") == 0)
                return render_hosts(c, cli_value(cli, "directory"), r, e);
        if (strcmp(what, "caches") == 0)
                return caches(cli, c, r, e);
        if (strcmp(what, "crictl") == 0)
                render_crictl(c, r);
        else
                render_kubelet(c, r);
        return 0;
}

static int run(struct cli *cli)
{
        static const char *const known[] = {"hosts", "caches", "crictl", "kubelet"};
        struct err e;
        const struct config *c = NULL;
        cleanup_rendering struct rendering r = {0};
        bool is_known = false;
        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]) && cli->argument_count == 1; i++)
                is_known = is_known || strcmp(cli->arguments[0], known[i]) == 0;
        if (!is_known)
                return cli_usage(cli, "name one thing: hosts, caches, crictl or kubelet");
        int code = check_options(cli, strcmp(cli->arguments[0], "caches") == 0);
        if (code >= 0)
                return code;
        if (cli_config(cli, &c, &e) < 0 || render(cli, cli->arguments[0], c, &r, &e) < 0)
                return cli_fail(cli, &e);
        return deliver(cli, &r);
}

static const struct cli_option options[] = {
        {'d', "directory", "DIR", "Where the files go.", NULL},
        {'w', "write", NULL, "Writes them; those that change keep a backup beside them.", NULL},
        {0, "shape", "SHAPE", "How caches run.", "systemd|compose|kubernetes"},
        {0, "address", "IP", "The address of the machine with the caches.", NULL},
        {0},
};

const struct verb verb_render = {
        .name = "render",
        .arguments = "hosts|caches|crictl|kubelet",
        .summary = "Makes the files of the other side from our configuration.",
        .help = "Without --write it shows each file below its path, or what would change in it. "
                "What people have to know besides is on standard error.\n"
                "\n"
                "hosts: containerd's certs.d for what pulls past the daemon (ctr, nerdctl, the "
                "pause "
                "image): the mirrors of each upstream, for content alone (capabilities = "
                "[\"pull\"]), and a directory that keeps a wildcard off the relay. Default "
                "directory: [shim] certs_dir, else /etc/containerd/certs.d.\n"
                "\n"
                "caches: a pull-through cache (distribution's registry) for each upstream that has "
                "a table, on the port of its first mirror, else on 5000, 5010, 5020, ... with "
                "garbage collection once a week, at another time for each. As systemd units for "
                "Debian's package docker-registry (the directory is the root of that machine), as "
                "a compose file, or as Kubernetes manifests. Default directory: /, else the "
                "current one.\n"
                "\n"
                "crictl: /etc/crictl.yaml. kubelet: a drop-in for its --config-dir; what older "
                "ones and kubeadm take, and how to go back.\n"
                "\n"
                "  cri-resolvectl render hosts --write\n"
                "  cri-resolvectl render caches --shape systemd --address 10.0.20.10 -d out -w\n"
                "\n"
                "JSON: written, files (path, state: new, same or changed, text), notes.\n",
        .options = options,
        .run = run,
};

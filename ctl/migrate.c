/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cri-resolvectl migrate: from what containerd was told of mirrors to cri-resolved, and to a
 * certs.d for the rest.
 */
#include <errno.h>
#include <libgen.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "ctl/cli.h"
#include "ctl/migrate_job.h"
#include "ctl/verbs.h"

#define CONTAINERD_CONFIG "/etc/containerd/config.toml"
#define CERTS_DIRECTORY   "/etc/containerd/certs.d"
#define OUTPUT_CONFIG     "/etc/cri-resolved/config.toml"

enum { PORT_MAX = 65535, DEFAULT_PORT = 7780, PRIVATE_UMASK = 0077 };
enum { NAMES_MAX_BYTES = 64 * 1024 };

static const struct cli_option options[] = {
        {0, "write", NULL, "Write the files; without it they are only shown.", NULL},
        {0, "containerd-config", "FILE", "containerd's configuration (" CONTAINERD_CONFIG ").",
                NULL},
        {0, "certs-directory", "DIR",
                "The one directory for certs.d (where config_path leads, else " CERTS_DIRECTORY
                ").",
                NULL},
        {0, "output-config", "FILE",
                "cri-resolved's configuration (--config, else " OUTPUT_CONFIG ").", NULL},
        {0, "port", "PORT", "The relay's port (that of the configuration, else 7780).", NULL},
        {0, "containerd-binary", "PROGRAM", "The containerd that is asked (containerd in PATH).",
                NULL},
        {0, "remove-auth", NULL,
                "Remove credentials from containerd's configuration, too: for containerd 2.4.",
                NULL},
        {0},
};

static const char *value_or(const struct cli *cli, const char *name, const char *otherwise)
{
        const char *value = cli_value(cli, name);
        return value != NULL ? value : otherwise;
}

static const char *binary_of(const struct cli *cli)
{
        return value_or(cli, "containerd-binary", "containerd");
}

/* ---- what is asked ---- */

static int port_of(const struct cli *cli, const struct migrate_job *j, int *port, struct err *e)
{
        const char *given = cli_value(cli, "port");
        *port = DEFAULT_PORT;
        if (given != NULL) {
                char *end = NULL;
                long number = strtol(given, &end, 10);
                if (*given == '\0' || *end != '\0' || number < 1 || number > PORT_MAX)
                        return err_set(
                                e, ERR_INVALID, "--port %s: allowed: 1 to %d", given, PORT_MAX);
                *port = (int)number;
                return 0;
        }
        struct config *c = NULL;
        struct stat st;
        if (stat(j->output, &st) < 0)
                return 0;
        if (config_load_without_secrets(j->output, &c, e) < 0)
                return -1;
        *port = (int)c->relay_port;
        config_put(c);
        return 0;
}

/* The first directory of config_path. The caller frees. */
static char *first_of(const char *config_path)
{
        config_path += strspn(config_path, ":");
        size_t size = strcspn(config_path, ":");
        while (size > 1 && config_path[size - 1] == '/')
                size--;
        return size > 0 ? mem_strndup(config_path, size) : NULL;
}

static int check_certs(
        const struct cli *cli, const struct migrate_job *j, const char *config_path, struct err *e)
{
        if (j->certs[0] == '/')
                return 0;
        if (cli_value(cli, "certs-directory") != NULL)
                return err_set(
                        e, ERR_INVALID, "--certs-directory %s is no absolute path", j->certs);
        return err_set(e, ERR_CONFIG,
                "%s: config_path \"%s\" is no absolute path, as in a template that is filled in "
                "elsewhere: say with --certs-directory what it stands for",
                j->containerd_path, config_path);
}

/* 1.x takes a plugin's whole table from the last file that has one. */
static void note_dead(struct migrate_job *j, bool deep)
{
        static const char *const keys[] = {"mirrors", "configs", "auths"};
        const struct containerd_file *decisive = containerd_config_decisive(&j->containerd);
        for (size_t i = 0; i < j->containerd.count; i++) {
                const struct containerd_file *f = &j->containerd.files[i];
                for (size_t k = 0; !deep && f != decisive && k < 3; k++) {
                        cleanup_strings struct strings path =
                                containerd_registry_path(f->format, keys[k]);
                        if (containerd_file_value(f, &path) != NULL)
                                migrate_note(&j->model,
                                        "%s:%d: registry.%s has no effect, as %s says all of the "
                                        "plugin: it goes, and comes back nowhere",
                                        f->path, containerd_file_line(f, &path), keys[k],
                                        decisive->path);
                }
        }
}

static int read_model(struct migrate_job *j, const char *config_path, struct err *e)
{
        bool used = config_path[0] != '\0';
        if (used && migrate_model_certs(&j->model, config_path, e) < 0)
                return -1;
        migrate_model_registry(&j->model, j->registry);
        if (used)
                return 0;
        size_t before = j->model.host_count;
        if (migrate_model_certs(&j->model, j->certs, e) < 0)
                return -1;
        for (size_t i = before; i < j->model.host_count; i++)
                migrate_note(&j->model, "%s had no effect until now, and gets one",
                        j->model.hosts[i].dir);
        return 0;
}

/* Template engines' files are no TOML: who fills them in is asked elsewhere. */
static int load_containerd(struct migrate_job *j, struct err *e)
{
        cleanup_secret char *text = NULL;
        if (containerd_config_load(j->containerd_path, j->major, &j->containerd, e) == 0)
                return 0;
        struct err ignored;
        const char *owner = NULL;
        if (migrate_read(j->containerd_path, &text, &ignored) == 0 && text != NULL)
                owner = migrate_owner(j->containerd_path, text);
        if (owner == NULL && text != NULL && strstr(text, "{{") != NULL)
                owner = "k3s";
        if (owner == NULL)
                return -1;
        cleanup_free char *yaml = migrate_registries_yaml(j, owner);
        printf("%s", yaml);
        return err_set(e, ERR_CONFIG,
                "%s is a template of %s, which fills in registries itself: say mirrors in its "
                "registries.yaml instead, as printed, and name the config.toml that it makes with "
                "--containerd-config",
                j->containerd_path, owner);
}

/* ---- what comes of it ---- */

static int plan(struct migrate_job *j, const char *owner, struct err *e)
{
        if (owner == NULL && migrate_certs(j, e) < 0)
                return -1;
        if (migrate_ours(j, e) < 0)
                return -1;
        return owner == NULL ? migrate_containerd(j, e) : 0;
}

static void note_auths(struct migrate_job *j)
{
        cleanup_buf struct buf names;
        buf_init(&names, NAMES_MAX_BYTES);
        for (size_t i = 0; i < j->model.auth_count; i++)
                buf_printf(&names, "%s%s", i > 0 ? ", " : "", j->model.auths[i].authority);
        if (j->model.auth_count > 0)
                migrate_note(&j->model,
                        j->remove_auth
                                ? "containerd forgets its credentials for %s: whoever pulls from "
                                  "there "
                                  "needs imagePullSecrets, or a credential provider of kubelet's"
                                : "containerd keeps its credentials for %s, as the sandbox image "
                                  "may "
                                  "need them; before containerd 2.4, which will not read them, "
                                  "give "
                                  "pods imagePullSecrets and run this with --remove-auth",
                        buf_str(&names));
}

static json_t *file_as_json(const struct cli *cli, const struct migrate_file *f)
{
        json_t *object = json_pack("{s:s, s:s, s:b}", "path", f->path, "action",
                f->before == NULL ? "create" : "change", "private", f->is_private);
        if (f->is_private)
                return object;
        struct cli plain = *cli;
        plain.colour = false;
        char *text = NULL;
        size_t size = 0;
        FILE *to = open_memstream(&text, &size);
        if (to == NULL)
                return object;
        cleanup_free char *before = migrate_masked(f->before != NULL ? f->before : "");
        cleanup_free char *after = migrate_masked(f->after);
        cli_print_diff(&plain, to, f->path, before, after);
        fclose(to);
        json_object_set_new(object, "diff", json_stringn(text, size));
        free(text);
        return object;
}

static void show_file(const struct cli *cli, const struct migrate_file *f)
{
        if (f->is_private) {
                printf("%s %s (mode 0600; not shown)\n",
                        f->before == NULL ? "new:" : "changed:", f->path);
                return;
        }
        cleanup_free char *before = migrate_masked(f->before != NULL ? f->before : "");
        cleanup_free char *after = migrate_masked(f->after);
        cli_print_diff(cli, stdout, f->path, before, after);
}

static json_t *strings_as_json(const struct strings *list)
{
        json_t *array = json_array();
        for (size_t i = 0; i < list->count; i++)
                json_array_append_new(array, json_string(list->items[i]));
        return array;
}

static void show_json(const struct cli *cli, const struct migrate_job *j, const char *version,
        const char *yaml, bool written)
{
        json_t *files = json_array();
        for (size_t i = 0; i < j->file_count; i++)
                json_array_append_new(files, file_as_json(cli, &j->files[i]));
        cli_print_json(json_pack("{s:o, s:b, s:s?, s:s?, s:o}", "files", files, "written", written,
                "containerd_version", version, "registries_yaml", yaml, "notes",
                strings_as_json(&j->model.notes)));
}

static void show(
        const struct cli *cli, const struct migrate_job *j, const char *owner, const char *yaml)
{
        for (size_t i = 0; i < j->file_count; i++)
                show_file(cli, &j->files[i]);
        if (owner != NULL)
                printf("%s makes %s and its certs.d itself: they are left alone. What it is told,\n"
                       "and has to be told of more, goes into its registries.yaml, followed by a "
                       "restart:\n\n%s",
                        owner, j->containerd_path, yaml);
        for (size_t i = 0; i < j->model.notes.count; i++)
                cli_note(cli, "%s", j->model.notes.items[i]);
}

/* ---- writing ---- */

static int write_file(const struct migrate_file *f, struct err *e)
{
        if (cli_make_folders(f->path, e) < 0)
                return -1;
        mode_t before = umask(f->is_private ? PRIVATE_UMASK : S_IWGRP | S_IWOTH);
        int status = cli_write_file(f->path, f->after, strlen(f->after), true, e);
        umask(before);
        return status;
}

static int write_all(struct cli *cli, const struct migrate_job *j, struct err *e)
{
        for (size_t i = 0; i < j->file_count; i++) {
                int status = cancel_fired(cli->cancel) ? err_set(e, ERR_CANCELLED, "stopped")
                                                       : write_file(&j->files[i], e);
                if (status < 0 && i > 0)
                        return err_wrap(e,
                                "%zu of %zu files are written, in an order that does no "
                                "harm; run this again for the rest",
                                i, j->file_count);
                if (status < 0)
                        return -1;
        }
        return 0;
}

static int finish(struct cli *cli, struct migrate_job *j, const char *version, const char *owner,
        struct err *e)
{
        if (plan(j, owner, e) < 0)
                return -1;
        bool write = cli_value(cli, "write") != NULL && j->file_count > 0;
        if (j->file_count > 0)
                note_auths(j);
        if (version == NULL && j->file_count > 0)
                migrate_note(&j->model, "there is no containerd in PATH: its configuration is not "
                                        "tried before it is written; see --containerd-binary");
        if (version != NULL && owner == NULL && j->file_count > 0 &&
                migrate_try(j, binary_of(cli), cli->cancel, e) < 0)
                return -1;
        if (write && write_all(cli, j, e) < 0)
                return -1;
        cleanup_free char *yaml = owner != NULL ? migrate_registries_yaml(j, owner) : NULL;
        if (cli->json)
                show_json(cli, j, version, yaml, write);
        else if (!write || owner != NULL)
                show(cli, j, owner, yaml);
        return 0;
}

static void say_end(struct cli *cli, const struct migrate_job *j)
{
        if (j->file_count == 0) {
                puts("nothing to do");
        } else if (cli_value(cli, "write") == NULL) {
                cli_note(cli, "nothing is written yet: see --write");
        } else {
                for (size_t i = 0; i < j->file_count; i++)
                        printf("wrote %s\n", j->files[i].path);
                for (size_t i = 0; i < j->model.notes.count; i++)
                        cli_note(cli, "%s", j->model.notes.items[i]);
                cli_note(cli, "now: systemctl restart containerd, systemctl reload cri-resolved");
        }
}

/* *version NULL: there is no containerd to ask. */
static int find_containerd(struct cli *cli, struct migrate_job *j, char **version, struct err *e)
{
        *version = migrate_containerd_version(binary_of(cli), cli->cancel, &j->major);
        if (*version == NULL && cli_value(cli, "containerd-binary") != NULL)
                return err_set(e, ERR_NOT_FOUND, "%s does not say its version: is it a containerd?",
                        binary_of(cli));
        return 0;
}

static int prepare(
        struct cli *cli, struct migrate_job *j, char **certs, const char **owner, struct err *e)
{
        j->containerd_path = value_or(cli, "containerd-config", CONTAINERD_CONFIG);
        j->output = value_or(
                cli, "output-config", cli->config_path != NULL ? cli->config_path : OUTPUT_CONFIG);
        j->remove_auth = cli_value(cli, "remove-auth") != NULL;
        cleanup_free char *copy = mem_strdup(j->output);
        j->credentials = mem_printf("%s/credentials", dirname(copy));
        if (port_of(cli, j, &j->port, e) < 0 || load_containerd(j, e) < 0)
                return -1;
        const struct containerd_file *first = &j->containerd.files[0];
        *owner = migrate_owner(j->containerd_path, first->text);
        bool deep = j->major != 0 ? j->major >= 2 : first->format >= 3;
        j->registry = containerd_config_registry(&j->containerd, deep);
        note_dead(j, deep);
        const char *path = json_string_value(json_object_get(j->registry, "config_path"));
        path = path != NULL ? path : "";
        *certs = first_of(value_or(cli, "certs-directory", path));
        j->certs = *certs != NULL ? *certs : CERTS_DIRECTORY;
        if (check_certs(cli, j, path, e) < 0)
                return -1;
        return read_model(j, path, e);
}

static int run(struct cli *cli)
{
        if (cli->argument_count > 0)
                return cli_usage(cli, "unexpected argument \"%s\"", cli->arguments[0]);
        cleanup_migrate_job struct migrate_job j = {0};
        cleanup_free char *certs = NULL;
        cleanup_free char *version = NULL;
        const char *owner = NULL;
        struct err e = {0};
        if (find_containerd(cli, &j, &version, &e) < 0 ||
                prepare(cli, &j, &certs, &owner, &e) < 0 || finish(cli, &j, version, owner, &e) < 0)
                return cli_fail(cli, &e);
        if (!cli->json)
                say_end(cli, &j);
        return j.file_count > 0 && cli_value(cli, "write") == NULL ? CLI_FOUND : CLI_OK;
}

const struct verb verb_migrate = {
        .name = "migrate",
        .arguments = "",
        .summary = "Move containerd's mirrors to cri-resolved and to certs.d.",
        .help = "Reads what containerd knows of registries: mirrors, configs and auths of its "
                "configuration (format 1, 2 and 3, with its imports) and its certs.d. Makes of it "
                "cri-resolved's configuration, and a certs.d for what pulls past cri-resolved "
                "(ctr, "
                "nerdctl, the sandbox image) in which mirrors serve content but do not say what a "
                "tag "
                "is. In containerd's configuration the deprecated sections go and config_path is "
                "one "
                "directory; everything else stays as it is, byte for byte.\n"
                "\n"
                "Shows the differences and ends with 1; with --write, writes the files, and leaves "
                "each old one beside it as FILE.<time>.bak. Where there is nothing to do, says so "
                "and "
                "ends with 0. containerd is asked first whether it loads the result.\n"
                "\n"
                "A mirror's credentials go into a file of mode 0600. Those in containerd's "
                "configuration stay there (registry.configs.\"HOST\".auth, which all containerds "
                "before 2.4 read beside a config_path), unless --remove-auth says otherwise.\n"
                "\n"
                "Keys that cri-resolved's configuration has already are never changed; where "
                "containerd's differ, that is said. k3s and rke2 make containerd's files "
                "themselves: "
                "what to write into registries.yaml is printed.\n"
                "\n"
                "  cri-resolvectl migrate\n"
                "  cri-resolvectl migrate --write && systemctl restart containerd\n",
        .options = options,
        .run = run,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* The verb `pin`: tags in manifests become digests. */
#include "ctl/pin.h"

#include <string.h>

#include "ctl/pin_files.h"
#include "ctl/verbs.h"

/* ---- files ---- */

static bool is_input(const struct pin_file *f)
{
        return strcmp(f->path, "-") == 0;
}

static int find(const struct pin *p, struct pin_file *f, struct err *e)
{
        const char *style = cli_value(p->cli, "style"), *as = cli_value(p->cli, "as");
        const struct pin_options options = {
                .style = style != NULL && strcmp(style, "comment") == 0 ? PIN_COMMENT : PIN_TAG,
                .update = p->update,
        };
        if (pin_read(f->path, p->cli->cancel, &f->text, &f->size, e) < 0)
                return -1;
        pin_found_init(&f->found, f->text, f->size, &options);
        bool hcl = as != NULL ? strcmp(as, "hcl") == 0 : pin_is_hcl(f->path);
        int status =
                hcl ? pin_find_hcl(&f->found, f->path, e) : pin_find_yaml(&f->found, f->path, e);
        if (status < 0 && e->code == ERR_CONFIG)
                e->code = ERR_INVALID; /* it is our input, and nobody's configuration */
        return status;
}

static void load(struct pin *p, const struct pin_list *list)
{
        p->files = mem_zalloc((list->count + 1) * sizeof(*p->files));
        for (size_t i = 0; i < list->count; i++) {
                struct pin_file *f = &p->files[p->file_count++];
                f->path = list->paths[i];
                if (find(p, f, &f->err) == 0) {
                        f->err = (struct err){0};
                        continue;
                }
                pin_found_fini(&f->found);
                free(take(&f->text));
        }
}

static void file_fini(struct pin_file *f)
{
        pin_found_fini(&f->found);
        free(f->text);
        free(f->after);
}

static const char *answered_digest(void *arg, const struct pin_target *t)
{
        const struct resolve_answer *a = pin_answer(arg, t);
        return a != NULL && a->digest[0] != '\0' ? a->digest : NULL;
}

static void change(struct pin *p, struct pin_file *f)
{
        for (size_t i = 0; i < f->found.target_count; i++) {
                const struct pin_target *t = &f->found.targets[i];
                const struct resolve_answer *a = pin_answer(p, t);
                f->changes += pin_changes(p, t);
                f->failures += a != NULL && a->err.code != ERR_NONE;
        }
        if (f->text != NULL)
                f->after = pin_apply(&f->found, answered_digest, p, &f->after_size);
}

/* ---- what comes out ---- */

static bool may_write(const struct pin *p, const struct pin_file *f)
{
        if (f->after == NULL || cancel_fired(p->cli->cancel))
                return false;
        if (f->failures == 0 || p->keep_going)
                return true;
        cli_note(p->cli,
                "%s: nothing is written: %zu of %zu references could not be resolved; "
                "--keep-going writes the others",
                is_input(f) ? "standard input" : f->path, f->failures, f->found.target_count);
        return false;
}

static void put_in_place(const struct pin *p, struct pin_file *f)
{
        if (f->changes == 0 || !may_write(p, f))
                return;
        /* Somebody else may have written it while the upstreams were asked. */
        if (cli_replace_text(f->path, f->text, f->size, f->after, f->after_size, &f->err) < 0) {
                (void)cli_fail(p->cli, &f->err);
                return;
        }
        f->err = (struct err){0};
        f->is_written = true;
        if (!p->cli->json)
                printf("%s: %zu changed\n", f->path, f->changes);
}

static void put(const struct pin *p, struct pin_file *f)
{
        pin_print_remarks(p, f);
        if (p->in_place)
                put_in_place(p, f);
        else if (p->cli->json)
                return;
        else if (p->check)
                pin_print_changes(p, f);
        else if (is_input(f)) {
                if (may_write(p, f))
                        fwrite(f->after, 1, f->after_size, stdout);
        } else if (f->after != NULL)
                cli_print_diff(p->cli, stdout, f->path, f->text, f->after);
}

static int worse(int code, const struct err *e)
{
        int other = e->code != ERR_NONE ? cli_exit_code(e) : CLI_OK;
        return other > code ? other : code;
}

static int finish(struct pin *p, int code)
{
        for (size_t i = 0; i < p->file_count; i++) {
                change(p, &p->files[i]);
                put(p, &p->files[i]);
                code = worse(code, &p->files[i].err);
                if (p->check && p->files[i].changes > 0 && code == CLI_OK)
                        code = CLI_FOUND;
        }
        for (size_t i = 0; i < p->questions.count; i++)
                code = worse(code, &p->questions.answers[i].err);
        if (p->cli->json)
                cli_print_json(pin_json(p));
        return code;
}

/* Whether a reference is pinned is known without asking anybody. */
static bool must_ask(const struct pin *p)
{
        size_t targets = 0;
        for (size_t i = 0; i < p->file_count; i++)
                targets += p->files[i].found.target_count;
        return targets > 0 && (!p->check || p->update);
}

static int run_on(struct pin *p, struct pin_list *list)
{
        int code = CLI_OK;
        for (size_t i = 0; i < p->cli->argument_count; i++) {
                int more = pin_list_add(list, p->cli, p->cli->arguments[i]);
                code = more > code ? more : code;
        }
        load(p, list);
        int asked = must_ask(p) ? pin_ask(p) : CLI_OK;
        return asked != CLI_OK ? asked : finish(p, code);
}

static int check_arguments(const struct pin *p)
{
        const struct cli *cli = p->cli;
        const char *credentials = cli_value(cli, "credentials");
        bool has_input = false;
        for (size_t i = 0; i < cli->argument_count; i++)
                has_input = has_input || strcmp(cli->arguments[i], "-") == 0;
        if (cli->argument_count == 0)
                return cli_usage(cli, "name files or directories, or - for standard input");
        if (p->check && p->in_place)
                return cli_usage(cli, "--check writes nothing: leave out --in-place, or --check");
        if (has_input && cli->argument_count > 1)
                return cli_usage(cli, "- stands alone: its result goes to standard output");
        if (has_input && p->in_place)
                return cli_usage(cli, "--in-place cannot write standard input");
        if (has_input && credentials != NULL && strcmp(credentials, "-") == 0)
                return cli_usage(cli, "standard input cannot be both the file and the credentials");
        return CLI_OK;
}

static int run(struct cli *cli)
{
        struct pin_list list = {0};
        struct pin p = {
                .cli = cli,
                .check = cli_value(cli, "check") != NULL,
                .in_place = cli_value(cli, "in-place") != NULL,
                .update = cli_value(cli, "update") != NULL,
                .keep_going = cli_value(cli, "keep-going") != NULL,
        };
        int code = check_arguments(&p);
        if (code != CLI_OK)
                return code;
        code = run_on(&p, &list);
        pin_questions_fini(&p.questions);
        for (size_t i = 0; i < p.file_count; i++)
                file_fini(&p.files[i]);
        free(p.files);
        pin_list_fini(&list);
        return code;
}

static const struct cli_option options[] = {
        {'i', "in-place", NULL, "Writes the files, instead of showing what would change.", NULL},
        {0, "check", NULL, "Writes nothing and exits with 1 if something would be changed.", NULL},
        {0, "update", NULL, "Resolves also what was pinned earlier, where its tag is written.",
                NULL},
        {0, "style", "STYLE",
                "What becomes of the tag: \"tag\" (default) name:tag@digest, \"comment\" "
                "name@digest # was tag.",
                "tag|comment"},
        {0, "keep-going", NULL,
                "Changes a file even if some of its references could not be resolved.", NULL},
        {0, "as", "LANGUAGE", "What the files are written in, whatever their names end in.",
                "yaml|hcl"},
        {0, "credentials", "FILE", CREDENTIALS_DOC, NULL},
        {0},
};

const struct verb verb_pin = {
        .name = "pin",
        .arguments = "FILE...",
        .summary = "Replaces tags in Kubernetes YAML and Terraform by digests.",
        .help = "Shows, as a diff, each tag with the digest that its upstream names now; "
                "--in-place writes it. All other bytes stay as they are. A FILE is YAML or JSON, "
                "or Terraform if its name ends in .tf, .tofu, .hcl or .tfvars; a directory stands "
                "for all *.yaml, *.yml and *.tf below it, but for those in hidden directories; - "
                "is standard input, with the result on standard output.\n"
                "\n"
                "In YAML: \"image\" with a reference at any depth, \"reference\" of image volumes, "
                "\"images\" of kustomization.yaml, and repository, tag and digest of Helm's values "
                "where there is a key digest (it may be empty). Not in labels, annotations, status "
                "and the data of a ConfigMap. In Terraform: \"image\" with one string, but for "
                "resources that boot machines. What is left alone is told: templates, values that "
                "are no references, expressions.\n"
                "\n"
                "What has a digest already stays, and nobody is asked; --update resolves its tag "
                "again, that of name:tag@digest or of the comment \"# was tag\". In the style "
                "comment, name:tag@digest is written where there is no room for a comment (JSON, "
                "{...} and [...]). What has no tag is pinned as latest.\n"
                "\n"
                "--check without --update asks nobody: what is not pinned would be changed. A "
                "reference that cannot be resolved is told with its line, and the exit code is "
                "that of the error; nothing of its file is written then, unless --keep-going is "
                "given. Asking is done as by the verb resolve.\n"
                "\n"
                "  cri-resolvectl pin deploy/\n"
                "  cri-resolvectl pin -i --update --credentials docker deploy/\n"
                "  cri-resolvectl pin --check deploy/ main.tf\n"
                "  kustomize build | cri-resolvectl pin - | kubectl apply -f -\n"
                "\n"
                "JSON: files, each with path, changed, written, references (line, reference, "
                "pinned, digest, changed, error), hints (line, message), error (code, message).\n",
        .options = options,
        .run = run,
};

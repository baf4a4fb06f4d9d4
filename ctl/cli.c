/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "ctl/text.h"

static const char *const colours[] = {
        [CLI_GOOD] = "\033[32m",
        [CLI_WARN] = "\033[33m",
        [CLI_BAD] = "\033[31m",
        [CLI_FAINT] = "\033[2m",
        [CLI_BOLD] = "\033[1m",
};

void cli_print_styled(const struct cli *cli, FILE *to, enum cli_style style, const char *s)
{
        cleanup_free char *shown = text_escape(s, strlen(s));
        bool colour = to == stderr ? cli->error_colour : cli->colour;
        if (colour && style != CLI_PLAIN && *shown != '\0')
                fprintf(to, "%s%s\033[0m", colours[style], shown);
        else
                fputs(shown, to);
}

int cli_config(struct cli *cli, const struct config **out, struct err *e)
{
        *out = NULL;
        if (cli->config == NULL) {
                struct config *loaded = NULL;
                if (config_load_without_secrets(cli->config_path, &loaded, e) < 0)
                        return -1;
                config_publish(loaded, NULL);
                cli->config = config_get();
        }
        *out = cli->config;
        return 0;
}

/* One write for the whole line, whatever else prints. */
static void say(const struct cli *cli, enum cli_style style, const char *message)
{
        cleanup_free char *prefix = mem_printf("cri-resolvectl%s%s: ", cli->verb != NULL ? " " : "",
                cli->verb != NULL ? cli->verb->name : "");
        fflush(stdout);
        flockfile(stderr);
        cli_print_styled(cli, stderr, style, prefix);
        cli_print_styled(cli, stderr, CLI_PLAIN, message);
        fputc('\n', stderr);
        funlockfile(stderr);
}

static void say_args(const struct cli *cli, enum cli_style style, const char *fmt, va_list args)
        __attribute__((format(printf, 3, 0)));
static void say_args(const struct cli *cli, enum cli_style style, const char *fmt, va_list args)
{
        char message[2048];
        vsnprintf(message, sizeof(message), fmt, args);
        say(cli, style, message);
}

int cli_exit_code(const struct err *e)
{
        if (e->code != ERR_CONFIG || e->sys == 0)
                return err_exit_code(e->code);
        return err_exit_code(e->sys == ENOENT ? ERR_NOT_FOUND : ERR_SYSTEM);
}

int cli_fail(const struct cli *cli, const struct err *e)
{
        if (e->code != ERR_CANCELLED || !cancel_fired(cli->cancel))
                say(cli, CLI_BAD, e->msg);
        return cli_exit_code(e);
}

int cli_usage(const struct cli *cli, const char *fmt, ...)
{
        va_list args;
        va_start(args, fmt);
        say_args(cli, CLI_BAD, fmt, args);
        va_end(args);
        fprintf(stderr, "see cri-resolvectl %s%s--help\n", cli->verb != NULL ? cli->verb->name : "",
                cli->verb != NULL ? " " : "");
        return CLI_USAGE;
}

void cli_note(const struct cli *cli, const char *fmt, ...)
{
        va_list args;
        va_start(args, fmt);
        say_args(cli, CLI_FAINT, fmt, args);
        va_end(args);
}

int cli_print_json(json_t *document)
{
        json_dumpf(document, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
        fputc('\n', stdout);
        json_decref(document);
        return CLI_OK;
}

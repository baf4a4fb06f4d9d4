/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/start.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/log.h"
#include "ctl/cli.h"
#include "ctl/options.h"

#define DEFAULT_CONFIG "/etc/cri-resolved/config.toml"

enum { WIDTH = 80, WIDTH_MIN = 20, WIDTH_MAX = 1000 };

/* no-color.org: any value that is not empty. */
static bool wants_colour(int fd)
{
        const char *no = getenv("NO_COLOR");
        const char *term = getenv("TERM");
        return (no == NULL || *no == '\0') && term != NULL && strcmp(term, "dumb") != 0 &&
               isatty(fd) == 1;
}

static int width(void)
{
        const char *columns = getenv("COLUMNS");
        long wanted = columns != NULL ? strtol(columns, NULL, 10) : 0;
        struct winsize size = {0};
        if (wanted <= 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
                wanted = size.ws_col;
        if (wanted <= 0)
                return WIDTH;
        return wanted < WIDTH_MIN ? WIDTH_MIN : wanted > WIDTH_MAX ? WIDTH_MAX : (int)wanted;
}

/* A pipe whose reader has gone. errno may be that of another write, long ago. */
static bool nobody_reads(void)
{
        struct pollfd output = {.fd = STDOUT_FILENO};
        return poll(&output, 1, 0) == 1 && (output.revents & POLLERR) != 0;
}

static int finish_output(const struct cli *cli, int code)
{
        errno = 0;
        if (fflush(stdout) == 0 && ferror(stdout) == 0)
                return code;
        int number = errno != 0 ? errno : EIO;
        if (nobody_reads())
                return START_PIPE_CLOSED; /* that is no error to talk about */
        struct err e;
        (void)err_set_sys(&e, number, "cannot write to standard output");
        return cli_fail(cli, &e);
}

int start(int argc, char **argv, struct cancel *cancel)
{
        struct cli cli = {
                .colour = wants_colour(STDOUT_FILENO),
                .error_colour = wants_colour(STDERR_FILENO),
                .width = width(),
                .cancel = cancel,
        };
        log_setup(LOG_LEVEL_ERROR, false);
        int code = options_parse(&cli, argc, argv);
        if (code < 0) {
                if (cli.config_path == NULL && access(DEFAULT_CONFIG, F_OK) == 0)
                        cli.config_path = DEFAULT_CONFIG;
                code = cli.verb->run(&cli);
        }
        code = finish_output(&cli, code);
        config_put(cli.config);
        config_publish(NULL, NULL);
        options_fini(&cli);
        return code;
}

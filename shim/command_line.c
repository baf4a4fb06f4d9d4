/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/command_line.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"

enum { USAGE = 64, WORDS_MAX_BYTES = 1 << 20 };

static const char usage[] =
        "usage: cri-resolved [--config FILE] [--check [--pid PID]] [--version] [--help]\n"
        "\n"
        "Kubelet's image service in front of containerd: resolves every tag at its upstream.\n"
        "\n"
        "  --config FILE  configuration (default " DEFAULT_CONFIG ", if it is there)\n"
        "  --check        read the configuration, say what is wrong with it, and exit\n"
        "  --pid PID      with --check: the configuration of the running daemon with this number\n"
        "  --version      print the version and exit\n"
        "\n"
        "SIGHUP reads the configuration again. SIGUSR1 logs one line with all counters. SIGTERM\n"
        "lets running calls end (shim.stop_timeout at most), then cancels them and ends the "
        "program.\n";

/* What was said; borrowed from argv. */
struct said {
        const char *config, *pid;
        bool check, version, help;
};

static void note(struct said *s, int option)
{
        if (option == 'c')
                s->config = optarg;
        else if (option == 'p')
                s->pid = optarg;
        s->check = s->check || option == 'k';
        s->version = s->version || option == 'v';
        s->help = s->help || option == 'h';
}

/* False: it makes no sense, and that has been said. */
static bool scan(int argc, char **argv, struct said *s)
{
        static const struct option known[] = {
                {"config", required_argument, NULL, 'c'},
                {"check", no_argument, NULL, 'k'},
                {"pid", required_argument, NULL, 'p'},
                {"version", no_argument, NULL, 'v'},
                {"help", no_argument, NULL, 'h'},
                {0},
        };
        int option;
        *s = (struct said){0};
        optind = 0; /* of glibc: from the start */
        while ((option = getopt_long(argc, argv, "c:h", known, NULL)) != -1) {
                if (option == '?') {
                        fputs("see cri-resolved --help\n", stderr);
                        return false;
                }
                note(s, option);
        }
        if (optind == argc)
                return true;
        fprintf(stderr, "cri-resolved: unexpected argument \"%s\"; see --help\n", argv[optind]);
        return false;
}

/* ---- another process ---- */

static int read_words(const char *pid, struct buf *words, struct err *e)
{
        char piece[4096];
        size_t size;
        cleanup_free char *path = mem_printf("/proc/%s/cmdline", pid);
        FILE *file = fopen(path, "re");
        if (file == NULL)
                return err_set_sys(e, errno, "%s", path);
        while ((size = fread(piece, 1, sizeof(piece), file)) > 0)
                buf_append(words, piece, size);
        fclose(file);
        if (words->size == 0 || words->overflow)
                return err_set(e, ERR_NOT_FOUND, "%s: process %s has no command line", path, pid);
        return 0;
}

/* Each word ends with a NUL. */
static char **split(struct buf *words, int *count)
{
        char **argv = mem_zalloc((words->size + 1) * sizeof(*argv));
        *count = 0;
        for (char *at = words->data; at < words->data + words->size; at += strlen(at) + 1)
                argv[(*count)++] = at;
        return argv;
}

/* Whatever has started it: its words are what counts, when it reads the configuration again. */
static int config_of(const char *pid, char **config)
{
        struct err e;
        struct said said;
        int argc;
        cleanup_buf struct buf words;
        buf_init(&words, WORDS_MAX_BYTES);
        if (read_words(pid, &words, &e) < 0) {
                fprintf(stderr, "cri-resolved: %s\n", e.msg);
                return err_exit_code(e.code);
        }
        cleanup_free char **argv = split(&words, &argc);
        if (!scan(argc, argv, &said))
                return USAGE;
        *config = mem_strdup_or_null(said.config);
        return -1;
}

/* ---- for main ---- */

int command_line_read(int argc, char **argv, struct command_line *c)
{
        struct said said;
        *c = (struct command_line){0};
        if (!scan(argc, argv, &said))
                return USAGE;
        if (said.version)
                puts("cri-resolved " CRI_RESOLVED_VERSION);
        else if (said.help)
                fputs(usage, stdout);
        if (said.version || said.help)
                return 0;
        if (said.pid != NULL && (!said.check || said.config != NULL)) {
                fputs("cri-resolved: --pid goes with --check, and says which file; see --help\n",
                        stderr);
                return USAGE;
        }
        c->check = said.check;
        if (said.pid != NULL)
                return config_of(said.pid, &c->named);
        c->named = mem_strdup_or_null(said.config);
        return -1;
}

void command_line_fini(struct command_line *c)
{
        free(c->named);
}

const char *command_line_or_default(const char *named)
{
        return named == NULL && access(DEFAULT_CONFIG, F_OK) == 0 ? DEFAULT_CONFIG : named;
}

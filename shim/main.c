/* SPDX-License-Identifier: Apache-2.0 */
/* cri-resolved: puts the parts together, and follows signals. */
#include <getopt.h>
#include <grp.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/log.h"
#include "config/config.h"
#include "resolver/resolve.h"
#include "shim/pull.h"
#include "shim/resident.h"

#define DEFAULT_CONFIG "/etc/cri-resolved/config.toml"

enum { STOP_GRACE_MS = 30000, ARENAS_MAX = 2 };

static const char usage[] =
        "usage: cri-resolved [--config FILE] [--check] [--version] [--help]\n"
        "\n"
        "Kubelet's image service in front of containerd: resolves every tag at its upstream.\n"
        "\n"
        "  --config FILE  configuration (default " DEFAULT_CONFIG ", if it is there)\n"
        "  --check        read the configuration, say what is wrong with it, and exit\n"
        "  --version      print the version and exit\n"
        "\n"
        "SIGHUP reads the configuration again. SIGTERM lets running calls end (30 s at most), "
        "then\n"
        "cancels them and ends the program.\n";

struct options {
        const char *config_path; /* NULL: defaults */
        bool check;
};

/* Returns an exit code, or -1 to go on. */
static int read_options(int argc, char **argv, struct options *o)
{
        static const struct option known[] = {
                {"config", required_argument, NULL, 'c'},
                {"check", no_argument, NULL, 'k'},
                {"version", no_argument, NULL, 'v'},
                {"help", no_argument, NULL, 'h'},
                {0},
        };
        int c;
        while ((c = getopt_long(argc, argv, "c:h", known, NULL)) != -1) {
                switch (c) {
                case 'c':
                        o->config_path = optarg;
                        break;
                case 'k':
                        o->check = true;
                        break;
                case 'v':
                        puts("cri-resolved " CRI_RESOLVED_VERSION);
                        return 0;
                case 'h':
                        fputs(usage, stdout);
                        return 0;
                default:
                        fputs("see cri-resolved --help\n", stderr);
                        return 64;
                }
        }
        if (optind < argc) {
                fprintf(stderr, "cri-resolved: unexpected argument \"%s\"; see --help\n",
                        argv[optind]);
                return 64;
        }
        if (o->config_path == NULL && access(DEFAULT_CONFIG, F_OK) == 0)
                o->config_path = DEFAULT_CONFIG;
        return -1;
}

static void publish(struct config *config)
{
        log_setup(config->log_level, config->log_json);
        cleanup_free char *note = NULL;
        config_publish(config, &note);
        if (note != NULL)
                log_line(LOG_LEVEL_WARNING, "these keys take effect at the next start", "keys",
                        note, NULL);
}

/* All or nothing: a file with an error in it changes nothing. */
static void reload(const char *path)
{
        struct err e;
        struct config *config = NULL;
        if (config_load(path, &config, &e) < 0) {
                log_line(LOG_LEVEL_ERROR, "configuration not reloaded, the old one stays", "error",
                        e.msg, NULL);
                return;
        }
        publish(config);
        log_line(LOG_LEVEL_INFO, "configuration reloaded", "file", log_or(path), NULL);
}

/* ---- listening ---- */

/* Names and numbers, as the configuration takes them (never empty). */
static int group_ids(const struct config *c, uint32_t **out, struct err *e)
{
        uint32_t *gids = mem_zalloc(c->allow_group_count * sizeof(*gids));
        for (size_t i = 0; i < c->allow_group_count; i++) {
                char *end = NULL;
                gids[i] = (uint32_t)strtoul(c->allow_groups[i], &end, 10);
                if (*end == '\0')
                        continue;
                const struct group *g = getgrnam(c->allow_groups[i]);
                if (g == NULL) {
                        free(gids);
                        return err_set(e, ERR_CONFIG,
                                "shim.allow_groups: there is no group \"%s\" on this machine",
                                c->allow_groups[i]);
                }
                gids[i] = g->gr_gid;
        }
        *out = gids;
        return 0;
}

/* systemd's sockets where it hands some over, else our own. */
static int listen_all(struct proxy *proxy, const struct config *c, struct err *e)
{
        int inherited = sd_listen_fds(1);
        for (int i = 0; i < inherited; i++)
                if (proxy_listen_fd(proxy, SD_LISTEN_FDS_START + i, e) < 0)
                        return -1;
        if (inherited > 0)
                return 0;
        for (size_t i = 0; i < c->listen_count; i++) {
                const char *path = c->listen[i] + strlen("unix://");
                if (proxy_listen_unix(proxy, path, c->listen_mode, c->listen_gid, e) < 0)
                        return -1;
        }
        return 0;
}

/* ---- life ---- */

static void follow_signals(const sigset_t *signals, const char *config_path)
{
        for (;;) {
                int signal = sigwaitinfo(signals, NULL);
                if (signal == SIGHUP) {
                        sd_notify(0, "RELOADING=1");
                        reload(config_path);
                        sd_notify(0, "READY=1");
                } else if (signal == SIGTERM || signal == SIGINT) {
                        sd_notify(0, "STOPPING=1");
                        return;
                }
        }
}

static const struct proxy_method methods[] = {
        {"/runtime.v1.ImageService/PullImage", pull_handle},
        {"/runtime.v1alpha2.ImageService/PullImage", pull_handle},
        {0},
};

static int serve(const struct config *c, struct proxy *proxy, const sigset_t *signals,
        const char *config_path, struct err *e)
{
        if (listen_all(proxy, c, e) < 0 || proxy_start(proxy, e) < 0)
                return -1;
        log_line(LOG_LEVEL_INFO, "serving", "version", CRI_RESOLVED_VERSION, "listen", c->listen[0],
                "backend", c->backend, "configuration",
                config_path != NULL ? config_path : "defaults", NULL);
        sd_notify(0, "READY=1");
        resident_trim();
        follow_signals(signals, config_path);
        log_line(LOG_LEVEL_INFO, "stopping: running calls have 30 s to end", NULL);
        proxy_stop(proxy, STOP_GRACE_MS);
        log_line(LOG_LEVEL_INFO, "stopped", NULL);
        return 0;
}

static int run(
        const struct config *c, const sigset_t *signals, const char *config_path, struct err *e)
{
        cleanup_free uint32_t *gids = NULL;
        if (group_ids(c, &gids, e) < 0)
                return -1;
        struct pull_service service = {.resolver = resolver_new(), .order = order_new()};
        service.images.cri = rpc_new(c->backend);
        service.images.containerd = rpc_new(c->containerd);
        service.backend = backend_new(service.images.cri);
        service.flights = flights_new(service.images.cri);
        struct proxy_options options = {
                .backend = c->backend,
                .backend_wait_ms = c->backend_wait_ms,
                .methods = methods,
                .handler_arg = &service,
                .allow_gids = gids,
                .allow_gid_count = c->allow_group_count,
        };
        struct proxy *proxy = proxy_new(&options);
        int r = serve(c, proxy, signals, config_path, e);
        proxy_free(proxy);
        flights_free(service.flights);
        backend_free(service.backend);
        rpc_free(service.images.containerd);
        rpc_free(service.images.cri);
        order_free(service.order);
        resolver_free(service.resolver);
        return r;
}

/* Pulls hold passwords: no core file, and nobody but root looks into the process. Few arenas: the
 * many short-lived threads would each leave one behind. */
static void harden(sigset_t *signals)
{
        prctl(PR_SET_DUMPABLE, 0);
        mallopt(M_ARENA_MAX, ARENAS_MAX);
        signal(SIGPIPE, SIG_IGN);
        sigemptyset(signals);
        sigaddset(signals, SIGHUP);
        sigaddset(signals, SIGTERM);
        sigaddset(signals, SIGINT);
        pthread_sigmask(SIG_BLOCK, signals, NULL);
}

static int check(const char *path)
{
        struct err e;
        struct config *c = NULL;
        if (config_load(path, &c, &e) < 0) {
                fprintf(stderr, "cri-resolved: %s\n", e.msg);
                return err_exit_code(e.code);
        }
        config_put(c);
        if (path != NULL)
                printf("%s is valid\n", path);
        else
                puts("there is no " DEFAULT_CONFIG ": the defaults apply");
        return 0;
}

static int fail(const struct err *e)
{
        log_line(LOG_LEVEL_ERROR, "cannot run", "error", e->msg, NULL);
        return err_exit_code(e->code);
}

int main(int argc, char **argv)
{
        struct options options = {0};
        int exit_code = read_options(argc, argv, &options);
        if (exit_code >= 0)
                return exit_code;
        if (options.check)
                return check(options.config_path);
        sigset_t signals;
        harden(&signals);
        log_setup(LOG_LEVEL_INFO, false);
        struct err e;
        struct config *loaded = NULL;
        if (config_load(options.config_path, &loaded, &e) < 0)
                return fail(&e);
        publish(loaded);
        cleanup_config const struct config *config = config_get();
        return run(config, &signals, options.config_path, &e) < 0 ? fail(&e) : 0;
}

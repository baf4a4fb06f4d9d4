/* SPDX-License-Identifier: Apache-2.0 */
/* cri-resolved: puts the parts together, and follows signals. */
#include <getopt.h>
#include <grp.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metrics.h"
#include "config/config.h"
#include "resolver/resolve.h"
#include "shim/admin.h"
#include "shim/pull.h"
#include "shim/resident.h"
#include "shim/sweep.h"
#include "shim/way.h"

#define DEFAULT_CONFIG "/etc/cri-resolved/config.toml"

enum { STOP_GRACE_MS = 30000, ARENAS_MAX = 2, PROBE_CONNECTS = 2, DESCRIPTORS = 65536 };

static const char usage[] =
        "usage: cri-resolved [--config FILE] [--check] [--version] [--help]\n"
        "\n"
        "Kubelet's image service in front of containerd: resolves every tag at its upstream.\n"
        "\n"
        "  --config FILE  configuration (default " DEFAULT_CONFIG ", if it is there)\n"
        "  --check        read the configuration, say what is wrong with it, and exit\n"
        "  --version      print the version and exit\n"
        "\n"
        "SIGHUP reads the configuration again. SIGUSR1 logs one line with all counters. SIGTERM\n"
        "lets running calls end (30 s at most), then cancels them and ends the program.\n";

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

/* What a signal acts on. */
struct living {
        const char *config_path; /* NULL: none */
        struct relay *relay;
        struct admin *admin; /* NULL: there is none */
};

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
static void reload(const struct living *l)
{
        struct err e;
        struct config *config = NULL;
        if (config_load(l->config_path, &config, &e) < 0) {
                log_line(LOG_LEVEL_ERROR, "configuration not reloaded, the old one stays", "error",
                        e.msg, NULL);
                return;
        }
        if (config->mirror_count > 0)
                relay_listen(l->relay);
        relay_forget_capture(l->relay);
        way_forget();
        publish(config);
        log_line(LOG_LEVEL_INFO, "configuration reloaded", "file", log_or(l->config_path), NULL);
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

static void log_counters(void)
{
        struct log_pair pairs[METRIC_COUNT];
        char values[METRIC_COUNT][24];
        for (enum metric m = 0; m < METRIC_COUNT; m++) {
                snprintf(values[m], sizeof(values[m]), "%" PRIu64, metrics_get(m));
                pairs[m] = (struct log_pair){metrics_name(m), values[m]};
        }
        log_pairs(LOG_LEVEL_INFO, "counters", pairs, METRIC_COUNT);
}

static void follow_signals(const sigset_t *signals, const struct living *l)
{
        for (;;) {
                int signal = sigwaitinfo(signals, NULL);
                if (signal == SIGHUP) {
                        sd_notify(0, "RELOADING=1");
                        reload(l);
                        sd_notify(0, "READY=1");
                } else if (signal == SIGUSR1) {
                        log_counters();
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
        const struct living *l, struct err *e)
{
        if (listen_all(proxy, c, e) < 0 || proxy_start(proxy, e) < 0)
                return -1;
        admin_phase(l->admin, ADMIN_SERVES);
        log_line(LOG_LEVEL_INFO, "serving", "version", CRI_RESOLVED_VERSION, "listen", c->listen[0],
                "backend", c->backend, "configuration",
                l->config_path != NULL ? l->config_path : "defaults", NULL);
        sd_notify(0, "READY=1");
        resident_trim();
        follow_signals(signals, l);
        admin_phase(l->admin, ADMIN_STOPS);
        log_line(LOG_LEVEL_INFO, "stopping: running calls have 30 s to end", NULL);
        proxy_stop(proxy, STOP_GRACE_MS);
        log_line(LOG_LEVEL_INFO, "stopped", NULL);
        return 0;
}

/* A registry's answer of any kind: what it says is for real requests to find out. */
static int probe(
        void *registry, const struct upstream *mirror, struct cancel *cancel, struct err *e)
{
        cleanup_config const struct config *c = config_get();
        return registry_ping(registry, mirror, PROBE_CONNECTS * c->connect_timeout_ms, cancel, e);
}

static void service_fini(struct pull_service *s)
{
        flights_free(s->flights);
        relay_free(s->relay);
        tally_free(s->tally);
        backend_free(s->backend);
        rpc_free(s->images.containerd);
        rpc_free(s->images.cri);
        order_free(s->order);
        health_free(s->health);
        resolver_free(s->resolver);
}

static int service_init(struct pull_service *s, const struct config *c, struct err *e)
{
        *s = (struct pull_service){
                .resolver = resolver_new(), .order = order_new(), .tally = tally_new()};
        struct registry *registry = resolver_registry(s->resolver);
        s->health = health_new(probe, registry);
        s->images.cri = rpc_new(c->backend);
        s->images.containerd = rpc_new(c->containerd);
        s->backend = backend_new(s->images.cri);
        s->relay = relay_new(registry, (uint16_t)c->relay_port);
        if (s->relay == NULL) {
                service_fini(s);
                return err_set(e, ERR_SYSTEM, "the relay gets no threads or descriptors");
        }
        if (c->mirror_count > 0)
                relay_listen(s->relay);
        s->flights = flights_new(&s->images, s->relay, s->tally);
        return 0;
}

static int open_admin(const struct config *c, struct pull_service *service,
        const struct proxy_options *proxy, struct living *l, struct err *e)
{
        if (c->admin_listen == NULL)
                return 0;
        struct admin_options o = {
                .socket = {.path = c->admin_listen + strlen("unix://"),
                        .key = "admin.listen",
                        .mode = c->listen_mode,
                        .gid = c->listen_gid},
                .peers = {.allow_gids = proxy->allow_gids,
                        .allow_gid_count = proxy->allow_gid_count},
                .service = service,
                .config_path = l->config_path,
                .backend = c->backend,
        };
        return admin_new(&o, &l->admin, e);
}

static int run(
        const struct config *c, const sigset_t *signals, const char *config_path, struct err *e)
{
        cleanup_free uint32_t *gids = NULL;
        if (group_ids(c, &gids, e) < 0)
                return -1;
        struct pull_service service;
        if (service_init(&service, c, e) < 0)
                return -1;
        struct proxy_options options = {
                .backend = c->backend,
                .backend_wait_ms = c->backend_wait_ms,
                .methods = methods,
                .handler_arg = &service,
                .allow_gids = gids,
                .allow_gid_count = c->allow_group_count,
        };
        struct proxy *proxy = proxy_new(&options);
        struct sweep *sweep = sweep_new(service.flights);
        struct living living = {.config_path = config_path, .relay = service.relay};
        int r = open_admin(c, &service, &options, &living, e);
        if (r == 0)
                r = serve(c, proxy, signals, &living, e);
        admin_free(living.admin);
        sweep_free(sweep);
        proxy_free(proxy);
        service_fini(&service);
        return r;
}

/* The usual soft limit of 1024 is less than what a crowd of pulls may need; nothing here uses
 * select(2). */
static void raise_descriptors(void)
{
        struct rlimit limit;
        if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
                return;
        limit.rlim_cur = limit.rlim_max < DESCRIPTORS ? limit.rlim_max : DESCRIPTORS;
        setrlimit(RLIMIT_NOFILE, &limit);
}

/* Pulls hold passwords: no core file, and nobody but root looks into the process. Few arenas: the
 * many short-lived threads would each leave one behind. */
static void harden(sigset_t *signals)
{
        prctl(PR_SET_DUMPABLE, 0);
        mallopt(M_ARENA_MAX, ARENAS_MAX);
        raise_descriptors();
        signal(SIGPIPE, SIG_IGN);
        sigemptyset(signals);
        sigaddset(signals, SIGHUP);
        sigaddset(signals, SIGUSR1);
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

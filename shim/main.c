/* SPDX-License-Identifier: Apache-2.0 */
/* cri-resolved: puts the parts together, and follows signals. */
#include <grp.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "config/config.h"
#include "resolver/resolve.h"
#include "shim/admin.h"
#include "shim/command_line.h"
#include "shim/listen.h"
#include "shim/manager.h"
#include "shim/metrics_door.h"
#include "shim/metrics_page.h"
#include "shim/pull.h"
#include "shim/resident.h"
#include "shim/sweep.h"
#include "shim/way.h"

enum { ARENAS_MAX = 2, PROBE_CONNECTS = 2, DESCRIPTORS = 65536 };

/* What a signal acts on. */
struct living {
        const char *config_path; /* NULL: none */
        const char *listen;      /* for the log */
        struct relay *relay;
        struct admin *admin;           /* NULL: there is none */
        struct http_listener *metrics; /* on TCP; NULL: there is none */
        struct containers *containers; /* NULL: NRI is off */
};

static void publish(struct config *config)
{
        log_setup(config->log_level, config->log_json);
        cleanup_free char *note = NULL;
        metrics_page_prime(config);
        metrics_set(METRIC_CONFIG_LOADED, (uint64_t)clock_unix_s(), METRICS_WORDS(NULL));
        metrics_set(METRIC_CONFIG_LAST_RELOAD_OK, 1, METRICS_WORDS(NULL));
        config_publish(config, &note);
        if (note != NULL)
                log_line(LOG_LEVEL_WARNING, "these keys take effect at the next start", "keys",
                        note, NULL);
}

#define SERVING "serving, version " CRI_RESOLVED_VERSION

static void say_not_reloaded(const char *why)
{
        log_line(LOG_LEVEL_ERROR, "configuration not reloaded, the old one stays", "error", why,
                NULL);
        cleanup_free char *state = mem_printf(SERVING "; configuration not reloaded: %s", why);
        manager_ready(state);
}

/* All or nothing: a file with an error in it changes nothing. */
static void reload(const struct living *l)
{
        struct err e;
        struct config *config = NULL;
        const char *path =
                command_line_or_default(l->config_path); /* it may have come since the start */
        manager_reloading();
        if (config_load(path, &config, &e) < 0) {
                say_not_reloaded(e.msg);
                metrics_add(METRIC_CONFIG_RELOADS, 1, METRICS_WORDS("failed"));
                metrics_set(METRIC_CONFIG_LAST_RELOAD_OK, 0, METRICS_WORDS(NULL));
                return;
        }
        if (config->mirror_count > 0)
                relay_listen(l->relay);
        relay_forget_capture(l->relay);
        way_forget();
        publish(config);
        metrics_add(METRIC_CONFIG_RELOADS, 1, METRICS_WORDS("ok"));
        containers_reloaded(l->containers);
        log_line(LOG_LEVEL_INFO, "configuration reloaded", "file", log_or(path), NULL);
        manager_ready(SERVING);
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

/* ---- life ---- */

static void log_counters(void)
{
        struct log_pair pairs[COUNTER_COUNT];
        char values[COUNTER_COUNT][24];
        for (enum metrics_counter c = 0; c < COUNTER_COUNT; c++) {
                snprintf(values[c], sizeof(values[c]), "%" PRIu64, metrics_counter_get(c));
                pairs[c] = (struct log_pair){metrics_counter_name(c), values[c]};
        }
        log_pairs(LOG_LEVEL_INFO, "counters", pairs, COUNTER_COUNT);
}

static void follow_signals(const sigset_t *signals, const struct living *l)
{
        for (;;) {
                int signal = sigwaitinfo(signals, NULL);
                if (signal == SIGHUP)
                        reload(l);
                else if (signal == SIGUSR1)
                        log_counters();
                else if (signal == SIGTERM || signal == SIGINT)
                        return;
        }
}

static void say_draining(void *arg, unsigned calls_left)
{
        (void)arg;
        cleanup_free char *state = mem_printf("draining, %u calls left", calls_left);
        manager_status(state);
}

static void turned(void *arg)
{
        (void)arg;
        manager_watchdog_feed();
}

/* Calls that are under way have the time that the configuration gives them. */
static void stop(struct proxy *proxy)
{
        cleanup_config const struct config *c = config_get();
        char limit[24];
        snprintf(limit, sizeof(limit), "%" PRId64, c->stop_timeout_ms);
        manager_stopping(c->stop_timeout_ms);
        log_line(LOG_LEVEL_INFO, "stopping: running calls may end", "limit_ms", limit, NULL);
        proxy_stop(proxy, c->stop_timeout_ms);
        log_line(LOG_LEVEL_INFO, "stopped", NULL);
}

static const struct proxy_method methods[] = {
        {"/runtime.v1.ImageService/PullImage", pull_handle},
        {"/runtime.v1alpha2.ImageService/PullImage", pull_handle},
        {0},
};

/* Kubelet keeps the first one open for ever, whoever watches containerd's events the other. */
static const char *const endless[] = {
        "/runtime.v1.RuntimeService/GetContainerEvents",
        "/containerd.services.events.v1.Events/Subscribe",
        NULL,
};

static int serve(struct proxy *proxy, const sigset_t *signals, const struct config *c,
        const struct living *l, struct err *e)
{
        if (proxy_start(proxy, e) < 0)
                return -1;
        admin_phase(l->admin, ADMIN_SERVES);
        log_line(LOG_LEVEL_INFO, "serving", "version", CRI_RESOLVED_VERSION, "listen", l->listen,
                "backend", c->backend, "configuration",
                l->config_path != NULL ? l->config_path : "defaults", NULL);
        manager_ready(SERVING);
        resident_trim();
        follow_signals(signals, l);
        admin_phase(l->admin, ADMIN_STOPS);
        stop(proxy);
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
        containers_free(s->containers);
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

/* An inherited port is served in any case: without us, who connects there would wait for ever. */
static void open_relay(struct relay *r, const struct config *c, struct manager_sockets *sockets)
{
        bool inherited = sockets->relay >= 0;
        if (inherited)
                relay_inherit(r, manager_socket_out(&sockets->relay));
        if (inherited || c->mirror_count > 0)
                relay_listen(r);
}

static int start_containers(struct pull_service *s, const struct config *c, struct err *e)
{
        s->containers = containers_new();
        return containers_start(
                s->containers, &s->images, s->resolver, c->nri_socket + strlen("unix://"), e);
}

static int service_init(struct pull_service *s, const struct config *c,
        struct manager_sockets *sockets, struct err *e)
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
        open_relay(s->relay, c, sockets);
        s->flights = flights_new(&s->images, s->relay, s->tally);
        if (c->nri_enabled && start_containers(s, c, e) < 0) {
                service_fini(s);
                return -1;
        }
        return 0;
}

static int open_admin(const struct config *c, struct pull_service *service,
        const struct proxy_options *proxy, struct manager_sockets *sockets, struct living *l,
        struct err *e)
{
        if (c->admin_listen == NULL)
                return 0;
        struct admin_options o = {
                .socket = {.path = c->admin_listen + strlen("unix://"),
                        .key = "admin.listen",
                        .unit = "cri-resolved-admin.socket",
                        .mode = c->listen_mode,
                        .gid = c->listen_gid},
                .inherited = manager_socket_out(&sockets->admin),
                .peers = {.allow_gids = proxy->allow_gids,
                        .allow_gid_count = proxy->allow_gid_count},
                .service = service,
                .config_path = l->config_path,
                .backend = c->backend,
        };
        return admin_new(&o, &l->admin, e);
}

/* A socket of the manager's is served in any case, as the relay's port is. */
static int open_metrics(const struct config *c, struct pull_service *service,
        struct manager_sockets *sockets, struct living *l, struct err *e)
{
        int fd = manager_socket_out(&sockets->metrics);
        if (fd < 0 && c->metrics_listen == NULL)
                return 0;
        if (fd < 0 && metrics_door_listen(c->metrics_listen, &fd, e) < 0)
                return -1;
        return metrics_door_new(fd, service, &l->metrics, e);
}

static int run(
        const struct config *c, const sigset_t *signals, const char *config_path, struct err *e)
{
        cleanup_free uint32_t *gids = NULL;
        cleanup(manager_sockets_fini) struct manager_sockets sockets;
        struct pull_service service;
        if (listen_take(c, &sockets, e) < 0 || group_ids(c, &gids, e) < 0 ||
                service_init(&service, c, &sockets, e) < 0)
                return -1;
        struct proxy_options options = {
                .backend = c->backend,
                .backend_wait_ms = c->backend_wait_ms,
                .methods = methods,
                .handler_arg = &service,
                .endless = endless,
                .events = {.turned = turned,
                        .turn_ms = manager_watchdog_ms(),
                        .draining = say_draining},
                .allow_gids = gids,
                .allow_gid_count = c->allow_group_count,
        };
        struct proxy *proxy = proxy_new(&options);
        struct sweep *sweep = sweep_new(service.flights);
        struct living living = {.config_path = config_path,
                .listen = sockets.cri_count > 0 ? "inherited" : c->listen[0],
                .relay = service.relay,
                .containers = service.containers};
        int r = listen_cri(proxy, c, &sockets, e);
        if (r == 0)
                r = open_admin(c, &service, &options, &sockets, &living, e);
        if (r == 0)
                r = open_metrics(c, &service, &sockets, &living, e);
        if (r == 0)
                r = serve(proxy, signals, c, &living, e);
        http_listener_free(living.metrics);
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
        cleanup_command_line struct command_line words;
        int exit_code = command_line_read(argc, argv, &words);
        if (exit_code >= 0)
                return exit_code;
        const char *path = command_line_or_default(words.named);
        if (words.check)
                return check(path);
        sigset_t signals;
        harden(&signals);
        log_setup(LOG_LEVEL_INFO, false);
        struct err e;
        struct config *loaded = NULL;
        if (config_load(path, &loaded, &e) < 0)
                return fail(&e);
        publish(loaded);
        cleanup_config const struct config *config = config_get();
        return run(config, &signals, path, &e) < 0 ? fail(&e) : 0;
}

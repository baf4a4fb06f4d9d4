/* SPDX-License-Identifier: Apache-2.0 */
/* Who answers at the addresses of mirrors and upstreams. */
#include <inttypes.h>
#include <string.h>

#include "config/files.h"
#include "ctl/check.h"
#include "ctl/check_network.h"
#include "ctl/probe.h"

enum { SKEW_MAX_S = 60, STATE_MAX_BYTES = 4 << 20 };

struct network {
        struct check *check;
        struct http_pool *pool;
        json_t *state;         /* url -> identity */
        json_t *kept;          /* the same as it is in the file */
        struct strings skewed; /* hosts whose clock has been reported */
};

static void report_skew(struct network *n, const char *url, const struct probe *p)
{
        int64_t away = p->ahead_s < 0 ? -p->ahead_s : p->ahead_s;
        if (!p->dated || away <= SKEW_MAX_S || strings_has(&n->skewed, url))
                return;
        strings_add(&n->skewed, url);
        json_t *finding = finding_add(n->check->findings, FINDING_CLOCK_SKEW);
        finding_evidence(finding, url, "its clock is %" PRId64 " s %s this machine's", away,
                p->ahead_s > 0 ? "ahead of" : "behind");
        finding_run(finding, "timedatectl", "set-ntp", "true", NULL);
}

static void report_change(struct network *n, const struct mirror_use *u, const struct probe *p)
{
        const json_t *before = json_object_get(n->state, u->url);
        cleanup_free char *difference =
                before != NULL ? probe_difference(before, p->identity) : NULL;
        if (difference == NULL) {
                json_object_set(n->state, u->url, p->identity);
                return;
        }
        json_t *finding = finding_add(n->check->findings, FINDING_MIRROR_CHANGED);
        finding_evidence(finding, u->url, "%s", difference);
        finding_evidence(finding, u->place, "where it is a mirror of %s",
                u->host[0] != '\0' ? u->host : "every registry");
        finding_run(finding, "rm", n->check->state_path, NULL);
}

static void report_mirror(struct network *n, const struct mirror_use *u, const struct probe *p)
{
        if (p->is_registry)
                return;
        json_t *finding = finding_add(n->check->findings,
                p->answered ? FINDING_MIRROR_NOT_A_REGISTRY : FINDING_MIRROR_UNREACHABLE);
        cleanup_free char *asked = mem_printf("GET %s/", u->reach->base_url);
        finding_evidence(finding, asked, "%s", p->answered ? p->seen : p->why_not);
        finding_evidence(finding, u->place, "where it is a mirror of %s",
                u->host[0] != '\0' ? u->host : "every registry");
        check_remove_mirror(n->check, finding, u);
}

/* Once for each address; what is found is known for all uses of it. */
static void probe_mirror(struct network *n, size_t index)
{
        struct check *c = n->check;
        struct mirror_use *u = &c->uses[index];
        for (size_t i = 0; i < index; i++) {
                if (strcmp(c->uses[i].url, u->url) == 0) {
                        u->answers = c->uses[i].answers;
                        return;
                }
        }
        cleanup_probe struct probe p;
        probe_server(n->pool, u->reach, c->cli->cancel, &p);
        u->answers = p.is_registry;
        report_mirror(n, u, &p);
        report_skew(n, u->url, &p);
        if (p.is_registry)
                report_change(n, u, &p);
}

static void probe_upstream(struct network *n, const char *host)
{
        cleanup_upstream struct upstream *u = NULL;
        struct err e;
        if (upstream_new(n->check->config, host, &u, &e) < 0)
                return;
        cleanup_probe struct probe p;
        probe_server(n->pool, u, n->check->cli->cancel, &p);
        report_skew(n, u->origin, &p);
        if (p.is_registry)
                return;
        json_t *finding = finding_add(n->check->findings, FINDING_UPSTREAM_UNREACHABLE);
        cleanup_free char *asked = mem_printf("GET %s/", u->base_url);
        finding_evidence(finding, asked, "%s: %s", host, p.answered ? p.seen : p.why_not);
}

static void probe_upstreams(struct network *n)
{
        const struct check *c = n->check;
        cleanup_strings struct strings hosts = {0};
        for (size_t i = 0; i < c->use_count; i++)
                if (c->uses[i].host[0] != '\0' && !strings_has(&hosts, c->uses[i].host))
                        strings_add(&hosts, c->uses[i].host);
        for (size_t i = 0; i < c->config->upstream_count; i++)
                if (!strings_has(&hosts, c->config->upstreams[i].host))
                        strings_add(&hosts, c->config->upstreams[i].host);
        for (size_t i = 0; i < hosts.count && !cancel_fired(c->cli->cancel); i++)
                probe_upstream(n, hosts.items[i]);
}

static json_t *load_state(const char *path)
{
        cleanup_free char *text = NULL;
        struct err ignored;
        json_t *state = NULL;
        if (path != NULL && file_read(path, STATE_MAX_BYTES, &text, NULL, &ignored) == 0)
                state = json_loads(text, 0, NULL);
        if (json_is_object(state))
                return state;
        json_decref(state);
        return json_object();
}

/* No root is needed to check, but to keep what is new at the usual place; who cannot is told, as
 * the next check will miss it. */
static void save_state(const struct network *n)
{
        const char *path = n->check->state_path;
        if (json_equal(n->state, n->kept))
                return;
        char *text = json_dumps(n->state, JSON_INDENT(2) | JSON_SORT_KEYS);
        struct err e;
        if (text != NULL && (cli_make_folders(path, &e) < 0 ||
                                    cli_write_file(path, text, strlen(text), false, &e) < 0))
                cli_note(n->check->cli,
                        "what was seen of mirrors is not kept, and no later check can say that one "
                        "has changed: %s; run this as root, or name a file with --state",
                        e.msg);
        free(text);
}

void check_network(struct check *c)
{
        struct network n = {
                .check = c, .pool = http_pool_new(), .state = load_state(c->state_path)};
        n.kept = json_deep_copy(n.state);
        for (size_t i = 0; i < c->use_count && !cancel_fired(c->cli->cancel); i++)
                probe_mirror(&n, i);
        probe_upstreams(&n);
        check_images(c);
        if (!cancel_fired(c->cli->cancel))
                save_state(&n);
        strings_clear(&n.skewed);
        json_decref(n.state);
        json_decref(n.kept);
        http_pool_free(n.pool);
}

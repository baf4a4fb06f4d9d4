/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver/route.h"

const char *route_source_label(const struct source *s)
{
        return s->mirror != NULL ? s->name : "upstream";
}

/* A source is counted when all of it is there: route_free frees what is counted. */
static void add(struct route *r, const char *name, struct upstream *access, struct mirror *mirror)
{
        struct source *s = &r->sources[r->count++];
        *s = (struct source){.name = mem_strdup(name), .access = access, .mirror = mirror};
        s->received = metrics_series(
                METRIC_RECEIVED_BYTES, METRICS_WORDS(r->label, route_source_label(s)));
}

int route_new(struct health *h, const struct config *c, const char *host, struct route **out,
        struct err *e)
{
        bool has_entry = false;
        const struct config_upstream *entry = config_upstream_for(c, host, &has_entry);
        struct upstream *upstream = NULL;
        *out = NULL;
        if (upstream_new(c, host, &upstream, e) < 0)
                return -1;
        struct route *r = mem_zalloc(sizeof(*r));
        r->has_entry = has_entry;
        r->label = mem_strdup(config_upstream_label(c, host));
        r->sources = mem_zalloc((entry->mirror_count + 1) * sizeof(*r->sources));
        for (size_t i = 0; i < entry->mirror_count; i++) {
                const char *url = entry->mirrors[i];
                add(r, url, upstream_new_mirror(c, url), health_mirror(h, url, entry->host));
        }
        add(r, host, upstream, NULL);
        r->connect_timeout_ms = c->connect_timeout_ms;
        r->first_byte_timeout_ms = c->first_byte_timeout_ms;
        r->stall_timeout_ms = c->stall_timeout_ms;
        r->resolve_timeout_ms = c->timeout_ms;
        r->token_reuse_ms = c->token_reuse_ms;
        *out = r;
        return 0;
}

void route_free(struct route *r)
{
        if (r == NULL)
                return;
        for (size_t i = 0; i < r->count; i++) {
                free((char *)r->sources[i].name);
                upstream_free(r->sources[i].access);
        }
        free(r->sources);
        free(r->label);
        free(r);
}

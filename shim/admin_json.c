/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/admin_json.h"

#include <string.h>
#include <time.h>

#include "base/metrics.h"
#include "config/lists.h"
#include "config/trust.h"

/* ---- values ---- */

/* The bytes of one UTF-8 character as jansson takes it, 0 where none begins. */
static size_t character_at(const char *s)
{
        for (size_t size = 1; size <= 4 && s[size - 1] != '\0'; size++) {
                json_t *one = json_stringn(s, size);
                if (one == NULL)
                        continue;
                json_decref(one);
                return size;
        }
        return 0;
}

json_t *admin_json_text(const char *s)
{
        if (s == NULL)
                return json_null();
        json_t *whole = json_string(s);
        if (whole != NULL)
                return whole;
        cleanup_free char *copy = mem_strdup(s);
        for (char *at = copy; *at != '\0';) {
                size_t size = character_at(at);
                if (size == 0)
                        *at++ = '?';
                else
                        at += size;
        }
        return json_string(copy);
}

json_t *admin_json_time(int64_t unix_ms)
{
        time_t seconds = (time_t)(unix_ms / 1000);
        struct tm t;
        char text[32];
        gmtime_r(&seconds, &t);
        size_t size = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &t);
        if (unix_ms % 1000 != 0)
                return json_sprintf("%.*s.%03dZ", (int)size, text, (int)(unix_ms % 1000));
        return json_sprintf("%.*sZ", (int)size, text);
}

static json_t *number(uint64_t n)
{
        return json_integer((json_int_t)n);
}

json_t *admin_json_counters(void)
{
        json_t *counters = json_object();
        for (enum metrics_counter c = 0; c < COUNTER_COUNT; c++)
                json_object_set_new(
                        counters, metrics_counter_name(c), number(metrics_counter_get(c)));
        return counters;
}

/* ---- upstreams ---- */

static uint64_t bytes_of_all(const struct tally_upstream *u)
{
        uint64_t sum = 0;
        for (size_t i = 0; i < u->source_count; i++)
                sum += u->sources[i].bytes;
        return sum;
}

static uint64_t bytes_of_mirror(const struct tally_upstream *u, const char *url)
{
        for (size_t i = 0; i < u->source_count; i++)
                if (u->sources[i].is_mirror && strcmp(u->sources[i].source, url) == 0)
                        return u->sources[i].bytes;
        return 0;
}

static uint64_t bytes_of_upstream(const struct tally_upstream *u)
{
        uint64_t sum = 0;
        for (size_t i = 0; i < u->source_count; i++)
                sum += u->sources[i].is_mirror ? 0 : u->sources[i].bytes;
        return sum;
}

static json_t *share(uint64_t part, uint64_t all)
{
        return all > 0 ? json_real((double)part / (double)all) : json_null();
}

static json_t *mirror(const struct tally_upstream *u, struct health *h,
        const struct config_upstream *entry, const char *url)
{
        struct mirror_state s;
        mirror_state(health_mirror(h, url, entry->host), &s);
        uint64_t bytes = bytes_of_mirror(u, url);
        json_t *m = json_object();
        json_object_set_new(m, "url", admin_json_text(url));
        json_object_set_new(m, "state", json_string(s.up ? "up" : "down"));
        json_object_set_new(m, "since", admin_json_time(s.since_unix_s * 1000));
        json_object_set_new(
                m, "last_error", admin_json_text(s.last_error[0] != '\0' ? s.last_error : NULL));
        json_object_set_new(m, "bytes", number(bytes));
        json_object_set_new(m, "share", share(bytes, bytes_of_all(u)));
        return m;
}

/* Where it is found; null where containerd's own configuration for it cannot be read. */
static json_t *server(const struct config *c, const char *host)
{
        struct err unused;
        cleanup_upstream struct upstream *u = NULL;
        if (upstream_new(c, host, &u, &unused) < 0)
                return json_null();
        size_t size = strlen(u->base_url);
        bool usual = size > 3 && strcmp(u->base_url + size - 3, "/v2") == 0;
        return json_stringn(u->base_url, usual ? size - 3 : size);
}

static json_t *pulls_of(const struct tally_upstream *u)
{
        json_t *p = json_object();
        json_object_set_new(p, "total", number(u->pulls));
        json_object_set_new(p, "failed", number(u->failed));
        json_object_set_new(p, "current", number(u->current));
        json_object_set_new(p, "relayed", number(u->relayed));
        json_object_set_new(p, "direct", number(u->direct));
        json_object_set_new(p, "degraded", number(u->degraded));
        return p;
}

static json_t *upstream(const struct tally_upstream *u, const struct config *c, struct health *h)
{
        bool has_entry = false;
        const struct config_upstream *entry = config_upstream_for(c, u->host, &has_entry);
        json_t *mirrors = json_array();
        for (size_t i = 0; i < entry->mirror_count; i++)
                json_array_append_new(mirrors, mirror(u, h, entry, entry->mirrors[i]));
        json_t *o = json_object();
        json_object_set_new(o, "host", admin_json_text(u->host));
        json_object_set_new(o, "server", server(c, u->host));
        json_object_set_new(o, "configured", json_boolean(has_entry));
        json_object_set_new(o, "mirrors", mirrors);
        json_object_set_new(o, "bytes_from_upstream", number(bytes_of_upstream(u)));
        json_object_set_new(o, "share_of_upstream", share(bytes_of_upstream(u), bytes_of_all(u)));
        json_object_set_new(o, "pulls", pulls_of(u));
        return o;
}

struct listing {
        json_t *configured, *others;
        const struct config *config;
        struct health *health;
        bool *seen; /* of the configuration's upstreams */
};

static size_t entry_of(const struct config *c, const char *host)
{
        size_t i = 0;
        while (i < c->upstream_count && strcmp(c->upstreams[i].host, host) != 0)
                i++;
        return i;
}

static void list_upstream(void *arg, const struct tally_upstream *u)
{
        struct listing *l = arg;
        size_t entry = entry_of(l->config, u->host);
        bool configured = entry < l->config->upstream_count;
        if (configured)
                l->seen[entry] = true;
        json_array_append_new(
                configured ? l->configured : l->others, upstream(u, l->config, l->health));
}

json_t *admin_json_upstreams(struct tally *t, const struct config *c, struct health *h)
{
        cleanup_free bool *seen = mem_zalloc(c->upstream_count + 1);
        struct listing l = {json_array(), json_array(), c, h, seen};
        tally_each_upstream(t, list_upstream, &l);
        for (size_t i = 0; i < c->upstream_count; i++) {
                struct tally_upstream idle = {.host = c->upstreams[i].host};
                if (!seen[i])
                        json_array_append_new(l.configured, upstream(&idle, c, h));
        }
        json_array_extend(l.configured, l.others);
        json_decref(l.others);
        return l.configured;
}

/* ---- pulls ---- */

static json_t *bytes_entry(const char *source, uint64_t bytes)
{
        json_t *b = json_object();
        json_object_set_new(b, "source", admin_json_text(source));
        json_object_set_new(b, "bytes", number(bytes));
        return b;
}

static json_t *failover(const char *source, const char *error)
{
        json_t *f = json_object();
        json_object_set_new(f, "source", admin_json_text(source));
        json_object_set_new(f, "error", admin_json_text(error));
        return f;
}

static void add_recent(void *arg, const struct tally_record *r)
{
        json_t *bytes = json_array();
        for (size_t i = 0; i < r->byte_count; i++)
                json_array_append_new(bytes, bytes_entry(r->bytes[i].source, r->bytes[i].bytes));
        json_t *failovers = json_array();
        for (size_t i = 0; i < r->failover_count; i++)
                json_array_append_new(
                        failovers, failover(r->failovers[i].source, r->failovers[i].error));
        json_t *o = json_object();
        json_object_set_new(o, "reference", admin_json_text(r->reference));
        json_object_set_new(o, "digest", admin_json_text(r->digest));
        json_object_set_new(o, "previous", admin_json_text(r->previous));
        json_object_set_new(o, "source", admin_json_text(r->source));
        json_object_set_new(o, "outcome", json_string(r->failed ? "failed" : "ok"));
        json_object_set_new(o, "error", admin_json_text(r->error));
        json_object_set_new(o, "degraded", admin_json_text(r->degraded));
        json_object_set_new(o, "started_at", admin_json_time(r->started_unix_ms));
        json_object_set_new(o, "duration_ms", json_integer(r->duration_ms));
        json_object_set_new(o, "bytes", bytes);
        json_object_set_new(o, "failovers", failovers);
        json_array_append_new(arg, o);
}

json_t *admin_json_content(const struct progress_content *c)
{
        int64_t size_bytes = atomic_load_explicit(&c->size_bytes, memory_order_relaxed);
        int64_t sent_bytes = atomic_load_explicit(&c->sent_bytes, memory_order_relaxed);
        json_t *failovers = json_array();
        for (size_t i = 0; i < c->left_count; i++)
                json_array_append_new(failovers, failover(c->left[i].source, c->left[i].error));
        json_t *o = json_object();
        json_object_set_new(o, "digest", json_string(c->digest));
        json_object_set_new(
                o, "kind", json_string(c->kind == REGISTRY_MANIFEST ? "manifest" : "blob"));
        json_object_set_new(
                o, "size_bytes", size_bytes >= 0 ? json_integer(size_bytes) : json_null());
        json_object_set_new(o, "sent_bytes", json_integer(sent_bytes));
        json_object_set_new(o, "source", admin_json_text(c->source));
        json_object_set_new(o, "failovers", failovers);
        return o;
}

static void add_content(void *arg, const struct progress_content *c)
{
        json_array_append_new(arg, admin_json_content(c));
}

struct running {
        json_t *list;
        struct flights *flights;
};

static void add_running(void *arg, const struct tally_running *r)
{
        struct running *running = arg;
        cleanup_progress struct progress *progress = NULL;
        if (r->progress != NULL)
                progress = progress_share(r->progress);
        else if (r->pulled_name != NULL)
                progress = flights_progress(running->flights, r->pulled_name);
        json_t *contents = json_array();
        if (progress != NULL)
                progress_each_content(progress, add_content, contents);
        json_t *o = json_object();
        json_object_set_new(o, "reference", admin_json_text(r->reference));
        json_object_set_new(o, "since", admin_json_time(r->started_unix_ms));
        json_object_set_new(o, "contents", contents);
        json_array_append_new(running->list, o);
}

json_t *admin_json_pulls(struct tally *t, struct flights *f)
{
        struct running running = {.list = json_array(), .flights = f};
        json_t *recent = json_array();
        tally_each_running(t, add_running, &running);
        tally_each_recent(t, add_recent, recent);
        json_t *o = json_object();
        json_object_set_new(o, "running", running.list);
        json_object_set_new(o, "recent", recent);
        return o;
}

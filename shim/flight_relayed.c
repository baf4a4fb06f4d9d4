/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pull through the relay. containerd is asked for the relay's name of the repository, with a
 * grant; when it has the image, the upstream's name is pointed at it and the relay's name is
 * deleted. All of that happens before the flight ends, so that no later flight for the same name
 * can be disturbed by the deletion (containerd 2.1 fails a pull whose name is deleted meanwhile).
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "config/lists.h"
#include "shim/content.h"
#include "shim/flight_internal.h"

enum { GRPC_UNAVAILABLE = 14 };
enum { MORE_TRIES = 3 }; /* than mirrors that may lie: others can spoil a shared blob */

struct work {
        struct flights *flights;
        const struct flight *flight;
        char *image; /* at the relay */
        struct progress *progress;
        uint64_t excluded; /* sources that lied in an earlier try */
        size_t sources;
        struct grant *before; /* of the try before this one; NULL: this is the first */
        bool hindered;        /* others use a digest that has to be cleaned, and do not end */
};

/* ---- names in use ---- */

static bool is_busy(const struct flights *f, const char *image)
{
        for (const struct busy_name *n = f->busy; n != NULL; n = n->next)
                if (strcmp(n->image, image) == 0)
                        return true;
        return false;
}

/* Only the sweep can be in the way, for as long as one deletion takes. */
static bool use_name(struct flights *f, struct busy_name *n, bool wait)
{
        pthread_mutex_lock(&f->lock);
        while (wait && is_busy(f, n->image))
                pthread_cond_wait(&f->name_freed, &f->lock);
        bool mine = !is_busy(f, n->image);
        if (mine) {
                n->next = f->busy;
                f->busy = n;
        }
        pthread_mutex_unlock(&f->lock);
        return mine;
}

static void free_name(struct flights *f, struct busy_name *n)
{
        pthread_mutex_lock(&f->lock);
        struct busy_name **at = &f->busy;
        while (*at != n)
                at = &(*at)->next;
        *at = n->next;
        pthread_cond_broadcast(&f->name_freed);
        pthread_mutex_unlock(&f->lock);
}

struct progress *flights_progress(struct flights *f, const char *pulled_name)
{
        struct progress *found = NULL;
        pthread_mutex_lock(&f->lock);
        for (const struct busy_name *n = f->busy; n != NULL && found == NULL; n = n->next)
                if (n->pulled_name != NULL && strcmp(n->pulled_name, pulled_name) == 0)
                        found = progress_share(n->progress);
        pthread_mutex_unlock(&f->lock);
        return found;
}

/* ---- adopting ---- */

/* What the label of the upstream's name says already: a pull that repairs must not lose it. */
static struct verification verified_before(const struct work *w)
{
        struct err unused;
        cleanup_image_record struct image_record known = {0};
        if (images_get(w->flights->images, w->flight->pulled_name, &known, &unused) < 0)
                return (struct verification){0};
        return known.verified;
}

/* Points the upstream's name at what was pulled under the relay's, and deletes that. */
static int adopt(const struct work *w, struct err *e)
{
        struct images *im = w->flights->images;
        cleanup_image_record struct image_record pulled = {0};
        if (images_get(im, w->image, &pulled, e) < 0)
                return -1;
        struct image_alias alias = {.name = w->flight->pulled_name,
                .from = &pulled,
                .verified = verified_before(w),
                .managed = true};
        if (images_alias(im, &alias, e) < 0)
                return -1;
        return images_delete(im, w->image, e);
}

/* *id is that of containerd's answer. */
static int wait_adopted(const struct work *w, const struct rpc_answer *answer, struct err *e)
{
        Cri__PullImageResponse *response =
                cri__pull_image_response__unpack(NULL, answer->response_size, answer->response);
        int r = response == NULL || response->image_ref == NULL
                        ? err_set(e, ERR_PROTOCOL, "containerd answered no image reference")
                        : images_wait_visible(w->flights->images, w->flight->pulled_name,
                                  w->flight->digest, response->image_ref, e);
        if (response != NULL)
                cri__pull_image_response__free_unpacked(response, NULL);
        return r;
}

static void fail_with(struct rpc_answer *answer, const struct err *e)
{
        rpc_answer_fini(answer);
        answer->code = err_grpc_status(e->code);
        answer->message = mem_strdup(e->msg);
}

/* True if another try is worth it: somebody has removed the image at the same time. A pull that
 * containerd finished is adopted, whoever has gone meanwhile. */
static bool finish(const struct work *w, struct rpc_answer *answer, struct cancel *cancel)
{
        struct err e;
        bool gone = cancel_fired(cancel);
        if (answer->code != 0 && !gone)
                return false;
        int r = adopt(w, &e);
        if (r == 0 && answer->code == 0)
                r = wait_adopted(w, answer, &e);
        if (r == 0 || answer->code != 0)
                return false;
        fail_with(answer, &e);
        return e.code == ERR_NOT_FOUND && !gone;
}

/* ---- cleaning ---- */

/* Aborts what the relay cut short for us, when nobody else is served it: they may write the same
 * ingest. Where the ref is not certain, the error of the next try names it. */
static void abort_spoilt(struct work *w, struct grant *g, const char *digest, int64_t until_ms,
        struct cancel *cancel)
{
        cleanup_free char *ref = grant_ref_of(g, digest);
        if (ref == NULL)
                return;
        if (spoilt_wait_unserved(relay_spoilt(w->flights->relay), digest, until_ms, cancel))
                flight_abort(w->flights, ref, digest);
        else
                w->hindered = true;
}

/* As long as a source may be silent twice. Whoever is served a digest that we need may be served it
 * by a registry that makes it last for days: what we cannot clean until then stays as it is, others
 * are not kept waiting for us, and the pull goes on without the relay. */
static int64_t end_of_waiting(const struct grant *g)
{
        const struct route *r = grant_spec_of(g)->route;
        return clock_mono_ms() + r->first_byte_timeout_ms + r->stall_timeout_ms;
}

/* What the relay itself cut short is locked until we have aborted it; what others have spoilt and
 * not cleaned yet is waited for. True if another try is worth it. */
static bool clean(struct work *w, struct grant *g, struct cancel *cancel)
{
        struct spoilt *spoilt = relay_spoilt(w->flights->relay);
        int64_t until_ms = end_of_waiting(g);
        char digest[DIGEST_SHA256_SIZE + 1];
        for (size_t i = 0; i < grant_count(g, GRANT_SPOILT); i++) {
                grant_at(g, GRANT_SPOILT, i, digest);
                abort_spoilt(w, g, digest, until_ms, cancel);
                spoilt_unlock(spoilt, digest);
        }
        size_t refused = grant_count(g, GRANT_REFUSED);
        for (size_t i = 0; i < refused && !w->hindered; i++) {
                grant_at(g, GRANT_REFUSED, i, digest);
                w->hindered = !spoilt_wait(spoilt, digest, until_ms, cancel);
        }
        uint64_t before = w->excluded;
        for (size_t i = 0; i < w->sources; i++)
                if (grant_excluded(g, i))
                        w->excluded |= UINT64_C(1) << i;
        return refused > 0 || w->excluded != before;
}

/* ---- one try ---- */

static void fire(void *cancel)
{
        cancel_fire(cancel);
}

static struct grant *issue(struct work *w, struct cancel *on_capture, struct err *e)
{
        const struct flight *f = w->flight;
        struct grant_spec spec = {
                .name = f->relay_name,
                .host = f->host,
                .repository = f->repository,
                .reference = f->pulled_name,
                .credentials = f->credentials,
                .on_capture = on_capture,
                .progress = w->progress,
        };
        if (route_new(f->health, f->config, f->host, &spec.route, e) < 0)
                return NULL;
        w->sources = spec.route->count;
        struct grant *g = relay_issue(w->flights->relay, &spec);
        if (w->before != NULL)
                grant_inherit(g, w->before);
        for (size_t i = 0; i < w->sources; i++)
                if ((w->excluded >> i & 1) != 0)
                        grant_exclude(g, i);
        return g;
}

static void say_captured(const struct work *w, bool kept_waiting)
{
        if (!relay_captured(w->flights->relay, w->flight->digest, kept_waiting))
                return;
        char directory[32];
        snprintf(directory, sizeof(directory), "127.0.0.1_%u_", relay_port(w->flights->relay));
        log_line(LOG_LEVEL_WARNING,
                "containerd does not ask the relay (captured by its own mirror for all hosts): "
                "pulls "
                "go directly to their upstreams",
                "remedy",
                "make a directory of this name in containerd's certs.d, with a hosts.toml of "
                "server = \"http://127.0.0.1:<port>\" and an empty [host] table (cri-resolvectl "
                "render hosts writes it), or turn registry.mirrors.\"*\" into certs.d",
                "directory", directory, NULL);
}

/* Asks containerd with a grant of its own. */
static void ask(struct work *w, struct grant *g, struct cancel *cancel, struct rpc_answer *answer)
{
        char address[40];
        snprintf(address, sizeof(address), "http://127.0.0.1:%u", relay_port(w->flights->relay));
        Cri__AuthConfig auth = CRI__AUTH_CONFIG__INIT;
        auth.username = GRANT_USER;
        auth.password = (char *)grant_password(g);
        auth.server_address = address; /* keeps the password off whoever captures 127.0.0.1 */
        flight_ask(w->flights, w->flight, w->image, &auth, cancel, answer);
        relay_revoke(w->flights->relay, g);
}

/* Who gave what in the try that counts, and who failed in any. */
static void report(struct flight_result *result, struct grant *g)
{
        free(result->sources);
        free(result->failures);
        result->sources = grant_sources_text(g);
        result->failures = grant_failures_text(g);
}

/* Whether containerd's words are about us: then it has asked us, be it in vain. */
static bool names_relay(const struct work *w, const char *message)
{
        char address[40];
        snprintf(address, sizeof(address), "//127.0.0.1:%u/", relay_port(w->flights->relay));
        return strstr(log_or(message), address) != NULL;
}

/* containerd asked somebody else, who kept it waiting, or answered at once. */
static bool was_captured(const struct work *w, struct grant *g, const struct rpc_answer *answer,
        struct cancel *cancel)
{
        bool gone = answer->code == GRPC_UNAVAILABLE || cancel_fired(cancel);
        return grant_captured(g) ||
               (grant_unreached(g) && !gone && !names_relay(w, answer->message));
}

/* True if another try is worth it. */
static bool attempt(struct work *w, struct flight_result *result, struct cancel *cancel)
{
        struct err e;
        struct cancel own;
        struct cancel_hook hook;
        cancel_init(&own);
        cleanup_grant struct grant *g = issue(w, &own, &e);
        if (g == NULL) {
                fail_with(&result->answer, &e);
                cancel_fini(&own);
                return false;
        }
        cancel_hook(cancel, &hook, fire, &own);
        ask(w, g, &own, &result->answer);
        cancel_unhook(cancel, &hook);
        cancel_fini(&own);
        result->tries++;
        report(result, g);
        bool captured = was_captured(w, g, &result->answer, cancel);
        if (captured)
                say_captured(w, grant_captured(g));
        else if (!grant_unreached(g))
                relay_forget_capture(w->flights->relay); /* whatever became of the pull */
        bool again = finish(w, &result->answer, cancel);
        bool cleaned = clean(w, g, cancel);
        grant_put(w->before);
        w->before = grant_share(g);
        bool healed = flight_heal(w->flights, &result->answer);
        return (again || cleaned || healed) && result->answer.code != 0 && !captured &&
               !w->hindered && !cancel_fired(cancel);
}

/* As a pull from the upstream itself would have left them: what this pull fetched in any of its
 * tries, and what containerd had before and found to be part of this image, too. Also after a pull
 * that failed: the direct one that follows finds what it has brought. */
static void label_sources(const struct work *w)
{
        const struct flight *f = w->flight;
        struct content_source from = {.host = "127.0.0.1", .repository = f->relay_name};
        struct content_source to = {.host = f->host, .repository = f->repository};
        struct err e;
        if (content_move_source(w->flights->images->containerd, &from, &to, &e) < 0)
                log_line(LOG_LEVEL_DEBUG, "the sources of blobs were not labelled", "reference",
                        f->pulled_name, "error", e.msg, NULL);
}

static struct share_result *pull_relayed(void *arg, struct cancel *cancel)
{
        struct work *w = arg;
        struct flight_result *result = flight_result_new();
        result->progress = w->progress = progress_new();
        struct busy_name name = {
                .image = w->image, .pulled_name = w->flight->pulled_name, .progress = w->progress};
        use_name(w->flights, &name, true);
        while (attempt(w, result, cancel) && result->tries < (int)w->sources + MORE_TRIES)
                ;
        grant_put(w->before);
        label_sources(w);
        free_name(w->flights, &name);
        tally_count(w->flights->tally, w->flight->host, w->progress);
        return &result->shared;
}

int flight_run_relayed(struct flights *f, const struct flight *flight, struct cancel *caller,
        struct flight_result **out, struct err *e)
{
        cleanup_free char *image =
                place_image(flight->relay_name, flight->digest, relay_port(f->relay));
        struct work w = {.flights = f, .flight = flight, .image = image};
        struct share_result *result = NULL;
        if (share_run(f->relayed, image, SHARE_JOIN_RUNNING, pull_relayed, &w, caller, &result, e) <
                0)
                return -1;
        *out = (struct flight_result *)result;
        return 0;
}

/* ---- sweeping ---- */

static int sweep_one(struct flights *f, const char *image, struct err *e)
{
        struct busy_name name = {.image = image};
        if (!place_is_ours(image) || !use_name(f, &name, false))
                return 0;
        int r = images_delete(f->images, image, e);
        free_name(f, &name);
        if (r == 0)
                log_line(LOG_LEVEL_INFO, "a name that an earlier pull has left was deleted",
                        "image", image, NULL);
        return r;
}

int flights_sweep(struct flights *f, struct cancel *stop, struct err *e)
{
        cleanup_strings struct strings names = {0};
        if (images_list(f->images, "127.0.0.1:", stop, &names, e) < 0)
                return -1;
        for (size_t i = 0; i < names.count; i++) {
                if (cancel_fired(stop)) /* a deletion that has begun is waited for */
                        return err_set(e, ERR_CANCELLED, "stopped");
                if (sweep_one(f, names.items[i], e) < 0)
                        return -1;
        }
        return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/relay.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/metrics.h"
#include "relay/door.h"
#include "relay/httpd.h"
#include "relay/stream.h"

enum {
        STATUS_OK = 200,
        STATUS_UNAUTHORIZED = 401,
        STATUS_NOT_FOUND = 404,
        STATUS_NOT_ALLOWED = 405,
        STATUS_BAD_GATEWAY = 502,
        CONNECTIONS_MAX = 512,
        IDLE_TIMEOUT_S = 15,
        /* Who reads a layer slowly is no idler: its disk may be busy, and a cut would fail the
         * pull. Nor is who waits for a source. */
        STALL_TIMEOUT_S = 300,
};

struct relay {
        uint16_t port;
        int inherited; /* -1: none, or the door's */
        struct grants *grants;
        struct stream_parts parts;
        struct httpd *httpd;
        _Atomic(struct door *) door; /* NULL: nobody has asked for it */

        pthread_mutex_t capture_lock; /* guards the rest: what is known since it was forgotten */
        int64_t captured_ms;
        int64_t captured_until_ms; /* left alone until then */
        bool captured;
        int vain_waits;
        char vain_digest[DIGEST_SHA256_SIZE + 1]; /* what nobody asked us for last; "": nothing */
};

/* ---- one request ---- */

/* The body of an answer, with what it stands on. */
struct served {
        struct grant *grant;
        struct stream *stream;
        char digest[DIGEST_SHA256_SIZE + 1];
};

static void served_free(void *arg)
{
        struct served *s = arg;
        stream_free(s->stream);
        grant_put(s->grant);
        free(s);
}

static ssize_t served_read(void *arg, char *buf, size_t max)
{
        struct served *s = arg;
        return stream_read(s->stream, buf, max);
}

static void count(const char *result)
{
        metrics_add(METRIC_RELAY_REQUESTS, 1, METRICS_WORDS(result));
}

static void refuse(struct httpd_answer *a, const char *authorization, int status)
{
        a->status = status;
        if (status == STATUS_UNAUTHORIZED)
                a->challenge = "Basic realm=\"cri-resolved\"";
        count(authorization[0] != '\0' ? "refused" : "challenged");
}

static void answer_content(struct served *s, struct httpd_answer *a)
{
        *a = (struct httpd_answer){
                .status = STATUS_OK,
                .content_type = stream_content_type(s->stream),
                .digest = s->digest,
                .size = stream_size(s->stream),
                .read = served_read,
                .free = served_free,
                .body = s,
        };
}

static void serve_place(struct relay *r, struct grant *g, const struct place_request *place,
        int client_fd, struct httpd_answer *a)
{
        struct err e;
        struct served *s = mem_zalloc(sizeof(*s));
        memcpy(s->digest, place->digest, sizeof(s->digest));
        if (stream_open(&r->parts, g, place->kind, place->digest, client_fd, &s->stream, &e) < 0) {
                log_line(LOG_LEVEL_DEBUG, "the relay has not got it", "reference",
                        grant_spec_of(g)->reference, "digest", place->digest, "error", e.msg, NULL);
                free(s);
                a->status = STATUS_BAD_GATEWAY;
                count("failed");
                return;
        }
        s->grant = grant_share(g);
        answer_content(s, a);
        count("served");
}

static bool is_read(const char *method)
{
        return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

/* Who has no grant learns nothing, not even whether a path makes sense. */
static void serve(void *arg, const struct httpd_request *q, struct httpd_answer *a)
{
        struct relay *r = arg;
        grants_reached(r->grants, q->path);
        cleanup_grant struct grant *g = grants_find(r->grants, q->authorization);
        struct place_request place;
        if (g == NULL)
                refuse(a, q->authorization, STATUS_UNAUTHORIZED);
        else if (!is_read(q->method))
                refuse(a, q->authorization, STATUS_NOT_ALLOWED);
        else if (!place_parse(q->path, grant_spec_of(g)->name, &place))
                refuse(a, q->authorization, STATUS_NOT_FOUND);
        else
                serve_place(r, g, &place, q->client_fd, a);
}

/* ---- the door ---- */

/* A copy of the text up to the line's end, or of its first word; the caller frees. */
static char *copy_until(const char *from, const char *end, const char *stops)
{
        size_t size = 0;
        while (from + size < end && strchr(stops, from[size]) == NULL)
                size++;
        return mem_strndup(from, size);
}

/* The path in a head's first line, "" if there is none. */
static char *path_in(const char *head, size_t size)
{
        const char *space = memchr(head, ' ', size);
        return space == NULL ? mem_strdup("") : copy_until(space + 1, head + size, " ?\r\n");
}

static char *authorization_in(const char *head, size_t size)
{
        static const char name[] = "\r\nAuthorization:";
        const char *end = head + size;
        for (const char *at = head; (size_t)(end - at) >= sizeof(name) - 1; at++) {
                if (strncasecmp(at, name, sizeof(name) - 1) != 0)
                        continue;
                at += sizeof(name) - 1;
                while (at < end && *at == ' ')
                        at++;
                return copy_until(at, end, "\r\n");
        }
        return mem_strdup("");
}

/* Who has no grant gets no thread. The request itself is judged again when it is served: this is
 * about the first one of a connection alone, and need not be exact. */
static const char *judge(void *arg, const char *head, size_t size)
{
        static const char refusal[] = "HTTP/1.1 401 Unauthorized\r\n"
                                      "WWW-Authenticate: Basic realm=\"cri-resolved\"\r\n"
                                      "Content-Length: 0\r\nConnection: close\r\n\r\n";
        struct relay *r = arg;
        cleanup_free char *path = path_in(head, size);
        cleanup_secret char *authorization = authorization_in(head, size);
        grants_reached(r->grants, path);
        cleanup_grant struct grant *g = grants_find(r->grants, authorization);
        if (g != NULL)
                return NULL;
        count(authorization[0] != '\0' ? "refused" : "challenged");
        return refusal;
}

static void enter(void *arg, int fd)
{
        struct relay *r = arg;
        if (!httpd_enter(r->httpd, fd))
                metrics_add(METRIC_RELAY_CONNECTIONS_REFUSED, 1, METRICS_WORDS("full"));
}

static bool tick(void *arg)
{
        struct relay *r = arg;
        bool connected = httpd_tick(r->httpd);
        return grants_check_reach(r->grants) || connected;
}

/* ---- life ---- */

struct relay *relay_new(struct registry *registry, uint16_t port)
{
        struct relay *r = mem_zalloc(sizeof(*r));
        r->port = port;
        r->inherited = -1;
        r->captured_ms = RELAY_CAPTURED_MS;
        pthread_mutex_init(&r->capture_lock, NULL);
        r->grants = grants_new();
        r->parts = (struct stream_parts){.registry = registry,
                .room = body_room_new(),
                .room_of_others = body_room_new(),
                .spoilt = spoilt_new()};
        static const struct httpd_limits limits = {.connections = CONNECTIONS_MAX,
                .idle_timeout_s = IDLE_TIMEOUT_S,
                .stall_timeout_s = STALL_TIMEOUT_S};
        r->httpd = httpd_new(serve, r, &limits);
        if (r->httpd == NULL) {
                relay_free(r);
                return NULL;
        }
        return r;
}

void relay_inherit(struct relay *r, int listener)
{
        r->inherited = listener;
}

void relay_listen(struct relay *r)
{
        struct door_events events = {.judge = judge, .enter = enter, .tick = tick, .arg = r};
        if (r->door != NULL)
                return;
        r->door = door_new(r->port, r->inherited, &events);
        r->inherited = -1;
}

void relay_free(struct relay *r)
{
        if (r == NULL)
                return;
        door_free(r->door);
        if (r->inherited >= 0)
                close(r->inherited);
        httpd_free(r->httpd);
        grants_free(r->grants);
        spoilt_free(r->parts.spoilt);
        body_room_free(r->parts.room);
        body_room_free(r->parts.room_of_others);
        pthread_mutex_destroy(&r->capture_lock);
        free(r);
}

uint16_t relay_port(const struct relay *r)
{
        return r->port;
}

unsigned relay_connections(struct relay *r)
{
        return httpd_connections(r->httpd);
}

static enum relay_state state_of(struct relay *r, bool captured)
{
        struct door *door = r->door;
        if (door == NULL)
                return RELAY_STATE_OFF;
        if (!door_is_open(door))
                return RELAY_STATE_PORT_TAKEN;
        return captured ? RELAY_STATE_CAPTURED : RELAY_STATE_SERVING;
}

enum relay_state relay_state(struct relay *r)
{
        pthread_mutex_lock(&r->capture_lock);
        bool captured = r->captured;
        pthread_mutex_unlock(&r->capture_lock);
        return state_of(r, captured);
}

bool relay_is_usable(struct relay *r, const char **why)
{
        static const char *const reasons[] = {
                [RELAY_STATE_OFF] = "the relay does not listen",
                [RELAY_STATE_PORT_TAKEN] = "the relay's port is taken",
                [RELAY_STATE_CAPTURED] = "containerd does not ask the relay",
        };
        pthread_mutex_lock(&r->capture_lock);
        bool left_alone = clock_mono_ms() < r->captured_until_ms;
        pthread_mutex_unlock(&r->capture_lock);
        enum relay_state state = state_of(r, left_alone);
        if (state != RELAY_STATE_SERVING)
                *why = reasons[state];
        return state == RELAY_STATE_SERVING;
}

struct grant *relay_issue(struct relay *r, const struct grant_spec *spec)
{
        struct grant *g = grant_issue(r->grants, spec);
        door_wake(r->door);
        return g;
}

static void tell_bytes(struct grant *g)
{
        const struct route *route = grant_spec_of(g)->route;
        for (size_t i = 0; i < route->count; i++) {
                const struct source *s = &route->sources[i];
                progress_gave(grant_spec_of(g)->progress, s->name, s->mirror != NULL,
                        grant_bytes_of(g, i));
        }
}

void relay_revoke(struct relay *r, struct grant *g)
{
        grant_revoke(r->grants, g);
        tell_bytes(g);
}

void relay_set_captured(struct relay *r, int64_t captured_ms)
{
        pthread_mutex_lock(&r->capture_lock);
        r->captured_ms = captured_ms;
        pthread_mutex_unlock(&r->capture_lock);
}

bool relay_captured(struct relay *r, const char *digest, bool kept_waiting)
{
        pthread_mutex_lock(&r->capture_lock);
        r->vain_waits += kept_waiting;
        bool waits = r->vain_waits >= RELAY_VAIN_WAITS_MAX;
        bool news = r->vain_digest[0] == '\0';
        bool another = !news && strcmp(r->vain_digest, digest) != 0;
        snprintf(r->vain_digest, sizeof(r->vain_digest), "%s", digest);
        r->captured = r->captured || another || waits;
        if (kept_waiting && waits)
                r->captured_until_ms = clock_mono_ms() + r->captured_ms;
        pthread_mutex_unlock(&r->capture_lock);
        return news;
}

void relay_forget_capture(struct relay *r)
{
        pthread_mutex_lock(&r->capture_lock);
        r->captured = false;
        r->vain_waits = 0;
        r->vain_digest[0] = '\0';
        r->captured_until_ms = 0;
        pthread_mutex_unlock(&r->capture_lock);
}

struct spoilt *relay_spoilt(struct relay *r)
{
        return r->parts.spoilt;
}

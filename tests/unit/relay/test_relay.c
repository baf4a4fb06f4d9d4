/* SPDX-License-Identifier: Apache-2.0 */
/* The whole relay over real sockets, as containerd uses it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "relay/relay.h"
#include "resolver/base64.h"
#include "tests/unit/relay/client.h"
#include "tests/unit/relay/kitchen.h"

#define BLOB     "GET blobs -\n"
#define MANIFEST "GET manifests -\n"

struct service {
        struct meal meal; /* its own grant and parts are of no use here but for the registry */
        struct relay *relay;
        struct grant *grant;
        char *authorization;
        int port;
};

static struct grant *issue(struct service *s)
{
        static const struct credentials nobody;
        struct grant_spec spec = {.name = NAME,
                .host = "ghcr.io",
                .repository = REPOSITORY,
                .reference = "ghcr.io/" REPOSITORY ":1",
                .route = meal_route(&s->meal),
                .credentials = &nobody};
        return relay_issue(s->relay, &spec);
}

static char *header_of(const struct grant *g)
{
        cleanup_free char *pair = mem_printf(GRANT_USER ":%s", grant_password(g));
        cleanup_free char *code = base64_encode(pair, strlen(pair));
        return mem_printf("Basic %s", code);
}

static void begin(struct service *s, struct kitchen *k)
{
        *s = (struct service){.port = client_free_port()};
        meal_begin(&s->meal, k, NULL);
        s->relay = relay_new(s->meal.parts.registry, (uint16_t)s->port);
        relay_listen(s->relay);
        relay_listen(s->relay);
        s->grant = issue(s);
        s->authorization = header_of(s->grant);
}

static char *end(struct service *s)
{
        relay_revoke(s->relay, s->grant);
        grant_put(s->grant);
        free(s->authorization);
        relay_free(s->relay);
        return meal_end(&s->meal);
}

static void end_silently(struct service *s)
{
        char *log = end(s);
        free(log);
}

/* authorization NULL: none; more: further header lines, each with its end. */
static void ask(
        int fd, const char *method, const char *path, const char *authorization, const char *more)
{
        cleanup_free char *text = mem_printf("%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s%s%s%s\r\n",
                method, path, authorization != NULL ? "Authorization: " : "",
                authorization != NULL ? authorization : "", authorization != NULL ? "\r\n" : "",
                more);
        client_puts(fd, text);
}

static char *path_of(const struct content *c)
{
        return mem_printf("/v2/" NAME "/%s/%s",
                c->kind == REGISTRY_MANIFEST ? "manifests" : "blobs", c->digest);
}

static void assert_header(const struct client_answer *a, const char *name, const char *wanted)
{
        cleanup_free char *value = client_header(a, name);
        if (value == NULL || strcmp(value, wanted) != 0)
                fail_msg("%s: %s instead of %s", name, value, wanted);
}

/* One request on a connection of its own, which ends with the answer. */
static void expect_refusal(struct service *s, const char *method, const char *path,
        const char *authorization, int status)
{
        cleanup_client_answer struct client_answer a = {0};
        int fd = client_connect(s->port);
        ask(fd, method, path, authorization, "");
        assert_true(client_read_head(fd, &a));
        if (a.status != status)
                fail_msg("%s %s: %d", method, path, a.status);
        assert_header(&a, "Connection", "close");
        cleanup_free char *challenge = client_header(&a, "WWW-Authenticate");
        if (status == 401)
                assert_string_equal(challenge, "Basic realm=\"cri-resolved\"");
        else
                assert_null(challenge);
        assert_true(client_ended(fd));
        close(fd);
}

static void who_has_no_grant_learns_nothing(void **state)
{
        struct service s;
        begin(&s, *state);
        struct kitchen *k = s.meal.k;
        cleanup_free char *blob = path_of(&k->small);
        static const char *const methods[] = {"GET", "HEAD", "PUT", "POST", "DELETE", "PATCH"};
        const char *paths[] = {blob, "/v2/", "/", "/v2/" NAME "/manifests/latest", "/v2/x/blobs/y"};
        const char *wrong[] = {NULL, "", "Basic", "Basic cG9kOndvcmQ=", "Bearer x"};
        for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
                for (size_t n = 0; n < sizeof(paths) / sizeof(paths[0]); n++)
                        expect_refusal(&s, methods[i], paths[n], wrong[(i + n) % 5], 401);
        struct grant *other = issue(&s);
        cleanup_free char *header = header_of(other);
        expect_refusal(&s, "GET", "/v2/", header, 404);
        relay_revoke(s.relay, other);
        grant_put(other);
        expect_refusal(&s, "GET", blob, header, 401);
        meal_expect_story(&s.meal, "", "", "");
        end_silently(&s);
}

static void a_grant_is_for_digests_of_its_repository(void **state)
{
        struct service s;
        begin(&s, *state);
        cleanup_free char *blob = path_of(&s.meal.k->small);
        static const char *const paths[] = {"/v2/", "/v2/" NAME "/manifests/latest",
                "/v2/" NAME "/tags/list", "/v2/cri-resolved/ghcr.io/team/other/blobs/"};
        for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
                expect_refusal(&s, "GET", paths[i], s.authorization, 404);
        cleanup_free char *other = mem_printf("/v2/" NAME "x/blobs/%s", s.meal.k->small.digest);
        expect_refusal(&s, "GET", other, s.authorization, 404);
        static const char *const methods[] = {"PUT", "POST", "DELETE", "PATCH", "OPTIONS"};
        for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
                expect_refusal(&s, methods[i], blob, s.authorization, 405);
        meal_expect_story(&s.meal, "", "", "");
        end_silently(&s);
}

/* One request of several on a connection. */
static void expect_content(struct service *s, int fd, const char *method, const struct content *c,
        const char *more, const char *type)
{
        cleanup_client_answer struct client_answer a = {0};
        cleanup_free char *path = path_of(c);
        cleanup_free char *length = mem_printf("%zu", c->size);
        ask(fd, method, path, s->authorization, more);
        if (!client_read_head(fd, &a))
                fail_msg("%s %s: no answer", method, path);
        assert_int_equal(a.status, 200);
        assert_header(&a, "Content-Length", length);
        assert_header(&a, "Content-Type", type);
        assert_header(&a, "Docker-Content-Digest", c->digest);
        if (strcmp(method, "HEAD") == 0)
                return;
        client_read_body(fd, &a);
        assert_int_equal(a.body.size, c->size);
        assert_memory_equal(a.body.data, c->text, c->size);
}

static void a_pull(void **state)
{
        struct service s;
        begin(&s, *state);
        struct kitchen *k = s.meal.k;
        static const char bytes[] = "application/octet-stream";
        int fd = client_connect(s.port);
        expect_content(&s, fd, "HEAD", &k->manifest, "", MANIFEST_TYPE);
        expect_content(&s, fd, "GET", &k->manifest, "", MANIFEST_TYPE);
        expect_content(&s, fd, "GET", &k->small, "", bytes);
        expect_content(&s, fd, "GET", &k->large, "Accept-Encoding: zstd,gzip,deflate\r\n", bytes);
        /* Range is ignored: every blob is hashed from its first byte. */
        expect_content(&s, fd, "GET", &k->large, "Range: bytes=500000-\r\n", bytes);
        expect_content(&s, fd, "GET", &k->small, "Range: bytes=1-2\r\n", bytes);
        expect_content(&s, fd, "HEAD", &k->large, "", bytes);
        expect_content(&s, fd, "HEAD", &k->small, "", bytes);
        close(fd);
        cleanup_free char *first = meal_story(&k->first);
        assert_string_equal(first, MANIFEST BLOB BLOB BLOB BLOB BLOB BLOB);
        assert_int_equal(grant_count(s.grant, GRANT_SPOILT), 0);
        end_silently(&s);
}

static void who_asks_no_more_is_cut(void **state)
{
        (void)state;
        struct service s;
        begin(&s, *state);
        int fd = client_connect(s.port);
        expect_content(&s, fd, "GET", &s.meal.k->small, "", "application/octet-stream");
        assert_true(client_ended(fd));
        close(fd);
        end_silently(&s);
}

static void a_change_of_source_is_not_noticed(void **state)
{
        struct service s;
        begin(&s, *state);
        struct kitchen *k = s.meal.k;
        fake_rules(&k->first, "[{\"hang_up\": true, \"after_bytes\": 300003}]");
        fake_rules(&k->second, "[{\"silence\": true, \"after_bytes\": 300000}]");
        int fd = client_connect(s.port);
        expect_content(&s, fd, "GET", &k->large, "", "application/octet-stream");
        expect_content(&s, fd, "GET", &k->small, "", "application/octet-stream");
        close(fd);
        end_silently(&s);
}

static void nobody_has_it(void **state)
{
        struct service s;
        begin(&s, *state);
        struct kitchen *k = s.meal.k;
        fake_rules(&k->first, "[{\"status\": 404}]");
        fake_rules(&k->second, "[{\"status\": 404}]");
        fake_rules(&k->home, "[{\"status\": 404}]");
        cleanup_free char *small = path_of(&k->small);
        cleanup_free char *manifest = path_of(&k->manifest);
        expect_refusal(&s, "GET", small, s.authorization, 502);
        expect_refusal(&s, "HEAD", manifest, s.authorization, 502);
        end_silently(&s);
}

static void what_is_wrong_is_cut(void **state)
{
        struct service s;
        begin(&s, *state);
        struct kitchen *k = s.meal.k;
        fake_rules(&k->first, "[{\"corrupt\": 10}]");
        cleanup_client_answer struct client_answer a = {0};
        cleanup_free char *path = path_of(&k->large);
        int fd = client_connect(s.port);
        ask(fd, "GET", path, s.authorization, "");
        assert_true(client_read_head(fd, &a));
        client_read_body(fd, &a);
        assert_true(a.cut);
        assert_true(a.body.size <= LARGE_BYTES - STREAM_WITHHELD_BYTES);
        close(fd);
        expect_refusal(&s, "GET", path, s.authorization, 502);
        assert_int_equal(grant_count(s.grant, GRANT_SPOILT), 1);
        assert_int_equal(grant_count(s.grant, GRANT_REFUSED), 0); /* its own: nobody else cleans */
        spoilt_unlock(relay_spoilt(s.relay), k->large.digest);
        end_silently(&s);
}

static void who_hangs_up_is_not_served_on(void **state)
{
        struct service s;
        begin(&s, *state);
        struct kitchen *k = s.meal.k;
        fake_rules(&k->first, "[{\"silence\": true}]");
        cleanup_free char *path = path_of(&k->small);
        int fd = client_connect(s.port);
        ask(fd, "GET", path, s.authorization, "");
        json_decref(fake_call(&k->first, "GET", "wait?state=held", "text/plain", ""));
        close(fd);
        json_decref(fake_call(&k->first, "GET", "wait?state=gone", "text/plain", ""));
        meal_expect_story(&s.meal, BLOB, "", "");
        assert_true(meal_is_up(&s.meal, 1));
        end_silently(&s);
}

/* The media type of a verified document is its author's word all the same. */
static void a_media_type_is_no_header(void **state)
{
        struct service s;
        begin(&s, *state);
        struct kitchen *k = s.meal.k;
        static const char text[] = "{\"mediaType\":\"a\\r\\nX-Evil: b\"}";
        struct content odd = content_make(REGISTRY_MANIFEST, text, strlen(text));
        kitchen_put(&k->first, &odd);
        cleanup_client_answer struct client_answer a = {0};
        cleanup_free char *path = path_of(&odd);
        int fd = client_connect(s.port);
        ask(fd, "GET", path, s.authorization, "");
        assert_true(client_read_head(fd, &a));
        assert_int_equal(a.status, 200);
        assert_null(client_header(&a, "X-Evil"));
        client_read_body(fd, &a);
        assert_string_equal(buf_str(&a.body), odd.text);
        close(fd);
        free(odd.text);
        end_silently(&s);
}

static void a_media_type_of_a_megabyte(void **state)
{
        struct service s;
        begin(&s, *state);
        struct kitchen *k = s.meal.k;
        cleanup_free char *word = mem_zalloc(1000001);
        memset(word, 'a', 1000000);
        cleanup_free char *text = mem_printf("{\"mediaType\":\"%s\"}", word);
        struct content odd = content_make(REGISTRY_MANIFEST, text, strlen(text));
        kitchen_put(&k->first, &odd);
        cleanup_client_answer struct client_answer a = {0};
        cleanup_free char *path = path_of(&odd);
        int fd = client_connect(s.port);
        ask(fd, "GET", path, s.authorization, "");
        client_read_head(fd, &a); /* whatever becomes of it, others are served */
        close(fd);
        fd = client_connect(s.port);
        expect_content(&s, fd, "GET", &k->small, "", "application/octet-stream");
        close(fd);
        free(odd.text);
        end_silently(&s);
}

static void assert_usable(struct relay *r, const char *wanted)
{
        const char *why = NULL;
        bool usable = relay_is_usable(r, &why);
        assert_int_equal(usable, wanted == NULL);
        if (wanted != NULL)
                assert_string_equal(why, wanted);
}

static void when_it_can_be_used(void **state)
{
        (void)state;
        int port;
        int taken = client_bound(&port);
        assert_int_equal(listen(taken, 1), 0);
        struct capture log;
        capture_begin(&log);
        struct registry *registry = registry_new();
        struct relay *r = relay_new(registry, (uint16_t)port);
        assert_int_equal(relay_port(r), port);
        assert_usable(r, "the relay does not listen"); /* whoever has the port */
        assert_int_equal(relay_state(r), RELAY_STATE_OFF);
        relay_listen(r);
        assert_usable(r, "the relay's port is taken");
        assert_int_equal(relay_state(r), RELAY_STATE_PORT_TAKEN);
        close(taken);
        cleanup_free char *line = capture_wait(&log, "the relay serves");
        const char *why;
        while (!relay_is_usable(r, &why))
                sched_yield();
        assert_int_equal(relay_state(r), RELAY_STATE_SERVING);
        relay_free(r);
        relay_free(NULL);
        registry_free(registry);
        cleanup_free char *text = capture_end(&log);
        assert_non_null(line);
}

#define ONE   "sha256:01"
#define OTHER "sha256:02"

static void who_is_kept_waiting_twice_leaves_it_alone(void **state)
{
        struct service s;
        begin(&s, *state);
        assert_true(relay_captured(s.relay, ONE, true));
        assert_usable(s.relay, NULL);
        assert_int_equal(relay_state(s.relay), RELAY_STATE_SERVING);
        assert_false(relay_captured(s.relay, ONE, true)); /* no news */
        assert_usable(s.relay, "containerd does not ask the relay");
        assert_int_equal(relay_state(s.relay), RELAY_STATE_CAPTURED);
        relay_forget_capture(s.relay);
        assert_usable(s.relay, NULL);
        assert_int_equal(relay_state(s.relay), RELAY_STATE_SERVING);
        assert_true(relay_captured(s.relay, ONE, true));
        assert_usable(s.relay, NULL);
        end_silently(&s);
}

/* The pause is over at once; the finding is not. */
static void captured_for_longer_than_it_is_left_alone(void **state)
{
        struct service s;
        begin(&s, *state);
        relay_set_captured(s.relay, 0);
        relay_captured(s.relay, ONE, true);
        relay_captured(s.relay, OTHER, true);
        assert_usable(s.relay, NULL);
        assert_int_equal(relay_state(s.relay), RELAY_STATE_CAPTURED);
        relay_forget_capture(s.relay);
        assert_int_equal(relay_state(s.relay), RELAY_STATE_SERVING);
        end_silently(&s);
}

static void refusals_prove_something_together(void **state)
{
        struct service s;
        begin(&s, *state);
        assert_true(relay_captured(s.relay, ONE, false));
        for (int i = 0; i < 5; i++) /* one pod, again and again */
                assert_false(relay_captured(s.relay, ONE, false));
        assert_int_equal(relay_state(s.relay), RELAY_STATE_SERVING);
        relay_forget_capture(s.relay);
        assert_true(relay_captured(s.relay, OTHER, false)); /* the first one again */
        assert_int_equal(relay_state(s.relay), RELAY_STATE_SERVING);
        assert_false(relay_captured(s.relay, ONE, false));
        assert_int_equal(relay_state(s.relay), RELAY_STATE_CAPTURED);
        assert_usable(s.relay, NULL); /* a refusal costs nothing: all the same each pull tries */
        assert_false(relay_captured(s.relay, ONE, false));
        assert_int_equal(relay_state(s.relay), RELAY_STATE_CAPTURED);
        relay_forget_capture(s.relay);
        assert_int_equal(relay_state(s.relay), RELAY_STATE_SERVING);
        end_silently(&s);
}

/* A refusal and a wait are two of a kind where they are about different contents. */
static void a_refusal_and_a_wait(void **state)
{
        struct service s;
        begin(&s, *state);
        relay_captured(s.relay, ONE, false);
        relay_captured(s.relay, ONE, true);
        assert_int_equal(relay_state(s.relay), RELAY_STATE_SERVING);
        relay_captured(s.relay, OTHER, false);
        assert_int_equal(relay_state(s.relay), RELAY_STATE_CAPTURED);
        assert_usable(s.relay, NULL); /* one wait */
        end_silently(&s);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(who_has_no_grant_learns_nothing),
                cmocka_unit_test(a_grant_is_for_digests_of_its_repository),
                cmocka_unit_test(a_pull),
                cmocka_unit_test(who_asks_no_more_is_cut),
                cmocka_unit_test(a_change_of_source_is_not_noticed),
                cmocka_unit_test(nobody_has_it),
                cmocka_unit_test(what_is_wrong_is_cut),
                cmocka_unit_test(who_hangs_up_is_not_served_on),
                cmocka_unit_test(a_media_type_is_no_header),
                cmocka_unit_test(a_media_type_of_a_megabyte),
                cmocka_unit_test(when_it_can_be_used),
                cmocka_unit_test(who_is_kept_waiting_twice_leaves_it_alone),
                cmocka_unit_test(captured_for_longer_than_it_is_left_alone),
                cmocka_unit_test(refusals_prove_something_together),
                cmocka_unit_test(a_refusal_and_a_wait),
        };
        return cmocka_run_group_tests(tests, kitchen_open, kitchen_close);
}

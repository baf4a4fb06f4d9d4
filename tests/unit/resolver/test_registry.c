/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "tests/unit/resolver/scene.h"

#define HEAD    "HEAD /v2/team/app/manifests/v1 -\n"
#define GET     "GET /v2/team/app/manifests/v1 -\n"
#define MANY(n) "$HOME redirects more than " n " times"
#define REFUSED "unexpected status from HEAD request to $HOME/v2/team/app/manifests/v1: "
#define ZEROS   "sha256:0000000000000000000000000000000000000000000000000000000000000000"
#define TEN     "0123456789"
#define SHA512  "sha512:" TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "01234567"

static const struct scene answers[] = {
        {.title = "a tag", .story = HEAD},
        {.title = "a digest",
                .reference = "$DIGEST",
                .story = "HEAD /v2/team/app/manifests/$DIGEST -\n"},
        {.title = "no such tag",
                .reference = "v2",
                .code = ERR_NOT_FOUND,
                .message = "$HOST/team/app:v2: not found",
                .story = "HEAD /v2/team/app/manifests/v2 -\n"},
        {.title = "no such digest",
                .reference = ZEROS,
                .code = ERR_NOT_FOUND,
                .message = "$HOST/team/app@" ZEROS ": not found",
                .story = "HEAD /v2/team/app/manifests/" ZEROS " -\n"},
        {.title = "no digest header",
                .rules = "[{\"drop_headers\": [\"Docker-Content-Digest\"]}]",
                .story = HEAD GET},
        {.title = "a digest header that is none",
                .rules = "[{\"set_headers\": {\"Docker-Content-Digest\": \"sha256:abc\"}}]",
                .story = HEAD GET},
        {.title = "HEAD is not allowed", .rules = "[{\"refuse_head\": 405}]", .story = HEAD GET},
        {.title = "HEAD is not implemented",
                .rules = "[{\"refuse_head\": 501}]",
                .story = HEAD GET},
        {.title = "no HEAD and no digest header",
                .rules = "[{\"refuse_head\": 405},"
                         "{\"method\": \"GET\", \"drop_headers\": [\"Docker-Content-Digest\"]}]",
                .story = HEAD GET},
        {.title = "GET says another digest than it sends",
                .rules = "[{\"refuse_head\": 405},{\"set_headers\": {\"Docker-Content-Digest\": "
                         "\"" ZEROS "\"}}]",
                .code = ERR_PROTOCOL,
                .message = "$HOME says that the digest is " ZEROS ", but what it sends has $DIGEST",
                .story = HEAD GET},
        {.title = "a digest is answered with another",
                .reference = "$DIGEST",
                .rules = "[{\"set_headers\": {\"Docker-Content-Digest\": \"" ZEROS "\"}}]",
                .code = ERR_PROTOCOL,
                .message = "$HOME was asked for $DIGEST and answers with " ZEROS,
                .story = "HEAD /v2/team/app/manifests/$DIGEST -\n"},
        {.title = "a digest is answered with other bytes",
                .reference = "$DIGEST",
                .rules = "[{\"drop_headers\": [\"Docker-Content-Digest\"], \"corrupt\": 3}]",
                .code = ERR_PROTOCOL,
                .message =
                        "$HOME was asked for $DIGEST and answers with "
                        "sha256:08e609179c12cf1e955e8635a98bbcdbd11ec6db832e3729bc2e033b0922d05e",
                .story = "HEAD /v2/team/app/manifests/$DIGEST -\n"
                         "GET /v2/team/app/manifests/$DIGEST -\n"},
        {.title = "the digest is named by another algorithm",
                .reference = "$DIGEST",
                .rules = "[{\"set_headers\": {\"Docker-Content-Digest\": \"" SHA512 "\"}}]",
                .story = "HEAD /v2/team/app/manifests/$DIGEST -\n"},
        {.title = "a schema 1 manifest without digest",
                .rules = "[{\"drop_headers\": [\"Docker-Content-Digest\"], \"set_headers\": "
                         "{\"Content-Type\": "
                         "\"application/vnd.docker.distribution.manifest.v1+prettyjws\"}}]",
                .code = ERR_PROTOCOL,
                .message = "$HOME answers with a schema 1 manifest and no digest",
                .story = HEAD GET},
        {.title = "a manifest of 20 MB",
                .rules = "[{\"refuse_head\": 405},{\"body\": \"0123456789\", \"body_repeat\": "
                         "2000000}]",
                .code = ERR_TOO_LARGE,
                .message = "$HOME answers with more than 4194304 bytes",
                .story = HEAD GET},
        {.title = "1 MB of headers",
                .rules = "[{\"header_bomb\": 1000000}]",
                .code = ERR_PROTOCOL,
                .message = "$HOME answers with more than 64 KiB of headers",
                .story = HEAD},
};

static const struct scene refusals[] = {
        {.title = "403",
                .rules = "[{\"status\": 403}]",
                .code = ERR_UNAUTHORIZED,
                .message = REFUSED "403 Forbidden",
                .story = HEAD},
        {.title = "401 without challenge",
                .rules = "[{\"status\": 401}]",
                .code = ERR_UNAUTHORIZED,
                .message = REFUSED "401 Unauthorized",
                .story = HEAD},
        {.title = "401 with a challenge that nobody can answer",
                .rules = "[{\"status\": 401, \"headers\": {\"WWW-Authenticate\": \"Negotiate\"}}]",
                .code = ERR_UNAUTHORIZED,
                .message = REFUSED "401 Unauthorized",
                .story = HEAD},
        {.title = "401 with a broken challenge",
                .rules = "[{\"status\": 401, \"headers\": {\"WWW-Authenticate\": \"Bearer x\"}}]",
                .code = ERR_PROTOCOL,
                .message = "$HOME: WWW-Authenticate: a Bearer challenge without realm",
                .story = HEAD},
        {.title = "400",
                .rules = "[{\"status\": 400}]",
                .code = ERR_PROTOCOL,
                .message = REFUSED "400 Bad Request",
                .story = HEAD},
        {.title = "418",
                .rules = "[{\"status\": 418}]",
                .code = ERR_PROTOCOL,
                .message = REFUSED "418",
                .story = HEAD},
        {.title = "304",
                .rules = "[{\"status\": 304}]",
                .code = ERR_PROTOCOL,
                .message = REFUSED "304",
                .story = HEAD},
        {.title = "500 once", .rules = "[{\"status\": 500, \"times\": 1}]", .story = HEAD HEAD},
        {.title = "408 once", .rules = "[{\"status\": 408, \"times\": 1}]", .story = HEAD HEAD},
        {.title = "503 for ever",
                .rules = "[{\"status\": 503}]",
                .code = ERR_UPSTREAM,
                .message = REFUSED "503 Service Unavailable",
                .story = HEAD HEAD},
        {.title = "HEAD is refused and GET too",
                .rules = "[{\"refuse_head\": 405},{\"status\": 403}]",
                .code = ERR_UNAUTHORIZED,
                .message = "unexpected status from GET request to "
                           "$HOME/v2/team/app/manifests/v1: 403 Forbidden",
                .story = HEAD GET},
        {.title = "429, and at once again",
                .rules = "[{\"status\": 429, \"headers\": {\"Retry-After\": \"0\"}, \"times\": 3}]",
                .story = HEAD HEAD HEAD HEAD},
        {.title = "429 until a moment that has passed",
                .rules = "[{\"status\": 429, \"times\": 1, \"headers\": {\"Retry-After\": "
                         "\"Sun, 06 Nov 1994 08:49:37 GMT\"}}]",
                .story = HEAD HEAD},
        {.title = "429 for longer than there is time",
                .rules = "[{\"status\": 429, \"headers\": {\"Retry-After\": \"120\"}}]",
                .code = ERR_RATE_LIMITED,
                .message = REFUSED "429 Too Many Requests: it asks to wait 120 s",
                .story = HEAD},
        {.title = "429 for ever, without a word",
                .rules = "[{\"status\": 429}]",
                .code = ERR_RATE_LIMITED,
                .budget_ms = 500,
                .message = REFUSED "429 Too Many Requests",
                .story = HEAD},
        {.title = "429 at once and for ever",
                .rules = "[{\"status\": 429, \"headers\": {\"Retry-After\": \"0\"}}]",
                .code = ERR_PROTOCOL,
                .message = "$HOME comes to no answer in 24 requests",
                .story = HEAD HEAD HEAD HEAD HEAD HEAD HEAD HEAD HEAD HEAD HEAD HEAD HEAD HEAD HEAD
                        HEAD HEAD HEAD HEAD HEAD HEAD HEAD HEAD HEAD},
        {.title = "hangs up once",
                .rules = "[{\"hang_up\": true, \"times\": 1}]",
                .story = HEAD HEAD},
        {.title = "hangs up always",
                .rules = "[{\"hang_up\": true}]",
                .code = ERR_UNREACHABLE,
                .message = "the connection to $HOME broke: Empty reply from server",
                .story = HEAD HEAD},
        {.title = "hangs up in the middle of the body",
                .rules = "[{\"refuse_head\": 405},{\"hang_up\": true, \"after_bytes\": 5}]",
                .code = ERR_UNREACHABLE,
                .message = "the connection to $HOME broke: transfer closed with 14 bytes remaining "
                           "to read",
                .story = HEAD GET GET},
        {.title = "never answers",
                .rules = "[{\"silence\": true}]",
                .timeout_ms = 300,
                .code = ERR_TIMEOUT,
                .message = "no answer from $HOME within 300 ms",
                .story = HEAD HEAD},
        {.title = "never goes on with the body",
                .rules = "[{\"refuse_head\": 405},{\"silence\": true, \"after_bytes\": 5}]",
                .timeout_ms = 300,
                .code = ERR_TIMEOUT,
                .message = "no answer from $HOME within 300 ms",
                .story = HEAD GET GET},
};

#define THERE       "HEAD /there/v2/team/app/manifests/v1 -\n"
#define TO_THERE(n) "{\"redirect\": \"/there{path}\", \"status\": " n ", \"path\": \"^/v2\"}"
#define AT_THERE                                                                                   \
        "{\"path\": \"^/there\", \"status\": 200, \"headers\": "                                   \
        "{\"Docker-Content-Digest\": \"$DIGEST\"}}"

static const struct scene redirects[] = {
        {.title = "301", .rules = "[" TO_THERE("301") "," AT_THERE "]", .story = HEAD THERE},
        {.title = "302", .rules = "[" TO_THERE("302") "," AT_THERE "]", .story = HEAD THERE},
        {.title = "303", .rules = "[" TO_THERE("303") "," AT_THERE "]", .story = HEAD THERE},
        {.title = "307", .rules = "[" TO_THERE("307") "," AT_THERE "]", .story = HEAD THERE},
        {.title = "308", .rules = "[" TO_THERE("308") "," AT_THERE "]", .story = HEAD THERE},
        {.title = "to another server",
                .rules = "[{\"redirect\": \"$OTHER{path}\"}]",
                .story = HEAD,
                .other_story = HEAD},
        {.title = "in circles",
                .rules = "[{\"redirect\": \"{path}\"}]",
                .code = ERR_PROTOCOL,
                .message = MANY("5"),
                .story = HEAD HEAD HEAD HEAD HEAD HEAD},
        {.title = "to nowhere",
                .rules = "[{\"status\": 307}]",
                .code = ERR_PROTOCOL,
                .message = "$HOME answers with a redirect that leads nowhere",
                .story = HEAD},
        {.title = "to a file",
                .rules = "[{\"redirect\": \"file:///etc/passwd\"}]",
                .code = ERR_PROTOCOL,
                .message = "$HOME: the redirect does not lead to a http or https URL",
                .story = HEAD},
        {.title = "the signature of a URL stays secret",
                .rules = "[{\"redirect\": \"$OTHER/blob?signature=secret\"}]",
                .other_rules = "[{\"status\": 403}]",
                .code = ERR_UNAUTHORIZED,
                .message = "unexpected status from HEAD request to $OTHER/blob: 403 Forbidden",
                .story = HEAD,
                .other_story = "HEAD /blob?signature=secret -\n"},
        {.title = "credentials in a redirect's URL are not shown",
                .rules = "[{\"redirect\": \"http://user:word@$FOREIGN{path}\"}]",
                .story = HEAD,
                .other_story = HEAD},
};

#define PLAY(scenes)                                                                               \
        for (size_t i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++)                            \
        stage_play(&stage, &scenes[i])

static void play_answers(void **state)
{
        (void)state;
        PLAY(answers);
}

static void play_refusals(void **state)
{
        (void)state;
        PLAY(refusals);
}

static void play_redirects(void **state)
{
        (void)state;
        PLAY(redirects);
}

static void exact_headers(void **state)
{
        (void)state;
        static const struct scene scene = {.title = "the head of a request"};
        stage.registry = registry_new();
        stage_set(&stage, &stage.home, "[{\"redirect\": \"$OTHER{path}\"}]", NULL);
        stage_set(&stage, &stage.other, NULL, NULL);
        struct registry_answer a;
        struct err e;
        assert_int_equal(stage_ask(&stage, &scene, "v1", NULL, &a, &e), 0);
        json_t *home = fake_log(&stage.home);
        json_t *other = fake_log(&stage.other);
        cleanup_free char *is =
                json_dumps(json_object_get(json_array_get(home, 0), "headers"), JSON_COMPACT);
        cleanup_free char *elsewhere =
                json_dumps(json_object_get(json_array_get(other, 0), "headers"), JSON_COMPACT);
#define COMMON                                                                                     \
        "[\"User-Agent\",\"cri-resolved/" CRI_RESOLVED_VERSION "\"],"                              \
        "[\"Accept-Encoding\",\"identity\"],"                                                      \
        "[\"Accept\",\"application/vnd.docker.distribution.manifest.v2+json, "                     \
        "application/vnd.docker.distribution.manifest.list.v2+json, "                              \
        "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, "    \
        "*/*\"]"
        stage_compare(&stage, "upstream", is,
                "[[\"Host\",\"$HOST\"]," COMMON ",[\"X-Extra\",\"for-upstream\"]]");
        stage_compare(&stage, "elsewhere", elsewhere, "[[\"Host\",\"$FOREIGN\"]," COMMON "]");
        json_decref(home);
        json_decref(other);
        registry_free(stage.registry);
}

struct waiting {
        pthread_t thread;
        struct cancel cancel;
        const struct scene *scene;
        int result;
        struct err err;
};

static void *wait_for_answer(void *arg)
{
        struct waiting *w = arg;
        struct registry_answer a;
        w->result = stage_ask(&stage, w->scene, "v1", &w->cancel, &a, &w->err);
        return NULL;
}

static void cancelled_when_it(const char *rules, const char *wait_path, const char *message)
{
        static const struct scene scene = {.timeout_ms = 600000, .budget_ms = 600000};
        struct waiting w = {.scene = &scene};
        stage.registry = registry_new();
        stage_set(&stage, &stage.home, rules, NULL);
        cancel_init(&w.cancel);
        pthread_create(&w.thread, NULL, wait_for_answer, &w);
        json_decref(fake_call(&stage.home, "GET", wait_path, "text/plain", ""));
        cancel_fire(&w.cancel);
        pthread_join(w.thread, NULL);
        assert_int_equal(w.result, -1);
        assert_int_equal(w.err.code, ERR_CANCELLED);
        cleanup_free char *wanted = stage_text(&stage, message);
        if (strncmp(w.err.msg, wanted, strlen(wanted)) != 0)
                fail_msg("%s instead of %s", w.err.msg, wanted);
        cancel_fini(&w.cancel);
        registry_free(stage.registry);
}

static void cancel_wakes_a_request(void **state)
{
        (void)state;
        cancelled_when_it("[{\"silence\": true}]", "wait?state=held&path=/manifests/v1",
                "cancelled while $HOME was asked");
}

/* The answer may still be on its way when the registry has put it down: "was asked" is as good as
 * "waiting to ask". */
static void cancel_wakes_a_pause(void **state)
{
        (void)state;
        cancelled_when_it("[{\"status\": 429, \"headers\": {\"Retry-After\": \"300\"}}]",
                "wait?state=answered&path=/manifests/v1", "cancelled while ");
}

static void cancelled_before_it_begins(void **state)
{
        (void)state;
        static const struct scene scene = {0};
        stage.registry = registry_new();
        fake_reset(&stage.home);
        struct cancel cancel;
        cancel_init(&cancel);
        cancel_fire(&cancel);
        struct registry_answer a;
        struct err e;
        assert_int_equal(stage_ask(&stage, &scene, "v1", &cancel, &a, &e), -1);
        assert_int_equal(e.code, ERR_CANCELLED);
        cleanup_free char *story = fake_story(&stage.home);
        assert_string_equal(story, "");
        cancel_fini(&cancel);
        registry_free(stage.registry);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(play_answers),
                cmocka_unit_test(play_refusals),
                cmocka_unit_test(play_redirects),
                cmocka_unit_test(exact_headers),
                cmocka_unit_test(cancel_wakes_a_request),
                cmocka_unit_test(cancel_wakes_a_pause),
                cmocka_unit_test(cancelled_before_it_begins),
        };
        return cmocka_run_group_tests(tests, stage_open, stage_close);
}

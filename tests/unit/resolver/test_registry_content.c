/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "tests/unit/resolver/raw.h"
#include "tests/unit/resolver/scene.h"

#define PATH          "/v2/team/app/blobs/$BLOB"
#define GET           "GET " PATH
#define NOBODY        GET " -\n"
#define TOKEN         GET " Bearer *\n"
#define FETCH         "GET /token?service=fake&scope=repository%3Ateam%2Fapp%3Apull"
#define DENIED        "pull access denied, repository does not exist or may require authorization: "
#define STATUS        "unexpected status from GET request to $HOME" PATH ": "
#define NO_TOKEN      "failed to authorize: failed to fetch anonymous token: "
#define TO_OTHER      "[{\"path\": \"/blobs/\", \"redirect\": \"$OTHER{path}\"}]"
#define RANGE(is)     "[{\"status\": 206, \"body\": \"56789abcdef\", \"headers\": {" is "}}]"
#define BAD_RANGE(is) "$HOME was asked for $BLOB from byte 5 on and answers with the range " is

/* anna:word; mirror:own */
#define ANNA   "Basic YW5uYTp3b3Jk"
#define MIRROR "Basic bWlycm9yOm93bg=="
#define USERS  "\"users\": {\"anna\": \"word\", \"mirror\": \"own\"}"
#define BASIC  "{\".*\": {\"scheme\": \"basic\", " USERS "}}"
#define BEARER "{\".*\": {\"scheme\": \"bearer\", " USERS ", \"anonymous\": true}}"

/* One fetch of team/app's BLOB (or manifest) from $HOME: how the two servers behave, what comes. */
struct fetch {
        const char *title;
        const char *rules, *auth, *other_rules, *other_auth;
        bool manifest, patient, forgets; /* forgets: no token is used twice */
        bool is_mirror;                  /* credentials of its own */
        struct credentials credentials;
        const char *host;
        int64_t offset, timeout_ms; /* 0: 5 s */
        enum err_code code;
        const char *message;
        int64_t retry_after_ms; /* 0: none said */
        const char *body;       /* NULL: all of it */
        const char *story, *other_story;
};

static int open_fetch(const struct fetch *f, const char *host, struct registry_body *body,
        int64_t *retry_after_ms, struct err *e)
{
        cleanup_free char *origin = stage_text(&stage, "$HOME");
        cleanup_free char *base = mem_printf("%s/v2", origin);
        struct config_header extra[] = {
                {.name = (char *)"X-Extra", .value = (char *)"for-upstream"}};
        struct upstream from = {.host = (char *)host,
                .base_url = base,
                .origin = origin,
                .username = f->is_mirror ? (char *)"mirror" : NULL,
                .password = f->is_mirror ? (char *)"own" : NULL,
                .headers = extra,
                .header_count = 1};
        struct registry_fetch q = {.from = &from,
                .credentials = f->is_mirror ? NULL : &f->credentials,
                .repository = "team/app",
                .digest = f->manifest ? stage.digest : stage.blob,
                .kind = f->manifest ? REGISTRY_MANIFEST : REGISTRY_BLOB,
                .host = f->host,
                .offset = f->offset,
                .connect_timeout_ms = 5000,
                .timeout_ms = f->timeout_ms > 0 ? f->timeout_ms : 5000,
                .token_reuse_ms = f->forgets ? 0 : 60000,
                .patient = f->patient,
                .watch_fd = -1};
        return registry_open(stage.registry, &q, body, retry_after_ms, e);
}

static void expect_body(const struct fetch *f, struct registry_body *b)
{
        char buffer[HTTP_PIECE_MIN];
        cleanup_buf struct buf all;
        buf_init(&all, 1 << 20);
        int64_t waited_ms = 0;
        struct err e;
        for (size_t got = 1; got > 0;) {
                if (http_stream_read(
                            b->stream, buffer, sizeof(buffer), 5000, &got, &waited_ms, &e) < 0)
                        fail_msg("%s: %s", f->title, e.msg);
                buf_append(&all, buffer, got);
        }
        const char *whole = f->manifest ? MANIFEST : BLOB;
        assert_string_equal(buf_str(&all), f->body != NULL ? f->body : whole);
        assert_int_equal(b->total_bytes, strlen(whole));
        assert_int_equal(b->offset, b->total_bytes - (int64_t)all.size);
        assert_string_equal(b->content_type != NULL ? b->content_type : "(none)",
                f->manifest      ? "application/vnd.oci.image.manifest.v1+json"
                : f->offset == 5 ? "(none)"
                                 : "application/octet-stream");
}

static void play(const struct fetch *f)
{
        stage.registry = registry_new();
        stage_set(&stage, &stage.home, f->rules, f->auth);
        stage_set(&stage, &stage.other, f->other_rules, f->other_auth);
        cleanup_registry_body struct registry_body body = {0};
        cleanup_free char *host = stage_text(&stage, "$HOST");
        int64_t retry_after_ms = 0;
        struct err e = {0};
        int result = open_fetch(f, host, &body, &retry_after_ms, &e);
        enum err_code code = result == 0 ? ERR_NONE : e.code;
        if (code != f->code)
                fail_msg("%s: %s: %s", f->title, err_label(code), e.msg);
        if (result == 0)
                expect_body(f, &body);
        else
                assert_null(body.stream);
        if (f->message != NULL)
                stage_compare(&stage, f->title, e.msg, f->message);
        if (retry_after_ms != (f->retry_after_ms > 0 ? f->retry_after_ms : -1))
                fail_msg("%s: after %lld ms", f->title, (long long)retry_after_ms);
        cleanup_free char *story = fake_story(&stage.home);
        stage_compare(&stage, f->title, story, f->story);
        cleanup_free char *other = fake_story(&stage.other);
        stage_compare(&stage, f->title, other, f->other_story != NULL ? f->other_story : "");
        registry_body_fini(&body);
        registry_free(stage.registry);
}

static const struct fetch answers[] = {
        {.title = "a blob", .story = NOBODY},
        {.title = "a manifest",
                .manifest = true,
                .story = "GET /v2/team/app/manifests/$DIGEST -\n"},
        {.title = "the reference's host is told to a mirror",
                .host = "registry.example:5000",
                .story = GET "?ns=registry.example%3A5000 -\n"},
        {.title = "a manifest with the host",
                .manifest = true,
                .host = "ghcr.io",
                .story = "GET /v2/team/app/manifests/$DIGEST?ns=ghcr.io -\n"},
        {.title = "it is not there",
                .rules = "[{\"status\": 404}]",
                .code = ERR_NOT_FOUND,
                .message = "$HOST/team/app@$BLOB: not found",
                .story = NOBODY},
        {.title = "it says no length",
                .rules = "[{\"drop_headers\": [\"Content-Length\"]}]",
                .code = ERR_PROTOCOL,
                .message = "$HOME sends $BLOB and says no length",
                .story = NOBODY},
        {.title = "a success that is none",
                .rules = "[{\"status\": 202, \"body\": \"later\"}]",
                .code = ERR_PROTOCOL,
                .message = STATUS "202",
                .story = NOBODY},
        {.title = "forbidden",
                .rules = "[{\"status\": 403}]",
                .code = ERR_UNAUTHORIZED,
                .message = STATUS "403 Forbidden",
                .story = NOBODY},
        {.title = "no answer in time",
                .rules = "[{\"silence\": true}]",
                .timeout_ms = 200,
                .code = ERR_TIMEOUT,
                .story = NOBODY},
};

static const struct fetch ranges[] = {
        {.title = "from the middle", .offset = 10, .body = "abcdef", .story = NOBODY},
        {.title = "the last byte", .offset = 15, .body = "f", .story = NOBODY},
        {.title = "the range is ignored",
                .offset = 10,
                .rules = "[{\"status\": 200, \"body\": \"" BLOB "\", \"headers\": "
                         "{\"Content-Type\": \"application/octet-stream\"}}]",
                .story = NOBODY},
        {.title = "behind the end",
                .offset = 16,
                .code = ERR_PROTOCOL,
                .message = STATUS "416",
                .story = NOBODY},
        {.title = "a good range",
                .offset = 5,
                .rules = RANGE("\"Content-Range\": \"bytes 5-15/16\""),
                .body = "56789abcdef",
                .story = NOBODY},
        {.title = "a range without a range",
                .offset = 5,
                .rules = RANGE(""),
                .code = ERR_PROTOCOL,
                .message = BAD_RANGE("(none)"),
                .story = NOBODY},
        {.title = "another range",
                .offset = 5,
                .rules = RANGE("\"Content-Range\": \"bytes 4-14/16\""),
                .code = ERR_PROTOCOL,
                .message = BAD_RANGE("bytes 4-14/16"),
                .story = NOBODY},
        {.title = "a range that ends early",
                .offset = 5,
                .rules = RANGE("\"Content-Range\": \"bytes 5-14/16\""),
                .code = ERR_PROTOCOL,
                .message = BAD_RANGE("bytes 5-14/16"),
                .story = NOBODY},
        {.title = "a range of nobody knows how much",
                .offset = 5,
                .rules = RANGE("\"Content-Range\": \"bytes 5-15/*\""),
                .code = ERR_PROTOCOL,
                .message = BAD_RANGE("bytes 5-15/*"),
                .story = NOBODY},
        {.title = "a range that is none",
                .offset = 5,
                .rules = RANGE("\"Content-Range\": \"bytes 16/5-15\""),
                .code = ERR_PROTOCOL,
                .message = BAD_RANGE("bytes 16/5-15"),
                .story = NOBODY},
        {.title = "a range of another length",
                .offset = 5,
                .rules = RANGE("\"Content-Range\": \"bytes 5-16/17\""),
                .code = ERR_PROTOCOL,
                .message = "$HOME sends the range bytes 5-16/17 of $BLOB, but not with this length",
                .story = NOBODY},
        {.title = "a part that nobody asked for",
                .rules = RANGE("\"Content-Range\": \"bytes 5-15/16\""),
                .code = ERR_PROTOCOL,
                .message = "$HOME was asked for $BLOB from byte 0 on and answers with the range "
                           "bytes 5-15/16",
                .story = NOBODY},
};

static const struct fetch patience[] = {
        {.title = "an upstream gets a second chance",
                .patient = true,
                .rules = "[{\"times\": 1, \"status\": 502}]",
                .story = NOBODY NOBODY},
        {.title = "but no third",
                .patient = true,
                .rules = "[{\"times\": 2, \"status\": 502}]",
                .code = ERR_UPSTREAM,
                .message = STATUS "502 Bad Gateway",
                .story = NOBODY NOBODY},
        {.title = "a mirror does not",
                .rules = "[{\"times\": 1, \"status\": 502}]",
                .code = ERR_UPSTREAM,
                .message = STATUS "502 Bad Gateway",
                .story = NOBODY},
        {.title = "nor when it hangs up",
                .rules = "[{\"times\": 1, \"hang_up\": true}]",
                .code = ERR_UNREACHABLE,
                .message = "the connection to $HOME broke: Empty reply from server",
                .story = NOBODY},
        {.title = "an upstream that asks to wait is waited for",
                .patient = true,
                .rules = "[{\"times\": 1, \"status\": 429, \"headers\": {\"Retry-After\": \"0\"}}]",
                .story = NOBODY NOBODY},
        {.title = "within the time that there is",
                .patient = true,
                .rules = "[{\"status\": 429, \"headers\": {\"Retry-After\": \"30\"}}]",
                .code = ERR_RATE_LIMITED,
                .message = STATUS "429 Too Many Requests: it asks to wait 30 s",
                .retry_after_ms = 30000,
                .story = NOBODY},
        {.title = "a mirror that asks to wait is left at once",
                .rules = "[{\"status\": 429, \"headers\": {\"Retry-After\": \"1\"}}]",
                .code = ERR_RATE_LIMITED,
                .message = STATUS "429 Too Many Requests",
                .retry_after_ms = 1000,
                .story = NOBODY},
        {.title = "it may say so with a 503",
                .rules = "[{\"status\": 503, \"headers\": {\"Retry-After\": \"7\"}}]",
                .code = ERR_UPSTREAM,
                .message = STATUS "503 Service Unavailable",
                .retry_after_ms = 7000,
                .story = NOBODY},
        {.title = "or ask for nothing",
                .rules = "[{\"status\": 429}]",
                .code = ERR_RATE_LIMITED,
                .story = NOBODY},
        {.title = "what a 500 asks for is not passed on",
                .rules = "[{\"status\": 500, \"headers\": {\"Retry-After\": \"7\"}}]",
                .code = ERR_UPSTREAM,
                .story = NOBODY},
        {.title = "a token server that asks to wait",
                .auth = BEARER,
                .rules = "[{\"path\": \"^/token\", \"status\": 429, \"headers\": "
                         "{\"Retry-After\": \"9\"}}]",
                .code = ERR_RATE_LIMITED,
                .message = NO_TOKEN "unexpected status from GET request to $HOME/token: 429 Too "
                                    "Many Requests",
                .retry_after_ms = 9000,
                .story = NOBODY FETCH " -\n"},
};

static const struct fetch logins[] = {
        {.title = "basic, with the request's credentials",
                .auth = BASIC,
                .credentials = {.username = "anna", .password = "word"},
                .story = NOBODY GET " " ANNA "\n"},
        {.title = "basic, with a mirror's own",
                .auth = BASIC,
                .is_mirror = true,
                .credentials = {.username = "anna", .password = "word"},
                .story = NOBODY GET " " MIRROR "\n"},
        {.title = "bearer, with the request's credentials",
                .auth = BEARER,
                .credentials = {.username = "anna", .password = "word"},
                .story = NOBODY FETCH " " ANNA "\n" TOKEN},
        {.title = "bearer, with a mirror's own",
                .auth = BEARER,
                .is_mirror = true,
                .credentials = {.username = "anna", .password = "word"},
                .story = NOBODY FETCH " " MIRROR "\n" TOKEN},
        {.title = "bearer, with none", .auth = BEARER, .story = NOBODY FETCH " -\n" TOKEN},
        {.title = "basic, with none",
                .auth = BASIC,
                .code = ERR_UNAUTHORIZED,
                .message = DENIED "authorization failed: no basic auth credentials",
                .story = NOBODY},
        {.title = "a realm that refuses",
                .auth = BEARER,
                .is_mirror = true,
                .rules = "[{\"path\": \"^/token\", \"status\": 401}]",
                .code = ERR_UNAUTHORIZED,
                .message = "failed to authorize: failed to fetch oauth token: unexpected status "
                           "from GET request to $HOME/token: 401 Unauthorized",
                .story = NOBODY FETCH " " MIRROR "\n"},
        {.title = "a realm that does not answer",
                .auth = BEARER,
                .rules = "[{\"path\": \"^/token\", \"silence\": true}]",
                .timeout_ms = 300,
                .code = ERR_TIMEOUT,
                .story = NOBODY FETCH " -\n"},
};

static const struct fetch redirects[] = {
        {.title = "storage elsewhere sees no credentials",
                .auth = BASIC,
                .rules = TO_OTHER,
                .credentials = {.username = "anna", .password = "word"},
                .story = NOBODY,
                .other_story = NOBODY},
        {.title = "nor a token",
                .auth = BEARER,
                .rules = "[{\"header\": {\"Authorization\": \"Bearer\"}, \"redirect\": "
                         "\"$OTHER{path}?signature=secret\"}]",
                .credentials = {.username = "anna", .password = "word"},
                .host = NULL,
                .story = NOBODY FETCH " " ANNA "\n" TOKEN,
                .other_story = GET "?signature=secret -\n"},
        {.title = "the range goes along",
                .offset = 12,
                .rules = TO_OTHER,
                .body = "cdef",
                .story = NOBODY,
                .other_story = NOBODY},
        {.title = "storage that refuses is named without its query",
                .rules = "[{\"redirect\": \"$OTHER{path}?signature=secret\"}]",
                .other_rules = "[{\"status\": 403}]",
                .code = ERR_UNAUTHORIZED,
                .message = "unexpected status from GET request to $OTHER" PATH ": 403 Forbidden",
                .story = NOBODY,
                .other_story = GET "?signature=secret -\n"},
        {.title = "in a circle",
                .rules = "[{\"redirect\": \"$HOME{path}\"}]",
                .code = ERR_PROTOCOL,
                .message = "$HOME redirects more than 5 times",
                .story = NOBODY NOBODY NOBODY NOBODY NOBODY NOBODY},
        {.title = "nowhere",
                .rules = "[{\"status\": 307}]",
                .code = ERR_PROTOCOL,
                .message = "$HOME answers with a redirect that leads nowhere",
                .story = NOBODY},
};

#define PLAY(fetches)                                                                              \
        for (size_t i = 0; i < sizeof(fetches) / sizeof(fetches[0]); i++)                          \
        play(&fetches[i])

static void play_answers(void **state)
{
        (void)state;
        PLAY(answers);
}

static void play_ranges(void **state)
{
        (void)state;
        PLAY(ranges);
}

static void play_patience(void **state)
{
        (void)state;
        PLAY(patience);
}

static void play_logins(void **state)
{
        (void)state;
        PLAY(logins);
}

static void play_redirects(void **state)
{
        (void)state;
        PLAY(redirects);
}

static void expect_header(const json_t *entry, const char *name, const char *wanted)
{
        cleanup_free char *value = fake_header(entry, name);
        if (value == NULL || wanted == NULL)
                assert_true(value == wanted);
        else
                assert_string_equal(value, wanted);
}

static void what_is_sent(void **state)
{
        (void)state;
        static const struct fetch redirected = {.offset = 3};
        static const struct fetch manifest = {.manifest = true};
        struct registry_body body;
        struct err e;
        stage.registry = registry_new();
        stage_set(&stage, &stage.home, TO_OTHER, NULL);
        stage_set(&stage, &stage.other, NULL, NULL);
        assert_int_equal(open_fetch(&redirected, "there", &body, NULL, &e), 0);
        registry_body_fini(&body);
        assert_int_equal(open_fetch(&manifest, "there", &body, NULL, &e), 0);
        registry_body_fini(&body);
        json_t *home = fake_log(&stage.home);
        json_t *other = fake_log(&stage.other);
        for (int i = 0; i < 2; i++) {
                const json_t *entry = json_array_get(i == 0 ? home : other, 0);
                expect_header(entry, "Accept", "*/*");
                expect_header(entry, "Accept-Encoding", "identity");
                expect_header(entry, "Range", "bytes=3-");
                expect_header(entry, "X-Extra", i == 0 ? "for-upstream" : NULL);
        }
        expect_header(json_array_get(home, 1), "Range", NULL);
        expect_header(json_array_get(home, 1), "Accept",
                "application/vnd.docker.distribution.manifest.v2+json, "
                "application/vnd.docker.distribution.manifest.list.v2+json, "
                "application/vnd.oci.image.manifest.v1+json, "
                "application/vnd.oci.image.index.v1+json, */*");
        json_decref(home);
        json_decref(other);
        registry_free(stage.registry);
}

static void fetch_well(const struct fetch *f, const char *host, const char *wanted)
{
        struct registry_body body;
        int64_t retry_after_ms;
        struct err e;
        if (open_fetch(f, host, &body, &retry_after_ms, &e) < 0)
                fail_msg("%s", e.msg);
        expect_body(f, &body);
        registry_body_fini(&body);
        cleanup_free char *story = fake_story(&stage.home);
        stage_compare(&stage, host, story, wanted);
}

/* One registry under two names: what one of them has got is not for the other. Blobs and manifests
 * of a repository share their token, and all of it one connection. */
static void tokens_of_mirrors_and_upstreams_do_not_mix(void **state)
{
        (void)state;
        static const struct fetch blob = {.title = "blob"};
        static const struct fetch manifest = {.title = "manifest", .manifest = true};
        stage.registry = registry_new();
        stage_set(&stage, &stage.home, NULL, BEARER);
        long before = fake_connections(&stage.home);
        fetch_well(&blob, "upstream", NOBODY FETCH " -\n" TOKEN);
        fetch_well(&blob, "upstream", TOKEN);
        fetch_well(&manifest, "upstream", "GET /v2/team/app/manifests/$DIGEST Bearer *\n");
        fetch_well(&blob, "http://mirror", NOBODY FETCH " -\n" TOKEN);
        fetch_well(&blob, "http://mirror", TOKEN);
        assert_int_equal(fake_connections(&stage.home) - before, 1);
        registry_free(stage.registry);
}

/* The realm is known from before, and dead now: a mirror is left at the first failure, and asked
 * afresh the next time. */
static void a_token_server_that_died(void **state)
{
        (void)state;
        static const struct fetch mirror = {.title = "mirror", .is_mirror = true, .forgets = true};
        struct registry_body body;
        struct err e;
        stage.registry = registry_new();
        stage_set(&stage, &stage.home, NULL, BEARER);
        fetch_well(&mirror, "mirror", NOBODY FETCH " " MIRROR "\n" TOKEN);
        fetch_well(&mirror, "mirror", FETCH " " MIRROR "\n" TOKEN);
        fake_rules(&stage.home, "[{\"path\": \"^/token\", \"status\": 503}]");
        assert_int_equal(open_fetch(&mirror, "mirror", &body, NULL, &e), -1);
        assert_int_equal(e.code, ERR_UPSTREAM);
        cleanup_free char *story = fake_story(&stage.home);
        stage_compare(&stage, "died", story, FETCH " " MIRROR "\n");
        fake_rules(&stage.home, "[]");
        fetch_well(&mirror, "mirror", NOBODY FETCH " " MIRROR "\n" TOKEN);
        registry_free(stage.registry);
}

/* The time for connections holds for the token server's too. */
static void a_token_server_that_takes_too_long_to_connect(void **state)
{
        (void)state;
        struct raw deaf = {0};
        raw_listen(&deaf);
        cleanup_free char *rules =
                mem_printf("[{\"status\": 401, \"headers\": {\"WWW-Authenticate\": "
                           "\"Bearer realm=\\\"https://127.0.0.1:%d/token\\\"\"}}]",
                        deaf.port);
        cleanup_free char *wanted = mem_printf(
                NO_TOKEN "no connection to https://127.0.0.1:%d within 150 ms", deaf.port);
        cleanup_free char *origin = stage_text(&stage, "$HOME");
        cleanup_free char *base = mem_printf("%s/v2", origin);
        const struct upstream from = {.host = origin, .base_url = base, .origin = origin};
        const struct registry_fetch q = {.from = &from,
                .repository = "team/app",
                .digest = stage.blob,
                .kind = REGISTRY_BLOB,
                .connect_timeout_ms = 150,
                .timeout_ms = 60000};
        struct registry_body body;
        struct err e;
        stage.registry = registry_new();
        stage_set(&stage, &stage.home, rules, NULL);
        assert_int_equal(registry_open(stage.registry, &q, &body, NULL, &e), -1);
        assert_string_equal(e.msg, wanted);
        assert_int_equal(e.code, ERR_TIMEOUT);
        registry_free(stage.registry);
        close(deaf.listener);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(play_answers),
                cmocka_unit_test(play_ranges),
                cmocka_unit_test(play_patience),
                cmocka_unit_test(play_logins),
                cmocka_unit_test(play_redirects),
                cmocka_unit_test(what_is_sent),
                cmocka_unit_test(tokens_of_mirrors_and_upstreams_do_not_mix),
                cmocka_unit_test(a_token_server_that_died),
                cmocka_unit_test(a_token_server_that_takes_too_long_to_connect),
        };
        return cmocka_run_group_tests(tests, stage_open, stage_close);
}

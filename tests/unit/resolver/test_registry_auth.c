/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "tests/unit/resolver/scene.h"

#define PATH    "/v2/team/app/manifests/v1"
#define ASK     "HEAD " PATH
#define NOBODY  ASK " -\n"
#define TOKEN   ASK " Bearer *\n"
#define QUERY   "?service=fake&scope=repository%3Ateam%2Fapp%3Apull"
#define FETCH   "GET /token" QUERY
#define DENIED  "pull access denied, repository does not exist or may require authorization: "
#define REFUSED "unexpected status from HEAD request to $HOME" PATH ": 401 Unauthorized"
#define NO_TOKEN                                                                                   \
        "failed to authorize: failed to fetch oauth token: unexpected status from GET request to "

/* anna:word, "anna:", ":secret", base64 */
#define ANNA           "Basic YW5uYTp3b3Jk"
#define NAMELESS       "Basic OnNlY3JldA=="
#define BASIC          "{\".*\": {\"scheme\": \"basic\", \"users\": {\"anna\": \"word\"}}}"
#define BEARER(more)   "{\".*\": {\"scheme\": \"bearer\", \"users\": {\"anna\": \"word\"}" more "}}"
#define TOKEN_IS(text) "{\"path\": \"^/token\", \"body\": " text "}"

static const struct scene basic[] = {
        {.title = "username and password",
                .auth = BASIC,
                .credentials = {.username = "anna", .password = "word"},
                .questions = 2,
                .story = NOBODY ASK " " ANNA "\n" ASK " " ANNA "\n"},
        {.title = "auth",
                .auth = BASIC,
                .credentials = {.auth = "YW5uYTp3b3Jk"},
                .story = NOBODY ASK " " ANNA "\n"},
        {.title = "auth with line ends and trailing NULs",
                .auth = BASIC,
                .credentials = {.auth = "YW5u\r\nYTp3b3JkAAAA\n"},
                .story = NOBODY ASK " " ANNA "\n"},
        {.title = "username goes before auth",
                .auth = BASIC,
                .credentials = {.username = "anna", .password = "word", .auth = "eDp5"},
                .story = NOBODY ASK " " ANNA "\n"},
        {.title = "no credentials",
                .auth = BASIC,
                .code = ERR_UNAUTHORIZED,
                .message = DENIED "authorization failed: no basic auth credentials",
                .story = NOBODY},
        {.title = "wrong password",
                .auth = BASIC,
                .credentials = {.username = "anna", .password = "wrong"},
                .code = ERR_UNAUTHORIZED,
                .message = REFUSED,
                .story = NOBODY ASK " Basic YW5uYTp3cm9uZw==\n"},
        {.title = "a user who may not",
                .auth = "{\".*\": {\"scheme\": \"basic\", \"users\": {\"anna\": \"word\"},"
                        "\"denied\": [\"anna\"]}}",
                .credentials = {.username = "anna", .password = "word"},
                .code = ERR_UNAUTHORIZED,
                .message = "unexpected status from HEAD request to $HOME" PATH ": 403 Forbidden",
                .story = NOBODY ASK " " ANNA "\n"},
        {.title = "auth that is not base64",
                .auth = BASIC,
                .credentials = {.auth = "***"},
                .code = ERR_UNAUTHORIZED,
                .message = "failed to authorize: the request's credentials are unusable: the field "
                           "auth is not base64",
                .story = NOBODY},
        {.title = "auth without colon",
                .auth = BASIC,
                .credentials = {.auth = "YW5uYQ=="},
                .code = ERR_UNAUTHORIZED,
                .message = "failed to authorize: the request's credentials are unusable: the "
                           "decoded field auth is not <username>:<password>",
                .story = NOBODY},
        {.title = "broken credentials do not matter where nobody asks",
                .credentials = {.auth = "***"},
                .story = NOBODY},
        {.title = "meant for this server",
                .auth = BASIC,
                .credentials = {.username = "anna",
                        .password = "word",
                        .server_address = "$HOME/v1/"},
                .story = NOBODY ASK " " ANNA "\n"},
        {.title = "meant for another server",
                .auth = BASIC,
                .credentials = {.username = "anna", .password = "word", .server_address = "$OTHER"},
                .code = ERR_UNAUTHORIZED,
                .message = DENIED "authorization failed: no basic auth credentials",
                .story = NOBODY},
        {.title = "meant for a server without scheme, which containerd takes for no host",
                .auth = BASIC,
                .credentials = {.username = "anna", .password = "word", .server_address = "$HOST"},
                .code = ERR_UNAUTHORIZED,
                .message = DENIED "authorization failed: no basic auth credentials",
                .story = NOBODY},
};

static const struct scene bearer[] = {
        {.title = "anonymous, and the token again",
                .auth = BEARER(",\"anonymous\": true"),
                .questions = 3,
                .story = NOBODY FETCH " -\n" TOKEN TOKEN TOKEN},
        {.title = "username and password",
                .auth = BEARER(""),
                .credentials = {.username = "anna", .password = "word"},
                .questions = 2,
                .story = NOBODY FETCH " " ANNA "\n" TOKEN TOKEN},
        {.title = "access_token, without service, scope and lifetime",
                .auth = BEARER(",\"tokens\": [\"abc\"], \"expires_in\": null"),
                .rules = "[{\"method\": \"HEAD\", \"times\": 1, \"status\": 401, \"headers\": "
                         "{\"WWW-Authenticate\": \"Bearer "
                         "realm=\\\"$HOME/token?a=b\\\"\"}}," TOKEN_IS(
                                 "{\"access_token\": \"abc\", \"token\": \"\"}") "]",
                .story = NOBODY "GET /token?a=b&scope=repository%3Ateam%2Fapp%3Apull -\n" ASK
                                " Bearer abc\n"},
        {.title = "several scopes",
                .auth = BEARER(",\"tokens\": [\"abc\"]"),
                .rules = "[{\"method\": \"HEAD\", \"times\": 1, \"status\": 401, \"headers\": "
                         "{\"WWW-Authenticate\": \"Bearer "
                         "realm=\\\"$HOME/token\\\",scope=\\\"a:b:c  d:e:f\\\"\"}}," TOKEN_IS(
                                 "{\"token\": \"abc\"}") "]",
                .story = NOBODY "GET /token?scope=a%3Ab%3Ac&scope=d%3Ae%3Af -\n" ASK
                                " Bearer abc\n"},
        {.title = "a token that the registry does not take",
                .auth = BEARER(",\"anonymous\": true"),
                .rules = "[{\"path\": \"^/token\", \"body\": {\"token\": \"abc\"}}]",
                .code = ERR_UNAUTHORIZED,
                .message = REFUSED,
                .story = NOBODY FETCH " -\n" ASK " Bearer abc\n"},
        {.title = "a registry token",
                .auth = BEARER(",\"tokens\": [\"given\"]"),
                .credentials = {.registry_token = "given"},
                .questions = 2,
                .story = NOBODY ASK " Bearer given\n" ASK " Bearer given\n"},
        {.title = "a wrong registry token",
                .auth = BEARER(""),
                .credentials = {.registry_token = "wrong"},
                .code = ERR_UNAUTHORIZED,
                .message = REFUSED,
                .story = NOBODY ASK " Bearer wrong\n"},
        {.title = "a registry token that would end the line",
                .auth = BEARER(""),
                .credentials = {.registry_token = "a\r\nX-Evil: b"},
                .code = ERR_UNAUTHORIZED,
                .message = "failed to authorize: the request's credentials are unusable: the "
                           "registry token has characters that no token has",
                .story = NOBODY},
        {.title = "wrong password",
                .auth = BEARER(""),
                .credentials = {.username = "anna", .password = "wrong"},
                .code = ERR_UNAUTHORIZED,
                .message = NO_TOKEN "$HOME/token: 401 Unauthorized",
                .story = NOBODY FETCH " Basic YW5uYTp3cm9uZw==\n"},
        {.title = "anonymous tokens are not given",
                .auth = BEARER(""),
                .code = ERR_UNAUTHORIZED,
                .message = "failed to authorize: failed to fetch anonymous token: unexpected "
                           "status from GET request to $HOME/token: 401 Unauthorized",
                .story = NOBODY FETCH " -\n"},
        {.title = "a token that is not enough",
                .auth = BEARER(",\"anonymous\": true"),
                .rules = "[{\"method\": \"HEAD\", \"status\": 401, \"headers\": "
                         "{\"WWW-Authenticate\": \"Bearer realm=\\\"$HOME/token\\\",service=fake,"
                         "scope=\\\"repository:team/app:pull\\\",error=insufficient_scope\"}}]",
                .code = ERR_UNAUTHORIZED,
                .message = DENIED "server message: insufficient_scope: authorization failed",
                .story = NOBODY FETCH " -\n" TOKEN},
        {.title = "an identity token",
                .auth = BEARER(",\"refresh_tokens\": {\"iden/tity\": \"anna\"}"),
                .credentials = {.identity_token = "iden/tity"},
                .questions = 2,
                .story = NOBODY "POST /token -\n" TOKEN TOKEN},
        {.title = "a secret without a name is an identity token, by GET where POST is unknown",
                .auth = "{\".*\": {\"scheme\": \"bearer\", \"users\": {\"\": \"secret\"},"
                        "\"post_status\": 405}}",
                .credentials = {.auth = "OnNlY3JldA=="},
                .code = ERR_NONE,
                .story = NOBODY "POST /token -\n" FETCH " " NAMELESS "\n" TOKEN},
        {.title = "an identity token, and the server fails",
                .auth = BEARER(",\"post_status\": 403"),
                .credentials = {.identity_token = "x"},
                .code = ERR_UNAUTHORIZED,
                .message = "failed to authorize: failed to fetch oauth token: unexpected status "
                           "from POST request to $HOME/token: 403 Forbidden",
                .story = NOBODY "POST /token -\n"},
};

#define NO_ANONYMOUS "failed to authorize: failed to fetch anonymous token: "

static const struct scene lies[] = {
        {.title = "no token",
                .auth = BEARER(""),
                .rules = "[" TOKEN_IS("{\"expires_in\": 5}") "]",
                .code = ERR_PROTOCOL,
                .message = NO_ANONYMOUS "the token server's answer holds no token",
                .story = NOBODY FETCH " -\n"},
        {.title = "no JSON",
                .auth = BEARER(""),
                .rules = "[" TOKEN_IS("\"<html>\"") "]",
                .code = ERR_PROTOCOL,
                .message = NO_ANONYMOUS "the token server's answer is not a JSON object",
                .story = NOBODY FETCH " -\n"},
        {.title = "a token that would end the line",
                .auth = BEARER(""),
                .rules = "[" TOKEN_IS("{\"token\": \"a\\r\\nX-Evil: b\"}") "]",
                .code = ERR_PROTOCOL,
                .message = NO_ANONYMOUS "the token server's token is malformed",
                .story = NOBODY FETCH " -\n"},
        {.title = "20 MB of JSON",
                .auth = BEARER(""),
                .rules = "[{\"path\": \"^/token\", \"body\": \"[[[[[[[[[[\", \"body_repeat\": "
                         "2000000}]",
                .code = ERR_TOO_LARGE,
                .message = NO_ANONYMOUS "$HOME answers with more than 131072 bytes",
                .story = NOBODY FETCH " -\n"},
        {.title = "deep JSON",
                .auth = BEARER(""),
                .rules = "[{\"path\": \"^/token\", \"body\": \"{\\\"x\\\":\", \"body_repeat\": "
                         "20000}]",
                .code = ERR_PROTOCOL,
                .message = NO_ANONYMOUS "the token server's answer is nested more than 16 deep",
                .story = NOBODY FETCH " -\n"},
        {.title = "a list in place of a token",
                .auth = BEARER(""),
                .rules = "[{\"path\": \"^/token\", \"body\": \"[{},{},{},\", \"body_repeat\": "
                         "10000}]",
                .code = ERR_PROTOCOL,
                .message = NO_ANONYMOUS "the token server's answer is not a JSON object",
                .story = NOBODY FETCH " -\n"},
        {.title = "a realm in circles",
                .auth = BEARER(""),
                .rules = "[{\"path\": \"^/token\", \"redirect\": \"/token\"}]",
                .code = ERR_PROTOCOL,
                .message = NO_ANONYMOUS "the token server redirects more than 5 times",
                .story = NOBODY FETCH " -\nGET /token -\nGET /token -\nGET /token -\nGET /token -\n"
                                      "GET /token -\n"},
        {.title = "a realm that wants a token too",
                .auth = BEARER(""),
                .rules = "[{\"path\": \"^/token\", \"status\": 401, \"headers\": "
                         "{\"WWW-Authenticate\": \"Bearer realm=\\\"$HOME/token\\\"\"}}]",
                .code = ERR_UNAUTHORIZED,
                .message = NO_ANONYMOUS "unexpected status from GET request to $HOME/token: 401 "
                                        "Unauthorized",
                .story = NOBODY FETCH " -\n"},
        {.title = "a challenge that changes each time",
                .rules = "[{\"path\": \"^/token\", \"body\": {\"token\": \"abc\"}},"
                         "{\"times\": 1, \"status\": 401, \"headers\": {\"WWW-Authenticate\": "
                         "\"Bearer realm=\\\"$HOME/token\\\",service=a\"}},"
                         "{\"times\": 1, \"status\": 401, \"headers\": {\"WWW-Authenticate\": "
                         "\"Bearer realm=\\\"$HOME/token\\\",service=b\"}},"
                         "{\"status\": 401, \"headers\": {\"WWW-Authenticate\": "
                         "\"Bearer realm=\\\"$HOME/token\\\",service=c\"}}]",
                .code = ERR_UNAUTHORIZED,
                .message = REFUSED,
                .story = NOBODY "GET /token?service=a&scope=repository%3Ateam%2Fapp%3Apull -\n" ASK
                                " Bearer abc\n"
                                "GET /token?service=b&scope=repository%3Ateam%2Fapp%3Apull -\n" ASK
                                " Bearer abc\n"},
        {.title = "a realm that is a file",
                .rules = "[{\"status\": 401, \"headers\": {\"WWW-Authenticate\": "
                         "\"Bearer realm=\\\"file:///etc/passwd\\\"\"}}]",
                .code = ERR_PROTOCOL,
                .message =
                        "failed to authorize: failed to fetch anonymous token: $HOME names a token "
                        "realm that is no http or https URL",
                .story = NOBODY},
        {.title = "a realm that nobody serves",
                .rules = "[{\"status\": 401, \"headers\": {\"WWW-Authenticate\": "
                         "\"Bearer realm=\\\"http://127.0.0.1:1/token\\\"\"}}]",
                .code = ERR_UNREACHABLE,
                .message = NO_ANONYMOUS "cannot connect to http://127.0.0.1:1: Connection refused",
                .story = NOBODY NOBODY},
        {.title = "a realm that never answers",
                .auth = BEARER(""),
                .rules = "[{\"path\": \"^/token\", \"silence\": true}]",
                .timeout_ms = 300,
                .code = ERR_TIMEOUT,
                .message = NO_ANONYMOUS "no answer from $HOME within 300 ms",
                .story = NOBODY FETCH " -\n" NOBODY FETCH " -\n"},
        {.title = "a realm that fails once",
                .auth = BEARER(",\"anonymous\": true"),
                .rules = "[{\"path\": \"^/token\", \"status\": 502, \"times\": 1}]",
                .story = NOBODY FETCH " -\n" NOBODY FETCH " -\n" TOKEN},
        {.title = "a realm that fails",
                .auth = BEARER(""),
                .rules = "[{\"path\": \"^/token\", \"status\": 502}]",
                .code = ERR_UPSTREAM,
                .message =
                        NO_ANONYMOUS "unexpected status from GET request to $HOME/token: 502 Bad "
                                     "Gateway",
                .story = NOBODY FETCH " -\n" NOBODY FETCH " -\n"},
        {.title = "a realm that limits the rate",
                .auth = BEARER(""),
                .rules = "[{\"path\": \"^/token\", \"status\": 429, \"headers\": {\"Retry-After\": "
                         "\"77\"}}]",
                .code = ERR_RATE_LIMITED,
                .message =
                        NO_ANONYMOUS "unexpected status from GET request to $HOME/token: 429 Too "
                                     "Many Requests: it asks to wait 77 s",
                .story = NOBODY FETCH " -\n"},
        {.title = "a realm with 1 MB of headers",
                .auth = BEARER(""),
                .rules = "[{\"path\": \"^/token\", \"header_bomb\": 1000000}]",
                .code = ERR_PROTOCOL,
                .message = NO_ANONYMOUS "$HOME answers with more than 64 KiB of headers",
                .story = NOBODY FETCH " -\n"},
};

static const struct scene elsewhere[] = {
        {.title = "Basic stays with the upstream",
                .auth = BASIC,
                .rules = "[{\"header\": {\"Authorization\": \"Basic\"}, \"redirect\": "
                         "\"$OTHER{path}\"}]",
                .credentials = {.username = "anna", .password = "word"},
                .story = NOBODY ASK " " ANNA "\n",
                .other_story = NOBODY},
        {.title = "a token stays with the upstream",
                .auth = BEARER(""),
                .rules = "[{\"header\": {\"Authorization\": \"Bearer\"}, \"redirect\": "
                         "\"$OTHER{path}\"}]",
                .credentials = {.username = "anna", .password = "word"},
                .story = NOBODY FETCH " " ANNA "\n" TOKEN,
                .other_story = NOBODY},
        {.title = "a registry token stays with the upstream",
                .auth = BEARER(",\"tokens\": [\"given\"]"),
                .rules = "[{\"header\": {\"Authorization\": \"Bearer\"}, \"redirect\": "
                         "\"$OTHER{path}\"}]",
                .other_auth = BEARER(",\"tokens\": [\"given\"], \"anonymous\": true"),
                .credentials = {.registry_token = "given"},
                .story = NOBODY ASK " Bearer given\n",
                .other_story = NOBODY FETCH " -\n" TOKEN},
        {.title = "who redirects to a server that asks gives it nothing",
                .rules = "[{\"redirect\": \"$OTHER{path}\"}]",
                .other_auth = BASIC,
                .credentials = {.username = "anna", .password = "word"},
                .code = ERR_UNAUTHORIZED,
                .message = DENIED "authorization failed: no basic auth credentials",
                .story = NOBODY,
                .other_story = NOBODY},
        {.title = "an anonymous token of the other server",
                .rules = "[{\"redirect\": \"$OTHER{path}\"}]",
                .other_auth = BEARER(",\"anonymous\": true"),
                .credentials = {.username = "anna", .password = "word"},
                .story = NOBODY,
                .other_story = NOBODY FETCH " -\n" TOKEN},
        {.title = "a realm elsewhere that redirects on loses the password",
                .auth = BEARER(",\"realm\": \"$OTHER/token\", \"tokens\": [\"abc\"]"),
                .other_rules = "[{\"path\": \"^/token\", \"redirect\": \"$HOME/again\"}]",
                .rules = "[{\"path\": \"^/again\", \"body\": {\"token\": \"abc\"}}]",
                .credentials = {.username = "anna", .password = "word"},
                .story = NOBODY "GET /again -\n" ASK " Bearer abc\n",
                .other_story = FETCH " " ANNA "\n"},
};

#define PLAY(scenes)                                                                               \
        for (size_t i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++)                            \
        stage_play(&stage, &scenes[i])

static void play_basic(void **state)
{
        (void)state;
        PLAY(basic);
}

static void play_bearer(void **state)
{
        (void)state;
        PLAY(bearer);
}

static void play_lies(void **state)
{
        (void)state;
        PLAY(lies);
}

static void play_elsewhere(void **state)
{
        (void)state;
        PLAY(elsewhere);
}

static void ask_well(const struct scene *scene)
{
        struct registry_answer a;
        struct err e;
        if (stage_ask(&stage, scene, "v1", NULL, &a, &e) < 0)
                fail_msg("%s", e.msg);
}

static void story_is(const char *wanted)
{
        cleanup_free char *story = fake_story(&stage.home);
        stage_compare(&stage, "story", story, wanted);
}

static void a_revoked_token_is_replaced(void **state)
{
        (void)state;
        static const struct scene anna = {.credentials = {.username = "anna", .password = "word"}};
        stage.registry = registry_new();
        stage_set(&stage, &stage.home, NULL, BEARER(""));
        ask_well(&anna);
        story_is(NOBODY FETCH " " ANNA "\n" TOKEN);
        fake_order(&stage.home, "DELETE", "tokens", "");
        ask_well(&anna);
        story_is(TOKEN FETCH " " ANNA "\n" TOKEN);
        registry_free(stage.registry);
}

static void tokens_belong_to_their_credentials(void **state)
{
        (void)state;
        static const struct scene anna = {.credentials = {.username = "anna", .password = "word"}};
        static const struct scene nobody = {0};
        stage.registry = registry_new();
        stage_set(&stage, &stage.home, NULL, BEARER(""));
        ask_well(&anna);
        story_is(NOBODY FETCH " " ANNA "\n" TOKEN);
        struct registry_answer a;
        struct err e;
        assert_int_equal(stage_ask(&stage, &nobody, "v1", NULL, &a, &e), -1);
        assert_int_equal(e.code, ERR_UNAUTHORIZED);
        story_is(FETCH " -\n");
        /* The refusal made the challenge forgotten, but not another's token. */
        ask_well(&anna);
        story_is(NOBODY TOKEN);
        registry_free(stage.registry);
}

/* A question to the other server, which is an upstream itself. */
static int ask_the_other(const struct scene *scene, struct err *e)
{
        struct stage seen_from_there = stage;
        seen_from_there.home = stage.other;
        seen_from_there.other = stage.home;
        struct registry_answer a;
        return stage_ask(&seen_from_there, scene, "v1", NULL, &a, e);
}

/* A registry leads to a page of another upstream on which it wrote a challenge of its own; who
 * then pulls from that upstream does not take the page's word for the upstream's. */
static void a_challenge_behind_a_redirect_is_not_remembered(void **state)
{
        (void)state;
        static const struct scene anna = {.credentials = {.username = "anna", .password = "word"}};
        static const struct scene nobody = {0};
        stage.registry = registry_new();
        stage_set(&stage, &stage.home,
                "[{\"path\": \"^/trap\", \"body\": {\"token\": \"abc\"}},"
                "{\"redirect\": \"$OTHER/page\"}]",
                NULL);
        stage_set(&stage, &stage.other,
                "[{\"path\": \"^/page\", \"status\": 401, \"headers\": "
                "{\"WWW-Authenticate\": \"Bearer realm=\\\"$HOME/trap\\\",service=fake\"}}]",
                BASIC);
        struct registry_answer a;
        struct err e;
        assert_int_equal(stage_ask(&stage, &nobody, "v1", NULL, &a, &e), -1);
        assert_int_equal(e.code, ERR_UNAUTHORIZED);
        story_is(NOBODY "GET /trap" QUERY " -\n");
        cleanup_free char *page = fake_story(&stage.other);
        assert_string_equal(page, "HEAD /page -\nHEAD /page Bearer abc\n");
        if (ask_the_other(&anna, &e) < 0)
                fail_msg("%s", e.msg);
        story_is("");
        cleanup_free char *story = fake_story(&stage.other);
        assert_string_equal(story, NOBODY ASK " " ANNA "\n");
        registry_free(stage.registry);
}

static void the_form_of_an_identity_token(void **state)
{
        (void)state;
        static const struct scene scene = {.credentials = {.identity_token = "a&b=c/+ d"}};
        stage.registry = registry_new();
        stage_set(&stage, &stage.home, NULL,
                BEARER(",\"refresh_tokens\": {\"a&b=c/+ d\": \"anna\"}"));
        ask_well(&scene);
        json_t *log = fake_log(&stage.home);
        const json_t *post = json_array_get(log, 1);
        assert_string_equal(json_string_value(json_object_get(post, "body")),
                "grant_type=refresh_token&service=fake&client_id=cri-resolved&"
                "scope=repository%3Ateam%2Fapp%3Apull&refresh_token=a%26b%3Dc%2F%2B%20d");
        cleanup_free char *type = fake_header(post, "Content-Type");
        assert_string_equal(type, "application/x-www-form-urlencoded");
        json_decref(log);
        registry_free(stage.registry);
}

/* The longest, of which each byte needs three. */
static void a_long_identity_token_is_sent_whole(void **state)
{
        (void)state;
        enum { LONG = 1 << 20 };
        cleanup_free char *token = mem_zalloc(LONG + 1);
        memset(token, '&', LONG);
        const struct scene scene = {.credentials = {.identity_token = token}};
        stage.registry = registry_new();
        stage_set(&stage, &stage.home, NULL, BEARER(",\"post_status\": 403"));
        struct registry_answer a;
        struct err e;
        assert_int_equal(stage_ask(&stage, &scene, "v1", NULL, &a, &e), -1);
        assert_int_equal(e.code, ERR_UNAUTHORIZED);
        json_t *log = fake_log(&stage.home);
        const char *body = json_string_value(json_object_get(json_array_get(log, 1), "body"));
        const char *sent = strstr(body, "&refresh_token=");
        assert_non_null(sent);
        assert_int_equal(strlen(sent), strlen("&refresh_token=") + 3 * LONG);
        json_decref(log);
        registry_free(stage.registry);
}

static void keys_tell_credentials_apart(void **state)
{
        (void)state;
        static const struct credentials all[] = {{0}, {.username = "ab"},
                {.username = "a", .password = "b"}, {.password = "ab"}, {.auth = "ab"},
                {.server_address = "ab"}, {.identity_token = "ab"}, {.registry_token = "ab"}};
        enum { COUNT = sizeof(all) / sizeof(all[0]) };
        char keys[COUNT][DIGEST_SHA256_SIZE + 1];
        for (size_t i = 0; i < COUNT; i++) {
                credentials_key(&all[i], keys[i]);
                for (size_t k = 0; k < i; k++)
                        assert_string_not_equal(keys[i], keys[k]);
        }
        char none[DIGEST_SHA256_SIZE + 1];
        credentials_key(NULL, none);
        assert_string_equal(none, keys[0]);
        /* However long a field is, those behind it count. */
        enum { LONG = 9 << 20 };
        cleanup_free char *text = mem_zalloc(LONG + 1);
        memset(text, 'a', LONG);
        const struct credentials one = {.username = text, .password = "b"};
        const struct credentials other = {.username = text, .password = "c"};
        char key[DIGEST_SHA256_SIZE + 1];
        credentials_key(&one, none);
        credentials_key(&other, key);
        assert_string_not_equal(none, key);
        assert_false(credentials_present(NULL));
        assert_false(credentials_present(&all[0]));
        assert_true(credentials_present(&all[1]));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(play_basic),
                cmocka_unit_test(play_bearer),
                cmocka_unit_test(play_lies),
                cmocka_unit_test(play_elsewhere),
                cmocka_unit_test(a_revoked_token_is_replaced),
                cmocka_unit_test(tokens_belong_to_their_credentials),
                cmocka_unit_test(a_challenge_behind_a_redirect_is_not_remembered),
                cmocka_unit_test(the_form_of_an_identity_token),
                cmocka_unit_test(a_long_identity_token_is_sent_whole),
                cmocka_unit_test(keys_tell_credentials_apart),
        };
        return cmocka_run_group_tests(tests, stage_open, stage_close);
}

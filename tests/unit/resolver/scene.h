/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions to a registry as tables: how two fake registries behave, what is asked, and the exact
 * outcome and requests. In all texts $HOME and $OTHER stand for the origins of the upstream and of
 * the other server, $HOST and $FOREIGN for their host:port, $DIGEST for the digest of team/app:v1,
 * $BLOB for the digest of BLOB, which both have.
 */
#ifndef CRI_RESOLVED_TESTS_SCENE_H
#define CRI_RESOLVED_TESTS_SCENE_H

#include "tests/unit/resolver/fake.h"

#define MANIFEST "{\"schemaVersion\":2}"
#define BLOB     "0123456789abcdef"

struct scene {
        const char *title;
        const char *rules;       /* of the upstream; NULL: none */
        const char *auth;        /* of the upstream; NULL: none */
        const char *other_rules; /* of the other server */
        const char *other_auth;
        struct credentials credentials;
        const char *reference; /* NULL: v1 */
        enum err_code code;    /* ERR_NONE: the answer is $DIGEST */
        const char *message;
        const char *story;             /* requests to the upstream, see fake_story */
        const char *other_story;       /* NULL: none */
        int64_t timeout_ms, budget_ms; /* 0: 5 s, 10 s */
        unsigned questions;            /* asked one after the other; 0: 1 */
};

struct stage {
        struct fake home, other;
        struct registry *registry;
        char digest[DIGEST_SHA256_SIZE + 1];
        char blob[DIGEST_SHA256_SIZE + 1];
};

__attribute__((unused)) static char *stage_text(const struct stage *s, const char *text)
{
        cleanup_free char *host = mem_printf("127.0.0.1:%d", s->home.port);
        cleanup_free char *foreign = mem_printf("127.0.0.1:%d", s->other.port);
        cleanup_free char *home = mem_printf("http://%s", host);
        cleanup_free char *other = mem_printf("http://%s", foreign);
        const struct {
                const char *name, *value;
        } names[] = {{"$HOME", home}, {"$OTHER", other}, {"$HOST", host}, {"$FOREIGN", foreign},
                {"$DIGEST", s->digest}, {"$BLOB", s->blob}};
        cleanup_buf struct buf out;
        buf_init(&out, 1 << 20);
        while (*text != '\0') {
                size_t n = 0;
                for (; n < sizeof(names) / sizeof(names[0]); n++)
                        if (strncmp(text, names[n].name, strlen(names[n].name)) == 0)
                                break;
                if (n == sizeof(names) / sizeof(names[0])) {
                        buf_append(&out, text++, 1);
                } else {
                        buf_puts(&out, names[n].value);
                        text += strlen(names[n].name);
                }
        }
        return mem_strdup(buf_str(&out));
}

/* Each program plays on one stage; these two are for cmocka_run_group_tests. */
static struct stage stage;

__attribute__((unused)) static int stage_open(void **state)
{
        (void)state;
        struct stage *s = &stage;
        fake_start(&s->home, NULL);
        fake_start(&s->other, NULL);
        fake_manifest(&s->home, "team/app/v1", MANIFEST, s->digest);
        fake_manifest(&s->other, "team/app/v1", MANIFEST, s->digest);
        fake_blob(&s->home, BLOB, s->blob);
        fake_blob(&s->other, BLOB, s->blob);
        return 0;
}

__attribute__((unused)) static int stage_close(void **state)
{
        (void)state;
        struct stage *s = &stage;
        fake_stop(&s->home);
        fake_stop(&s->other);
        return 0;
}

__attribute__((unused)) static void stage_set(
        const struct stage *s, struct fake *f, const char *rules, const char *auth)
{
        fake_reset(f);
        cleanup_free char *rule_text = stage_text(s, rules != NULL ? rules : "[]");
        cleanup_free char *auth_text = stage_text(s, auth != NULL ? auth : "{}");
        fake_rules(f, rule_text);
        fake_auth(f, auth_text);
}

/* One question for team/app:<reference> at an upstream at `origin`. */
__attribute__((unused)) static int stage_ask(struct stage *s, const struct scene *c,
        const char *reference, struct cancel *cancel, struct registry_answer *a, struct err *e)
{
        cleanup_free char *host = stage_text(s, "$HOST");
        cleanup_free char *origin = stage_text(s, "$HOME");
        cleanup_free char *base = mem_printf("%s/v2", origin);
        struct config_header extra[] = {
                {.name = (char *)"X-Extra", .value = (char *)"for-upstream"}};
        struct upstream upstream = {.host = host,
                .base_url = base,
                .origin = origin,
                .headers = extra,
                .header_count = 1};
        cleanup_free char *address = c->credentials.server_address == NULL
                                             ? NULL
                                             : stage_text(s, c->credentials.server_address);
        struct credentials credentials = c->credentials;
        credentials.server_address = address;
        struct registry_query q = {.upstream = &upstream,
                .credentials = &credentials,
                .repository = "team/app",
                .reference = reference,
                .timeout_ms = c->timeout_ms ? c->timeout_ms : 5000,
                .budget_ms = c->budget_ms ? c->budget_ms : 10000,
                .token_reuse_ms = 60000,
                .cancel = cancel};
        return registry_resolve(s->registry, &q, a, e);
}

__attribute__((unused)) static void stage_compare(
        const struct stage *s, const char *title, const char *is, const char *wanted)
{
        cleanup_free char *text = stage_text(s, wanted);
        if (strcmp(is, text) != 0)
                fail_msg("%s:\n%s\ninstead of\n%s", title, is, text);
}

__attribute__((unused)) static void stage_play(struct stage *s, const struct scene *c)
{
        s->registry = registry_new();
        stage_set(s, &s->home, c->rules, c->auth);
        stage_set(s, &s->other, c->other_rules, c->other_auth);
        cleanup_free char *reference = stage_text(s, c->reference != NULL ? c->reference : "v1");
        for (unsigned i = 0; i == 0 || i < c->questions; i++) {
                struct registry_answer a;
                struct err e = {0};
                int64_t before = clock_mono_ns();
                int result = stage_ask(s, c, reference, NULL, &a, &e);
                if (result == 0) {
                        stage_compare(s, c->title, a.digest, "$DIGEST");
                        assert_true(before <= a.sent_ns && a.sent_ns < a.answered_ns &&
                                    a.answered_ns <= clock_mono_ns());
                } else if (c->message != NULL) {
                        stage_compare(s, c->title, e.msg, c->message);
                }
                enum err_code code = result == 0 ? ERR_NONE : e.code;
                if (code != c->code)
                        fail_msg("%s: %s: %s", c->title, err_label(code), e.msg);
        }
        cleanup_free char *story = fake_story(&s->home);
        stage_compare(s, c->title, story, c->story);
        cleanup_free char *other = fake_story(&s->other);
        stage_compare(s, c->title, other, c->other_story != NULL ? c->other_story : "");
        registry_free(s->registry);
        s->registry = NULL;
}

#endif

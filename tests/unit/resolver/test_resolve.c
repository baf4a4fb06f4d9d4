/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "resolver/resolve.h"
#include "tests/unit/config/scratch.h"
#include "tests/unit/resolver/fake.h"

/* Many questions at once, through the whole layer: who shares which answer. */
enum { CALLERS = 6 };

static struct fake fake;
static struct resolver *resolver;
static struct config *config;

struct caller {
        pthread_t thread;
        struct cancel cancel;
        struct credentials credentials;
        int64_t arrived_ns;
        int result;
        unsigned members;
        struct registry_answer answer;
        struct err err;
};

static void *call(void *arg)
{
        struct caller *c = arg;
        cleanup_free char *text = mem_printf("127.0.0.1:%d/team/app:v1", fake.port);
        cleanup_ref struct ref r;
        c->arrived_ns = clock_mono_ns();
        c->result = ref_parse(text, strlen(text), &r, &c->err);
        if (c->result == 0)
                c->result = resolve(resolver, config, &r, &c->credentials, &c->cancel, &c->answer,
                        &c->members, &c->err);
        return NULL;
}

static void start(struct caller *c, const char *username)
{
        *c = (struct caller){.credentials = {.username = username}};
        cancel_init(&c->cancel);
        pthread_create(&c->thread, NULL, call, c);
}

static void finish(struct caller *c)
{
        pthread_join(c->thread, NULL);
        cancel_fini(&c->cancel);
}

static void wait_for(const char *what)
{
        cleanup_free char *path = mem_printf("wait?path=/manifests/v1&%s", what);
        json_decref(fake_call(&fake, "GET", path, "text/plain", ""));
}

/* The first question is held until all others have come: they share the next one, which was sent
 * after each of them arrived. The tag moves in between, and none of them sees the old digest. */
static void a_question_serves_those_who_came_before_it(void **state)
{
        (void)state;
        struct caller first;
        struct caller others[CALLERS];
        char old[DIGEST_SHA256_SIZE + 1];
        char new[DIGEST_SHA256_SIZE + 1];
        fake_reset(&fake);
        fake_manifest(&fake, "team/app/v1", "{\"v\":1}", old);
        fake_rules(&fake, "[{\"hold\": \"first\", \"evaluate\": \"before\", \"times\": 1}]");
        start(&first, NULL);
        wait_for("state=held");
        fake_manifest(&fake, "team/app/v1", "{\"v\":2}", new);
        for (int i = 0; i < CALLERS; i++)
                start(&others[i], NULL);
        fake_order(&fake, "POST", "release", "{\"name\": \"first\"}");
        finish(&first);
        assert_int_equal(first.result, 0);
        assert_string_equal(first.answer.digest, old);
        unsigned questions = 1;
        for (int i = 0; i < CALLERS; i++) {
                finish(&others[i]);
                assert_int_equal(others[i].result, 0);
                assert_string_equal(others[i].answer.digest, new);
                assert_true(others[i].answer.sent_ns >= others[i].arrived_ns);
                assert_in_range(others[i].members, 1, CALLERS);
        }
        cleanup_free char *story = fake_story(&fake);
        for (const char *at = story; (at = strstr(at, "\n")) != NULL && at[1] != '\0'; at++)
                questions++;
        assert_in_range(questions, 2, 1 + CALLERS);
}

static void other_credentials_are_another_question(void **state)
{
        (void)state;
        struct caller anna;
        struct caller berta;
        char digest[DIGEST_SHA256_SIZE + 1];
        fake_reset(&fake);
        fake_manifest(&fake, "team/app/v1", "{}", digest);
        fake_rules(&fake, "[{\"hold\": \"both\"}]");
        start(&anna, "anna");
        start(&berta, "berta");
        wait_for("state=held&count=2");
        fake_order(&fake, "POST", "release", "{\"name\": \"both\"}");
        finish(&anna);
        finish(&berta);
        assert_int_equal(anna.result, 0);
        assert_int_equal(berta.result, 0);
        assert_int_equal(anna.members, 1);
        assert_int_equal(berta.members, 1);
}

static void a_failure_is_shared_with_its_message(void **state)
{
        (void)state;
        struct caller caller;
        fake_reset(&fake);
        fake_rules(&fake, "[{\"status\": 404}]");
        start(&caller, NULL);
        finish(&caller);
        cleanup_free char *wanted = mem_printf("127.0.0.1:%d/team/app:v1: not found", fake.port);
        assert_int_equal(caller.result, -1);
        assert_int_equal(caller.err.code, ERR_NOT_FOUND);
        assert_string_equal(caller.err.msg, wanted);
}

/* Else nobody would find out why the upstream is asked at another place, or without its trust. */
static void a_failure_names_the_file_that_was_ignored(void **state)
{
        (void)state;
        struct caller caller;
        struct scratch *s = NULL;
        assert_int_equal(scratch_setup((void **)&s), 0);
        cleanup_free char *name = mem_printf("127.0.0.1_%d_/hosts.toml", fake.port);
        cleanup_free char *path = scratch_write(s, name, "server = \"https://b.io\"\nca = 3\n");
        char *usual = config->certs_dir;
        config->certs_dir = s->path;
        fake_reset(&fake);
        fake_rules(&fake, "[{\"status\": 404}]");
        start(&caller, NULL);
        finish(&caller);
        config->certs_dir = usual;
        assert_int_equal(scratch_teardown((void **)&s), 0);
        cleanup_free char *wanted = mem_printf("127.0.0.1:%d/team/app:v1: not found (%s is broken "
                                               "and ignored, as containerd does: line 2: ca is not "
                                               "valid)",
                fake.port, path);
        assert_int_equal(caller.result, -1);
        assert_int_equal(caller.err.code, ERR_NOT_FOUND);
        assert_string_equal(caller.err.msg, wanted);
}

/* The last member's leaving ends the request itself. */
static void cancel_ends_the_request(void **state)
{
        (void)state;
        struct caller caller;
        fake_reset(&fake);
        fake_rules(&fake, "[{\"silence\": true}]");
        start(&caller, NULL);
        wait_for("state=held");
        cancel_fire(&caller.cancel);
        finish(&caller);
        assert_int_equal(caller.result, -1);
        assert_int_equal(caller.err.code, ERR_CANCELLED);
        wait_for("state=gone");
}

static int open_all(void **state)
{
        (void)state;
        struct err e;
        if (config_load(NULL, &config, &e) < 0)
                return -1;
        free(config->certs_dir);
        config->certs_dir = mem_strdup("/nowhere");
        config->timeout_ms = 600000;
        config->budget_ms = 600000;
        resolver = resolver_new();
        fake_start(&fake, NULL);
        return 0;
}

static int close_all(void **state)
{
        (void)state;
        fake_stop(&fake);
        resolver_free(resolver);
        config_put(config);
        return 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_question_serves_those_who_came_before_it),
                cmocka_unit_test(other_credentials_are_another_question),
                cmocka_unit_test(a_failure_is_shared_with_its_message),
                cmocka_unit_test(a_failure_names_the_file_that_was_ignored),
                cmocka_unit_test(cancel_ends_the_request),
        };
        return cmocka_run_group_tests(tests, open_all, close_all);
}

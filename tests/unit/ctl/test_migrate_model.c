/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "config/toml.h"
#include "ctl/migrate_job.h"
#include "ctl/migrate_model.h"
#include "tests/unit/config/scratch.h"

static struct migrate_model model_of(const char *registry)
{
        json_t *values = NULL;
        struct err e;
        if (toml_parse(registry, strlen(registry), "test", &values, NULL, &e) < 0)
                fail_msg("%s", e.msg);
        struct migrate_model m = {0};
        migrate_model_registry(&m, values);
        json_decref(values);
        return m;
}

static const struct hosts *host_of(const struct migrate_model *m, const char *host)
{
        const struct migrate_host *h = migrate_model_host(m, host);
        if (h == NULL)
                fail_msg("no host \"%s\"", host);
        return &h->as;
}

static void assert_url(const struct hosts *h, const char *want)
{
        cleanup_free char *got =
                mem_printf("%s://%s%s", h->server.scheme, h->server.authority, h->server.path);
        assert_string_equal(got, want);
}

static void endpoints_are_read_as_containerd_reads_them(void **state)
{
        (void)state;
        cleanup_migrate_model struct migrate_model m = model_of(
                "[mirrors.'docker.io']\nendpoint = ['https://m.example.com', "
                "'plain.example.com:5000/',\n"
                " 'localhost:5001', 'https://h.example.com/v2/hub', "
                "'https://registry-1.docker.io',\n"
                " 'http://user:word@bad.example.com']\n"
                "[mirrors.'Reg.Example.com']\nendpoint = ['http://reg.example.com:5000']\n"
                "[mirrors.'reg.example.com:5000']\nendpoint = ['http://reg.example.com:5001']\n");
        const struct hosts *hub = host_of(&m, "docker.io");
        assert_url(hub, "https://registry-1.docker.io/v2");
        assert_false(hub->has_server);
        assert_int_equal(hub->mirror_count, 4);
        assert_url(&hub->mirrors[0], "https://m.example.com/v2");
        assert_url(&hub->mirrors[1], "https://plain.example.com:5000/v2");
        assert_url(&hub->mirrors[2], "http://localhost:5001/v2");
        assert_url(&hub->mirrors[3], "https://h.example.com/v2/hub");
        const struct hosts *own = host_of(&m, "reg.example.com");
        assert_true(own->has_server);
        assert_url(own, "http://reg.example.com:5000/v2");
        assert_int_equal(own->mirror_count, 0);
        const struct hosts *other = host_of(&m, "reg.example.com:5000");
        assert_url(other, "https://reg.example.com:5000/v2");
        assert_int_equal(other->mirror_count, 1);
        assert_int_equal(m.notes.count, 1);
        assert_string_equal(m.notes.items[0],
                "registry.mirrors of docker.io: an endpoint is no URL, and left out");
}

static void trust_goes_to_whoever_has_the_address(void **state)
{
        (void)state;
        cleanup_migrate_model struct migrate_model m = model_of(
                "[mirrors.'ghcr.io']\nendpoint = ['https://m.example.com:8443']\n"
                "[configs.'m.example.com:8443'.tls]\nca_file = '/ca'\ncert_file = '/cert'\n"
                "[configs.'ghcr.io'.tls]\ninsecure_skip_verify = true\n"
                "[configs.'alone.example.com'.tls]\nca_file = '/alone'\n"
                "[configs.'nohost'.tls]\nca_file = '/x'\n");
        const struct hosts *ghcr = host_of(&m, "ghcr.io");
        assert_true(ghcr->skip_verify);
        assert_string_equal(ghcr->mirrors[0].ca_files.items[0], "/ca");
        assert_null(ghcr->mirrors[0].client_cert); /* without a key it is none */
        assert_string_equal(host_of(&m, "alone.example.com")->ca_files.items[0], "/alone");
        assert_string_equal(host_of(&m, "m.example.com:8443")->ca_files.items[0], "/ca");
        assert_null(migrate_model_host(&m, "nohost"));
        assert_string_equal(m.notes.items[0],
                "registry.configs.\"nohost\": no reference has such a "
                "host; its trust is left out");
}

static void assert_auth(const struct migrate_model *m, const char *authority, const char *user,
        const char *password)
{
        const struct migrate_auth *a = migrate_model_auth(m, authority);
        assert_non_null(a);
        if (user == NULL) {
                assert_null(a->user);
                return;
        }
        assert_string_equal(a->user, user);
        assert_string_equal(a->password, password);
}

static void credentials_have_the_order_of_containerd(void **state)
{
        (void)state;
        cleanup_migrate_model struct migrate_model m = model_of(
                "[auths.'https://a.example.com']\nusername = 'first'\npassword = 'one'\n"
                "[configs.'a.example.com'.auth]\nusername = 'second'\n"
                "[configs.'b.example.com'.auth]\nauth = 'dXNlcjp3aXRoOmNvbG9u'\n"
                "[configs.'c.example.com'.auth]\nauth = 'dXNlcjpwYXNz'\nidentitytoken = 't'\n"
                "[configs.'d.example.com'.auth]\nauth = '!'\n"
                "[configs.'e.example.com'.auth]\nusername = ''\n");
        assert_auth(&m, "a.example.com", "first", "one");
        assert_auth(&m, "b.example.com", "user", "with:colon");
        assert_auth(&m, "c.example.com", NULL, NULL);
        assert_auth(&m, "d.example.com", NULL, NULL);
        assert_null(migrate_model_auth(&m, "e.example.com"));
        assert_non_null(migrate_model_host(&m, "d.example.com"));
}

static void directories_are_those_of_hosts(void **state)
{
        (void)state;
        static const struct {
                const char *host, *dir;
        } cases[] = {{"ghcr.io", "ghcr.io"}, {"", "_default"},
                {"localhost:5000", "localhost_5000_"}, {"[::1]:5000", "[::1]_5000_"}};
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_free char *dir = migrate_dir_name(cases[i].host);
                cleanup_free char *host = migrate_dir_host(cases[i].dir);
                assert_string_equal(dir, cases[i].dir);
                assert_string_equal(host, cases[i].host);
        }
        cleanup_free char *plain = migrate_dir_host("Reg.Example.com:5000");
        assert_string_equal(plain, "reg.example.com:5000");
        assert_null(migrate_dir_host("notes"));
        assert_null(migrate_dir_host("_"));
}

static void our_urls_end_before_the_root(void **state)
{
        (void)state;
        static const struct {
                const char *root, *want; /* NULL: it cannot be said */
        } cases[] = {{"https://a.io/v2", "https://a.io"}, {"https://a.io/x/v2", "https://a.io/x"},
                {"https://a.io/v2/x", "https://a.io/v2/x"}, {"https://a.io/x", NULL},
                {"https://a.io/v22", NULL}};
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cleanup_url struct url url = {0};
                assert_true(url_parse(cases[i].root, &url));
                cleanup_free char *got = migrate_base_url(&url);
                if (cases[i].want == NULL)
                        assert_null(got);
                else
                        assert_string_equal(got, cases[i].want);
        }
}

static void secrets_are_not_shown(void **state)
{
        (void)state;
        static const char text[] = "password = 'a1' # old: password = 'a2'\n"
                                   "[r.configs.\"x\".auth] # why\n  auth = \"a3\"\n"
                                   "# identitytoken = \"a4\"\n# a comment\n"
                                   "[h.header]\n  x-team = [\"a5\",\n \"a6\"]\n"
                                   "t = { auth = { username = \"a7\", k = 1 } }\n"
                                   "author = 'me'\n";
        cleanup_free char *shown = migrate_masked(text);
        assert_string_equal(shown, "password = \"***\" # old: password = ***\n"
                                   "[r.configs.\"x\".auth] # why\n  auth = \"***\"\n"
                                   "# identitytoken = ***\n# a comment\n"
                                   "[h.header]\n  x-team = \"***\"\n"
                                   "t = { auth = { username = \"***\", k = \"***\" } }\n"
                                   "author = \"***\"\n");
        cleanup_free char *none = migrate_masked("password = 'a1\n");
        assert_null(strstr(none, "a1"));
}

static void owners_are_known(void **state)
{
        (void)state;
        assert_string_equal(
                migrate_owner("/var/lib/rancher/k3s/agent/etc/containerd/config.toml", ""), "k3s");
        assert_string_equal(
                migrate_owner("/var/lib/rancher/rke2/agent/etc/containerd/config.toml", ""),
                "rke2");
        assert_string_equal(migrate_owner("c", "\n# File generated by k3s. DO NOT EDIT.\n"), "k3s");
        assert_null(migrate_owner("/etc/containerd/config.toml", "version = 2\n"));
        assert_null(migrate_owner("/etc/containerd/config.toml", NULL));
}

static void a_tree_of_directories_is_read(void **state)
{
        const struct scratch *s = *state;
        free(scratch_write(s, "one/ghcr.io/hosts.toml",
                "server = 'https://ghcr.io'\n[host.'https://a.io']\ncapabilities = ['pull', "
                "'Resolve']\n"
                "[host.'https://ghcr.io:8443']\n[host.'https://push.io']\ncapabilities = "
                "['push']\n"));
        free(scratch_write(s, "one/broken.io/hosts.toml", "server = 5\n"));
        free(scratch_write(s, "one/a file", ""));
        free(scratch_write(s, "two/ghcr.io/hosts.toml", "server = 'https://never.io'\n"));
        free(scratch_write(s, "two/_default/hosts.toml", "server = 'https://all.io/x'\n"));
        free(scratch_write(s, "three/late.io/hosts.toml", "server = 'https://late.io'\n"));
        cleanup_free char *roots = scratch_expand(s, "@/one:@/gone:@/two:@/three");
        cleanup_migrate_model struct migrate_model m = {0};
        struct err e = {0};
        assert_int_equal(migrate_model_certs(&m, roots, &e), 0);
        const struct hosts *ghcr = host_of(&m, "ghcr.io");
        assert_url(ghcr, "https://ghcr.io:8443/v2");
        assert_int_equal(ghcr->mirror_count, 1);
        assert_string_equal(ghcr->mirrors[0].name, "https://a.io");
        assert_int_equal(ghcr->mirrors[0].capabilities, HOSTS_PULL | HOSTS_RESOLVE);
        const struct hosts *all = host_of(&m, "");
        assert_false(all->has_server);
        assert_string_equal(all->mirrors[0].name, "https://all.io/x/v2");
        assert_true(migrate_model_host(&m, "broken.io")->broken);
        assert_null(migrate_model_host(&m, "late.io")); /* _default hides it */
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(endpoints_are_read_as_containerd_reads_them),
                cmocka_unit_test(trust_goes_to_whoever_has_the_address),
                cmocka_unit_test(credentials_have_the_order_of_containerd),
                cmocka_unit_test(directories_are_those_of_hosts),
                cmocka_unit_test(our_urls_end_before_the_root),
                cmocka_unit_test(secrets_are_not_shown),
                cmocka_unit_test(owners_are_known),
                cmocka_unit_test_setup_teardown(
                        a_tree_of_directories_is_read, scratch_setup, scratch_teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

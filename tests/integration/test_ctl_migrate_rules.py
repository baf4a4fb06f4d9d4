# SPDX-License-Identifier: Apache-2.0
"""cri-resolvectl migrate: certs.d trees that are there, credentials, files that belong to others, and
what is refused, each with its exit code and its words."""
import os
import tomllib
import unittest

from tests.integration.harness import Folder
from tests.integration.migrate_parts import Site, have_containerd_nowhere, modes

NOTE = "cri-resolvectl migrate: "


class Base(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(Folder())

    def site(self, name, which="1.6", certs=None):
        return Site(self.folder, name, which, certs)

    def assert_done(self, result):
        self.assertEqual(result.code, 0, result)

    def assert_nothing_left(self, site):
        again = site.migrate("--write")
        self.assertEqual((again.code, again.out), (0, "nothing to do\n"), again)


class CertsTrees(Base):
    def test_mirrors_lose_resolve_and_nothing_else(self):
        site = self.site("migrated.toml")
        path = site.write("certs.d/docker.io/hosts.toml", (
            '# by Ansible\nserver = "https://docker.io" # Hub\n\n[host."https://one.example.com"]\n'
            '  capabilities = ["pull", "resolve"] # both\n  skip_verify = false\n\n'
            '[host."https://two.example.com"]\n[host."https://three.example.com"]\n'
            '  capabilities = ["push"]\n[host."https://four.example.com".header]\n  x-team = "a"\n'))
        self.assert_done(site.migrate("--write"))
        self.assertEqual(path.read_text(), (
            '# by Ansible\nserver = "https://registry-1.docker.io" # Hub\n\n[host."https://one.example.com"]\n'
            '  capabilities = ["pull"] # both\n  skip_verify = false\n\n'
            '[host."https://two.example.com"]\ncapabilities = ["pull"]\n[host."https://three.example.com"]\n'
            '  capabilities = ["push"]\n\n[host."https://four.example.com"]\n  capabilities = ["pull"]\n\n'
            '[host."https://four.example.com".header]\n  x-team = "a"\n'))
        self.assertEqual(site.ours()["upstream"]["docker.io"], {"mirrors": [
            "https://one.example.com", "https://two.example.com", "https://four.example.com"]})
        self.assertEqual(site.ours()["mirror"], {"https://four.example.com": {"headers": {"x-team": "a"}}})
        self.assert_nothing_left(site)

    def test_the_second_directory_moves_into_the_first(self):
        site = self.site("two-directories.toml", "2")
        site.write("certs.d/ghcr.io/hosts.toml", '[host."https://first.example.com"]\n')
        site.write("docker-certs.d/ghcr.io/hosts.toml", '[host."https://second.example.com"]\n')
        site.write("docker-certs.d/reg.example.com:5000/ca.crt", (site.home / "ca.pem").read_text())
        site.write("docker-certs.d/quay.io/hosts.toml", 'ca = "own.pem"\n[host."http://10.0.0.1:5000"]\n')
        site.write("docker-certs.d/quay.io/own.pem", (site.home / "ca.pem").read_text())
        self.assert_done(site.migrate("--write"))
        self.assertEqual(site.hosts("ghcr.io"), {"host": {"https://first.example.com": {"capabilities": ["pull"]}}})
        self.assertEqual(site.hosts("reg.example.com_5000_"), {
            "server": "https://reg.example.com:5000", "host": {},
            "ca": [f"{site.home}/docker-certs.d/reg.example.com:5000/ca.crt"]})
        self.assertEqual(site.hosts("quay.io"), {
            "server": "https://quay.io", "ca": [f"{site.home}/docker-certs.d/quay.io/own.pem"],
            "host": {"http://10.0.0.1:5000": {"capabilities": ["pull"]}}})
        self.assert_nothing_left(site)

    def test_a_default_that_is_a_server_becomes_a_mirror(self):
        site = self.site("migrated.toml")
        site.write("certs.d/_default/hosts.toml", 'server = "http://10.0.0.1:5000"\nskip_verify = true\n')
        site.write("certs.d/ghcr.io/hosts.toml", 'server = "https://ghcr.io"\n[host]\n')
        self.assert_done(site.migrate("--write", "--port", "7799"))
        self.assertEqual(site.hosts("_default"), {
            "host": {"http://10.0.0.1:5000": {"capabilities": ["pull"], "skip_verify": True}}})
        self.assertEqual(site.hosts("127.0.0.1_7799_"), {"server": "http://127.0.0.1:7799", "host": {}})
        self.assertEqual(site.ours(), {
            "upstream": {"default": {"mirrors": ["http://10.0.0.1:5000"]}, "ghcr.io": {"mirrors": []}},
            "mirror": {"http://10.0.0.1:5000": {"skip_verify": True}}, "relay": {"port": 7799}})
        self.assert_nothing_left(site)  # it takes the port from the configuration now

    def test_a_host_that_leads_to_itself_is_a_server(self):
        site = self.site("migrated.toml")
        text = ('server = "https://reg.local"\n[host."http://reg.local:5000"]\n'
                '  capabilities = ["pull", "resolve"]\n  skip_verify = true\n')
        path = site.write("certs.d/reg.local/hosts.toml", text)
        self.assert_done(site.migrate("--write"))
        self.assertEqual(path.read_text(), text)
        self.assertEqual(site.ours(), {"upstream": {
            "reg.local": {"server": "http://reg.local:5000", "skip_verify": True}}})

    def test_a_broken_file_is_left_alone_and_named(self):
        site = self.site("migrated.toml")
        path = site.write("certs.d/ghcr.io/hosts.toml", '[host."https://m.example.com"]\ncapabilities = "pull"\n')
        before = path.read_text()
        result = site.migrate("--write")
        self.assertEqual((result.code, result.out), (0, "nothing to do\n"))
        self.assertEqual(result.err, f"{NOTE}{path} is broken and ignored, as containerd does: line 2: capabilities is "
                                     "not valid; repair it first: it is left alone\n")
        self.assertEqual(path.read_text(), before)

    def test_files_without_effect_are_replaced_or_named(self):
        site = self.site("gke.toml", certs="certs.d")
        hub = site.write("certs.d/docker.io/hosts.toml", '[host."https://forgotten.example.com"]\n')
        quay = site.write("certs.d/quay.io/hosts.toml", '[host."https://m.example.com"]\n')
        result = site.migrate("--write")
        self.assert_done(result)
        self.assertIn(f"{NOTE}{hub} had no effect until now, and is replaced\n", result.err)
        self.assertIn(f"{NOTE}{quay.parent} had no effect until now, and gets one\n", result.err)
        self.assertEqual(list(site.hosts("docker.io")["host"]), ["https://mirror.gcr.io"])
        self.assertEqual(len(list(hub.parent.glob("hosts.toml.*Z.bak"))), 1)

    def test_a_name_for_a_mirror_is_told(self):
        site = self.site("migrated.toml")
        site.write("certs.d/images.corp/hosts.toml", '[host."http://10.0.0.1:5000"]\n')
        self.assertIn(f"{NOTE}images.corp: what its tags mean is asked at https://images.corp from now on; if that is "
                      "only a name for one of its mirrors, name this one as its server instead, in "
                      f"{site.output} and in certs.d\n", site.migrate().err)

    def test_secrets_in_headers_go_into_files(self):
        site = self.site("migrated.toml")
        site.write("certs.d/ghcr.io/hosts.toml",
                   '[host."https://m.example.com".header]\nauthorization = "Basic c2VjcmV0"\nx-team = "a"\n')
        shown = site.migrate()
        self.assertNotIn("c2VjcmV0", shown.out + shown.err)
        self.assert_done(site.migrate("--write"))
        file = site.output.parent / "credentials/m.example.com.authorization"
        self.assertEqual((file.read_text(), modes(file.parent)), ("Basic c2VjcmV0\n", {file.name: "0o600"}))
        self.assertEqual(site.ours()["mirror"], {"https://m.example.com": {
            "headers": {"authorization": {"file": str(file)}, "x-team": "a"}}})


class Credentials(Base):
    def test_mirrors_get_files_and_containerd_keeps_its_own(self):
        site = self.site("auth.toml", certs="certs.d")
        result = site.migrate("--write")
        self.assert_done(result)
        folder = site.output.parent / "credentials"
        self.assertEqual(modes(folder), {"user.example.com": "0o600", "basic.example.com_8443": "0o600"})
        self.assertEqual((folder / "user.example.com").read_text(), "alice:alices-word\n")
        self.assertEqual((folder / "basic.example.com_8443").read_text(), "bob:bobs-word\n")
        self.assertIn(f"{NOTE}the credentials of the mirror token.example.com are no user and password: give the mirror "
                      f"some in {site.output}\n", result.err)
        self.assertIn(f"{NOTE}containerd keeps its credentials for user.example.com, basic.example.com:8443, "
                      "token.example.com, registry-1.docker.io, as the sandbox image may need them;", result.err)
        self.assertEqual(len(site.dump("1.6")["configs"]), 4)

    def test_containerd_2_has_to_pull_by_itself_where_it_alone_has_credentials(self):
        site = self.site("auth.toml", "2", certs="certs.d")
        self.assert_done(site.migrate("--write"))
        self.assertEqual(site.ours()["upstream"]["docker.io"]["mode"], "passthrough")
        self.assertIn("# containerd 2 has credentials for it", site.output.read_text())

    def test_remove_auth_removes_all_of_them(self):
        site = self.site("auth.toml", "2", certs="certs.d")
        result = site.migrate("--write", "--remove-auth")
        self.assert_done(result)
        self.assertNotIn("mode", site.ours()["upstream"]["docker.io"])
        self.assertFalse(site.dump("2").get("configs"))
        self.assertIn("containerd forgets its credentials for user.example.com, ", result.err)

    def test_old_auths_move_to_where_they_are_still_read(self):
        site = self.site("auths.toml", certs="certs.d")
        self.assert_done(site.migrate("--write"))
        configs = site.dump("1.6")["configs"]
        self.assertEqual(configs["gcr.io"]["auth"]["password"],
                         '{"type": "service_account", "private_key": "the-private-key"}')
        self.assertEqual(configs["quay.io"]["auth"]["auth"], "ZGF2ZTpkYXZlcy13b3Jk")


class OurConfiguration(Base):
    def test_keys_that_are_there_win_and_are_told(self):
        site = self.site("kubespray.toml", certs="certs.d")
        text = ('# ours\n[shim]\ncerts_dir = "@/certs.d"\n\n[upstream."Docker.io"] # Hub\n'
                'mirrors = ["http://10.9.9.9:5000"]\n\n[upstream."quay.io"]\nrelay = "off"\n')
        site.write("ours/config.toml", text)
        result = site.migrate("--write")
        self.assert_done(result)
        self.assertIn(f'{NOTE}{site.output}: mirrors of [upstream."Docker.io"] stays as it is; containerd has '
                      '["https://hub-mirror.corp.example.com"]\n', result.err)
        self.assertEqual(site.output.read_text(), text.replace("@/", f"{site.home}/").replace(
            'relay = "off"\n', 'relay = "off"\n', 1).replace('[upstream."quay.io"]\n', (
                '[upstream."quay.io"]\nmirrors = ["http://10.20.0.5:5010"]\n')) +
            '\n[upstream."hub-mirror.corp.example.com"]\nskip_verify = true\n')
        self.assertFalse((site.output.parent / "credentials").exists())
        self.assert_nothing_left(site)

    def assert_refused(self, site, place, reason):
        """By containerd's file and line: ours is not there yet."""
        before = site.files()
        result = site.migrate("--write")
        self.assertEqual(result.code, 78, result)
        self.assertIn(f"{NOTE}{place}: this file of a registry goes into {site.output} as well, and cri-resolved refuses it "
                      f"there: {reason}. Mend that, or take the line out, then run this again; nothing is written\n", result.err)
        self.assertEqual(site.files(), before)

    def line(self, path, words):
        found = [number for number, line in enumerate(path.read_text().splitlines(), 1) if words in line]
        return f"{path}:{found[0]}"

    def test_a_file_that_the_daemon_would_refuse_is_not_written(self):
        for name in ("ca.pem", "client.pem", "client.key"):
            with self.subTest(name):
                site = self.site("tls.toml", certs="certs.d")
                (site.home / name).unlink()
                self.assert_refused(site, self.line(site.main, f'/{name}"'),
                                    f"cannot read {site.home}/{name}: No such file or directory")

    def test_a_key_that_others_may_read(self):
        site = self.site("tls.toml", certs="certs.d")
        key = site.home / "client.key"
        key.chmod(0o644)
        self.assert_refused(site, self.line(site.main, "key_file"), f"{key} has the mode 0644, so that others than its owner "
                            f"may read or write it; remedy: chmod 0600 {key}")
        key.chmod(0o600)
        self.assert_done(site.migrate("--write"))

    def test_a_file_that_a_hosts_toml_names(self):
        site = self.site("migrated.toml")
        path = site.write("certs.d/quay.io/hosts.toml", '# gone.pem\n[host."http://10.0.0.1:5000"]\nca = "gone.pem"\n')
        self.assert_refused(site, f"{path}:3", f"cannot read {path.parent}/gone.pem: No such file or directory")


class Owners(Base):
    def test_what_k3s_makes_is_left_alone(self):
        site = self.site("k3s.toml")
        site.write("k3s-certs.d/_default/hosts.toml", '[host."http://10.0.0.1:5000/v2"]\n  capabilities = ["pull", "resolve"]\n')
        before = site.files()
        result = site.migrate("--write")
        self.assert_done(result)
        self.assertIn(
            '# /etc/rancher/k3s/registries.yaml\nmirrors:\n  "*":\n    endpoint:\n      - "http://10.0.0.1:5000/v2"\n'
            '  "127.0.0.1:7780": # keeps the wildcard off cri-resolved\'s relay\n    endpoint:\n'
            '      - "http://127.0.0.1:7780"\nconfigs:\n  "reg.corp.example.com":\n    auth: # as it is there now\n'
            '      username: "..."\n      password: "..."\n', result.out)
        self.assertNotIn("k3s-pass-word", result.out + result.err)
        after = site.files()
        self.assertEqual({str(path) for path in after.keys() - before.keys()}, {"ours/config.toml"})
        self.assertEqual({path: after[path] for path in before}, before)
        self.assertEqual(site.ours(), {"upstream": {"default": {"mirrors": ["http://10.0.0.1:5000"]}}})

    def test_a_template_is_none_of_ours(self):
        site = self.site("k3s.toml.tmpl", certs="certs.d")
        result = site.migrate("--write")
        self.assertEqual(result.code, 78)
        self.assertEqual(result.err, f"{NOTE}{site.main} is a template of k3s, which fills in registries itself: say "
                                     "mirrors in its registries.yaml instead, as printed, and name the config.toml that "
                                     "it makes with --containerd-config\n")

    def test_a_variable_has_to_be_told(self):
        site = self.site("microk8s.toml")
        result = site.migrate()
        self.assertEqual(result.code, 78)
        self.assertEqual(result.err, f'{NOTE}{site.main}: config_path "${{SNAP_DATA}}/args/certs.d" is no absolute path, as '
                                     "in a template that is filled in elsewhere: say with --certs-directory what it stands "
                                     "for\n")


class Refused(Base):
    def test_what_containerd_does_not_load(self):
        site = self.site("gke.toml", certs="certs.d")
        site.main.write_text(site.main.read_text().replace('sandbox_image = "gke.gcr.io/pause:3.8"', "sandbox_image = 5"))
        before = site.files()
        for words in (), ("--write",):
            result = site.migrate(*words)
            self.assertEqual(result.code, 78, result)
            self.assertRegex(result.err, "^" + NOTE + "containerd does not load its configuration as it would be: "
                             r'"containerd: \(\d+, 3\): Can\'t convert 5\(int64\) to string" \(config dump ended with 1\); '
                             "nothing was written\n$")
            self.assertEqual(site.files(), before)

    def test_without_a_containerd_it_is_said(self):
        site = self.site("gke.toml", certs="certs.d")
        options = ["migrate", "--containerd-config", site.main, "--output-config", site.output,
                   "--certs-directory", site.certs, "--write"]
        result = site.ctl.run(*options, env=have_containerd_nowhere())
        self.assert_done(result)
        self.assertIn(f"{NOTE}there is no containerd in PATH: its configuration is not tried before it is written; see "
                      "--containerd-binary\n", result.err)

    def test_wrong_arguments(self):
        site = self.site("gke.toml", certs="certs.d")
        for words, code, said in (
                (("--certs-directory", "certs.d"), 64, "--certs-directory certs.d is no absolute path\n"),
                (("--port", "70000"), 64, "--port 70000: allowed: 1 to 65535\n"),
                (("--containerd-config", "/nowhere/config.toml"), 66,
                 "cannot read /nowhere/config.toml: No such file or directory\n"),
                (("--containerd-binary", "/nowhere/containerd"), 66,
                 "/nowhere/containerd does not say its version: is it a containerd?\n"),
                (("extra",), 64, 'unexpected argument "extra"\nsee cri-resolvectl migrate --help\n')):
            result = site.migrate(*words)
            self.assertEqual((result.code, result.out, result.err), (code, "", NOTE + said))

    def test_text_that_is_no_toml(self):
        site = self.site("gke.toml", certs="certs.d")
        site.main.write_text("version = 2\n[plugins\n")
        result = site.migrate("--write")
        self.assertEqual(result.code, 78)
        self.assertTrue(result.err.startswith(f"{NOTE}{site.main}:2:"), result)

    def test_what_cannot_be_written(self):
        site = self.site("gke.toml", certs="certs.d")
        site.certs.write_text("a file where the directory should be")
        before = site.files()
        result = site.migrate("--write")
        self.assertEqual(result.code, 71, result)
        self.assertIn("cannot make the folder", result.err)
        self.assertEqual(site.files(), before)

    def test_patterns_are_looked_up_as_each_containerd_does(self):
        for which, found in (("1.7", set()), ("2", {"docker.io", "ghcr.io"})):
            site = self.site("imports/config.toml", which, certs="certs.d")
            site.main.write_text(site.main.read_text().replace(f"{site.home}/imports/conf.d", "conf.d"))
            self.assert_done(site.migrate("--write"))
            expected = found or {"ghcr.io"}
            self.assertEqual(set(tomllib.loads(site.output.read_text())["upstream"]), expected)

    def test_the_old_file_stays_beside(self):
        site = self.site("gke.toml", certs="certs.d")
        os.chmod(site.main, 0o640)
        before = site.main.read_bytes()
        self.assert_done(site.migrate("--write"))
        backup, = site.main.parent.glob("gke.toml.*Z.bak")
        self.assertEqual(backup.read_bytes(), before)
        self.assertEqual(site.main.stat().st_mode & 0o777, 0o640)


if __name__ == "__main__":
    unittest.main()

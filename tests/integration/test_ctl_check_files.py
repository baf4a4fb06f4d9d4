# SPDX-License-Identifier: Apache-2.0
"""`check` on files alone, no containerd runs: that its steps lose nothing and break nothing, that it
says what it could not look at, and that it shows no secret."""
import json
import socket
import subprocess
import tomllib
import unittest

from tests.integration.check_parts import Checker, places
from tests.integration.harness import Folder
from tests.integration.harness.ctl import ctl_binary
from tests.integration.harness.daemon import binary
from tests.integration.harness.parts import ROOT, environment

CONTAINERDS = ("1.7",)
PLUGIN = "io.containerd.grpc.v1.cri"


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(Folder())
        self.checker = Checker(self.folder)
        self.checker.services["containerd"] = lambda verb: self.assertEqual(verb, "restart")
        self.checker.services["cri-resolved"] = lambda verb: self.assertEqual(verb, "reload")
        self.home = self.checker.home
        self.certs = self.home / "certs.d"
        self.main = self.home / "containerd.toml"
        self.set_config("")
        self.main.write_text(f'version = 2\n[plugins."{PLUGIN}".registry]\nconfig_path = "{self.certs}"\n')

    def set_config(self, text):
        """Our configuration."""
        self.checker.config.write_text(f'[shim]\nlisten = "unix://{self.home}/r.sock"\ncerts_dir = "{self.certs}"\n{text}')

    def registry(self, tables):
        """containerd's configuration: tables of its registry section, by their names below it."""
        lines = ["version = 2", f'[plugins."{PLUGIN}".registry]']
        for name, values in tables.items():
            lines += [f'[plugins."{PLUGIN}".registry.{name}]', *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
        self.main.write_text("\n".join(lines) + "\n")

    def find_one(self, identifier, *arguments):
        found = self.checker.find(identifier, *arguments)
        self.assertEqual(len(found), 1, found)
        return found[0]

    def check_containerd(self, identifier):
        return self.find_one(identifier, "containerd", "--offline", "--containerd-config", self.main)

    def hosts(self):
        """What stands in certs.d, by directory."""
        return {path.parent.name: tomllib.loads(path.read_text()) for path in self.certs.glob("*/hosts.toml")}


CACHE = 'mirrors."docker.io"', {"endpoint": ["https://10.0.20.10:5000"]}
PAIR = {"cert_file": "/etc/pki/client.pem", "key_file": "/etc/pki/client.key"}


class Deprecated(Case):
    """What `configs` says of trust is carried over whole, or no step removes it."""

    def assert_carried(self, tables, **hosts):
        self.registry(tables)
        self.checker.apply(self.check_containerd("deprecated-registry-sections"))
        self.assertEqual(self.hosts(), hosts)
        registry = tomllib.loads(self.main.read_text())["plugins"][PLUGIN]["registry"]
        self.assertEqual(registry, {"config_path": str(self.certs)})

    def test_the_trust_of_a_registry_that_no_mirror_names(self):
        mirror = {"capabilities": ["pull"], "client": [list(PAIR.values())]}
        self.assert_carried(
            dict([CACHE, ('configs."10.0.20.10:5000".tls', PAIR),
                  ('configs."registry.local:5000".tls', {"ca_file": "/etc/pki/local.pem"})]), **{
                "docker.io": {"server": "https://registry-1.docker.io", "host": {"https://10.0.20.10:5000": mirror}},
                "registry.local_5000_": {"server": "https://registry.local:5000", "ca": "/etc/pki/local.pem", "host": {}}})

    def test_the_trust_of_a_mirrored_registry_itself(self):
        self.assert_carried({
            'mirrors."r.local"': {"endpoint": ["http://10.0.20.10:5000"]},
            'configs."r.local".tls': {"ca_file": "/ca.pem", "insecure_skip_verify": True, **PAIR},
            'mirrors."plain.local:5000"': {"endpoint": ["http://plain.local:5000"]}}, **{
                "r.local": {"server": "https://r.local", "skip_verify": True, "ca": "/ca.pem", "client": [list(PAIR.values())],
                            "host": {"http://10.0.20.10:5000": {"capabilities": ["pull"]}}},
                "plain.local_5000_": {"server": "http://plain.local:5000", "host": {}}})

    def test_configs_alone(self):
        self.assert_carried({'configs."r.local".tls': {"ca_file": "/ca.pem"}}, **{
            "r.local": {"server": "https://r.local", "ca": "/ca.pem", "host": {}}})

    def test_what_is_not_carried_over_is_left_to_migrate(self):
        for name, tls in {"registry.local:5000": {"ca_file": "relative.pem"}, "*": {"ca_file": "/ca.pem"},
                          "r.local": {"insecure_skip_verify": True, "min_version": "1.3"},
                          "half.local": {"cert_file": "/only.pem"}, "registry-2.docker.io/x": {"ca_file": "/ca.pem"}}.items():
            with self.subTest(name):
                self.registry(dict([CACHE, (f'configs."{name}".tls', tls)]))
                finding = self.check_containerd("deprecated-registry-sections")
                self.assertEqual(finding["remedy"]["steps"], [])
                self.assertIn("run `cri-resolvectl migrate`, which shows", finding["remedy"]["text"])

    def test_trust_for_which_a_file_is_there_already(self):
        (self.certs / "r.local").mkdir(parents=True)
        (self.certs / "r.local/hosts.toml").write_text("[host]\n")
        self.registry(dict([CACHE, ('configs."r.local".tls', {"ca_file": "/ca.pem"})]))
        self.assertEqual(self.check_containerd("deprecated-registry-sections")["remedy"]["steps"], [])

    def test_beside_config_path(self):
        self.registry(dict([CACHE, ('configs."r.local".tls', {"ca_file": "no/path.pem"})]))
        text = self.main.read_text().replace(".registry]\n", f'.registry]\nconfig_path = "{self.certs}"\n', 1)
        self.main.write_text(text)
        finding = self.check_containerd("mirrors-beside-config-path")
        self.assertEqual(finding["remedy"]["steps"], [])
        self.main.write_text(text.replace("no/path.pem", "/ca.pem"))
        self.checker.apply(self.check_containerd("mirrors-beside-config-path"))
        self.assertEqual(self.hosts()["r.local"]["ca"], "/ca.pem")


class RemovedMirrors(Case):
    """Mirrors that do not answer: taken out, and nothing else."""
    DEAD, OTHER = "http://127.0.0.1:1", "http://127.0.0.1:12"  # one is how the other begins

    def remove(self):
        """Does what is said of the first one."""
        found = self.checker.find("mirror-unreachable", "mirrors", "--containerd-config", self.main)
        found = [one for one in found if f"{self.DEAD}/v2/" in places(one)[0]]
        self.assertEqual(len(found), 1, found)
        self.checker.apply(found[0])
        return found[0]

    def own(self):
        """Our configuration, which the daemon takes."""
        done = subprocess.run([binary(), "--check", "--config", self.checker.config], env=environment(), capture_output=True,
                              text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return tomllib.loads(self.checker.config.read_text())

    def test_of_a_list_that_spans_lines(self):
        self.set_config(f"""
[upstream."ghcr.io"]
mirrors = [
  "{self.DEAD}", # the old one
  "{self.OTHER}",
] # both
server = "{self.DEAD}0"

# of its own
[mirror."{self.DEAD}/"]
skip_verify = true

[mirror."{self.OTHER}"]
skip_verify = true
""")
        self.remove()
        after = self.own()
        self.assertEqual(after["upstream"], {"ghcr.io": {"server": f"{self.DEAD}0", "mirrors": [self.OTHER]}})
        self.assertEqual(after["mirror"], {self.OTHER: {"skip_verify": True}})
        self.assertIn("] # both\nserver", self.checker.config.read_text().replace(f'["{self.OTHER}"]', "]"))

    def test_of_one_upstream_and_not_of_another(self):
        """Its own table stays, as the other one uses it."""
        tables = "".join(f'[upstream."{host}"]\nserver = "{self.DEAD}0"\nmirrors = ["{self.DEAD}/v2"]\n'
                         for host in ("GHCR.io", "quay.io"))
        self.set_config(f'{tables}[mirror."{self.DEAD}"]\nskip_verify = true\n')
        self.remove()
        after = self.own()
        self.assertEqual(after["mirror"], {self.DEAD: {"skip_verify": True}})
        self.assertEqual(sorted(table["mirrors"] for table in after["upstream"].values()), [[], [f"{self.DEAD}/v2"]])

    def test_in_words_where_a_line_holds_a_secret(self):
        self.set_config(f'upstream = {{"ghcr.io" = {{server = "{self.DEAD}0", headers = {{X-Key = "hunter2"}}, '
                        f'mirrors = ["{self.DEAD}"]}}}}\n')
        text = self.checker.config.read_text()
        self.checker.config.write_text("\n".join([text.splitlines()[-1], *text.splitlines()[:-1]]) + "\n")
        done = self.checker.run("mirrors")
        self.assertNotIn("hunter2", done.stdout)
        self.assertIn("by hand", done.stdout)

    def test_of_certs_d(self):
        self.certs.mkdir()
        path = self.certs / "ghcr.io/hosts.toml"
        path.parent.mkdir()
        path.write_text(f'server = "{self.DEAD}0"\n[host."{self.DEAD}"]\n[host."{self.OTHER}"]\ncapabilities = ["pull"]\n')
        self.remove()
        self.assertEqual(self.hosts(), {"ghcr.io": {"server": f"{self.DEAD}0", "host": {
            self.OTHER: {"capabilities": ["pull"]}}}})


NOBODY = {"user": 65534, "group": 65534, "extra_groups": []}


class NotLookedAt(Case):
    """What could not be looked at is said, is no finding, and is an error where it was named."""
    NOTE = "cri-resolvectl check: "

    def run_json(self, *arguments, **more):
        done = self.checker.run(*arguments, "-o", "json", **more)
        document = json.loads(done.stdout)
        return done, document["findings"], [(one["area"], one["why"]) for one in document["not_looked_at"]]

    def as_nobody(self, *arguments):
        for folder in self.checker.home.parents:
            if str(folder).startswith("/tmp/"):
                folder.chmod(0o755)
        self.checker.home.chmod(0o755)
        return self.run_json(*arguments, **NOBODY)

    def test_containerds_file_that_an_ordinary_user_may_not_read(self):
        self.main.chmod(0o600)
        why = f"cannot read {self.main}: Permission denied; run as root"
        done, found, unseen = self.as_nobody("containerd", "--containerd-config", self.main)
        self.assertEqual((done.returncode, found, unseen), (78, [], [("containerd", why)]))
        self.assertIn(f"{self.NOTE}containerd was not looked at: {why}\n", done.stderr)
        self.assertEqual(self.run_json("containerd", "--containerd-config", self.main)[1:], ([], []))

    def test_a_hosts_toml_that_an_ordinary_user_may_not_read(self):
        path = self.certs / "ghcr.io/hosts.toml"
        path.parent.mkdir(parents=True)
        path.write_text("[host]\n")
        path.chmod(0o600)
        done, found, unseen = self.as_nobody("containerd", "--containerd-config", self.main)
        self.assertEqual((done.returncode, found), (78, []))
        self.assertEqual(unseen, [("containerd", f"cannot read {path}: Permission denied; run as root")])

    def test_our_credentials_that_an_ordinary_user_may_not_read(self):
        """What kubelet is to be pointed at is known all the same."""
        secret = self.home / "harbor.credentials"
        secret.write_text("robot:hunter2\n")
        secret.chmod(0o600)
        self.set_config(f'[upstream."r.local"]\nmirrors = ["http://127.0.0.1:1"]\n'
                        f'[mirror."http://127.0.0.1:1"]\ncredentials = "{secret}"\n')
        self.checker.kubelet.write_text(f"kind: KubeletConfiguration\nimageServiceEndpoint: unix://{self.home}/r.sock\n")
        done, found, unseen = self.as_nobody("configuration", "kubelet")
        self.assertEqual([one["identifier"] for one in found], ["kubelet-socket-missing"])
        self.assertEqual((done.returncode, [area for area, _ in unseen]), (78, ["configuration"]))
        self.assertTrue(unseen[0][1].endswith(f"cannot read {secret}: Permission denied; run as root"), unseen)

    def test_our_file_that_an_ordinary_user_may_not_read(self):
        """Then nobody knows where we listen."""
        self.checker.config.chmod(0o600)
        self.checker.kubelet.write_text("kind: KubeletConfiguration\nimageServiceEndpoint: unix:///x.sock\n")
        done, found, unseen = self.as_nobody("kubelet", "crictl", "configuration")
        self.assertEqual(done.returncode, 78)
        self.assertEqual([one["identifier"] for one in found], ["kubelet-socket-missing"])
        self.assertEqual([area for area, _ in unseen], ["configuration", "kubelet", "crictl"])

    def test_broken_yaml(self):
        self.checker.kubelet.write_text("kind: {\n")
        self.checker.crictl.write_text("image-endpoint: [\n")
        done = self.checker.run("kubelet", "--offline")
        self.assertEqual((done.returncode, done.stdout), (78, "0 errors, 0 warnings, 0 hints, 1 area not looked at\n"))
        self.assertRegex(done.stderr, rf"{self.NOTE}kubelet was not looked at: {self.checker.kubelet}:\d+:\d+: [^\n]+\n$")
        done = self.checker.run("--offline", "--containerd-config", self.main)
        self.assertEqual(done.returncode, 69)
        self.assertTrue(done.stdout.endswith("3 areas not looked at\n"), done.stdout)  # the store, too
        _, _, unseen = self.run_json("crictl", "kubelet")
        self.assertEqual([area for area, _ in unseen], ["kubelet", "crictl"])

    def test_files_that_are_not_there(self):
        done, found, unseen = self.run_json("kubelet", "--offline")
        self.assertEqual((done.returncode, found, unseen), (66, [], [("kubelet", f"no {self.checker.kubelet}, and none runs")]))

    def test_areas_that_cannot_be_looked_at(self):
        done, found, unseen = self.run_json("store")
        self.assertEqual((done.returncode, found, [area for area, _ in unseen]), (69, [], ["store"]))
        self.assertIn("containerd does not answer at unix://", unseen[0][1])
        done = self.checker.run("network", "--offline")
        self.assertEqual((done.returncode, done.stdout), (64, ""))
        self.assertIn("network cannot be checked with --offline", done.stderr)

    def test_areas_that_were_not_named_are_no_error(self):
        """No containerd runs where our configuration says, and nobody asked for its store."""
        nobody = f"unix://{self.home}/nobody.sock"
        self.set_config(f'backend = "{nobody}"\ncontainerd = "{nobody}"\n')
        at = self.checker.options.index("--containerd")
        del self.checker.options[at:at + 2]
        for path in (self.checker.kubelet, self.checker.crictl):
            path.write_text(f"kind: KubeletConfiguration\nimageServiceEndpoint: unix://{self.home}/r.sock\n"
                            f"image-endpoint: unix://{self.home}/r.sock\n")
        with socket.socket(socket.AF_UNIX) as ours:
            ours.bind(f"{self.home}/r.sock")
            ours.listen()
            (self.home / "r.sock").chmod(0o660)
            done, found, unseen = self.run_json("--offline", "--containerd-config", self.main)
        self.assertEqual((done.returncode, found, [area for area, _ in unseen]), (0, [], ["store"]))


class Wildcards(Case):
    def migrate(self):
        done = subprocess.run([ctl_binary(), "migrate", "--write", "--containerd-config", self.main, "--certs-directory",
                               self.certs, "--output-config", self.checker.config], env=environment(), capture_output=True,
                              text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_what_migrate_makes_of_one_is_a_hint(self):
        self.registry({'mirrors."*"': {"endpoint": ["https://cache.local:5000"]}})
        self.migrate()
        found = self.checker.findings("containerd", "--offline", "--containerd-config", self.main)
        self.assertEqual([(one["identifier"], one["severity"]) for one in found], [("wildcard-mirror", "hint")])
        self.assertEqual(places(found[0]), [f"{self.line(self.certs / '_default/hosts.toml', '[host.')}"])
        self.assertIn("it may stay", found[0]["remedy"]["text"])

    def test_one_that_resolves_or_takes_the_relay_is_a_warning(self):
        self.registry({'mirrors."*"': {"endpoint": ["https://cache.local:5000"]}})
        self.migrate()
        default = self.certs / "_default/hosts.toml"
        text = default.read_text()
        for change in (lambda: default.write_text(text.replace('"pull"', '"pull", "resolve"')),
                       lambda: default.write_text('server = "https://cache.local:5000"\n' + text),
                       lambda: (default.write_text(text), (self.certs / "127.0.0.1_7780_/hosts.toml").unlink())):
            change()
            self.assertEqual(self.check_containerd("wildcard-mirror")["severity"], "warning")

    def test_one_with_secrets_is_moved_by_hand(self):
        """What a step cannot carry over is not lost by one."""
        default = self.certs / "_default/hosts.toml"
        default.parent.mkdir(parents=True)
        mirror = '[host."https://cache.local:5000"]\ncapabilities = ["pull", "resolve"]\n'
        for more in ('header = { x-token = "word-of-the-mirror" }', 'client = ["/pki/a.pem", "/pki/a.key"]',
                     'ca = ["/pki/1.pem", "/pki/2.pem"]'):
            with self.subTest(more=more):
                default.write_text(f"{mirror}{more}\n")
                remedy = self.check_containerd("wildcard-mirror")["remedy"]
                self.assertEqual(remedy["steps"], [])
                self.assertIn(f"write {self.certs}/docker.io/hosts.toml by hand, with server = \"https://registry-1.docker.io\"",
                              remedy["text"])
                self.assertNotIn("What stands above", remedy["text"])
                self.assertNotIn("word-of-the-mirror", str(remedy))
        default.write_text(f'server = "https://cache.local:5000"\nskip_verify = true\n\n{mirror}')
        remedy = self.check_containerd("wildcard-mirror")["remedy"]
        self.assertEqual(remedy["steps"], [])
        self.assertIn("What stands above the first table is about https://cache.local:5000, not about the registry", remedy["text"])
        default.write_text(f'{mirror}ca = ["/pki/1.pem"]\n')
        self.assertEqual(len(self.check_containerd("wildcard-mirror")["remedy"]["steps"]), 2)

    @staticmethod
    def line(path, words):
        return next(f"{path}:{number}" for number, line in enumerate(path.read_text().splitlines(), 1) if words in line)


class Modes(Case):
    def key(self):
        """A certificate of ours and its key, which everybody may read."""
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-days", "1",
                        "-keyout", self.home / "client.key", "-out", self.home / "client.pem"], check=True, capture_output=True)
        (self.home / "client.key").chmod(0o644)
        return self.home / "client.key"

    def daemon_says(self):
        done = subprocess.run([binary(), "--check", "--config", self.checker.config], env=environment(), capture_output=True,
                              text=True, check=False)
        return done.returncode, done.stderr

    def test_a_key_that_others_may_read(self):
        """The daemon does refuse it, as the finding says, with the words of the finding's page."""
        key = self.key()
        self.set_config(f'[upstream."r.local"]\nclient_cert = "{self.home}/client.pem"\nclient_key = "{key}"\n')
        code, said = self.daemon_says()
        page = " ".join((ROOT / "docs/findings/credential-file-mode.md").read_text().split())
        words = f"{key} has the mode 0644, so that others than its owner may read or write it; remedy: chmod 0600 {key}"
        self.assertEqual(code, 78)
        self.assertIn(words, said)
        self.assertIn(words.replace(str(key), "/etc/cri-resolved/harbor.credentials"), page)
        finding = self.find_one("credential-file-mode", "configuration")
        self.assertEqual(places(finding), [str(key), f"{self.checker.config}:6"])
        self.find_one("configuration-invalid", "configuration")
        self.checker.apply(finding)
        self.assertEqual(self.checker.findings("configuration"), [])
        self.assertEqual(self.daemon_says()[0], 0)

    def test_containerds_own_file(self):
        self.registry({'configs."r.local".auth': {"username": "u", "password": "p"}})
        self.main.chmod(0o644)
        finding = self.find_one("credential-file-mode", "configuration", "--containerd-config", self.main)
        self.assertEqual(places(finding)[0], str(self.main))
        self.assertIn("containerd says nothing of it", finding["leads_to"])
        self.checker.apply(finding)
        self.assertEqual(self.checker.findings("configuration", "--containerd-config", self.main), [])


class Sockets(Case):
    def test_who_should_listen_where_nobody_does(self):
        for path, words, command in ((f"{self.home}/r.sock", "It is where cri-resolved is to listen.", "cri-resolved"),
                                     (f"{self.home}/nobody.sock", "It is where containerd is to listen.", "containerd"),
                                     (f"{self.home}/crio.sock", None, None)):
            with self.subTest(path):
                self.checker.kubelet.write_text(f"kind: KubeletConfiguration\ncontainerRuntimeEndpoint: unix://{path}\n")
                remedy = self.find_one("kubelet-socket-missing", "kubelet")["remedy"]
                self.assertEqual(remedy["text"], " ".join(
                    ["Start what should listen there, or correct the address."] + ([words] if words else [])))
                self.assertEqual(remedy["steps"], [{"action": "run", "command": ["systemctl", "start", command]}] if command
                                 else [])


class Secrets(Case):
    """What people misspell or put into URLs is shown nowhere (docs/troubleshoot.md asks for the output)."""
    WORDS = ("aHVudGVyMg", "hunter2", "bob", "tok3n")

    def assert_hidden(self, identifiers, *arguments):
        arguments = ("--offline", "--containerd-config", self.main, *arguments)
        for more in ((), ("-o", "json")):
            done = self.checker.run(*arguments, *more)
            for word in self.WORDS:
                self.assertNotIn(word, done.stdout + done.stderr)
        found = self.checker.findings(*arguments)
        self.assertEqual({one["identifier"] for one in found}, identifiers)
        return found

    def hosts_toml(self, text):
        path = self.certs / "ghcr.io/hosts.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def test_misspelt_headers(self):
        for key in ("headers", "haeder", "Header"):
            with self.subTest(key):
                self.hosts_toml(f'[host."https://cache:5000"]\ncapabilities = ["pull"]\n'
                                f'{key} = {{ Authorization = ["Basic aHVudGVyMg=="] }}\n')
                found = self.assert_hidden({"hosts-toml-unknown-key"}, "containerd")
                self.assertIn("is `header` meant?", found[0]["evidence"][0]["text"])
                self.assertEqual(found[0]["remedy"]["steps"], [])

    def test_misspelt_clients(self):
        self.hosts_toml('clients = [["/etc/pki/bob.pem", "/etc/pki/bob.key"]]\n[host]\n')
        self.assert_hidden({"hosts-toml-unknown-key"}, "containerd")

    def test_passwords_in_urls(self):
        url = "https://bob:hunter2@cache:5000"
        for text, identifier in {
                f'[host."{url}"]\n': "hosts-toml-bad-type", '[host."https://bob:hun ter2@cache"]\n': "hosts-toml-bad-type",
                f'servr = "{url}"\n[host]\n': "hosts-toml-unknown-key", f'[host."{url}"]\n[host."{url}"]\n': "hosts-toml-bad-type",
                f'server = "{url}"\n[host]\n': "hosts-toml-bad-type", f'host = "{url}\n': "hosts-toml-bad-type"}.items():
            with self.subTest(text):
                self.hosts_toml(text)
                found = self.assert_hidden({identifier}, "containerd")
                self.assertEqual(found[0]["remedy"]["steps"], [])

    def test_passwords_in_containerds_configuration(self):
        self.registry({'mirrors."docker.io"': {"endpoint": ["https://bob:hunter2@cache:5000", "https://tok3n@cache"]}})
        found = self.assert_hidden({"deprecated-registry-sections"}, "containerd")
        self.assertEqual(found[0]["remedy"]["steps"], [])
        self.assertIn("Its steps are not shown", found[0]["remedy"]["text"])
        self.registry({'mirrors."bob:hunter2@r.local"': {"endpoint": ["https://cache:5000"]}})
        self.assert_hidden({"deprecated-registry-sections"}, "containerd")

    def test_passwords_in_a_wildcard(self):
        (self.certs / "_default").mkdir(parents=True)
        (self.certs / "_default/hosts.toml").write_text('server = "bob:hunter2@cache:5000"\n[host."https://cache"]\n')
        self.assert_hidden({"hosts-toml-bad-type"}, "containerd")

    def test_passwords_in_our_configuration(self):
        for text in ('[upstream."ghcr.io"]\nmirrors = ["https://bob:hunter2@cache:5000"]\n',
                     '[upstream."ghcr.io"]\nserver = "https://bob:hunter2@cache:5000"\n', '[mirror."https://bob:hunter2@c"]\n',
                     '[upstream."bob:hunter2@c"]\n'):
            with self.subTest(text):
                self.set_config(text)
                self.assert_hidden({"configuration-invalid"}, "configuration")


if __name__ == "__main__":
    unittest.main()

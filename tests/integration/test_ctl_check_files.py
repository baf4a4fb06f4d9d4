# SPDX-License-Identifier: Apache-2.0
"""`check` on files alone, no containerd runs: that its steps lose nothing and break nothing, that it
says what it could not look at, and that it shows no secret."""
import json
import subprocess
import tomllib
import unittest

from tests.integration.check_parts import Checker, places
from tests.integration.harness import Folder
from tests.integration.harness.daemon import binary
from tests.integration.harness.parts import environment

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


if __name__ == "__main__":
    unittest.main()

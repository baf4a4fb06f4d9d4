# SPDX-License-Identifier: Apache-2.0
"""cri-resolvectl render hosts: containerd's certs.d as rendered, read by containerd itself, for what pulls
past the daemon."""
import unittest

from tests.fake.registry_client import FakeRegistry
from tests.integration.harness import RELAY_PORT, Containerd, Content, Cri, Ctl, Daemon, Folder, dead_port

CONTAINERDS = ("1.6", "1.7", "2")


class Hosts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.registry = cls.enterClassContext(FakeRegistry(cls.folder, name="upstream"))
        cls.mirror = cls.enterClassContext(FakeRegistry(cls.folder, name="mirror"))
        cls.containerd = cls.enterClassContext(Containerd(cls.folder, relay_port=None, default=""))
        cls.certs = cls.containerd.certs

    def setUp(self):
        self.repository = "team/" + self.id().rsplit(".", 1)[-1].replace("_", "-")
        for registry in (self.registry, self.mirror):
            registry.clear_log()

    def run(self, result=None):
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before and self.folder:
            self.folder.show_logs(lines=25)

    def render(self, upstreams, **tables):
        """A rendering into containerd's own directory; the program."""
        ctl = Ctl(self.folder, upstreams, **{"shim": {"certs_dir": self.certs}, **tables})
        result = ctl.run("render", "hosts", "--write")
        self.assertEqual(result.code, 0, result)
        return ctl

    def test_bytes_from_the_mirror_and_the_word_of_the_upstream(self):
        self.render({"ghcr.io": {"server": self.registry.url, "mirrors": [self.mirror.url]}})
        content = Content(self.id(), (2_000, 100_000))
        content.push(self.registry, self.repository, "v1")
        Content("stale", (2_000,)).push(self.mirror, self.repository, "v1")
        content.push(self.mirror, self.repository, "there")
        self.containerd.ctr("images", "pull", "--hosts-dir", self.certs, f"ghcr.io/{self.repository}:v1")
        self.assertEqual(self.containerd.store()[f"ghcr.io/{self.repository}:v1"].digest, content.digest)
        self.assertEqual([entry["path"] for entry in self.mirror.log() if entry["path"].endswith("/v1")], [],
                         "the mirror was asked what the tag is")
        self.assertEqual([entry["path"] for entry in self.registry.log(path="/blobs/")], [])
        self.assertGreater(len(self.mirror.log(path="/blobs/")), 0)

    def test_a_mirror_that_is_down(self):
        self.render({"ghcr.io": {"server": self.registry.url, "mirrors": [f"http://127.0.0.1:{dead_port()}"]}})
        content = Content(self.id(), (2_000,))
        content.push(self.registry, self.repository, "v1")
        self.containerd.ctr("images", "pull", "--hosts-dir", self.certs, f"ghcr.io/{self.repository}:v1")
        self.assertEqual(self.containerd.store()[f"ghcr.io/{self.repository}:v1"].digest, content.digest)

    def test_the_relay_beside_a_wildcard(self):
        """The same configuration for the daemon and for containerd: mirrors of everything, which would
        capture the relay without its directory."""
        default = {"server": self.registry.url, "mirrors": [self.mirror.url]}
        self.render({"default": default})
        self.assertTrue((self.certs / "_default/hosts.toml").exists())
        self.assertEqual((self.certs / f"127.0.0.1_{RELAY_PORT}_/hosts.toml").read_text(),
                         "# the relay of cri-resolved: no _default may take its place\n"
                         f'server = "http://127.0.0.1:{RELAY_PORT}"\n\n[host]\n')
        content = Content(self.id(), (2_000, 100_000))
        for registry in (self.registry, self.mirror):
            content.push(registry, self.repository, "v1")
        with Daemon(self.folder, self.containerd, {"default": default}) as daemon, Cri(daemon.socket) as cri:
            self.assertEqual(cri.pull(f"any.example/{self.repository}:v1"), content.id)
            self.assertRegex(daemon.wait_line(rf" pull reference=any.example/{self.repository}:v1 ")[-1],
                             rf"\bsource=relay\b.*{self.mirror.url}: \d+ bytes")
            self.assertEqual(daemon.lines("captured"), [])

    def test_an_upstream_without_the_wildcards_mirrors(self):
        self.render({"default": {"server": self.registry.url, "mirrors": [self.mirror.url]},
                     "plain.example": {"server": self.registry.url, "mirrors": []}})
        content = Content(self.id(), (2_000,))
        for registry in (self.registry, self.mirror):
            content.push(registry, self.repository, "v1")
        self.containerd.ctr("images", "pull", "--hosts-dir", self.certs, f"plain.example/{self.repository}:v1")
        self.assertEqual(self.mirror.log(path=self.repository), [])

    def test_what_is_there_stays_a_source_of_trust(self):
        """An upstream that has no server of its own in our configuration takes it from hosts.toml: that must
        still be there after the rendering. A second one changes nothing."""
        (self.certs / "own.example").mkdir(exist_ok=True)
        path = self.certs / "own.example/hosts.toml"
        path.write_text(f'server = "{self.registry.url}"\n\n[host]\n')
        ctl = Ctl(self.folder)
        ctl.tables = {'upstream."own.example"': {"mirrors": [self.mirror.url]}}
        ctl.write_config(shim={"certs_dir": self.certs})
        shown = ctl.run("render", "hosts")
        self.assertIn(f'--- {path}\n+++ {path}\n@@ -1,3 +1,4 @@\n server = "{self.registry.url}"\n \n-[host]\n'
                      f'+[host."{self.mirror.url}"]\n+  capabilities = ["pull"]\n', shown.out)
        self.assertIn(f"{path}: changed\n", ctl.run("render", "hosts", "--write").out)
        self.assertEqual(len(list(path.parent.glob("hosts.toml.*.bak"))), 1)
        again = ctl.run("render", "hosts", "--write")
        self.assertEqual({line.rpartition(": ")[2] for line in again.lines}, {"was the same"})
        self.assertEqual(len(list(path.parent.glob("hosts.toml.*.bak"))), 1)
        content = Content(self.id(), (2_000,))
        for registry in (self.registry, self.mirror):
            content.push(registry, self.repository, "v1")
        self.assertEqual(ctl.run("resolve", f"own.example/{self.repository}:v1").out,
                         f"own.example/{self.repository}@{content.digest}\n")
        self.containerd.ctr("images", "pull", "--hosts-dir", self.certs, f"own.example/{self.repository}:v1")
        self.assertGreater(len(self.mirror.log(path="/blobs/")), 0)


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: Apache-2.0
"""A node that pulls through registry.mirrors, migrated while it runs: after a restart of containerd it
pulls by itself (from mirrors by digest, tags from the upstream) and through cri-resolved, by the relay,
past a wildcard that would have captured it."""
import re
import unittest

from tests.integration.harness import (Containerd, Crictl, Daemon, Folder, Images, Registry, containerd_version,
                                       free_port, wait_until)
from tests.integration.harness.ctl import Ctl
from tests.integration.migrate_parts import PLUGINS, binary_of, modes

CONTAINERDS = ("1.6", "1.7", "2")
USERS = {"node": "the-nodes-word"}


def legacy(plugin, upstreams, wildcard, private):
    """The sections as people wrote them; private is the one mirror with a password."""
    base = f'plugins."{plugin}".registry'
    text = f'[{base}.mirrors."*"]\nendpoint = ["{wildcard.url}"]\n'
    for upstream, mirror in upstreams:
        text += f'[{base}.mirrors."{upstream.host}"]\nendpoint = ["{mirror.url}"]\n'
    return text + (f'[{base}.configs."{private.host}".auth]\nusername = "node"\npassword = "{USERS["node"]}"\n')


class Node(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = folder = cls.enterClassContext(Folder())
        cls.upstream = cls.enterClassContext(Registry(folder, name="upstream"))
        cls.other = cls.enterClassContext(Registry(folder, name="other"))
        cls.mirror = cls.enterClassContext(Registry(folder, proxy=cls.upstream.url, name="mirror"))
        cls.private = cls.enterClassContext(Registry(folder, users=USERS, proxy=cls.other.url, name="private"))
        cls.wildcard = cls.enterClassContext(Registry(folder, name="wildcard"))
        cls.images = Images(folder)
        cls.containerd = Containerd(folder)
        cls.write_legacy()
        cls.enterClassContext(cls.containerd)
        cls.native = Crictl(folder, cls.containerd.socket)
        cls.images.push(cls.upstream, "team/before", "v", "before")
        cls.native.pull(f"{cls.upstream.host}/team/before:v")
        cls.asked_for_tags_before = cls.mirror.count("HEAD", "team/before", "v")
        cls.migrate()
        cls.containerd.restart()
        cls.enterClassContext(cls.daemon)
        cls.ours = Crictl(folder, cls.containerd.socket, cls.daemon.socket)

    @classmethod
    def write_legacy(cls):
        path = cls.containerd.home / "config.toml"
        plugin = PLUGINS[3] if containerd_version() == "2" else PLUGINS[2]
        text, count = re.subn(r'\[plugins\."[^"]*"\.registry\]\nconfig_path = "[^"]*"\n', lambda _: legacy(
            plugin, ((cls.upstream, cls.mirror), (cls.other, cls.private)), cls.wildcard, cls.private), path.read_text())
        assert count == 1, path.read_text()
        path.write_text(text)

    @classmethod
    def migrate(cls):
        cls.certs = cls.containerd.home / "migrated"
        cls.port = free_port()
        cls.daemon = Daemon(cls.folder, cls.containerd, relay={"port": cls.port})
        cls.daemon.tables["shim"].pop("certs_dir")
        cls.daemon.write_config()
        ctl = Ctl(cls.folder)
        ctl.config = None
        words = ["migrate", "--containerd-config", cls.containerd.home / "config.toml", "--certs-directory", cls.certs,
                 "--output-config", cls.daemon.config, "--containerd-binary", binary_of(containerd_version())]
        results = [ctl.run(*words), ctl.run(*words, "--write"), ctl.run(*words)]
        assert [result.code for result in results] == [1, 0, 0], results
        assert not any(USERS["node"] in result.out + result.err for result in results)

    def test_before_the_mirror_was_asked_for_tags(self):
        self.assertGreater(self.asked_for_tags_before, 0)

    def test_what_was_written(self):
        self.assertEqual({path.name for path in self.certs.iterdir()}, {
            "_default", f"127.0.0.1_{self.port}_", f"127.0.0.1_{self.upstream.port}_", f"127.0.0.1_{self.other.port}_"})
        self.assertEqual(modes(self.daemon.home / "credentials"), {f"127.0.0.1_{self.private.port}": "0o600"})
        self.assertNotIn("mirrors", (self.containerd.home / "config.toml").read_text())

    def test_containerd_alone_takes_tags_from_the_upstream_and_content_from_the_mirror(self):
        digest = self.images.push(self.upstream, "team/alone", "v", "alone")
        self.native.pull(f"{self.upstream.host}/team/alone:v")
        self.assertEqual(self.containerd.store()[f"{self.upstream.host}/team/alone:v"].digest, digest)
        self.assertEqual(self.mirror.count("HEAD", "team/alone", "v"), 0)
        self.assertGreater(self.upstream.count("HEAD", "team/alone", "v"), 0)
        self.assertGreater(sum("/team/alone/blobs/" in r.path and r.status == 200 for r in self.mirror.requests()), 0)

    def test_ctr_does_the_same(self):
        self.images.push(self.upstream, "team/ctr", "v", "ctr")
        self.containerd.ctr("images", "pull", "--hosts-dir", str(self.certs), f"{self.upstream.host}/team/ctr:v")
        self.assertEqual(self.mirror.count("HEAD", "team/ctr", "v"), 0)
        self.assertGreater(sum("/team/ctr/blobs/" in r.path for r in self.mirror.requests()), 0)

    def test_a_private_mirror_serves_containerd_alone(self):
        self.images.push(self.other, "team/private", "v", "private")
        self.native.pull(f"{self.other.host}/team/private:v")
        self.assertGreater(sum("/team/private/blobs/" in r.path and r.status == 200
                               for r in self.private.requests()), 0)

    def test_our_pull_goes_through_the_relay_to_the_mirror(self):
        digest = self.images.push(self.upstream, "team/ours", "v", "ours")
        self.ours.pull(f"{self.upstream.host}/team/ours:v")
        self.assertEqual(self.containerd.store()[f"{self.upstream.host}/team/ours:v"].digest, digest)
        self.assertRegex(self.daemon.log(), rf'pull .*{self.upstream.host}/team/ours:v.* source=relay .*'
                                            rf'mirrors="{re.escape(self.mirror.url)}: \d+ bytes')
        self.assertEqual(self.mirror.count("HEAD", "team/ours", "v"), 0)
        self.assertFalse([r for r in self.wildcard.requests() if "/team/ours/" in r.path])

    def test_our_pull_shows_the_private_mirror_its_credentials(self):
        self.images.push(self.other, "team/secret", "v", "secret")
        self.ours.pull(f"{self.other.host}/team/secret:v")
        self.assertRegex(self.daemon.log(), rf'pull .*{self.other.host}/team/secret:v.* source=relay .*'
                                            rf'mirrors="{re.escape(self.private.url)}: \d+ bytes')

    def test_the_wildcard_is_asked_for_content_alone(self):
        with Registry(self.folder, name="third") as third:
            self.images.push(third, "team/third", "v", "third")
            self.ours.pull(f"{third.host}/team/third:v")
            self.native.pull(f"{third.host}/team/third:v")
        self.assertEqual(self.wildcard.count("HEAD", "team/third", "v"), 0)
        self.assertTrue(any("/team/third/manifests/sha256:" in r.path for r in self.wildcard.requests()))


class Conflict(unittest.TestCase):
    """`mirrors` beside a config_path: containerd runs, and its CRI plugin does not."""

    def test_the_plugin_loads_again(self):
        folder = self.enterContext(Folder())
        registry = self.enterContext(Registry(folder, name="upstream"))
        mirror = self.enterContext(Registry(folder, proxy=registry.url, name="mirror"))
        containerd = Containerd(folder)
        path = containerd.home / "config.toml"
        plugin = PLUGINS[3] if containerd_version() == "2" else PLUGINS[2]
        path.write_text(path.read_text() + f'[plugins."{plugin}".registry.mirrors."{registry.host}"]\n'
                                           f'endpoint = ["{mirror.url}"]\n')
        containerd.process.start()
        wait_until(lambda: "`mirrors` cannot be set when `config_path` is provided" in containerd.process.log(),
                   "containerd's complaint")
        containerd.process.stop()
        ctl = Ctl(folder)
        ctl.config = None
        result = ctl.run("migrate", "--containerd-config", path, "--output-config", folder.path / "ours/config.toml",
                         "--containerd-binary", binary_of(containerd_version()), "--write")
        self.assertEqual(result.code, 0, result)
        with containerd:
            Images(folder).push(registry, "team/app", "v", "conflict")
            Crictl(folder, containerd.socket).pull(f"{registry.host}/team/app:v")
            self.assertEqual(mirror.count("HEAD", "team/app", "v"), 0)
            self.assertGreater(sum("/team/app/blobs/" in r.path for r in mirror.requests()), 0)


if __name__ == "__main__":
    unittest.main()

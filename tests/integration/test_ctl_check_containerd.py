# SPDX-License-Identifier: Apache-2.0
"""`check` on containerd's own configuration, in the three versions: what people come with, what is
found, and that the remedy as it is printed lets the image be pulled."""
import unittest

import grpc

from tests.integration.check_parts import Checker, places, texts
from tests.integration.harness import Containerd, Content, Cri, Folder, Registry, containerd_version
from tests.integration.harness.parts import accepts

CONTAINERDS = ("1.6", "1.7", "2")
PLUGIN = "io.containerd.cri.v1.images" if containerd_version() == "2" else "io.containerd.grpc.v1.cri"


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.upstream = cls.enterClassContext(Registry(cls.folder, name="upstream"))
        cls.cache = cls.enterClassContext(Registry(cls.folder, name="cache"))
        cls.new, cls.old = Content("new"), Content("old")
        cls.new.push(cls.upstream, "team/app", "v1")
        cls.old.push(cls.cache, "other/thing", "v1")

    def check(self, containerd):
        self.containerd = containerd
        self.checker = Checker(self.folder, containerd)
        return self.checker

    def pull(self, image):
        with Cri(self.containerd.socket) as cri:
            return cri.pull(image)

    def assert_refused(self, image):
        with self.assertRaises(grpc.RpcError) as caught:
            self.pull(image)
        return caught.exception

    def config_line(self, text):
        """The number of the one line of config.toml that begins so."""
        lines = (self.containerd.home / "config.toml").read_text().splitlines()
        found = [number for number, line in enumerate(lines, 1) if line.strip().startswith(text)]
        self.assertEqual(len(found), 1, lines)
        return f"{self.containerd.home}/config.toml:{found[0]}"

    def find_one(self, identifier, *arguments):
        found = self.checker.find(identifier, *arguments)
        self.assertEqual(len(found), 1, found)
        return found[0]

    def start_broken(self, containerd):
        """Without its CRI plugin, which the harness would wait for."""
        containerd.pause.start()
        containerd.process.start()
        containerd.process.wait_ready(lambda: accepts(containerd.socket))
        self.addCleanup(containerd.__exit__, None, None, None)


class Wildcards(Case):
    def test_images_that_are_not_the_mirrors_behind_a_wildcard(self):
        """_default/hosts.toml makes the cache the server of every registry."""
        text = f'server = "{self.cache.url}"\n\n[host."{self.cache.url}"]\ncapabilities = ["pull", "resolve"]\n'
        self.check(self.enterContext(Containerd(self.folder, default=text)))
        image = f"{self.upstream.host}/team/app:v1"
        self.assertIn("not found", self.assert_refused(image).details())

        finding = self.find_one("wildcard-mirror", "containerd", "mirrors", "--reference", image)
        default = f"{self.containerd.certs}/_default/hosts.toml"
        self.assertEqual(finding["severity"], "warning")
        self.assertEqual(places(finding), [f"{default}:1", f"{default}:3", self.cache.url])
        self.assertEqual(texts(finding)[2], "has not got 1 of the images that were asked for")
        self.checker.apply(finding)
        self.assertEqual(self.pull(image), self.new.id)
        self.assertEqual(self.checker.find("wildcard-mirror", "containerd"), [])
        kept = (self.containerd.certs / "docker.io/hosts.toml").read_text()
        self.assertEqual(kept, 'server = "https://registry-1.docker.io"\n\n'
                               f'[host."{self.cache.url}"]\ncapabilities = ["pull"]\n')

    def test_the_deprecated_wildcard_gives_another_image_of_the_same_name(self):
        self.old.push(self.cache, "team/app", "v1")
        self.check(self.enterContext(Containerd(self.folder, legacy={"*": [self.cache.url]}, default="")))
        image = f"{self.upstream.host}/team/app:v1"
        self.assertEqual(self.pull(image), self.old.id)

        wildcard = self.find_one("wildcard-mirror", "containerd")
        line = self.config_line(f'[plugins."{PLUGIN}".registry.mirrors."*"]')
        self.assertEqual(places(wildcard), [line])
        finding = self.find_one("deprecated-registry-sections", "containerd")
        self.assertIn(finding["identifier"], wildcard["remedy"]["text"])
        self.assertEqual(places(finding), [line])
        self.assertEqual(finding["severity"], "warning" if self.containerd.which == "2" else "hint")
        self.checker.apply(finding)
        self.assertEqual(self.pull(image), self.new.id)
        self.assertEqual(self.checker.find("wildcard-mirror", "containerd"), [])
        self.assertEqual(self.checker.find("deprecated-registry-sections", "containerd"), [])


class ConfigPath(Case):
    def test_mirrors_beside_config_path(self):
        containerd = Containerd(self.folder, upstreams={"ghcr.io": self.upstream.url})
        config = containerd.home / "config.toml"
        config.write_text(config.read_text() + f'''
# of the old days
[plugins."{PLUGIN}".registry.mirrors]
  [plugins."{PLUGIN}".registry.mirrors."quay.io"]
    endpoint = ["{self.upstream.url}"]
''')
        self.check(containerd)
        self.start_broken(containerd)
        self.assertEqual(self.assert_refused("ghcr.io/team/app:v1").code(), grpc.StatusCode.UNIMPLEMENTED)

        finding = self.find_one("mirrors-beside-config-path", "containerd")
        self.assertEqual(finding["severity"], "error")
        self.assertEqual(places(finding), [
            self.config_line("config_path"), self.config_line(f'[plugins."{PLUGIN}".registry.mirrors."quay.io"]'),
            "crictl info"])
        self.assertIn("unknown service runtime.v1.RuntimeService", texts(finding)[2])
        self.checker.apply(finding)
        self.assertEqual(self.pull("ghcr.io/team/app:v1"), self.new.id)
        self.assertEqual(self.checker.findings("containerd"), self.checker.find("wildcard-mirror", "containerd"))
        self.assertIn("# of the old days\n", config.read_text())
        self.assertEqual((containerd.certs / "quay.io/hosts.toml").read_text(),
                         f'[host."{self.upstream.url}"]\ncapabilities = ["pull"]\n')

    def test_two_directories(self):
        """2.1 and later see one directory with an odd name; 1.x reads both."""
        containerd = Containerd(self.folder, upstreams={"ghcr.io": self.upstream.url})
        config = containerd.home / "config.toml"
        both = f"{containerd.certs}:{containerd.home}/none"
        config.write_text(config.read_text().replace(f'config_path = "{containerd.certs}"', f'config_path = "{both}"'))
        self.check(self.enterContext(containerd))
        if containerd.which != "2":
            self.assertEqual(self.pull("ghcr.io/team/app:v1"), self.new.id)
            self.assertEqual(self.checker.find("two-directory-config-path", "containerd"), [])
            return
        self.assert_refused("ghcr.io/team/app:v1")
        finding = self.find_one("two-directory-config-path", "containerd")
        self.assertEqual((finding["severity"], places(finding)), ("error", [self.config_line("config_path")]))
        self.assertRegex(texts(finding)[0], rf'^config_path is "{both}", containerd is v?2\.\d+\.')
        self.checker.apply(finding)
        self.assertEqual(self.pull("ghcr.io/team/app:v1"), self.new.id)
        self.assertEqual(self.checker.find("two-directory-config-path", "containerd"), [])

    def test_a_section_under_the_name_of_another_format(self):
        containerd = Containerd(self.folder, upstreams={"ghcr.io": self.upstream.url})
        config = containerd.home / "config.toml"
        other = "io.containerd.grpc.v1.cri" if containerd.which == "2" else "io.containerd.cri.v1.images"
        config.write_text(config.read_text().replace(f'[plugins."{PLUGIN}".registry]', f'[plugins."{other}".registry]'))
        self.check(self.enterContext(containerd))
        self.assert_refused("ghcr.io/team/app:v1")
        finding = self.find_one("registry-section-ignored", "containerd")
        self.assertEqual(places(finding), [self.config_line(f'[plugins."{other}".registry]')])
        self.checker.apply(finding)
        self.assertEqual(self.pull("ghcr.io/team/app:v1"), self.new.id)
        self.assertEqual(self.checker.find("registry-section-ignored", "containerd"), [])


class HostsFiles(Case):
    def setUp(self):
        self.check(self.enterContext(Containerd(self.folder, upstreams={"ghcr.io": self.upstream.url})))
        self.path = self.containerd.certs / "ghcr.io/hosts.toml"

    def test_a_value_for_which_the_file_is_discarded(self):
        self.path.write_text(f'server = "{self.upstream.url}"\n\nskip_verify = "true"\n[host]\n')
        self.assert_refused("ghcr.io/team/app:v1")
        finding = self.find_one("hosts-toml-bad-type", "containerd")
        self.assertEqual((finding["severity"], places(finding)), ("error", [f"{self.path}:3"]))
        self.checker.apply(finding)
        self.assertEqual(self.pull("ghcr.io/team/app:v1"), self.new.id)
        self.assertEqual(self.checker.find("hosts-toml-bad-type", "containerd"), [])

    def test_a_misspelt_key_that_grants_everything(self):
        """The cache has another image under the tag, and was meant to serve content only."""
        self.old.push(self.cache, "team/app", "v1")
        self.path.write_text(f'server = "{self.upstream.url}"\n\n[host."{self.cache.url}"]\n  capabilites = ["pull"]\n')
        self.assertEqual(self.pull("ghcr.io/team/app:v1"), self.old.id)
        finding = self.find_one("hosts-toml-unknown-key", "containerd")
        self.assertEqual(places(finding), [f"{self.path}:4"])
        self.assertEqual(texts(finding), ["capabilites: unknown key; is `capabilities` meant?"])
        self.checker.apply(finding)
        self.assertEqual(self.pull("ghcr.io/team/app:v1"), self.new.id)
        self.assertEqual(self.checker.find("hosts-toml-unknown-key", "containerd"), [])

    def test_a_healthy_node_has_no_findings_but_the_wildcard_of_the_harness(self):
        self.assertEqual({one["identifier"] for one in self.checker.findings("containerd", "store")}, {"wildcard-mirror"})
        (self.containerd.certs / "_default/hosts.toml").unlink()
        done = self.checker.run("containerd", "store")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "0 errors, 0 warnings, 0 hints\n", ""))


class Broken(Case):
    def test_a_file_that_is_not_toml(self):
        self.check(self.enterContext(Containerd(self.folder)))
        config = self.containerd.home / "config.toml"
        config.write_text("version = 2\n[plugins\n")
        finding = self.find_one("containerd-config-broken", "containerd")
        self.assertEqual(places(finding), [str(config)])
        self.assertIn(f"{config}:2", texts(finding)[0])


if __name__ == "__main__":
    unittest.main()

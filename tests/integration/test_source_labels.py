# SPDX-License-Identifier: Apache-2.0
"""containerd remembers on all content where it can be had. After pulls through the relay these labels are those
that native pulls of the same images leave in another containerd."""
import unittest

from tests.fake.mirror import FakeMirrors, noise
from tests.integration.content_case import ContentCase
from tests.integration.harness import Containerd, Cri, Daemon, Folder, ShowsLogs, wait_until
from tests.integration.harness.wire import decode

CONTAINERDS = ("1.6", "1.7", "2")
HOST = "registry.example"
LABEL = "containerd.io/distribution.source."
AT_RELAY = "cri-resolved/"
BIG_BYTES = 1 << 20


class SourceLabels(ShowsLogs, ContentCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.upstream = cls.enterClassContext(FakeMirrors(cls.folder))
        cls.port, = cls.upstream.open_ports(1)
        cls.mirror = f"http://127.0.0.1:{cls.port}"
        cls.local = cls.upstream.host  # an upstream on this very machine: the relay has that name, too
        hosts = {HOST: cls.upstream.url, f"127.0.0.1_{cls.upstream.port}_": cls.upstream.url}
        cls.containerd, cls.other = (cls.enterClassContext(Containerd(cls.folder, upstreams=hosts)) for _ in "12")
        entry = {"server": cls.upstream.url, "mirrors": [cls.mirror]}
        cls.daemon = cls.enterClassContext(Daemon(cls.folder, cls.containerd, {HOST: entry, cls.local: entry}))
        cls.cri = cls.enterClassContext(Cri(cls.daemon.socket))
        cls.direct = cls.enterClassContext(Cri(cls.containerd.socket))
        cls.native = cls.enterClassContext(Cri(cls.other.socket))

    def setUp(self):
        self.addCleanup(self.upstream.rules, [])
        self.team = self.id().rpartition(".")[2].replace("_", "-")

    def pull(self, image, reference, source="relay", meanwhile=lambda: None):
        """By both; ours comes by this way."""
        pull = self.cri.pull_future(reference)
        meanwhile()
        self.assertEqual(image.config, decode(pull.result()).text(1))
        self.check_content(image, reference)
        self.assertRegex(self.daemon.wait_line(f" pull reference={reference} ")[-1], rf"\bsource={source}\b")
        self.assertEqual(image.config, self.native.pull(reference))

    def assert_alike(self, *images):
        """All labels of all their content; those of big are returned."""
        ours, native = self.containerd.content(), self.other.content()
        for image in images:
            for kind, digest in image._asdict().items():
                self.assertEqual(native[digest], ours[digest], kind)
                self.assertNotIn(AT_RELAY, str(ours[digest]), kind)
                self.assertIn(f"/{self.team}", str(ours[digest]), kind)
        return ours[images[0].big]

    def pull_without_big(self, image, reference, fault, source="relay"):
        """Big meets the fault once containerd has all the rest: else it may give that up, too."""
        self.upstream.rules([{"path": image.big, **fault, "hold": "big", "times": 1}, {"path": image.big, **fault}])
        rest = {image.config, image.small}

        def meanwhile():
            wait_until(lambda: rest <= set(self.containerd.content()), "containerd has the rest")
            self.upstream.release("big")
        self.pull(image, reference, source, meanwhile)

    def kept(self, repo):
        """An image, and what containerd gets of it in a try that fails is still there in the next one."""
        image = self.upstream.mirrored_image(repo, "stable", self.team)
        self.keep(self.team, "content", *image)
        return image

    def shared(self, host=HOST):
        """Two images, pulled one after the other, the second layer of which is the same."""
        layer, repos = noise(self.id(), BIG_BYTES), [f"{name}/{self.team}" for name in ("one", "two")]
        images = [self.upstream.mirrored_image(repo, "stable", repo, layer) for repo in repos]
        self.assertEqual(images[0].big, images[1].big)
        for image, repo in zip(images, repos):
            self.pull(image, f"{host}/{repo}:stable")
        return self.assert_alike(*images)

    def test_a_layer_that_is_there_already(self):
        """containerd asks nobody for it, and labels it all the same."""
        self.assertEqual(f"one/{self.team},two/{self.team}", self.shared()[LABEL + HOST])

    def test_a_layer_that_is_there_already_and_an_upstream_on_this_machine(self):
        self.assertEqual(f"one/{self.team},two/{self.team}", self.shared(self.local)[LABEL + "127.0.0.1"])

    def test_an_image_that_is_there_already(self):
        """In another repository: not even the manifests are fetched."""
        repos = [f"{name}/{self.team}" for name in ("one", "two")]
        for repo in repos:
            image = self.upstream.mirrored_image(repo, "stable", self.team)
            self.pull(image, f"{HOST}/{repo}:stable")
        self.assert_alike(image)

    def test_content_of_an_earlier_try(self):
        """The mirror is wrong about the last layer, and the next try fetches nothing but that."""
        repo = f"one/{self.team}"
        image = self.kept(repo)
        self.pull_without_big(image, f"{HOST}/{repo}:stable", {"port": self.port, "corrupt": BIG_BYTES // 2})
        self.daemon.wait_line(f"mirror served wrong content .*digest={image.big}")
        small = [entry for entry in self.upstream.log("GET", f"/v2/{repo}/blobs/{image.small}")
                 if "containerd" not in str(entry["headers"])]
        self.assertEqual(1, len(small), "the second try had it from the first one")
        self.assert_alike(image)

    def test_after_a_direct_pull(self):
        """The relay gets the last layer nowhere, containerd does: it has the rest from the relay."""
        repo = f"one/{self.team}"
        image = self.kept(repo)
        self.pull_without_big(
            image, f"{HOST}/{repo}:stable", {"header": {"User-Agent": "^cri-resolved"}, "status": 500}, "upstream")
        asked = [entry["port"] for entry in self.upstream.log("GET", f"/v2/{repo}/blobs/{image.config}")]
        self.assertIn(self.port, asked, "the relay was not used: the test shows nothing")
        self.assert_alike(image)


if __name__ == "__main__":
    unittest.main()

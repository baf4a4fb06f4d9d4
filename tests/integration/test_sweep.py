# SPDX-License-Identifier: Apache-2.0
"""Names of the relay's that nobody uses: what a crash has left in containerd is deleted by the next start."""
import unittest

import grpc

from tests.fake.grpc_gate import GrpcGate
from tests.fake.registry_client import FakeRegistry
from tests.integration.harness import Containerd, Folder, wait_until
from tests.integration.mirror_parts import HOST, NAME_AT_RELAY, MirrorCase

CONTAINERDS = ("1.6", "1.7", "2")
PULL_IMAGE = "/runtime.v1.ImageService/PullImage"
SWEPT = " info a name that an earlier pull has left was deleted image="


class Sweep(MirrorCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.registry = cls.enterClassContext(FakeRegistry(cls.folder, name="upstream"))
        cls.mirror = cls.enterClassContext(FakeRegistry(cls.folder, name="mirror"))
        cls.containerd = cls.enterClassContext(Containerd(cls.folder, upstreams={HOST: cls.registry.url}))
        cls.gate = cls.enterClassContext(GrpcGate(cls.folder.sub("gate") / "g.sock", cls.containerd.socket))

    def name_at_relay(self, content):
        return f"{NAME_AT_RELAY}{HOST}/{self.repository}@{content.digest}"

    def assert_swept(self, *names):
        """These, all of them, and each once."""
        lines = self.daemon.wait_line(SWEPT, len(names))
        self.assertEqual(sorted(names), sorted(line.partition(SWEPT)[2] for line in lines))
        self.assert_no_relay_names()

    def test_names_that_were_left(self):
        """Those of any port that was the relay's; and what only looks like one of them stays."""
        self.start(containerd=self.gate)
        content = self.assert_relayed()
        self.daemon.stop()
        left = self.name_at_relay(content)
        elsewhere = left.replace(NAME_AT_RELAY, "127.0.0.1:7999/cri-resolved/")
        others = [self.image(), left.replace("cri-resolved/", "cri-resolved-too/"),
                  left.replace(NAME_AT_RELAY, f"127.0.0.1:{self.registry.port}/")]
        for name in (left, elsewhere, *others[1:]):
            self.containerd.ctr("images", "tag", self.image(), name)
        self.daemon.start()
        self.assert_swept(left, elsewhere)
        self.assertEqual(set(others), set(others) & set(self.containerd.store()))

    def test_an_end_while_containerd_does_not_answer(self):
        """It does not wait for the answer, nor for a time-out."""
        held = self.gate.hold("/containerd.services.images.v1.Images/List")
        self.start(containerd=self.gate, log={"level": "debug"})
        held.wait_arrived()
        self.daemon.stop()
        held.wait_gone()
        self.assertEqual(self.daemon.lines("not swept"), [])

    def test_a_crash_in_mid_pull(self):
        """containerd has the image under the relay's name, and nobody is left who would give it its own."""
        content = self.push()
        self.start(containerd=self.gate)
        held = self.gate.hold(PULL_IMAGE)
        pull = self.cri.pull_future(self.image())
        held.wait_arrived()
        self.daemon.kill()
        with self.assertRaises(grpc.RpcError):
            pull.result()
        left = self.name_at_relay(content)
        wait_until(lambda: left in self.containerd.store(), "containerd has it under the relay's name")
        self.daemon.start()
        self.assert_swept(left)
        self.pull(content)


if __name__ == "__main__":
    unittest.main()

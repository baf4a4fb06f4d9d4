# SPDX-License-Identifier: Apache-2.0
"""mode = "passthrough" for an upstream: its pulls are containerd's own, and we have nothing to do with them."""
import base64
import unittest

import grpc

from tests.fake.grpc_gate import GrpcGate
from tests.fake.registry_client import FakeRegistry
from tests.integration.harness import Containerd, Content, Cri, Daemon, Folder
from tests.integration.harness.cri import auth_config
from tests.integration.harness.wire import decode, encode
from tests.integration.mirror_parts import authorised

CONTAINERDS = ("1.6", "1.7", "2")
PULL_IMAGE = "/runtime.v1.ImageService/PullImage"
PASSED, RESOLVED = "passed.example", "resolved.example"
WORD = "word-of-ann"
ANN = auth_config(username="ann", password=WORD)


class Passthrough(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.registry = cls.enterClassContext(FakeRegistry(cls.folder))
        cls.mirror = cls.enterClassContext(FakeRegistry(cls.folder, name="mirror"))
        cls.registry.auth({".*": {"scheme": "basic", "users": {"ann": WORD}}})
        cls.containerd = cls.enterClassContext(Containerd(
            cls.folder, upstreams=dict.fromkeys((PASSED, RESOLVED), cls.registry.url)))
        cls.gate = cls.enterClassContext(GrpcGate(cls.folder.sub("gate") / "g.sock", cls.containerd.socket))
        entry = {"server": cls.registry.url, "mirrors": [cls.mirror.url]}
        cls.daemon = cls.enterClassContext(Daemon(cls.folder, cls.gate, {
            PASSED: {**entry, "mode": "passthrough"}, RESOLVED: entry}))
        cls.cri = cls.enterClassContext(Cri(cls.daemon.socket))
        cls.native = cls.enterClassContext(Cri(cls.containerd.socket))

    def setUp(self):
        self.repository = "team/" + self.id().rsplit(".", 1)[-1].replace("_", "-")
        self.content = Content(self.id())
        for place in (self.registry, self.mirror):
            self.content.push(place, self.repository, "v1")
            place.clear_log()
        self.gate.requests.clear()

    def image(self, host=PASSED):
        return f"{host}/{self.repository}:v1"

    def agents(self):
        """Who has asked the upstream."""
        return {value.partition("/")[0] for entry in self.registry.log() for name, value in entry["headers"]
                if name.lower() == "user-agent"}

    def assert_untouched(self, request):
        """The request, bytes and all, is the one thing that containerd was told; nobody else heard of it."""
        self.assertEqual([request], self.gate.requests[PULL_IMAGE])
        self.assertEqual(["PullImage"], [path.rpartition("/")[2] for path in self.gate.requests if "/runtime.v1.ImageS" in path])
        self.assertEqual([], self.mirror.log())
        self.assertEqual({"containerd"}, self.agents())

    def test_the_request_arrives_as_it_was_sent(self):
        """What we know nothing of, in an order that we would not use, with credentials and all."""
        request = encode([(99, "unknown"), (2, ANN), (3, encode([(1, [(1, "pod")])])), (1, [
            (2, {"note": "of somebody"}), (1, self.image()), (98, 7)])])
        answer = self.cri.call(PULL_IMAGE, request)
        self.assertEqual(self.content.id, decode(answer).text(1))
        self.assert_untouched(request)
        self.assertEqual({"Basic " + base64.b64encode(f"ann:{WORD}".encode()).decode()}, {
            dict(entry["headers"])["Authorization"] for entry in authorised(self.registry.log())})
        record = self.containerd.store()[self.image()]
        self.assertEqual((self.content.digest, []), (record.digest, [key for key in record.labels if "resolved" in key]))
        self.assertRegex(self.daemon.wait_line(f" pull reference={self.image()} ")[-1], r"\bsource=containerd outcome=ok\b")

    def test_the_error_is_containerds(self):
        for name in (f"{PASSED}/team/nowhere:v1", f"{PASSED}/{self.repository}:nothing"):
            with self.subTest(name):
                self.gate.requests.clear()
                ours, native = self.failure(self.cri, name), self.failure(self.native, name)
                self.assertEqual(native, ours)
                self.assertEqual(grpc.StatusCode.NOT_FOUND, ours[0])
                self.assert_untouched(Cri.pull_request(name, ANN))

    def failure(self, cri, name):
        with self.assertRaises(grpc.RpcError) as caught:
            cri.pull(name, ANN)
        return caught.exception.code(), caught.exception.details()

    def test_another_upstream_is_resolved(self):
        self.assertEqual(self.content.id, self.cri.pull(self.image(RESOLVED), ANN))
        asked = [decode(request).message(1).text(1) for request in self.gate.requests[PULL_IMAGE]]
        self.assertEqual([f"cri-resolved/{RESOLVED}/{self.repository}@{self.content.digest}"],
                         [name.partition("/")[2] for name in asked])
        self.assertEqual({"cri-resolved"}, self.agents())


if __name__ == "__main__":
    unittest.main()

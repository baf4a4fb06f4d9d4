# SPDX-License-Identifier: Apache-2.0
"""Somebody is served a digest by the relay, and makes it last. What others have to clean of that digest waits for its
end, but not for ever: their pulls go on without the relay.

containerd itself fetches a digest for one pull after the other. So the lasting one is nobody who waits in containerd:
here the test takes the grant that containerd would have got, and reads no more than the head."""
import base64
import hashlib
import http.client
import queue
import socket
import threading
import unittest

import grpc

from tests.fake.grpc_gate import PATIENCE_S, GrpcGate
from tests.fake.mirror import FakeMirrors
from tests.fake.registry_client import CONFIG, MANIFEST
from tests.integration.content_case import ContentCase
from tests.integration.harness import Containerd, Cri, Daemon, Folder, free_port
from tests.integration.harness.wire import decode

CONTAINERDS = ("1.6", "1.7", "2")
PULL_IMAGE = "/runtime.v1.ImageService/PullImage"
VICTIM, OTHERS = "victim.example", "others.example"
BIG_BYTES = 8 << 20  # more than the kernel keeps for who does not read
UNREAD_BYTES = 1 << 16
AT = 300000


class Failed(grpc.RpcError):
    def code(self):
        return grpc.StatusCode.UNKNOWN

    def details(self):
        return "failed to pull: the test has ended it"


class Grant:
    """What containerd was asked for with it is not done; it is in use until end()."""

    def __init__(self, request):
        asked = decode(request)
        self.name = asked.message(1).text(1)
        auth = asked.message(2)
        self.user, self.password = (auth.text(1), auth.text(2)) if auth else ("", "")
        self.ended = threading.Event()

    def end(self):
        self.ended.set()

    def get(self, port, path, unread=False):
        """The relay's answer, of which the head is read."""
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        line.sock = socket.socket()
        line.sock.settimeout(PATIENCE_S)
        if unread:
            line.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UNREAD_BYTES)
        line.sock.connect(("127.0.0.1", port))
        word = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        repository = self.name.partition("/")[2].partition("@")[0]
        line.request("GET", f"/v2/{repository}/{path}", headers={"Authorization": f"Basic {word}"})
        answer = line.getresponse()
        assert answer.status == 200, answer.status
        return answer


class Gate(GrpcGate):
    """Pulls from OTHERS do not reach containerd: those through the relay are grants for the test."""

    def __init__(self, *args):
        super().__init__(*args)
        self.grants = queue.Queue()

    def replaces(self, path, request):
        return path == PULL_IMAGE and OTHERS in decode(request).message(1).text(1)

    def carry_out(self, path, request):
        grant = Grant(request)
        if grant.name.startswith("127.0.0.1"):
            self.grants.put(grant)
            grant.ended.wait(PATIENCE_S)
        raise Failed


class HeldDigest(ContentCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.upstream = cls.enterClassContext(FakeMirrors(cls.folder))
        cls.port = free_port()
        cls.containerd = cls.enterClassContext(Containerd(cls.folder, upstreams={VICTIM: cls.upstream.url}))
        cls.containerd.set_upstream(f"127.0.0.1_{cls.port}_", f"http://127.0.0.1:{cls.port}")
        cls.gate = cls.enterClassContext(Gate(cls.folder.sub("gate") / "g.sock", cls.containerd.socket))
        entries = {host: {"server": cls.upstream.url, "mirrors": [f"http://127.0.0.1:{port}"]}
                   for host, port in zip((VICTIM, OTHERS), cls.upstream.open_ports(2))}
        cls.daemon = cls.enterClassContext(Daemon(
            cls.folder, cls.gate.socket, entries, shim={"certs_dir": str(cls.containerd.certs)},
            relay={"port": cls.port, "first_byte_timeout": "1s", "stall_timeout": "500ms"}, log={"level": "debug"}))
        cls.cri = cls.enterClassContext(Cri(cls.daemon.socket))
        cls.direct = cls.enterClassContext(Cri(cls.containerd.socket))

    def setUp(self):
        self.repo = f"held/{self.id().rpartition('.')[2].replace('_', '-')}"
        self.reference = f"{VICTIM}/{self.repo}:stable"
        self.image = self.upstream.mirrored_image(self.repo, "stable", self.repo, big_bytes=BIG_BYTES)
        self.size = len(self.upstream.get(f"{self.repo}/blobs/{self.image.big}")[0])
        self.addCleanup(self.upstream.rules, [])

    def borrow(self, name):
        """Somebody else's image, whose config is the victim's layer: (grant, pull under way, its manifest read)."""
        repo = f"{self.repo}-{name}"
        digest = self.upstream.put_manifest(repo, "stable", {
            "schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
            "config": {"mediaType": CONFIG, "digest": self.image.big, "size": self.size}})
        pull = self.cri.pull_future(f"{OTHERS}/{repo}:stable")
        grant = self.gate.grants.get(timeout=PATIENCE_S)
        self.addCleanup(grant.end)
        grant.get(self.port, f"manifests/{digest}").read()  # it says which ingest is to be aborted
        return grant, pull

    def hold(self):
        """The victim's layer is on its way to somebody from now on."""
        grant, self.held = self.borrow("slow")  # who forgets a call cancels it
        return grant.get(self.port, f"blobs/{self.image.big}", unread=True)

    def assert_held(self, answer):
        """It still was: all of it comes."""
        self.assertEqual(self.image.big, "sha256:" + hashlib.sha256(answer.read()).hexdigest())

    def pull(self, source, count=1):
        self.assertEqual(self.image.config, self.cri.pull(self.reference))
        self.check_content(self.image, self.reference)
        line = self.daemon.wait_line(rf" pull reference={self.reference} ", count)[-1]
        self.assertRegex(line, rf"\bsource={source}\b")

    def test_of_ones_own(self):
        """All sources have broken off; what has come cannot be cleaned, and the rest comes without the relay."""
        self.upstream.rules([{"path": f"/{self.repo}/blobs/{self.image.big}", "hang_up": True, "after_bytes": AT,
                              "times": 5}])
        held = self.hold()
        self.pull("upstream")
        self.assert_held(held)

    def test_of_others(self):
        """Another pull has locked it, cannot clean it, or does not even come to that."""
        self.upstream.rules([{"path": f"/{self.repo}-spoilt/blobs/{self.image.big}", "hang_up": True,
                              "after_bytes": AT}])
        held = self.hold()
        grant, pull = self.borrow("spoilt")
        with self.assertRaises(http.client.IncompleteRead):
            grant.get(self.port, f"blobs/{self.image.big}").read()
        self.pull("upstream")
        self.assertTrue(self.daemon.lines(rf"the relay has not got it reference={VICTIM}/{self.repo}@.*"
                                          "is being cleaned up"), "it was locked")
        grant.end()
        self.assertIn("the test has ended it", pull.exception().details())
        self.remove(self.image)
        self.pull("relay", count=2)  # nothing is locked any more
        self.assert_held(held)


if __name__ == "__main__":
    unittest.main()

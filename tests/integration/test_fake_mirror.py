# SPDX-License-Identifier: Apache-2.0
"""The fake mirrors fail as they are told to: the fault matrix leans on each of these faults."""
import gzip
import http.client
import io
import json
import socket
import ssl
import tarfile
import time
import unittest
import urllib.request

from tests.fake.mirror import FakeMirrors, noise
from tests.fake.registry_client import sha256
from tests.integration.faults import DYING, FAULTS, FIRST, NOTHING, POSITIONS, Faults, plan
from tests.integration.harness import Containerd, Cri, Folder
from tests.integration.harness.images import self_signed

REPO, TAG = "team/app", "stable"
PATIENCE_S = 0.3  # how long silence is waited for
NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.upstream = cls.enterClassContext(FakeMirrors(cls.folder))
        cls.image = cls.upstream.mirrored_image(REPO, TAG, "v1")

    def setUp(self):
        self.port, = self.upstream.open_ports(1)
        self.line = self.connect()
        self.addCleanup(self.upstream.rules, [])

    def connect(self, timeout_s=20):
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        self.addCleanup(line.close)
        return line

    def ask(self, line=None, path=None, method="GET", **headers):
        """(status, headers, body) of a request for the index, or for what is said."""
        line = line or self.line
        line.request(method, path or self.manifest(TAG), headers=headers)
        found = line.getresponse()
        return found.status, found.headers, found.read()

    @staticmethod
    def manifest(reference):
        return f"/v2/{REPO}/manifests/{reference}"

    @staticmethod
    def blob(digest):
        return f"/v2/{REPO}/blobs/{digest}"

    def rule(self, **rule):
        self.upstream.rules([{"port": self.port, **rule}])


class Content(Case):
    def test_an_image_of_two_layers_below_an_index(self):
        index = json.loads(self.ask()[2])
        self.assertEqual([self.image.manifest], [entry["digest"] for entry in index["manifests"]])
        manifest = json.loads(self.ask(path=self.manifest(self.image.manifest))[2])
        self.assertEqual([self.image.small, self.image.big], [layer["digest"] for layer in manifest["layers"]])
        config = json.loads(self.ask(path=self.blob(self.image.config))[2])
        for layer, diff_id in zip(manifest["layers"], config["rootfs"]["diff_ids"]):
            body = self.ask(path=self.blob(layer["digest"]))[2]
            self.assertEqual((layer["digest"], layer["size"], diff_id),
                             (sha256(body), len(body), sha256(gzip.decompress(body))))
        self.assertGreater(manifest["layers"][1]["size"], 1 << 20)
        self.assertLess(manifest["layers"][0]["size"], 64 << 10)

    def test_images_may_share_a_layer(self):
        shared = noise("shared", 1 << 20)
        one, two = (self.upstream.mirrored_image("team/" + name, TAG, name, shared) for name in ("one", "two"))
        self.assertEqual(one.big, two.big)
        self.assertEqual(5, len({one.small, two.small, one.config, two.config, one.big}))
        with tarfile.open(fileobj=io.BytesIO(shared[0])) as tar:
            self.assertEqual(["noise"], tar.getnames())

    def test_a_rule_is_for_its_port(self):
        other, = self.upstream.open_ports(1)
        self.rule(status=500, name="here")
        self.assertEqual(500, self.ask()[0])
        self.port = other
        self.assertEqual(200, self.ask(self.connect())[0])
        self.assertEqual([("here", 500), (None, 200)], [
            (entry["rule"], entry["status"]) for entry in self.upstream.log(path=REPO)[-2:]])
        self.assertEqual(other, self.upstream.log(path=REPO)[-1]["port"])
        self.upstream.delete_rules("here")
        self.assertEqual(200, self.ask()[0])

    def test_only_the_main_port_asks_for_credentials(self):
        self.upstream.auth({"team/.*": {"scheme": "basic", "users": {"ann": "x"}}})
        self.addCleanup(self.upstream.auth, {})
        self.assertEqual(200, self.ask()[0])
        self.port = self.upstream.port
        self.assertEqual(401, self.ask(self.connect())[0])

    def test_containerd_pulls_it_from_a_port(self):
        name = f"registry.example/{REPO}:{TAG}"
        hosts = {"registry.example": f"http://127.0.0.1:{self.port}"}
        with Folder() as folder, Containerd(folder, upstreams=hosts) as containerd, Cri(containerd.socket) as cri:
            self.assertEqual(self.image.config, cri.pull(name))
            self.assertEqual(self.image.index, containerd.store()[name].digest)


class BelowHttp(Case):
    def assert_drops(self):
        with self.assertRaises(TimeoutError):
            self.connect(PATIENCE_S).connect()

    def assert_refuses(self):
        with self.assertRaises(ConnectionRefusedError):
            self.connect().connect()

    def test_drop(self):
        self.ask()
        self.upstream.set_state(self.port, "drop")
        self.assert_drops()
        self.line.sock.settimeout(PATIENCE_S)
        with self.assertRaises(TimeoutError):
            self.ask()  # what stood is silent
        self.upstream.set_state(self.port, "open")
        self.assertEqual(200, self.ask(self.connect())[0])

    def test_refuse(self):
        self.ask()
        self.upstream.set_state(self.port, "refuse")
        self.assert_refuses()
        self.assertEqual(b"", self.line.sock.recv(1))  # what stood is closed
        self.upstream.set_state(self.port, "open")
        self.assertEqual(200, self.ask(self.connect())[0])

    def test_dies_after_an_answer(self):
        for state, check in (("drop", self.assert_drops), ("refuse", self.assert_refuses)):
            with self.subTest(state):
                self.upstream.set_state(self.port, "open")
                line, idle = self.connect(), self.connect()
                self.ask(idle)
                self.rule(path=self.image.index, then=state)
                status, _, body = self.ask(line, self.manifest(self.image.index))
                self.assertEqual((200, self.image.index), (status, sha256(body)))
                check()
                idle.sock.settimeout(PATIENCE_S)
                with self.assertRaises((TimeoutError, http.client.RemoteDisconnected, ConnectionError)):
                    self.ask(idle)

    def test_dies_by_the_test_only(self):
        with self.assertRaisesRegex(AssertionError, "no such state"):
            self.upstream.set_state(self.port, "dead")

    def test_tls(self):
        files = self_signed(self.folder)
        self.port, = self.upstream.open_ports(1, tls=files)
        with self.assertRaises(ssl.SSLCertVerificationError):
            self.over_tls(ssl.create_default_context())
        self.assertEqual(200, self.over_tls(ssl.create_default_context(cafile=files[0])))

    def over_tls(self, trust):
        line = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=20, context=trust)
        self.addCleanup(line.close)
        return self.ask(line)[0]

    def test_silent_after_accept(self):
        self.rule(silence=True)
        with self.assertRaises(TimeoutError):
            self.ask(self.connect(PATIENCE_S))


class Bodies(Case):
    def begin(self, timeout_s=20):
        """The big layer, with its head read: (answer, its length)."""
        self.line = self.connect(timeout_s)
        self.line.request("GET", self.blob(self.image.big))
        answer = self.line.getresponse()
        return answer, int(answer.headers["Content-Length"])

    def test_slow_drip(self):
        self.rule(drip_ms=5, name="drip")
        answer, length = self.begin()
        self.assertGreater(length, 1 << 20)
        self.assertEqual(4, len(answer.read(4)))
        self.assertEqual(b"", answer.fp.peek()[8:])  # one now and then, not many
        answer.close()
        self.line.close()
        self.upstream.wait(path=self.image.big, state="gone")

    def test_slow_drip_to_its_end(self):
        self.rule(drip_ms=1, after_bytes=100)
        status, _, body = self.ask(path=self.manifest(self.image.index))
        self.assertEqual((200, self.image.index), (status, sha256(body)))

    def test_stall_in_the_middle(self):
        self.rule(path=self.image.big, silence=True, after_bytes=300000)
        answer, length = self.begin(PATIENCE_S)
        self.assertGreater(length, 1 << 20)
        self.assertEqual(300000, len(answer.read(300000)))
        with self.assertRaises(TimeoutError):
            answer.read(1)

    def test_cut_in_the_middle(self):
        self.rule(path=self.image.big, hang_up=True, after_bytes=300000)
        answer, length = self.begin()
        with self.assertRaises(http.client.IncompleteRead) as caught:
            answer.read()
        self.assertEqual((300000, length - 300000), (len(caught.exception.partial), caught.exception.expected))

    def test_wrong_length(self):
        whole = self.ask(path=self.blob(self.image.big))[2]
        self.rule(path=self.image.big, trim=1000)
        status, headers, body = self.ask(path=self.blob(self.image.big))
        self.assertEqual((200, str(len(whole) - 1000), whole[:-1000]), (status, headers["Content-Length"], body))

    def test_corrupt(self):
        self.rule(path=self.image.big, corrupt=500000)
        status, headers, body = self.ask(path=self.blob(self.image.big))
        self.assertEqual((200, str(len(body))), (status, headers["Content-Length"]))
        self.assertNotEqual(self.image.big, sha256(body))
        self.assertEqual(self.image.big, sha256(body[:500000] + bytes([body[500000] ^ 1]) + body[500001:]))

    def test_redirect_loop(self):
        self.rule(redirect=f"http://127.0.0.1:{self.port}{{path}}")
        for _ in range(3):
            status, headers, _ = self.ask()
            self.assertEqual((307, f"http://127.0.0.1:{self.port}{self.manifest(TAG)}"), (status, headers["Location"]))


class Planned(unittest.TestCase):
    """A plain client meets each fault of the matrix where the plan says so."""

    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.faults = cls.enterClassContext(Faults(cls.folder))

    def read(self, cell, at, kind):
        """Gets an object of the cell's image from a mirror; AssertionError or OSError if it is not right."""
        request = urllib.request.Request(cell.urls[at] + cell.path(kind), headers={"Accept": "*/*"})
        body, ends = b"", time.monotonic() + 0.5
        with NO_PROXY.open(request, timeout=PATIENCE_S) as answer:
            while piece := answer.read1(65536):
                body += piece
                self.assertLess(time.monotonic(), ends, "slow")
            if answer.length:
                raise http.client.IncompleteRead(body, answer.length)
        self.assertEqual(getattr(cell.image, kind), sha256(body))

    def failures(self, cell, at):
        failed = []
        for kind in cell.image._fields:
            try:
                self.read(cell, at, kind)
            except (OSError, AssertionError, http.client.HTTPException):
                failed.append(kind)
        return failed

    def test_each_fault(self):
        for cell in plan("1.6", True):
            if cell.position in (FIRST, DYING):
                with self.subTest(cell.name):
                    self.faults.open(cell)
                    self.faults.arm(cell)
                    wanted = [cell.fault.what] if cell.fault.what else list(cell.image._fields)
                    if cell.position == DYING:
                        wanted = [kind.replace("index", "manifest") for kind in wanted]
                        wanted = sorted(set(wanted), key=cell.image._fields.index)
                    self.assertEqual(wanted, self.failures(cell, 0))
                    for other in range(1, cell.mirrors):
                        self.assertEqual([], self.failures(cell, other))
                    if len(wanted) == 1:
                        served = {"config", "small", "big", "index", "manifest"} - set(wanted)
                        self.assertEqual(len(served), self.faults.served(cell)["mirror 1"])

    def test_nothing_healthy(self):
        cell = plan("1.6", True)[POSITIONS.index(NOTHING)]
        self.faults.open(cell)
        self.faults.arm(cell)
        cell.urls.append(self.faults.registry.url)
        self.assertEqual([list(cell.image._fields)] * 3, [self.failures(cell, at) for at in range(3)])
        self.faults.mend_upstream(cell)
        self.assertEqual([], self.failures(cell, 2))

    def test_the_turns(self):
        """Each containerd meets each fault, and no two of them in the same position."""
        seen = [[(cell.fault.name, cell.position) for cell in plan(which, False)] for which in ("1.6", "1.7", "2")]
        self.assertEqual([[fault.name for fault in FAULTS]] * 3, [[name for name, _ in cells] for cells in seen])
        self.assertEqual(3 * len(FAULTS), len(set(sum(seen, []))))
        self.assertEqual(4 * len(FAULTS), len({cell.name for cell in plan("2", True)}))


if __name__ == "__main__":
    unittest.main()

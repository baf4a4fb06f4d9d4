# SPDX-License-Identifier: Apache-2.0
"""A hostile neighbour: whoever else is on this node reaches the relay's port. He gets not one byte, and
pulls go on meanwhile. And a pod that may not have an image gets it from no mirror."""
import base64
import contextlib
import resource
import socket
import unittest

import grpc

from tests.fake.grpc_gate import GrpcGate
from tests.fake.registry_client import FakeRegistry
from tests.integration.harness import RELAY_PORT, Containerd, Content, Cri, Daemon, Folder, Registry, wait_until
from tests.integration.harness.cri import auth_config
from tests.integration.harness.wire import decode
from tests.integration.mirror_parts import HOST, NAME_AT_RELAY, MirrorCase

TIMEOUT_S = 300
PULL_IMAGE = "/runtime.v1.ImageService/PullImage"
CLIENT_HELLO = bytes.fromhex("1603010200010001fc0303") + bytes(200)
MANY = 1000
REFUSED = "401 Unauthorized|no basic auth credentials|authorization failed"
REFUSALS = (400, 401, 404, 405, 413, 414, 431, 505)


def connect():
    return socket.create_connection(("127.0.0.1", RELAY_PORT), timeout=20)


def answer_to(data):
    """What the relay says to these bytes, until it closes."""
    with connect() as line:
        heard = b""
        try:
            line.sendall(data)
            line.shutdown(socket.SHUT_WR)
            while piece := line.recv(65536):
                heard += piece
        except OSError:
            pass  # it closed before it had read all
        return heard


def request(path, method="GET", headers=()):
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def basic(user, password):
    return f"Authorization: Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


class RelayCase(MirrorCase):
    """A daemon with a gate between it and containerd, where the grants can be read."""

    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.registry = cls.enterClassContext(FakeRegistry(cls.folder, name="upstream"))
        cls.mirror = cls.enterClassContext(FakeRegistry(cls.folder, name="mirror"))
        cls.containerd = cls.enterClassContext(Containerd(cls.folder, upstreams={HOST: cls.registry.url}))
        cls.gate = cls.enterClassContext(GrpcGate(cls.folder.sub("gate") / "g.sock", cls.containerd.socket))
        cls.daemon = cls.enterClassContext(Daemon(cls.folder, cls.gate.socket, {
            HOST: {"server": cls.registry.url, "mirrors": [cls.mirror.url]}}, shim={
                "certs_dir": str(cls.containerd.certs)}))
        cls.cri = cls.enterClassContext(Cri(cls.daemon.socket))
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4 * MANY), hard))

    def setUp(self):
        super().setUp()
        self.addCleanup(self.let_go)

    def let_go(self):
        self.mirror.rules([])
        self.mirror.release("held")

    def pull_held(self, tag="v1"):
        """(content, pull under way): the mirror holds its largest blob back."""
        content = self.push(tag)
        self.mirror.rules([{"path": f"/blobs/{content.layers[-1]}", "hold": "held"}])
        under_way = self.cri.pull_future(self.image(tag))
        self.mirror.wait(path=content.layers[-1], state="held")
        return content, under_way

    def grant(self):
        """(repository at the relay, user, password) of the last pull that containerd was asked for."""
        asked = decode(self.gate.requests[PULL_IMAGE][-1])
        name, auth = asked.message(1).text(1), asked.message(2)
        self.assertTrue(name.startswith(NAME_AT_RELAY), name)
        return name.partition("/")[2].partition("@")[0], auth.text(1), auth.text(2)

    def finish(self, content, under_way):
        """The pull goes on to its end, through the relay."""
        self.let_go()
        self.assertEqual(decode(under_way.result()).text(1), content.id)
        self.assertRegex(self.pull_line(self.image()), r"\bsource=relay\b.*outcome=ok")

    def assert_nothing(self, heard, content, what):
        """A refusal or a closed connection, without a byte of content."""
        head, _, body = heard.partition(b"\r\n\r\n")
        if heard:
            self.assertIn(int(head.split()[1]), REFUSALS, what)
        for kept in (content.manifest, *content.blobs.values()):
            self.assertNotIn(kept[:64], heard, what)
        self.assertLess(len(body), 400, what)


class Grants(RelayCase):
    """While a pull is held open, so that there is a grant."""

    def test_without_the_grant(self):
        content, under_way = self.pull_held()
        name, user, password = self.grant()
        path = f"/v2/{name}/manifests/{content.digest}"
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        other = "A" if password[-1] != "A" else "B"
        for what, headers in {
                "nothing": [], "no value": ["Authorization:"], "no credentials": ["Authorization: Basic"],
                "no password": [basic(user, "")], "another password": [basic(user, "0" * len(password))],
                "its last letter": [basic(user, password[:-1] + other)], "a part": [basic(user, password[:-1])],
                "more": [basic(user, password + "0")], "another user": [basic("root", password)],
                "no user": [basic("", password)], "a line more": [basic(user, password + "\n")],
                "as a token": [f"Authorization: Bearer {password}"], "both as a token": [f"Authorization: Bearer {token}"],
                "no base64": [f"Authorization: Basic {user}:{password}"],
                "another header": [f"Proxy-Authorization: Basic {token}"],
                "in two headers": ["Authorization: Basic 0", f"X-Authorization: Basic {token}"]}.items():
            for method in ("GET", "HEAD"):
                self.assert_nothing(answer_to(request(path, method, headers)), content, what)
        heard = answer_to(request(path, headers=[basic(user, password)]))
        self.assertIn(b"HTTP/1.1 200 ", heard, "this one is good: else the test shows nothing")
        self.assertTrue(heard.endswith(content.manifest))
        self.finish(content, under_way)

    def test_other_places(self):
        content, under_way = self.pull_held()
        name, user, password = self.grant()
        secret = Content(f"{self.id()} of somebody else", (3_000,))
        for registry in (self.registry, self.mirror):
            secret.push(registry, "team/secret", "v1")
        digest, other = content.digest, f"cri-resolved/{HOST}/team/secret"
        small = f"sha256:{digest[7:].upper()}"
        paths = [f"/v2/{other}/manifests/{secret.digest}", f"/v2/{other}/blobs/{secret.id}",
                 f"/v2/{HOST}/{self.repository}/manifests/{digest}", f"/v2/{self.repository}/manifests/{digest}",
                 f"/v2/{name}/manifests/v1", f"/v2/{name}/manifests/latest", f"/v2/{name}/manifests/",
                 f"/v2/{name}/manifests", f"/v2/{name}/tags/list", f"/v2/{name}", "/v2/", "/v2", "/", "*",
                 f"/v2/{name}/manifests/sha512:{'0' * 128}", f"/v2/{name}/manifests/{digest[7:]}",
                 f"/v2/{name}/manifests/{digest[:-1]}", f"/v2/{name}/manifests/{digest}0", f"/v2/{name}/manifests/{small}",
                 f"/v2/{name}/manifests/{digest}/", f"/v2/{name}/manifests/{digest}/.", f"/v2/{name}/manifests//{digest}",
                 f"/v2/{name.upper()}/manifests/{digest}", f"/V2/{name}/manifests/{digest}",
                 f"//v2/{name}/manifests/{digest}", f"/v2//{name}/manifests/{digest}", f"/v2/./{name}/manifests/{digest}",
                 f"/v2/{name}/../secret/manifests/{secret.digest}", f"/v2/{name}/%2e%2e/secret/manifests/{secret.digest}",
                 f"/v2/{name}/..%2fsecret/manifests/{secret.digest}", f"/v2/{name}%2f..%2fsecret/blobs/{secret.id}",
                 f"/v2/{name}/manifests/../../../{other}/manifests/{secret.digest}",
                 f"/v2/{name}/manifests/..%2f..%2fblobs/{digest}", f"/v2/{name}/manifests/%2e%2e/{digest}",
                 f"/v2/{name}%00/manifests/{digest}", f"/v2/{name}/manifests/%00{digest}",
                 f"/v2/{name}/manifests/{digest}%0d%0aX:%20y", f"/v2/{name}\\manifests\\{digest}",
                 f"/v2/{name}/blobs/uploads/", f"/v2/{name}/{'x' * 6000}/manifests/{digest}", f"/v2/{'x/' * 20000}",
                 f"http://127.0.0.1:{self.registry.port}/v2/team/secret/manifests/{secret.digest}"]
        for path in paths:
            for method in ("GET", "HEAD"):
                heard = answer_to(request(path, method, [basic(user, password)]))
                self.assert_nothing(heard, content, path[:200])
                self.assert_nothing(heard, secret, path[:200])
        self.assertEqual([entry["path"] for entry in self.mirror.log(path="team/secret") + self.registry.log(
            path="team/secret")], [], "nobody was even asked")
        self.finish(content, under_way)

    def test_other_methods(self):
        content, under_way = self.pull_held()
        name, user, password = self.grant()
        for method in ("PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "BREW", "G E T"):
            for path in (f"/v2/{name}/manifests/{content.digest}", f"/v2/{name}/blobs/{content.id}",
                         f"/v2/{name}/blobs/uploads/"):
                with self.subTest(method=method, path=path):
                    self.assert_nothing(answer_to(request(path, method, [basic(user, password)])), content, method)
        self.finish(content, under_way)

    def assert_expired(self, content):
        name, user, password = self.grant()
        for path in (f"/v2/{name}/manifests/{content.digest}", f"/v2/{name}/blobs/{content.layers[0]}"):
            heard = answer_to(request(path, headers=[basic(user, password)]))
            self.assertTrue(heard.startswith(b"HTTP/1.1 401 "), heard[:200])
            self.assert_nothing(heard, content, path)

    def test_after_the_pull(self):
        content = self.push()
        self.pull(content)
        self.assert_expired(content)

    def test_after_a_pull_that_was_cancelled(self):
        content, under_way = self.pull_held()
        under_way.cancel()
        self.mirror.wait(path=content.layers[-1], state="gone")
        wait_until(lambda: self.daemon.lines(rf" pull reference={self.image()} "), "the pull has ended")
        self.assert_expired(content)

    def test_each_pull_has_its_own(self):
        passwords = set()
        for tag in ("v1", "v2", "v3"):
            self.pull(self.push(tag), tag)
            passwords.add(self.grant()[2])
        self.assertEqual(len(passwords), 3)
        self.assertGreaterEqual(min(map(len, passwords)), 43, "256 bits")


class Crowds(RelayCase):
    """Connections that stay. None of them keeps a pull from its end, through the relay."""

    def assert_pulls_go_on(self, tag="v1"):
        self.assert_relayed(tag)

    def test_idle_connections(self):
        with contextlib.ExitStack() as stack:
            for _ in range(MANY):
                stack.enter_context(connect())
            self.assert_pulls_go_on("v1")
            self.assert_pulls_go_on("v2")
        self.assert_pulls_go_on("v3")

    def test_slow_headers(self):
        head = request("/v2/").removesuffix(b"\r\n")
        with contextlib.ExitStack() as stack:
            lines = [stack.enter_context(connect()) for _ in range(MANY // 3)]
            for number in range(4):
                for line in lines:
                    with contextlib.suppress(ConnectionError):  # it was shown the door
                        line.sendall(head[number:number + 1])
                self.assert_pulls_go_on(f"v{number}")

    def test_questions_whose_answer_nobody_reads(self):
        with contextlib.ExitStack() as stack:
            for _ in range(MANY):
                line = stack.enter_context(connect())
                line.sendall(request("/v2/", headers=[basic("cri-resolved", "wrong")]).replace(b"close", b"keep-alive"))
            self.assert_pulls_go_on()

    def test_bodies_that_do_not_come(self):
        """As many as the relay has places for; each is refused, and waits for nothing."""
        for method in ("POST", "GET"):
            with self.subTest(method), contextlib.ExitStack() as stack:
                self.repository = f"team/bodies-{method.lower()}"
                for _ in range(MANY):
                    line = stack.enter_context(connect())
                    line.sendall(request("/v2/", method, ["Content-Length: 1000000"]) + b"x")
                self.assert_pulls_go_on()

    def test_under_way(self):
        """A pull that is in the middle of a blob goes on when they come."""
        content, under_way = self.pull_held()
        with contextlib.ExitStack() as stack:
            for number in range(MANY):
                line = stack.enter_context(connect())
                line.sendall((b"", b"G", CLIENT_HELLO, request("/v2/"))[number % 4])
            self.finish(content, under_way)

    def test_one_at_a_time_and_quickly(self):
        content, under_way = self.pull_held()
        for _ in range(MANY):
            connect().close()
        self.finish(content, under_way)


class Noise(RelayCase):
    def test_a_client_hello(self):
        for hello in (CLIENT_HELLO, CLIENT_HELLO[:1], CLIENT_HELLO + bytes(20_000)):
            with connect() as line:
                line.sendall(hello)
                self.assertTrue(line.recv(4096).startswith(b"HTTP/1.1 400 "))

    def test_what_is_no_http(self):
        content = self.push()
        for noise in (b"\0" * 5000, b"\r\n\r\n", b"GET\r\n\r\n", b"\xff" * 20_000, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                      b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5_000 + b"\r\n", b"GET /v2/ HTTP/1.1\r\nX" + b"x" * 30_000,
                      b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nzzz\r\n",
                      b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n"):
            with self.subTest(noise[:40]):
                self.assert_nothing(answer_to(noise), content, noise[:40])
        self.pull(content)


class Private(unittest.TestCase):
    """The upstream is private; a mirror has the image and gives it to anybody who comes to it."""

    WORD = "word-of-ann"

    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.registry = cls.enterClassContext(Registry(cls.folder, users={"ann": cls.WORD}, name="private"))
        cls.mirror = cls.enterClassContext(Registry(cls.folder, name="open-mirror"))
        cls.containerd = cls.enterClassContext(Containerd(cls.folder, upstreams={HOST: cls.registry.url}))
        cls.daemon = cls.enterClassContext(Daemon(cls.folder, cls.containerd, {
            HOST: {"server": cls.registry.url, "mirrors": [cls.mirror.url]}}))
        cls.cri = cls.enterClassContext(Cri(cls.daemon.socket))

    def assert_refused(self, content):
        """To everybody but ann, by tag and by digest; the mirror hears nothing of it."""
        heard = len(self.mirror.requests())
        bad = [None, *(auth_config(**fields) for fields in (
            {"username": "ann", "password": "wrong"}, {"username": "bob", "password": self.WORD}, {"registry_token": "token"},
            {"username": "ann", "password": self.WORD, "server_address": "https://other.example"}))]
        for image in (f"{HOST}/team/app:{content.marker}", f"{HOST}/team/app@{content.digest}"):
            for auth in bad:
                with self.subTest(image=image, auth=auth), self.assertRaises(grpc.RpcError) as caught:
                    self.cri.pull(image, auth)
                self.assertEqual(caught.exception.code(), grpc.StatusCode.UNKNOWN)
                self.assertRegex(caught.exception.details(), REFUSED)
        self.assertEqual(len(self.mirror.requests()), heard)

    def test_absent_and_present(self):
        content = Content("secret", (3_000, 400_000))
        for registry in (self.registry, self.mirror):
            content.push(registry, "team/app", content.marker)
        self.assert_refused(content)
        self.assertNotIn(content.digest, {record.digest for record in self.containerd.store().values()})
        self.assertEqual(self.cri.pull(f"{HOST}/team/app@{content.digest}", auth_config(
            username="ann", password=self.WORD)), content.id)
        for name in content.blobs:
            self.assertEqual(self.registry.count("GET", "team/app", name, "blobs"), 0)
        self.assert_refused(content)


if __name__ == "__main__":
    unittest.main()

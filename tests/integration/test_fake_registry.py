# SPDX-License-Identifier: Apache-2.0
"""The fake registry keeps its word: other tests lean on its faults, its orders and its log."""
import base64
import http.client
import json
import os
import socket
import ssl
import subprocess
import unittest

from tests.fake.registry_client import FakeRegistry, MANIFEST, PROGRAM, sha256
from tests.integration.harness import Containerd, Folder, wait_until
from tests.integration.harness.cri import Cri
from tests.integration.harness.images import run, self_signed

CONTAINERDS = ("1.6", "1.7", "2")
REPO, TAG = "team/app", "stable"
MANIFEST_PATH = f"/v2/{REPO}/manifests/{TAG}"


class Connection(http.client.HTTPConnection):
    """One connection, kept alive: (status, headers, body) of each request."""

    def __init__(self, registry, **more):
        super().__init__("127.0.0.1", registry.port, timeout=20, **more)

    def ask(self, method, path, body=None, **headers):
        self.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        return self.answer()

    def answer(self):
        found = self.getresponse()
        return found.status, found.headers, found.read()


def running(pid):
    """Whether the process runs; one that ended and was not waited for does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def basic(user, word):
    return "Basic " + base64.b64encode(f"{user}:{word}".encode()).decode()


class Case(unittest.TestCase):
    def setUp(self):
        self.registry = self.enterContext(FakeRegistry())
        self.line = self.connect()

    def connect(self, registry=None):
        line = Connection(registry or self.registry)
        self.addCleanup(line.close)
        return line


class Normal(Case):
    def test_manifest_by_tag_and_digest(self):
        digest = self.registry.image(REPO, TAG, "v1")
        for method in ("HEAD", "GET"):
            for reference in (TAG, digest):
                status, headers, body = self.line.ask(method, f"/v2/{REPO}/manifests/{reference}")
                self.assertEqual((200, digest, MANIFEST),
                                 (status, headers["Docker-Content-Digest"], headers["Content-Type"]))
                if method == "GET":
                    self.assertEqual((digest, headers["Content-Length"]), (sha256(body), str(len(body))))
        self.assertEqual({"accepted": 1, "open": 1}, self.registry.connections())

    def test_what_is_absent(self):
        for path, code in ((MANIFEST_PATH, "MANIFEST_UNKNOWN"), (f"/v2/{REPO}/blobs/{sha256(b'')}", "BLOB_UNKNOWN")):
            status, _, body = self.line.ask("GET", path)
            self.assertEqual((404, code), (status, json.loads(body)["errors"][0]["code"]))

    def test_ranges(self):
        path = f"/v2/{REPO}/blobs/{self.registry.put_blob(b'0123456789')}"
        for wanted, status, body, place in [
            ("bytes=0-", 206, b"0123456789", "bytes 0-9/10"), ("bytes=4-", 206, b"456789", "bytes 4-9/10"),
            ("bytes=4-5", 206, b"45", "bytes 4-5/10"), ("bytes=-3", 206, b"789", "bytes 7-9/10"),
            ("bytes=10-", 416, b"", "bytes */10"), ("lines=1-2", 200, b"0123456789", None),
        ]:
            with self.subTest(wanted):
                found = self.line.ask("GET", path, Range=wanted)
                self.assertEqual((status, place, body), (found[0], found[1]["Content-Range"], found[2]))

    def test_tags_move_and_go(self):
        first, second = self.registry.image(REPO, TAG, "v1"), self.registry.image(REPO, "other", "v2")
        self.assertNotEqual(first, second)
        self.registry.put_tag(REPO, TAG, second)
        self.assertEqual(second, self.line.ask("HEAD", MANIFEST_PATH)[1]["Docker-Content-Digest"])
        self.registry.delete_tag(REPO, TAG)
        self.assertEqual(404, self.line.ask("HEAD", MANIFEST_PATH)[0])
        with self.assertRaisesRegex(AssertionError, "has no manifest sha256:0"):
            self.registry.put_tag(REPO, TAG, "sha256:0")

    def test_skopeo_pushes_and_pulls(self):
        digest = self.registry.image(REPO, TAG, "v1")
        with Folder() as folder, FakeRegistry(folder) as other:
            copy = ["skopeo", "copy", "--quiet", "--insecure-policy", "--src-tls-verify=false",
                    "--dest-tls-verify=false"]
            run(*copy, f"docker://{self.registry.host}/{REPO}:{TAG}", f"docker://{other.host}/copy:v1")
            copied = self.connect(other).ask("HEAD", "/v2/copy/manifests/v1")
            self.assertEqual(digest, copied[1]["Docker-Content-Digest"])

    def test_the_real_containerd_pulls_it(self):
        digest = self.registry.image(REPO, TAG, "v1")
        name = f"registry.example/{REPO}:{TAG}"
        with Folder() as folder, Containerd(folder, upstreams={"registry.example": self.registry.url}) as containerd:
            Cri(containerd.socket).pull(name)
            self.assertEqual(digest, containerd.store()[name].digest)


class Scripted(Case):
    def setUp(self):
        super().setUp()
        self.digest = self.registry.image(REPO, TAG, "v1")

    def test_log(self):
        self.line.ask("HEAD", MANIFEST_PATH + "?a=b", X_Name="one")
        self.connect().ask("GET", "/v2/")
        first, second = self.registry.log()
        self.assertEqual(("HEAD", MANIFEST_PATH, "a=b", 200),
                         tuple(first[k] for k in ("method", "path", "query", "status")))
        self.assertIn(["X-Name", "one"], first["headers"])
        self.assertNotEqual(first["connection"], second["connection"])
        self.assertGreater(second["sequence"], first["answered"])
        self.registry.clear_log()
        self.assertEqual([], self.registry.log())

    def test_own_answers(self):
        for rule, status, headers, body in [
            ({"status": 429, "headers": {"Retry-After": "7"}}, 429, {"Retry-After": "7"}, b""),
            ({"body": "[", "body_repeat": 3}, 200, {}, b"[[["),
            ({"status": 500, "body": {"a": 1}}, 500, {}, b'{"a": 1}'),
            ({"redirect": "http://127.0.0.1:1{path}"}, 307, {"Location": "http://127.0.0.1:1" + MANIFEST_PATH}, b""),
        ]:
            with self.subTest(rule):
                self.registry.rules([rule])
                found = self.line.ask("GET", MANIFEST_PATH)
                self.assertEqual((status, body), (found[0], found[2]))
                self.assertEqual(headers, {name: found[1][name] for name in headers})

    def test_changed_answers(self):
        self.registry.rules([{"drop_headers": ["docker-content-digest"], "set_headers": {"Warning": ["a", "b"]},
                              "header_bomb": 20000, "corrupt": 0}])
        _, headers, body = self.line.ask("GET", MANIFEST_PATH)
        self.assertIsNone(headers["Docker-Content-Digest"])
        self.assertEqual(["a", "b"], headers.get_all("Warning"))
        self.assertEqual("b" * 1000, headers["X-Bomb-19"])
        self.assertEqual((b"z", self.digest), (body[:1], sha256(b"{" + body[1:])))

    def test_which_rule(self):
        self.registry.rules([{"path": "nowhere", "status": 500}, {"refuse_head": 405},
                             {"header": {"Authorization": "^Bearer"}, "status": 418},
                             {"method": "GET", "skip": 1, "times": 1, "status": 503}])
        asked = [self.line.ask(*args)[0] for args in [("HEAD", MANIFEST_PATH)] + 3 * [("GET", MANIFEST_PATH)]]
        self.assertEqual([405, 200, 503, 200], asked)
        self.assertEqual(418, self.line.ask("GET", MANIFEST_PATH, Authorization="Bearer x")[0])
        self.assertEqual([0, 1, 1, 1], [rule["used"] for rule in self.registry.admin("GET", "rules")])
        with self.assertRaisesRegex(AssertionError, "unknown keys of a rule: \\['stauts'\\]"):
            self.registry.rules([{"stauts": 500}])

    def test_held_answers_before_and_after_a_move(self):
        second = self.registry.image(REPO, "second", "v2")
        self.registry.rules([{"method": "HEAD", "hold": "old", "evaluate": "before", "times": 1},
                             {"method": "HEAD", "hold": "new"}])
        lines = [self.connect(), self.connect()]
        for number, line in enumerate(lines, 1):
            line.request("HEAD", MANIFEST_PATH)
            self.registry.wait(number, path=MANIFEST_PATH, state="held")
        self.registry.put_tag(REPO, TAG, second)
        found = []
        for line, name in reversed(list(zip(lines, ("old", "new")))):
            self.assertEqual(1, self.registry.release(name))
            found.append(line.answer()[1]["Docker-Content-Digest"])
        self.assertEqual([second, self.digest], found)
        self.assertEqual(0, self.registry.release("old"))

    def test_clients_that_leave_are_seen(self):
        self.registry.rules([{"hold": "x"}])
        self.line.request("GET", MANIFEST_PATH)
        self.registry.wait(state="held")
        self.line.close()
        self.assertIsNone(self.registry.wait(state="gone")[0]["status"])
        self.assertEqual(0, self.registry.release("x"))

    def test_silence_and_hanging_up(self):
        self.registry.rules([{"silence": True}])
        self.line.request("GET", MANIFEST_PATH)
        self.registry.wait(state="held")
        self.assertEqual(1, self.registry.release("silence"))
        with self.assertRaises(http.client.RemoteDisconnected):
            self.line.getresponse()
        self.registry.rules([{"hang_up": True}])
        with self.assertRaises(http.client.RemoteDisconnected):
            self.connect().ask("GET", MANIFEST_PATH)
        self.registry.rules([{"hang_up": True, "after_bytes": 5}])
        with self.assertRaises(http.client.IncompleteRead) as caught:
            self.connect().ask("GET", MANIFEST_PATH)
        self.assertEqual(5, len(caught.exception.partial))

    def test_a_wait_in_vain(self):
        with self.assertRaisesRegex(AssertionError, "408 .*late: count=2"):
            self.registry.wait(2, timeout_s=0.05)


class Authentication(Case):
    def setUp(self):
        super().setUp()
        self.registry.image(REPO, TAG, "v1")

    def status(self, header=None):
        return self.line.ask("GET", MANIFEST_PATH, **({"Authorization": header} if header else {}))[0]

    def test_basic(self):
        self.registry.auth({"team/.*": {"scheme": "basic", "users": {"ann": "x", "bob": "y"}, "denied": ["bob"]}})
        self.assertEqual('Basic realm="fake registry"', self.line.ask("GET", MANIFEST_PATH)[1]["WWW-Authenticate"])
        self.assertEqual([401, 200, 401, 403, 401], [self.status(header) for header in (
            None, basic("ann", "x"), basic("ann", "y"), basic("bob", "y"), "Basic !")])
        self.assertEqual(200, self.line.ask("GET", "/v2/")[0])

    def token(self, method="GET", body=None, **headers):
        target = "/token" if body else f"/token?service=s&scope=repository:{REPO}:pull,push"
        status, _, text = self.line.ask(method, target, body, **headers)
        return status, json.loads(text)

    def test_bearer(self):
        self.registry.auth({".*": {"scheme": "bearer", "service": "s", "users": {"ann": "x"}, "tokens": ["fixed"],
                                   "refresh_tokens": {"long": "ann"}, "anonymous": False, "expires_in": 9}})
        self.assertEqual(f'Bearer realm="{self.registry.url}/token",service="s",scope="repository:{REPO}:pull"',
                         self.line.ask("GET", MANIFEST_PATH)[1]["WWW-Authenticate"])
        self.assertEqual(401, self.line.ask("GET", "/v2/")[0])
        self.assertEqual([401, 401], [self.token()[0], self.token(Authorization=basic("ann", "z"))[0]])
        status, got = self.token(Authorization=basic("ann", "x"))
        self.assertEqual((200, 9), (status, got["expires_in"]))
        self.assertEqual([200, 200, 401], [self.status(f"Bearer {word}") for word in (got["token"], "fixed", "none")])
        elsewhere = self.line.ask("GET", "/v2/other/manifests/x", Authorization=f"Bearer {got['token']}")
        self.assertEqual(401, elsewhere[0])
        status, got = self.token("POST", f"grant_type=refresh_token&refresh_token=long&scope=repository:{REPO}:pull")
        self.assertEqual((200, 200), (status, self.status(f"Bearer {got['access_token']}")))
        counts = self.registry.tokens()
        self.assertEqual((2, 2), (counts["issued"], counts["refused"]))
        self.registry.revoke_tokens()
        self.assertEqual(401, self.status(f"Bearer {got['access_token']}"))

    def test_refusals_of_the_token_endpoint(self):
        self.registry.auth({".*": {"scheme": "bearer", "anonymous": True, "post_status": 405, "refusal_status": 403,
                                   "expires_in": None}})
        self.assertEqual(405, self.token("POST", f"grant_type=refresh_token&scope=repository:{REPO}:pull")[0])
        self.assertEqual(403, self.token(Authorization=basic("ann", "z"))[0])
        status, got = self.token()
        self.assertEqual((200, f"repository:{REPO}:pull"), (status, got["scope"]))
        self.assertNotIn("expires_in", got)


class Lines(Case):
    def test_forward_proxy(self):
        digest = self.registry.image(REPO, TAG, "v1")
        url = f"http://registry.example{MANIFEST_PATH}"
        self.assertEqual(digest, self.line.ask("HEAD", url)[1]["Docker-Content-Digest"])
        tunnel = self.connect()
        tunnel.set_tunnel("registry.example", 80)
        self.assertEqual(digest, tunnel.ask("HEAD", MANIFEST_PATH)[1]["Docker-Content-Digest"])
        absolute, connect, inside = self.registry.log()
        self.assertEqual((True, url, "registry.example"), tuple(absolute[k] for k in ("proxied", "url", "host")))
        self.assertEqual((True, "CONNECT", "registry.example:80"),
                         tuple(connect[k] for k in ("proxied", "method", "path")))
        self.assertEqual((False, None, MANIFEST_PATH), tuple(inside[k] for k in ("proxied", "url", "path")))

    def test_many_silent_requests_hold_up_nobody(self):
        self.registry.rules([{"path": "/silent/", "silence": True}])
        for _ in range(200):
            self.connect().request("GET", "/v2/silent/manifests/x")
        self.registry.wait(200, state="held")
        self.assertEqual(200, self.line.ask("GET", "/v2/")[0])
        self.assertEqual(200, self.registry.release("silence"))

    def test_it_ends_with_its_parent(self):
        with Folder() as folder:
            port_file = folder.path / "port"
            middle = subprocess.Popen(["/usr/bin/python3", "-c", "import subprocess, sys; "
                                       "child = subprocess.Popen(sys.argv[1:]); print(child.pid, flush=True); "
                                       "child.wait()", PROGRAM, "--port-file", port_file], stdout=subprocess.PIPE)
            with middle:
                child = int(middle.stdout.readline())
                wait_until(port_file.exists, "it does not listen")
                middle.kill()
            wait_until(lambda: not running(child), "it outlives its parent")

    def test_what_is_no_http_gets_a_status_line(self):
        with socket.create_connection(("127.0.0.1", self.registry.port), timeout=20) as line:
            line.sendall(b"\x16\x03\x01\x00\x05\r\n\r\n")
            self.assertRegex(line.recv(100), rb"^HTTP/1\.[01] 400 ")

    def test_tls_with_client_certificates(self):
        with Folder() as folder:
            files = self_signed(folder)
            with FakeRegistry(folder, tls=files, client_ca=files[0]) as registry:
                trust = ssl.create_default_context(cafile=files[0])
                self.assertEqual(400, self.connect(registry).ask("GET", "/v2/")[0])
                with self.assertRaises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
                    self.over_tls(registry, trust)
                trust.load_cert_chain(*files)
                self.assertEqual(200, self.over_tls(registry, trust))
                entry, = registry.log()
                self.assertEqual((True, "tester"), (entry["tls"], entry["client"]))

    @staticmethod
    def over_tls(registry, trust):
        line = http.client.HTTPSConnection("127.0.0.1", registry.port, timeout=20, context=trust)
        try:
            line.request("GET", "/v2/")
            return line.getresponse().status
        finally:
            line.close()

    def test_it_ends_on_sigterm(self):
        self.assertEqual(0, self.registry.process.stop())
        self.assertFalse(os.path.exists(f"/proc/{self.registry.process.pid}"))


if __name__ == "__main__":
    unittest.main()

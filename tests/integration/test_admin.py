# SPDX-License-Identifier: Apache-2.0
"""The admin socket: who may read it, what it withstands, and that docs/admin.md tells all of it."""
import concurrent.futures
import http.client
import json
import os
import re
import socket
import stat
import unittest

from tests.fake.registry_client import FakeRegistry
from tests.integration.harness import (Containerd, Cri, Daemon, Folder, ROOT, dead_port, wait_until)
from tests.integration.harness.cri import auth_config
from tests.integration.harness.daemon import UnixConnection, ask_unix
from tests.integration.harness.parts import accepts
from tests.integration.proxy_parts import Backend

CONTAINERDS = ("2",)

HOST = "ghcr.io"
NOBODY, GROUP = 65534, 4242
PATHS = ("/v1/status", "/v1/pulls", "/v1/containers", "/healthz", "/readyz")
DOCUMENT = (ROOT / "docs/admin.md").read_text()
MARK = "S3cr3tWord"


def peer_sees(path, **as_whom):
    """What a process of another user gets from the socket: "refused" (hung up on) or the status."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups(as_whom.get("groups", []))
            os.setgid(as_whom["group"])
            os.setuid(as_whom["user"])
            try:
                seen = str(ask_unix(path, "/healthz")[0])
            except (ConnectionError, OSError) as error:
                seen = "denied" if isinstance(error, PermissionError) else "refused"
            os.write(write_end, seen.encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as answer:
        seen = answer.read()
    os.waitpid(child, 0)
    return seen


def open_way(path):
    """Lets every user reach the socket's file."""
    for folder in path.parents:
        if str(folder).startswith("/tmp/"):
            folder.chmod(0o755)


class Door(unittest.TestCase):
    """Without a containerd: a scripted backend is enough."""

    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.backend = cls.enterClassContext(Backend(cls.folder))
        cls.daemon = cls.enterClassContext(Daemon(cls.folder, cls.backend.socket, log={"level": "debug"}))

    def test_every_path(self):
        for path in PATHS:
            status, document, headers = self.daemon.admin(path)
            self.assertEqual((status, headers["Content-Type"]), (200, "application/json"), path)
            self.assertIsInstance(document, dict)

    def test_head(self):
        for path in PATHS:
            status, document, headers = self.daemon.admin(path, "HEAD")
            self.assertEqual((status, document), (200, None), path)
            self.assertGreater(int(headers["Content-Length"]), 10)

    def test_other_paths(self):
        for path in ("/", "/v1", "/v1/status/", "/v1/statusx", "/v2/", "/metrics/", "/v1/../v1/pulls", "/%00", "//healthz"):
            status, document, _ = self.daemon.admin(path)
            self.assertEqual((status, document), (404, {
                "error": "not found; there are /v1/status, /v1/pulls, /v1/containers, /healthz, /readyz, /metrics"}), path)

    def test_a_query_makes_no_difference(self):
        self.assertEqual(self.daemon.admin("/healthz?verbose=1")[0], 200)

    def test_other_methods(self):
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "NONSENSE"):
            status, document, headers = self.daemon.admin("/v1/status", method)
            self.assertEqual((status, document), (405, {"error": "read only: GET and HEAD"}), method)
            self.assertEqual(headers["Allow"], "GET, HEAD")

    def test_a_body_is_not_read(self):
        connection = UnixConnection(self.daemon.admin_socket)
        self.addCleanup(connection.close)
        try:
            connection.request("POST", "/v1/pulls", b"x" * (1 << 20))
        except BrokenPipeError:
            pass  # it has answered already
        self.assertEqual(connection.getresponse().status, 405)

    def test_status_of_an_idle_daemon(self):
        _, status, _ = self.daemon.admin("/v1/status")
        self.assertEqual(status["pid"], self.daemon.process.pid)
        self.assertEqual(status["configuration"], str(self.daemon.config))
        self.assertRegex(status["started_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual(status["backend"], {"socket": f"unix://{self.backend.socket}", "reachable": True,
                                             "runtime_name": "fake", "runtime_version": "1.0", "error": None})
        self.assertEqual(status["relay"]["state"], "off")
        self.assertEqual(status["upstreams"], [])
        self.assertEqual(set(status["counters"].values()), {0})
        self.assertEqual(self.daemon.admin("/v1/pulls")[1], {"running": [], "recent": []})

    def test_a_thousand_requests(self):
        """On many connections and on one."""
        with concurrent.futures.ThreadPoolExecutor(16) as crowd:
            seen = list(crowd.map(lambda n: self.daemon.admin(PATHS[n % len(PATHS)])[0], range(900)))
        self.assertEqual(set(seen), {200})
        connection = UnixConnection(self.daemon.admin_socket)
        self.addCleanup(connection.close)
        for _ in range(100):
            connection.request("GET", "/healthz")
            self.assertEqual(connection.getresponse().read(), b'{\n  "status": "ok"\n}\n')

    def test_slow_clients_are_in_nobodys_way(self):
        """More of them than there are places: they are in each other's way, and when they leave all is well."""
        slow = []
        for number in range(80):
            client = socket.socket(socket.AF_UNIX)
            self.addCleanup(client.close)
            client.connect(str(self.daemon.admin_socket))
            client.sendall(b"GET /v1/status HTTP/1.1\r\nHost: lo"[:1 + number % 30])
            slow.append(client)
        with Cri(self.daemon.socket) as cri:
            cri.call("/runtime.v1.RuntimeService/Version")  # the image service does not notice
        for client in slow:
            client.close()

        def answered():
            try:
                return self.daemon.admin("/healthz")[0] == 200
            except OSError:
                return False
        wait_until(answered, "the places are free again")

    def test_silent_clients_make_room(self):
        for _ in range(200):
            client = socket.socket(socket.AF_UNIX)
            self.addCleanup(client.close)
            client.connect(str(self.daemon.admin_socket))
        self.assertEqual(self.daemon.admin("/healthz")[0], 200)

    def test_an_idle_client_is_cut(self):
        """After a quarter of a minute, whether it has ever asked or not."""
        asked, silent = UnixConnection(self.daemon.admin_socket), socket.socket(socket.AF_UNIX)
        self.addCleanup(asked.close)
        self.addCleanup(silent.close)
        asked.request("GET", "/healthz")
        self.assertEqual(asked.getresponse().read(), b'{\n  "status": "ok"\n}\n')
        silent.connect(str(self.daemon.admin_socket))
        for client in (asked.sock, silent):
            client.settimeout(120)
            self.assertEqual(client.recv(1), b"")

    def test_a_client_that_does_not_read(self):
        clients = []
        for _ in range(8):
            client = socket.socket(socket.AF_UNIX)
            self.addCleanup(client.close)
            client.connect(str(self.daemon.admin_socket))
            client.sendall(b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50)
            clients.append(client)
        self.assertEqual(self.daemon.admin("/v1/status")[0], 200)

    def test_oversized_heads(self):
        for head in (b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n",
                     b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 100000 + b"\r\n\r\n",
                     b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 20000 + b"\r\n",
                     b"\0" * 100000, b"\r\n" * 50000, b"nonsense\r\n\r\n"):
            with self.subTest(head[:40]):
                with socket.socket(socket.AF_UNIX) as client:
                    client.settimeout(30)
                    client.connect(str(self.daemon.admin_socket))
                    try:
                        client.sendall(head)
                    except (BrokenPipeError, ConnectionResetError):
                        pass
                    client.shutdown(socket.SHUT_WR)
                    answer = b""
                    try:
                        while piece := client.recv(65536):
                            answer += piece
                    except ConnectionResetError:
                        pass
                    self.assertNotIn(b" 200 ", answer.split(b"\r\n")[0])
                self.assertEqual(self.daemon.admin("/healthz")[0], 200)

    def test_mode_and_peers(self):
        with Daemon(self.folder, self.backend.socket, name="open", log={"level": "debug"}, shim={
                "listen_mode": "0666", "listen_group": str(GROUP), "allow_groups": [str(GROUP)]}) as daemon:
            open_way(daemon.admin_socket)
            found = os.stat(daemon.admin_socket)
            self.assertEqual((stat.S_IMODE(found.st_mode), found.st_gid), (0o666, GROUP))
            self.assertEqual(peer_sees(daemon.admin_socket, user=NOBODY, group=NOBODY), "refused")
            self.assertIn(f"peer refused: neither root nor in shim.allow_groups uid={NOBODY}",
                          daemon.log().replace('"', ""))
            self.assertEqual(peer_sees(daemon.admin_socket, user=NOBODY, group=GROUP), "200")
            self.assertEqual(peer_sees(daemon.admin_socket, user=NOBODY, group=NOBODY, groups=[GROUP]), "200")
            self.assertEqual(peer_sees(daemon.admin_socket, user=0, group=0), "200")

    def test_the_file_lets_nobody_else_in(self):
        open_way(self.daemon.admin_socket)
        self.assertEqual(peer_sees(self.daemon.admin_socket, user=NOBODY, group=NOBODY), "denied")

    def test_a_served_socket_is_left_alone(self):
        second = Daemon(self.folder, self.backend.socket, name="second", wait=False,
                        admin={"listen": f"unix://{self.daemon.admin_socket}"})
        second.start()
        self.assertEqual(second.process.child.wait(30), 78)
        self.assertIn(f"{self.daemon.admin_socket}: another process serves this socket; stop it first, or change "
                      "admin.listen", second.log())
        self.assertEqual(self.daemon.admin("/healthz")[0], 200)

    def test_off(self):
        with Daemon(self.folder, self.backend.socket, name="off", admin={"listen": ""}) as daemon:
            self.assertFalse(daemon.admin_socket.exists())

    def test_its_file_goes_with_it_and_a_stale_one_is_replaced(self):
        with Daemon(self.folder, self.backend.socket, name="stale") as daemon:
            daemon.kill()
            self.assertTrue(daemon.admin_socket.exists())
            daemon.start()
            self.assertEqual(daemon.admin("/healthz")[0], 200)
            daemon.stop()
            self.assertFalse(daemon.admin_socket.exists())
            daemon.start()


class Readiness(unittest.TestCase):
    def test_without_containerd(self):
        with Folder() as folder, Backend(folder) as backend, Daemon(folder, backend.socket) as daemon:
            self.assertEqual(daemon.admin("/readyz")[:2], (200, {"status": "ready", "reason": None}))
            backend.kill()
            status, document, _ = daemon.admin("/readyz")
            self.assertEqual((status, document["status"]), (503, "not ready"))
            self.assertRegex(document["reason"], "^containerd: Version: ")
            self.assertEqual(daemon.admin("/healthz")[0], 200)
            status = daemon.admin("/v1/status")[1]["backend"]
            self.assertEqual((status["reachable"], status["runtime_name"]), (False, None))
            self.assertRegex(status["error"], "^containerd: Version: ")
            backend.start()
            wait_until(lambda: daemon.admin("/readyz")[0] == 200, "ready again")


def paths_of(value, prefix=""):
    """Dotted paths of all values that are no objects: "upstreams[].mirrors[].url"."""
    if isinstance(value, list):
        return set().union(*[paths_of(item, f"{prefix}[]") for item in value])
    if isinstance(value, dict):
        dot = f"{prefix}." if prefix else ""
        return set().union(*[paths_of(item, dot + name) for name, item in value.items()])
    return {prefix}


def documented(heading):
    """The fields of the table below a heading."""
    section = DOCUMENT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `([^`]+)` \|", section, re.M))


def examples():
    """(path, document) of each example."""
    for block in re.findall(r"```console\n(.*?)```", DOCUMENT, re.S):
        for command, text in re.findall(r"^\$ (curl [^\n]*)\n(.*?)(?=^\$ |\Z)", block, re.M | re.S):
            yield re.search(r"http://localhost(\S+)", command).group(1), json.loads(text)


class Stopping(unittest.TestCase):
    def test_while_it_stops(self):
        with Folder() as folder, Containerd(folder) as containerd, Daemon(folder, containerd) as daemon:
            with socket.create_server(("127.0.0.1", 0)) as upstream, \
                    concurrent.futures.ThreadPoolExecutor(1) as pool:
                daemon.upstreams[HOST] = {"server": f"http://127.0.0.1:{upstream.getsockname()[1]}"}
                daemon.tables["resolve"] = {"timeout": "5m", "budget": "5m"}
                daemon.write_config()
                daemon.reload()
                wait_until(lambda: "configuration reloaded" in daemon.log(), "the reload")
                with Cri(daemon.socket) as cri:
                    pull = pool.submit(cri.pull, f"{HOST}/team/app:1")
                    held, _ = upstream.accept()
                    running = daemon.admin("/v1/pulls")[1]["running"]
                    self.assertEqual([(r["reference"], r["contents"]) for r in running],
                                     [(f"{HOST}/team/app:1", [])])
                    daemon.process.child.terminate()
                    wait_until(lambda: daemon.admin("/readyz")[:2] == (
                        503, {"status": "not ready", "reason": "the daemon stops"}), "it says that it stops")
                    self.assertEqual(daemon.admin("/healthz")[0], 200)
                    upstream.close()  # what asks again is refused
                    held.close()
                    self.assertIsNotNone(pull.exception(30))


class Pulls(unittest.TestCase):
    """Real pulls, from a mirror that breaks off and from others."""

    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.registry = cls.enterClassContext(FakeRegistry(cls.folder, name="upstream"))
        cls.mirror = cls.enterClassContext(FakeRegistry(cls.folder, name="mirror"))
        cls.gone = f"http://127.0.0.1:{dead_port()}"
        for where in (cls.registry, cls.mirror):
            where.image("team/app", "1", "one", {"big": os.urandom(1) + bytes(1)})
        entry = {"server": cls.registry.url, "mirrors": [cls.gone, cls.mirror.url]}
        upstreams = {HOST: cls.registry.url, "other.example": cls.registry.url}
        cls.containerd = cls.enterClassContext(Containerd(cls.folder, upstreams=upstreams))
        cls.daemon = cls.enterClassContext(Daemon(
            cls.folder, cls.containerd, {HOST: entry, "other.example": cls.registry.url, "spared.example": entry,
                                         "idle.example": "https://idle.example:8443/x"}))
        cls.cri = cls.enterClassContext(Cri(cls.daemon.socket))

    def setUp(self):
        self.addCleanup(self.registry.rules, [])
        self.addCleanup(self.mirror.rules, [])

    def image(self, tag, size=3 << 20):
        """The same image at the upstream and at the mirror; its digest and that of its layer."""
        more = {"big": os.urandom(size)}
        digest = self.registry.image("team/app", tag, tag, more)
        self.assertEqual(self.mirror.image("team/app", tag, tag, more), digest)
        return digest

    def layer_of(self, digest):
        connection = http.client.HTTPConnection("127.0.0.1", self.registry.port)
        self.addCleanup(connection.close)
        connection.request("GET", f"/v2/team/app/manifests/{digest}")
        return json.loads(connection.getresponse().read())["layers"][0]["digest"]

    def break_off(self, tag):
        """An image whose layer the mirror breaks off in the middle, and the upstream then holds: (its digest, its
        layer's)."""
        digest = self.image(tag)
        layer = self.layer_of(digest)
        self.mirror.rules([{"path": layer, "times": 1, "after_bytes": 1 << 20, "hang_up": True}])
        self.registry.rules([{"path": layer, "method": "GET", "hold": "slow"}])
        return digest, layer

    def recent(self):
        return self.daemon.admin("/v1/pulls")[1]["recent"]

    def test_failover_in_mid_blob_as_it_happens(self):
        digest, layer = self.break_off("mid")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            pull = pool.submit(self.cri.pull, f"{HOST}/team/app:mid")
            self.registry.wait(path="/blobs/", method="GET", state="held")
            running, = self.daemon.admin("/v1/pulls")[1]["running"]
            self.assertEqual(running["reference"], f"{HOST}/team/app:mid")
            broken, = [c for c in running["contents"] if c["digest"] == layer]
            self.assertIn(self.mirror.url, [f["source"] for f in broken["failovers"]])
            self.assertEqual((broken["kind"], broken["source"]), ("blob", self.mirror.url))
            self.assertGreater(broken["size_bytes"], 3 << 20)
            self.assertGreater(broken["sent_bytes"], 1 << 19)
            self.assertLess(broken["sent_bytes"], broken["size_bytes"])
            manifest = running["contents"][0]
            self.assertEqual((manifest["kind"], manifest["digest"], manifest["source"]), ("manifest", digest, self.mirror.url))
            self.assertEqual(manifest["size_bytes"], manifest["sent_bytes"])
            self.registry.release("slow")
            pull.result(60)
        self.assertEqual(self.daemon.admin("/v1/pulls")[1]["running"], [])
        last = self.recent()[0]
        self.assertEqual((last["reference"], last["digest"], last["previous"], last["source"], last["outcome"],
                          last["error"], last["degraded"]),
                         (f"{HOST}/team/app:mid", digest, None, "relay", "ok", None, None))
        gave = {entry["source"]: entry["bytes"] for entry in last["bytes"]}
        self.assertEqual(set(gave), {self.mirror.url, HOST})
        self.assertGreater(gave[HOST], 1 << 20)
        self.assertIn(self.mirror.url, [f["source"] for f in last["failovers"]])
        upstream = self.upstream(HOST)
        self.assertEqual([m["url"] for m in upstream["mirrors"]], [self.gone, self.mirror.url])
        self.assertEqual([m["state"] for m in upstream["mirrors"]], ["down", "up"])
        self.assertIn("refused", upstream["mirrors"][0]["last_error"])
        self.assertRegex(self.daemon.wait_line("mirror went down")[0],
                         f" mirror went down mirror={self.gone} upstream={HOST} error=")
        spared = self.upstream("spared.example")["mirrors"]  # the same two; nobody has asked them for it
        self.assertEqual([(m["url"], m["state"], m["last_error"]) for m in spared],
                         [(self.gone, "up", None), (self.mirror.url, "up", None)])
        self.assertGreaterEqual(upstream["bytes_from_upstream"], gave[HOST])
        self.assertAlmostEqual(sum(m["share"] for m in upstream["mirrors"]) + upstream["share_of_upstream"], 1)

    def upstream(self, host):
        found, = [u for u in self.daemon.admin("/v1/status")[1]["upstreams"] if u["host"] == host]
        return found

    def test_outcomes_by_upstream(self):
        self.image("plain")
        before = self.upstream("other.example")["pulls"]
        self.cri.pull("other.example/team/app:plain")
        self.cri.pull("other.example/team/app:plain")
        with self.assertRaises(Exception):
            self.cri.pull("other.example/team/app:absent")
        after = self.upstream("other.example")["pulls"]
        self.assertEqual({name: after[name] - before[name] for name in after},
                         {"total": 3, "failed": 1, "current": 1, "relayed": 0, "direct": 1, "degraded": 0})
        failed, current, direct = self.recent()[:3]
        self.assertEqual((failed["outcome"], failed["digest"]), ("failed", None))
        self.assertIn("not found", failed["error"])
        self.assertEqual((current["source"], current["previous"]), ("current", current["digest"]))
        self.assertEqual((direct["source"], direct["bytes"]), ("upstream", []))

    def test_configured_upstreams_come_first(self):
        status = self.daemon.admin("/v1/status")[1]
        idle = self.upstream("idle.example")
        self.assertEqual((idle["server"], idle["configured"], idle["mirrors"], idle["share_of_upstream"]),
                         ("https://idle.example:8443/x", True, [], None))
        with self.assertRaises(Exception):
            self.cri.pull("127.0.0.1:1/team/app:1")
        hosts = [u["host"] for u in self.daemon.admin("/v1/status")[1]["upstreams"]]
        self.assertEqual(set(hosts[:4]), {HOST, "other.example", "spared.example", "idle.example"})
        self.assertIn("127.0.0.1:1", hosts[4:])
        self.assertFalse(self.upstream("127.0.0.1:1")["configured"])
        self.assertEqual(status["relay"]["state"], "serving")

    def test_memory_is_bounded(self):
        """Only the last pulls are kept, and long or odd references do no harm."""
        for number in range(300):
            with self.assertRaises(Exception):
                self.cri.pull(f"h{number}.example:{dead_port()}/x:NOT A REFERENCE" + "y" * 5000)
        document = self.daemon.admin("/v1/pulls")[1]
        self.assertEqual(len(document["recent"]), 256)
        self.assertTrue(document["recent"][0]["reference"].startswith("h299.example"))
        self.assertEqual(len(document["recent"][0]["reference"]), 1023)
        self.assertLess(len(self.daemon.admin("/v1/status")[1]["upstreams"]), 70)

    def test_no_secret_is_told(self):
        self.image("private")
        self.registry.auth({"team/.*": {"scheme": "bearer", "users": {"ann": MARK}, "tokens": [f"{MARK}-token"]}})
        self.addCleanup(self.registry.auth, {})
        for credentials in ({"username": "ann", "password": MARK}, {"registry_token": f"{MARK}-token"},
                            {"username": "ann", "password": f"{MARK}-wrong"}, {"identity_token": f"{MARK}-id"},
                            {"username": "ann", "password": MARK, "server_address": f"https://ann:{MARK}@x.example"}):
            try:
                self.cri.pull(f"{HOST}/team/app:private", auth_config(**credentials))
            except Exception:  # that some fail is the point
                pass
        text = "".join(json.dumps(self.daemon.admin(path)[1]) for path in PATHS) + self.daemon.metrics().text
        self.assertIn("team/app:private", text)
        self.assertNotIn(MARK, text)
        for token in self.registry.tokens()["tokens"]:
            self.assertNotIn(token["token"], text)

    def test_the_documentation_is_complete(self):
        """Every field is documented and every documented one is there."""
        self.break_off("whole")
        self.registry.rules([])
        self.cri.pull(f"{HOST}/team/app:whole")
        self.break_off("held")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            pull = pool.submit(self.cri.pull, f"{HOST}/team/app:held")
            self.registry.wait(path="/blobs/", method="GET", state="held")
            found = {path: self.daemon.admin(path)[1] for path in ("/v1/status", "/v1/pulls")}
            self.registry.release("slow")
            pull.result(60)
        counters = set(found["/v1/status"].pop("counters"))
        fields = documented("/v1/status")
        self.assertIn("counters.*", fields)
        dotted = {field for field in fields if "." in field and field != "counters.*"}
        plain = {field for field in fields - dotted - {"counters.*"} if field not in counters}
        self.assertEqual(counters, fields - dotted - plain - {"counters.*"})
        self.assertEqual(paths_of(found["/v1/status"]), dotted | plain)
        self.assertEqual(paths_of(found["/v1/pulls"]), documented("/v1/pulls"))

    def test_the_examples_are_answered(self):
        seen = set()
        for path, example in examples():
            status, document, _ = self.daemon.admin(path)
            self.assertEqual(status, 200, path)
            known = documented(path) if path.startswith("/v1/") else paths_of(document)
            unknown = {field for field in paths_of(example) if not field.startswith("counters.")} - known
            self.assertEqual(unknown, {"recent[].failovers[]"} & unknown, path)
            seen.add(path)
        self.assertEqual(seen, set(PATHS))


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: Apache-2.0
"""/metrics: what is counted after known deeds, exactly; and who can read it."""
import concurrent.futures
import http.client
import json
import os
import pathlib
import re
import socket
import subprocess
import unittest

import grpc

from tests.fake.registry_client import FakeRegistry
from tests.integration.harness import (ROOT, Containerd, Cri, Daemon, Folder, Forwarder, Registry, dead_port, free_port,
                                       wait_until)
from tests.integration.harness.metrics import Page
from tests.integration.mirror_parts import HOST, MirrorCase
from tests.integration.proxy_parts import Backend, Caller

CONTAINERDS = ("1.6", "2")

TABLE = re.findall(r'^METRIC\(\w+, (\w+), "([a-z_]+)", "([a-z,]*)"', (ROOT / "base/metrics.def").read_text(), re.M)
TYPES = {"COUNTER": "counter", "GAUGE": "gauge", "CALLS": "histogram", "PULLS": "histogram"}
PULL = "runtime.v1.ImageService/PullImage"
# What other things change too: the clock, the machine, how many requests a containerd makes of one pull.
RESTLESS = re.compile(r"process_|cri_resolved_(rpc|relay_)|\w+_seconds_(bucket|sum)")


def series(name, **labels):
    """As Page.since names it."""
    words = ",".join(f'{label}="{word}"' for label, word in sorted(labels.items()))
    return f"cri_resolved_{name}{{{words}}}" if words else f"cri_resolved_{name}"


def promtool_says(text):
    done = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True, check=False)
    return done.returncode, done.stdout + done.stderr


def size_of(content):
    return len(content.manifest) + sum(map(len, content.blobs.values()))


class Counting(MirrorCase):
    """A deed, and all that has changed."""

    def begin(self, *args, **more):
        self.start(*args, **more)
        self.before = self.daemon.metrics()

    def added(self):
        """What has changed since the last time, but for what is restless."""
        page, before = self.daemon.metrics(), self.before
        self.before = page
        return {name: value for name, value in page.since(before).items() if not RESTLESS.match(name)}

    def pull_of(self, source, outcome="ok", upstream=HOST):
        """What every pull counts."""
        return {series("pulls_total", upstream=upstream, source=source, outcome=outcome): 1,
                series("pull_duration_seconds_count", source=source, outcome=outcome): 1}

    def asked(self, heads=1, result="ok", upstream=HOST):
        return {series("resolves_total", upstream=upstream, result=result): 1,
                series("resolve_duration_seconds_count", upstream=upstream): 1,
                **({series("heads_sent_total", upstream=upstream): heads} if heads else {})}

    def received(self, source, size, upstream=HOST):
        return {series("received_bytes_total", upstream=upstream, source=source): size}


class Deeds(Counting):
    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.registry = cls.enterClassContext(Registry(cls.folder, name="upstream"))
        cls.mirror = cls.enterClassContext(Registry(cls.folder, name="mirror"))
        upstreams = {HOST: cls.registry.url, "plain.example": cls.registry.url, "unknown.example": cls.registry.url}
        cls.containerd = cls.enterClassContext(Containerd(cls.folder, upstreams=upstreams))

    def test_from_a_mirror_then_current_then_moved(self):
        content = self.push()
        self.begin()
        self.pull(content)
        self.assertEqual(self.added(), self.pull_of("relay") | self.asked() | self.received(
            self.mirror.url, size_of(content)))
        page = self.daemon.metrics()
        self.assertGreaterEqual(page.value("cri_resolved_relay_requests_total", result="served"), 4)
        self.assertGreaterEqual(page.value("cri_resolved_relay_requests_total", result="challenged"), 1)
        self.assertEqual(page.value("cri_resolved_relay_requests_total", result="refused"), 0)
        self.assertEqual(page.value("cri_resolved_relay_requests_total", result="failed"), 0)
        self.pull(content)
        self.assertEqual(self.added(), self.pull_of("current") | self.asked())
        for registry in (self.registry, self.mirror):
            newer = type(content)(f"{self.id()} newer", (2000,))
            newer.push(registry, self.repository, "v1")
        self.pull(newer)
        self.assertEqual(self.added(), self.pull_of("relay") | self.asked() | self.received(
            self.mirror.url, size_of(newer)) | {series("tags_moved_total", upstream=HOST): 1})

    def test_a_mirror_that_has_not_got_it(self):
        content = self.push(mirrored=False)
        self.begin()
        self.pull(content)
        self.assertEqual(self.added(), self.pull_of("relay") | self.asked() | self.received(
            "upstream", size_of(content)) | {
                series("failovers_total", upstream=HOST, source=self.mirror.url, cause="not_found"):
                    1 + len(content.blobs),
                series("stale_mirror_answers_total", upstream=HOST, mirror=self.mirror.url): 1})

    def test_a_mirror_that_is_gone(self):
        gone = f"http://127.0.0.1:{dead_port()}"
        content = self.push()
        self.begin({HOST: {"server": self.registry.url, "mirrors": [gone, self.mirror.url]}})
        self.pull(content)
        self.assertEqual(self.added(), self.pull_of("relay") | self.asked() | self.received(
            self.mirror.url, size_of(content)) | {
                series("failovers_total", upstream=HOST, source=gone, cause="unreachable"): 1,
                series("mirror_went_down_total", upstream=HOST, mirror=gone): 1,
                series("mirror_up", upstream=HOST, mirror=gone): -1})
        self.assertEqual(self.before.value("cri_resolved_mirror_up", upstream=HOST, mirror=self.mirror.url), 1)

    def test_failures(self):
        self.push()
        self.begin()
        before = self.daemon.metrics()
        with self.assertRaises(grpc.RpcError) as caught:
            self.cri.pull(self.image("absent"))
        self.assertEqual(caught.exception.code(), grpc.StatusCode.NOT_FOUND)
        self.assertEqual(self.added(), self.pull_of("none", "failed") | self.asked(result="not_found"))
        with self.assertRaises(grpc.RpcError):
            self.cri.pull("NOT A REFERENCE")
        self.assertEqual(self.added(), self.pull_of("containerd", "failed", "other"))
        wait_until(lambda: self.daemon.metrics().since(before).get(
            series("rpcs_total", method=PULL, code="NotFound")) == 1, "it counts as NotFound")

    def test_without_mirrors_and_without_an_entry(self):
        self.begin({HOST: {"server": self.registry.url, "mirrors": [self.mirror.url]},
                    "plain.example": self.registry.url})
        content = self.push()
        self.pull(content, host="plain.example")
        self.assertEqual(self.added(), self.pull_of("upstream", upstream="plain.example") | self.asked(
            upstream="plain.example"))
        self.pull(content, host="unknown.example")
        self.assertEqual(self.added(), self.pull_of("upstream", upstream="other") | self.asked(upstream="other"))

    def test_hostile_hosts_leave_no_trace(self):
        """Neither names nor series: whatever is asked for, the page grows by what "other" takes, once."""
        self.begin()

        def fail(number):
            for reference in (f"evil-{number}.example:{dead_port()}/x:y", f'evil"}}\n{number} 1', f"evil-{number}/{'z' * 300}"):
                with self.assertRaises(grpc.RpcError):
                    self.cri.pull(reference)
        fail(0)
        with self.assertRaises(grpc.RpcError):
            self.cri.call("/evil.Service/Method0")
        wait_until(lambda: self.daemon.metrics().value("cri_resolved_rpcs_total", method="other", code="Unimplemented") == 1,
                   "it is counted")
        series_before = len(self.daemon.metrics().samples)
        with concurrent.futures.ThreadPoolExecutor(8) as crowd:
            list(crowd.map(fail, range(1, 60)))
        for number in range(1, 60):
            with self.assertRaises(grpc.RpcError):
                self.cri.call(f"/evil.Service/Method{number}")
        wait_until(lambda: self.daemon.metrics().value("cri_resolved_rpcs_total", method="other", code="Unimplemented") == 60,
                   "all are counted")
        page = self.daemon.metrics()
        self.assertNotIn("evil", page.text)
        self.assertEqual(len(page.samples), series_before)
        self.assertEqual(page.sum("cri_resolved_pulls_total", upstream="other", outcome="failed"), 180)

    def test_the_whole_page(self):
        """Every metric of the table and no other, of its type, and as promtool wants it, after all kinds of deeds."""
        gone = f"http://127.0.0.1:{dead_port()}"
        self.begin({HOST: {"server": self.registry.url, "mirrors": [gone, self.mirror.url]}})
        self.pull(self.push())
        self.pull(self.push("v2", mirrored=False), "v2")
        with self.assertRaises(grpc.RpcError):
            self.cri.pull(self.image("absent"))
        page = self.daemon.metrics()
        self.assertEqual(page.types, {name: TYPES[kind] for kind, name, _ in TABLE})
        for _, name, labels in TABLE:
            for found in page.labels(name) + page.labels(f"{name}_count"):
                self.assertEqual(set(found), set(labels.split(",")) - {""}, name)
        self.assertEqual(promtool_says(page.text), (0, ""))
        self.assertNotEqual(promtool_says(page.text.replace("_pulls_total", "_pulls"))[0], 0)
        empty = {name for _, name, _ in TABLE if not page.labels(name) and not page.labels(f"{name}_count")}
        self.assertEqual(empty, {"cri_resolved_containers"}, "NRI is off")

    def test_histograms_add_up(self):
        self.begin()
        self.pull(self.push())
        page = self.daemon.metrics()
        for name in (name for kind, name, _ in TABLE if TYPES[kind] == "histogram"):
            for found in page.labels(f"{name}_count"):
                buckets = [value for (other, words), value in page.samples.items()
                           if other == f"{name}_bucket" and set(found.items()) <= set(words)]
                self.assertEqual(buckets, sorted(buckets))
                self.assertEqual(buckets[-1], page.value(f"{name}_count", **found))
        self.assertGreater(page.value("cri_resolved_pull_duration_seconds_sum", source="relay", outcome="ok"), 0)

    def test_process_and_build(self):
        self.start()
        page = self.daemon.metrics()
        home = pathlib.Path(f"/proc/{self.daemon.process.pid}")
        version = subprocess.run([self.daemon.process.command[0], "--version"], check=True, capture_output=True,
                                 text=True).stdout.split()[1]
        self.assertEqual(page.value("cri_resolved_build_info", version=version), 1)
        limit = re.search(r"Max open files +(\d+)", (home / "limits").read_text())[1]
        self.assertEqual(page.value("process_max_fds"), int(limit))
        self.assertAlmostEqual(page.value("process_open_fds"), len(os.listdir(home / "fd")), delta=3)
        self.assertAlmostEqual(page.value("process_threads"), len(os.listdir(home / "task")), delta=3)
        again = self.daemon.metrics()
        self.assertGreater(page.value("process_resident_memory_bytes"), 1 << 20)
        self.assertGreater(again.value("process_cpu_seconds_total"), page.value("process_cpu_seconds_total"))
        self.assertEqual(again.value("process_start_time_seconds"), page.value("process_start_time_seconds"))


class Faults(Counting):
    """What healthy registries do not do."""

    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.registry = cls.enterClassContext(FakeRegistry(cls.folder, name="upstream"))
        cls.mirror = cls.enterClassContext(FakeRegistry(cls.folder, name="mirror"))
        cls.line = cls.enterClassContext(Forwarder(cls.registry.port))
        cls.containerd = cls.enterClassContext(Containerd(cls.folder, upstreams={HOST: cls.registry.url}))

    def setUp(self):
        super().setUp()
        self.addCleanup(self.registry.rules, [])
        self.addCleanup(self.mirror.rules, [])
        self.addCleanup(self.line.mend)

    def test_one_question_for_many(self):
        """The first asks; those who come while it waits share the next question."""
        content = self.push()
        self.begin()
        self.pull(content)
        self.added()
        self.registry.rules([{"method": "HEAD", "path": f"/{self.repository}/manifests/v1", "hold": "one", "times": 1},
                             {"method": "HEAD", "path": f"/{self.repository}/manifests/v1", "hold": "two"}])
        self.registry.clear_log()
        with concurrent.futures.ThreadPoolExecutor(5) as pool:
            pulls = [pool.submit(self.cri.pull, self.image())]
            self.registry.wait(path="/manifests/v1", state="held")
            pulls += [pool.submit(self.cri.pull, self.image()) for _ in range(4)]
            wait_until(lambda: self.daemon.metrics().value("cri_resolved_pulls_running") == 5, "all five are there")
            first, = self.registry.log("HEAD", "/manifests/v1")
            self.registry.release("one")
            self.registry.wait(path="/manifests/v1", state="held", after=first["sequence"])
            self.registry.rules([])
            self.registry.release("two")
            for pull in pulls:
                self.assertEqual(pull.result(60), content.id)
        added = self.added()
        sent = added.pop(series("heads_sent_total", upstream=HOST))
        saved = added.pop(series("heads_saved_total", upstream=HOST))
        self.assertEqual(sent, len(self.registry.log("HEAD", "/manifests/v1")), "as many as the upstream has seen")
        self.assertEqual(sent + saved, 5)
        self.assertGreaterEqual(saved, 1)
        self.assertEqual(added, {
            series("pulls_total", upstream=HOST, source="current", outcome="ok"): 5,
            series("pull_duration_seconds_count", source="current", outcome="ok"): 5,
            series("resolves_total", upstream=HOST, result="ok"): 5,
            series("resolve_duration_seconds_count", upstream=HOST): 5})

    def test_wrong_content(self):
        content = self.push(sizes=(3_000,))
        layer = content.layers[0]
        self.mirror.rules([{"path": f"/blobs/{layer}", "corrupt": 100}])
        self.begin()
        self.pull(content)
        wrong = len(content.blobs[layer])
        self.assertEqual(self.added(), self.pull_of("relay") | self.asked() | {
            # All that the mirror gave, the wrong layer too, and the right one from the upstream.
            series("received_bytes_total", upstream=HOST, source=self.mirror.url): size_of(content),
            series("received_bytes_total", upstream=HOST, source="upstream"): wrong,
            series("wrong_contents_total", upstream=HOST, mirror=self.mirror.url): 1,
            series("quarantined_contents", upstream=HOST, mirror=self.mirror.url): 1})

    def test_a_mirror_that_breaks_off(self):
        content = self.push(sizes=(3 << 20,))
        layer = content.layers[0]
        self.mirror.rules([{"path": f"/blobs/{layer}", "after_bytes": 1 << 20, "hang_up": True}])
        self.begin()
        self.pull(content)
        added = self.added()
        gave = added.pop(series("received_bytes_total", upstream=HOST, source=self.mirror.url))
        rest = added.pop(series("received_bytes_total", upstream=HOST, source="upstream"))
        self.assertEqual(gave + rest, size_of(content), "no byte twice")
        self.assertGreaterEqual(rest, len(content.blobs[layer]) - (1 << 20))
        self.assertEqual(added, self.pull_of("relay") | self.asked() | {
            series("failovers_total", upstream=HOST, source=self.mirror.url, cause="broken"): 1})

    def test_degraded_answers(self):
        content = self.push()
        self.begin({HOST: {"server": self.line.url, "on_upstream_down": "stale"}},
                   resolve={"timeout": "1s", "budget": "2s"})
        self.pull(content)
        self.added()
        self.line.cut()
        self.pull(content)
        added = self.added()
        added.pop(series("heads_sent_total", upstream=HOST))  # a refused one is tried once more
        self.assertEqual(added, self.pull_of("stale") | self.asked(heads=0, result="unreachable") | {
            series("degraded_answers_total", upstream=HOST, policy="stale"): 1})

    def test_cancelled_pulls_are_no_failures(self):
        self.push()
        self.registry.rules([{"method": "HEAD", "path": "/manifests/v1", "hold": "for ever"}])
        self.begin()
        before = self.before
        pull = self.cri.pull_future(self.image())
        self.registry.wait(path=f"/{self.repository}/manifests/v1", state="held")
        self.assertEqual(self.daemon.metrics().value("cri_resolved_pulls_running"), 1)
        pull.cancel()
        wait_until(lambda: self.daemon.metrics().value("cri_resolved_pulls_running") == 0, "it has ended")
        self.registry.release("for ever")
        self.assertEqual(self.added(), self.pull_of("none", "cancelled") | self.asked(result="cancelled"))
        wait_until(lambda: self.daemon.metrics().since(before).get(
            series("rpcs_total", method=PULL, code="Canceled")) == 1, "the call counts as cancelled")


class Calls(unittest.TestCase):
    """Of all kinds, through the daemon to a scripted backend."""

    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.backend = cls.enterClassContext(Backend(cls.folder))
        cls.daemon = cls.enterClassContext(Daemon(cls.folder, cls.backend.socket))
        cls.caller = cls.enterClassContext(Caller(cls.daemon.socket))
        # The call that has shown that the daemon is ready is counted after its answer, like any other.
        wait_until(lambda: cls.daemon.metrics().sum("cri_resolved_rpcs_total", code="OK"), "the first call is counted")

    def wait_added(self, before, **expected):
        """Calls are counted when all of them is over, which may be after the client has its answer."""
        def found():
            since = self.daemon.metrics().since(before)
            return {name: value for name, value in since.items() if name.startswith("cri_resolved_rpcs_total")}
        wanted = {series("rpcs_total", method=method, code=code): count
                  for method, codes in expected.items() for code, count in codes.items()}
        wait_until(lambda: found() == wanted, lambda: f"{found()} is not {wanted}")

    def test_by_method_and_code(self):
        before = self.daemon.metrics()
        for _ in range(3):
            self.caller.call("/runtime.v1.RuntimeService/Version")
        for _ in range(2):
            self.caller.call("/runtime.v1.ImageService/ListImages")
        self.caller.call("/fake/Seen", b"{}")
        status = json.dumps({"code": 9, "message": "x", "details": ""}).encode()
        self.assertEqual(self.caller.outcome("/fake/Status", status)[0], grpc.StatusCode.FAILED_PRECONDITION)
        self.wait_added(before, **{"runtime.v1.RuntimeService/Version": {"OK": 3},
                                   "runtime.v1.ImageService/ListImages": {"OK": 2},
                                   "other": {"OK": 1, "FailedPrecondition": 1}})
        page = self.daemon.metrics()
        self.assertEqual(page.value("cri_resolved_rpc_duration_seconds_count", method="other") - before.value(
            "cri_resolved_rpc_duration_seconds_count", method="other"), 2)

    def test_the_backend_is_gone(self):
        with Backend(self.folder, name="short") as backend, Daemon(self.folder, backend.socket, name="short") as daemon, \
                Cri(daemon.socket) as cri:
            self.assertEqual(daemon.metrics().value("cri_resolved_backend_up"), 1)
            backend.kill()
            self.assertEqual(daemon.metrics().value("cri_resolved_backend_up"), 0)
            with self.assertRaises(grpc.RpcError) as caught:
                cri.call("/runtime.v1.ImageService/ListImages")
            self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)
            wait_until(lambda: daemon.metrics().value(
                "cri_resolved_rpcs_total", method="runtime.v1.ImageService/ListImages", code="Unavailable") == 1, "it counts")

    def test_refused_peers(self):
        self.daemon.socket.chmod(0o666)
        for folder in self.daemon.socket.parents:
            if str(folder).startswith("/tmp/"):
                folder.chmod(0o755)
        before = self.daemon.metrics().value("cri_resolved_peers_refused_total")
        child = os.fork()
        if child == 0:
            try:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
                with socket.socket(socket.AF_UNIX) as peer:
                    peer.connect(str(self.daemon.socket))
                    os._exit(0 if peer.recv(1) == b"" else 1)
            finally:
                os._exit(2)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
        self.assertEqual(self.daemon.metrics().value("cri_resolved_peers_refused_total"), before + 1)


class Reload(unittest.TestCase):
    def test_reloads(self):
        with Folder() as folder, Backend(folder) as backend, Daemon(folder, backend.socket) as daemon:
            mirror = "http://127.0.0.1:5000"
            page = daemon.metrics()
            self.assertEqual((page.value("cri_resolved_config_last_reload_successful"),
                              page.sum("cri_resolved_config_reloads_total")), (1, 0))
            loaded = page.value("cri_resolved_config_last_reload_success_timestamp_seconds")
            self.assertAlmostEqual(loaded, page.value("process_start_time_seconds"), delta=30)
            self.assertEqual(page.labels("cri_resolved_mirror_up"), [])
            self.assertEqual(page.value("cri_resolved_relay_state", state="off"), 1)
            daemon.upstreams["ghcr.io"] = {"mirrors": [mirror]}
            daemon.write_config()
            daemon.reload()
            daemon.wait_line("configuration reloaded")
            page = daemon.metrics()
            self.assertEqual(page.labels("cri_resolved_mirror_up"), [{"upstream": "ghcr.io", "mirror": mirror}])
            self.assertEqual(page.labels("cri_resolved_quarantined_contents"), [{"upstream": "ghcr.io", "mirror": mirror}])
            self.assertIn({"upstream": "ghcr.io", "policy": "stale"}, page.labels("cri_resolved_degraded_answers_total"))
            self.assertIn({"upstream": "ghcr.io", "mirror": mirror}, page.labels("cri_resolved_wrong_contents_total"))
            self.assertEqual(page.value("cri_resolved_config_reloads_total", outcome="ok"), 1)
            self.assertEqual([state["state"] for state in page.labels("cri_resolved_relay_state")],
                             ["off", "port_taken", "captured", "serving"])
            self.assertEqual(page.value("cri_resolved_relay_state", state="serving"), 1)
            self.assertEqual(page.sum("cri_resolved_relay_state"), 1)
            daemon.write_config("nonsense = 1\n")
            daemon.reload()
            daemon.wait_line("configuration not reloaded")
            page = daemon.metrics()
            self.assertEqual((page.value("cri_resolved_config_last_reload_successful"),
                              page.value("cri_resolved_config_reloads_total", outcome="failed")), (0, 1))
            del daemon.upstreams["ghcr.io"]
            daemon.write_config()
            daemon.reload()
            daemon.wait_line("configuration reloaded", 2)
            page = daemon.metrics()
            self.assertEqual(page.labels("cri_resolved_mirror_up"), [], "gone with the configuration")
            self.assertEqual(page.value("cri_resolved_config_last_reload_successful"), 1)

    def test_the_relays_port_is_taken_and_strangers_are_refused(self):
        with Folder() as folder, Backend(folder) as backend:
            port = free_port()
            tables = {"upstreams": {HOST: {"mirrors": ["http://127.0.0.1:5000"]}}, "relay": {"port": port}}
            with socket.socket() as holder:
                holder.bind(("127.0.0.1", port))
                holder.listen()
                with Daemon(folder, backend.socket, **tables) as daemon:
                    self.assertEqual(daemon.metrics().value("cri_resolved_relay_state", state="port_taken"), 1)
            with Daemon(folder, backend.socket, **tables) as daemon:
                client = http.client.HTTPConnection("127.0.0.1", port)
                client.request("GET", "/v2/")
                self.assertEqual(client.getresponse().status, 401)
                client.close()
                client.request("GET", "/v2/", headers={"Authorization": "Basic bm9ib2R5OnBhc3N3b3Jk"})
                self.assertEqual(client.getresponse().status, 401)
                client.close()
                with socket.create_connection(("127.0.0.1", port)) as long_head:
                    long_head.sendall(b"GET /" + b"a" * 9000)
                    long_head.settimeout(30)
                    self.assertEqual(drained(long_head), b"")
                page = daemon.metrics()
                self.assertEqual(page.value("cri_resolved_relay_requests_total", result="challenged"), 1)
                self.assertEqual(page.value("cri_resolved_relay_requests_total", result="refused"), 1)
                self.assertEqual(page.value("cri_resolved_relay_connections_refused_total", reason="malformed"), 1)
                self.assertEqual(page.sum("cri_resolved_relay_connections_refused_total"), 1)


def drained(connection):
    """All that comes until the end, be it a hard one."""
    found = b""
    try:
        while piece := connection.recv(4096):
            found += piece
    except ConnectionResetError:
        pass
    return found


class Tcp(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.backend = cls.enterClassContext(Backend(cls.folder))

    def daemon(self, listen, **more):
        return Daemon(self.folder, self.backend.socket, metrics={"listen": listen}, **more)

    def ask(self, port, path="/metrics", method="GET", host="127.0.0.1", body=None):
        connection = http.client.HTTPConnection(host, port, timeout=30)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.headers
        finally:
            connection.close()

    def test_it_is_off(self):
        with Daemon(self.folder, self.backend.socket) as daemon:
            listening = subprocess.run(["ss", "-Hltnp"], check=True, capture_output=True, text=True).stdout
            self.assertNotIn(f"pid={daemon.process.pid},", listening)

    def test_the_page_and_nothing_else(self):
        port = free_port()
        with self.daemon(f"127.0.0.1:{port}") as daemon:
            status, text, headers = self.ask(port)
            self.assertEqual((status, headers["Content-Type"]), (200, "text/plain; version=0.0.4; charset=utf-8"))
            self.assertEqual(Page(text).types, daemon.metrics().types)
            self.assertEqual(promtool_says(text), (0, ""))
            status, text, headers = self.ask(port, method="HEAD")
            self.assertEqual((status, text), (200, ""))
            self.assertGreater(int(headers["Content-Length"]), 1000)
            for path in ("/", "/v1/status", "/v1/pulls", "/healthz", "/readyz", "/metrics/", "//metrics", "/metricsx", "/v2/"):
                self.assertEqual(self.ask(port, path)[:2], (404, "not found; there is /metrics\n"), path)
            self.assertEqual(self.ask(port, "/metrics?name=x")[0], 200)
            for method in ("POST", "PUT", "DELETE", "OPTIONS"):
                status, _, headers = self.ask(port, method=method)
                self.assertEqual((status, headers["Allow"]), (405, "GET, HEAD"), method)
            with socket.socket() as elsewhere:
                self.assertNotEqual(elsewhere.connect_ex(("127.0.0.2", port)), 0)

    def test_any_user_may_read(self):
        port = free_port()
        with self.daemon(f"127.0.0.1:{port}"):
            done = subprocess.run(["/usr/bin/python3", "-c", "import sys, urllib.request as r; "
                                   f"sys.exit(r.urlopen('http://127.0.0.1:{port}/metrics').status != 200)"],
                                  user=65534, group=65534, extra_groups=[], check=False)
            self.assertEqual(done.returncode, 0)

    def test_the_other_family(self):
        port = free_port()
        with self.daemon(f"[::1]:{port}"):
            self.assertEqual(self.ask(port, host="::1")[0], 200)
            with socket.socket() as four:
                self.assertNotEqual(four.connect_ex(("127.0.0.1", port)), 0)

    def test_a_taken_port_is_said(self):
        with socket.create_server(("127.0.0.1", 0)) as holder:
            port = holder.getsockname()[1]
            daemon = self.daemon(f"127.0.0.1:{port}", name="taken", wait=False)
            daemon.start()
            self.assertEqual(daemon.process.child.wait(30), 78)
            self.assertIn(f'metrics.listen = \\"127.0.0.1:{port}\\": Address already in use', daemon.log())

    def test_idle_connections_keep_nobody_out(self):
        """More than there are places for, silent ones and such that have asked before: all stay, and Prometheus is served."""
        port = free_port()

        def connect():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.connect()
            self.addCleanup(connection.close)
            return connection
        with self.daemon(f"127.0.0.1:{port}"):
            for _ in range(200):
                connect()
            self.assertEqual(self.ask(port)[0], 200)
            for _ in range(200):
                asked = connect()
                asked.request("GET", "/metrics")
                self.assertIn(b"cri_resolved_", asked.getresponse().read())
            self.assertEqual(self.ask(port)[0], 200)

    def test_more_clients_than_places(self):
        port = free_port()
        with self.daemon(f"127.0.0.1:{port}") as daemon:
            slow = []
            for number in range(80):
                client = socket.create_connection(("127.0.0.1", port))
                self.addCleanup(client.close)
                client.sendall(b"GET /metrics HTTP/1.1\r\nHost: lo"[:1 + number % 30])
                slow.append(client)
            self.assertEqual(daemon.admin("/healthz")[0], 200, "the admin socket has places of its own")
            with Cri(daemon.socket) as cri:
                cri.call("/runtime.v1.RuntimeService/Version")
            for client in slow:
                client.close()

            def answered():
                try:
                    return self.ask(port)[0] == 200
                except OSError:
                    return False
            wait_until(answered, "the places are free again")

    def test_many_at_once(self):
        port = free_port()
        with self.daemon(f"127.0.0.1:{port}"), concurrent.futures.ThreadPoolExecutor(16) as crowd:
            self.assertEqual(set(crowd.map(lambda _: self.ask(port)[0], range(200))), {200})

    def test_it_needs_no_admin_socket(self):
        port = free_port()
        with self.daemon(f"127.0.0.1:{port}", name="alone", admin={"listen": ""}):
            self.assertEqual(self.ask(port)[0], 200)


if __name__ == "__main__":
    unittest.main()

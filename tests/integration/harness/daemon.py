# SPDX-License-Identifier: Apache-2.0
"""cri-resolved itself, in front of a Containerd (or any other CRI socket)."""
import http.client
import json
import os
import pathlib
import re
import signal
import socket

import grpc

from .cri import Cri
from .metrics import Page
from .parts import ROOT, Process, accepts, dead_port, environment, wait_until

REPORT = re.compile(r"(ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:)")

COUNTERS = re.compile(r" info counters (.*)\n")


def binary():
    """$CRI_RESOLVED_BIN, else the debug build's."""
    return pathlib.Path(os.environ.get("CRI_RESOLVED_BIN", ROOT / "build/debug/cri-resolved"))


def toml(value):
    """A value in TOML; JSON's strings, numbers, lists and booleans are the same there."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(str(value) if isinstance(value, pathlib.Path) else value)


class UnixConnection(http.client.HTTPConnection):
    """HTTP to a Unix socket."""

    def __init__(self, path, timeout_s=30):
        super().__init__("localhost", timeout=timeout_s)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def _request_unix(path, target, method="GET"):
    """(answer, its body)"""
    connection = UnixConnection(path)
    try:
        connection.request(method, target)
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def ask_unix(path, target, method="GET"):
    """(status, document or None, headers)"""
    answer, text = _request_unix(path, target, method)
    return answer.status, json.loads(text) if text else None, answer.headers


def metrics_of(path):
    """The page /metrics of that admin socket."""
    answer, text = _request_unix(path, "/metrics")
    assert answer.status == 200, answer.status
    return Page(text.decode())


class Daemon:
    """upstreams: {"ghcr.io": url} or {"ghcr.io": {"server": url, "on_upstream_down": "stale", ...}}.
    Tables of the configuration can be given or changed as keywords: resolve={"timeout": "300ms"},
    shim={...}, log={...}; mirrors={url: {"ca": ...}}: [mirror."url"]. backend: a Containerd, or the
    path of a CRI socket. Any host without an entry leads to a port that refuses. manager: who hands
    its sockets over, instead of its own. Its end is checked: exit code 0 and no sanitizer's report."""

    def __init__(self, folder, backend, upstreams=None, name="cri-resolved", env=None, wait=True, mirrors=None,
                 manager=None, **tables):
        self.folder, self.wait, self.manager = folder, wait, manager
        self.home = folder.sub(name)
        self.socket = self.home / "r.sock"
        self.admin_socket = self.home / "a.sock"
        self.config = self.home / "cri-resolved.toml"
        self.backend = getattr(backend, "socket", backend)
        self.tables = {"shim": {"listen": f"unix://{self.socket}", "backend": f"unix://{self.backend}"}, "resolve": {}}
        if hasattr(backend, "certs"):
            self.tables["shim"]["certs_dir"] = str(backend.certs)
        if manager:
            self.socket, self.admin_socket = manager.socket, manager.admin_socket
            self.tables["shim"]["listen"] = f"unix://{self.socket}"
            self.tables["relay"] = {"port": manager.relay_port}
        self.tables["admin"] = {"listen": f"unix://{self.admin_socket}"}
        for table, values in tables.items():
            self.tables.setdefault(table, {}).update(values)
        self.upstreams = {"default": {"server": f"http://127.0.0.1:{dead_port()}"}} if not hasattr(backend, "certs") else {}
        for host, entry in (upstreams or {}).items():
            self.upstreams[host] = dict(entry) if isinstance(entry, dict) else {"server": entry}
        self.mirrors = dict(mirrors or {})
        self.write_config()
        self.process = Process(folder, self.home.name, self.command(binary()), environment(
            ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "detect_leaks=1"),
            UBSAN_OPTIONS=os.environ.get("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1"),
            TSAN_OPTIONS=os.environ.get("TSAN_OPTIONS", "ignore_noninstrumented_modules=1:halt_on_error=1"),
            **(manager.environment() if manager else {}), **(env or {})), manager.descriptors if manager else ())

    def command(self, program):
        words = [str(program), "--config", str(self.config)]
        return [str(word) for word in self.manager.command(words)] if self.manager else words

    def write_config(self, text=None):
        """Writes the configuration from tables and upstreams, or the given text."""
        if text is None:
            parts = []
            for table, values in self.tables.items():
                parts += [f"[{table}]", *(f"{key} = {toml(value)}" for key, value in values.items()), ""]
            named = [("upstream", *entry) for entry in self.upstreams.items()]
            for kind, name, values in named + [("mirror", *entry) for entry in self.mirrors.items()]:
                parts += [f"[{kind}.{json.dumps(name)}]", *(f"{key} = {toml(value)}" for key, value in values.items()), ""]
            text = "\n".join(parts)
        self.config.write_text(text)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        else:
            self.process.kill()

    def start(self):
        self.process.start()
        if self.wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        """Until its socket answers a call with containerd's answer."""
        def ready():
            if not accepts(self.socket):
                return False
            with Cri(self.socket) as cri:
                try:
                    cri.call("/runtime.v1.RuntimeService/Version", timeout_s=5)
                    return True
                except grpc.RpcError:
                    return False
        self.process.wait_ready(ready)

    def stop(self):
        """SIGTERM; exit code 0, and nothing that a sanitizer reported."""
        code = self.process.stop()
        self.check_log()
        assert code == 0, f"cri-resolved ended with {code}:\n{self.log()[-3000:]}"

    def check_log(self):
        found = REPORT.search(self.log())
        assert not found, f"a sanitizer's report:\n{self.log()[found.start():][:6000]}"

    def kill(self):
        """SIGKILL, as the kernel does when memory ends."""
        self.process.kill()
        self.check_log()

    def restart(self):
        if self.process.running():
            self.stop()
        self.start()

    def reload(self):
        """SIGHUP after write_config()."""
        self.process.signal(signal.SIGHUP)

    def counters(self):
        """SIGUSR1: all counters by name, as its line in the log tells them."""
        before = len(COUNTERS.findall(self.log()))
        self.process.signal(signal.SIGUSR1)
        wait_until(lambda: len(COUNTERS.findall(self.log())) > before, "the line of counters")
        pairs = COUNTERS.findall(self.log())[-1].split()
        return {name: int(value) for name, value in (pair.split("=") for pair in pairs)}

    def admin(self, path, method="GET"):
        """One request to the admin socket: (status, document, headers)."""
        return ask_unix(self.admin_socket, path, method)

    def metrics(self):
        return metrics_of(self.admin_socket)

    def log(self):
        return self.process.log()

    def lines(self, pattern):
        """The lines of its log in which the pattern is found."""
        return [line for line in self.log().splitlines() if re.search(pattern, line)]

    def wait_line(self, pattern, count=1, timeout_s=30.0):
        """The matching lines, as soon as there are so many."""
        def found():
            lines = self.lines(pattern)
            assert len(lines) >= count or self.process.running(), f"it ended without {pattern!r} in its log"
            return len(lines) >= count and lines
        return wait_until(found, f"{count} lines like {pattern!r} in the log", timeout_s)

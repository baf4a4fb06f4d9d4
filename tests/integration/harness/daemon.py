# SPDX-License-Identifier: Apache-2.0
"""cri-resolved itself, in front of a Containerd (or any other CRI socket)."""
import json
import os
import pathlib
import re
import signal

import grpc

from .cri import Cri
from .parts import ROOT, Process, accepts, dead_port, environment

REPORT = re.compile(r"(ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:)")


def binary():
    """$CRI_RESOLVED_BIN, else the debug build's."""
    return pathlib.Path(os.environ.get("CRI_RESOLVED_BIN", ROOT / "build/debug/cri-resolved"))


def toml(value):
    """A value in TOML; JSON's strings, numbers, lists and booleans are the same there."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(str(value) if isinstance(value, pathlib.Path) else value)


class Daemon:
    """upstreams: {"ghcr.io": url} or {"ghcr.io": {"server": url, "on_upstream_down": "stale", ...}}.
    Tables of the configuration can be given or changed as keywords: resolve={"timeout": "300ms"},
    shim={...}, log={...}. backend: a Containerd, or the path of a CRI socket. Any host without an
    entry leads to a port that refuses. Its end is checked: exit code 0 and no sanitizer's report."""

    def __init__(self, folder, backend, upstreams=None, name="cri-resolved", env=None, wait=True, **tables):
        self.folder, self.wait = folder, wait
        self.home = folder.sub(name)
        self.socket = self.home / "r.sock"
        self.config = self.home / "cri-resolved.toml"
        self.backend = getattr(backend, "socket", backend)
        self.tables = {"shim": {"listen": f"unix://{self.socket}", "backend": f"unix://{self.backend}"}, "resolve": {}}
        if hasattr(backend, "certs"):
            self.tables["shim"]["certs_dir"] = str(backend.certs)
        for table, values in tables.items():
            self.tables.setdefault(table, {}).update(values)
        self.upstreams = {"default": {"server": f"http://127.0.0.1:{dead_port()}"}} if not hasattr(backend, "certs") else {}
        for host, entry in (upstreams or {}).items():
            self.upstreams[host] = dict(entry) if isinstance(entry, dict) else {"server": entry}
        self.write_config()
        self.process = Process(folder, self.home.name, [binary(), "--config", self.config], environment(
            ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "detect_leaks=1"),
            UBSAN_OPTIONS=os.environ.get("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1"),
            TSAN_OPTIONS=os.environ.get("TSAN_OPTIONS", "ignore_noninstrumented_modules=1:halt_on_error=1"),
            **(env or {})))

    def write_config(self, text=None):
        """Writes the configuration from tables and upstreams, or the given text."""
        if text is None:
            parts = []
            for table, values in self.tables.items():
                parts += [f"[{table}]", *(f"{key} = {toml(value)}" for key, value in values.items()), ""]
            for host, values in self.upstreams.items():
                parts += [f"[upstream.{json.dumps(host)}]", *(f"{key} = {toml(value)}" for key, value in values.items()), ""]
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

    def log(self):
        return self.process.log()

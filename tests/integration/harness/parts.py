# SPDX-License-Identifier: Apache-2.0
"""What all parts stand on: a folder that is swept, processes that end, lines that can be cut."""
import contextlib
import ctypes
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from . import sweep

ROOT = pathlib.Path(__file__).resolve().parents[3]
CACHE = ROOT / ".cache"
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


def containerd_version():
    """The containerd this test process was started for: "1.6", "1.7" or "2"."""
    return os.environ.get("CRI_RESOLVED_CONTAINERD", "1.6")


def wait_until(condition, what, timeout_s=30.0, interval_s=0.02):
    """Polls until condition() is true and returns its value. Late is an AssertionError that says what: a text, or a
    function that gives one."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s:g} s in vain: {what() if callable(what) else what}")
        time.sleep(interval_s)


_ports = random.Random(os.getpid()).sample(range(10000, 20000), 10000)  # none that the kernel would choose for somebody
_claims = []


def free_port():
    """A port that nobody has, and that is this process's for as long as it lives: whoever listens there may end and
    begin again. A name in the network namespace claims it among test processes."""
    while True:
        port, claim = _ports.pop(), socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0cri-resolved-test-port-{port}")
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
        else:
            _claims.append(claim)
            return port


_dead = []


def dead_port():
    """A port that refuses every connection for as long as this process lives."""
    if not _dead:
        holder = socket.socket()
        holder.bind(("127.0.0.1", 0))
        _dead.append(holder)
    return _dead[0].getsockname()[1]


def answers(port, address="127.0.0.1"):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((address, port)) == 0


def accepts(path):
    """Whether somebody accepts connections at a Unix socket. Asked before gRPC is: its channels
    wait seconds after a refused connection."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def environment(**more):
    """The environment of every part: no surprise from the caller's settings, and no way out. What
    is not loopback goes to a proxy that refuses, so that not even a name is looked up."""
    keep = ("PATH", "HOME", "LANG", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS")
    env = {name: os.environ[name] for name in keep if name in os.environ}
    nowhere, near = f"http://127.0.0.1:{dead_port()}", "127.0.0.1,localhost,::1"
    env.update(HTTP_PROXY=nowhere, HTTPS_PROXY=nowhere, http_proxy=nowhere, https_proxy=nowhere, NO_PROXY=near,
               no_proxy=near)
    env.update({name: str(value) for name, value in more.items()})
    return env


class BlackHole:
    """A port that answers nothing, not even a connection: to whoever connects, the packets are lost.
    (Its queue of connections is full, so the kernel drops what asks for another one.)"""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.fill = []

    def __enter__(self):
        while True:
            probe = socket.socket()
            self.fill.append(probe)
            probe.settimeout(0.2)
            try:
                probe.connect(("127.0.0.1", self.port))
            except TimeoutError:
                return self

    def __exit__(self, *_):
        for part in (*self.fill, self.listener):
            part.close()


class Folder:
    """A temp folder. Its end kills what still runs from it, unmounts and deletes.

    When the block ends with an exception, the ends of all logs in it are printed first."""

    def __init__(self, parent=None):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="crt-", dir=parent))
        self.logs = []

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            self.show_logs()
        sweep.sweep(self.path)
        shutil.rmtree(self.path, ignore_errors=True)

    def sub(self, name):
        """A new folder below this one: name, name-2, name-3 ..."""
        number, path = 1, self.path / name
        while path.exists():
            number += 1
            path = self.path / f"{name}-{number}"
        path.mkdir()
        return path

    def show_logs(self, lines=60, file=None):
        file = file or sys.stderr
        for path in self.logs:
            text = path.read_text(errors="replace").splitlines()
            print(f"--- {path.relative_to(self.path)} (last {min(lines, len(text))} of {len(text)} lines)",
                  *text[-lines:], sep="\n", file=file)


class Process:
    """One process in a process group of its own, its output in a log file of the folder."""

    def __init__(self, folder, name, command, env=None, pass_fds=()):
        self.folder, self.name, self.command = folder, name, [str(word) for word in command]
        self.env, self.pass_fds = env or environment(), pass_fds
        self.log_path = folder.path / f"{name}.log"
        self.child = None
        if self.log_path not in folder.logs:
            folder.logs.append(self.log_path)

    def start(self):
        def dies_with_us():
            os.setpgid(0, 0)
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

        with open(self.log_path, "ab") as log:
            self.child = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                          env=self.env, pass_fds=self.pass_fds, preexec_fn=dies_with_us)
        return self

    @property
    def pid(self):
        return self.child.pid

    def running(self):
        return self.child is not None and self.child.poll() is None

    def wait_ready(self, condition, timeout_s=30.0):
        """Until condition() is true; a process that ends before is an error at once."""
        def ready():
            if not self.running():
                raise AssertionError(f"{self.name} ended with {self.child.returncode}:\n{self.log()[-3000:]}")
            return condition()
        return wait_until(ready, f"{self.name} is not ready:\n{self.log()[-3000:]}", timeout_s)

    def signal(self, number):
        self.child.send_signal(number)

    def kill(self):
        """SIGKILL, and wait for its end."""
        if self.running():
            self.child.kill()
        return self.child.wait() if self.child else None

    def stop(self, timeout_s=20.0):
        """SIGTERM, then SIGKILL; the exit code (negative: the signal)."""
        if self.child is None:
            return None
        if self.running():
            self.child.terminate()
        try:
            return self.child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise AssertionError(f"{self.name} ignored SIGTERM for {timeout_s:g} s") from None

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""


class Forwarder:
    """A TCP line from a loopback port to another one, which can be cut and mended."""

    def __init__(self, target_port):
        self.target_port, self.is_cut, self.open = target_port, False, set()
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.acceptor = threading.Thread(target=self._accept, daemon=True)
        self.acceptor.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cut()
        # The thread must be out of accept() before the number of its descriptor is given away: else
        # it takes the connections of whoever listens next.
        self._shut(self.listener)
        self.acceptor.join()
        self.listener.close()

    def cut(self):
        """Closes every connection; new ones are closed at once."""
        with self.lock:
            self.is_cut = True
            victims = list(self.open)
        for connection in victims:
            self._shut(connection)

    def mend(self):
        with self.lock:
            self.is_cut = False

    @staticmethod
    def _shut(connection):
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other side was faster

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near):
        with near:
            with self.lock:
                if self.is_cut:
                    return
            try:
                far = socket.create_connection(("127.0.0.1", self.target_port), timeout=5)
            except OSError:
                return
            with far:
                far.settimeout(None)
                with self.lock:
                    self.open |= {near, far}
                back = threading.Thread(target=self._copy, args=(far, near), daemon=True)
                back.start()
                self._copy(near, far)
                back.join()
                with self.lock:
                    self.open -= {near, far}

    def _copy(self, source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass  # cut: both ways end
        self._shut(source)
        self._shut(target)


class ShowsLogs:
    """Before TestCase among the bases: after a test that failed, what the parts in its folder have logged last."""

    log_lines = 15

    def folder_of_logs(self):
        """None: there is none yet."""
        return self.folder

    def run(self, result=None):
        before = len(result.failures) + len(result.errors)
        super().run(result)
        folder = self.folder_of_logs()
        if len(result.failures) + len(result.errors) > before and folder:
            print(f"--- logs after {self.id()}")
            folder.show_logs(lines=self.log_lines)

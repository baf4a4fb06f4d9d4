# SPDX-License-Identifier: Apache-2.0
"""For the tests of the service's life: a crowd of pulls under way, and a thread of the daemon that stands
still."""
import ctypes
import os
import pathlib

from tests.integration.harness import ROOT, Content, Cri
from tests.integration.harness.daemon import binary
from tests.integration.harness.parts import LIBC
from tests.integration.harness.wire import decode

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WALL = 0x40000000  # waitpid: threads, too
UNITS = sorted((ROOT / "packaging/systemd").glob("*.so*")) + sorted((ROOT / "packaging/systemd").glob("*.service"))
# For a unit whose program a sanitizer is built into: it finds leaks by ptrace(2), which the unit takes away,
# and gRPC is not instrumented. Nothing to any other program.
SANITIZER_ENVIRONMENT = "Environment=ASAN_OPTIONS=detect_leaks=0 TSAN_OPTIONS=ignore_noninstrumented_modules=1\n"


class Pulls:
    """Pulls that are all under way, since a gate holds what they ask the upstream: of some images, by some
    clients. content of each round is new."""

    COUNT, IMAGES, CLIENTS = 200, 20, 8

    def __init__(self, test, registry, gate, socket, hosts):
        self.registry, self.gate, self.hosts, self.round = registry, gate, hosts, 0
        self.clients = [test.enterContext(Cri(socket, timeout_s=90)) for _ in range(self.CLIENTS)]
        self.content, self.calls, self.held = [], [], None

    def image(self, number):
        return f"{self.hosts[number % len(self.hosts)]}/team/app-{number}:v{self.round}"

    def begin(self):
        """Returns when each image has asked."""
        self.round += 1
        self.content = [Content(f"{self.round} {number}", (3_000, 100_000)) for number in range(self.IMAGES)]
        for number, content in enumerate(self.content):
            content.push(self.registry, f"team/app-{number}", f"v{self.round}")
        self.held = self.gate.hold("HEAD", f"/manifests/v{self.round}", times=10 * self.COUNT)
        for client in self.clients:
            client.image_fs_info()  # all are connected
        self.calls = [self.clients[n % self.CLIENTS].pull_future(self.image(n % self.IMAGES)) for n in range(self.COUNT)]
        self.held.wait_arrived(self.IMAGES)

    def end(self):
        """[what failed]; each of the others has brought its image."""
        self.held.release()
        wrong = []
        for number, call in enumerate(self.calls):
            if call.code().name != "OK":
                wrong.append(f"{call.code()} {call.details()}")
            elif (got := decode(call.result()).text(1)) != self.content[number % self.IMAGES].id:
                wrong.append(f"{self.image(number % self.IMAGES)} is {got}")
        return wrong


class Frozen:
    """One thread of a process, by its name, that stands still while the others go on."""

    def __init__(self, pid, name):
        self.thread = next(int(task.name) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()
                           if (task / "comm").read_text().strip() == name)

    def _trace(self, what):
        if LIBC.ptrace(ctypes.c_long(what), ctypes.c_long(self.thread), None, None) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def __enter__(self):
        self._trace(PTRACE_SEIZE)
        self._trace(PTRACE_INTERRUPT)
        os.waitpid(self.thread, WALL)
        return self

    def ended(self):
        """Whether somebody has killed its process meanwhile: it is not gone before we have noticed."""
        try:
            pid, status = os.waitpid(self.thread, WALL | os.WNOHANG)
        except ChildProcessError:
            return True
        return pid != 0 and not os.WIFSTOPPED(status)

    def __exit__(self, *_):
        if not self.ended():
            self._trace(PTRACE_DETACH)


def version():
    """Of the daemon under test, from its own bytes' neighbour: the build."""
    text = (ROOT / "CMakeLists.txt").read_text()
    return text.split("project(cri-resolved VERSION ")[1].split()[0]


def other_build(place):
    """A copy of the daemon that calls itself another version; (path, version)."""
    own = version()
    other = own[:-1] + ("1" if own[-1] != "1" else "2")
    program = binary().read_bytes()
    assert own.encode() in program
    place.write_bytes(program.replace(own.encode(), other.encode()))
    place.chmod(0o755)
    return place, other

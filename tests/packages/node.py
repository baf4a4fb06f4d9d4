# SPDX-License-Identifier: Apache-2.0
"""A node in a Root: that suite's containerd beside it, and cri-resolved as its unit starts it."""
import shlex

from tests.integration.harness import Containerd, Crictl, Images, Registry
from tests.integration.harness.daemon import toml
from tests.integration.harness.parts import accepts
from tests.packages.packages import CONFIG
from tests.packages.roots import CONTAINERD

UNITS = "/usr/lib/systemd/system"
HOST = "ghcr.io"


def unit(root, name):
    """Section -> list of (key, value) of a unit that the package installed."""
    sections, section = {}, None
    for line in root.read(f"{UNITS}/{name}").replace("\\\n", " ").splitlines():
        line = line.strip()
        if line.startswith("["):
            section = sections.setdefault(line.strip("[]"), [])
        elif line and line[0] not in "#;":
            key, _, value = line.partition("=")
            section.append((key, value))
    return sections


def values(section, key):
    return [value for name, value in section if name == key]


def environment(root, service):
    """What Environment= and EnvironmentFile= say."""
    env = dict(word.split("=", 1) for line in values(service, "Environment") for word in shlex.split(line))
    for path in values(service, "EnvironmentFile"):
        inside = root / path.lstrip("-")
        if inside.exists() or not path.startswith("-"):
            env.update(line.split("=", 1) for line in inside.read_text().splitlines() if "=" in line and line[0] != "#")
    return env


class Node:
    """Upstream registry and containerd outside, their sockets inside; the daemon starts by serve()."""

    def __init__(self, stack, folder, root):
        self.folder, self.root = folder, root
        self.registry = stack.enter_context(Registry(folder))
        self.images = Images(folder)
        self.containerd = stack.enter_context(
            Containerd(folder, CONTAINERD[root.suite], upstreams={HOST: self.registry.url}))
        self.native = Crictl(folder, self.containerd.socket)
        root.bind(self.containerd.socket, "/run/containerd/containerd.sock")
        self.socket = root / "/run/cri-resolved/cri-resolved.sock"

    def configure(self, text=""):
        """The administrator's part: the registry of this test, and a folder of trust that is empty."""
        self.root.write(CONFIG, f"{text}\n[shim]\ncerts_dir = \"/etc/containerd/certs.d\"\n"
                                f"[upstream.{toml(HOST)}]\nserver = {toml(self.registry.url)}\n")

    def _sockets(self):
        """The socket units in the words of systemd-socket-activate, which is systemd's own small stand-in."""
        listen, names = [], []
        for path in sorted((self.root / UNITS).glob("cri-resolved*.socket")):
            section = unit(self.root, path.name)["Socket"]
            listen += [f"--listen={address}" for address in values(section, "ListenStream")]
            names += values(section, "FileDescriptorName")
        assert len(listen) == len(names), "each socket unit names its one descriptor"
        return [*listen, f"--fdname={':'.join(names)}"]

    def serve(self):
        """Runs the unit's own command line, with its environment and its sockets: a Process."""
        service = unit(self.root, "cri-resolved.service")["Service"]
        command, = values(service, "ExecStart")
        env = environment(self.root, service)
        process = self.root.process("cri-resolved", "/usr/bin/systemd-socket-activate", *self._sockets(),
                                    *(f"--setenv={name}" for name in env), *shlex.split(command), **env)
        process.start()
        process.wait_ready(lambda: accepts(self.socket))
        return process

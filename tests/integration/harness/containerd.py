# SPDX-License-Identifier: Apache-2.0
"""A containerd of one of the three versions, in a folder of its own."""
import collections
import json
import os
import pathlib
import re
import shutil
import subprocess

import grpc

from . import sweep
from .cri import OPTIONS
from .images import PAUSE, Images
from .parts import CACHE, Process, accepts, containerd_version, dead_port, environment, wait_until
from .registry import Registry
from .wire import decode, encode

FOLDERS = {"1.6": pathlib.Path("/usr/bin"), "1.7": CACHE / "containerd-1.7/usr/bin",
           "2": CACHE / "containerd-2/usr/bin"}

# What the three versions have in common, before the CRI plugin's own part.
COMMON = """
root = "{home}/root"
state = "{home}/state"
oom_score = 0

[grpc]
address = "{home}/c.sock"

[debug]
level = "{level}"

[plugins."io.containerd.internal.v1.opt"]
path = "{home}/opt"
"""

RUNC = """runtime_type = "io.containerd.runc.v2"
[plugins."{plugin}".containerd.runtimes.runc.options]
Root = "{home}/runc"
"""

# version 2 of the configuration: one CRI plugin
OLD = """
version = 2
{common}
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
restrict_oom_score_adj = true
disable_apparmor = true
stream_server_address = "127.0.0.1"
stream_server_port = "0"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{home}/cni/bin"
conf_dir = "{home}/cni/conf"
{registry}
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "{snapshotter}"
default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
{runc}
"""

# version 3: images and runtime are plugins of their own
NEW = """
version = 3
{common}
[plugins."io.containerd.cri.v1.images"]
snapshotter = "{snapshotter}"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{pause}"
{registry}
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
disable_apparmor = true
enable_unprivileged_ports = false
enable_unprivileged_icmp = false
enable_cdi = false
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{home}/cni/bin"]
conf_dir = "{home}/cni/conf"
[plugins."io.containerd.cri.v1.runtime".containerd]
default_runtime_name = "runc"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
{runc}
[plugins."io.containerd.grpc.v1.cri"]
stream_server_address = "127.0.0.1"
stream_server_port = "0"
[plugins."io.containerd.image-verifier.v1.bindir"]
bin_dir = "{home}/verifiers"
"""

# 1.7 and later; by default 2 takes one socket for the machine.
NRI = """
[plugins."io.containerd.nri.v1.nri"]
disable = {disable}
disable_connections = false
socket_path = "{home}/nri.sock"
plugin_path = "{home}/nri/plugins"
plugin_config_path = "{home}/nri/conf.d"
"""

RELAY_PORT = 7780  # cri-resolved's default

Record = collections.namedtuple("Record", "digest media_type labels")


def overlay_works(folder):
    """Whether overlayfs can be mounted on the file system of the folder."""
    probe = folder.sub("overlay")
    for name in ("lower", "upper", "work", "merged"):
        (probe / name).mkdir()
    options = f"lowerdir={probe}/lower,upperdir={probe}/upper,workdir={probe}/work"
    done = subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, probe / "merged"],
                          stderr=subprocess.DEVNULL, check=False)
    if done.returncode == 0:
        subprocess.run(["umount", probe / "merged"], check=True)
    return done.returncode == 0


class Containerd:
    """containerd "1.6", "1.7" or "2" (None: the one this process was started for).

    upstreams={"ghcr.io": "http://127.0.0.1:P"} writes certs.d/ghcr.io/hosts.toml; with
    mirrors={"ghcr.io": url} the mirror is asked first, for tags too. Every other host leads to a
    port that refuses, but for cri-resolved's relay (relay_port=None: for that, too). The sandbox
    image (images.PAUSE) comes from a small registry of its own.

    nri=True (1.7 and later): plugins may connect at nri_socket.

    default: another text of _default/hosts.toml; "" for none. legacy={"*": [url, ...]}: no
    config_path but the deprecated `mirrors` of 1.6 and 1.7; {} is a containerd that nobody
    configured. No text leads anywhere but loopback."""

    def __init__(self, folder, which=None, upstreams=None, mirrors=None, name="containerd", level="info",
                 relay_port=RELAY_PORT, default=None, legacy=None, nri=False):
        self.folder, self.which = folder, which or containerd_version()
        self.home = folder.sub(name)
        self.binary = FOLDERS[self.which] / "containerd"
        assert self.binary.exists(), f"no containerd {self.which} at {self.binary}: run ./dev test once"
        self.socket, self.nri_socket = self.home / "c.sock", self.home / "nri.sock"
        self.certs = self.home / "certs.d"
        self.snapshotter = "overlayfs" if overlay_works(folder) else "native"
        self.pause = Registry(folder, name="pause-registry")
        self.set_default(f'server = "http://127.0.0.1:{dead_port()}"\n\n[host]\n' if default is None else default)
        self._hosts("registry.k8s.io", self.pause.url)
        for host, url in (upstreams or {}).items():
            self._hosts(host, url, (mirrors or {}).get(host))
        if relay_port:
            self.let_relay_through(relay_port)
        self._write_config(level, legacy, nri)
        # The shim must be of the same version: it is looked for in PATH.
        path = f"{FOLDERS[self.which]}:{os.environ['PATH']}:/usr/sbin:/sbin"
        self.process = Process(folder, self.home.name, [self.binary, "--config", self.home / "config.toml"],
                               environment(PATH=path, TMPDIR=self.home))
        self.channel = None

    def _registry(self, legacy):
        """The CRI plugin's part about registries."""
        plugin = "io.containerd.cri.v1.images" if self.which == "2" else "io.containerd.grpc.v1.cri"
        if legacy is None:
            return f'[plugins."{plugin}".registry]\nconfig_path = "{self.certs}"\n'
        return "".join(f'[plugins."{plugin}".registry.mirrors."{host}"]\nendpoint = {json.dumps(urls)}\n'
                       for host, urls in legacy.items())

    def _write_config(self, level, legacy, nri):
        names = {"home": self.home, "registry": self._registry(legacy), "snapshotter": self.snapshotter, "pause": PAUSE,
                 "level": level}
        plugin = "io.containerd.cri.v1.runtime" if self.which == "2" else "io.containerd.grpc.v1.cri"
        text = (NEW if self.which == "2" else OLD).format(
            common=COMMON.format(**names), runc=RUNC.format(plugin=plugin, **names), **names)
        if nri or self.which == "2":
            text += NRI.format(disable=str(not nri).lower(), **names)
        (self.home / "config.toml").write_text(text)

    def _hosts(self, host, server, mirror=None):
        folder = self.certs / host
        folder.mkdir(parents=True, exist_ok=True)
        text = f'server = "{server}"\n\n[host]\n'  # 1.6 wants the table, be it empty
        if mirror:
            text += f'[host."{mirror}"]\ncapabilities = ["pull", "resolve"]\n'
        (folder / "hosts.toml").write_text(text)

    def set_upstream(self, host, url, mirror=None):
        """Rewrites the hosts.toml of a host; containerd reads it at every pull."""
        self._hosts(host, url, mirror)

    def set_default(self, text):
        """Rewrites _default/hosts.toml; "" removes it."""
        folder = self.certs / "_default"
        folder.mkdir(parents=True, exist_ok=True)
        if text:
            (folder / "hosts.toml").write_text(text)
        else:
            shutil.rmtree(folder)

    def let_relay_through(self, port=RELAY_PORT):
        """What keeps _default away from the relay: a directory of its own."""
        self._hosts(f"127.0.0.1_{port}_", f"http://127.0.0.1:{port}")

    def __enter__(self):
        self.pause.start()
        return self.start()

    def __exit__(self, *_):
        self.stop()
        self.pause.stop()

    def push_pause(self):
        """Puts the sandbox image into its registry (once): needed before pods run."""
        status, _, _ = self.pause.call("HEAD", "/v2/pause/manifests/3.9")
        if status != 200:
            Images(self.folder).push_pause(self.pause)

    def start(self):
        self.process.start()
        self.wait_ready()
        return self

    def wait_ready(self):
        """Until its CRI plugin answers."""
        def ready():
            if not accepts(self.socket):
                return False
            try:
                self.call("/runtime.v1.RuntimeService/Version", timeout_s=2)
                self.call("/runtime.v1.ImageService/ImageFsInfo", timeout_s=2)
                return True
            except grpc.RpcError:
                return False
        self.process.wait_ready(ready, timeout_s=60)

    def _disconnect(self):
        if self.channel:
            self.channel.close()
            self.channel = None

    def stop(self):
        """A clean end; then whatever it left running."""
        self._disconnect()
        if self.process.running():
            self.process.stop()
        sweep.sweep(self.home)

    def kill(self):
        """SIGKILL; containers go on, as on a node."""
        self._disconnect()
        self.process.kill()

    def restart(self):
        """A clean end and a new start with the same state."""
        self._disconnect()
        self.process.stop()
        self.start()

    def call(self, path, request=b"", timeout_s=20):
        """One call of containerd's own API or CRI, in namespace k8s.io: decoded (see wire.py)."""
        if self.channel is None:
            self.channel = grpc.insecure_channel(f"unix://{self.socket}", OPTIONS)
        method = self.channel.unary_unary(path, request_serializer=None, response_deserializer=None)
        return decode(method(request, timeout=timeout_s, metadata=[("containerd-namespace", "k8s.io")]))

    def store(self):
        """The image store: name -> Record(digest, media_type, labels)."""
        found = {}
        for image in self.call("/containerd.services.images.v1.Images/List").messages(1):
            target = image.message(3)
            found[image.text(1)] = Record(target.text(2), target.text(1), image.map(2))
        return found

    def content(self):
        """The content store: digest -> labels."""
        self.store()  # there is a channel
        method = self.channel.unary_stream("/containerd.services.content.v1.Content/List", request_serializer=None,
                                           response_deserializer=None)
        pages = method(b"", timeout=20, metadata=[("containerd-namespace", "k8s.io")])
        return {info.text(1): info.map(5) for page in pages for info in decode(page).messages(1)}

    def set_label(self, name, key, value):
        """Sets one label of an image record."""
        self.call("/containerd.services.images.v1.Images/Update",
                  # an empty target: 1.7 and later crash without one, whatever the mask says
                  encode([(1, [(1, name), (2, {key: value}), (3, [])]), (2, [(1, f"labels.{key}")])]))

    def delete_image(self, name):
        """Deletes one name of the store (not the image's other names), synchronously."""
        self.call("/containerd.services.images.v1.Images/Delete", encode([(1, name), (2, True)]))

    def pulls(self):
        """The references of all CRI pulls that it was asked for so far, from its log."""
        return re.findall(r'msg="PullImage \\"([^"\\]+)\\""', self.process.log())

    def ctr(self, *arguments):
        """Its own ctr, in namespace k8s.io; the output."""
        done = subprocess.run([FOLDERS[self.which] / "ctr", "--address", self.socket, "--namespace", "k8s.io",
                               *arguments], env=environment(), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        assert done.returncode == 0, f"ctr {' '.join(arguments)}:\n{done.stdout}"
        return done.stdout

    def snapshots(self):
        """Keys of all snapshots, top ones first."""
        lines = self.ctr("snapshots", "--snapshotter", self.snapshotter, "ls").splitlines()[1:]
        rows = [line.split() for line in lines]  # KEY [PARENT] KIND
        parents = {row[1] for row in rows if len(row) == 3}
        return sorted((row[0] for row in rows), key=lambda key: key in parents)

    def remove_snapshots(self, *keys):
        """Removes committed snapshots (default: all, children first), as if the disk had lost them."""
        for key in keys or self._children_first():
            self.ctr("snapshots", "--snapshotter", self.snapshotter, "rm", key)

    def _children_first(self):
        lines = self.ctr("snapshots", "--snapshotter", self.snapshotter, "ls").splitlines()[1:]
        parent_of = {row[0]: row[1] if len(row) == 3 else None for row in map(str.split, lines)}

        def depth(key):
            return 0 if parent_of.get(key) is None else 1 + depth(parent_of[key])
        return sorted(parent_of, key=depth, reverse=True)

    def wait_no_change(self, seen, timeout_s=20):
        """Until the store differs from `seen`; the new content. For events that come later."""
        return wait_until(lambda: (now := self.store()) != seen and now, "the image store does not change", timeout_s)

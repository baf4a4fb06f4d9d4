# SPDX-License-Identifier: Apache-2.0
"""The real parts of the integration tests. Every part is a context manager.

    with Folder() as folder, Registry(folder) as registry, \\
         Containerd(folder, "2", upstreams={"ghcr.io": registry.url}) as containerd, \\
         Daemon(folder, containerd, upstreams={"ghcr.io": registry.url}) as daemon:
        images = Images(folder)
        digest = images.push(registry, "team/app", "stable", marker="v1")
        Crictl(folder, daemon.socket).pull("ghcr.io/team/app:stable")
        containerd.store()["ghcr.io/team/app:stable"].digest == digest
        run_pod(Crictl(folder, containerd.socket), "ghcr.io/team/app:stable")   # -> "v1\\n"

parts       Folder (temp folder, swept at the end), Process, Forwarder (a TCP line that can be
            cut), BlackHole (a port that drops packets), wait_until, free_port, dead_port
images      Images: umoci + skopeo; push(), push_index()
content     Content: an image made in memory, of layers as large as a test wants them; push()
registry    Registry: docker-registry as upstream, with passwords or as pull-through cache;
            count(), put_tag(), delete_tag()
containerd  Containerd: "1.6", "1.7" or "2"; store(), pulls(), remove_snapshots(), restart(), kill()
daemon      Daemon: cri-resolved in front of a Containerd; reload(), kill(), restart(), log(), metrics()
manager     Manager: holds a Daemon's sockets as systemd does, and hears what it says of itself
metrics     Page: Prometheus' text format
ctl         Ctl: cri-resolvectl with a configuration of its own; run()
crictl      Crictl: the command line; run_pod()
nri         Watch (not from here): nri_watch at a Containerd(nri=True), and what it hears
cri         Cri: raw CRI calls over gRPC without generated code (pull(), image_status(), ...)

Everything listens on 127.0.0.1 or on a Unix socket in the folder. Names such as ghcr.io lead to
loopback by hosts.toml and by our own configuration; any other host leads to a port where nobody
listens. Logs of all parts are printed when a `with` block ends with an exception.
"""
from .containerd import RELAY_PORT, Containerd
from .content import Content
from .crictl import Crictl, run_pod
from .cri import Cri
from .ctl import Ctl
from .daemon import Daemon
from .images import Images
from .manager import Manager
from .parts import (BlackHole, Folder, Forwarder, Process, ROOT, ShowsLogs, containerd_version, dead_port,
                    free_port, wait_until)
from .registry import Registry

__all__ = [
    "BlackHole", "Containerd", "Content", "Cri", "Crictl", "Ctl", "Daemon", "Folder", "Forwarder", "Images", "Manager",
    "Process", "RELAY_PORT", "ROOT", "Registry", "ShowsLogs", "containerd_version", "dead_port", "free_port", "run_pod", "wait_until",
]

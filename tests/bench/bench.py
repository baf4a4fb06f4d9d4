#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Small measurements, as ratios of one run: tests/bench/bench.py [--rounds N]

added time   what ListImages of an empty store gets slower through us, over what it gets slower
             through haproxy (HTTP/2 on Unix sockets at both ends)
memory       VmRSS of the daemon after 10,000 calls
large answer ListImages of 1,000 images, through us over direct

All on one real containerd. Samples of all paths are interleaved call by call (latency.c); medians are compared. A bound that is
missed makes the exit code 1. Needs the release build: CRI_RESOLVED_BIN, or build/release."""
import argparse
import hashlib
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import tarfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
RELEASE = ROOT / "build/release"
os.environ.setdefault("CRI_RESOLVED_BIN", str(RELEASE / "cri-resolved"))

from tests.integration.harness import Containerd, Cri, Daemon, Folder, Process, wait_until  # noqa: E402
from tests.integration.harness.isolate import only_loopback  # noqa: E402
from tests.integration.harness.parts import accepts  # noqa: E402

IMAGES = 1000
LIST_IMAGES = "/runtime.v1.ImageService/ListImages"
LATENCY = pathlib.Path(os.environ.get("CRI_RESOLVED_LATENCY", RELEASE / "latency"))
HAPROXY = """global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen cri
  bind unix@{listen} proto h2
  server containerd unix@{backend} proto h2
"""


class Haproxy(Process):
    """The yardstick."""

    def __init__(self, folder, backend):
        home = folder.sub("haproxy")
        self.socket = home / "h.sock"
        (home / "haproxy.cfg").write_text(HAPROXY.format(listen=self.socket, backend=backend))
        super().__init__(folder, home.name, ["/usr/sbin/haproxy", "-q", "-f", home / "haproxy.cfg"])

    def __enter__(self):
        self.start()
        self.wait_ready(lambda: accepts(self.socket))
        return self

    def __exit__(self, *_):
        self.kill()


def measure(rounds, *sockets):
    """[(median in microseconds, bytes of an answer)] for each socket."""
    done = subprocess.run([LATENCY, LIST_IMAGES, str(rounds), *map(str, sockets)], check=True, text=True,
                          stdout=subprocess.PIPE)
    return [(int(median) / 1000, int(size)) for median, size in (line.split() for line in done.stdout.splitlines())]


def resident_mib(process):
    text = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", text)[1]) / 1024


class Archive:
    """An OCI archive of many small images that share their one layer."""

    def __init__(self, path, images):
        with tarfile.open(path, "w") as self.tar:
            layer = self.blob("application/vnd.oci.image.layer.v1.tar", bytes(10240))
            manifests = [self.image(number, layer) for number in range(images)]
            self.add("oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
            self.add("index.json", json.dumps({"schemaVersion": 2, "manifests": manifests}).encode())

    def add(self, name, data):
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        self.tar.addfile(entry, io.BytesIO(data))

    def blob(self, kind, data):
        digest = hashlib.sha256(data).hexdigest()
        self.add(f"blobs/sha256/{digest}", data)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}

    def image(self, number, layer):
        config = {"architecture": "amd64", "os": "linux", "config": {"User": "65532", "Env": [f"NUMBER={number}"]},
                  "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}
        manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": [layer],
                    "config": self.blob("application/vnd.oci.image.config.v1+json", json.dumps(config).encode())}
        name = f"registry.example/team-{number % 17}/service-{number}:v1.{number}"
        return {**self.blob(manifest["mediaType"], json.dumps(manifest).encode()),
                "annotations": {"io.containerd.image.name": name}}


def small_answer(rounds, containerd, haproxy, daemon):
    (direct, _), (yardstick, _), (ours, _) = measure(rounds, containerd.socket, haproxy.socket, daemon.socket)
    measure(10_000, daemon.socket)
    return [("added time, ours / haproxy", (ours - direct) / (yardstick - direct), 2.0,
             f"direct {direct:.0f} us, haproxy {yardstick:.0f} us, ours {ours:.0f} us"),
            ("VmRSS after 10,000 calls, MiB", resident_mib(daemon.process), 16.0, "")]


def large_answer(rounds, folder, containerd, haproxy, daemon):
    archive = folder.path / "images.tar"
    Archive(archive, IMAGES)
    containerd.ctr("images", "import", "--no-unpack", str(archive))
    with Cri(containerd.socket) as cri:
        wait_until(lambda: len(cri.list_images()) == IMAGES, f"{IMAGES} images in CRI's list")
    (direct, size), (yardstick, _), (ours, _) = measure(rounds, containerd.socket, haproxy.socket, daemon.socket)
    return [(f"ListImages of {IMAGES}, ours / direct", ours / direct, 1.3,
             f"{size} bytes; direct {direct:.0f} us, haproxy {yardstick:.0f} us, ours {ours:.0f} us"),
            ("VmRSS after that, MiB", resident_mib(daemon.process), 16.0, "")]


def report(rows):
    """Prints (name, value, bound or None, note) of each row; 1 if a bound was missed."""
    missed = 0
    for name, value, bound, note in rows:
        missed += bound is not None and value > bound
        verdict = "" if bound is None else "ok" if value <= bound else "MISSED"
        print(f"{name:40} {value:7.2f}  {'' if bound is None else f'bound {bound:5.2f}':11}  {verdict:6}  {note}")
    return 1 if missed else 0


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=4000, help="calls on each path (4000)")
    rounds = options.parse_args().rounds
    only_loopback()
    with Folder() as folder, Containerd(folder) as containerd, Haproxy(folder, containerd.socket) as haproxy, \
         Daemon(folder, containerd) as daemon:
        rows = small_answer(rounds, containerd, haproxy, daemon)
        rows += large_answer(max(1, rounds // 8), folder, containerd, haproxy, daemon)
    return report(rows)


if __name__ == "__main__":
    sys.exit(main())

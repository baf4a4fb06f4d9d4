#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What pulling through mirrors costs and saves, in one run: tests/bench/bench_mirrors.py [--rounds N] [--mib N]

cold pull    through a healthy mirror, over containerd alone with the same mirror in its hosts.toml: of one
             layer of 500 MiB, and of 20 layers of 10 MiB. The median of the ratios of pairs that are one
             right after the other, in either order; with a mirror at the end of a line of 1 Gbit/s, and
             with one as fast as memory, where all parts of the bench compete for the same processors
dead mirror  one that drops packets, seconds more than a healthy one: when it is first met, and again
stall        a mirror that falls silent in the middle of a blob, seconds more, with a stall_timeout of 2 s
CPU          seconds of the daemon for each GB that it relayed
memory       the most that the daemon ever had resident, after 32 pulls at once

A bound that is missed makes the exit code 1. Needs the release build, as bench.py does."""
import argparse
import contextlib
import hashlib
import io
import json
import os
import pathlib
import re
import statistics
import sys
import tarfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.bench.bench import report  # noqa: E402
from tests.integration.harness import BlackHole, Containerd, Cri, Daemon, Folder, Process  # noqa: E402
from tests.integration.harness.images import ARCHITECTURES  # noqa: E402
from tests.integration.harness.isolate import only_loopback  # noqa: E402
from tests.integration.harness.registry import MANIFEST  # noqa: E402
from tests.integration.harness.wire import decode  # noqa: E402

HOST, MIB = "registry.example", 1 << 20
CROWD, STALL_S, LINE_MBIT = 32, 2, 1000
PROGRAM = pathlib.Path(__file__).with_name("static_registry.py")


class Files:
    """A folder of images for static_registry.py. Layers are tar archives of random bytes, uncompressed."""

    def __init__(self, folder):
        self.path = folder.sub("files")
        for name in ("blobs", "tags"):
            (self.path / name).mkdir()

    def keep(self, body):
        digest = "sha256:" + hashlib.sha256(body).hexdigest()
        (self.path / "blobs" / digest).write_bytes(body)
        return digest

    def layer(self, size):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            entry = tarfile.TarInfo("content")
            entry.size = size
            archive.addfile(entry, io.BytesIO(os.urandom(size)))
        return self.keep(out.getbuffer()), out.tell()

    def image(self, repository, layers, size):
        """Its reference."""
        made = [self.layer(size) for _ in range(layers)]
        config = json.dumps({"architecture": ARCHITECTURES[os.uname().machine], "os": "linux", "config": {}, "rootfs": {
            "type": "layers", "diff_ids": [digest for digest, _ in made]}}).encode()
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json", "digest": self.keep(config), "size": len(config)},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": length}
                       for digest, length in made]}
        (self.path / "tags" / f"{repository.replace('/', '_')}_v1").write_text(self.keep(json.dumps(manifest).encode()))
        return f"{HOST}/{repository}:v1"


class Static(Process):
    def __init__(self, folder, files, *more):
        self.port_file = folder.sub("static") / "port"
        super().__init__(folder, self.port_file.parent.name, [sys.executable, PROGRAM, self.port_file, files.path, *more])

    def __enter__(self):
        self.start().wait_ready(self.port_file.exists)
        self.url = f"http://127.0.0.1:{self.port_file.read_text()}"
        return self

    def __exit__(self, *_):
        self.kill()


class Bench:
    def __init__(self, stack, folder, options):
        self.folder, self.rounds = folder, options.rounds
        self.files = Files(folder)
        self.upstream, self.mirror = (stack.enter_context(Static(folder, self.files)) for _ in range(2))
        self.remote = stack.enter_context(Static(folder, self.files, "--mbit", LINE_MBIT))
        self.stalling = stack.enter_context(Static(folder, self.files, "--stall-after", 4 * MIB))
        self.hole = stack.enter_context(BlackHole())
        self.containerd = stack.enter_context(Containerd(folder, upstreams={HOST: self.upstream.url},
                                                         mirrors={HOST: self.mirror.url}))
        self.direct = stack.enter_context(Cri(self.containerd.socket, timeout_s=600))
        self.large = self.files.image("bench/large", 1, options.mib * MIB)
        self.many = self.files.image("bench/many", 20, options.mib * MIB // 50)
        self.small = self.files.image("bench/small", 1, 10 * MIB)
        self.crowd = [self.files.image(f"bench/crowd-{number}", 4, 4 * MIB) for number in range(CROWD)]

    @contextlib.contextmanager
    def daemon(self, *mirrors, **relay):
        """(daemon, Cri): a new one, which knows nothing of any mirror."""
        with Daemon(self.folder, self.containerd, {HOST: {"server": self.upstream.url, "mirrors": list(mirrors)}},
                    relay=relay) as daemon, Cri(daemon.socket, timeout_s=600) as cri:
            yield daemon, cri

    def cold(self, cri, image):
        """Seconds of one pull; the image is gone again afterwards."""
        start = time.monotonic()
        image_id = cri.pull(image)
        seconds = time.monotonic() - start
        self.direct.remove_image(image_id)
        assert self.containerd.ctr("content", "ls", "-q").split() == [], "the next pull would not be cold"
        return seconds

    def pair(self, cri, image, ours_first):
        """(seconds through us, seconds of containerd alone), one right after the other."""
        if ours_first:
            return self.cold(cri, image), self.cold(self.direct, image)
        alone = self.cold(self.direct, image)
        return self.cold(cri, image), alone

    def cold_pulls(self, mirror, what):
        rows = []
        self.containerd.set_upstream(HOST, self.upstream.url, mirror.url)
        with self.daemon(mirror.url) as (daemon, cri):
            for name, image in (("500 MiB", self.large), ("20 layers", self.many)):
                self.cold(self.direct, image)  # both have been there once
                pairs = [self.pair(cri, image, number % 2 == 0) for number in range(self.rounds)]
                ours, alone = (statistics.median(side) for side in zip(*pairs))
                rows.append((f"{name} cold, {what}, ours / alone", statistics.median(left / right for left, right in pairs),
                             1.05, f"ours {ours:.2f} s, alone {alone:.2f} s"))
            assert f"source=relay outcome=ok mirrors=\"{mirror.url}: " in daemon.log()
            return rows, self.cpu(daemon)

    @staticmethod
    def cpu(daemon):
        fields = pathlib.Path(f"/proc/{daemon.process.pid}/stat").read_text().rpartition(")")[2].split()
        seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        gigabytes = daemon.counters()["relay_bytes_from_mirrors"] / 1e9
        return "CPU of the daemon, s per GB", seconds / gigabytes, None, f"{seconds:.2f} s for {gigabytes:.2f} GB"

    def times(self, *mirrors, **relay):
        """(first, second) pull of the small image with a daemon that is new."""
        with self.daemon(*mirrors, **relay) as (_, cri):
            return self.cold(cri, self.small), self.cold(cri, self.small)

    def bad_mirrors(self):
        """Always with a healthy mirror behind the bad one."""
        healthy, dead, stalled = [], [], []
        for _ in range(self.rounds):
            healthy.append(self.times(self.mirror.url))
            dead.append(self.times(self.hole.url, self.mirror.url))
            stalled.append(self.times(self.stalling.url, self.mirror.url, stall_timeout=f"{STALL_S}s"))
        first, again = (statistics.median(side) for side in zip(*healthy))
        dead_first, dead_again = (statistics.median(side) for side in zip(*dead))
        stalled_first, _ = (statistics.median(side) for side in zip(*stalled))
        return [("dead mirror first met, s more", dead_first - first, 1.5, f"healthy {first:.2f} s"),
                ("dead mirror met again, s more", dead_again - again, 0.2, f"healthy {again:.2f} s"),
                ("stall in mid-blob, s more", stalled_first - first, STALL_S + 1, f"stall_timeout {STALL_S} s")]

    def memory(self):
        with self.daemon(self.mirror.url) as (daemon, cri):
            for future in [cri.pull_future(image) for image in self.crowd]:
                self.direct.remove_image(decode(future.result()).text(1))
            assert len(daemon.lines(r"source=relay outcome=ok")) == CROWD
            status = pathlib.Path(f"/proc/{daemon.process.pid}/status").read_text()
        most = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024
        return [(f"VmHWM after {CROWD} pulls at once, MiB", most, 48.0, "")]


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5, help="pulls on each path (5)")
    options.add_argument("--mib", type=int, default=500, help="size of the large layer (500)")
    options = options.parse_args()
    only_loopback()
    with contextlib.ExitStack() as stack:
        bench = Bench(stack, stack.enter_context(Folder()), options)
        rows = bench.memory() + bench.bad_mirrors()
        remote, cpu = bench.cold_pulls(bench.remote, "1 Gbit/s")
        local, _ = bench.cold_pulls(bench.mirror, "memory")
        rows += [*remote, *local, cpu]
    return report(rows)


if __name__ == "__main__":
    sys.exit(main())

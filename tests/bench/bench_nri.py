#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What following containers costs those who start, in one run: tests/bench/bench_nri.py [--rounds N] [--containers N]

time         of two containerds, one has the daemon as its NRI plugin. Each starts 200 containers, all at once, and again,
             in the order with, without, without, with: what the machine does more and more of meets both alike. Seconds
             until the last one runs, by their number, with the plugin over without. In each round the other one has it;
             the geometric mean of all rounds, and how far that may be off (its standard error)
wait         likewise, of the mean time that one container takes from its creation to its start. All 200 wait for each
             other, so that this says more about their order than about the plugin
processor    likewise, of the processor time of the whole machine: what the plugin costs, whoever pays it
CPU          of the daemon, milliseconds for each container
memory       VmRSS of the daemon after it has followed all of them

A bound that is missed makes the exit code 1. Needs the release build, as bench.py does."""
import argparse
import concurrent.futures
import contextlib
import json
import math
import os
import pathlib
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.bench.bench import report, resident_mib  # noqa: E402
from tests.integration.harness import Containerd, Cri, Crictl, Daemon, Folder, Images, Registry, wait_until  # noqa: E402
from tests.integration.harness.crictl import pod_config, pod_fields  # noqa: E402
from tests.integration.harness.isolate import only_loopback  # noqa: E402
from tests.integration.harness.wire import decode, encode  # noqa: E402

IMAGE = "ghcr.io/bench/app:stable"
RUNTIME = "/runtime.v1.RuntimeService/"


class Pod:
    """A sandbox, and containers in it."""

    def __init__(self, folder, containerd, image_id, number):
        self.config = pod_config(folder, f"bench-{number}")
        path = folder.sub(f"bench-{number}") / "pod.json"
        path.write_text(json.dumps(self.config))
        self.crictl, self.image_id = Crictl(folder, containerd.socket, timeout="300s"), image_id
        self.id = self.crictl("runp", path).strip()
        self.cri = Cri(containerd.socket, timeout_s=300)

    def start(self, number):
        """Seconds that it takes to create and start one container."""
        config = [(1, [(1, f"c{number}")]), (2, [(1, self.image_id), (18, IMAGE)]), (3, "sleep"), (3, "100000"),
                  (11, f"c{number}.log"), (15, [])]
        began = time.monotonic()
        made = decode(self.cri.call(RUNTIME + "CreateContainer", encode([(1, self.id), (2, config), (3, pod_fields(self.config))]))).text(1)
        self.cri.call(RUNTIME + "StartContainer", encode([(1, made)]))
        return time.monotonic() - began

    def remove(self):
        self.cri.channel.close()
        self.crictl("rmp", "--force", self.id)


class Side:
    """A containerd, and the daemon that may be its plugin."""

    def __init__(self, stack, folder, registry, name):
        self.folder = folder
        self.containerd = stack.enter_context(Containerd(folder, "2", upstreams={"ghcr.io": registry.url}, name=name, nri=True))
        self.containerd.push_pause()
        Crictl(folder, self.containerd.socket).pull(IMAGE)
        self.image_id = Crictl(folder, self.containerd.socket).image(IMAGE)["id"]
        self.daemon = Daemon(folder, self.containerd, {"ghcr.io": registry.url}, name=f"{name}-daemon", nri={
            "enabled": True, "annotate": True, "socket": f"unix://{self.containerd.nri_socket}"})

    def document(self):
        return self.daemon.admin("/v1/containers")[1]

    def connect(self):
        self.daemon.start()
        wait_until(lambda: self.document()["nri"]["connected"] and self.document()["nri"]["image_events"], "NRI is connected")

    def cpu_s(self):
        """Of the daemon."""
        fields = pathlib.Path(f"/proc/{self.daemon.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def busy_s():
    """Processor time of the whole machine: user, nice, system, interrupts."""
    fields = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return sum(int(fields[at]) for at in (1, 2, 3, 6, 7)) / os.sysconf("SC_CLK_TCK")


class Batch:
    """So many containers, started at once."""

    def __init__(self, folder, side, count, name):
        pod = Pod(folder, side.containerd, side.image_id, name)
        try:
            began, began_busy_s = time.monotonic(), busy_s()
            with concurrent.futures.ThreadPoolExecutor(count) as pool:
                self.wait_s = statistics.mean(pool.map(pod.start, range(count)))
            self.time_s, self.busy_s = time.monotonic() - began, busy_s() - began_busy_s
            self.check(side, count)
        finally:
            pod.remove()

    def check(self, side, count):
        if side.daemon.process.running():
            document = side.document()
            running = [row for row in document["containers"] if row["state"] == "running" and row["digest"]]
            assert len(running) == count, f"{len(running)} of {count} were followed; {document['nri']}"


KINDS = ("time_s", "wait_s", "busy_s")


def measure(folder, sides, with_plugin, count, number):
    """({kind: ratio}, CPU of the daemon for each container, its memory)"""
    plugin, other = sides[with_plugin], sides[1 - with_plugin]
    plugin.connect()
    cpu_s = plugin.cpu_s()
    try:
        batches = [Batch(folder, side, count, f"{number}-{index}") for index, side in enumerate((plugin, other, other, plugin))]
        used_s, resident = plugin.cpu_s() - cpu_s, resident_mib(plugin.daemon.process)
    finally:
        plugin.daemon.stop()
    first, second, third, last = ({kind: getattr(batch, kind) for kind in KINDS} for batch in batches)
    ratios = {kind: (first[kind] + last[kind]) / (second[kind] + third[kind]) for kind in KINDS}
    return ratios, used_s / (2 * count), resident


def ratio_row(name, found, kind, bound):
    """A row of the geometric mean of all rounds; its note says how sure that is."""
    logarithms = [math.log(ratios[kind]) for ratios, _, _ in found]
    error = statistics.stdev(logarithms) / math.sqrt(len(logarithms)) if len(logarithms) > 1 else float("inf")
    rounds = ", ".join(f"{ratios[kind]:.3f}" for ratios, _, _ in found)
    return name, math.exp(statistics.mean(logarithms)), bound, f"±{error:.3f}; rounds: {rounds}"


def rows(options):
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(Folder())
        registry = stack.enter_context(Registry(folder))
        Images(folder).push(registry, "bench/app", "stable", marker="bench")
        sides = [Side(stack, folder, registry, name) for name in ("one", "other")]
        measure(folder, sides, 0, options.containers, "warm")  # what all later rounds find warm
        found = [measure(folder, sides, number % 2, options.containers, number) for number in range(options.rounds)]
        return [ratio_row("time, with NRI / without", found, "time_s", 1.02),
                ratio_row("wait, with NRI / without", found, "wait_s", None),
                ratio_row("processor, with NRI / without", found, "busy_s", 1.02),
                ("CPU of the daemon, ms/container", 1000 * statistics.median(cpu for _, cpu, _ in found), None, ""),
                ("VmRSS after that, MiB", max(resident for _, _, resident in found), None, "")]


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=4, help="an even number (4)")
    options.add_argument("--containers", type=int, default=200, help="at once (200)")
    options = options.parse_args()
    only_loopback()
    return report(rows(options))


if __name__ == "__main__":
    sys.exit(main())

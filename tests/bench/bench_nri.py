#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What following containers costs those who start, in one run: tests/bench/bench_nri.py [--rounds N] [--containers N]

start        a containerd starts 200 containers, all at once: mean time to create and start one while the daemon is
             containerd's NRI plugin, over the mean while it is not. A round is one of each, on the same containerd, right
             after each other, in turns as to which comes first. The geometric mean of all rounds, and its standard error
share        of the processor time that such a start takes on the whole machine, the daemon's: what the ratio cannot show
CPU          of the daemon, milliseconds for each container
memory       VmRSS of the daemon after it has followed all of them

Two containerds side by side would meet the same disturbances, but compete: what containers of one wait for, those of
the other get, so that the ratio shows each wait twice.

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


class Stage:
    """A containerd, and the daemon that may be its plugin."""

    def __init__(self, stack):
        self.folder = stack.enter_context(Folder())
        registry = stack.enter_context(Registry(self.folder))
        Images(self.folder).push(registry, "bench/app", "stable", marker="bench")
        self.containerd = stack.enter_context(Containerd(self.folder, "2", upstreams={"ghcr.io": registry.url}, nri=True))
        self.containerd.push_pause()
        crictl = Crictl(self.folder, self.containerd.socket)
        crictl.pull(IMAGE)
        self.image_id = crictl.image(IMAGE)["id"]
        self.daemon = Daemon(self.folder, self.containerd, {"ghcr.io": registry.url}, nri={
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

    @contextlib.contextmanager
    def pod(self, name):
        pod = Pod(self.folder, self.containerd, self.image_id, name)
        try:
            yield pod
        finally:
            pod.remove()


def busy_s():
    """Processor time of the whole machine: user, nice, system, interrupts."""
    fields = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return sum(int(fields[at]) for at in (1, 2, 3, 6, 7)) / os.sysconf("SC_CLK_TCK")


def start_all(pod, count):
    """Mean seconds of a container."""
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return statistics.mean(pool.map(pod.start, range(count)))


def without_plugin(stage, count, name):
    with stage.pod(name) as pod:
        return start_all(pod, count)


def with_plugin(stage, count, name):
    """(mean seconds, CPU of the daemon for each container, that over all CPU, its memory)"""
    stage.connect()
    with stage.pod(name) as pod:
        cpu_s, all_s = stage.cpu_s(), busy_s()
        mean_s = start_all(pod, count)
        used_s, all_s, resident = stage.cpu_s() - cpu_s, busy_s() - all_s, resident_mib(stage.daemon.process)
        document = stage.document()
        running = [row for row in document["containers"] if row["state"] == "running" and row["digest"]]
        assert len(running) == count, f"{len(running)} of {count} were followed; {document['nri']}"
    stage.daemon.stop()
    return mean_s, used_s / count, used_s / all_s, resident


def measure(stage, count, number):
    """(ratio of the mean times, and the rest of with_plugin)"""
    if number % 2:
        bare_s = without_plugin(stage, count, f"{number}-without")
    mean_s, *rest = with_plugin(stage, count, f"{number}-with")
    if not number % 2:
        bare_s = without_plugin(stage, count, f"{number}-without")
    print(f"note: round {number}: {mean_s:.2f} s with, {bare_s:.2f} s without", flush=True)
    return mean_s / bare_s, *rest


def ratio_row(name, ratios, bound):
    """A row of the geometric mean of all rounds; its note says how sure that is."""
    logarithms = [math.log(ratio) for ratio in ratios]
    error = statistics.stdev(logarithms) / math.sqrt(len(ratios))
    return name, math.exp(statistics.mean(logarithms)), bound, f"±{error:.3f}; rounds: {', '.join(f'{ratio:.3f}' for ratio in ratios)}"


def rows(options):
    with contextlib.ExitStack() as stack:
        stage = Stage(stack)
        without_plugin(stage, options.containers, "warm")  # what all later ones find warm
        found = [measure(stage, options.containers, number) for number in range(options.rounds)]
        ratios, cpu_s, shares, resident = zip(*found)
        return [ratio_row("start, with NRI / without", ratios, 1.02),
                ("share of the daemon", statistics.median(shares), 0.02, "of all processor time"),
                ("CPU of the daemon, ms/container", 1000 * statistics.median(cpu_s), None, ""),
                ("VmRSS after that, MiB", max(resident), None, "")]


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=8, help="an even number, at least 2 (8)")
    options.add_argument("--containers", type=int, default=200, help="at once (200)")
    options = options.parse_args()
    only_loopback()
    return report(rows(options))


if __name__ == "__main__":
    sys.exit(main())

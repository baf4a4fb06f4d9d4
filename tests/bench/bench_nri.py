#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What following containers costs those who start, in one run: tests/bench/bench_nri.py [--rounds N] [--containers N]

start        a containerd starts 200 containers, all at once: mean time to create and start one while the daemon is
             containerd's NRI plugin, over the mean while it is not. A round is four such starts on the same containerd,
             right after each other: with, without, without, with; or the other way round, in turns. The geometric mean of
             all rounds, and its standard error
wait         of containerd for the plugin's answers, all of one such start together, over the mean time to start one. It
             asks for one container at a time, so that nobody waits longer than for all others. What a tap between them
             sees (nri_tap.py, which costs more than it measures): more than the plugin takes
share        of the processor time that such a start takes on the whole machine, the daemon's: what the ratio cannot show
CPU          of the daemon, milliseconds for each container
memory       VmRSS of the daemon after it has followed all of them

containerd's files are in memory: a disk's moods are larger than what is to be seen. Two containerds side by side would
meet the same disturbances, but compete: what containers of one wait for, those of the other get, so that the ratio
shows each wait twice.

A bound that is missed makes the exit code 1. Needs the release build, as bench.py does."""
import argparse
import concurrent.futures
import contextlib
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.bench.bench import report, resident_mib  # noqa: E402
from tests.integration.harness import Containerd, Cri, Crictl, Daemon, Folder, Images, Registry, wait_until  # noqa: E402
from tests.integration.harness.crictl import pod_config, pod_fields  # noqa: E402
from tests.integration.harness.isolate import only_loopback  # noqa: E402
from tests.integration.harness.wire import decode, encode  # noqa: E402

MEMORY = "/dev/shm"
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

    def __init__(self, stack, tapped=False):
        self.folder = stack.enter_context(Folder(MEMORY))
        registry = stack.enter_context(Registry(self.folder))
        Images(self.folder).push(registry, "bench/app", "stable", marker="bench")
        self.containerd = stack.enter_context(Containerd(self.folder, "2", upstreams={"ghcr.io": registry.url}, nri=True))
        self.containerd.push_pause()
        crictl = Crictl(self.folder, self.containerd.socket)
        crictl.pull(IMAGE)
        self.image_id = crictl.image(IMAGE)["id"]
        socket = self.tap(stack) if tapped else self.containerd.nri_socket
        self.daemon = Daemon(self.folder, self.containerd, {"ghcr.io": registry.url}, nri={
            "enabled": True, "annotate": True, "socket": f"unix://{socket}"})

    def tap(self, stack):
        self.waits = self.folder.path / "waits"
        socket = self.folder.path / "tap.sock"
        with open(self.waits, "wb") as out:
            program = [sys.executable, ROOT / "tests/bench/nri_tap.py", socket, self.containerd.nri_socket]
            tap = stack.enter_context(subprocess.Popen(program, stdin=subprocess.PIPE, stdout=out))
        stack.callback(tap.stdin.close)
        wait_until(socket.exists, "the tap listens")
        return socket

    def waited_s(self):
        """What the tap has seen: (how often, how long in all)."""
        waits = [int(line) / 1e6 for line in self.waits.read_text().split()]
        return len(waits), sum(waits)

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


def measure_waits(count):
    """(seconds that containerd waits for the plugin while it starts all, of the mean time to start one)"""
    with contextlib.ExitStack() as stack:
        stage = Stage(stack, tapped=True)
        without_plugin(stage, count, "warm")
        stage.connect()
        with stage.pod("tapped") as pod:
            calls, waited_s = stage.waited_s()
            mean_s = start_all(pod, count)
            more_calls, more_s = stage.waited_s()
        stage.daemon.stop()
        assert more_calls - calls >= count, f"{more_calls - calls} calls for {count} containers"
        print(f"note: {more_calls - calls} calls, {1e6 * (more_s - waited_s) / (more_calls - calls):.0f} us each", flush=True)
        return (more_s - waited_s) / mean_s


def measure(stage, count, number):
    """(ratio of the mean times, and the rest of with_plugin: of the last one)"""
    seconds, rest = {True: 0, False: 0}, ()
    first = number % 2 == 0
    for step, plugged in enumerate((first, not first, not first, first)):
        name = f"{number}-{step}"
        if plugged:
            mean_s, *rest = with_plugin(stage, count, name)
        else:
            mean_s = without_plugin(stage, count, name)
        seconds[plugged] += mean_s / 2
    print(f"note: round {number}: {seconds[True]:.2f} s with, {seconds[False]:.2f} s without", flush=True)
    return seconds[True] / seconds[False], *rest


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
        waits = measure_waits(options.containers)
        return [ratio_row("start, with NRI / without", ratios, 1.02),
                ("waits for it, of one start", waits, 0.02, "all together"),
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

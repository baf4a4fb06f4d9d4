# SPDX-License-Identifier: Apache-2.0
"""Plays one history of a tag: a mover, pullers, what happens meanwhile, and the judgement."""
import collections
import json
import re
import sys

from tests.integration import history
from tests.integration.harness import Process, wait_until
from tests.integration.harness.parts import ROOT, environment

PULLERS, THREADS = 2, 5
HOST, REPOSITORY, TAG = "registry.example", "team/app", "stable"
IMAGE = f"{HOST}/{REPOSITORY}:{TAG}"
LIMIT_S = 600


def worker(folder, name, **job):
    return Process(folder, name, [sys.executable, "-m", "tests.integration.history_worker", json.dumps(job)],
                   environment(PYTHONPATH=ROOT)).start()


def events(process):
    """What a worker has told so far; its last line may be under way."""
    return [json.loads(line) for line in process.log().splitlines(keepends=True) if line.startswith("{") and line.endswith("}\n")]


def count(process, kind):
    return process.log().count(f'{{"{kind}": ')


class Run:
    """One history: a mover, pullers, and what happens to the daemon meanwhile. layer_bytes: of a layer
    that each image has for itself (0: one small layer for all)."""

    def __init__(self, folder, registry, containerd, daemon, pulls, pause_ms=20, layer_bytes=0):
        self.folder, self.registry, self.containerd, self.daemon = folder, registry, containerd, daemon
        self.pulls, self.pause_ms, self.layer_bytes = pulls, pause_ms, layer_bytes
        self.disturbances = collections.Counter()
        self.mover, self.pullers = None, []

    def answered(self):
        return sum(count(puller, "pull") for puller in self.pullers)

    def running(self):
        return [puller for puller in self.pullers if puller.running()]

    def play(self, plan=()):
        """plan: what to do once so many pulls were answered, in that order."""
        self.mover = worker(self.folder, "mover", role="move", registry=self.registry.url, repository=REPOSITORY,
                            tag=TAG, pause_ms=self.pause_ms, layer_bytes=self.layer_bytes)
        self.mover.wait_ready(lambda: count(self.mover, "move") > 0)
        for number in range(PULLERS):
            self.pullers.append(worker(
                self.folder, f"puller-{number}", role="pull", daemon=str(self.daemon.socket),
                containerd=str(self.containerd.socket), image=IMAGE, threads=THREADS, pulls=self.pulls // PULLERS))
        for threshold, disturb in plan:
            wait_until(lambda at=threshold: self.answered() >= at or not self.running(),
                       f"{threshold} pulls are answered", LIMIT_S, 0.05)
            disturb(self)
        wait_until(lambda: not self.running(), "all pulls are answered", LIMIT_S, 0.05)
        self.mover.kill()
        for process in self.pullers:
            assert process.child.returncode == 0, process.log()[-3000:]

    def kill_daemon(self):
        self.daemon.kill()
        self.daemon.start()
        self.disturbances["daemon killed"] += 1

    def restart_containerd(self):
        self.containerd.restart()
        self.disturbances["containerd restarted"] += 1

    def kill_containerd(self):
        self.containerd.kill()
        self.containerd.start()
        self.disturbances["containerd killed"] += 1

    def judge(self):
        """(violations, failed pulls). Values are image IDs, which both sides know."""
        moved = events(self.mover)
        id_of = {event["digest"]: event["id"] for event in moved}
        moves = [history.Move(event["id"], event["start"], event["end"]) for event in moved]
        pulls, failed = [], []
        for puller in self.pullers:
            for event in events(puller):
                if "failed" in event:
                    failed.append(f'{event["failed"]}: {event["why"]}')
                    continue
                after = event["after"]
                read = history.Read(id_of.get(after["digest"], after["digest"]), after["start"], after["end"])
                pulls.append(history.Pull(event["pull"], event["start"], event["end"], read))
        return history.check(moves, pulls), failed

    def heads(self):
        return self.registry.count("HEAD", REPOSITORY, TAG)

    def shared(self):
        """How many pulls were answered with a HEAD that served others too."""
        return sum(int(number) > 1 for number in re.findall(r"heads_shared_by=\"?(\d+)", self.daemon.log()))

    def story(self, failed):
        what = ", ".join(f"{name} {number} times" for name, number in self.disturbances.items())
        return (f"{self.answered()} pulls answered with {self.heads()} HEADs while the tag moved "
                f"{count(self.mover, 'move')} times; {len(failed)} failed; {what or 'nothing disturbed'}")

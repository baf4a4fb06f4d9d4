# SPDX-License-Identifier: Apache-2.0
"""The NRI plugin's transport against real containerds and real pods: what it hears, what containerd makes
of its answers, and what happens to pods when it is slow, stopped, killed or refuses."""
import contextlib
import json
import os
import time
import unittest

from tests.integration.harness import (Containerd, Crictl, Folder, Images, Registry, ShowsLogs, containerd_version,
                                       wait_until)
from tests.integration.harness.crictl import pod_config
from tests.integration.harness.nri import Watch

CONTAINERDS = ("1.7", "2")
REPO, OTHER = "ghcr.io/nri/app:stable", "ghcr.io/nri/other:stable"


class Stage:
    def __init__(self, stack):
        self.folder = stack.enter_context(Folder())
        self.registry = stack.enter_context(Registry(self.folder))
        self.containerd = stack.enter_context(Containerd(self.folder, upstreams={"ghcr.io": self.registry.url}, nri=True))
        self.crictl = Crictl(self.folder, self.containerd.socket)
        self.containerd.push_pause()
        images = Images(self.folder)
        for name in (REPO, OTHER):
            images.push(self.registry, name.split("/", 1)[1].split(":")[0], "stable", marker=name)
            self.crictl.pull(name)


stage = None
stack = contextlib.ExitStack()


def setUpModule():
    global stage
    unittest.addModuleCleanup(stack.close)
    stage = Stage(stack)


class Case(ShowsLogs, unittest.TestCase):
    log_lines = 40
    maxDiff = None

    def setUp(self):
        self.addCleanup(self.sweep)
        self.stack = self.enterContext(contextlib.ExitStack())

    def sweep(self):
        for pod in stage.crictl.json("pods")["items"]:
            stage.crictl("rmp", "--force", pod["id"])

    def folder_of_logs(self):
        return stage and stage.folder

    def watch(self, *options):
        watch = self.stack.enter_context(Watch(stage.folder, stage.containerd.nri_socket, *options,
                                               name=f"watch-{os.urandom(3).hex()}"))
        watch.wait("^synchronized ")
        return watch

    def pod(self, name):
        """A pod's sandbox: (id, the two files that crictl wants)."""
        folder = stage.folder.sub(f"pod-of-{name}")
        files = folder / "container.json", folder / "pod.json"
        config = pod_config(stage.folder, name)
        files[1].write_text(json.dumps(config))
        return stage.crictl("runp", files[1]).strip(), files, config["metadata"]["uid"]

    def create(self, pod, files, image=REPO, command=("sleep", "100000"), run=None):
        """A container as kubelet creates it: the image by its ID, and what the pod says."""
        files[0].write_text(json.dumps({
            "metadata": {"name": "main", "attempt": 0}, "log_path": "main.log", "command": list(command),
            "image": {"image": stage.crictl.image(image)["id"], "user_specified_image": image}, "linux": {}}))
        return (run or stage.crictl)("create", "--no-pull", pod, *files)

    def start(self, name, **more):
        """(pod id, container id, pod uid) of a container that runs."""
        pod, files, uid = self.pod(name)
        made = self.create(pod, files, **more).strip()
        stage.crictl("start", made)
        return pod, made, uid

    def running(self, container):
        return stage.crictl.json("inspect", container)["status"]["state"] == "CONTAINER_RUNNING"


def line_of_pod(pod, name, uid):
    return f"pod id={pod} name={name} namespace=default uid={uid}"


def line(what, pod, made, state, image=REPO):
    return f"{what} id={made} pod_id={pod} name=main state={state} image={image}"


class Heard(Case):
    def test_a_container_that_was_there_before(self):
        pod, made, uid = self.start("before")
        watch = self.stack.enter_context(Watch(stage.folder, stage.containerd.nri_socket, name="watch-before"))
        seen = watch.wait("^synchronized ")
        self.assertRegex(seen[0], r"^configured runtime=containerd version=v?" + containerd_version().replace(".", r"\."))
        self.assertEqual(sorted(seen[1:]), sorted([
            line_of_pod(pod, "before", uid), line("container", pod, made, "running"), "synchronized pods=1 containers=1"]))

    def test_the_life_of_a_container(self):
        watch = self.watch()
        pod, made, uid = self.start("life")
        self.assertEqual(watch.wait("^creating "), [line_of_pod(pod, "life", uid), line("creating", pod, made, "created")])
        stage.crictl("stop", "--timeout", "0", made)
        self.assertEqual(watch.wait("^stopped "), [f"stopped id={made}"])
        stage.crictl("rm", made)
        self.assertEqual(watch.wait("^removed "), [f"removed id={made}"])

    def test_a_container_that_ends_by_itself(self):
        watch = self.watch()
        pod, made, uid = self.start("short", command=("echo", "done"))
        self.assertEqual(watch.wait("^stopped "), [
            line_of_pod(pod, "short", uid), line("creating", pod, made, "created"), f"stopped id={made}"])
        # containerd tells plugins first; until it knows itself it does not remove the container
        wait_until(lambda: stage.crictl.json("inspect", made)["status"]["state"] == "CONTAINER_EXITED", f"{made} ends")

    def test_a_pod_that_is_removed_takes_its_containers_along(self):
        watch = self.watch()
        pod, made, _ = self.start("removed")
        stage.crictl("rmp", "--force", pod)
        self.assertEqual(watch.wait("^removed ")[-2:], [f"stopped id={made}", f"removed id={made}"])

    def test_containerd_restarts(self):
        watch = self.watch()
        pod, made, uid = self.start("survivor")
        watch.wait("^creating ")
        stage.containerd.restart()
        seen = watch.wait("^synchronized ", timeout_s=60)
        self.assertEqual(seen[0], "disconnected reason=NRI: the runtime closed the connection")
        self.assertRegex(seen[-4], "^configured runtime=containerd ")
        self.assertEqual(sorted(seen[-3:]), sorted([
            line_of_pod(pod, "survivor", uid), line("container", pod, made, "running"), "synchronized pods=1 containers=1"]))
        self.assertLessEqual({item.partition(":")[0] for item in seen[:-4]}, {"disconnected reason=NRI"})
        later, later_made, _ = self.start("later")
        self.assertEqual(watch.wait("^creating ")[-1], line("creating", later, later_made, "created"))


class Said(Case):
    def test_annotations_are_on_the_container(self):
        long_value = "sha256:" + "a" * 240
        self.watch("--annotate", "cri-resolved/image-digest", long_value, "--annotate", "cri-resolved/verified-at", "now")
        _, made, _ = self.start("annotated")
        spec = stage.crictl.json("inspect", made)["info"]["runtimeSpec"]
        self.assertEqual({key: value for key, value in spec["annotations"].items() if key.startswith("cri-resolved/")},
                         {"cri-resolved/image-digest": long_value, "cri-resolved/verified-at": "now"})

    def test_a_container_is_refused_and_others_are_not(self):
        watch = self.watch("--refuse", OTHER)
        pod, files, uid = self.pod("refused")
        error = self.create(pod, files, image=OTHER, run=stage.crictl.fails)
        self.assertIn(f"{OTHER}: not this one", error)
        self.assertEqual(stage.crictl.json("ps", "--all")["containers"], [])
        seen = watch.wait("^removed ")
        made = seen[-1].partition("=")[2]
        self.assertEqual(seen[:2], [line_of_pod(pod, "refused", uid), line("creating", pod, made, "created", OTHER)])
        other = self.create(pod, files).strip()
        stage.crictl("start", other)
        self.assertTrue(self.running(other))


class NotThere(Case):
    """A plugin that does not answer: pods start."""

    def timed_start(self, name):
        pod, files, _ = self.pod(name)
        started = time.monotonic()
        made = self.create(pod, files).strip()
        stage.crictl("start", made)
        self.assertTrue(self.running(made))
        return time.monotonic() - started

    @staticmethod
    def given_up():
        """How many calls containerd has given a plugin up for."""
        return stage.containerd.process.log().count("failed to handle ")

    def test_killed(self):
        watch = self.watch()
        watch.process.kill()
        self.timed_start("killed")

    def test_ended(self):
        watch = self.watch()
        self.assertEqual(watch.process.stop(), 0)
        self.timed_start("ended")

    def test_hung(self):
        """The first call that meets it waits for the runtime's time-out, and is the last one to do so."""
        watch = self.watch()
        before = self.timed_start("before")
        given_up = self.given_up()
        with watch.frozen():
            first, second = self.timed_start("first"), self.timed_start("second")
        print(f"note: create and start with the plugin {before:.2f} s; hung: the first {first:.2f} s, the next {second:.2f} s")
        seen = watch.wait("^synchronized ")
        self.assertIn("synchronized pods=3 containers=3", seen)
        self.assertIn("disconnected reason=NRI: the runtime closed the connection", seen)
        self.assertEqual(self.given_up() - given_up, 1, "one call waited, of one container")

    def test_hung_and_killed(self):
        watch = self.watch()
        with watch.frozen():
            watch.process.kill()
        self.timed_start("hung-and-killed")

    def test_nobody_serves_the_socket(self):
        socket = stage.folder.sub("absent") / "nri.sock"
        watch = self.stack.enter_context(Watch(stage.folder, socket, name="watch-absent"))
        seen = watch.wait("^disconnected ")
        self.assertEqual(seen, [f"disconnected reason=NRI: cannot connect to {socket}: No such file or directory; "
                                "is containerd up, and NRI enabled in it?"])


if __name__ == "__main__":
    unittest.main()

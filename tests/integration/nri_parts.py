# SPDX-License-Identifier: Apache-2.0
"""What the tests of NRI share: a containerd with its NRI socket open, registries, and the daemon as its plugin."""
import contextlib
import json
import os
import time
import unittest

from tests.integration.harness import (Containerd, Cri, Crictl, Daemon, Folder, Images, Registry, ShowsLogs,
                                       containerd_version, wait_until)
from tests.integration.harness.crictl import pod_config, pod_fields
from tests.integration.harness.wire import decode, encode

HOST, PRIVATE = "ghcr.io", "private.example"
LABEL = "cri-resolved/verified"
WORD = "a-word-that-nobody-else-has"
TIME = r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$"
EXACT = containerd_version() != "1.7"  # the runtime names the pod's own string, if it is given that


class Stage:
    def __init__(self, stack):
        self.folder = stack.enter_context(Folder())
        self.registry = stack.enter_context(Registry(self.folder))
        self.private = stack.enter_context(Registry(self.folder, users={"ann": WORD}, name="private"))
        self.urls = {HOST: self.registry.url, PRIVATE: self.private.url}
        self.containerd = stack.enter_context(Containerd(self.folder, upstreams=self.urls, nri=True))
        self.crictl = Crictl(self.folder, self.containerd.socket)
        self.containerd.push_pause()
        self.images = Images(self.folder)


def stage_for(*cases):
    """setUpModule: one stage for all of these."""
    stack = contextlib.ExitStack()
    unittest.addModuleCleanup(stack.close)
    stage = Stage(stack)
    for case in cases:
        case.stage = stage


class Case(ShowsLogs, unittest.TestCase):
    log_lines = 25
    maxDiff = None
    stage = None  # of the module: see stage_for

    def setUp(self):
        self.repo = f"{type(self).__name__.lower()}/{self.id().rsplit('.', 1)[-1].replace('_', '-')}"
        self.addCleanup(self.sweep)
        self.stack = self.enterContext(contextlib.ExitStack())
        self.daemon = None

    def sweep(self):
        """No test sees what another one left in containerd."""
        for pod in self.stage.crictl.json("pods")["items"]:
            self.stage.crictl("rmp", "--force", pod["id"])
        for name in self.stage.containerd.store():
            if not name.startswith("registry.k8s.io/pause"):
                self.stage.containerd.delete_image(name)

    def folder_of_logs(self):
        return self.stage and self.stage.folder

    # ---- the daemon ----

    def serve(self, enforce=None, host=HOST, shim=None, **nri):
        entries = {name: {"server": url} for name, url in self.stage.urls.items()}
        if enforce:
            entries[host]["enforce"] = enforce
        nri = {"enabled": True, "socket": f"unix://{self.stage.containerd.nri_socket}", **nri}
        self.daemon = self.stack.enter_context(Daemon(self.stage.folder, self.stage.containerd, entries, name=f"daemon-{os.urandom(3).hex()}",
                                                      nri=nri, shim=shim or {}))
        self.settled()
        return self.daemon

    def gated(self, kind):
        """A gate of this kind in front of containerd."""
        place = self.stage.folder.sub(f"gate-{os.urandom(3).hex()}") / "g.sock"
        return self.stack.enter_context(kind(place, self.stage.containerd.socket))

    def document(self):
        return self.daemon.admin("/v1/containers")[1]

    def settled(self):
        """Connected, and following: the document."""
        def ready():
            document = self.document()
            return document["nri"]["connected"] and document["nri"]["image_events"] and document
        return wait_until(ready, "NRI is connected")

    def rows(self):
        """{pod: its container}"""
        return {row["pod"]: row for row in self.document()["containers"]}

    def changed(self):
        """{reference: digest} of what somebody else has written"""
        return {of["reference"]: of["digest"] for of in self.document()["changed"]}

    def verdicts(self):
        return {pod: row["verdict"] for pod, row in self.rows().items()}

    def until(self, expected, what="the verdicts are what they should be"):
        def same():
            return self.verdicts() == expected
        try:
            wait_until(same, what, timeout_s=15)
        except AssertionError:
            self.assertEqual(self.verdicts(), expected)

    def until_state(self, pod, state):
        wait_until(lambda: self.rows()[pod]["state"] == state, lambda: f"{pod} is {state}: {self.rows()[pod]}")

    # ---- images and pods ----

    def image(self, tag="stable", host=HOST):
        return f"{host}/{self.repo}:{tag}"

    def build(self, marker, tag="stable", registry=None):
        return self.stage.images.push(registry or self.stage.registry, self.repo, tag, marker)

    def pull(self, image=None, creds=None):
        """Through the daemon, as kubelet does it."""
        return Crictl(self.stage.folder, self.daemon.socket).pull(image or self.image(), creds)

    def retag(self, marker, tag="stable"):
        """Somebody points the tag at an image that nobody verified; its digest."""
        digest = self.stage.images.push(self.stage.registry, f"{self.repo}-foreign", "one", marker)
        foreign = f"{HOST}/{self.repo}-foreign:one"
        self.stage.crictl.pull(foreign)
        self.stage.containerd.ctr("images", "tag", "--force", foreign, self.image(tag))
        return digest

    def seen(self, name=None):
        """It is seen that somebody else has written the tag, and no event of it is on its way, which would make that
        doubtful again: they come in their order, and so does that of another name, written last."""
        name = name or self.image()
        wait_until(lambda: "io.cri-containerd.image" in self.stage.containerd.store()[name].labels, "CRI has labelled it")
        last = f"{HOST}/{self.repo}-last:{time.monotonic_ns()}"
        self.stage.containerd.ctr("images", "tag", name, last)
        wait_until(lambda: {name, last} <= set(self.changed()), "it is seen")

    def pod(self, name):
        folder = self.stage.folder.sub(f"pod-of-{name}")
        files = folder / "container.json", folder / "pod.json"
        files[1].write_text(json.dumps(pod_config(self.stage.folder, name)))
        return self.stage.crictl("runp", files[1]).strip(), files

    def create(self, pod, files, image=None, run=None):
        image = image or self.image()
        name = json.loads(files[1].read_text())["metadata"]["name"]
        container = {
            "metadata": {"name": "main", "attempt": 0}, "log_path": "main.log", "command": ["sleep", "100000"],
            "labels": {"io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": "default"},
            "image": {"image": self.stage.crictl.image(image)["id"], "user_specified_image": image}, "linux": {}}
        files[0].write_text(json.dumps(container))
        return (run or self.stage.crictl)("create", "--no-pull", pod, *files)

    def create_as_old_kubelet(self, pod, files, image=None):
        """Up to 1.27: only the image's ID. Not by crictl, which fills in what is missing."""
        config = json.loads(files[1].read_text())
        labels = {"io.kubernetes.pod.name": config["metadata"]["name"], "io.kubernetes.pod.namespace": "default"}
        container = [(1, [(1, "main")]), (2, [(1, self.stage.crictl.image(image or self.image())["id"])]), (3, "sleep"), (3, "100000"),
                     (9, labels), (11, "main.log"), (15, [])]
        with Cri(self.stage.containerd.socket) as cri:
            request = encode([(1, pod), (2, container), (3, pod_fields(config))])
            return decode(cri.call("/runtime.v1.RuntimeService/CreateContainer", request)).text(1)

    def start(self, name, image=None, old_kubelet=False):
        """A container that goes on, as kubelet starts it with IfNotPresent; its ID."""
        pod, files = self.pod(name)
        made = (self.create_as_old_kubelet if old_kubelet else self.create)(pod, files, image).strip()
        self.stage.crictl("start", made)
        self.assertEqual(self.stage.crictl.json("inspect", made)["status"]["state"], "CONTAINER_RUNNING")
        return made

    def enforce(self, host=HOST, old_kubelet=False):
        """Serves and refuses. Nobody is refused before kubelet has shown what it gives: so there is a pod "earlier"."""
        self.serve(enforce="refuse", host=host)
        self.build("earlier", "earlier")
        self.pull(self.image("earlier"))
        self.start("earlier", self.image("earlier"), old_kubelet)
        self.assertEqual(self.document()["nri"]["pods_own_string"], EXACT and not old_kubelet)

    def refused(self, name, image=None):
        """The error of a container that may not be created."""
        pod, files = self.pod(name)
        error = self.create(pod, files, image, run=self.stage.crictl.fails)
        self.assertEqual(self.stage.crictl.json("ps", "--all", "--pod", pod)["containers"], [])
        return error

# SPDX-License-Identifier: Apache-2.0
"""crictl, the way a person or a script uses it."""
import json
import os
import subprocess
import uuid

from . import sweep
from .parts import CACHE, environment, wait_until

CRICTL = CACHE / "bin/crictl"


class Crictl:
    """crictl with both endpoints on `socket` (or the images on image_socket)."""

    def __init__(self, folder, socket, image_socket=None, timeout="60s"):
        self.folder = folder
        self.config = folder.sub("crictl") / "crictl.yaml"
        self.config.write_text("")  # never the machine's own
        self.flags = ["--config", self.config, "--runtime-endpoint", f"unix://{socket}", "--image-endpoint",
                      f"unix://{image_socket or socket}", "--timeout", timeout]

    def run(self, *arguments):
        """(exit code, standard output, standard error)"""
        done = subprocess.run([CRICTL, *self.flags, *map(str, arguments)], env=environment(),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def __call__(self, *arguments):
        """The standard output of a command that must succeed."""
        code, out, error = self.run(*arguments)
        assert code == 0, f"crictl {' '.join(map(str, arguments))} -> {code}\n{out}{error}"
        return out

    def fails(self, *arguments):
        """The standard error of a command that must fail."""
        code, out, error = self.run(*arguments)
        assert code != 0, f"crictl {' '.join(map(str, arguments))} succeeded:\n{out}{error}"
        return error

    def json(self, command, *arguments):
        return json.loads(self(command, "-o", "json", *arguments))

    @staticmethod
    def _credentials(creds):
        return ["--creds", ":".join(creds)] if creds else []

    def pull(self, image, creds=None):
        """Pulls; creds=("user", "password"). The image's ID as crictl prints it."""
        return self("pull", *self._credentials(creds), image).split()[-1]

    def pull_fails(self, image, creds=None):
        """A pull that must fail: crictl's error text."""
        return self.fails("pull", *self._credentials(creds), image)

    def images(self):
        """crictl images: list of {"id", "repoTags", "repoDigests", ...}"""
        return self.json("images")["images"]

    def image(self, reference):
        """crictl inspecti: the status, or None when there is no such image."""
        code, out, error = self.run("inspecti", "-o", "json", reference)
        if code != 0:
            assert "no such image" in error, error
            return None
        return json.loads(out)["status"]


def pod_config(folder, name):
    """A pod on the host's network (no CNI needed), in a control group that the folder's sweep removes."""
    return {"metadata": {"name": name, "namespace": "default", "uid": uuid.uuid4().hex, "attempt": 1},
            "log_directory": str(folder.sub(f"pod-{name}")),
            "linux": {"cgroup_parent": sweep.cgroup_name(folder.path),
                      "security_context": {"namespace_options": {"network": 2}}}}


def pod_fields(config):
    """That pod as wire.encode takes it."""
    metadata, linux = config["metadata"], config["linux"]
    network = linux["security_context"]["namespace_options"]["network"]
    return [(1, [(1, metadata["name"]), (2, metadata["uid"]), (3, metadata["namespace"]), (4, metadata["attempt"])]),
            (3, config["log_directory"]),
            (8, [(1, linux["cgroup_parent"]), (2, [(1, [(1, network)])])])]


def run_pod(crictl, image, name=None, pull_image=None):
    """Runs one container of the image in a pod of its own, to its end; what it printed. The pod is
    removed. Nothing is pulled: the image must be there (pull it first, as kubelet does)."""
    name = name or f"pod-{os.urandom(3).hex()}"
    folder = crictl.folder.sub(f"run-{name}")
    pod = pod_config(crictl.folder, name)
    container = {"metadata": {"name": "main", "attempt": 0}, "log_path": "main.log",
                 "image": {"image": pull_image or image, "user_specified_image": image}, "linux": {}}
    (folder / "pod.json").write_text(json.dumps(pod))
    (folder / "container.json").write_text(json.dumps(container))
    pod_id = crictl("runp", folder / "pod.json").strip()
    try:
        made = crictl("create", "--no-pull", pod_id, folder / "container.json", folder / "pod.json").strip()
        crictl("start", made)
        wait_until(lambda: crictl.json("inspect", made)["status"]["state"] == "CONTAINER_EXITED",
                   f"the container of {image} ends", interval_s=0.05)
        return crictl("logs", made)
    finally:
        crictl("rmp", "--force", pod_id)

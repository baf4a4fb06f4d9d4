# SPDX-License-Identifier: Apache-2.0
"""`cri-resolvectl check` as a test runs it, and its remedies as an administrator applies them: from
what is printed, and from nothing else."""
import json
import pathlib
import subprocess

from tests.integration.harness.ctl import ctl_binary
from tests.integration.harness.daemon import REPORT
from tests.integration.harness.parts import environment


class Checker:
    """Runs the verb on the parts of one node. Files of kubelet and crictl lie in its folder; those of
    this machine are never looked at."""

    def __init__(self, folder, containerd=None, config=None):
        self.home = folder.sub("check")
        self.kubelet, self.crictl = self.home / "kubelet.yaml", self.home / "crictl.yaml"
        self.state = self.home / "state.json"
        self.config = config
        if config is None:
            self.config = self.home / "config.toml"
            certs = f'certs_dir = "{containerd.certs}"\n' if containerd else ""
            self.config.write_text(f'[shim]\nlisten = "unix://{self.home}/r.sock"\n{certs}')
        self.containerd = containerd
        self.options = ["--kubelet-config", self.kubelet, "--crictl-config", self.crictl, "--state", self.state,
                        "--config", self.config]
        socket = containerd.socket if containerd else self.home / "nobody.sock"
        self.options += ["--containerd", f"unix://{socket}"]
        self.services = {"containerd": lambda _: containerd.restart()}

    def run(self, *arguments, stdin=subprocess.DEVNULL, before=(), **more):
        """The finished process, output as text. before: words in front of the program's name."""
        done = subprocess.run([str(word) for word in (*before, ctl_binary(), "check", *self.options, *arguments)], stdin=stdin,
                              env=environment(), capture_output=True, text=True, check=False, timeout=120, **more)
        assert not REPORT.search(done.stderr), done.stderr[:6000]
        return done

    def findings(self, *arguments):
        """What it finds, as JSON; its exit code must say the same."""
        done = self.run(*arguments, "-o", "json")
        assert done.returncode in (0, 1), (done.returncode, done.stderr)
        document = json.loads(done.stdout)
        assert set(document) == {"findings", "not_looked_at"}, document
        found = document["findings"]
        bad = any(one["severity"] != "hint" for one in found)
        assert done.returncode == int(bad), (done.returncode, found)
        return found

    def find(self, identifier, *arguments):
        """The findings of one kind."""
        return [one for one in self.findings(*arguments) if one["identifier"] == identifier]

    def apply(self, finding):
        """Does the steps of its remedy, in their order."""
        assert finding["remedy"]["steps"], f"no steps: {finding['remedy']['text']}"
        for step in finding["remedy"]["steps"]:
            {"write_file": self.write_file, "replace_lines": self._replace, "run": self._command}[step["action"]](step)

    @staticmethod
    def write_file(step):
        path = pathlib.Path(step["path"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(step["content"])

    @staticmethod
    def _replace(step):
        path = pathlib.Path(step["path"])
        lines = path.read_text().splitlines(keepends=True)
        lines[step["first"] - 1:step["last"]] = [step["text"]] if step["text"] else []
        path.write_text("".join(lines))

    def _command(self, step):
        command = step["command"]
        if command[0] == "systemctl":
            self.services[command[-1]](command[1])
            return
        program = [str(ctl_binary())] if command[0] == "cri-resolvectl" else [command[0]]
        subprocess.run(program + command[1:], env=environment(), check=True, timeout=60)


def places(finding):
    return [one["place"] for one in finding["evidence"]]


def texts(finding):
    return [one["text"] for one in finding["evidence"]]

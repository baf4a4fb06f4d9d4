# SPDX-License-Identifier: Apache-2.0
"""A machine that systemd has booted: a root file system with a layer of the test's own above it, in which
systemd is process 1. It shares the network of the test, which is loopback alone."""
import contextlib
import os
import pathlib
import subprocess
import uuid

from . import sweep
from .parts import Process, wait_until

TARGET = "test.target"
CAP_SYS_RESOURCE = 1 << 24


def may_lower_oom_scores():
    """Some containers and virtual machines take this capability even from root."""
    status = pathlib.Path("/proc/self/status").read_text()
    return bool(int(status.split("CapBnd:")[1].split()[0], 16) & CAP_SYS_RESOURCE)


class Machine:
    """root: a folder that holds a Debian with systemd; nothing in it is changed. units: what the machine
    wants. write() puts files into it, before and after it has booted. binds: {outside: inside}, folders of
    ours that it sees."""

    def __init__(self, folder, units, root="/", binds=None):
        self.folder, self.root, self.home = folder, pathlib.Path(root), folder.sub("machine")
        self.tree = self.home / "tree"
        self.name = sweep.cgroup_name(folder.path).lstrip("/")
        # The layer is on a tmpfs: the folder's own file system may be one that cannot be a layer.
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", self.home], check=True)
        for name in ("upper", "work", "tree"):
            (self.home / name).mkdir()
        layers = f"lowerdir={self.root},upperdir={self.home}/upper,workdir={self.home}/work"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, self.tree], check=True)
        self.write("/etc/machine-id", uuid.uuid4().hex + "\n")  # an empty one asks for a first boot
        self.write("/etc/fstab", "")
        self.write(f"/etc/systemd/system/{TARGET}",
                   f"[Unit]\nRequires=sysinit.target\nAfter=sysinit.target\nWants={' '.join(units)}\nAllowIsolate=yes\n")
        self.process = Process(folder, "machine", [
            "systemd-nspawn", "--quiet", f"--directory={self.tree}", "--register=no", "--keep-unit", "--link-journal=no",
            "--console=pipe", "--resolv-conf=off", "--timezone=off",
            "--system-call-filter=@keyring bpf",  # for runc
            *(f"--bind={outside}:{inside}" for outside, inside in (binds or {}).items()), "--boot", f"systemd.unit={TARGET}", "systemd.log_color=0"])

    def write(self, path, content, mode=0o644):
        place = self.tree / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)  # a program that runs cannot be written to
        place.write_bytes(content if isinstance(content, bytes) else content.encode())
        place.chmod(mode)

    def _control_groups(self):
        """Of its own: systemd-nspawn makes the machine's below the one that it finds itself in."""
        for top in (sweep.CGROUPS, *sweep.CGROUPS.glob("*")):
            if (top / "cgroup.procs").exists() and top.name in (sweep.CGROUPS.name, "systemd", "unified"):
                (top / self.name).mkdir(exist_ok=True)
                yield top / self.name / "cgroup.procs"

    def __enter__(self):
        groups = list(self._control_groups())
        enter = "".join(f"echo $$ >{group} && " for group in groups)
        self.process.command = ["/bin/sh", "-c", enter + 'exec "$@"', "sh", *self.process.command]
        self.process.start()
        self.process.wait_ready(lambda: self.init and self.active(TARGET), timeout_s=90)
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            print(self.run("journalctl", "--no-pager", "-n", "150", check=False))
        try:
            self.process.stop(timeout_s=60)
        finally:
            for place in (self.tree, self.home):
                subprocess.run(["umount", "--lazy", place], check=True)

    @property
    def init(self):
        """The process outside that is process 1 inside; None before it is there."""
        for pid in pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a helper that has ended
                if pathlib.Path(f"/proc/{pid}/comm").read_text() == "systemd\n":
                    return int(pid)
        return None

    def outside(self, path):
        """A path of the machine, for us."""
        return pathlib.Path(f"/proc/{self.init}/root") / str(path).lstrip("/")

    def run(self, *words, check=True):
        """A command in the machine; its output."""
        done = subprocess.run(["nsenter", "-t", str(self.init), "-m", "-u", "-i", "-p", "--", *map(str, words)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env={"PATH": os.defpath + ":/usr/sbin:/sbin", "LANG": "C"}, check=False)
        assert not check or done.returncode == 0, f"{' '.join(map(str, words))}: {done.returncode}\n{done.stdout}"
        return done.stdout.strip()

    def active(self, unit):
        return self.run("systemctl", "is-active", unit, check=False) == "active"

    def show(self, unit, key):
        return self.run("systemctl", "show", "--value", f"--property={key}", unit)

    def wait_show(self, unit, key, value):
        wait_until(lambda: self.show(unit, key) == value, f"{key} of {unit}: {self.show(unit, key)}, not {value}")

    def journal(self, unit):
        """All that the unit has said until now: journald may have it still before it."""
        self.run("journalctl", "--sync")
        return self.run("journalctl", "--no-pager", "-o", "cat", "-u", unit)

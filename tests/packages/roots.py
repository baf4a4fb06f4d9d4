# SPDX-License-Identifier: Apache-2.0
"""Small Debian systems to install things in, and to throw away.

    with Folder() as folder, Root(folder, "trixie") as root:
        root.take(packages.deb())                  # -> a path inside
        root.run("apt-get", "install", "-y", path)
        root.tree()                                # what is there, to be compared

`./dev` makes one root for each suite, once; what a test changes lies in an overlay in the test's folder and
goes with it. A root has what our package depends on, systemd, and that suite's containerd; none of its services
run. Commands run in a chroot with a process namespace of their own; the network is that of the test: loopback."""
import hashlib
import os
import pathlib
import shutil
import stat
import subprocess

from tests.integration.harness.parts import CACHE, Process, environment

ROOTS = CACHE / "roots"
CONTAINERD = {"bookworm": "1.6", "trixie": "1.7"}  # what the suite's own containerd is

# What changes whenever something is installed, whatever it is.
BOOKKEEPING = ("var/lib/dpkg", "var/lib/apt", "var/lib/rpm", "var/log", "var/cache", "proc", "run", "tmp",
               "var/lib/systemd/deb-systemd-helper-enabled")


def suite():
    """The suite that this test process was started for."""
    return os.environ.get("CRI_RESOLVED_SUITE", "trixie")


class Done:
    """How a command in a root went."""

    def __init__(self, process):
        self.code, self.out, self.err = process.returncode, process.stdout, process.stderr

    def __repr__(self):
        return f"exit code {self.code}\n{self.out}\n--- standard error\n{self.err}"


def _mount(*words):
    done = subprocess.run(["mount", *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"mount {words}: {done.stderr} (root and overlayfs are needed)"


class Root:
    def __init__(self, folder, which=None):
        self.folder, self.suite = folder, which or suite()
        self.base = ROOTS / self.suite
        assert (self.base / "usr").is_dir(), f"no {self.suite} in {ROOTS}: run ./dev test packages once, as root"
        self.home = folder.sub(f"root-{self.suite}")
        self.path = self.home / "root"

    def __enter__(self):
        _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", self.home)  # package managers ask for every file to be on disk
        for name in ("upper", "work", "root"):
            (self.home / name).mkdir()
        _mount("-t", "overlay", "overlay", "-o",
               f"lowerdir={self.base},upperdir={self.home}/upper,workdir={self.home}/work", self.path)
        _mount("-t", "proc", "proc", self.path / "proc")
        _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", self.path / "run")
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-R", "-l", self.home], check=True)

    @staticmethod
    def environment(**more):
        return environment(PATH="/usr/sbin:/usr/bin:/sbin:/bin", HOME="/root", LANG="C.UTF-8",
                           DEBIAN_FRONTEND="noninteractive", **more)

    def run(self, *words, input=None, **env):
        """Runs a command inside, to its end: a Done."""
        inside = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c",
                  'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"', self.path, *map(str, words)]
        return Done(subprocess.run(inside, env=self.environment(**env), input=input or "", text=True,
                                   capture_output=True, check=False))

    def __call__(self, *words, **env):
        """Runs a command that must succeed: its output."""
        done = self.run(*words, **env)
        assert done.code == 0, f"in {self.suite}: {' '.join(map(str, words))}: {done}"
        return done.out

    def process(self, name, *words, **env):
        """A Process inside, not yet started."""
        return Process(self.folder, f"{self.home.name}-{name}", ["chroot", self.path, *words], self.environment(**env))

    def __truediv__(self, path):
        """The path of a file inside, seen from outside."""
        return self.path / str(path).lstrip("/")

    def take(self, path):
        """Copies a file into the root's /srv; its path inside."""
        shutil.copy(path, self / "srv")
        return f"/srv/{pathlib.Path(path).name}"

    def write(self, path, text):
        target = self / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def read(self, path):
        return (self / path).read_text()

    def bind(self, outside, inside):
        """Shows a file or socket from outside under a path inside, below /run."""
        target = self / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
        _mount("--bind", outside, target)

    def tree(self):
        """Path -> what there is, of all files but the package managers' own books."""
        found = {}
        for folder, folders, files in os.walk(self.path):
            where = os.path.relpath(folder, self.path)
            folders[:] = [name for name in folders if os.path.normpath(f"{where}/{name}") not in BOOKKEEPING]
            for name in folders + files:
                path = os.path.join(folder, name)
                found["/" + os.path.normpath(f"{where}/{name}")] = _describe(path)
        return found


def _describe(path):
    """Mode, owner, and what is in it."""
    status = os.lstat(path)
    about = f"{stat.filemode(status.st_mode)} {status.st_uid}:{status.st_gid}"
    if stat.S_ISLNK(status.st_mode):
        return f"{about} -> {os.readlink(path)}"
    if stat.S_ISREG(status.st_mode):
        with open(path, "rb") as file:
            return f"{about} {hashlib.file_digest(file, 'sha256').hexdigest()}"
    return about

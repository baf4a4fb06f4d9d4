# SPDX-License-Identifier: Apache-2.0
"""Nothing stays behind: ends the processes, mounts and control groups that belong to one folder.

containerd's shims and the containers below them outlive containerd on purpose, so ending the child
is not enough. A process belongs to the folder when its command line names it, or when its root file
system is a mount made from it."""
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

CGROUPS = pathlib.Path("/sys/fs/cgroup")


def cgroup_name(folder):
    """The parent control group of the folder's pods."""
    return f"/cri-resolved-{pathlib.Path(folder).name}"


def _root_mount(process):
    for line in (process / "mountinfo").read_text(errors="replace").splitlines():
        if line.split()[4] == "/":
            return line
    return ""


def processes_of(folder):
    """Process ids that belong to the folder, never ourselves or our parents."""
    needle, found, own = f"{folder}/", [], {os.getpid(), os.getppid()}
    for process in pathlib.Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) in own:
            continue
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            if needle in words + "/" or needle in _root_mount(process):
                found.append(int(process.name))
        except OSError:
            continue  # it ended meanwhile
    return found


def _kill(folder):
    deadline = time.monotonic() + 10
    while (left := processes_of(folder)) and time.monotonic() < deadline:
        for process in left:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.02)
    return left


def _unescape(path):
    return re.sub(r"\\(\d{3})", lambda octal: chr(int(octal.group(1), 8)), path)


def _unmount(folder):
    for _ in range(5):  # mounts may be stacked
        lines = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
        points = [_unescape(line.split()[4]) for line in lines]
        points = [point for point in points if point.startswith(f"{folder}/")]
        if not points:
            return
        for point in sorted(points, key=len, reverse=True):
            subprocess.run(["umount", "-l", point], stderr=subprocess.DEVNULL, check=False)


def _remove_shim_sockets(folder):
    """A shim that was killed leaves its socket under /run/containerd/s; its bundle names it."""
    for address in pathlib.Path(folder).glob("**/io.containerd.runtime.v2.task/*/*/address"):
        socket = address.read_text().strip().removeprefix("unix://")
        if socket.startswith("/run/containerd/s/"):
            pathlib.Path(socket).unlink(missing_ok=True)


def _remove_cgroups(folder):
    name = cgroup_name(folder).lstrip("/")
    tops = [CGROUPS / name, *CGROUPS.glob(f"*/{name}")]
    for top in tops:
        if top.is_dir():
            for group, _, _ in os.walk(top, topdown=False):
                try:
                    os.rmdir(group)
                except OSError:
                    pass  # a process in it has not been reaped yet


def sweep(folder):
    """Ends everything that belongs to the folder; says what resisted."""
    left = _kill(folder)
    if left:
        print(f"processes of {folder} that do not end: {left}", file=sys.stderr)
    _unmount(folder)  # first: below a mount may be a whole machine, to be looked through by nobody
    _remove_shim_sockets(folder)
    _remove_cgroups(folder)

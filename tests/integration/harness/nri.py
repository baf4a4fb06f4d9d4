# SPDX-License-Identifier: Apache-2.0
"""nri_watch (tests/tools): our side of an NRI socket with a listener that prints what it hears."""
import contextlib
import os
import pathlib
import re
import signal

from .parts import Process, wait_until

PROGRAM = pathlib.Path(os.environ.get("CRI_RESOLVED_BIN", "build/debug/cri-resolved")).parent / "nri_watch"


class Watch:
    """A running nri_watch. Lines are counted from where the last wait ended."""

    def __init__(self, folder, socket, *options, name="watch"):
        self.process = Process(folder, name, [PROGRAM, socket, *options])
        self.at = 0

    def __enter__(self):
        self.process.start()
        return self

    def __exit__(self, *_):
        if self.process.running():
            code = self.process.stop()
            assert code == 0, f"nri_watch ended with {code}"

    @contextlib.contextmanager
    def frozen(self):
        """SIGSTOP, and it has stopped; SIGCONT at the end."""
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task")
        self.process.signal(signal.SIGSTOP)
        wait_until(lambda: all((task / "stat").read_text().rpartition(")")[2].split()[0] == "T" for task in tasks.iterdir()),
                   "nri_watch does not stop")
        try:
            yield
        finally:
            if self.process.running():
                self.process.signal(signal.SIGCONT)

    def lines(self):
        """All complete lines that were not waited for yet."""
        return self.process.log().split("\n")[:-1][self.at:]

    def wait(self, pattern, timeout_s=30):
        """Until a new line matches; the lines up to it, and nothing of them is seen again."""
        def found():
            assert self.process.running(), f"nri_watch ended with {self.process.child.returncode}"
            seen = self.lines()
            for number, line in enumerate(seen):
                if re.search(pattern, line):
                    return seen[:number + 1]
            return None
        seen = wait_until(found, f"nri_watch does not say {pattern!r}; it says {self.lines()}", timeout_s)
        self.at += len(seen)
        return seen

# SPDX-License-Identifier: Apache-2.0
"""cri-resolvectl, with a configuration of its own."""
import json
import os
import pathlib
import subprocess

from .daemon import REPORT, binary, toml
from .parts import dead_port, environment


def ctl_binary():
    """$CRI_RESOLVED_CTL, else what was built beside the daemon."""
    return pathlib.Path(os.environ.get("CRI_RESOLVED_CTL", binary().with_name("cri-resolvectl")))


class Result:
    def __init__(self, process):
        self.code, self.out, self.err = process.returncode, process.stdout, process.stderr

    @property
    def lines(self):
        return self.out.splitlines()

    @property
    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"exit code {self.code}\n{self.out}\n--- standard error\n{self.err}"


class Ctl:
    """upstreams, mirrors and tables as those of Daemon; any host without an entry leads to a port that
    refuses. config=None: no --config is given."""

    def __init__(self, folder, upstreams=None, mirrors=None, name="ctl", **tables):
        self.folder = folder
        self.home = folder.sub(name)
        self.config = self.home / "config.toml"
        self.env = environment(ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "detect_leaks=1"),
                               UBSAN_OPTIONS=os.environ.get("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1"),
                               TSAN_OPTIONS=os.environ.get("TSAN_OPTIONS", "ignore_noninstrumented_modules=1:halt_on_error=1"),
                               HOME=self.home, TERM="dumb")
        self.tables = {f"{kind}.{json.dumps(key)}": dict(entry) if isinstance(entry, dict) else {"server": entry}
                       for kind, entries in (("upstream", {"default": f"http://127.0.0.1:{dead_port()}", **(upstreams or {})}),
                                             ("mirror", mirrors or {}))
                       for key, entry in entries.items()}
        self.write_config(**tables)

    def write_config(self, **tables):
        lines = []
        for name, values in {**tables, **self.tables}.items():
            lines += [f"[{name}]", *(f"{key} = {toml(value)}" for key, value in values.items()), ""]
        self.config.write_text("\n".join(lines))

    def command(self, *words):
        config = ["--config", str(self.config)] if self.config else []
        return [str(ctl_binary()), *(str(word) for word in words[:1]), *config, *(str(word) for word in words[1:])]

    def run(self, *words, stdin="", env=None, timeout_s=60, **more):
        """One run to its end; nothing that a sanitizer reported."""
        process = subprocess.run(self.command(*words), input=stdin, capture_output=True, text=True, timeout=timeout_s,
                                 env={**self.env, **{k: str(v) for k, v in (env or {}).items()}}, **more)
        assert not REPORT.search(process.stderr), process.stderr[:6000]
        return Result(process)

# SPDX-License-Identifier: Apache-2.0
"""Real-life containerd configurations (tests/data/containerd), migrated in a folder of their own, and
what must be true of each result. Nothing here uses cri-resolved's own parser: files are compared as
Python's tomllib reads them, and line by line."""
import difflib
import os
import pathlib
import re
import shutil
import subprocess
import tomllib

from tests.integration.harness.containerd import FOLDERS
from tests.integration.harness.ctl import Ctl
from tests.integration.harness.parts import ROOT, environment

DATA = ROOT / "tests/data/containerd"
PLUGINS = {1: "cri", 2: "io.containerd.grpc.v1.cri", 3: "io.containerd.cri.v1.images"}


def binary_of(which):
    return FOLDERS[which] / "containerd"


def make_certificates(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-days", "1",
                    "-keyout", folder / "client.key", "-out", folder / "client.pem"], check=True,
                   capture_output=True)
    shutil.copy(folder / "client.pem", folder / "ca.pem")


class Site:
    """A copy of the data with "@" as its folder, and runs of migrate on one file of it.

    certs: the directory below the folder that --certs-directory names; None: the option is not given."""

    def __init__(self, folder, name, which="1.6", certs="certs.d"):
        self.home = folder.sub("site")
        self.ctl = Ctl(folder)
        self.ctl.config = None
        shutil.copytree(DATA, self.home, dirs_exist_ok=True)
        for path in self.home.rglob("*.toml"):
            path.write_bytes(path.read_bytes().replace(b"@/", f"{self.home}/".encode()))
        make_certificates(self.home)
        self.which, self.main = which, self.home / name
        self.certs = self.home / (certs or "certs.d")
        self.given = bool(certs)
        self.output = self.home / "ours/config.toml"

    def write(self, name, text):
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("@/", f"{self.home}/"))
        return path

    def migrate(self, *words, env=None):
        options = ["--containerd-config", self.main, "--output-config", self.output]
        if self.given:
            options += ["--certs-directory", self.certs]
        if "--containerd-binary" not in words:
            options += ["--containerd-binary", binary_of(self.which)]
        return self.ctl.run("migrate", *options, *words, env=env)

    def files(self):
        return {path.relative_to(self.home): path.read_bytes() for path in sorted(self.home.rglob("*"))
                if path.is_file() and not path.name.endswith(".bak")}

    def hosts(self, name):
        return tomllib.loads((self.certs / name / "hosts.toml").read_text())

    def ours(self):
        """Our configuration without the key that these tests' directory needs."""
        values = tomllib.loads(self.output.read_text())
        values.pop("shim", None)
        return values

    def dump(self, which):
        """The registry settings that a containerd says it has."""
        done = subprocess.run([binary_of(which), "--config", self.main, "config", "dump"], capture_output=True,
                              text=True, env=environment(), check=False)
        assert done.returncode == 0, done.stderr
        plugins = tomllib.loads(done.stdout)["plugins"]
        return plugins[PLUGINS[3] if which == "2" else PLUGINS[2]]["registry"]


def registry_of(values, version):
    return values.get("plugins", {}).get(PLUGINS[version], {}).get("registry")


def without_registry(values, version):
    plugins = {name: dict(table) if name == PLUGINS[version] else table
               for name, table in values.get("plugins", {}).items()}
    plugins.get(PLUGINS[version], {}).pop("registry", None)
    return {**values, "plugins": {name: table for name, table in plugins.items() if table}}


def expected_registry(before, certs):
    """What stays of the settings: whatever is neither mirrors nor trust. None where nothing does."""
    kept = {key: value for key, value in before.items() if key not in ("mirrors", "configs", "auths")}
    configs = {host: {"auth": entry["auth"]} for host, entry in before.get("configs", {}).items() if entry.get("auth")}
    for url, entry in before.get("auths", {}).items():
        configs[url.split("://")[-1]] = {"auth": entry}
    if configs:
        kept["configs"] = configs
    if certs:
        kept["config_path"] = str(certs)
    return kept


HEADER = re.compile(r"^\s*\[")
GOING = re.compile(r"registry\b.*\b(mirrors|configs|auths)\b")
ADDED = re.compile(r"^\s*($|\[.*registry\]\s*$|.*\bconfig_path = |\[.*registry\.configs\.\S+\.auth\]\s*$"
                   r"|(username|password|auth|identitytoken) = )")


def lines_that_must_not_change(before, after):
    """Lines that went although they stand outside the sections that go, and lines that came."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    inside, of_section = False, []
    for line in old:
        if HEADER.match(line):
            inside = bool(GOING.search(line))
        of_section.append(inside or not line.strip() or bool(re.search(r"\bconfig_path\b|\bregistry\s*[.=]", line)))
    wrong = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            wrong += [f"-{old[n]}" for n in range(a, b) if not of_section[n]]
            wrong += [f"+{line}" for line in new[c:d]
                      if not ADDED.match(line) and not re.search(r"\bregistry\s*[.=]", line)]
    return wrong


def modes(folder):
    return {path.name: oct(path.stat().st_mode & 0o777) for path in pathlib.Path(folder).iterdir()}


def have_containerd_nowhere():
    """A PATH without any."""
    return {"PATH": os.devnull}

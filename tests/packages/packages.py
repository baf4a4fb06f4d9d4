# SPDX-License-Identifier: Apache-2.0
"""The packages that `./dev package` made, and newer ones made of them."""
import os
import pathlib
import subprocess

from tests.integration.harness.parts import ROOT

BUILD = ROOT / "build/package"
MADE = BUILD / "packages"
NEXT = "0.1.1"
CHANGED = "# a key of the next version"
CONFIG = "/etc/cri-resolved/config.toml"


def _only(pattern):
    found = sorted(MADE.glob(pattern))
    assert len(found) == 1, f"{pattern} in {MADE}: {found}; ./dev package makes it"
    return found[0]


def deb():
    return _only("cri-resolved_*.deb")


def rpm():
    return _only("cri-resolved-*.rpm")


def debug():
    return _only("cri-resolved-debug.tar.xz")


def say(*words, **more):
    """The output of a command that must succeed."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, **more)
    assert done.returncode == 0, f"{words} -> {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def unpack(package, folder):
    """The files of a package, below a new folder."""
    tree = folder.sub(f"tree-{package.suffix[1:]}")
    if package.suffix == ".deb":
        say("dpkg-deb", "-x", package, tree)
    else:
        archive = tree.with_suffix(".cpio")
        with open(archive, "wb") as out:
            subprocess.run(["rpm2cpio", package], stdout=out, check=True)
        with open(archive, "rb") as source:
            subprocess.run(["cpio", "-idm", "--quiet", "--no-absolute-filenames"], stdin=source, cwd=tree, check=True)
    return tree


def made_again(package, folder, change=lambda tree: None):
    """The next version, by the same cpack, scripts and all, from the files of this one after change(their folder)."""
    tree = unpack(package, folder)
    change(tree)
    out = folder.sub("again")
    kind = package.suffix[1:].upper()
    say("cpack", "--config", BUILD / "CPackConfig.cmake", "-G", kind, "-B", out, "-D", f"CPACK_PACKAGE_VERSION={NEXT}",
        "-D", "CPACK_INSTALL_CMAKE_PROJECTS=", "-D", f"CPACK_INSTALLED_DIRECTORIES={tree};/", "-D",
        f"CPACK_{kind}_COMPONENT_INSTALL=OFF", cwd=BUILD, env={**os.environ, "SOURCE_DATE_EPOCH": "1800000000"})
    made, = out.glob(f"*{package.suffix}")
    return made


def change_config(tree):
    """For made_again: the installed configuration gets a line more."""
    with open(pathlib.Path(tree) / CONFIG.lstrip("/"), "a", encoding="utf-8") as file:
        file.write(f"{CHANGED}\n")

# SPDX-License-Identifier: Apache-2.0
"""Tiny real images: busybox in an OCI layout made by umoci, pushed by skopeo."""
import hashlib
import json
import pathlib
import shutil
import subprocess

from .parts import environment
from .registry import INDEX, MANIFEST

PAUSE = "registry.k8s.io/pause:3.9"
BUSYBOX = pathlib.Path("/bin/busybox")  # Debian's busybox-static
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def run(*command):
    """Runs a tool; its output, or an AssertionError that shows it."""
    done = subprocess.run([str(word) for word in command], env=environment(), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, f"{command[0]} {command[1]} failed:\n{done.stdout}"
    return done.stdout


def self_signed(folder, name="tester"):
    """A certificate for 127.0.0.1 that nobody but itself vouches for: (certificate, key), files in PEM."""
    home = folder.sub("certificate")
    files = str(home / "cert.pem"), str(home / "key.pem")
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-out", files[0], "-keyout", files[1])
    return files


class Images:
    """Builds and pushes images. The container of push(..., marker="v1") prints "v1" and ends."""

    def __init__(self, folder):
        self.home = folder.sub("images")
        self.layout = self.home / "layout"
        self.count = 0
        self._base()

    def _base(self):
        root = self.home / "root"
        (root / "bin").mkdir(parents=True)
        shutil.copy(BUSYBOX, root / "bin/busybox")
        for name in ("sh", "cat", "sleep", "echo"):
            (root / "bin" / name).symlink_to("busybox")
        run("umoci", "init", "--layout", self.layout)
        run("umoci", "new", "--image", f"{self.layout}:base")
        run("umoci", "insert", "--image", f"{self.layout}:base", root / "bin", "/bin")
        run("umoci", "config", "--image", f"{self.layout}:base", "--config.cmd", "sleep", "--config.cmd", "100000",
            "--config.env", "PATH=/bin")

    def build(self, marker, created=None):
        """An image of the layout, with a layer of its own that holds the marker; its tag there. created:
        its date, as "2026-11-20T10:00:00Z"."""
        self.count += 1
        tag, note = f"image-{self.count}", self.home / "marker"
        note.write_text(marker + "\n")
        run("umoci", "tag", "--image", f"{self.layout}:base", tag)
        run("umoci", "insert", "--image", f"{self.layout}:{tag}", note, "/marker")
        run("umoci", "config", "--image", f"{self.layout}:{tag}", "--clear=config.cmd",
            "--config.cmd", "cat", "--config.cmd", "/marker", *(["--created", created] if created else []))
        return tag

    def copy(self, layout_tag, registry, repo, tag):
        """Pushes what build() made; the digest of its manifest."""
        access = []
        if registry.users:
            (user, word), *_ = registry.users.items()
            access = ["--dest-creds", f"{user}:{word}"]
        run("skopeo", "copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false", *access,
            f"oci:{self.layout}:{layout_tag}", f"docker://{registry.host}/{repo}:{tag}")
        return registry.digest(repo, tag)

    def push(self, registry, repo, tag, marker, created=None):
        """Builds an image for the marker and pushes it; the digest of its manifest."""
        return self.copy(self.build(marker, created), registry, repo, tag)

    def push_pause(self, registry, repo="pause", tag="3.9"):
        """The sandbox image; its digest."""
        return self.copy("base", registry, repo, tag)

    def push_index(self, registry, repo, tag, markers):
        """A multi-architecture image. markers={"amd64": "a", "arm64": "b"}; the index's digest.
        All architectures hold the same busybox: only this machine's is ever run."""
        entries = []
        for architecture, marker in markers.items():
            layout_tag = self.build(marker)
            run("umoci", "config", "--image", f"{self.layout}:{layout_tag}", "--architecture", architecture)
            digest = self.copy(layout_tag, registry, repo, f"{tag}-{architecture}")
            body, media_type = registry.manifest(repo, digest)
            assert media_type == MANIFEST and digest == "sha256:" + hashlib.sha256(body).hexdigest()
            entries.append({"mediaType": MANIFEST, "digest": digest, "size": len(body),
                            "platform": {"os": "linux", "architecture": architecture}})
        index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
        return registry.put_manifest(repo, tag, index, INDEX)

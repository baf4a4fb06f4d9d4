# SPDX-License-Identifier: Apache-2.0
"""Images made in memory, as large as a test wants them: the same arguments give the same bytes. They
are pulled and unpacked, never run."""
import functools
import gzip
import hashlib
import io
import json
import platform
import random
import tarfile

from .images import ARCHITECTURES
from .registry import MANIFEST

CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def digest_of(body):
    return "sha256:" + hashlib.sha256(body).hexdigest()


def tar_of(name, body):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(body)
        archive.addfile(member, io.BytesIO(body))
    return out.getvalue()


@functools.lru_cache(64)
def layer(marker, size):
    """(compressed, digest of the uncompressed): a file of so many bytes that cannot be compressed."""
    plain = tar_of("content", random.Random(f"{marker} {size}").randbytes(size))
    return gzip.compress(plain, 1, mtime=0), digest_of(plain)


class Content:
    """An image. sizes: of its layers, in bytes; shared: layers of other images to go below its own, as
    layer() makes them."""

    def __init__(self, marker, sizes=(2000,), shared=()):
        self.marker = marker
        layers = [*shared, *(layer(f"{marker} {number}", size) for number, size in enumerate(sizes))]
        config = json.dumps({
            "architecture": ARCHITECTURES[platform.machine()], "os": "linux", "config": {"Labels": {"marker": marker}},
            "rootfs": {"type": "layers", "diff_ids": [diff_id for _, diff_id in layers]}}).encode()
        self.id = digest_of(config)  # what CRI calls the image
        self.layers = [digest_of(body) for body, _ in layers]
        self.blobs = {digest_of(body): body for body in (config, *(body for body, _ in layers))}
        described = [{"mediaType": LAYER, "digest": name, "size": len(self.blobs[name])} for name in self.layers]
        self.manifest = json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST, "layers": described,
            "config": {"mediaType": CONFIG, "digest": self.id, "size": len(config)}}).encode()
        self.digest = digest_of(self.manifest)

    def push(self, registry, repo, tag):
        """Into a Registry or a FakeRegistry; the manifest's digest."""
        for body in self.blobs.values():
            if hasattr(registry, "admin"):  # a FakeRegistry has one heap for all repositories
                registry.put_blob(body)
            else:
                registry.put_blob(repo, body)
        return registry.put_manifest(repo, tag, self.manifest, MANIFEST)

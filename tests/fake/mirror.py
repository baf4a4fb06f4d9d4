# SPDX-License-Identifier: Apache-2.0
"""Mirrors in a Python test: a FakeRegistry whose further ports are the mirrors, each with its own fault.

    with FakeMirrors() as upstream:
        image = upstream.mirrored_image("team/app", "stable", "v1")
        first, second = upstream.open_ports(2)
        upstream.set_state(first, "drop")
        upstream.add_rule(port=second, path=image.big, after_bytes=100000, hang_up=True, name="cut")
"""
import collections
import gzip
import http.client
import json
import platform
import random

from tests.fake.registry_client import ARCHITECTURES, CONFIG, INDEX, LAYER, MANIFEST, FakeRegistry, layer_of, sha256

Image = collections.namedtuple("Image", "index manifest config small big")


class FakeMirrors(FakeRegistry):
    """A FakeRegistry as upstream, with ports that are its mirrors."""

    def open_ports(self, count, tls=None):
        """Opens so many ports; tls=(certificate, key). Their numbers."""
        return self.admin("POST", "ports", {"count": count, "tls": tls})["ports"]

    def set_state(self, port, state):
        """"open", "refuse" or "drop"."""
        self.admin("PUT", f"ports/{port}", {"state": state})

    def delete_rules(self, name):
        """All rules of the name."""
        self.admin("DELETE", f"rules/{name}")

    def mirrored_image(self, repo, tag, marker, big=None, big_bytes=1 << 20):
        """Stores an index with one image for this machine, of a small layer with the file /marker and a
        big one of noise (or `big`, what noise() gave). Its digests."""
        big = big or noise(marker, big_bytes)
        tars = [layer_of({"marker": marker.encode() + b"\n", "more": random.Random(marker).randbytes(3000)}), big[0]]
        layers = [gzip.compress(tars[0], mtime=0), big[1]]
        architecture = ARCHITECTURES[platform.machine()]
        config = json.dumps({
            "architecture": architecture, "os": "linux", "config": {"Labels": {"marker": marker}},
            "rootfs": {"type": "layers", "diff_ids": [sha256(tar) for tar in tars]}}).encode()
        blobs = [{"mediaType": kind, "digest": self.put_blob(body), "size": len(body)}
                 for kind, body in ((CONFIG, config), (LAYER, layers[0]), (LAYER, layers[1]))]
        manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": blobs[0],
                               "layers": blobs[1:]}).encode()
        digest = self.put_manifest(repo, sha256(manifest), manifest)
        index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [{
            "mediaType": MANIFEST, "digest": digest, "size": len(manifest),
            "platform": {"os": "linux", "architecture": architecture}}]}).encode()
        return Image(self.put_manifest(repo, tag, index, INDEX), digest, *(blob["digest"] for blob in blobs))

    def copy(self, repo, reference, registry):
        """Pushes an image of ours, by tag or digest, to another registry: a harness Registry."""
        body, media_type = self.get(f"{repo}/manifests/{reference}")
        manifest = json.loads(body)
        for entry in manifest.get("manifests", []):
            self.copy(repo, entry["digest"], registry)
        for entry in [manifest["config"], *manifest["layers"]] if "config" in manifest else []:
            registry.put_blob(repo, self.get(f"{repo}/blobs/{entry['digest']}")[0])
        registry.put_manifest(repo, reference, body, media_type)

    def get(self, path):
        """(body, media type) of what is below /v2/."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", f"/v2/{path}")
            answer = connection.getresponse()
            return answer.read(), answer.headers["Content-Type"]
        finally:
            connection.close()


def noise(seed, size):
    """A layer that does not compress: (tar, compressed)."""
    tar = layer_of({"noise": random.Random(f"noise {seed}").randbytes(size)})
    return tar, gzip.compress(tar, 1, mtime=0)

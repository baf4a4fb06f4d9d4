# SPDX-License-Identifier: Apache-2.0
"""The processes that make a history: `python3 -m tests.integration.history_worker JOB` (JSON).

{"role": "move", "registry": URL, "repository", "tag", "first": n, "pause_ms", "layer_bytes"}
    moves the tag from image to image for as long as it lives;
{"role": "pull", "daemon": socket, "containerd": socket, "image", "threads", "pulls"}
    pulls until so many pulls were answered OK.

Each prints one JSON object a line: {"move"|"pull"|"failed": ..., "start", "end", ...}, times in
nanoseconds of CLOCK_MONOTONIC. A value is the manifest's digest for a move, the image ID for a pull;
a move tells both.
"""
import gzip
import hashlib
import http.client
import io
import json
import random
import sys
import tarfile
import threading
import time
import urllib.parse

import grpc

from tests.integration.harness.cri import OPTIONS, Cri
from tests.integration.harness.registry import MANIFEST
from tests.integration.harness.wire import decode, encode

CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
IMAGES_GET = "/containerd.services.images.v1.Images/Get"
FAILED_PAUSE_S = 0.02  # kubelet, too, does not come back at once
DEADLINE_S = 60


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tell(**event):
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


# --- images of a few hundred bytes ---------------------------------------------------------------

def layer_of(body):
    """(compressed, digest of the uncompressed) of a layer with one file."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        entry = tarfile.TarInfo("marker")
        entry.size = len(body)
        tar.addfile(entry, io.BytesIO(body))
    return gzip.compress(plain.getvalue(), 1, mtime=0), digest_of(plain.getvalue())


def tiny_layer():
    return layer_of(b"tiny\n")


def tiny_image(number, layer, diff_id):
    """(configuration, manifest) of the image with this number and this layer."""
    config = json.dumps({
        "architecture": "amd64", "os": "linux", "config": {"Labels": {"number": str(number)}},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    }).encode()
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": digest_of(config), "size": len(config)},
        "layers": [{"mediaType": LAYER, "digest": digest_of(layer), "size": len(layer)}],
    }).encode()
    return config, manifest


class Pusher:
    """One connection to a registry that anybody may write to."""

    def __init__(self, url, repository):
        self.connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=DEADLINE_S)
        self.base = f"/v2/{repository}"

    def call(self, wanted, method, path, body=None, content_type="application/octet-stream"):
        self.connection.request(method, path, body, {"Content-Type": content_type})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != wanted:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:200]}")
        return answer.headers

    def blob(self, data):
        target = self.call(202, "POST", f"{self.base}/blobs/uploads/")["Location"]
        target += ("&" if "?" in target else "?") + urllib.parse.urlencode({"digest": digest_of(data)})
        self.call(201, "PUT", target, data)

    def manifest(self, reference, data):
        self.call(201, "PUT", f"{self.base}/manifests/{reference}", data, MANIFEST)


def move(job):
    layer, diff_id = tiny_layer()
    pusher = Pusher(job["registry"], job["repository"])
    pusher.blob(layer)
    number, layer_bytes = job.get("first", 0), job.get("layer_bytes", 0)
    while True:
        if layer_bytes:
            layer, diff_id = layer_of(random.Random(number).randbytes(layer_bytes))
            pusher.blob(layer)
        config, manifest = tiny_image(number, layer, diff_id)
        pusher.blob(config)
        pusher.manifest(digest_of(manifest), manifest)
        start = time.monotonic_ns()
        pusher.manifest(job["tag"], manifest)
        tell(move=number, start=start, end=time.monotonic_ns(), digest=digest_of(manifest), id=digest_of(config))
        number += 1
        time.sleep(job["pause_ms"] / 1000)


# --- pulls ---------------------------------------------------------------------------------------

class Puller:
    def __init__(self, job):
        self.job, self.left, self.lock = job, job["pulls"], threading.Lock()
        self.store = grpc.insecure_channel(f"unix://{job['containerd']}", OPTIONS)

    def take(self):
        """False: none is left now. Whoever has one may still give it back."""
        with self.lock:
            if self.left == 0:
                return False
            self.left -= 1
            return True

    def give_back(self):
        with self.lock:
            self.left += 1

    def read_tag(self):
        """What the tag is in containerd, however long containerd takes to be back."""
        get = self.store.unary_unary(IMAGES_GET)
        while True:
            start = time.monotonic_ns()
            try:
                answer = decode(get(encode([(1, self.job["image"])]), wait_for_ready=True, timeout=DEADLINE_S,
                                    metadata=[("containerd-namespace", "k8s.io")]))
                digest = answer.message(1).message(3).text(2)
            except grpc.RpcError as error:
                if error.code() == grpc.StatusCode.UNAVAILABLE:
                    continue
                if error.code() != grpc.StatusCode.NOT_FOUND:
                    raise
                digest = None
            return {"digest": digest, "start": start, "end": time.monotonic_ns()}

    def pull(self, method, request):
        start = time.monotonic_ns()
        try:
            answer = method(request, wait_for_ready=True, timeout=DEADLINE_S)
        except grpc.RpcError as error:
            self.give_back()
            tell(failed=error.code().name, why=error.details(), start=start, end=time.monotonic_ns())
            time.sleep(FAILED_PAUSE_S)
            return
        end = time.monotonic_ns()
        tell(pull=decode(answer).text(1), start=start, end=end, after=self.read_tag())

    def run(self):
        with Cri(self.job["daemon"], authority="localhost") as cri:
            method = cri.method("/runtime.v1.ImageService/PullImage")
            request = cri.pull_request(self.job["image"])
            while self.take():
                self.pull(method, request)


def pull(job):
    puller = Puller(job)
    threads = [threading.Thread(target=puller.run) for _ in range(job["threads"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    chosen = json.loads(sys.argv[1])
    {"move": move, "pull": pull}[chosen["role"]](chosen)

# SPDX-License-Identifier: Apache-2.0
"""Kubelet's half of the image service: the calls that it makes, in the order in which it makes them.

As a library: Kubelet. As a process of its own, which a test can kill in the middle of a pull as a
restarted kubelet dies: `python3 -m tests.fake.kubelet` reads one JSON job from standard input (see
main) and prints a line when it has dialled, one when the pull is answered.
(kubernetes: pkg/kubelet/images/image_manager.go, pkg/kubelet/kuberuntime/kuberuntime_image.go,
staging/src/k8s.io/cri-client/pkg/remote_image.go)
"""

import json
import sys

import grpc

from tests.fake import cri_wire as wire

MAX_MESSAGE_BYTES = 16 << 20
CALL_TIMEOUT_S = 120  # kubelet's for all calls but PullImage, which has none


class KubeletError(Exception):
    """What kubelet itself would refuse in a formally good answer."""


def channel(socket, authority="localhost"):
    """Kubelet >= 1.31 dials with the authority "localhost", older ones with the socket's path."""
    return grpc.insecure_channel(f"unix:{socket}", options=[
        ("grpc.default_authority", authority),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", 1 << 20),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
    ])


def with_default_tag(image):
    """Kubelet adds :latest when there is neither tag nor digest, and changes nothing else."""
    last = image.rsplit("/", 1)[-1]
    return image if "@" in image or ":" in last else f"{image}:latest"


class Kubelet:
    def __init__(self, socket, version="v1", authority="localhost"):
        self.version = version
        self.channel = channel(socket, authority)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.channel.close()

    def method(self, name):
        """The callable of one method, with bytes in and bytes out."""
        return self.channel.unary_unary(wire.cri_method(self.version, name))

    def call(self, name, request, timeout_s=CALL_TIMEOUT_S, metadata=()):
        return self.method(name)(request, timeout=timeout_s, metadata=metadata)

    def image_fs_info(self):
        """The very first call; kubelet exits when it fails. Returns the mount points."""
        answer = wire.decode(self.call("ImageFsInfo", b""))
        return [usage.message(2).text(1) for usage in answer.messages(1)]

    def list_images(self):
        answer = wire.decode(self.call("ListImages", b""))
        return [wire.cri_image(image) for image in answer.messages(1)]

    def image_status(self, image):
        """A dict, or None for an image that is not there."""
        answer = wire.decode(self.call("ImageStatus", wire.image_status_request(image)))
        message = answer.message(1)
        if message is None:
            return None
        found = wire.cri_image(message)
        if not found["id"] or not found["size"]:
            raise KubeletError(f"ImageStatus of {image}: id or size of image is not set")
        return found

    def remove_image(self, image):
        """Kubelet's garbage collection names the image by its ID."""
        self.call("RemoveImage", wire.encode((1, wire.image_spec(image))))

    def pull_request(self, image, auth=None, sandbox=None, annotations=None, runtime_handler=None):
        spec = wire.image_spec(image, annotations, runtime_handler=runtime_handler)
        return wire.pull_image_request(spec, auth, sandbox)

    def pull_image(self, image, auth=None, timeout_s=None, **more):
        """Kubelet sets no deadline; a test may, so that it fails rather than hangs."""
        answer = self.call("PullImage", self.pull_request(image, auth, **more), timeout_s)
        return self.image_ref(image, answer)

    def pull_image_future(self, image, auth=None, **more):
        return self.method("PullImage").future(self.pull_request(image, auth, **more))

    @staticmethod
    def image_ref(image, answer):
        found = wire.decode(answer).text(1)
        if not found:
            raise KubeletError(f"PullImage of {image}: imageRef of image is not set")
        return found

    def ensure_image(self, pod_image, policy="IfNotPresent", credentials=(), verified=True,
                     timeout_s=CALL_TIMEOUT_S, **more):
        """What kubelet does before it creates a container. `verified` is what its pull records say:
        False makes it pull an image that is present, to check the pod's credentials (KEP-2535).
        Returns the image_ref that CreateContainer would get."""
        image = with_default_tag(pod_image)
        if policy != "Always":
            present = self.image_status(image)
            if present and verified:
                return present["id"]
            if policy == "Never":
                raise KubeletError(f"ErrImageNeverPull: {image}")
        image_ref = self.pull_with_each(image, credentials, timeout_s, **more)
        self.image_status(image)  # for the size, best effort
        user = self.image_status(pod_image)  # getImageUser; nil would silently mean uid 0
        if user is None:
            raise KubeletError(f"ImageStatus of {pod_image} after its pull: not there")
        if user["id"] != image_ref or self.image_status(image_ref) is None:
            raise KubeletError(f"{pod_image} was pulled as {image_ref} and is {user['id']}")
        return image_ref

    def pull_with_each(self, image, credentials, timeout_s, **more):
        """One PullImage a candidate, until one succeeds; the last failure is what counts."""
        failure = None
        for auth in credentials or (None,):
            try:
                return self.pull_image(image, auth, timeout_s, **more)
            except grpc.RpcError as error:
                failure = error
        raise failure


def main():
    """Job: {"socket", "image", and optionally "auth", "version", "authority"}."""
    job = json.load(sys.stdin)
    with Kubelet(job["socket"], job.get("version", "v1"), job.get("authority", "localhost")) as kubelet:
        kubelet.image_fs_info()
        print("dialled", flush=True)
        try:
            print("pulled", kubelet.pull_image(job["image"], job.get("auth")), flush=True)
        except grpc.RpcError as error:
            print("failed", error.code().name, error.details(), flush=True)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

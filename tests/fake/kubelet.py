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

from tests.integration.harness.cri import Cri, auth_config
from tests.integration.harness.wire import encode

CALL_TIMEOUT_S = 120  # kubelet's for all calls but PullImage, which has none


class KubeletError(Exception):
    """What kubelet itself would refuse in a formally good answer."""


def authorities(socket):
    """The :authority of kubelet >= 1.31, and of older ones: the socket's path."""
    return "localhost", str(socket)


def with_default_tag(image):
    """Kubelet adds :latest when there is neither tag nor digest, and changes nothing else."""
    return image if "@" in image or ":" in image.rsplit("/", 1)[-1] else f"{image}:latest"


def sandbox_config(name, uid, annotations=None, labels=None):
    """PodSandboxConfig as kubelet sends it along with a pull."""
    metadata = [(1, name), (2, uid), (3, "default")]
    return encode([(1, metadata), (2, f"{name}-host"), (3, f"/var/log/pods/{uid}"), (6, labels), (7, annotations)])


class Kubelet(Cri):
    """Credentials are dicts by AuthConfig's field names, or None for no AuthConfig at all."""

    def __init__(self, socket, version="v1", authority="localhost", timeout_s=CALL_TIMEOUT_S):
        super().__init__(socket, version, authority, timeout_s)

    def image_status(self, image):
        found = super().image_status(image)
        if found is not None and not (found.id and found.size):
            raise KubeletError(f"ImageStatus of {image}: id or size of image is not set")
        return found

    def pull_image(self, image, credentials=None, **more):
        """Kubelet sets no deadline here; timeout_s only keeps a test from hanging."""
        image_ref = self.pull(image, None if credentials is None else auth_config(**credentials), **more)
        if not image_ref:
            raise KubeletError(f"PullImage of {image}: imageRef of image is not set")
        return image_ref

    def pull_with_each(self, image, candidates, **more):
        """One PullImage a candidate, until one succeeds; the last failure is what counts."""
        failure = None
        for credentials in candidates or (None,):
            try:
                return self.pull_image(image, credentials, **more)
            except grpc.RpcError as error:
                failure = error
        raise failure

    def ensure_image(self, pod_image, policy="IfNotPresent", candidates=(), verified=True, **more):
        """What kubelet does before it creates a container. `verified` is what its pull records say:
        False makes it pull an image that is present, to check the pod's credentials (KEP-2535).
        Returns the image_ref that CreateContainer would get."""
        image = with_default_tag(pod_image)
        if policy != "Always":
            present = self.image_status(image)
            if present and verified:
                return present.id
            if policy == "Never":
                raise KubeletError(f"ErrImageNeverPull: {image}")
        image_ref = self.pull_with_each(image, candidates, **more)
        self.image_status(image)  # for the size, best effort
        user = self.image_status(pod_image)  # getImageUser; nil would silently mean uid 0
        if user is None:
            raise KubeletError(f"ImageStatus of {pod_image} after its pull: not there")
        if user.id != image_ref or self.image_status(image_ref) is None:
            raise KubeletError(f"{pod_image} was pulled as {image_ref} and is {user.id}")
        return image_ref


def main():
    """Job: {"socket", "image", and optionally "credentials", "version", "authority"}."""
    job = json.load(sys.stdin)
    with Kubelet(job["socket"], job.get("version", "v1"), job.get("authority", "localhost")) as kubelet:
        kubelet.image_fs_info()
        print("dialled", flush=True)
        try:
            print("pulled", kubelet.pull_image(job["image"], job.get("credentials")), flush=True)
        except grpc.RpcError as error:
            print("failed", error.code().name, error.details(), flush=True)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

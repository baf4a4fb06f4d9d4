# SPDX-License-Identifier: Apache-2.0
"""What stands in kubelet's place on a node that systemd runs: it reads kubelet's flags, configuration and
drop-ins as kubelet does, asks the image service that they name as kubelet does first of all, ends if that
fails, and tells systemd that it is ready. It runs no pods: a kubelet needs a cluster.

    python3 -m tests.fake.kubelet_service --config=FILE --config-dir=FOLDER [--image-service-endpoint=SOCKET]
"""
import argparse
import ctypes
import os
import pathlib
import signal
import socket
import sys

import grpc
import yaml

from tests.integration.harness.cri import Cri

PR_SET_NAME = 15


def settings(arguments):
    """The file, its drop-ins by name over it, flags above both."""
    found = {}
    drop_ins = sorted(pathlib.Path(arguments.config_dir).glob("*.conf"))
    for path in (pathlib.Path(arguments.config), *drop_ins):
        document = yaml.safe_load(path.read_text())
        if document.get("kind") != "KubeletConfiguration":
            sys.exit(f"kubelet: {path}: no KubeletConfiguration")
        found.update(document)
    if arguments.image_service_endpoint:
        found["imageServiceEndpoint"] = arguments.image_service_endpoint
    return found


def image_endpoint(found):
    return found.get("imageServiceEndpoint") or found["containerRuntimeEndpoint"]


def notify(message):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
        to.connect(os.environ["NOTIFY_SOCKET"].replace("@", "\0", 1))
        to.send(message.encode())


def main():
    ctypes.CDLL(None).prctl(PR_SET_NAME, b"kubelet")
    parser = argparse.ArgumentParser()
    for flag in ("--config", "--config-dir", "--image-service-endpoint", "--node-ip"):
        parser.add_argument(flag)
    endpoint = image_endpoint(settings(parser.parse_args()))
    try:
        with Cri(endpoint.removeprefix("unix://")) as cri:
            cri.call("/runtime.v1.ImageService/ImageFsInfo", timeout_s=120)
    except grpc.RpcError as error:
        sys.exit(f"kubelet: the image service at {endpoint} does not answer: {error.details()}")
    print(f"kubelet: images are asked of {endpoint}", flush=True)
    notify("READY=1")
    signal.pause()


if __name__ == "__main__":
    main()

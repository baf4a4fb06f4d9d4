# SPDX-License-Identifier: Apache-2.0
"""For the tests of the proxy: the scripted backend as a process, and calls of all four kinds."""
import json
import socket
import sys
import threading

import grpc

from tests.integration.harness import Cri, Process, wait_until
from tests.integration.harness.parts import accepts, environment

VERSION = "/runtime.v1.RuntimeService/Version"


class Backend:
    """tests/fake/cri.py at a socket. Calls that carry x-key metadata are followed by that key."""

    def __init__(self, folder, name="backend", images=0):
        self.socket = folder.sub(name) / "b.sock"
        self.process = Process(folder, name, [sys.executable, "-m", "tests.fake.cri", self.socket, images],
                               environment(PYTHONPATH=":".join(sys.path)))
        self.client = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()

    def start(self):
        self.process.start()
        self.process.wait_ready(lambda: accepts(self.socket))
        self.client = Cri(self.socket)
        return self

    def kill(self):
        if self.client is not None:
            self.client.channel.close()
        self.process.kill()

    def control(self, **what):
        return json.loads(self.client.call("/fake/Control", json.dumps(what).encode()))

    def events(self, key):
        return self.control().get(key, [])

    def wait(self, key, *events):
        """Until exactly these things have happened to the key's calls."""
        wait_until(lambda: self.events(key) == list(events), f"{key}: {self.events(key)}, not {events}")


class Caller(Cri):
    """Calls of every kind through one socket, bytes in and bytes out."""

    def json(self, path, metadata=None, timeout_s=None, **request):
        return json.loads(self.call(path, json.dumps(request).encode(), metadata, timeout_s))

    def with_call(self, path, request=b"", **more):
        """(answer, call), or (RpcError, RpcError)."""
        try:
            return self.method(path).with_call(request, **{"timeout": 60, **more})
        except grpc.RpcError as error:
            return error, error

    def outcome(self, path, request=b"", **more):
        """(code, message, trailing metadata) of a unary call, without what gRPC adds by itself."""
        _, call = self.with_call(path, request, **more)
        return call.code(), call.details(), sorted(tuple(item) for item in call.trailing_metadata())

    def unary(self, path, request=b"", key=None, timeout_s=60):
        """A call under way, followed by its key."""
        return self.method(path).future(request, timeout=timeout_s, metadata=followed(key))

    def stream(self, path, request=b"", key=None, timeout_s=60, metadata=()):
        return self.method(path, stream=True)(request, timeout=timeout_s, metadata=followed(key) + tuple(metadata))

    def client_stream(self, path, requests, key=None):
        return self.channel.stream_unary(path).future(requests, timeout=60, metadata=followed(key))

    def both_ways(self, path, requests, key=None):
        return self.channel.stream_stream(path)(requests, timeout=60, metadata=followed(key))


class FrameRecorder:
    """A backend that answers nothing and notes which HTTP/2 streams were ended by their sender
    (END_STREAM on DATA): what gRPC servers in Python do not tell from a cancellation."""

    def __init__(self, folder):
        self.socket, self.ended = folder.sub("recorder") / "b.sock", []
        self.listener = socket.socket(socket.AF_UNIX)

    def __enter__(self):
        self.listener.bind(str(self.socket))
        self.listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self):
        try:
            while True:
                connection = self.listener.accept()[0]
                threading.Thread(target=self._read, args=(connection,), daemon=True).start()
        except OSError:
            pass

    def _read(self, connection):
        with connection, connection.makefile("rb") as stream:
            connection.sendall(b"\0\0\0\x04\0\0\0\0\0")
            stream.read(24)
            while len(head := stream.read(9)) == 9:
                length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
                stream.read(length)
                if kind == 0 and flags & 1:
                    self.ended.append(int.from_bytes(head[5:], "big"))


def followed(key):
    return (("x-key", key),) if key else ()


def hold(key):
    return json.dumps({"key": key}).encode()

# SPDX-License-Identifier: Apache-2.0
"""A runtime's side of an NRI socket, played by a test, for what containerd does not do: it says wrong
things, falls silent, goes away in the middle. One connection after the other; every wait has an end.

    with NriRuntime(path) as runtime:
        plugin = runtime.accept()           # connected and registered
        plugin.call("Configure", [(2, "containerd"), (3, "v9")])    # -> the answer, decoded
        plugin.send(frame(1, message(3, 1, b"nonsense")))
        plugin.ended()                      # the plugin has closed the connection

The frames are those of containerd/nri (pkg/net/multiplex) and containerd/ttrpc (PROTOCOL.md)."""
import pathlib
import socket
import struct

from tests.integration.harness.wire import decode, encode

PLUGIN, RUNTIME = 1, 2  # logical connections: the services that run on them
REQUEST, RESPONSE = 1, 2
SERVICES = {PLUGIN: "nri.pkg.api.v1alpha1.Plugin", RUNTIME: "nri.pkg.api.v1alpha1.Runtime"}
FRAME_MAX_BYTES = 4096  # of a payload: a real runtime gives up a plugin that sends more
PATIENCE_S = 20


def frame(connection, payload):
    return struct.pack(">II", connection, len(payload)) + payload


def message(stream, kind, data, flags=0, length=None):
    return struct.pack(">IIBB", len(data) if length is None else length, stream, kind, flags) + data


def request(stream, method, payload, service=SERVICES[PLUGIN]):
    return message(stream, REQUEST, encode([(1, service), (2, method), (3, payload)]))


class Refusal(Exception):
    """The status of an answer that is none."""

    def __init__(self, code, text):
        super().__init__(f"{text} ({code})")
        self.code, self.text = code, text


class NriRuntime:
    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.connections = []

    def __enter__(self):
        self.path.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen()
        self.listener.settimeout(PATIENCE_S)
        return self

    def __exit__(self, *_):
        for connection in self.connections:
            connection.close()
        self.listener.close()
        self.path.unlink()

    def connect(self):
        """The next connection, of which nothing has been read."""
        plugin = Plugin(self.listener.accept()[0])
        self.connections.append(plugin)
        return plugin

    def accept(self):
        """The next connection, registered as a real runtime does."""
        plugin = self.connect()
        plugin.register()
        return plugin

    def synchronized(self, pods=(), containers=()):
        """The next connection, ready for events."""
        plugin = self.accept()
        plugin.configure()
        plugin.call("Synchronize", [(1, pod) for pod in pods] + [(2, container) for container in containers])
        return plugin


class Plugin:
    """One connection of a plugin."""

    def __init__(self, connection):
        self.connection = connection
        self.connection.settimeout(PATIENCE_S)
        self.parts = {PLUGIN: b"", RUNTIME: b""}
        self.stream = -1
        self.registration = None

    def close(self):
        self.connection.close()

    def send(self, data):
        self.connection.sendall(data)

    def _exactly(self, size):
        data = b""
        while len(data) < size:
            more = self.connection.recv(size - len(data))
            if not more:
                raise EOFError("the plugin has closed the connection")
            data += more
        return data

    def receive(self):
        """The next whole message: (connection, stream, kind, data)."""
        while True:
            for which, part in self.parts.items():
                if len(part) >= 10:
                    length, stream, kind, _ = struct.unpack(">IIBB", part[:10])
                    if len(part) >= 10 + length:
                        self.parts[which] = part[10 + length:]
                        return which, stream, kind, part[10:10 + length]
            which, size = struct.unpack(">II", self._exactly(8))
            assert size <= FRAME_MAX_BYTES, f"a frame of {size} bytes"
            self.parts[which] += self._exactly(size)

    def register(self, status=None):
        which, stream, kind, data = self.receive()
        said = decode(data)
        assert (which, stream % 2, kind) == (RUNTIME, 1, REQUEST), (which, stream, kind)
        assert (said.text(1), said.text(2)) == (SERVICES[RUNTIME], "RegisterPlugin"), said
        self.registration = said.message(3)
        self.send(frame(RUNTIME, message(stream, RESPONSE, encode([(1, status), (2, b"")]))))

    def ask(self, method, fields, service=SERVICES[PLUGIN]):
        """Sends a request in one frame; its stream."""
        self.stream += 2
        self.send(frame(PLUGIN, request(self.stream, method, encode(fields), service)))
        return self.stream

    def answer(self, stream):
        """The answer that must come next."""
        got = self.receive()
        assert got[:3] == (PLUGIN, stream, RESPONSE), got
        said = decode(got[3])
        status = said.message(1)
        if status is not None and status.number(1):
            raise Refusal(status.number(1), status.text(2))
        return decode(said[2][0] if 2 in said else b"")

    def call(self, method, fields=(), service=SERVICES[PLUGIN]):
        return self.answer(self.ask(method, fields, service))

    def configure(self):
        return self.call("Configure", [(1, "{}"), (2, "containerd"), (3, "v9.9"), (4, 5000), (5, 2000), (6, "v0.99")])

    def ended(self):
        """Waits for the end of the connection; what came before is dropped."""
        try:
            while self.connection.recv(65536):
                pass
        except ConnectionResetError:
            pass  # it closed with bytes of ours unread

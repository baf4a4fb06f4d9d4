# SPDX-License-Identifier: Apache-2.0
"""The ports of the fake registry, and what can be wrong with one below HTTP. See "PORTS" in registry.py."""
import ctypes
import socket
import socketserver
import ssl
import struct
import sys
import threading

FIRST_PORT = 20001  # below the kernel's own choices: a port that refuses must not be given away
SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27
NOTHING = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))  # BPF: let no byte of any packet in


def drop_packets(connection):
    """Nothing that the other side sends arrives any more; a listening socket sees no SYN."""
    connection.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(NOTHING)))


def server_context(certificate, key, client_ca=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["http/1.1"])
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    return context


class Port(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """One listening socket with its connections."""
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 1024
    asks_for_credentials = False

    def __init__(self, port, handler, context):
        self.lock, self.connections, self.state = threading.Lock(), {}, "open"
        self.listens = threading.Event()
        self.listens.set()
        super().__init__(("127.0.0.1", port), handler)
        self.port, self.context = self.server_address[1], context

    def process_request(self, request, client_address):
        with self.lock:  # a descriptor of our own: TLS takes the one of `request` away
            self.connections[request] = request.dup()
            self._treat(self.connections[request])
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        with self.lock:
            self.connections.pop(request).close()
        super().shutdown_request(request)

    def _treat(self, connection):
        if self.state == "drop":
            drop_packets(connection)
        elif self.state == "refuse":
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the other side was faster

    def become(self, state, spared=None):
        """Takes the state; the connection `spared` is left alone by "refuse", for a last answer."""
        if state not in ("open", "refuse", "drop"):
            raise ValueError(f"no such state: {state}")
        with self.lock:
            before, self.state = self.state, state
            if state == "refuse":
                self.listens.clear()
            if before == "refuse":
                self.socket.listen(self.request_queue_size)
            elif before == "drop":
                self.socket.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
            self._treat(self.socket)
            for request, connection in self.connections.items():
                if not (request is spared and state == "refuse"):
                    self._treat(connection)
            if state == "open":
                self.listens.set()

    def accept_for_ever(self):
        """A blocking accept instead of serve_forever: hundreds of ports would poll in vain."""
        while True:
            self.listens.wait()
            try:
                request, address = self.socket.accept()
            except OSError:
                continue  # it refuses now
            self.process_request(request, address)

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):  # clients that leave are nothing to report
            super().handle_error(request, client_address)


class Ports:
    """The further ports of `main`, a Port with all that a handler of requests needs."""

    def __init__(self, main):
        self.main, self.lock, self.next, self.ports = main, threading.Lock(), FIRST_PORT, {}

    def open(self, count, tls):
        """So many more; tls: [certificate, key]. Their numbers."""
        context = server_context(*tls) if tls else None
        with self.lock:
            return [self._open_one(context) for _ in range(count)]

    def _open_one(self, context):
        while True:
            self.next += 1
            try:
                port = Port(self.next - 1, self.main.RequestHandlerClass, context)
                break
            except OSError:
                continue  # somebody has it
        for name in ("book", "content", "auth", "admin", "connect_port"):
            setattr(port, name, getattr(self.main, name))
        self.ports[port.port] = port
        threading.Thread(target=port.accept_for_ever, daemon=True).start()
        return port.port

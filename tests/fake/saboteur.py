# SPDX-License-Identifier: Apache-2.0
"""TCP lines on which the k-th step fails: a fault point for every connection, send and receive.

    with Saboteur(registry.port, mirror.port) as saboteur:     # saboteur.urls: one for each, in order
        saboteur.arm(7, "cut")
        ...                                                    # whatever uses the lines
        saboteur.steps                                         # how many there were: fewer than 7, and none failed

A step is a connection, or a piece of bytes in either direction. Of the piece that fails, the first half
still goes through. "cut" ends the connection, "reset" does so with a RST, "silence" leaves it open and
carries nothing any more. All lines count together; only one step fails."""
import socket
import struct
import threading

MODES = ("cut", "reset", "silence")
RESET = struct.pack("ii", 1, 0)  # SO_LINGER


class Saboteur:
    def __init__(self, *target_ports):
        self.lock, self.open = threading.Lock(), set()
        self.steps, self.failing, self.mode = 0, 0, "cut"
        self.listeners = [socket.create_server(("127.0.0.1", 0), backlog=128) for _ in target_ports]
        self.urls = [f"http://127.0.0.1:{listener.getsockname()[1]}" for listener in self.listeners]
        self.acceptors = [threading.Thread(target=self._accept, args=pair, daemon=True)
                          for pair in zip(self.listeners, target_ports)]

    def __enter__(self):
        for acceptor in self.acceptors:
            acceptor.start()
        return self

    def __exit__(self, *_):
        self.arm(0, "cut")
        for listener, acceptor in zip(self.listeners, self.acceptors):
            self._end(listener)
            acceptor.join()
            listener.close()

    def arm(self, failing, mode):
        """Ends all connections, and counts from 0; the step of this number fails (0: none)."""
        with self.lock:
            self.steps, self.failing, self.mode = 0, failing, mode
            victims = list(self.open)
        for connection in victims:
            self._end(connection)

    def _fails(self):
        """Counts a step."""
        with self.lock:
            self.steps += 1
            return self.steps == self.failing

    @staticmethod
    def _end(connection):
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other side was faster

    def _accept(self, listener, target_port):
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near, target_port), daemon=True).start()

    def _serve(self, near, target_port):
        far = socket.create_connection(("127.0.0.1", target_port))
        with near, far:
            with self.lock:
                self.open |= {near, far}
            try:
                self._carry(near, far)
            finally:
                with self.lock:
                    self.open -= {near, far}

    def _carry(self, near, far):
        silent = threading.Event()
        if self._fails():
            silent.set()
            if self.mode != "silence":
                self._break(near, far)
        back = threading.Thread(target=self._copy, args=(far, near, silent), daemon=True)
        back.start()
        self._copy(near, far, silent)
        back.join()

    def _break(self, near, far):
        """Both ways end; with "reset" it is the closing, soon, that says so."""
        for connection in (near, far):
            if self.mode == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                connection.shutdown(socket.SHUT_RD)  # wakes who reads, and sends nothing
            else:
                self._end(connection)

    def _copy(self, source, target, silent):
        """One way. Silence has to be read on, or the sender would notice by a full buffer."""
        try:
            while data := source.recv(16384):
                if silent.is_set():
                    continue
                if self._fails():
                    target.sendall(data[:len(data) // 2])
                    silent.set()
                    if self.mode != "silence":
                        self._break(source, target)
                    continue
                target.sendall(data)
        except OSError:
            pass  # one side has gone: so does the other
        if self.mode != "reset" or not silent.is_set():
            self._end(source)
            self._end(target)

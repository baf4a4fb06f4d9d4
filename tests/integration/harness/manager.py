# SPDX-License-Identifier: Apache-2.0
"""What systemd is to a service: it holds the sockets, hands them over by name, and hears what the
service says of itself."""
import os
import pathlib
import socket
import sys
import threading

from .parts import free_port, wait_until

HANDOVER = pathlib.Path(__file__).with_name("handover.py")
BACKLOG = 4096


def listening(family, address, mode=None):
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
    if mode is not None:
        os.chmod(address, mode)
    listener.listen(BACKLOG)
    return listener


class Manager:
    """For Daemon(..., manager=Manager(folder)). names: of the descriptors, in order (None: nobody named
    them); sockets: by name, made at the start and kept until the end. watchdog_s: WatchdogSec."""

    def __init__(self, folder, names=("cri", "relay", "admin"), mode=0o660, watchdog_s=None, relay_host="127.0.0.1"):
        self.home = folder.sub("manager")
        self.socket, self.admin_socket = self.home / "cri.sock", self.home / "admin.sock"
        self.relay_port, self.relay_host = free_port(), relay_host
        self.names, self.mode, self.watchdog_s = names, mode, watchdog_s
        self.listeners, self.messages = [], []
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def _listen(self, name):
        if name == "relay":
            return listening(socket.AF_INET, (self.relay_host, self.relay_port))
        path = {"cri": self.socket, None: self.socket, "admin": self.admin_socket}.get(name, self.home / f"{name}.sock")
        return listening(socket.AF_UNIX, str(path), self.mode)

    def __enter__(self):
        self.listeners = [self._listen(name) for name in self.names]
        self.notify.bind(str(self.home / "notify.sock"))
        threading.Thread(target=self._hear, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.notify.shutdown(socket.SHUT_RDWR)
        for part in (*self.listeners, self.notify):
            part.close()

    def _hear(self):
        try:
            while text := self.notify.recv(65536):
                self.messages.append(dict(line.split("=", 1) for line in text.decode().splitlines()))
        except OSError:
            pass

    @property
    def descriptors(self):
        return [listener.fileno() for listener in self.listeners]

    def command(self, words):
        return [sys.executable, "-I", HANDOVER, ",".join(map(str, self.descriptors)), *words]

    def environment(self):
        env = {"LISTEN_FDS": len(self.names), "NOTIFY_SOCKET": self.home / "notify.sock"}
        if None not in self.names:
            env["LISTEN_FDNAMES"] = ":".join(self.names)
        if self.watchdog_s:
            env["WATCHDOG_USEC"] = int(self.watchdog_s * 1e6)
        return env

    def said(self, key):
        """All values that the service has given to the key, in order."""
        return [message[key] for message in list(self.messages) if key in message]

    def wait_said(self, key, value=None, count=1):
        """Until the key was said so often (with this value); all its values."""
        def found():
            values = [said for said in self.said(key) if value in (None, said)]
            return len(values) >= count and values
        return wait_until(found, f"{key}={value or '...'} x {count}, but {self.messages[-5:]}")

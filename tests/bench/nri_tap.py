#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Stands between containerd and its NRI plugin, and writes down how long containerd waits for each answer, in
microseconds: tests/bench/nri_tap.py SOCKET CONTAINERDS_SOCKET. One connection at a time; ends with its input."""
import contextlib
import os
import select
import socket
import sys
import threading
import time

PIECE_BYTES = 65536


def carry(plugin, runtime, out):
    """Until one of them ends. The runtime asks one question at a time."""
    asked_ns = 0
    while True:
        ready, _, _ = select.select([plugin, runtime], [], [])
        for side in ready:
            data = side.recv(PIECE_BYTES)
            if not data:
                return
            now_ns = time.monotonic_ns()
            if side is runtime:
                asked_ns = asked_ns or now_ns
                plugin.sendall(data)
            else:
                runtime.sendall(data)
                if asked_ns:
                    print((now_ns - asked_ns) // 1000, file=out, flush=True)
                asked_ns = 0


def end_with_input():
    sys.stdin.read()
    os._exit(0)


def main():
    here, there = sys.argv[1:]
    threading.Thread(target=end_with_input, daemon=True).start()
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -20)  # it is not what is measured
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(here)
        listener.listen()
        while True:
            with listener.accept()[0] as plugin, socket.socket(socket.AF_UNIX) as runtime:
                runtime.connect(there)
                with contextlib.suppress(ConnectionError):
                    carry(plugin, runtime, sys.stdout)


if __name__ == "__main__":
    main()

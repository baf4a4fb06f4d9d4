# SPDX-License-Identifier: Apache-2.0
"""A network of its own, so that no packet can leave the machine whatever a test does."""
import ctypes
import fcntl
import os
import socket
import struct

CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def only_loopback():
    """Moves this process, and all that it will start, into a network namespace that has nothing but
    a loopback interface. To be called before threads are started; needs root, as containerd does."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), f"unshare: {os.strerror(ctypes.get_errno())} (run this as root)")
    with socket.socket() as control:
        name = b"lo".ljust(16, b"\0")
        flags, = struct.unpack_from("H", fcntl.ioctl(control, SIOCGIFFLAGS, name + bytes(24)), 16)
        fcntl.ioctl(control, SIOCSIFFLAGS, name + struct.pack("H22x", flags | IFF_UP))

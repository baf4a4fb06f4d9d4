# SPDX-License-Identifier: Apache-2.0
"""Becomes a program that inherits sockets, as systemd starts one: handover.py FD,FD,... PROGRAM ARGUMENT...

The program must find itself in LISTEN_PID, so this has to be done by the process that becomes it."""
import os
import sys

FIRST = 3  # SD_LISTEN_FDS_START

if __name__ == "__main__":
    given = [int(number) for number in sys.argv[1].split(",")]
    safe = [os.dup(number) for number in given]
    while min(safe) < FIRST + len(given):  # out of the way of those below
        safe = [os.dup(number) for number in safe]
    for place, number in enumerate(safe, FIRST):
        os.dup2(number, place, inheritable=True)
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.execv(sys.argv[2], sys.argv[2:])

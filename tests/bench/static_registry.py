#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A registry of files, as fast as the kernel sends them:

    static_registry.py PORT_FILE FOLDER [--stall-after BYTES] [--mbit N]

FOLDER/blobs/<digest> is any blob or manifest, of every repository; FOLDER/tags/<repository with _ for />_<tag>
holds the digest of a tag. With --stall-after, an answer of more bytes than that stops there and never goes
on; with --mbit, all answers together go no faster than a line of so many megabit/s."""
import argparse
import http.server
import os
import pathlib
import re
import threading
import time

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
ROUTE = re.compile(r"/v2/(?P<repo>.+)/(?P<kind>manifests|blobs)/(?P<reference>[^/?]+)")
RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class Line:
    """Lends itself for one piece at a time."""
    piece_bytes = 128 * 1024

    def __init__(self, mbit):
        self.bytes_per_s, self.free_at, self.lock = mbit * 1e6 / 8, 0.0, threading.Lock()

    def take(self, size):
        """Returns when the line has carried what others have put on it before."""
        with self.lock:
            now = time.monotonic()
            start = max(now, self.free_at)
            self.free_at = start + size / self.bytes_per_s
        time.sleep(start - now)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    folder, stall_after, line = None, None, None

    def find(self):
        """(path, digest) of what is asked for, or None."""
        found = ROUTE.match(self.path)
        if not found:
            return None
        digest = found["reference"]
        if ":" not in digest:
            tag = self.folder / "tags" / f"{found['repo'].replace('/', '_')}_{digest}"
            if not tag.exists():
                return None
            digest = tag.read_text()
        path = self.folder / "blobs" / digest
        return (path, digest) if path.exists() else None

    def serve(self):
        found = self.find()
        if not found:
            self.send_response_only(200 if self.path.rstrip("/") == "/v2" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path, digest = found
        with open(path, "rb") as body:
            size = os.fstat(body.fileno()).st_size
            wanted = RANGE.fullmatch(self.headers.get("Range", ""))
            first = int(wanted[1]) if wanted else 0
            last = min(int(wanted[2]), size - 1) if wanted and wanted[2] else size - 1
            self.send_response_only(206 if wanted else 200)
            if wanted:
                self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
            self.send_header("Content-Type", MANIFEST if "/manifests/" in self.path else "application/octet-stream")
            self.send_header("Docker-Content-Digest", digest)
            self.send_header("Content-Length", str(last + 1 - first))
            self.end_headers()
            if self.command == "GET":
                self.send_file(body, first, last + 1)

    do_GET = do_HEAD = serve  # pylint: disable=invalid-name

    def send_file(self, body, at, end):
        stalls = self.stall_after is not None and end - at > self.stall_after
        if stalls:
            end = at + self.stall_after
        while at < end:
            piece = end - at
            if self.line:
                piece = min(piece, self.line.piece_bytes)
                self.line.take(piece)
            at += os.sendfile(self.connection.fileno(), body.fileno(), at, piece)
        if stalls:
            self.connection.recv(1)  # until the client has had enough
            self.close_connection = True

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def handle_error(self, *_):
        """Clients leave as they like."""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("port_file", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--stall-after", type=int)
    parser.add_argument("--mbit", type=int)
    given = parser.parse_args()
    Handler.folder, Handler.stall_after = given.folder, given.stall_after
    Handler.line = Line(given.mbit) if given.mbit else None
    server = Server(("127.0.0.1", 0), Handler)
    new = given.port_file.with_name("new")
    new.write_text(str(server.server_address[1]))
    new.replace(given.port_file)
    server.serve_forever()


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""A mirror that is right most of the time. Now and then it says that it has nothing, hands out something
older, breaks off, falls silent, or gets a bit wrong. Which request meets which mood is drawn from a
deck that is shuffled with a seed: of so many requests each mood meets at least one."""
import http.client
import http.server
import random
import threading
import urllib.parse

MOODS = ("good",) * 24 + ("nothing", "error", "older", "cut", "silent", "corrupt", "hang up", "short")
KEPT = ("Content-Type", "Docker-Content-Digest", "Content-Length", "Content-Range")


class MoodyMirror:
    def __init__(self, upstream_url, seed):
        self.upstream = urllib.parse.urlsplit(upstream_url).netloc
        self.random, self.deck, self.lock = random.Random(seed), [], threading.Lock()
        self.met = dict.fromkeys(MOODS, 0)
        self.last = {}  # kind of content -> what was served last
        self.server = Server(("127.0.0.1", 0), type("Bound", (Handler,), {"mirror": self}))
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def mood(self):
        with self.lock:
            if not self.deck:
                self.deck = list(MOODS)
                self.random.shuffle(self.deck)
            mood = self.deck.pop()
            self.met[mood] += 1
            return mood

    def ask(self, method, path, headers):
        """What the upstream says: (status, headers, body)."""
        connection = http.client.HTTPConnection(self.upstream, timeout=20)
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, {name: answer.headers[name] for name in KEPT if name in answer.headers}, answer.read()
        finally:
            connection.close()

    def older(self, path, answer):
        """What was served before for a question of this kind, if anything was."""
        kind = "manifests" if "/manifests/" in path else "blobs"
        with self.lock:
            before, self.last[kind] = self.last.get(kind, answer), answer
        return before


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    mirror = None

    def serve(self):
        if self.path.rstrip("/") == "/v2":
            return self.send(200, {"Content-Length": "0"}, b"")
        mood = self.mirror.mood()
        if mood == "hang up":
            self.close_connection = True
            return None
        if mood in ("nothing", "error"):
            return self.send(404 if mood == "nothing" else 500, {"Content-Length": "0"}, b"")
        answer = self.mirror.ask(self.command, self.path, {
            name: self.headers[name] for name in ("Accept", "Range") if name in self.headers})
        before = self.mirror.older(self.path, answer)
        status, headers, body = before if mood == "older" else answer
        if mood == "corrupt" and body:
            at = len(body) // 2
            body = body[:at] + bytes([body[at] ^ 1]) + body[at + 1:]
        if mood == "short" and body:
            body = body[:-1]
            headers = {**headers, "Content-Length": str(len(body))}
        return self.send(status, headers, body, mood)

    do_GET = do_HEAD = serve  # pylint: disable=invalid-name

    def send(self, status, headers, body, mood="good"):
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        whole = mood not in ("cut", "silent")
        self.wfile.write(body if whole else body[:len(body) // 2])
        if not whole:
            self.wfile.flush()
            self.close_connection = True
        if mood == "silent":
            self.connection.recv(1)  # until the client has had enough

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def handle_error(self, *_):
        """Clients of a test come and go as they like."""

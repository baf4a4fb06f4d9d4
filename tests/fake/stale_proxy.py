# SPDX-License-Identifier: Apache-2.0
"""A broken resolve: an HTTP proxy in front of a registry that remembers answers to HEAD.

A daemon behind it is a daemon whose resolve is cached: what it learns was true once. The history
check must notice."""
import http.client
import http.server
import threading
import time
import urllib.parse

KEPT = ("Content-Type", "Docker-Content-Digest", "Content-Length", "Location", "WWW-Authenticate")


class StaleProxy:
    def __init__(self, upstream_url, keep_s):
        self.upstream = urllib.parse.urlsplit(upstream_url).netloc
        self.keep_s, self.cache, self.lock, self.hits = keep_s, {}, threading.Lock(), 0
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def ask(self, method, path, headers):
        connection = http.client.HTTPConnection(self.upstream, timeout=20)
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, [(name, answer.headers[name]) for name in KEPT if name in answer.headers], answer.read()
        finally:
            connection.close()

    def head(self, path, headers):
        with self.lock:
            known = self.cache.get(path)
            if known and time.monotonic() - known[0] < self.keep_s:
                self.hits += 1
                return known[1]
        answer = self.ask("HEAD", path, headers)
        with self.lock:
            self.cache[path] = (time.monotonic(), answer)
        return answer

    def _handler(self):
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self, status, headers, body):
                self.send_response_only(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def forwarded(self):
                return {name: value for name, value in self.headers.items() if name != "Host"}

            def do_HEAD(self):  # pylint: disable=invalid-name
                self.answer(*proxy.head(self.path, self.forwarded()))

            def do_GET(self):  # pylint: disable=invalid-name
                self.answer(*proxy.ask("GET", self.path, self.forwarded()))

            def log_message(self, *_):  # pylint: disable=arguments-differ
                pass

        return Handler

# SPDX-License-Identifier: Apache-2.0
"""An HTTP proxy in front of a registry in which requests can be held, so that a test says in which
order things happen.

    with Gate(registry.url) as gate:
        hold = gate.hold("HEAD", "/manifests/stable")          # the next such request
        hold.wait_arrived(); ...; hold.release()

A request held with decided=True was answered by the registry before it is held: what it will say is
what was true then. With decided=False the registry is asked only after the release."""
import http.client
import http.server
import socket
import threading
import urllib.parse

KEPT = ("Content-Type", "Docker-Content-Digest", "Content-Length", "Location", "WWW-Authenticate")
PATIENCE_S = 60


class Hold:
    """One or more requests that stay where they are until release()."""

    def __init__(self, method, suffix, decided, times):
        self.method, self.suffix, self.decided, self.left = method, suffix, decided, times
        self.count, self.gone = 0, 0
        self.changed, self.released = threading.Condition(), threading.Event()

    def matches(self, method, path):
        return self.left > 0 and method == self.method and path.endswith(self.suffix)

    def arrive(self):
        with self.changed:
            self.count += 1
            self.changed.notify_all()

    def _wait(self, condition, what):
        with self.changed:
            if not self.changed.wait_for(condition, PATIENCE_S):
                raise AssertionError(f"{self.method} {self.suffix}: {what} in vain; {self.count} came")

    def wait_arrived(self, count=1):
        """Until so many requests are held (decided, if asked for)."""
        self._wait(lambda: self.count >= count, f"waited for {count} requests")

    def wait_gone(self, count=1):
        """Until so many clients have closed the connection of their held request."""
        self._wait(lambda: self.gone >= count, f"waited for {count} clients to leave")

    def release(self):
        self.released.set()

    def stay(self, connection):
        """Returns when released, or when the client has gone: then False."""
        connection.settimeout(0.05)
        try:
            while not self.released.is_set():
                try:
                    if connection.recv(1, socket.MSG_PEEK) == b"":
                        break
                except TimeoutError:
                    continue
                except OSError:
                    break
            else:
                return True
        finally:
            connection.settimeout(None)
        with self.changed:
            self.gone += 1
            self.changed.notify_all()
        return False


class Gate:
    def __init__(self, upstream_url):
        self.upstream = urllib.parse.urlsplit(upstream_url).netloc
        self.holds, self.lock = [], threading.Lock()
        self.server = Server(("127.0.0.1", 0), self._handler())
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.open()
        self.server.shutdown()
        self.server.server_close()

    def hold(self, method, suffix, decided=True, times=1):
        """Holds the next so many requests whose path ends like this."""
        hold = Hold(method, suffix, decided, times)
        with self.lock:
            self.holds.append(hold)
        return hold

    def open(self):
        """Releases everything and holds nothing any more."""
        with self.lock:
            holds, self.holds = self.holds, []
        for hold in holds:
            hold.release()

    def _take(self, method, path):
        with self.lock:
            for hold in self.holds:
                if hold.matches(method, path):
                    hold.left -= 1
                    return hold
        return None

    def ask(self, method, path, headers):
        """What the registry says: (status, headers, body)."""
        connection = http.client.HTTPConnection(self.upstream, timeout=20)
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, [(name, answer.headers[name]) for name in KEPT if name in answer.headers], answer.read()
        finally:
            connection.close()

    def pass_on(self, method, path, headers, connection):
        """The answer to give, or None when the client has gone."""
        hold = self._take(method, path.partition("?")[0])
        if hold is None:
            return self.ask(method, path, headers)
        answer = self.ask(method, path, headers) if hold.decided else None
        hold.arrive()
        if not hold.stay(connection):
            return None
        return answer or self.ask(method, path, headers)

    def _handler(self):
        gate = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def serve(self):
                headers = {name: value for name, value in self.headers.items() if name != "Host"}
                answer = gate.pass_on(self.command, self.path, headers, self.connection)
                if answer is None:
                    self.close_connection = True
                    return
                status, headers, body = answer
                self.send_response_only(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_HEAD = serve  # pylint: disable=invalid-name

            def log_message(self, *_):  # pylint: disable=arguments-differ
                pass

        return Handler


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def handle_error(self, *_):
        """Clients of a test come and go as they like."""

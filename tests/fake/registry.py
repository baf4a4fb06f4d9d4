#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A registry that does what a test says: scripted faults, scripted orders, and a log of all it was asked.

    registry.py --port-file F [--port N] [--tls-cert C --tls-key K [--client-ca CA]] [--connect-port N]

Listens on 127.0.0.1, writes its port to F (atomically) when it does, and ends with its parent or on
SIGTERM. Python tests use registry_client.FakeRegistry. With a certificate it speaks TLS; connections
without TLS are then good for the admin API and for the forward proxy alone.

It is a whole registry (push, pull, Range, tag list, delete), a token endpoint at /token, and a forward
proxy: a request in absolute form is served as its own, CONNECT anything leads to 127.0.0.1:<--connect-port,
default its own port>. Both are logged with "proxied": true.

PORTS. More ports can be opened, which show the same to whoever asks: mirrors, say. Rules tell them apart by "port". The
state of one is "open", "refuse" (new connections are refused, those that stand are closed) or "drop" (no
packet to it arrives: neither a new connection's nor those of connections that stand).

ADMIN API, JSON under /_fake/; never logged, its connections not counted. 200, or 400 {"error": ...}.
  PUT    rules                   [rule, ...]     replaces all rules; POST appends; GET lists, with "used"
  DELETE rules/<name>                            all rules of that name: {"deleted": n}
  POST   ports                   {"count": N, "tls": [certificate, key] or null}: {"ports": [...]}
  PUT    ports/<port>            {"state": "open", "refuse" or "drop"}
  PUT    manifests/<repo>/<ref>  the manifest    kept with its Content-Type: {"digest": ...}
  PUT    blobs/<digest>          the blob        there for all repositories
  PUT    tags/<repo>/<tag>       {"digest": D}   moves the tag; DELETE removes it
  PUT    auth                    {regex: {...}}  see "Authentication"
  GET    tokens                  {"issued": n, "refused": n, "tokens": [...]}; DELETE revokes all
  GET    log                     [entry, ...] in order of arrival; DELETE empties it
  GET    wait?count=N            blocks until N entries match, and answers them; 408 after timeout=20 seconds.
                                 Also: path=SUBSTRING method=M state=arrived|held|answered|gone after=SEQUENCE
  POST   release                 {"name": X, "count": N (default all)}: {"released": n}
  GET    connections             {"accepted": n, "open": n}
An entry: sequence (of arrival), connection (number), port, tls, client (common name of its certificate), method,
path, query, url (absolute form or null), proxied, host, headers [[name, value], ...], body (text, of POST
only), rule (its name), held (its name while it is held), status (null until answered; set before the answer
leaves), answered (sequence), gone (the client hung up while held, or in a drip). Sequences of arrivals and answers come
from one counter: a.sequence > b.answered says that a was sent after b was answered.

RULES. The first rule that fits applies, alone, before authentication.
  Conditions, all optional: method (regex, whole), path, query, url (regex, anywhere), header {name: regex},
  port N, times N (then used up), skip N (the first N go by). name shows up in the log.
  status, headers, body (text, or JSON if no text), body_repeat N    this answer instead of the normal one
  redirect URL            307 (or status); {path} stands for path and query
  strip PREFIX            answers as if the path began after that, for a registry that is below a path
  refuse_head STATUS      answers HEAD so, leaves other methods alone
  set_headers {name: value or list}, drop_headers [name], header_bomb BYTES, corrupt N (flips byte N of the
                          body, keeps lengths), trim N (cuts the last N bytes off; Content-Length
                          says so)                                    changes the answer
  hold NAME               answers only when released; evaluate "after" (default) or "before": whether the
                          normal answer is made after the release or before it is held
  silence true            never answers; release "silence" (or hold's NAME) closes the connection
  hang_up true            closes the connection instead of answering
  after_bytes N           with silence, hang_up or drip_ms: after the head and N bytes of the body
  drip_ms N               the rest of the body comes a byte at a time, every so many milliseconds
  then STATE              of the port, from just before this answer leaves

AUTHENTICATION. The first regex that fits the whole repository name counts; the name of the ping /v2/ is "".
  scheme "basic" or "bearer"; users {name: password}; denied [user]: 403 for them
  bearer: realm (default: /token under the name that the client used), service, anonymous (true: whoever
  shows no credentials gets a token to pull), tokens [text] that are good for everything, expires_in
  (seconds, 300; null leaves it out), refresh_tokens {token: user} for POST, post_status (the answer to
  every POST), refusal_status (401)
GET /token answers {"token": ...}, POST {"access_token": ...}; lies are made by rules on /token."""
import argparse
import collections
import ctypes
import http.server
import json
import os
import pathlib
import re
import select
import signal
import socket
import sys
import threading
import urllib.parse

if __name__ == "__main__":
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[2])

from tests.fake.ports import Port, Ports, server_context  # noqa: E402
from tests.fake.registry_auth import Answer, Auth, error_answer, json_answer  # noqa: E402
from tests.fake.registry_state import Book, Content  # noqa: E402

PR_SET_PDEATHSIG = 1
TLS_HANDSHAKE = b"\x16"
ROUTE = re.compile(r"/v2/(?P<repo>.+?)/(?P<kind>manifests|blobs|tags)/(?P<reference>(?:uploads/)?[^/]*)")


class Request(collections.namedtuple("Request", "method path query url scheme host headers body port")):
    def header(self, name):
        return next((value for known, value in self.headers if known.lower() == name.lower()), None)


class Admin:
    """The API under /_fake/."""

    def __init__(self, book, content, auth, ports):
        self.book, self.content, self.auth, self.ports = book, content, auth, ports

    def answer(self, request):
        noun, _, rest = request.path.removeprefix("/_fake/").partition("/")
        act = getattr(self, f"{request.method.lower()}_{noun}", None)
        if act is None:
            return json_answer(400, {"error": f"no {request.method} {request.path}"})
        try:
            done = act(request, rest)
        except (ValueError, KeyError, TypeError, AttributeError, re.error) as why:
            return json_answer(400, {"error": f"{type(why).__name__}: {why}"})
        return done if isinstance(done, Answer) else json_answer(200, {} if done is None else done)

    def get_rules(self, _request, _):
        return self.book.list_rules()

    def put_rules(self, request, _):
        self.book.set_rules(json.loads(request.body))

    def post_rules(self, request, _):
        self.book.set_rules(json.loads(request.body), append=True)

    def delete_rules(self, _request, name):
        return {"deleted": self.book.delete_rules(name)}

    def post_ports(self, request, _):
        text = json.loads(request.body)
        return {"ports": self.ports.open(text["count"], text.get("tls"))}

    def put_ports(self, request, port):
        self.ports.ports[int(port)].become(json.loads(request.body)["state"])

    def put_manifests(self, request, rest):
        repo, _, reference = rest.rpartition("/")
        media_type = request.header("Content-Type") or "application/octet-stream"
        return {"digest": self.content.put_manifest(repo, reference, request.body, media_type)}

    def put_blobs(self, request, digest):
        self.content.put_blob(digest, request.body)

    def put_tags(self, request, rest):
        repo, _, tag = rest.rpartition("/")
        self.content.put_tag(repo, tag, json.loads(request.body)["digest"])

    def delete_tags(self, _request, rest):
        repo, _, tag = rest.rpartition("/")
        if not self.content.delete(repo, tag):
            raise ValueError(f"{repo} has no {tag}")

    def put_auth(self, request, _):
        self.auth.configure(json.loads(request.body))

    def get_tokens(self, _request, _):
        return self.auth.counts()

    def delete_tokens(self, _request, _):
        self.auth.revoke()

    def get_log(self, _request, _):
        return self.book.log()

    def delete_log(self, _request, _):
        self.book.log(clear=True)

    def get_wait(self, request, _):
        asked = dict(urllib.parse.parse_qsl(request.query))
        count, path, method = int(asked.pop("count", 1)), asked.pop("path", ""), asked.pop("method", None)
        timeout_s, after = float(asked.pop("timeout", 20)), int(asked.pop("after", 0))
        state = {"arrived": lambda entry: True, "held": lambda entry: entry["held"] is not None,
                 "answered": lambda entry: entry["status"] is not None,
                 "gone": lambda entry: entry["gone"]}[asked.pop("state", "arrived")]
        if asked:
            raise ValueError(f"unknown: {sorted(asked)}")
        found = self.book.wait(count, lambda entry: path in entry["path"] and method in (None, entry["method"])
                               and entry["sequence"] > after and state(entry), timeout_s)
        return json_answer(408, {"error": f"late: {request.query}"}) if found is None else found

    def post_release(self, request, _):
        text = json.loads(request.body)
        return {"released": self.book.release(text["name"], text.get("count"))}

    def get_connections(self, _request, _):
        return {"accepted": self.book.accepted, "open": self.book.open}


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""
    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"  # so that what is no HTTP at all gets a status line
    disable_nagle_algorithm = True
    wbufsize = -1

    def setup(self):
        self.tls, self.of_admin, self.accepted = False, False, self.request
        self.number = self.server.book.connected(+1)
        try:
            if self.server.context and self.request.recv(1, socket.MSG_PEEK) == TLS_HANDSHAKE:
                self.request = self.server.context.wrap_socket(self.request, server_side=True)
                self.tls = True
            super().setup()
        except OSError:
            self.server.book.connected(-1)
            raise

    def finish(self):
        if not self.of_admin:
            self.server.book.connected(-1)
        try:
            super().finish()
        except OSError:
            pass  # the client was faster
        if self.tls:
            self.request.close()

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        pass  # the book has it all

    def read_body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return body

    def read_request(self):
        target, url, scheme = self.path, None, "https" if self.tls else "http"
        host = self.headers.get("Host", "")
        if "://" in target:
            parts = urllib.parse.urlsplit(target)
            url, scheme, host = target, parts.scheme, parts.netloc
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        path, _, query = target.partition("?")
        return Request(self.command, path, query, url or "", scheme, host, self.headers.items(), self.read_body(),
                       self.server.port)

    def serve(self):
        request = self.read_request()
        if request.path.startswith("/_fake/") and not request.url:
            if not self.of_admin:
                self.of_admin = True
                self.server.book.not_counted()
            self.send(self.server.admin.answer(request), request.method)
        elif self.server.context and not self.tls and not request.url and request.method != "CONNECT":
            self.send(error_answer(400, "UNSUPPORTED", "this port speaks TLS"), request.method)
        else:
            self.serve_registry(request)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_CONNECT = serve

    def facts(self, request):
        subject = (self.request.getpeercert() or {}).get("subject", ()) if self.tls else ()
        return {"connection": self.number, "port": request.port, "tls": self.tls,
                "client": dict(sum(subject, ())).get("commonName"),
                "method": request.method, "path": request.path, "query": request.query, "url": request.url or None,
                "proxied": bool(request.url) or request.method == "CONNECT", "host": request.host,
                "headers": request.headers,
                "body": request.body.decode(errors="replace") if request.method == "POST" else None}

    def serve_registry(self, request):
        entry, rule, event = self.server.book.arrive(request, self.facts(request))
        if rule is None:
            return self.conclude(request, entry, self.normal(request))
        answer = self.scripted(request, rule) if rule.get("evaluate") == "before" else None
        limit = rule.get("after_bytes")
        cut = rule.get("silence") or rule.get("hang_up")
        if cut and limit is not None:
            answer = answer or self.scripted(request, rule)
            self.server.book.answered(entry, answer.status)
            self.send(answer, request.method, limit)
        if event is not None and not self.released(event, entry) or cut:
            self.close_connection = True
            return None
        answer = answer or self.scripted(request, rule)
        if rule.get("then"):
            self.server.become(rule.get("then"), spared=self.accepted)
        if rule.get("drip_ms"):
            self.server.book.answered(entry, answer.status)
            return self.drip(request, answer, entry, rule.get("drip_ms"), limit or 0)
        return self.conclude(request, entry, answer)

    def released(self, event, entry):
        """Waits at the gate: True when it opens, False when the client hangs up."""
        poll = select.poll()
        poll.register(event, select.POLLIN)
        poll.register(self.connection, select.POLLIN)
        ready = {number for number, _ in poll.poll()}
        self.server.book.leave(event, event not in ready, entry)
        return event in ready

    def conclude(self, request, entry, answer):
        self.server.book.answered(entry, answer.status)
        if request.method == "CONNECT" and answer.status == 200:
            return self.tunnel()
        return self.send(answer, request.method)

    def scripted(self, request, rule):
        """The answer by the rule: its own or the normal one, with its changes."""
        if rule.get("redirect"):
            target = request.path + (f"?{request.query}" if request.query else "")
            answer = Answer(rule.get("status", 307), [("Location", rule.get("redirect").replace("{path}", target))])
        elif rule.get("refuse_head"):
            answer = Answer(rule.get("refuse_head"))
        elif rule.get("status") or rule.get("body") is not None:
            body = rule.get("body", "")
            body = (body if isinstance(body, str) else json.dumps(body)).encode() * rule.get("body_repeat", 1)
            answer = Answer(rule.get("status", 200), [], body)
        else:
            answer = self.normal(request._replace(path=request.path.removeprefix(rule.get("strip", ""))))
        for name in rule.get("drop_headers", ()):
            answer.drop(name)
        for name, value in {**rule.get("headers", {}), **rule.get("set_headers", {})}.items():
            answer.set(name, value)
        if (at := rule.get("corrupt")) is not None and at < len(answer.body):
            answer.body = answer.body[:at] + bytes([answer.body[at] ^ 1]) + answer.body[at + 1:]
        if rule.get("trim"):
            answer.body = answer.body[:-rule.get("trim")]
            answer.set("Content-Length", len(answer.body))
        if rule.get("then") == "refuse":
            answer.set("Connection", "close")
        answer.headers += [(f"X-Bomb-{n}", "b" * 1000) for n in range(-(-rule.get("header_bomb", 0) // 1000))]
        return answer

    def normal(self, request):
        if request.method == "CONNECT":
            return Answer(200)
        if request.path == "/token":
            return self.server.auth.token(request)
        found = ROUTE.fullmatch(request.path)
        if request.path not in ("/v2/", "/v2") and not found:
            return error_answer(404, "NOT_FOUND", "nothing here")
        action = "pull" if request.method in ("GET", "HEAD") else "push"
        refusal = self.server.auth.refusal(request, found["repo"] if found else "", action)
        if refusal and self.server.asks_for_credentials:
            return refusal
        if not found:
            return json_answer(200, {})
        try:
            return self.server.content.answer(request, found["repo"], found["kind"], found["reference"])
        except ValueError as why:
            return error_answer(400, "DIGEST_INVALID", str(why))

    def send(self, answer, method, limit=None):
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if not answer.has("Content-Length") and not answer.has("Connection"):
            self.send_header("Connection", "close")
        self.end_headers()
        if method != "HEAD" and answer.status not in (204, 304):
            self.wfile.write(answer.body[:limit])
        self.wfile.flush()

    def drip(self, request, answer, entry, pause_ms, at_once):
        """The answer a byte at a time, for as long as the client wants it."""
        self.send(answer, request.method, at_once)
        self.close_connection = True
        poll = select.poll()
        poll.register(self.connection, select.POLLIN)
        for byte in answer.body[at_once:] if request.method != "HEAD" else b"":
            if poll.poll(pause_ms):
                return self.server.book.went(entry)
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
        return None

    def tunnel(self):
        """CONNECT: the bytes of both sides, until both have ended."""
        self.close_connection = True
        try:
            far = socket.create_connection(("127.0.0.1", self.server.connect_port))
        except OSError:
            return self.send(Answer(502), "CONNECT")
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self.wfile.flush()
        with far:
            back = threading.Thread(target=self.copy, args=(lambda: far.recv(65536), self.connection), daemon=True)
            back.start()
            self.copy(lambda: self.rfile.read1(65536), far)
            back.join()
        return None

    @staticmethod
    def copy(read, target):
        try:
            while data := read():
                target.sendall(data)
        except OSError:
            pass  # one side was cut: so is the other
        try:
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class Server(Port):
    """The main port, with all that the ports share."""
    asks_for_credentials = True

    def __init__(self, port, context, connect_port):
        super().__init__(port, Handler, context)
        self.connect_port = connect_port or self.port
        self.book, self.content, self.auth = Book(), Content(), Auth()
        self.admin = Admin(self.book, self.content, self.auth, Ports(self))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port-file", required=True, type=pathlib.Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--connect-port", type=int)
    for name in ("--tls-cert", "--tls-key", "--client-ca"):
        parser.add_argument(name)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    context = server_context(given.tls_cert, given.tls_key, given.client_ca) if given.tls_cert else None
    server = Server(given.port, context, given.connect_port)
    new = given.port_file.with_name(given.port_file.name + ".new")
    new.write_text(f"{server.port}\n")
    new.replace(given.port_file)
    server.serve_forever()


if __name__ == "__main__":
    main()

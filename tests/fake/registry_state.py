# SPDX-License-Identifier: Apache-2.0
"""What the fake registry knows: its content, and the book of requests, rules and held requests."""
import hashlib
import json
import os
import re
import secrets
import threading
import time
import urllib.parse

from tests.fake.registry_auth import Answer, error_answer, json_answer


def digest_of(body, algorithm="sha256"):
    return f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}"


class Content:
    """Blobs (of all repositories), manifests, tags and unfinished uploads."""

    def __init__(self):
        self.lock = threading.RLock()
        self.blobs, self.manifests, self.tags, self.uploads = {}, {}, {}, {}

    def put_blob(self, digest, body):
        if digest_of(body, digest.partition(":")[0]) != digest:
            raise ValueError(f"the body is not {digest}")
        with self.lock:
            self.blobs[digest] = body

    def put_manifest(self, repo, reference, body, media_type):
        """Stores it under its digest, and under the tag if the reference is one; the digest."""
        by_digest = ":" in reference
        digest = digest_of(body, reference.partition(":")[0] if by_digest else "sha256")
        if by_digest and digest != reference:
            raise ValueError(f"the body is {digest}, not {reference}")
        with self.lock:
            self.manifests.setdefault(repo, {})[digest] = (media_type, body)
            if not by_digest:
                self.tags.setdefault(repo, {})[reference] = digest
        return digest

    def put_tag(self, repo, tag, digest):
        with self.lock:
            if digest not in self.manifests.get(repo, {}):
                raise ValueError(f"{repo} has no manifest {digest}")
            self.tags.setdefault(repo, {})[tag] = digest

    def delete(self, repo, reference):
        """A tag, or a manifest with all its tags; whether it was there."""
        with self.lock:
            if ":" not in reference:
                return self.tags.get(repo, {}).pop(reference, None) is not None
            tags = self.tags.get(repo, {})
            self.tags[repo] = {tag: digest for tag, digest in tags.items() if digest != reference}
            return self.manifests.get(repo, {}).pop(reference, None) is not None

    def answer(self, request, repo, kind, reference):
        """The normal answer below /v2/<repo>/<kind>/."""
        if kind == "manifests":
            return self._manifest(request, repo, reference)
        if kind == "tags":
            with self.lock:
                return json_answer(200, {"name": repo, "tags": sorted(self.tags.get(repo, {}))})
        if reference.startswith("uploads/"):
            return self._upload(request, repo, reference.partition("/")[2])
        return self._blob(request, reference)

    def _manifest(self, request, repo, reference):
        if request.method == "PUT":
            media_type = request.header("Content-Type") or "application/octet-stream"
            digest = self.put_manifest(repo, reference, request.body, media_type)
            return Answer(201, [("Docker-Content-Digest", digest), ("Location", f"/v2/{repo}/manifests/{digest}")])
        if request.method == "DELETE" and self.delete(repo, reference):
            return Answer(202)
        with self.lock:
            digest = reference if ":" in reference else self.tags.get(repo, {}).get(reference)
            found = self.manifests.get(repo, {}).get(digest)
        if found is None:
            return error_answer(404, "MANIFEST_UNKNOWN", "manifest unknown")
        return Answer(200, [("Content-Type", found[0]), ("Docker-Content-Digest", digest)], found[1])

    def _blob(self, request, digest):
        with self.lock:
            body = self.blobs.get(digest)
        if body is None:
            return error_answer(404, "BLOB_UNKNOWN", "blob unknown to registry")
        headers = [("Content-Type", "application/octet-stream"), ("Docker-Content-Digest", digest),
                   ("Accept-Ranges", "bytes")]
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", request.header("Range") or "")
        if not wanted or wanted.groups() == ("", ""):
            return Answer(200, headers, body)
        first, last = wanted.groups()
        start = int(first) if first else max(0, len(body) - int(last))
        end = min(int(last), len(body) - 1) if first and last else len(body) - 1
        if start > end:
            return Answer(416, [("Content-Range", f"bytes */{len(body)}")])
        return Answer(206, [*headers, ("Content-Range", f"bytes {start}-{end}/{len(body)}")], body[start:end + 1])

    def _upload(self, request, repo, number):
        query = dict(urllib.parse.parse_qsl(request.query))
        with self.lock:
            if request.method == "POST":
                if query.get("mount") in self.blobs:
                    return self._blob_made(repo, query["mount"])
                number = secrets.token_hex(8)
                self.uploads[number] = b""
            if number not in self.uploads:
                return error_answer(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
            self.uploads[number] += request.body
            if request.method in ("POST", "PUT") and "digest" in query:
                self.put_blob(query["digest"], self.uploads.pop(number))
                return self._blob_made(repo, query["digest"])
            if request.method == "DELETE":
                del self.uploads[number]
                return Answer(204)
            headers = [("Location", f"/v2/{repo}/blobs/uploads/{number}"), ("Docker-Upload-UUID", number),
                       ("Range", f"0-{max(0, len(self.uploads[number]) - 1)}")]
        return Answer(204 if request.method == "GET" else 202, headers)

    @staticmethod
    def _blob_made(repo, digest):
        return Answer(201, [("Location", f"/v2/{repo}/blobs/{digest}"), ("Docker-Content-Digest", digest)])


CONDITIONS = {"name", "method", "path", "query", "url", "header", "port", "times", "skip"}
ACTIONS = {"status", "headers", "body", "body_repeat", "hold", "evaluate", "silence", "hang_up", "after_bytes",
           "drop_headers", "set_headers", "refuse_head", "redirect", "header_bomb", "corrupt", "trim",
           "drip_ms", "then", "strip"}


class Rule:
    """See "Rules" in registry.py."""

    def __init__(self, text):
        unknown = set(text) - CONDITIONS - ACTIONS
        if unknown:
            raise ValueError(f"unknown keys of a rule: {sorted(unknown)}")
        if text.get("evaluate", "after") not in ("before", "after"):
            raise ValueError("evaluate is before or after")
        self.text, self.matched, self.used = text, 0, 0
        self.patterns = {key: re.compile(text[key]) for key in ("method", "path", "query", "url") if key in text}
        self.headers = {name: re.compile(value) for name, value in text.get("header", {}).items()}
        self.gate = text.get("hold", "silence" if text.get("silence") else None)

    def get(self, key, default=None):
        return self.text.get(key, default)

    def _fits(self, request):
        if "refuse_head" in self.text and request.method != "HEAD":
            return False
        if self.get("port", request.port) != request.port:
            return False
        fits = all((pattern.fullmatch if key == "method" else pattern.search)(getattr(request, key))
                   for key, pattern in self.patterns.items())
        return fits and all(pattern.search(request.header(name) or "") for name, pattern in self.headers.items())

    def takes(self, request):
        """Whether it applies; counts."""
        if self.used >= self.get("times", self.used + 1) or not self._fits(request):
            return False
        self.matched += 1
        if self.matched <= self.get("skip", 0):
            return False
        self.used += 1
        return True


class Book:
    """Log, rules and held requests under one lock: a request that is seen in the log is already held."""

    def __init__(self):
        self.changed = threading.Condition()
        self.sequence, self.entries, self.rules, self.gates = 0, [], [], []
        self.accepted, self.open = 0, 0

    def connected(self, by):
        with self.changed:
            self.accepted, self.open = self.accepted + max(by, 0), self.open + by
            return self.accepted

    def not_counted(self):
        """A connection turned out to be a test's own, for the admin API."""
        with self.changed:
            self.accepted, self.open = self.accepted - 1, self.open - 1

    def _next(self):
        self.sequence += 1
        return self.sequence

    def set_rules(self, rules, append=False):
        made = [Rule(rule) for rule in rules]
        with self.changed:
            self.rules = [*self.rules, *made] if append else made

    def delete_rules(self, name):
        """All of the name; how many there were."""
        with self.changed:
            before = len(self.rules)
            self.rules = [rule for rule in self.rules if rule.get("name") != name]
            return before - len(self.rules)

    def list_rules(self):
        with self.changed:
            return [{**rule.text, "used": rule.used} for rule in self.rules]

    def arrive(self, request, facts):
        """(log entry, rule or None, eventfd to wait at or None)"""
        with self.changed:
            rule = next((rule for rule in self.rules if rule.takes(request)), None)
            gate = rule and rule.gate
            entry = {"sequence": self._next(), **facts, "rule": rule and rule.get("name"), "held": gate,
                     "status": None, "answered": None, "gone": False}
            self.entries.append(entry)
            event = os.eventfd(0) if gate else None
            if gate:
                self.gates.append((gate, event, entry))
            self.changed.notify_all()
            return entry, rule, event

    def release(self, name, count=None):
        """Lets the requests held under the name go on, in the order of arrival; how many."""
        with self.changed:
            chosen = [gate for gate in self.gates if gate[0] == name][:count]
            for gate in chosen:
                self.gates.remove(gate)
                gate[2]["held"] = None
                os.eventfd_write(gate[1], 1)
            return len(chosen)

    def leave(self, event, gone, entry):
        """The end of being held; gone: the client hung up."""
        with self.changed:
            self.gates = [gate for gate in self.gates if gate[1] != event]
            os.close(event)
            entry["held"], entry["gone"] = None, gone
            self.changed.notify_all()

    def went(self, entry):
        """The client hung up in the middle of the answer."""
        with self.changed:
            entry["gone"] = True
            self.changed.notify_all()

    def answered(self, entry, status):
        with self.changed:
            entry["status"], entry["answered"] = status, self._next()
            self.changed.notify_all()

    def log(self, clear=False):
        with self.changed:
            copy = json.loads(json.dumps(self.entries))
            if clear:
                self.entries = []
            return copy

    def wait(self, count, wanted, timeout_s):
        """The matching entries as soon as there are `count`, or None when they are late."""
        deadline = time.monotonic() + timeout_s
        with self.changed:
            while True:
                found = [entry for entry in self.entries if wanted(entry)]
                if len(found) >= count:
                    return json.loads(json.dumps(found))
                if not self.changed.wait(deadline - time.monotonic()):
                    return None

# SPDX-License-Identifier: Apache-2.0
"""The fake registry in a Python test; registry.py says what rules, log and authentication are.

    with FakeRegistry() as registry:
        digest = registry.image("team/app", "stable", marker="v1")
        registry.rules([{"method": "HEAD", "path": "/manifests/stable$", "hold": "first", "times": 1}])
        ...                                            # start a pull of registry.host + "/team/app:stable"
        registry.wait(path="/manifests/stable", state="held")
        registry.release("first")
"""
import gzip
import hashlib
import http.client
import io
import json
import pathlib
import platform
import tarfile
import urllib.parse

from tests.integration.harness.parts import Folder, Process

PROGRAM = pathlib.Path(__file__).with_name("registry.py")
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def sha256(body):
    return "sha256:" + hashlib.sha256(body).hexdigest()


def layer_of(files):
    """A tar archive of {name: bytes}, the same bytes for the same files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, body in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    return out.getvalue()


class FakeRegistry:
    """One process. folder: a harness Folder (default: its own); tls=(certificate, key) and client_ca are
    files in PEM; connect_port: where CONNECT leads to (default: to itself)."""

    def __init__(self, folder=None, tls=None, client_ca=None, connect_port=None, name="fake-registry"):
        self.own_folder = None if folder else Folder()
        self.folder = folder or self.own_folder
        self.home = self.folder.sub(name)
        self.scheme, self.port = "https" if tls else "http", None
        self.port_file = self.home / "port"
        command = ["/usr/bin/python3", PROGRAM, "--port-file", self.port_file]
        command += ["--tls-cert", tls[0], "--tls-key", tls[1]] if tls else []
        command += ["--client-ca", client_ca] if client_ca else []
        command += ["--connect-port", connect_port] if connect_port else []
        self.process = Process(self.folder, self.home.name, command)

    def __enter__(self):
        return self.start()

    def __exit__(self, *why):
        self.stop()
        if self.own_folder:
            self.own_folder.__exit__(*why)

    def start(self):
        self.process.start().wait_ready(self.port_file.exists)
        self.port = int(self.port_file.read_text())
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"{self.scheme}://{self.host}"
        return self

    def stop(self):
        self.process.stop()

    def admin(self, method, path, body=None, **headers):
        """One call of the admin API; its JSON, or an AssertionError."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request(method, f"/_fake/{path}", body, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        assert answer.status == 200, f"{method} /_fake/{path}: {answer.status} {text.decode()}"
        return json.loads(text)

    def rules(self, rules):
        """Replaces all rules."""
        self.admin("PUT", "rules", rules)

    def add_rule(self, **rule):
        self.admin("POST", "rules", [rule])

    def auth(self, table):
        self.admin("PUT", "auth", table)

    def tokens(self):
        return self.admin("GET", "tokens")

    def revoke_tokens(self):
        self.admin("DELETE", "tokens")

    def log(self, method=None, path=""):
        """The entries so far, of one method and of paths that contain `path` if given."""
        return [entry for entry in self.admin("GET", "log")
                if path in entry["path"] and method in (None, entry["method"])]

    def clear_log(self):
        self.admin("DELETE", "log")

    def wait(self, count=1, path="", method=None, state="arrived", after=0, timeout_s=20):
        """The matching entries, as soon as there are so many; late is an AssertionError."""
        asked = {"count": count, "path": path, "state": state, "after": after, "timeout": timeout_s}
        if method:
            asked["method"] = method
        return self.admin("GET", "wait?" + urllib.parse.urlencode(asked))

    def release(self, name, count=None):
        """Lets held requests go on (default: all of the name); how many there were."""
        return self.admin("POST", "release", {"name": name, "count": count})["released"]

    def connections(self):
        return self.admin("GET", "connections")

    def put_blob(self, body):
        digest = sha256(body)
        self.admin("PUT", f"blobs/{digest}", body)
        return digest

    def put_manifest(self, repo, reference, body, media_type=MANIFEST):
        """Stores a manifest (bytes or a dict) under a tag or its digest; the digest."""
        return self.admin("PUT", f"manifests/{repo}/{reference}", body, Content_Type=media_type)["digest"]

    def put_tag(self, repo, tag, digest):
        """Moves the tag to a manifest that the repository has."""
        self.admin("PUT", f"tags/{repo}/{tag}", {"digest": digest})

    def delete_tag(self, repo, tag):
        self.admin("DELETE", f"tags/{repo}/{tag}")

    def image(self, repo, tag, marker, more=None):
        """Stores a small image of one layer, with the file /marker (and more={name: bytes}), for this
        machine's architecture; the digest of its manifest. The same arguments give the same digest."""
        tar = layer_of({"marker": marker.encode() + b"\n", **(more or {})})
        layer = gzip.compress(tar, mtime=0)
        config = json.dumps({
            "architecture": ARCHITECTURES[platform.machine()], "os": "linux",
            "config": {"Cmd": ["/marker"], "Labels": {"marker": marker}},
            "rootfs": {"type": "layers", "diff_ids": [sha256(tar)]}}).encode()
        descriptors = [{"mediaType": kind, "digest": self.put_blob(body), "size": len(body)}
                       for kind, body in ((CONFIG, config), (LAYER, layer))]
        return self.put_manifest(repo, tag, {"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptors[0],
                                             "layers": descriptors[1:]})

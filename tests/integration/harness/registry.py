# SPDX-License-Identifier: Apache-2.0
"""docker-registry on a loopback port: upstream, private upstream or pull-through cache."""
import base64
import collections
import hashlib
import http.client
import json
import re
import warnings

from .parts import Process, answers, environment, free_port

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import crypt

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
ACCEPT = ", ".join((MANIFEST, INDEX, "application/vnd.docker.distribution.manifest.v2+json",
                    "application/vnd.docker.distribution.manifest.list.v2+json", "*/*"))
LINE = re.compile(r'^(?P<peer>\S+) - \S* ?\[[^]]*\] "(?P<method>[A-Z]+) (?P<path>\S+) HTTP/[\d.]+" (?P<status>\d+)'
                  r' \d+ "[^"]*" "(?P<agent>[^"]*)"')

Request = collections.namedtuple("Request", "method path status agent")


class Registry:
    """A docker-registry. users={"name": "password"} makes it private; proxy="http://127.0.0.1:P"
    makes it a pull-through cache of that registry (then nothing can be pushed)."""

    def __init__(self, folder, users=None, proxy=None, name="registry"):
        self.home = folder.sub(name)
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.host}"
        self.users = users or {}
        self.config = self.home / "config.json"
        self.config.write_text(json.dumps(self._settings(proxy)))  # JSON is YAML
        self.process = Process(folder, self.home.name, ["docker-registry", "serve", self.config],
                               environment(OTEL_TRACES_EXPORTER="none"))

    def _settings(self, proxy):
        settings = {
            "version": 0.1,
            "log": {"level": "warn", "accesslog": {"disabled": False}},
            "storage": {"filesystem": {"rootdirectory": str(self.home / "data")}, "delete": {"enabled": True},
                        "cache": {"blobdescriptor": "inmemory"}, "maintenance": {"uploadpurging": {"enabled": False}}},
            "http": {"addr": self.host, "secret": "not-needed-by-one-registry"},
        }
        if proxy:
            settings["proxy"] = {"remoteurl": proxy}
        if self.users:
            table = self.home / "htpasswd"
            salt = crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)
            table.write_text("".join(f"{user}:{crypt.crypt(word, salt)}\n" for user, word in self.users.items()))
            settings["auth"] = {"htpasswd": {"realm": "test", "path": str(table)}}
        return settings

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def start(self):
        self._drop_spoilt_schedule()
        self.process.start().wait_ready(lambda: answers(self.port))
        return self

    def stop(self):
        self.process.kill()  # a clean end would save nothing more

    def _drop_spoilt_schedule(self):
        """A pull-through cache writes its schedule of what to forget in place, every five seconds. One that was killed
        within finds half of it, and panics at every start until somebody removes the file."""
        schedule = self.home / "data/scheduler-state.json"
        try:
            json.loads(schedule.read_bytes())
        except FileNotFoundError:
            pass
        except ValueError:
            schedule.unlink()

    def requests(self):
        """Everything it was asked so far, as (method, path, status, agent). The line of a HEAD is
        written before its answer leaves, that of a GET when all of it has left."""
        found = (LINE.match(line) for line in self.process.log().splitlines())
        return [Request(m["method"], m["path"].partition("?")[0], int(m["status"]), m["agent"]) for m in found if m]

    def count(self, method, repo, reference=None, kind="manifests", agent=""):
        """How many requests of this method came for a repository's manifests (or kind="blobs"),
        for one tag or digest if given, and by programs of which name. Refused ones (401) are
        counted too."""
        start = f"/v2/{repo}/{kind}/"
        return sum(1 for r in self.requests() if r.method == method and r.path.startswith(start)
                   and r.agent.startswith(agent) and (reference is None or r.path == start + reference))

    def has_stored(self, repo, blob):
        """Whether a pull-through cache has the blob for good: it stores what it serves afterwards."""
        return (self.home / f"data/docker/registry/v2/repositories/{repo}/_layers/sha256" /
                blob.partition(":")[2] / "link").exists()

    def call(self, method, path, body=None, **headers):
        """One HTTP request of our own: (status, headers, body)."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.users:
            user, word = next(iter(self.users.items()))
            headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{word}".encode()).decode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def manifest(self, repo, reference):
        """(bytes, media type) of a manifest."""
        status, headers, body = self.call("GET", f"/v2/{repo}/manifests/{reference}", Accept=ACCEPT)
        assert status == 200, (status, body)
        return body, headers["Content-Type"]

    def digest(self, repo, reference):
        return "sha256:" + hashlib.sha256(self.manifest(repo, reference)[0]).hexdigest()

    def put_manifest(self, repo, reference, body, media_type):
        """Stores a manifest under a tag or digest; its digest."""
        status, headers, text = self.call("PUT", f"/v2/{repo}/manifests/{reference}", body, Content_Type=media_type)
        assert status == 201, (status, text)
        return headers["Docker-Content-Digest"]

    def put_blob(self, repo, body):
        """Stores a blob; its digest."""
        digest = "sha256:" + hashlib.sha256(body).hexdigest()
        status, headers, text = self.call("POST", f"/v2/{repo}/blobs/uploads/")
        assert status == 202, (status, text)
        place = headers["Location"].removeprefix(self.url)
        status, _, text = self.call("PUT", f"{place}{'&' if '?' in place else '?'}digest={digest}", body,
                                    Content_Type="application/octet-stream")
        assert status == 201, (status, text)
        return digest

    def put_tag(self, repo, tag, reference):
        """Moves a tag to what another tag or a digest of the same repository names; the digest."""
        return self.put_manifest(repo, tag, *self.manifest(repo, reference))

    def delete_tag(self, repo, tag):
        """Deletes the tag. docker-registry deletes by digest only, which takes the tag along."""
        status, _, text = self.call("DELETE", f"/v2/{repo}/manifests/{self.digest(repo, tag)}")
        assert status == 202, (status, text)

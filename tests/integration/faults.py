# SPDX-License-Identifier: Apache-2.0
"""The faults of the fault matrix, and the positions in which mirrors have them."""
import collections
import dataclasses
import itertools
import re

from tests.fake.mirror import FakeMirrors
from tests.fake.registry_client import INDEX, MANIFEST
from tests.integration.harness.images import self_signed

FIRST, BOTH, DYING, NOTHING = "mirror 1 of 2", "both mirrors", "dying mirror", "nothing healthy"
POSITIONS = (FIRST, BOTH, DYING, NOTHING)
IN_THE_MIDDLE = 300000  # bytes of the big layer: containerd has some of them when it happens
LATE = r"^(no connection to|no answer from|not a byte from) \S+ (with)?in \d+ ms$"
WRONG = r"^(the content has the digest sha256:[0-9a-f]{64}|wrong content)$"
WRONG_SIZE = r"^sha256:[0-9a-f]{64} is said to have \d+ bytes, but it has \d+$"

# what: the object that is concerned (index, small or big; "": all the mirror is).
# rule: of the fake registry; state: of its port; host: the mirror has this name, or "https:".
# why: the reason as log and error give it, and no other fault's.
Fault = collections.namedtuple("Fault", "name why what rule state host", defaults=("", None, None, None))

FAULTS = (
    Fault("packets dropped", LATE, state="drop"),
    Fault("connection refused", r"^cannot connect to \S+: Connection refused$", state="refuse"),
    Fault("DNS failure", r"^cannot resolve the name in \S+$", host="mirror-{}.invalid"),
    Fault("500", ": 500 Internal Server Error$", rule={"status": 500}),
    Fault("503", ": 503 Service Unavailable$", rule={"status": 503}),
    Fault("404", ": not found$", rule={"status": 404}),
    Fault("401, foreign realm", ": 401 Unauthorized$", rule={"status": 401}),
    Fault("429, Retry-After", ": 429 Too Many Requests$", rule={"status": 429, "headers": {"Retry-After": "30"}}),
    Fault("TLS, wrong certificate", r"^TLS with \S+ failed: .*\bcertificate\b", host="https:"),
    Fault("silent after accept", LATE, rule={"silence": True}),
    Fault("slow drip", rf"^too slow: \d+ bytes in \d+ ms$|{LATE}", rule={"drip_ms": 50}),
    Fault("stall in mid-blob", LATE, "big", rule={"silence": True, "after_bytes": IN_THE_MIDDLE}),
    Fault("cut in mid-blob", r"^the connection to \S+ broke: ", "big", rule={"hang_up": True, "after_bytes": IN_THE_MIDDLE}),
    Fault("wrong length", WRONG_SIZE, "big", rule={"trim": 1000}),
    Fault("corrupt small blob", WRONG, "small", rule={"corrupt": 100}),
    Fault("corrupt large blob", WRONG, "big", rule={"corrupt": IN_THE_MIDDLE}),
    Fault("corrupt manifest", WRONG, "index", rule={"corrupt": 10}),
    Fault("another image's manifest", f"{WRONG}|{WRONG_SIZE}", "index", rule={"status": 200}),
    Fault("redirect loop", r"^\S+ redirects more than \d+ times$", rule={"redirect": "http://127.0.0.1:{port}{{path}}"}),
)
FAILURE = re.compile(r"(source failed|mirror served wrong content|mirror went down) "
                     r'.*?\b(?:source|mirror)=(\S+) .*?\berror=(?:"((?:[^"\\]|\\.)*)"|(\S+))')


@dataclasses.dataclass(eq=False)
class Cell:
    """One fault in one position: an upstream of its own with mirrors of its own, and their image."""
    number: int
    fault: Fault
    position: str
    ports: list = dataclasses.field(default_factory=list)
    urls: list = dataclasses.field(default_factory=list)
    image: object = None

    def __post_init__(self):
        self.host, self.repo = f"case-{self.number}.example", f"team/case-{self.number}"
        self.reference = f"{self.host}/{self.repo}:stable"
        self.name = f"{self.fault.name}, {self.position}"
        self.upstream_rule = f"upstream-{self.number}"

    @property
    def mirrors(self):
        """How many there are."""
        return 1 if self.position == DYING else 2

    @property
    def faulty(self):
        """The places of those that are or become faulty."""
        return range(2 if self.position in (BOTH, NOTHING) else 1)

    @property
    def what(self):
        """The kind of the object that the fault is about; "" for all of them."""
        kind = self.fault.what
        return "manifest" if kind == "index" and self.position == DYING else kind

    def failures(self, log, at):
        """The reasons for which a mirror was left, as the log gives them; of the object that the fault is about."""
        concerned = f" digest={getattr(self.image, self.what)} " if self.what else ""
        found = [FAILURE.search(line) for line in log.splitlines() if concerned in line]
        return [match[3] or match[4] for match in found if match and match[2] == self.urls[at]]

    def mentioned_in(self, line):
        return any(word in line for word in (self.host + "/", *self.urls))

    def path(self, kind):
        """The path of index, manifest, config, small or big."""
        folder = "manifests" if kind in ("index", "manifest") else "blobs"
        return f"/v2/{self.repo}/{folder}/{getattr(self.image, kind)}"


def plan(which, full):
    """The cells: all, or for each fault one position, another one for each containerd."""
    numbers = itertools.count(1)
    if full:
        return [Cell(next(numbers), fault, position) for fault in FAULTS for position in POSITIONS]
    shift = ("1.6", "1.7", "2").index(which)
    return [Cell(next(numbers), fault, POSITIONS[(at + shift) % len(POSITIONS)]) for at, fault in enumerate(FAULTS)]


def failures_of(message):
    """{source: why} of the list that stands behind containerd's own words; those name the upstream and a status, too."""
    _, found, listed = message.partition(" (through the relay: ")
    assert found and listed.endswith(")"), f"the sources are not listed: {message}"
    return dict(entry.split(": ", 1) for entry in listed[:-1].split("; "))


class Faults:
    """The fake registry as upstream of all cells, its ports as their mirrors."""

    def __init__(self, folder):
        self.registry = FakeMirrors(folder)
        self.certificate = self_signed(folder)

    def __enter__(self):
        self.registry.start()
        self.foreign, = self.registry.open_ports(1)
        self.bad_tls, = self.registry.open_ports(1, self.certificate)
        self.registry.add_rule(port=self.foreign, path="^/token", body={"token": "of-a-foreign-realm"})
        other = self.registry.mirrored_image("team/other", "stable", "another image", big_bytes=10)
        self.other = {"index": (self._manifest(other.index), INDEX),
                      "manifest": (self._manifest(other.manifest), MANIFEST)}
        return self

    def __exit__(self, *_):
        self.registry.stop()

    def _manifest(self, digest):
        return self.registry.get(f"team/other/manifests/{digest}")[0].decode()

    def open(self, cell):
        """The mirrors' ports and URLs: before the daemon is configured."""
        tls = cell.fault.host == "https:" and cell.position != DYING
        cell.ports = [self.registry.open_ports(1, self.certificate if tls and at in cell.faulty else None)[0]
                      for at in range(cell.mirrors)]
        cell.urls = [self._url(cell, at) for at in range(cell.mirrors)]

    @staticmethod
    def _url(cell, at):
        named = cell.fault.host if at in cell.faulty and cell.position != DYING else None
        if named == "https:":
            return f"https://127.0.0.1:{cell.ports[at]}"
        return f"http://{named.format(cell.number)}:{cell.ports[at]}" if named else f"http://127.0.0.1:{cell.ports[at]}"

    def arm(self, cell):
        """Stores the cell's image, and lets the fault come."""
        cell.image = self.registry.mirrored_image(cell.repo, "stable", f"image of {cell.name}")
        rules = [rule for at in cell.faulty for rule in self._rules(cell, cell.ports[at])]
        if cell.position == NOTHING:
            rules.append({"port": self.registry.port, "path": f"^/v2/{cell.repo}/", "method": "GET", "status": 500,
                          "name": cell.upstream_rule})
        for rule in rules:
            self.registry.add_rule(**rule)
        if cell.fault.state and cell.position != DYING:
            for at in cell.faulty:
                self.registry.set_state(cell.ports[at], cell.fault.state)

    def _rules(self, cell, port):
        rules = [{"port": port, **rule} for rule in self._of_fault(cell, port)]
        if cell.position == DYING:  # all is well until the index was served
            last = {"then": cell.fault.state, "method": "GET"} if cell.fault.state else {}
            rules.insert(0, {"port": port, "path": cell.path("index"), **last})
        return rules

    def _of_fault(self, cell, port):
        fault = cell.fault
        if fault.host and cell.position == DYING:  # it sends its clients on to such a place
            named, bad_tls = f"http://{fault.host.format(cell.number)}", f"https://127.0.0.1:{self.bad_tls}"
            place = bad_tls if fault.host == "https:" else named
            return [{"name": "fault", "path": f"^/v2/{cell.repo}/", "redirect": place + "{path}"}]
        if fault.rule is None:
            return []
        rule, what = {"name": "fault", **fault.rule}, cell.what
        if what:
            rule["path"] = cell.path(what)
        if "redirect" in rule:
            rule["redirect"] = rule["redirect"].format(port=port)
        if rule.get("status") == 401:
            rule["headers"] = {"WWW-Authenticate": f'Bearer realm="http://127.0.0.1:{self.foreign}/token",'
                               f'service="foreign",scope="repository:{cell.repo}:pull"'}
        if rule.get("status") == 200:
            body, media_type = self.other[what]
            rule.update(body=body, headers={"Content-Type": media_type,
                                            "Docker-Content-Digest": getattr(cell.image, what)})
        return [rule]

    def mend_upstream(self, cell):
        self.registry.delete_rules(cell.upstream_rule)

    def served(self, cell):
        """Who served content of the cell's image, as far as the log goes: {"mirror 1": n, ..., "upstream": n}."""
        names = {port: f"mirror {at}" for at, port in enumerate(cell.ports, 1)} | {self.registry.port: "upstream"}
        found = [names[entry["port"]] for entry in self.registry.log("GET", f"/v2/{cell.repo}/")
                 if entry["rule"] is None and entry["status"] in (200, 206) and entry["port"] in names]
        return {name: found.count(name) for name in sorted(set(found))}

    def told_mirrors(self):
        """Requests with an Authorization header, other than the foreign realm's own token, at any mirror."""
        return [entry for entry in self.registry.log() if entry["port"] != self.registry.port
                and any(name.lower() == "authorization" and value != "Bearer of-a-foreign-realm"
                        for name, value in entry["headers"])]

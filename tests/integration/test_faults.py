# SPDX-License-Identifier: Apache-2.0
"""Every fault that a mirror can have, in every position: the pull succeeds, and leaves nothing spoilt.

After each pull nothing half-written is left of the image. Then it is removed, and containerd itself, asked
directly, pulls it once more. With CRI_RESOLVED_FULL=1 each fault is met in all positions, else in one, another
one for each containerd. The outcome is printed as a table; its seconds are for people."""
import concurrent.futures
import os
import re
import threading
import time
import traceback
import unittest

import grpc

from tests.integration.content_case import ContentCase
from tests.integration.faults import FAULTS, FIRST, NOTHING, POSITIONS, Faults, failures_of, plan
from tests.integration.harness import Containerd, Cri, Daemon, Folder, Registry, containerd_version, free_port
from tests.integration.harness.cri import auth_config

CONTAINERDS = ("1.6", "1.7", "2")
TIMEOUT_S = 600
WORKERS = 3  # the cells mostly wait
WHICH = containerd_version()
PLAN = plan(WHICH, os.environ.get("CRI_RESOLVED_FULL") == "1")
PATIENCE = {"connect_timeout": "3s", "first_byte_timeout": "3s", "stall_timeout": "1s"}  # a slow machine needs some: a TLS handshake, too
CREDENTIALS = auth_config(username="ann", password="word-of-ann")
SHORT = {"mirror 1": "m1", "mirror 2": "m2", "upstream": "up"}
HEALTHY, BASE_LINE = "healthy.example", "none (docker-registry)"


class Matrix(ContentCase):
    """A test for each cell; all have run, a few at a time, when the first one reports."""

    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.faults = cls.enterClassContext(Faults(cls.folder))
        cls.registry = cls.enterClassContext(Registry(cls.folder, name="real-upstream"))
        cls.healthy_ports = cls.faults.registry.open_ports(2)
        for cell in PLAN:
            cls.faults.open(cell)
        cls._start()
        cls.rows, cls.lock = {}, threading.Lock()
        cls.outcomes = {}
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            for cell, seen in zip(PLAN, pool.map(cls._try, PLAN)):
                cls.outcomes[cell.name] = seen

    @classmethod
    def _start(cls):
        upstream, port = cls.faults.registry.url, free_port()
        hosts = {cell.host: upstream for cell in PLAN} | {HEALTHY: cls.registry.url}
        cls.containerd = cls.enterClassContext(Containerd(cls.folder, upstreams=hosts))
        cls.containerd.set_upstream(f"127.0.0.1_{port}_", f"http://127.0.0.1:{port}")
        entries = {cell.host: {"server": upstream, "mirrors": cell.urls} for cell in PLAN}
        entries[HEALTHY] = {"server": cls.registry.url, "mirrors": [f"http://127.0.0.1:{p}" for p in cls.healthy_ports]}
        near = "127.0.0.1,localhost,::1,.invalid"  # that a name cannot be resolved is for us to find
        cls.daemon = cls.enterClassContext(Daemon(cls.folder, cls.containerd, entries, relay={"port": port, **PATIENCE},
                                                  env={"NO_PROXY": near, "no_proxy": near}))
        cls.cri = cls.enterClassContext(Cri(cls.daemon.socket))
        cls.direct = cls.enterClassContext(Cri(cls.containerd.socket))

    @classmethod
    def tearDownClass(cls):
        print(f"note: fault matrix (containerd {WHICH})")
        print(f"note:   {'':24} | " + " | ".join(f"{position:31}" for position in POSITIONS))
        for name in (BASE_LINE, *(fault.name for fault in FAULTS)):
            seen = [cls.rows.get((name, position), "-") for position in POSITIONS]
            print(f"note:   {name:24} | " + " | ".join(f"{text:31}" for text in seen))

    # --- a cell ---

    @classmethod
    def _try(cls, cell):
        """None, or what went wrong, with the daemon's words about it."""
        try:
            row, error = cls(methodName="test_no_mirror_is_told_credentials")._run_cell(cell), None
        except Exception:  # pylint: disable=broad-except
            lines = [line for line in cls.daemon.log().splitlines() if cell.mentioned_in(line)]
            row, error = "FAILED", "\n".join([traceback.format_exc(), "the log of cri-resolved:", *lines[-40:]])
        with cls.lock:
            cls.rows[cell.fault.name, cell.position] = row
        return error

    def _run_cell(self, cell):
        self.faults.arm(cell)
        if cell.what == "big":  # what was written of it stays until somebody aborts it
            self.keep(cell.host, "ingests", f"layer-{cell.image.big}")
        started = time.monotonic()
        seen = self._failure(cell) if cell.position == NOTHING else self._success(cell)
        seconds = time.monotonic() - started
        self._check_fault_was_met(cell)
        self.faults.mend_upstream(cell)
        self.pull_directly(cell.image, cell.reference)
        return f"ok {seconds:4.1f} s {seen}"

    def _success(self, cell):
        self.cri.pull(cell.reference, CREDENTIALS)
        self.check_content(cell.image, cell.reference)
        served = self.faults.served(cell)
        if cell.position == FIRST:
            self.assertIn("mirror 2", served, f"the second mirror is healthy: {served}")
        self.direct.remove_image(cell.image.config)
        return ", ".join(f"{SHORT[name]}:{count}" for name, count in served.items())

    def _failure(self, cell):
        with self.assertRaises(grpc.RpcError) as caught:
            self.cri.pull(cell.reference, CREDENTIALS)
        message = caught.exception.details()
        self.assertEqual("UNKNOWN", caught.exception.code().name, message)  # a registry's error: kubelet comes back
        failures = failures_of(message)
        self.assertEqual([*cell.urls, cell.host], list(failures), message)
        for source, why in ((cell.urls[0], cell.fault.why), (cell.urls[1], cell.fault.why), (cell.host, "500")):
            self.assertRegex(failures[source], why, source)
        self.assertLessEqual(set(self.ingests(cell.image).values()), {"0B"}, "containerd's last, vain, try opens some")
        return "error, all named"

    def _check_fault_was_met(self, cell):
        """It was: the daemon says so, with the reason."""
        log = self.daemon.log()
        for at in cell.faulty:
            self.assert_reason(cell, cell.failures(log, at), f"of {cell.urls[at]}")

    def assert_reason(self, cell, reasons, where):
        self.assertTrue(any(re.search(cell.fault.why, reason) for reason in reasons), f"{reasons}, not {cell.fault.why}: {where}")

    # --- over all cells ---

    def test_no_mirror_is_told_credentials(self):
        self.assertEqual([], self.faults.told_mirrors())

    def test_no_name_of_the_relay_is_left(self):
        self.check_no_relay_name()

    def test_healthy_mirrors_of_a_real_registry(self):
        """The base line: no fault at all, and docker-registry as upstream, which gives no content."""
        repo = "team/healthy"
        image = self.faults.registry.mirrored_image(repo, "stable", "healthy")
        self.faults.registry.copy(repo, "stable", self.registry)
        before = len(self.registry.requests())
        self.assertEqual(image.config, self.cri.pull(f"{HEALTHY}/{repo}:stable", CREDENTIALS))
        self.assertEqual(image.index, self.containerd.store()[f"{HEALTHY}/{repo}:stable"].digest)
        self.assertEqual(["HEAD"], [request.method for request in self.registry.requests()[before:]])
        asked = [entry["port"] for entry in self.faults.registry.log("GET", f"/v2/{repo}/blobs/")
                 if entry["port"] != self.faults.registry.port]
        self.assertEqual([self.healthy_ports[0]] * 3, asked)
        self.rows[BASE_LINE, FIRST] = "ok, all from mirror 1"


def _test_of(cell):
    def test(self):
        error = self.outcomes[cell.name]
        if error is not None:
            self.fail(f"{cell.name}:\n{error}")
    return test


for _cell in PLAN:
    setattr(Matrix, "test_" + re.sub(r"\W+", "_", _cell.name), _test_of(_cell))


if __name__ == "__main__":
    unittest.main()

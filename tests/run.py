#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the tests: tests/run.py [lint] [unit] [integration [NAME...]] [packages [NAME...]]

Every cmocka program and every Python module is a process of its own, in a process group and a temp
folder of its own, with a time-out; a module of integration or packages also in a network namespace of its
own, in which there is only loopback. A module says at its top level what it needs, as plain constants:

    CONTAINERDS = ("1.6", "1.7", "2")   one process for each; CRI_RESOLVED_CONTAINERD names it
    SUITES = ("bookworm", "trixie")     likewise; CRI_RESOLVED_SUITE names it
    TIMEOUT_S = 300                     instead of 240
    ALONE = True                        nothing else runs meanwhile

Output from "note: " to the end of its line is shown also when the module passes. The last line is
"N passed, N failed, N skipped", over all cmocka tests and Python test cases.
"""
import ast
import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # modules are tests.integration.test_x, wherever this was called from

from tests.integration.harness import isolate, sweep  # noqa: E402

JOBS = int(os.environ.get("CRI_RESOLVED_JOBS", "4"))  # the tests mostly wait
DEFAULT_TIMEOUT_S = 240


class Job:
    """One process: what to run, and how it went."""

    def __init__(self, name, command, timeout_s, alone=False, env=None):
        self.name, self.command, self.timeout_s, self.alone = name, command, timeout_s, alone
        self.env = env or {}
        self.passed = self.failed = self.skipped = 0
        self.output, self.seconds, self.skips = "", 0.0, []

    def run(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="crj-"))
        folder.chmod(0o711)  # tests that speak as another user must get through
        started = time.monotonic()
        try:
            self._count(folder, self._run_in(folder))
        except OSError as error:
            self.fail(f"could not be run: {error}")
        finally:
            self.seconds = time.monotonic() - started
            sweep.sweep(folder)
            shutil.rmtree(folder, ignore_errors=True)
        return self

    def _run_in(self, folder):
        env = {**os.environ, **self.env, "TMPDIR": str(folder), "CMOCKA_MESSAGE_OUTPUT": "TAP",
               "PYTHONDONTWRITEBYTECODE": "1", "CRI_RESOLVED_RESULT": str(folder / "result.json")}
        with open(folder / "output", "wb") as out:
            child = subprocess.Popen(self.command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=out,
                                     stderr=subprocess.STDOUT, start_new_session=True)
            try:
                code = child.wait(self.timeout_s)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGTERM)  # Python: SystemExit, so that parts show their logs
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(15)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                code = None
        self.output = (folder / "output").read_text(errors="replace")
        return code

    def _count(self, folder, code):
        self.read_result(folder, code)
        if code is None:
            self.fail(f"not finished after {self.timeout_s} s")
        elif code != 0 and not self.failed:
            self.fail(f"ended with {code}")
        elif code == 0 and not self.passed + self.failed + self.skipped:
            self.fail("ran no test")
        left = self._left_behind(folder) if code is not None else []
        if left:
            self.fail(f"left processes behind: {left}")

    @staticmethod
    def _left_behind(folder):
        deadline = time.monotonic() + 5
        while (left := sweep.processes_of(folder)) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left

    def fail(self, why):
        self.failed += 1
        self.output += f"\n{self.name}: {why}\n"

    def read_result(self, folder, code):
        raise NotImplementedError


class Program(Job):
    """A cmocka program, which speaks TAP."""

    def read_result(self, folder, code):
        plan = re.search(r"^1\.\.(\d+)", self.output, re.M)
        for verdict, rest in re.findall(r"^(ok|not ok) \d+(.*)$", self.output, re.M):
            if "# SKIP" in rest:
                self.skipped += 1
                self.skips.append(rest)
            elif verdict == "ok":
                self.passed += 1
            else:
                self.failed += 1
        missing = int(plan.group(1)) - self.passed - self.failed - self.skipped if plan else 0
        if missing > 0:
            self.fail(f"ended in the middle, {missing} tests did not report")


class Module(Job):
    """A Python module, which leaves its result in a file."""

    def read_result(self, folder, code):
        path = folder / "result.json"
        if path.exists():
            result = json.loads(path.read_text())
            self.passed, self.failed = result["passed"], result["failed"]
            self.skipped, self.skips = len(result["skips"]), result["skips"]


def constants(path):
    """The plain constants at the top level of a module, without importing it."""
    found = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            with contextlib.suppress(ValueError):
                found[node.targets[0].id] = ast.literal_eval(node.value)
    return found


VARIANTS = {"CONTAINERDS": "CRI_RESOLVED_CONTAINERD", "SUITES": "CRI_RESOLVED_SUITE"}


def variants(says):
    """(what is shown of it, its environment), for each process that the module wants."""
    for constant, variable in VARIANTS.items():
        if constant in says:
            return [(f" [{which}]", {variable: which}) for which in says[constant]]
    return [("", {})]


def module_jobs(path):
    says = constants(path)
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    command = [sys.executable, __file__, "--module", name]
    for which, env in variants(says):
        yield Module(name.removeprefix("tests.") + which, command, says.get("TIMEOUT_S", DEFAULT_TIMEOUT_S),
                     says.get("ALONE", False), env)


def python_jobs(folder, names=()):
    paths = sorted((ROOT / "tests" / folder).glob("**/test_*.py"))
    if names:
        known = {path.stem.removeprefix("test_"): path for path in paths}
        wanted = [name.removeprefix("test_").removesuffix(".py") for name in names]
        unknown = [name for name in wanted if name not in known]
        if unknown:
            sys.exit(f"no such test: {', '.join(unknown)}; there are: {', '.join(known)}")
        paths = [known[name] for name in wanted]
    return [job for path in paths for job in module_jobs(path)]


def build_folder():
    return ROOT / "build" / os.environ.get("CRI_RESOLVED_PRESET", "debug")


def unit_programs():
    """The programs of today's sources: a build folder may still hold older ones."""
    programs = []
    for source in sorted((ROOT / "tests/unit").glob("*/test_*.c")):
        name = f"{source.parent.name}_{source.stem}"
        programs.append(Program(f"unit.{name}", [build_folder() / "unit" / name], 120))
    return programs


NAMED = ("integration", "packages")  # names of modules may follow


def collect(arguments):
    jobs, names = [], []
    for at, kind in enumerate(arguments):
        if kind in NAMED:
            names, arguments = arguments[at + 1:], arguments[:at + 1]
            break
    for kind in arguments:
        if kind == "lint":
            jobs += python_jobs("lint")
        elif kind == "unit":
            jobs += unit_programs() + python_jobs("unit")
        elif kind in NAMED:
            jobs += python_jobs(kind, names)
        else:
            sys.exit(f"unknown kind of test: {kind}\n{__doc__}")
    return jobs


def show(job):
    verdict = "FAIL" if job.failed else "ok  "
    print(f"{verdict} {job.name}: {job.passed} passed, {job.failed} failed, {job.skipped} skipped ({job.seconds:.1f} s)")
    if job.failed:
        print(*("     | " + line for line in job.output.splitlines()), sep="\n")
    else:
        for note in re.findall(r"note: .*", job.output):
            print(f"     {note}")
    for skip in job.skips:
        print(f"     skipped: {skip}")
    sys.stdout.flush()


RULE = "=" * 70 + "\n"  # of unittest, before each failure
GOOD = re.compile(r"ok \d|\d+\.\.\d+|.* \.\.\. ok$")
ERROR = re.compile(r"[\w.]*(Error|Exception|Failure)\b")
ESSENCE_LINES = 16  # of each failure


def essence(job):
    """What has failed, short: the first line of each failure, which names it, what was raised, and its last lines."""
    failures = job.output.split(RULE)[1:] or [
        "\n".join(line for line in job.output.splitlines() if not GOOD.match(line))]
    text = f"{job.name}:\n"
    for failure in failures:
        first, *others = failure.strip().splitlines() or [""]
        tail = max(len(others) - ESSENCE_LINES, 0)
        raised = next((at for at, line in enumerate(others) if ERROR.match(line)), tail)
        kept = [first, *others[raised:min(raised + 3, tail)], *others[tail:]]
        text += "".join(f"     | {line}\n" for line in kept)
    return text


def tell_failures(jobs):
    """Once more, at the end: a log may be cut in its middle. .ci/run collects those of all its parts."""
    text = "".join("\n" + essence(job) for job in jobs if job.failed)
    print(text, end="")
    if os.environ.get("CRI_RESOLVED_FAILURES"):
        with open(os.environ["CRI_RESOLVED_FAILURES"], "a", encoding="utf-8") as out:
            out.write(text)


def run_jobs(jobs):
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        together = sorted((job for job in jobs if not job.alone), key=lambda job: -job.timeout_s)
        for done in concurrent.futures.as_completed([pool.submit(job.run) for job in together]):
            show(done.result())
    for job in jobs:
        if job.alone:
            show(job.run())


def main(arguments):
    jobs = collect(arguments or ["lint", "unit", "integration"])
    os.environ.setdefault("CRI_RESOLVED_BIN", str(build_folder() / "cri-resolved"))
    started = time.monotonic()
    run_jobs(jobs)
    passed, failed, skipped = (sum(getattr(job, kind) for job in jobs) for kind in ("passed", "failed", "skipped"))
    bad = [job.name for job in jobs if job.failed]
    tell_failures(jobs)
    print(f"\n{len(jobs)} programs in {time.monotonic() - started:.0f} s" + (f"; failed: {', '.join(bad)}" if bad else ""))
    tally = os.environ.get("CRI_RESOLVED_TALLY")  # .ci/run sums several runs up
    if tally:
        with open(tally, "a", encoding="utf-8") as out:
            print(passed, failed, skipped, file=out)
        print(f"so far in this part: passed {passed}, failed {failed}, skipped {skipped}")
    else:
        print(f"{passed} passed, {failed} failed, {skipped} skipped")
    if failed or not passed or (skipped and os.environ.get("CI") == "true"):
        return 1
    return 0


def end_late(_, frame):
    """Where it stood is half of why."""
    traceback.print_stack(frame)
    sys.exit("ended by the runner: too late")


def run_module(name):
    """In the child: one module's tests, their result in the file that the parent reads."""
    signal.signal(signal.SIGTERM, end_late)
    if name.startswith(tuple(f"tests.{kind}." for kind in NAMED)):
        isolate.only_loopback()
    suite = unittest.defaultTestLoader.loadTestsFromName(name)
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    bad = {str(getattr(test, "test_case", test)) for test, _ in result.failures + result.errors}
    bad |= {str(test) for test in result.unexpectedSuccesses}
    skips = [f"{test}: {why}" for test, why in result.skipped + result.expectedFailures]
    pathlib.Path(os.environ["CRI_RESOLVED_RESULT"]).write_text(json.dumps(
        {"passed": max(0, result.testsRun - len(bad) - len(skips)), "failed": len(bad), "skips": skips}))
    return 1 if bad else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--module"]:
        sys.exit(run_module(sys.argv[2]))
    sys.exit(main(sys.argv[1:]))

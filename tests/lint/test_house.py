# SPDX-License-Identifier: Apache-2.0
"""The rules of the house that a program can check: layers, doors, sizes, names, formatting."""

import os
import re
import shutil
import statistics
import subprocess
import unittest

TIMEOUT_S = 1200  # clang-tidy reads every file, on all processors that nobody else has

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# A folder may include itself and what stands before it.
LAYERS = ["base", "config", "resolver", "relay", "nri", "shim"]
NRI_MAY_INCLUDE = {"nri", "base"}  # it knows neither images nor registries
CTL_MAY_INCLUDE = {"ctl", "base", "config", "resolver"}
CTL_SHIM_HEADERS = {"shim/rpc.h", "shim/images.h"}

# header prefix -> the only files that may include it
DOORS = {
    "curl/": {"resolver/http_pool.h", "resolver/http_exchange.h", "resolver/http_authorities.h",
              "resolver/http_url.c"},
    "microhttpd": {"relay/httpd.c"},
    "grpc/": {"shim/rpc.c", "shim/rpc_connection.h", "shim/rpc_connection.c", "shim/proxy.c",
              "shim/proxy_pass.c", "shim/proxy_handle.c", "shim/proxy_accept.c", "shim/proxy_drain.c", "shim/proxy_internal.h"},
    "toml++/": {"config/toml.cpp"},
    "openssl/": {"base/digest.c", "resolver/http_authorities.c"},
    "systemd/": {"shim/manager.c"},
    "yaml.h": {"ctl/yaml.c"},
}

BANNED = re.compile(
    r"\b(strcpy|strcat|sprintf|vsprintf|gets|strtok|alloca|system|popen|tmpnam|atoi|atol|rand"
    r"|signal_unsafe|setjmp|longjmp|malloc|strdup|calloc|realloc|strndup|asprintf)\s*\(")
ALLOCATORS = {"base/mem.c", "base/mem.h"}

FUNCTION_MAX, FUNCTION_P90, FUNCTION_MEDIAN, FILE_MAX = 80, 45, 15, 600
PRODUCT = tuple(LAYERS + ["ctl"])


def tracked(*suffixes):
    """Files of the tree as git knows them; without git (an unpacked archive), as the folder has them."""
    try:
        out = subprocess.run(["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others",
                              "--exclude-standard"], capture_output=True, check=True).stdout
        names = [n for n in out.decode().split("\0") if n]
    except (OSError, subprocess.CalledProcessError):
        names = [os.path.relpath(os.path.join(d, f), ROOT)
                 for d, _, files in os.walk(ROOT) for f in files]
    return sorted(n for n in names if n.endswith(suffixes) and os.path.exists(os.path.join(ROOT, n)))


def product_files(*suffixes):
    return [n for n in tracked(*suffixes) if n.split("/")[0] in PRODUCT]


def text(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as f:
        return f.read()


def without_comments(source):
    source = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), source, flags=re.S)
    return re.sub(r'"(\\.|[^"\\\n])*"', '""', re.sub(r"//[^\n]*", "", source))


def includes(name):
    return re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', text(name), flags=re.M)


def functions(name):
    """(name, lines of the body's block with its braces) of each function: the formatter puts a
    function's braces, and no others, in the first column."""
    lines, found, start = text(name).split("\n"), [], None
    for number, line in enumerate(lines):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            head = " ".join(lines[max(0, start - 4):start])
            match = re.findall(r"(\w+)\s*\(", head)
            found.append((match[-1] if match else "?", number - start + 1))
            start = None
    return found


class House(unittest.TestCase):
    def check(self, offences):
        self.assertEqual([], offences, "\n" + "\n".join(offences))

    def test_there_is_something_to_check(self):
        self.assertGreater(len(product_files(".c")), 15)
        self.assertGreater(sum(len(functions(f)) for f in product_files(".c")), 150)

    def test_includes_go_down_only(self):
        offences = []
        for name in product_files(".c", ".h", ".cpp"):
            layer = name.split("/")[0]
            for header in includes(name):
                target = header.split("/")[0]
                if layer == "ctl":
                    ok = target not in PRODUCT or target in CTL_MAY_INCLUDE or header in CTL_SHIM_HEADERS
                else:
                    ok = target not in LAYERS or LAYERS.index(target) <= LAYERS.index(layer)
                    ok = ok and target != "ctl" and (layer != "nri" or target not in PRODUCT or target in NRI_MAY_INCLUDE)
                if not ok:
                    offences.append(f"{name} includes {header}: upwards")
        self.check(offences)

    def test_headers_have_no_cycles(self):
        edges = {n: [h for h in includes(n) if h.split("/")[0] in PRODUCT] for n in product_files(".h")}
        done, offences = set(), []

        def walk(node, path):
            if node in path:
                offences.append(" -> ".join(path[path.index(node):] + [node]))
            elif node not in done:
                for header in edges.get(node, []):
                    walk(header, path + [node])
                done.add(node)

        for name in edges:
            walk(name, [])
        self.check(offences)

    def test_each_library_has_one_door(self):
        offences = []
        for name in product_files(".c", ".h", ".cpp"):
            for header in includes(name):
                for prefix, doors in DOORS.items():
                    if header.startswith(prefix) and name not in doors:
                        offences.append(f"{name} includes <{header}>: its door is {sorted(doors)}")
        self.check(offences)

    def test_banned_functions(self):
        offences = []
        for name in product_files(".c", ".h"):
            if name in ALLOCATORS:
                continue
            for number, line in enumerate(without_comments(text(name)).split("\n"), 1):
                for match in BANNED.finditer(line):
                    offences.append(f"{name}:{number}: {match.group(1)}(): see base/mem.h, base/buf.h")
        self.check(offences)

    def test_sizes(self):
        offences, lengths = [], []
        for name in product_files(".c", ".cpp"):
            for function, lines in functions(name):
                lengths.append(lines)
                if lines > FUNCTION_MAX:
                    offences.append(f"{name}: {function} has {lines} lines (at most {FUNCTION_MAX})")
        for name in tracked(".c", ".h", ".cpp", ".py"):
            count = text(name).count("\n")
            if count > FILE_MAX:
                offences.append(f"{name} has {count} lines (at most {FILE_MAX})")
        lengths.sort()
        median, p90 = statistics.median(lengths), lengths[int(len(lengths) * 0.9)]
        if median > FUNCTION_MEDIAN or p90 > FUNCTION_P90:
            offences.append(f"functions: median {median}, 90 % {p90} "
                            f"(at most {FUNCTION_MEDIAN}, {FUNCTION_P90})")
        self.check(offences)

    def test_every_file_names_its_licence(self):
        named = tracked(".c", ".h", ".cpp", ".def", ".proto", ".py", ".sh", ".cmake", "CMakeLists.txt")
        named += [n for n in ("dev", ".ci/run", ".clang-format", ".clang-tidy") if n in tracked("")]
        self.check([n for n in named
                    if text(n).strip() and "SPDX-License-Identifier: Apache-2.0" not in text(n)[:200]])

    def test_headers_say_what_for_and_guard_themselves(self):
        offences = []
        for name in product_files(".h"):
            source = text(name)
            if not re.match(r"/\* SPDX[^\n]*\n/\*", source):
                offences.append(f"{name}: does not open with what it is for")
            if not re.search(r"#ifndef (CRI_RESOLVED_\w+_H)\n#define \1\n", source):
                offences.append(f"{name}: no include guard CRI_RESOLVED_..._H")
        self.check(offences)

    def test_no_fixed_sleeps_in_tests(self):
        offences = []
        for name in tracked(".py", ".c", ".sh", "dev"):
            if name.startswith("tests/") or name == "dev":
                for number, line in enumerate(text(name).split("\n"), 1):
                    if re.search(r"^\s*(time\.sleep|sleep|usleep|nanosleep)[ (]\s*[1-9]", line):
                        offences.append(f"{name}:{number}: sleeps: wait for the event")
        self.check(offences)

    def test_formatting(self):
        files = tracked(".c", ".h", ".cpp")
        run = subprocess.run(["clang-format", "--dry-run", "--Werror", *files], cwd=ROOT,
                             capture_output=True, text=True)
        self.check([l for l in run.stderr.split("\n") if "error:" in l])
        self.assertEqual(run.returncode, 0, run.stderr)

    def test_clang_tidy(self):
        build = os.environ.get("CRI_RESOLVED_BUILD", os.path.join(ROOT, "build", "debug"))
        files = product_files(".c")
        self.assertTrue(shutil.which("run-clang-tidy"), "run-clang-tidy is not installed")
        run = subprocess.run(["run-clang-tidy", "-quiet", "-p", build,
                              *["^" + re.escape(os.path.join(ROOT, f)) + "$" for f in files]],
                             cwd=ROOT, capture_output=True, text=True)
        self.check(sorted({l for l in run.stdout.split("\n") if re.search(r"(error|warning): ", l)}))
        self.assertEqual(run.returncode, 0, run.stdout[-3000:] + run.stderr[-3000:])


if __name__ == "__main__":
    unittest.main()

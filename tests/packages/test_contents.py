# SPDX-License-Identifier: Apache-2.0
"""What is in the packages: files, modes and owners; what lintian and rpmlint say; what they need of the system."""
import re
import shutil
import stat
import subprocess
import unittest

from tests import pages
from tests.integration.harness import Folder
from tests.integration.harness.parts import ROOT, environment
from tests.packages import packages
from tests.packages.packages import say

PROGRAMS = ("/usr/bin/cri-resolved", "/usr/bin/cri-resolvectl")
BOTH = {
    *PROGRAMS,
    "/etc/cri-resolved/config.toml",
    "/usr/lib/systemd/system-preset/95-cri-resolved.preset",
    "/usr/share/bash-completion/completions/cri-resolvectl",
    "/usr/share/doc/cri-resolved/copyright",
    "/usr/share/fish/vendor_completions.d/cri-resolvectl.fish",
    "/usr/share/man/man1/cri-resolvectl.1.gz",
    "/usr/share/man/man5/cri-resolved.toml.5.gz",
    "/usr/share/man/man8/cri-resolved.8.gz",
}
OWN = {
    ".deb": {"/usr/share/doc/cri-resolved/changelog.gz", "/usr/share/zsh/vendor-completions/_cri-resolvectl"},
    ".rpm": {"/usr/share/licenses/cri-resolved/LICENSE", "/usr/share/zsh/site-functions/_cri-resolvectl"},
}

# The libraries that every distribution has under the same name, and the symbol versions that are their authors' own.
LIBRARIES = {
    "libcares.so.2": r"^$", "libcrypto.so.3": r"OPENSSL_3\.0\.0", "libcurl.so.4": r"^$", "libgcc_s.so.1": r"GCC_[0-9.]+",
    "libjansson.so.4": r"libjansson\.so\.4", "libmicrohttpd.so.12": r"^$",
    "libprotobuf-c.so.1": r"LIBPROTOBUF_C_1\.[03]\.0", "libssl.so.3": r"OPENSSL_3\.0\.0",
    "libsystemd.so.0": r"LIBSYSTEMD_[0-9]+", "libyaml-0.so.2": r"^$", "libz.so.1": r"^$",
    "libc.so.6": r"GLIBC_[0-9.]+", "libm.so.6": r"GLIBC_[0-9.]+", "ld-linux-x86-64.so.2": r"GLIBC_[0-9.]+",
}
NEWEST = {"GLIBC": (2, 34), "GCC": (7, 0, 0), "LIBSYSTEMD": (239,)}  # what RHEL 9 and Amazon Linux 2023 have for sure


def shipped(folder):
    """What folders of the sources say goes into both packages."""
    units = {f"/usr/lib/systemd/system/{path.name}" for kind in ("service", "socket")
             for path in (ROOT / "packaging/systemd").glob(f"*.{kind}")}
    return units | pages.installed()


def names_the_build(path):
    """Whether a file tells where it was built."""
    return str(ROOT).encode() in path.read_bytes()


class Case(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.trees = {package.suffix: packages.unpack(package, cls.folder) for package in (packages.deb(), packages.rpm())}
        cls.tree = cls.trees[".deb"]


class Contents(Case):
    def test_files(self):
        for kind, tree in self.trees.items():
            with self.subTest(kind):
                found = {f"/{path.relative_to(tree)}" for path in tree.rglob("*") if not path.is_dir()}
                self.assertEqual(BOTH | OWN[kind] | shipped(kind), found)

    def test_both_hold_the_same(self):
        for name in sorted(BOTH | shipped(None)):
            deb, rpm = (self.trees[kind] / name.lstrip("/") for kind in (".deb", ".rpm"))
            self.assertTrue(deb.read_bytes() == rpm.read_bytes(), name)

    def test_modes_and_owners(self):
        listed = {}
        for line in say("dpkg-deb", "-c", packages.deb()).splitlines():
            mode, owner, *_, name = line.split()
            listed[name] = (mode, owner)
        for line in say("rpm", "-qp", "--queryformat", "[%{FILEMODES:perms} %{FILEUSERNAME}/%{FILEGROUPNAME} %{FILENAMES}\n]",
                        packages.rpm()).splitlines():
            mode, owner, name = line.split()
            listed[f"rpm:{name}"] = (mode, owner)
        for name, (mode, owner) in listed.items():
            program = name.lstrip(".").removeprefix("rpm:") in PROGRAMS
            expected = "drwxr-xr-x" if mode.startswith("d") else "-rwxr-xr-x" if program else "-rw-r--r--"
            self.assertEqual((expected, "root/root"), (mode, owner), name)

    def test_the_configuration_is_marked_as_such(self):
        self.assertEqual(f"{packages.CONFIG}\n", say("dpkg-deb", "-I", packages.deb(), "conffiles"))
        flags = say("rpm", "-qp", "--queryformat", "[%{FILENAMES} %{FILEFLAGS:fflags}\n]", packages.rpm())
        self.assertIn(f"{packages.CONFIG} cn\n", flags)  # config, noreplace

    def test_checksums_are_those_of_the_files(self):
        control = self.folder.sub("control")
        say("dpkg-deb", "-e", packages.deb(), control)
        shutil.copy(control / "md5sums", self.tree.parent / "md5sums")
        say("md5sum", "--quiet", "-c", self.tree.parent / "md5sums", cwd=self.tree)

    def test_lintian(self):
        done = subprocess.run(["lintian", "--fail-on", "error,warning", "--no-tag-display-limit", packages.deb()],
                              capture_output=True, text=True, check=False)
        self.assertEqual((0, ""), (done.returncode, done.stdout))
        self.assertFalse((self.tree / "usr/share/lintian").exists(), "overrides of our own")

    def test_rpmlint(self):
        done = subprocess.run(["rpmlint", "-c", ROOT / "packaging/rpm/rpmlint.toml", packages.rpm()],
                              capture_output=True, text=True, check=False)
        self.assertEqual(0, done.returncode, done.stdout)
        self.assertIn("0 errors, 0 warnings", done.stdout)


class Configuration(Case):
    """The file that is installed says nothing by itself, and shows what can be said."""

    def check(self, text):
        path = self.folder.path / "config.toml"
        path.write_text(text)
        return subprocess.run([self.tree / "usr/bin/cri-resolved", "--check", "--config", path], capture_output=True,
                              text=True, env=environment(), check=False)

    def test_it_is_valid_and_empty(self):
        text = (self.tree / packages.CONFIG[1:]).read_text()
        self.assertEqual((0, ""), (self.check(text).returncode, self.check(text).stderr))
        self.assertFalse(re.findall(r"^[a-z].*", text, re.M))

    def test_its_commented_keys_are_the_example(self):
        text = (self.tree / packages.CONFIG[1:]).read_text()
        example = (ROOT / "config/example.toml").read_text()
        named = re.sub(r"^#([a-z_]+ = )", r"\1", text, flags=re.M)
        self.assertEqual(example, named.replace("# Keys that are commented out have the values shown.\n\n", ""))
        self.assertEqual(0, self.check(named).returncode)

    def test_a_mistake_in_it_is_found(self):
        self.assertNotEqual(0, self.check((self.tree / packages.CONFIG[1:]).read_text() + "nonsense = 1\n").returncode)


class Programs(Case):
    """One binary for all distributions."""

    def needs(self, program):
        """(library, symbol version) of all that it needs."""
        found, library = set(), None
        for line in say("readelf", "-VW", self.tree / program[1:]).splitlines():
            if file := re.search(r"Version: \d+ +File: (\S+)", line):
                library = file.group(1)
            elif library and (name := re.search(r"Name: (\S+) ", line)):
                found.add((library, name.group(1)))
        return found

    def test_libraries(self):
        for program in PROGRAMS:
            needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", say("readelf", "-dW", self.tree / program[1:])))
            self.assertTrue({"libc.so.6", "libcurl.so.4"} <= needed)
            self.assertEqual(set(), needed - set(LIBRARIES), program)

    def test_symbol_versions_are_nobodys_own(self):
        for program in PROGRAMS:
            needs = self.needs(program)
            self.assertTrue(any(version.startswith("GLIBC_") for _, version in needs))
            for library, version in needs:
                self.assertRegex(version, f"^{LIBRARIES[library]}$", f"{program} needs it of {library}")

    def test_symbol_versions_are_old_enough(self):
        for program in PROGRAMS:
            for library, version in self.needs(program):
                family, _, number = version.rpartition("_")
                if family in NEWEST:
                    self.assertLessEqual(tuple(map(int, number.split("."))), NEWEST[family], f"{program}: {library}")

    def test_what_the_rpm_requires(self):
        requires = say("rpm", "-qp", "--requires", packages.rpm()).split("\n")
        for line in requires:
            if match := re.fullmatch(r"(\S+\.so\.\d+)\(([^)]*)\)(\(64bit\))?", line):
                library, version = match.group(1), match.group(2)
                self.assertIn(library, LIBRARIES)
                self.assertRegex(version, f"^({LIBRARIES[library]})?$", line)
            else:
                self.assertRegex(line, r"^(|/bin/sh|config\(cri-resolved\) = .*|rpmlib\(.*|rtld\(GNU_HASH\))$")
        self.assertIn("libcurl.so.4()(64bit)", requires)

    def test_the_deb_depends_on_what_both_suites_have(self):
        depends = say("dpkg-deb", "-f", packages.deb(), "Depends")
        self.assertIn("libc6 (>= 2.34)", depends)
        self.assertNotRegex(depends, r"libgrpc|libabsl|libstdc\+\+")

    def test_hardening(self):
        for program in PROGRAMS:
            path = self.tree / program[1:]
            self.assertIn("Type:                              DYN", say("readelf", "-hW", path))
            self.assertRegex(say("readelf", "-dW", path), r"FLAGS_1.*NOW PIE")
            self.assertNotRegex(say("readelf", "-dW", path), r"RPATH|RUNPATH")
            self.assertRegex(say("readelf", "-lW", path), r"GNU_STACK .* RW ")
            self.assertIn("GNU_RELRO", say("readelf", "-lW", path))
            self.assertIn("__stack_chk_fail", say("readelf", "--dyn-syms", "-W", path))
            self.assertIn("_chk@", say("readelf", "--dyn-syms", "-W", path).replace("__stack_chk", ""))

    def test_no_path_of_the_build_is_in_them(self):
        for program in PROGRAMS:
            self.assertFalse(names_the_build(self.tree / program[1:]), program)

    def test_debug_information_lies_beside(self):
        debug = self.folder.sub("debug")
        say("tar", "-xf", packages.debug(), "-C", debug)
        for program in PROGRAMS:
            build_id = re.search(r"Build ID: (\w+)", say("readelf", "-n", self.tree / program[1:])).group(1)
            info = debug / f"usr/lib/debug/.build-id/{build_id[:2]}/{build_id[2:]}.debug"
            self.assertIn(".debug_info", say("readelf", "-SW", info))
            self.assertNotIn(".debug_info", say("readelf", "-SW", self.tree / program[1:]))
            self.assertFalse(names_the_build(info))
            self.assertEqual(0o644, stat.S_IMODE(info.stat().st_mode))

    def test_they_run(self):
        for program in PROGRAMS:
            version = say("dpkg-deb", "-f", packages.deb(), "Version").strip()
            self.assertIn(version, say(self.tree / program[1:], "--version", env=environment()))


class Curl(unittest.TestCase):
    """RHEL 9 has libcurl 7.76, which knows fewer options than the one we build with."""

    OLDEST = (7, 76, 1)
    # Without these everything goes on: see tests/unit/resolver/test_http_old_curl.c.
    DISPENSABLE = {"CURLINFO_CAINFO", "CURLINFO_CAPATH", "CURLOPT_CAINFO_BLOB", "CURLOPT_PROTOCOLS_STR",
                   "CURLOPT_QUICK_EXIT"}
    FUNCTIONS = {f"curl_{name}" for name in (
        "easy_cleanup easy_getinfo easy_init easy_pause easy_reset easy_setopt easy_strerror free global_cleanup "
        "global_init multi_add_handle multi_cleanup multi_info_read multi_init multi_perform multi_poll "
        "multi_remove_handle multi_setopt multi_wakeup slist_append slist_free_all url url_cleanup url_get url_set "
        "version_info").split()}  # all of 7.76

    def test_options(self):
        page = say("gzip", "-dc", "/usr/share/man/man3/libcurl-symbols.3.gz")
        since = {name: tuple(map(int, version.split("."))) for name, version in
                 re.findall(r"^\.IP (\w+)\nIntroduced in ([0-9.]+)", page, re.M)}
        used = {name for path in (ROOT / "resolver").glob("*.[ch]") for name in
                re.findall(r"\bCURL[A-Z]*_[A-Z0-9_]+", path.read_text())} & set(since)
        self.assertIn("CURLOPT_URL", used)
        self.assertEqual(self.DISPENSABLE, {name for name in used if since[name] > self.OLDEST})

    def test_functions(self):
        with Folder() as folder:
            tree = packages.unpack(packages.deb(), folder)
            for program in PROGRAMS:
                needed = set(re.findall(r" UND (curl_\w+)", say("readelf", "--dyn-syms", "-W", tree / program[1:])))
                self.assertTrue(needed)
                self.assertEqual(set(), needed - self.FUNCTIONS)


class Pages(Case):
    def test_manual_pages_are_read_without_complaint(self):
        for page in sorted((self.tree / "usr/share/man").rglob("*.gz")):
            done = subprocess.run(["groff", "-man", "-t", "-ww", "-z", "-Kutf8"], input=subprocess.run(
                ["gzip", "-dc", page], capture_output=True, check=True).stdout, capture_output=True, check=False)
            self.assertEqual((0, b""), (done.returncode, done.stderr), page.name)
            self.assertGreater(page.stat().st_size, 500)

    def test_completions_are_what_the_program_says(self):
        for shell, path in (("bash", "bash-completion/completions/cri-resolvectl"),
                            ("zsh", "zsh/vendor-completions/_cri-resolvectl"),
                            ("fish", "fish/vendor_completions.d/cri-resolvectl.fish")):
            said = say(self.tree / "usr/bin/cri-resolvectl", "completion", shell, env=environment())
            self.assertEqual(said, (self.tree / "usr/share" / path).read_text())

    def test_the_copyright_tells_of_what_is_linked_in(self):
        text = (self.tree / "usr/share/doc/cri-resolved/copyright").read_text()
        for name in ("gRPC", "Abseil", "upb", "address_sorting", "toml++"):
            self.assertIn(name, text)


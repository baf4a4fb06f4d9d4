# SPDX-License-Identifier: Apache-2.0
"""The manual pages of the build: they render without a word of complaint, and say all that the programs'
own help and the sources' tables say."""
import re
import subprocess
import unittest

from tests.integration.harness.ctl import ctl_binary
from tests.integration.harness.daemon import binary
from tests.integration.harness.parts import ROOT, environment

PAGES = ("cri-resolved.8", "cri-resolvectl.1", "cri-resolved.toml.5")
FOLDER = binary().parent / "man"


def tool(*words, **more):
    return subprocess.run([str(word) for word in words], env=environment(LANG="C.UTF-8", MANROFFSEQ="", **more),
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def rendered(page):
    """What a reader sees, without line breaks or hyphens of the formatter."""
    done = tool("groff", "-man", "-Tascii", "-P-cbou", "-rLL=2000n", "-rLT=2000n", "-rHY=0", FOLDER / page)
    assert done.returncode == 0, done.stderr
    return re.sub(r"\s+", " ", done.stdout)


def help_of(*words):
    done = tool(ctl_binary(), *words, "--help")
    assert done.returncode == 0, done.stderr
    return done.stdout


def verbs():
    return re.findall(r"^  ([a-z]+) +[A-Z]", help_of().split("\nVerbs:\n")[1].split("\n\n")[0], re.M)


class Pages(unittest.TestCase):
    def test_nothing_to_complain_about(self):
        for page in PAGES:
            for command in (("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"), ("groff", "-man", "-ww", "-z", "-Tutf8")):
                with self.subTest(f"{command[0]} {page}"):
                    done = tool(*command, FOLDER / page)
                    self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_they_can_be_found(self):
        """The line that whatis and apropos read."""
        for page in PAGES:
            name = page.rpartition(".")[0]
            done = tool("lexgrog", FOLDER / page)
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertRegex(done.stdout, rf'"{re.escape(name)} - \w')

    def test_no_mark_is_left_over(self):
        for page in PAGES:
            self.assertNotRegex(rendered(page), r"@[a-z-]+@|\*\*|\\_")

    def test_the_version(self):
        version = tool(binary(), "--version").stdout.strip()
        for page in PAGES:
            self.assertIn(version, rendered(page))


class Tables(unittest.TestCase):
    def test_every_verb_and_option(self):
        page = rendered("cri-resolvectl.1")
        self.assertGreater(len(verbs()), 8)
        for verb in verbs():
            text = help_of(verb)
            section = page.split(f" cri-resolvectl {verb} [OPTION...]")[1]
            with self.subTest(verb):
                for option in re.findall(r"^  (?:-\w, )?(--[a-z-]+(?: \S+)?)", text, re.M):
                    self.assertIn(option, section)
                for line in text.split("\nOptions")[0].splitlines()[2:]:
                    self.assertIn(re.sub(r"\s+", " ", line).strip(), page)

    def test_every_option_of_the_daemon(self):
        options = re.findall(r"^  (--[a-z]+(?: [A-Z]+)?) ", tool(binary(), "--help").stdout, re.M)
        self.assertGreater(len(options), 2)
        for option in options:
            self.assertIn(option, rendered("cri-resolved.8"))

    def test_every_key(self):
        """Name, default, what is allowed and when it counts, as config/keys.def has them."""
        text = re.sub(r'"\s*\n\s*"', "", (ROOT / "config/keys.def").read_text())
        keys = re.findall(r'KEY\("([\w.*]+)",\s*(\w+),\s*[\w.]+,\s*"((?:[^"\\]|\\.)*)",\s*"([^"]*)",\s*(RELOAD|RESTART),'
                          r'\s*"((?:[^"\\]|\\.)*)"\)', text)
        self.assertEqual(len(keys), len(re.findall(r"^\w*KEY\(", text, re.M)))
        page = rendered("cri-resolved.toml.5")
        for path, kind, initial, allowed, when, doc in keys:
            with self.subTest(path):
                entry = re.search(rf" {path.split('.')[-1]} \([^)]*; {when.lower()}\) " + re.escape(doc.replace('\\"', '"')), page)
                self.assertIsNotNone(entry, f"{path} is not in the page as keys.def has it")
                if kind == "CHOICE":
                    self.assertIn(", ".join(f'"{word}"' for word in allowed.split("|")), entry[0])
                elif ".." in allowed:
                    self.assertIn(allowed.replace("..", " to "), entry[0])
                if initial:
                    after = page[entry.end():].lstrip()
                    self.assertTrue(after.startswith((f'Default: "{initial}".', f"Default: {initial}.")), after[:80])

    def test_every_finding(self):
        page = rendered("cri-resolvectl.1")
        found = re.findall(r'^FINDING\(\w+, "([a-z-]+)", (\w+), \w+,\s*"((?:[^"\\]|\\.)*)"', (ROOT / "ctl/findings.def").read_text(),
                           re.M)
        self.assertGreater(len(found), 20)
        for identifier, severity, title in found:
            self.assertIn(f"{identifier} ({severity.lower()}) {title.replace('`', '')}. Remedy: ", page)

    def test_every_exit_code(self):
        codes = {}
        for code, text in re.findall(r'^ERR\(\w+, \d+, (\d+), "\w+", \d, "([^"]+)"\)', (ROOT / "base/err.def").read_text(), re.M):
            codes.setdefault(code, []).append(text)
        self.assertGreater(len(codes), 8)
        for name in ("cri-resolvectl.1", "cri-resolved.8"):
            page = rendered(name).split(" EXIT STATUS ")[1]
            for code, texts in codes.items():
                self.assertIn(f" {code} {'; '.join(texts)} ", page)


if __name__ == "__main__":
    unittest.main()

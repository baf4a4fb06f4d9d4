# SPDX-License-Identifier: Apache-2.0
"""The pages: every block has somebody who runs or reads it, links lead somewhere, and tables that are written
by hand say what the sources say."""
import pathlib
import re
import sys
import tomllib
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests import pages  # noqa: E402

# Whose first word makes a `span` of code a command.
PROGRAMS = ("apt", "apt-get", "chmod", "cri-resolved", "cri-resolvectl", "crictl", "ctr", "curl", "dnf", "dpkg",
            "journalctl", "kubeadm", "rpm", "stat", "systemctl", "timedatectl")
# Named, not shown: what others do. Those of kubeadm need a cluster.
NAMED = {"kubeadm init", "kubeadm join", "kubeadm upgrade", "kubeadm upgrade node", "ctr images tag"}
FOLDERS = ("base/", "config/", "resolver/", "relay/", "shim/", "ctl/", "tests/", "docs/", "packaging/", "proto/")


def all_blocks():
    return [block for page in pages.pages() for block in pages.blocks(page)]


def all_commands():
    return [command for block in all_blocks() if block.language == "console" for command in pages.commands(block)]


class Blocks(unittest.TestCase):
    def check(self, offences):
        self.assertEqual([], offences, "\n" + "\n".join(offences))

    def test_each_has_a_suite(self):
        """No block is only looked at: what is not known here would be run by nobody."""
        offences = []
        for block in all_blocks():
            labels = [label for label in block.labels if not label.startswith(("/", "exit="))]
            known = {"console": ("packages", "checkout"), "toml": ("containerd",), "yaml": (), "sh": (), "text": (), "json": ("pod",)}
            if str(block.page).startswith("packaging/man/"):
                known[""] = ()  # go-md2man takes no more
            if block.language not in known or set(labels) - set(known[block.language]):
                offences.append(f"{block.page}:{block.line}: nobody runs a block ```{block.language} {' '.join(block.labels)}")
            elif block.language == "sh" and not any(label.startswith("/") for label in block.labels):
                offences.append(f"{block.page}:{block.line}: commands stand in console blocks")
            elif block.language != "console" and re.search(r"^[$#] (\./|[a-z-]+ )", block.text, re.M) and block.language == "text":
                offences.append(f"{block.page}:{block.line}: a command that nobody runs")
        self.check(offences)

    def test_those_of_packages_are_on_pages_that_are_run_there(self):
        """In tests/packages/test_pages.py: each of them by its page's name."""
        played = (ROOT / "tests/packages/test_pages.py").read_text()
        self.check([f"{block.page}:{block.line}: tests/packages does not play this page" for block in all_blocks()
                    if block.language == "console" and pages.suite(block) == "packages" and f'self.play("{block.page}")' not in played])

    def test_configurations_can_be_read(self):
        """Ours are checked by the program itself, in test_docs."""
        for block in all_blocks():
            if block.language == "toml":
                with self.subTest(f"{block.page}:{block.line}"):
                    tomllib.loads(block.text)

    def test_commands_in_the_prose_are_run_in_a_block(self):
        run = {command.text for command in all_commands()} | examples()
        offences = []
        for page in pages.pages():
            for span in pages.spans(page):
                command = span.split(" ", 1)[0] in PROGRAMS and " " in span
                if command and span not in NAMED and not any(text.startswith(span) for text in run):
                    offences.append(f"{page}: `{span}` is run by nobody")
        self.check(offences)


def examples():
    """Command lines in the help of verbs, which test_docs runs."""
    text = "".join(path.read_text() for path in (ROOT / "ctl").glob("*.c"))
    return set(re.findall(r'^\s+"\s*(cri-resolvectl [^"\\]+)\\n', text.replace('\\"', "'"), re.M))


class Links(unittest.TestCase):
    def test_they_lead_somewhere(self):
        for page in pages.pages():
            for path, anchor in pages.links(page):
                with self.subTest(f"{page}: {path}#{anchor}"):
                    target = ((ROOT / page).parent / path).resolve() if path else ROOT / page
                    self.assertTrue(target.exists(), f"{page} links to {path}")
                    if anchor:
                        self.assertIn(anchor, pages.anchors(target.relative_to(ROOT)))

    def test_files_that_are_named_are_there(self):
        for page in ("CONTRIBUTING.md", "docs/design.md"):
            for span in pages.spans(page):
                if span.startswith(FOLDERS) and not re.search(r"[<( ]", span):
                    with self.subTest(f"{page}: {span}"):
                        path = ROOT / span
                        self.assertTrue(path.exists() or list(ROOT.glob(span)) or list(ROOT.glob(f"{span}.c")), span)

    def test_installed_files_that_are_named_are_in_the_packages(self):
        """tests/packages/test_contents.py proves that what pages.installed() says is what they bring."""
        there = pages.installed()
        there |= {str(folder) for path in there for folder in pathlib.PurePosixPath(path).parents}
        named = [(page, path) for page in pages.pages() for path in re.findall(
            r"/usr/share/(?:doc/)?cri-resolved(?:/[\w./-]*\w)?", (ROOT / page).read_text().replace("\\", ""))]
        self.assertGreater(len(named), 4)
        self.assertEqual([], [f"{page}: {path} is in no package" for page, path in named if path not in there])

    def test_what_is_for_installed_nodes_names_no_checkout(self):
        """Only the page for those who carry on does."""
        for page in pages.pages():
            if page.parts[0] == "docs" and page.name != "design.md":
                self.assertEqual([], [span for span in pages.spans(page) if span.startswith(FOLDERS)], page)

    def test_each_page_can_be_found(self):
        """... from the README, along links."""
        seen, left = set(), [pathlib.Path("README.md")]
        while left:
            page = left.pop()
            if page not in seen and page.suffix == ".md" and (ROOT / page).is_file():
                seen.add(page)
                left += [((ROOT / page).parent / path).resolve().relative_to(ROOT) for path, _ in pages.links(page) if path]
        self.assertEqual([], sorted(str(page) for page in pages.pages() if page not in seen and page.parts[0] != "packaging"))


class Tables(unittest.TestCase):
    def test_the_log_is_told_line_by_line(self):
        """Every line of info or above, in docs/operate.md, and no other."""
        said = set()
        for path in ROOT.glob("*/*.c"):
            for level, text in re.findall(r'log_(?:line|pairs)\(\s*LOG_LEVEL_(\w+),\s*((?:"[^"]*"\s*)+)', path.read_text()):
                if level != "DEBUG" and path.parent.name in ("relay", "resolver", "shim", "nri", "config"):
                    said.add("".join(re.findall(r'"([^"]*)"', text)))
        self.assertGreater(len(said), 15)
        page = (ROOT / "docs/operate.md").read_text()
        rows = page.split("| line | says")[1].split("\n\n")[0]
        told = set(re.findall(r"`([^`]+)`", "".join(row.split("|")[1] for row in rows.splitlines()[2:])))
        self.assertEqual([], sorted(text for text in said if not any(text.startswith(start) for start in told)))
        self.assertEqual([], sorted(start for start in told if not any(text.startswith(start) for text in said)))


if __name__ == "__main__":
    unittest.main()

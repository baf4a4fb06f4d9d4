# SPDX-License-Identifier: Apache-2.0
"""base/metrics.def and the table in docs/metrics.md are the same. Run as a program, it writes that table:

    python3 -m tests.lint.test_metrics"""
import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/metrics.md"
BEGIN, END = "<!-- made of base/metrics.def -->\n", "<!-- end -->\n"
KINDS = {"COUNTER": "counter", "GAUGE": "gauge", "CALLS": "histogram", "PULLS": "histogram"}
STRINGS = r'((?:"(?:[^"\\]|\\.)*"\s*)+)'
ENTRY = re.compile(rf'^METRIC\(\w+, (\w+), "([a-z_]+)", "([a-z,]*)",\s*{STRINGS}\)', re.M)


def table():
    """(kind, name, [label], help) of each metric."""
    text = (ROOT / "base/metrics.def").read_text()
    found = [(KINDS[kind], name, labels.split(",") if labels else [], "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', words)))
             for kind, name, labels, words in ENTRY.findall(text)]
    assert len(found) == len(re.findall(r"^METRIC\(", text, re.M)), "a metric that this test cannot read"
    return found


def rows():
    return "".join(f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {text} |\n"
                   for kind, name, labels, text in table())


def split():
    """The page before the table, the table, the page after it."""
    before, rest = PAGE.read_text().split(BEGIN)
    inside, after = rest.split(END)
    return before, inside, after


class Metrics(unittest.TestCase):
    def test_the_page_has_the_table(self):
        self.assertEqual(split()[1], "| metric | kind | labels | what it says |\n| --- | --- | --- | --- |\n" + rows(),
                         "python3 -m tests.lint.test_metrics writes it anew")

    def test_labels_are_explained(self):
        before, _, after = split()
        for label in {label for _, _, labels, _ in table() for label in labels}:
            self.assertRegex(before + after, rf"(?m)^\| `{label}` \|", label)


def write():
    before, _, after = split()
    PAGE.write_text(f"{before}{BEGIN}| metric | kind | labels | what it says |\n| --- | --- | --- | --- |\n{rows()}{END}{after}")


if __name__ == "__main__":
    write()

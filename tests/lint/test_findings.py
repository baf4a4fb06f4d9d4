# SPDX-License-Identifier: Apache-2.0
"""ctl/findings.def, the pages in docs/findings and the integration tests agree."""
import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs/findings"
SECTIONS = ["What you see", "Why", "Remedy", "How to check"]


def table():
    """(identifier, severity, title) of each finding."""
    text = (ROOT / "ctl/findings.def").read_text()
    found = re.findall(r'^FINDING\(\w+, "([a-z-]+)", (\w+), \w+,\s*"((?:[^"\\]|\\.)*)"', text, re.M)
    assert len(found) == text.count("\nFINDING("), "a finding that this test cannot read"
    return found


class Findings(unittest.TestCase):
    def test_each_has_a_page_and_each_page_a_finding(self):
        names = sorted(identifier for identifier, _, _ in table())
        self.assertEqual(len(set(names)), len(names))
        self.assertEqual(sorted(page.stem for page in PAGES.glob("*.md") if page.stem != "README"), names)

    def test_pages_have_the_title_and_all_sections(self):
        for identifier, severity, title in table():
            page = (PAGES / f"{identifier}.md").read_text()
            self.assertEqual(re.findall(r"^## (.*)$", page, re.M), SECTIONS, identifier)
            for section in page.split("\n## ")[1:]:
                self.assertRegex(section, r"\n\n\S", identifier)
            self.assertTrue(page.startswith(f"# {identifier}\n"), identifier)
            self.assertIn(title.lower(), page.lower(), identifier)
            self.assertIn(f"({severity.lower()}).", page, identifier)

    def test_the_index_names_all(self):
        index = re.findall(r"^- \[([a-z-]+)\]\(([a-z-]+)\.md\): .* \((\w+)\)$", (PAGES / "README.md").read_text(), re.M)
        self.assertEqual(sorted((name, name, severity.lower()) for name, severity, _ in table()), sorted(index))

    def test_each_is_found_by_an_integration_test(self):
        tests = "".join(path.read_text() for path in (ROOT / "tests/integration").glob("test_ctl_check_*.py"))
        self.assertEqual([name for name, _, _ in table() if f'"{name}"' not in tests], [])


if __name__ == "__main__":
    unittest.main()

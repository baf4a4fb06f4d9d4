# SPDX-License-Identifier: Apache-2.0
"""What is shipped for Prometheus and Grafana: that it asks for metrics, labels and words that there are, and that each
alert fires when it should, and only then."""
import json
import pathlib
import re
import subprocess
import tempfile
import unittest

import yaml

from tests.integration import promql
from tests.integration.harness import ROOT, Daemon, Folder
from tests.integration.proxy_parts import Backend

RULES = ROOT / "packaging/prometheus/cri-resolved.rules.yml"
DASHBOARD = ROOT / "packaging/prometheus/cri-resolved-dashboard.json"
ALERTS = ROOT / "tests/prometheus/alerts.yml"
PAGE = (ROOT / "docs/metrics.md").read_text()
TABLE = {name: (kind, set(labels.split(",")) - {""}) for kind, name, labels in re.findall(
    r'^METRIC\(\w+, (\w+), "([a-z_]+)", "([a-z,]*)"', (ROOT / "base/metrics.def").read_text(), re.M)}
HISTOGRAMS = {name for name, (kind, _) in TABLE.items() if kind in ("CALLS", "PULLS")}
FOREIGN = {"up"}  # Prometheus' own
TARGET = {"job", "instance"}  # labels that Prometheus adds
OPEN = {"upstream", "mirror", "version", "method"}  # their words are not ours, or very many
ERRORS = re.findall(r'^ERR\(\w+, \d+, \d+, "(\w+)"', (ROOT / "base/err.def").read_text(), re.M)
CODES = re.findall(r'"(\w+)"', (ROOT / "shim/rpc_words.c").read_text())
MORE = {"result": ERRORS, "cause": ERRORS, "code": CODES}  # words that the page need not list


def words_of(label):
    """What a label of our own can say: the words of the page's table of labels."""
    row, = re.findall(rf"^\| `{label}` \| (.*) \|$", PAGE, re.M)
    return {*re.findall(r"`([^`]+)`", row), *MORE.get(label, [])}


def family_of(name):
    """(metric of the table, the labels of this series of it); None if there is no such series."""
    if name in TABLE and name not in HISTOGRAMS:
        return name, TABLE[name][1]
    for suffix, more in (("_bucket", {"le"}), ("_sum", set()), ("_count", set())):
        family = name.removesuffix(suffix)
        if name.endswith(suffix) and family in HISTOGRAMS:
            return family, TABLE[family][1] | more
    return None


def wrong_words(label, operator, text):
    """Words of a label of our own that nobody ever says."""
    if label in OPEN | TARGET | {"le"} or text.startswith("$"):
        return []
    return [word for word in (text.split("|") if operator in ("=~", "!~") else [text]) if word not in words_of(label)]


def offences(expression):
    """What an expression asks for that there is not."""
    asked, found, known = promql.read(expression), [], set(TARGET)
    for name, matchers in asked.metrics:
        family = family_of(name)
        if family is None and name not in FOREIGN:
            found.append(f"no metric: {name}")
            continue
        labels = TARGET | (family[1] if family else set())
        known |= labels
        for label, operator, text in matchers:
            found += [f"{name} has no label {label}"] if label not in labels else [
                f"{label} of {name} is never {word}" for word in wrong_words(label, operator, text)]
    return found + [f"nothing to group by {label}: {expression}" for label in asked.grouping - known]


def rules():
    """[{"alert": ..., "expr": ..., ...}]"""
    group, = yaml.safe_load(RULES.read_text())["groups"]
    return group["rules"]


def dashboard():
    return json.loads(DASHBOARD.read_text())


def panels():
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def plain(query):
    """Without what Grafana replaces."""
    return query.replace("$__rate_interval", "5m").replace("$__range", "6h")


def queries():
    """All expressions of the dashboard: of panels and of variables."""
    found = [target["expr"] for panel in panels() for target in panel["targets"]]
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"]).groups()
            found.append(f"group by ({label}) ({selector})")
    return [plain(query) for query in found]


def promtool(*arguments):
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


class Names(unittest.TestCase):
    def test_rules_ask_for_what_there_is(self):
        self.assertGreater(len(rules()), 15)
        for rule in rules():
            self.assertEqual(offences(rule["expr"]), [], rule["alert"])

    def test_the_dashboard_asks_for_what_there_is(self):
        self.assertGreater(len(queries()), 30)
        for query in queries():
            self.assertEqual(offences(query), [], query)

    def test_every_metric_is_shown_or_watched(self):
        used = {family_of(name)[0] for expression in [rule["expr"] for rule in rules()] + queries()
                for name, _ in promql.read(expression).metrics if name not in FOREIGN}
        self.assertEqual(used, set(TABLE))

    def test_they_are_what_a_daemon_serves(self):
        with Folder() as folder, Backend(folder) as backend, Daemon(folder, backend.socket) as daemon:
            self.assertEqual(set(daemon.metrics().types), set(TABLE))

    def test_what_is_wrong_is_found(self):
        """The check itself: an expression that asks for something else does not get through."""
        for expression, offence in (
                ("cri_resolved_pulls", "no metric: cri_resolved_pulls"),
                ("rate(cri_resolved_pull_total[5m]) > 0", "no metric: cri_resolved_pull_total"),
                ("cri_resolved_pull_duration_seconds", "no metric: cri_resolved_pull_duration_seconds"),
                ("cri_resolved_backend_up_bucket", "no metric: cri_resolved_backend_up_bucket"),
                ('cri_resolved_pulls_total{host="x"}', "cri_resolved_pulls_total has no label host"),
                ('sum by (upstream) (cri_resolved_pulls_total{outcome="error"})',
                 "outcome of cri_resolved_pulls_total is never error"),
                ('cri_resolved_resolves_total{result=~"timeout|unreachabel"}',
                 "result of cri_resolved_resolves_total is never unreachabel"),
                ("sum by (mirror) (cri_resolved_pulls_total)",
                 "nothing to group by mirror: sum by (mirror) (cri_resolved_pulls_total)"),
                ("rat(cri_resolved_pulls_total[5m])", "no metric: rat")):
            self.assertEqual(offences(expression), [offence])
        self.assertEqual(offences('histogram_quantile(0.9, sum by (le) (rate(cri_resolved_rpc_duration_seconds_bucket'
                                  '{job="x", method=~"a|b"}[5m]))) > 1.5 unless on (job) up == 0'), [])


class Rules(unittest.TestCase):
    def test_promtool_takes_them(self):
        self.assertEqual(promtool("check", "rules", RULES)[0], 0)
        code, said = promtool("test", "rules", ALERTS)
        self.assertEqual(code, 0, said)

    def test_each_fires_and_does_not(self):
        """One that never fires, and one that fires on every node, fail the tests of that alert."""
        wrong = {"never": "vector(1) > 2", "always": 'group by (job, instance) ({{__name__!~"ALERTS.*"}})'.format()}
        tests = yaml.safe_load(ALERTS.read_text())
        with tempfile.TemporaryDirectory() as folder:
            file, checks = pathlib.Path(folder, "rules.yml"), pathlib.Path(folder, "tests.yml")
            for rule in rules():
                own = [test for test in tests["tests"] if re.match(rf"{rule['alert']}\b", test["name"])]
                self.assertTrue(own, rule["alert"])
                checks.write_text(json.dumps({"rule_files": [str(file)], "evaluation_interval": "1m", "tests": own}))
                for what, expression in {"as it is": rule["expr"], **wrong}.items():
                    changed = {**rule, "expr": expression}
                    file.write_text(json.dumps({"groups": [{"name": "x", "rules": [changed]}]}))
                    code, said = promtool("test", "rules", checks)
                    self.assertEqual(code == 0, what == "as it is", f"{rule['alert']}, {what}: {said}")

    def test_each_says_what_to_do(self):
        headings = {heading.lower() for heading in re.findall(r"^### (\w+)$", PAGE, re.M)}
        for rule in rules():
            self.assertIn(rule["labels"]["severity"], ("critical", "warning", "info"))
            annotations = rule["annotations"]
            self.assertEqual(set(annotations), {"summary", "description", "runbook"})
            page, anchor = annotations["runbook"].split("#")
            self.assertEqual((page, anchor), ("docs/metrics.md", rule["alert"].lower()))
            self.assertIn(anchor, headings)
            self.assertNotRegex(annotations["summary"], r"\.$")
            self.assertRegex(annotations["description"], r"\.$")
        self.assertEqual(headings, {rule["alert"].lower() for rule in rules()}, "no page without an alert")


class Dashboard(unittest.TestCase):
    def test_promtool_takes_its_queries(self):
        """As rules: that is what promtool parses. Of the variables' names nothing is left to parse."""
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, "rules.yml")
            file.write_text(json.dumps({"groups": [{"name": "x", "rules": [
                {"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries())]}]}))
            code, said = promtool("check", "rules", file)
            self.assertEqual(code, 0, said)

    def test_its_form(self):
        board = dashboard()
        self.assertEqual(board["uid"], "cri-resolved")
        self.assertNotIn("id", board, "it is Grafana that gives one")
        identifiers = [panel["id"] for panel in board["panels"]]
        self.assertEqual(len(set(identifiers)), len(identifiers))
        source, *_ = board["templating"]["list"]
        self.assertEqual((source["name"], source["type"], source["query"]), ("datasource", "datasource", "prometheus"))
        for panel in panels():
            self.assertEqual(panel["datasource"], {"type": "prometheus", "uid": "${datasource}"})
            self.assertTrue(panel["title"] and panel["targets"])
        places = {(x, y): panel["title"] for panel in board["panels"] for place in [panel["gridPos"]]
                  for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        self.assertEqual(len(places), sum(panel["gridPos"]["w"] * panel["gridPos"]["h"] for panel in board["panels"]),
                         "no panel lies on another")
        self.assertLessEqual(max(x for x, _ in places), 23)

    def test_its_variables_are_there(self):
        names = {variable["name"] for variable in dashboard()["templating"]["list"]}
        used = set(re.findall(r"\$\{?(\w+)", DASHBOARD.read_text()))
        self.assertEqual(used - {"__rate_interval", "__range", "__all"}, names)


if __name__ == "__main__":
    unittest.main()

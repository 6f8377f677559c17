"""The metrics' pages, alerts and dashboard, judged by Prometheus's own tools (Debian's package prometheus)."""
import json
import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[3]
PROMETHEUS = TOP / "deploy" / "prometheus"
RULES = PROMETHEUS / "secrets-encrypt.rules.yml"
TESTS = [PROMETHEUS / "secrets-encrypt.tests.yml", PROMETHEUS / "secrets-encrypt.tests-seconds.yml"]
DASHBOARD = TOP / "deploy" / "grafana" / "secrets-encrypt.json"
# What OpenMetrics calls otherwise than the text format that `promtool check metrics` reads.
TEXT_TYPES = {"info": ("gauge", "_info"), "counter": ("counter", "_total"), "gauge": ("gauge", ""),
              "histogram": ("histogram", "")}
NAME = re.compile(r"\b(?:secrets_encrypt|process)_[a-z_]+\b")


def run(*argv, text_in=None):
    return subprocess.run([str(a) for a in argv], input=text_in, stdin=None if text_in is not None else subprocess.DEVNULL,
                          capture_output=True, text=True, encoding="utf-8", check=False, timeout=120)


def promtool(*argv, text_in=None):
    done = run("promtool", *argv, text_in=text_in)
    return done.returncode, done.stdout + done.stderr


def page(name):
    done = run(os.environ["SECRETS_ENCRYPT_PAGES"], name)
    if done.returncode != 0:
        raise AssertionError(f"metrics_pages {name}: {done.stderr}")
    return done.stdout


def pages():
    return {name: page(name) for name in [*page("list").split(), "process", "large"]}


def as_text_format(openmetrics):
    """The same samples as Prometheus's older format has them: suffixes belong to the family's name there."""
    lines, suffix = [], {}
    for line in openmetrics.splitlines():
        words = line.split(" ", 3)
        if words[:2] == ["#", "TYPE"]:
            kind, suffix[words[2]] = TEXT_TYPES[words[3]]
            line = f"# TYPE {words[2]}{suffix[words[2]]} {kind}"
        elif words[:2] == ["#", "HELP"]:
            line = f"# HELP {words[2]}{suffix[words[2]]} {words[3]}"
        elif words[1:2] == ["UNIT"] or words[1:2] == ["EOF"]:
            continue
        lines.append(line)
    return "\n".join(lines) + "\n"


def with_times(openmetrics):
    """`promtool tsdb create-blocks-from openmetrics` wants to know when each sample was."""
    return "".join(line + ("\n" if line.startswith("#") else " 1700000100\n") for line in openmetrics.splitlines())


def scrape_ways(text):
    """What stands in the example as two ways, each as somebody has it who took it."""
    head, rest = text.split("  # 1. ", 1)
    tls, rest = rest.split("  # 2. ", 1)
    loopback, rules = rest.split("\nrule_files:", 1)
    loopback = loopback[loopback.index("  #- job_name"):].replace("  #", "  ")
    return {way: f"{head}{part}\nrule_files:{rules}" for way, part in (("tls", "  # 1. " + tls), ("loopback", loopback))}


def names_of_the_program():
    """As Prometheus stores them, from the table that the renderer goes by."""
    drawn = run(os.environ["SECRETS_ENCRYPT_DRAW"], "metrics").stdout
    rows = re.findall(r"(?m)^\| `(\S+)` \| (\w+) \|", drawn)
    names = {name for name, kind in rows if kind != "histogram"}
    return names | {name + end for name, kind in rows if kind == "histogram" for end in ("_bucket", "_count", "_sum")}


class PagesTest(unittest.TestCase):
    def test_prometheus_lints_them(self):
        for name, text in pages().items():
            code, said = promtool("check", "metrics", text_in=as_text_format(text))
            self.assertEqual((0, ""), (code, said), name)

    def test_prometheus_reads_them_as_openmetrics(self):
        for name, text in pages().items():
            with tempfile.TemporaryDirectory(prefix="secrets-encrypt-metrics-") as folder:
                source = Path(folder) / "page.txt"
                source.write_text(with_times(text), encoding="utf-8")
                code, said = promtool("tsdb", "create-blocks-from", "openmetrics", source, Path(folder) / "data")
                self.assertEqual(0, code, f"{name}: {said}")

    def test_that_a_broken_page_is_refused(self):
        """The two above are worth something."""
        good = page("healthy")
        self.assertNotEqual(0, promtool("check", "metrics", text_in=as_text_format(good).replace("# HELP", "#", 1))[0])
        for bad in (good.replace('server="s1"', 'server="s1', 1), good.replace("# EOF\n", "")):
            with tempfile.TemporaryDirectory(prefix="secrets-encrypt-metrics-") as folder:
                source = Path(folder) / "page.txt"
                source.write_text(with_times(bad), encoding="utf-8")
                code, _ = promtool("tsdb", "create-blocks-from", "openmetrics", source, Path(folder) / "data")
                self.assertNotEqual(0, code)

    def test_order_and_ends(self):
        """What the parsers above let pass: each family once, TYPE before UNIT before HELP, units end the name, one EOF."""
        for name, text in pages().items():
            self.assertTrue(text.endswith("\n# EOF\n"), name)
            self.assertEqual(1, text.count("# EOF"), name)
            heads = re.findall(r"(?m)^# TYPE (\S+) (\w+)\n(?:# UNIT (\S+) (\w+)\n)?# HELP (\S+) .+\.$", text)
            self.assertEqual(text.count("# TYPE "), len(heads), name)
            families = [head[0] for head in heads]
            self.assertEqual(sorted(set(families)), sorted(families), name)
            for family, kind, unit_of, unit, help_of in heads:
                self.assertEqual(family, help_of, name)
                self.assertFalse(family.endswith(("_total", "_info", "_count", "_sum", "_bucket")), family)
                self.assertEqual(family.endswith("_seconds") or family.endswith("_bytes"), bool(unit), family)
                if unit:
                    self.assertEqual(family, unit_of)
                    self.assertTrue(family.endswith("_" + unit), family)
                    self.assertNotEqual("info", kind)

    def test_no_series_twice(self):
        for name, text in pages().items():
            series = [line.rsplit(" ", 1)[0] for line in text.splitlines() if not line.startswith("#")]
            self.assertEqual(len(set(series)), len(series), name)

    def test_the_table_is_the_whole_page(self):
        known = names_of_the_program()
        seen = set()
        for name, text in pages().items():
            names = set(re.findall(r"(?m)^([a-z_]+)[{ ]", text))
            self.assertEqual(set(), names - known, name)
            seen |= names
        self.assertEqual(set(), known - seen, "no situation shows them")


class AlertsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rules = RULES.read_text(encoding="utf-8")
        cls.alerts = re.findall(r"(?m)^ +- alert: (\w+)$", cls.rules)

    def rule(self, alert):
        return re.search(rf"(?ms)^ +- alert: {alert}$(.*?)(?=^ +- alert: |\Z)", self.rules).group(1)

    def test_they_are_rules(self):
        code, said = promtool("check", "rules", "--lint-fatal", RULES)
        self.assertEqual(0, code, said)

    def test_the_example_is_a_configuration(self):
        """Both of its ways. Paths are those of a server: what they name is not here."""
        text = (PROMETHEUS / "scrape.yml").read_text(encoding="utf-8")
        self.assertIn("/usr/share/secrets-encrypt/prometheus/secrets-encrypt.rules.yml", text)
        for way, part in scrape_ways(text).items():
            with tempfile.TemporaryDirectory(prefix="secrets-encrypt-metrics-") as folder:
                config = Path(folder) / "prometheus.yml"
                part = re.sub(r"/usr/share/secrets-encrypt/prometheus/", f"{PROMETHEUS}/", part)
                for path in re.findall(r"_file: (/\S+)", part):
                    (Path(folder) / Path(path).name).touch()
                    part = part.replace(path, str(Path(folder) / Path(path).name))
                config.write_text(part, encoding="utf-8")
                code, said = promtool("check", "config", "--syntax-only", config)
                self.assertEqual(0, code, f"{way}: {said}")
                self.assertEqual(1, part.count("job_name: secrets-encrypt\n"), way)
                self.assertEqual(way == "tls", "scheme: https" in part, way)

    def test_the_example_asks_where_coordinators_are(self):
        ways = scrape_ways((PROMETHEUS / "scrape.yml").read_text(encoding="utf-8"))
        fields = (TOP / "docs" / "configuration.md").read_text(encoding="utf-8")
        listen = re.search(r"(?m)^\| `http\.listen` \| text \| `([^`]+)` \|", fields).group(1)
        self.assertIn(f'targets: ["{listen}"]', ways["loopback"])
        page_port = re.search(r"https://s1\.example\.org:(\d+)/", (TOP / "docs" / "page.md").read_text(encoding="utf-8")).group(1)
        self.assertEqual({page_port}, set(re.findall(r"s\d\.example\.org:(\d+)", ways["tls"])))

    def test_each_fires_and_does_not(self):
        code, said = promtool("test", "rules", *TESTS)
        self.assertEqual(0, code, said)
        text = "".join(path.read_text(encoding="utf-8") for path in TESTS)
        for alert in self.alerts:
            cases = re.findall(rf'expr: ALERTS\{{alertname="{alert}", .*\n +eval_time: .*\n +exp_samples:(.*)$', text, re.M)
            self.assertIn("", cases, f"{alert} is never seen to fire")
            self.assertIn(" []", cases, f"{alert} is never seen not to fire")

    def test_each_says_what_and_what_to_do(self):
        runbook = (TOP / "docs" / "runbook.md").read_text(encoding="utf-8")
        headings = re.findall(r"(?m)^### (\w+)$", runbook)
        self.assertEqual(sorted(self.alerts), sorted(headings))
        self.assertEqual(len(set(self.alerts)), len(self.alerts))
        for alert in self.alerts:
            rule = self.rule(alert)
            self.assertRegex(rule, r"severity: (critical|warning)\n", alert)
            self.assertRegex(rule, r"\n +summary: (?:.+|>-\n(?: {12}.+\n)+)\n? +description: >-\n", alert)
            self.assertRegex(rule, rf"runbook_url: \S+/runbook\.md#{alert.lower()}\n", alert)

    def test_they_name_rows_of_the_planner(self):
        planner = (TOP / "tests" / "golden" / "planner.txt").read_text(encoding="utf-8")
        rows = re.search(r'row!~"([^"]+)"', self.rules).group(1).split("|")
        self.assertEqual(set(), set(rows) - set(re.findall(r"(?m)^(\S+) +-> ", planner)))

    def test_they_go_by_metrics_that_there_are(self):
        used = set(NAME.findall("".join(re.findall(r"(?ms)^ +expr: (.*?)^ +(?:for|labels):", self.rules))))
        self.assertGreater(len(used), 15)
        self.assertEqual(set(), used - names_of_the_program())


class DashboardTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
        cls.panels = [p for p in cls.dashboard["panels"] if p["type"] != "row"]
        cls.queries = [t["expr"] for p in cls.panels for t in p["targets"]]

    def test_it_goes_by_metrics_that_there_are(self):
        used = {name for q in self.queries for name in NAME.findall(q)}
        self.assertGreater(len(used), 15)
        self.assertEqual(set(), used - names_of_the_program())
        for variable in self.dashboard["templating"]["list"]:
            if variable["type"] == "query":
                self.assertEqual(set(), set(NAME.findall(str(variable["query"]))) - names_of_the_program())

    def test_its_queries_are_promql(self):
        """As rules, which promtool checks."""
        rules = ["groups:\n  - name: dashboard\n    rules:\n"]
        for i, query in enumerate(self.queries):
            query = re.sub(r"\$__(rate_interval|interval|range)", "5m", query)
            rules.append(f"      - record: 'dashboard:{i}'\n        expr: {json.dumps(query)}\n")
        with tempfile.TemporaryDirectory(prefix="secrets-encrypt-metrics-") as folder:
            path = Path(folder) / "dashboard.yml"
            path.write_text("".join(rules), encoding="utf-8")
            code, said = promtool("check", "rules", "--lint", "none", path)
        self.assertEqual(0, code, said)

    def test_every_panel_has_its_place(self):
        ids = [p["id"] for p in self.dashboard["panels"]]
        self.assertEqual(len(set(ids)), len(ids))
        taken = set()
        for p in self.dashboard["panels"]:
            at = p["gridPos"]
            self.assertLessEqual(at["x"] + at["w"], 24, p["title"])
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            self.assertEqual(set(), cells & taken, p["title"])
            taken |= cells
        for p in self.panels:
            self.assertTrue(p["title"] and p["description"], p["title"])
            self.assertEqual("${datasource}", p["datasource"]["uid"])


if __name__ == "__main__":
    unittest.main(verbosity=2)

"""What the program prints with -o json is what docs/cli.schema.json says, and says nothing that it leaves out: all the
texts in tests/golden, and what can be had without a cluster."""
import json
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree
from pathlib import Path

TOP = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(TOP / "tests" / "lib"))
import cli_schema  # noqa: E402

PROGRAM = sys.argv.pop(1) if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else ""
GOLDEN = TOP / "tests" / "golden"


class SchemaTest(unittest.TestCase):
    def test_every_golden_record(self):
        kinds = set()
        for folder in ("status", "explain", "keys", "preflight", "plan", "diff"):
            files = sorted((GOLDEN / folder).glob("*.json"))
            self.assertTrue(files, folder)
            for file in files:
                with self.subTest(file=file.name):
                    record = json.loads(file.read_text())
                    cli_schema.check(record)
                    kinds.add(record["kind"])
        self.assertEqual({"status", "explain", "keys", "preflight", "plan", "diff"}, kinds)

    def test_status_begins_as_k3s_does(self):
        for file in sorted((GOLDEN / "status").glob("*.json")):
            ours = [k for k in json.loads(file.read_text())]
            k3s = ["stage", "activekey", "enable", "hashmatch", "hasherror", "inactivekeys"]
            self.assertEqual([k for k in k3s if k in ours], ours[:ours.index("schema")], file.name)

    def test_every_event(self):
        lines = (GOLDEN / "events" / "rotation.jsonl").read_text().splitlines()
        records = [json.loads(line) for line in lines]
        for record in records:
            cli_schema.check(record)
        told = {record["event"] for record in records if record["kind"] == "event"}
        self.assertEqual(set(cli_schema.events()) - {"attached"}, told)

    def test_junit_is_well_formed(self):
        for file in sorted((GOLDEN / "junit").glob("*.xml")):
            suite = xml.etree.ElementTree.parse(file).getroot().find("testsuite")
            cases = suite.findall("testcase")
            self.assertEqual(int(suite.get("tests")), len(cases), file.name)
            for word, tag in (("failures", "failure"), ("skipped", "skipped")):
                self.assertEqual(int(suite.get(word)), len([c for c in cases if c.find(tag) is not None]), file.name)

    def test_the_check_fails_where_it_should(self):
        good = {"schema": "secrets-encrypt/v1", "kind": "result", "exit": 0, "cause": "done", "message": ""}
        cli_schema.check(good)
        for change in ({"exit": "0"}, {"exit": 77}, {"kind": "other"}, {"schema": "secrets-encrypt/v2"}, {"more": 1}):
            with self.assertRaises(cli_schema.Mismatch, msg=change):
                cli_schema.check({**good, **change})
        del good["cause"]
        with self.assertRaises(cli_schema.Mismatch):
            cli_schema.check(good)
        with self.assertRaises(cli_schema.Mismatch):
            cli_schema.check({"schema": "secrets-encrypt/v1", "kind": "event", "time": 1, "operation": "x",
                              "operationkind": "rotate", "event": "server", "server": "s1"})

    def run_program(self, *words):
        return subprocess.run([PROGRAM, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)

    def commands(self):
        lines = [line.split("\t") for line in self.run_program("--table").stdout.splitlines()]
        return lines, [line[1:3] for line in lines if line[0] == "command"]

    def test_every_command_takes_it_and_fails_with_a_result(self):
        lines, commands = self.commands()
        self.assertGreater(len(commands), 15)
        with tempfile.TemporaryDirectory() as folder:
            for name, operand in commands:
                words = [*name.split(), *(["1"] if operand and not operand.startswith("[") else []), "-o", "json"]
                words += ["--root", folder, "--output", f"{folder}/c.yaml", "--yes"] if name == "init" else \
                    ["--config", f"{folder}/none.yaml"]
                with self.subTest(command=name):
                    result = self.run_program(*words)
                    record = json.loads(result.stdout)
                    cli_schema.check(record)
                    self.assertEqual(result.returncode, record["exit"])
                    self.assertNotEqual(0, result.returncode)
                    self.assertIn(record["message"], result.stderr)
                    self.assertTrue(record["message"])

    def test_every_command_has_help_with_an_example(self):
        for name, _ in self.commands()[1]:
            text = self.run_program(*name.split(), "--help").stdout
            self.assertRegex(text, r"\nexamples?:\n  secrets-encrypt ", name)
        text = self.run_program("--help").stdout
        self.assertIn("\nexit codes:\n  0 ", text)
        self.assertIn("\nexamples:\n  secrets-encrypt ", text)

    def test_bad_use(self):
        for words in (["-o", "json", "statsu"], ["status", "--output=json", "--nonsense"], ["rotate", "-ojson", "--skip"],
                      ["rotate", "--wait", "--no-wait", "-o", "json"], ["abort", "--junit", "x.xml", "-o", "json"],
                      ["rotate", "--junit", "x.xml", "--dry-run", "-o", "json"]):
            result = self.run_program(*words)
            record = json.loads(result.stdout)
            cli_schema.check(record)
            self.assertEqual((2, 2, "usage"), (result.returncode, record["exit"], record["cause"]))
            self.assertEqual(f"secrets-encrypt: {record['message']}\n", result.stderr)

    def test_a_junit_file_that_cannot_be_written_ends_it_first(self):
        result = self.run_program("rotate", "--junit", "/nowhere/x.xml", "-o", "json", "--config", "/nowhere/c.yaml")
        self.assertEqual(1, result.returncode)
        self.assertIn("--junit: folder /nowhere", json.loads(result.stdout)["message"])

    def test_a_key_that_should_be_a_file_is_not_shown(self):
        """A pipeline's variable that holds the text instead of a file's name must not stand in its log."""
        pem = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"
        with tempfile.TemporaryDirectory() as folder:
            for flag in ("ca", "cert", "key"):
                result = self.run_program("status", "--coordinator", "127.0.0.1:9", f"--{flag}", pem, "-o", "json",
                                          *[w for f in ("ca", "cert", "key") if f != flag for w in (f"--{f}", f"{folder}/no")])
                said = result.stdout + result.stderr
                self.assertEqual(1, result.returncode)
                self.assertNotIn("c2VjcmV0", said)
            self.assertIn("--ca: this is the PEM text itself", self.run_program(
                "status", "--coordinator", "127.0.0.1:9", "--ca", pem).stderr)

    def test_an_empty_address_does_not_lead_to_this_machines_cluster(self):
        result = self.run_program("status", "--coordinator", "", "--config", "/nowhere/c.yaml")
        self.assertEqual((1, "secrets-encrypt: --coordinator: no address; write HOST:PORT or unix:PATH\n"),
                         (result.returncode, result.stderr))

    def test_junit_of_what_could_not_begin(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "x.xml"
            self.assertEqual(1, self.run_program("rotate", "--junit", str(file), "--config", "/nowhere/c.yaml").returncode)
            failure = xml.etree.ElementTree.parse(file).getroot().find("testsuite/testcase/failure")
            self.assertEqual("/nowhere/c.yaml: No such file or directory", failure.get("message"))
            self.assertEqual([file], list(Path(folder).iterdir()))


if __name__ == "__main__":
    unittest.main()

"""What a pipeline does: it asks for the plan, begins, loses its connection in the middle, follows the same operation
again, and reads JSON, exit codes and JUnit on the way."""
import json
import os
import signal
import sys
import xml.etree.ElementTree
from pathlib import Path

import support
from support import LabTest, labs, names, observe, say

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lib"))
import cli_schema  # noqa: E402

SECRETS = 60


class PipelineTest(LabTest):
    def test_pipeline(self):
        with self.lab(SECRETS, servers=2, members=1) as lab, observe.Files(lab) as seen:
            self.records(lab)
            plan = self.plan(lab, "rotate-keys")
            self.assertEqual([], lab.restarts(), "the plan touched a server")
            self.interrupted(lab)
            self.attached(lab, plan)
            seen.look()
            self.assert_rotated(lab, seen)
            self.assert_readable(lab, SECRETS)
            self.refusals(lab)
            self.restart(lab)
            self.records(lab)

    def json(self, lab, *words, code=0):
        result = lab.cli(*words, "-o", "json")
        self.assertEqual(code, result.returncode, result.stdout + result.stderr)
        return result

    def records(self, lab):
        """All that shows something, as the schema says."""
        for words in (["status"], ["status", "--check"], ["explain"], ["keys"], ["preflight"]):
            record = json.loads(self.json(lab, *words).stdout)
            cli_schema.check(record)
            self.assertEqual(words[0], record["kind"])
        self.assertEqual("", lab.cli("status", "--check", "--quiet").stderr)

    def plan(self, lab, *words):
        """The servers whose API servers the plan restarts, in order."""
        before, asked = lab.record("rotation"), len(lab.etcd.range(lab.key("requests/")))
        plan = json.loads(self.json(lab, *words, "--dry-run").stdout)
        cli_schema.check(plan)
        self.assertEqual((True, 0, ""), (plan["starts"], plan["exit"], plan["stuck"]))
        self.assertEqual(before, lab.record("rotation"))
        self.assertEqual(asked, len(lab.etcd.range(lab.key("requests/"))))
        say(f"the plan of {words[0]} has {len(plan['steps'])} steps")
        return [s["server"] for s in plan["steps"] if s.get("order") in ("apply", "restart")]

    def cases(self, file):
        """[(phase, outcome)] of a JUnit file."""
        suite = xml.etree.ElementTree.parse(file).getroot().find("testsuite")
        return [(c.get("name").split(":")[0], c[0].get("type", c[0].tag) if len(c) else "passed")
                for c in suite.findall("testcase")]

    def interrupted(self, lab):
        file = lab.dir / "interrupted.xml"
        command = lab.cli_start("rotate-keys", "-o", "json", "--junit", str(file))
        self.wait_order(lab, "s1", 2)
        self.assertIn("failure", file.read_text(), "no file while it runs")
        os.kill(command.pid, signal.SIGINT)
        text = self.ends(lab, command, code=130, seconds=20)
        events, result = cli_schema.check_lines("\n".join(x for x in text.splitlines() if x.startswith("{")))
        self.assertEqual(("accepted", "detached"), (events[0]["event"], events[-1]["event"]))
        self.assertEqual((130, "interrupted"), (result["exit"], result["cause"]))
        cases = self.cases(file)
        self.assertEqual(("request", "passed"), cases[0])
        self.assertIn(("append", "interrupted"), cases)
        self.assertEqual(("final", "skipped"), cases[-1])
        self.id = result["operation"]
        say("interrupted in the middle")

    def attached(self, lab, plan):
        file = lab.dir / "attached.xml"
        result = self.json(lab, "wait", self.id, "--junit", str(file))
        events, end = cli_schema.check_lines(result.stdout)
        self.assertEqual(("attached", "finished"), (events[0]["event"], events[-1]["event"]))
        self.assertEqual({self.id}, {e["operation"] for e in events} | {end["operation"]})
        self.assertEqual("keys rotated, reencryption finished", end["message"])
        phases = [e["phase"] for e in events if e["event"] == "phase"]
        self.assertEqual(["append", "promote", "rewrite", "drop"],
                         [p for p in phases if p in ("append", "promote", "rewrite", "drop")])
        cases = self.cases(file)
        self.assertEqual({"passed"}, {outcome for _, outcome in cases}, cases)
        self.assertEqual(("append", "final"), (cases[0][0], cases[-1][0]))
        self.assertEqual(plan, lab.restarts(), "it did something else than the plan said")
        again = lab.cli("wait", "--timeout", "5")
        self.assertEqual((0, "keys rotated, reencryption finished\n"), (again.returncode, again.stdout))
        self.assertEqual(names(lab) * 3, lab.restarts())

    def refusals(self, lab):
        _, result = cli_schema.check_lines(self.json(lab, "rotate", code=5).stdout)
        self.assertIn("incorrect stage", result["message"])
        plan = json.loads(self.json(lab, "rotate", "--dry-run", code=5).stdout)
        cli_schema.check(plan)
        self.assertEqual((False, "gate", []), (plan["starts"], plan["cause"], plan["steps"]))
        s2 = lab.server("s2")
        s2.agent.pause()
        labs.wait_for("s2 is silent", lambda: not lab.record("servers/s2/report"), 60)
        check = json.loads(self.json(lab, "status", "--check", code=4).stdout)
        self.assertEqual((4, "server"), (check["check"]["exit"], check["check"]["cause"]))
        plan = json.loads(self.json(lab, "rotate-keys", "--dry-run", code=4).stdout)
        self.assertTrue(plan["steps"], "a silent server hides the plan")
        self.json(lab, "rotate-keys", code=4)
        s2.agent.resume()
        self.wait_report(lab, "s2", "it reports again", lambda r: r["ready"])

    def restart(self, lab):
        self.assertEqual(["s2"], self.plan(lab, "restart", "--server", "s2"))
        before = lab.restarts()
        file = lab.dir / "restart.xml"
        words = ["restart", "--server", "s2", "--reason", "a <test>", "--wait", "--junit", str(file)]
        events, _ = cli_schema.check_lines(self.json(lab, *words).stdout)
        self.assertEqual("finished", events[-1]["event"])
        self.assertEqual(["s2"], lab.restarts()[len(before):])
        self.assertEqual([("request", "passed"), ("restart", "passed")], self.cases(file))


if __name__ == "__main__":
    support.main()

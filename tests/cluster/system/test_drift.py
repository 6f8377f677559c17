"""s3's second key is changed by hand on a cluster of three: within seconds terminal, `diff` and audit trail say so and
name it, and it is gone again once the file is edited back. No rotation runs meanwhile."""
import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import support
from support import LabTest, files, labs, say

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lib"))
import cli_schema  # noqa: E402

HOME = b"\033[H"
SOON = 2  # seconds until the terminal names it
GONE = 10  # seconds until the audit trail says that it is over: of one server nothing is told more often than every 5 s


class DriftTest(LabTest):
    def test_second_key(self):
        with self.lab(10, servers=3, members=1) as lab:
            self.s3 = lab.server("s3")
            self.first = self.s3.encryption_config.read_bytes()
            self.run_cli(lab, "prepare")  # a second key on every server
            self.good = self.s3.encryption_config.read_bytes()
            self.name = files.keys_in(self.good.decode())[1][0]
            self.assertIn("The same encryption config on s1, s2, s3 and as issued", self.run_cli(lab, "diff").stdout)
            self.watched = self.start_watch(lab)
            try:
                self.another_key(lab)
                self.edited_back(lab)
                self.formatting(lab)
                self.put_back(lab)
                self.nobody_else_can_compare(lab)
            finally:
                self.end_watch()
            self.assertEqual(3, len(lab.restarts()), "nothing was restarted but by prepare")

    def put(self, content):
        """As an editor does: another file in its place."""
        support.processes.write_atomic(self.s3.encryption_config, content)
        return time.monotonic()

    def another_key(self, lab):
        changed = json.loads(self.good)
        changed["resources"][0]["providers"][0]["aescbc"]["keys"][1]["secret"] = files.new_key("x")["secret"]
        sentence = f"aescbc key 2 ({self.name}) is another key than on s1, s2 and as issued"
        asked = time.monotonic()
        lab.cli("status", "-o", "wide")
        asked = time.monotonic() - asked  # on this machine, now
        began = self.put(json.dumps(changed).encode())

        def named():
            wide = lab.cli("status", "-o", "wide").stdout
            return wide if f"s3: {sentence}" in wide else None
        wide = labs.wait_for("s3 is named", named, 30, every=0.05)
        took = time.monotonic() - began
        say(f"status -o wide names s3 and its second key after {took:.2f} s")
        self.assertLess(took, SOON + 3 * asked)
        self.assertTrue(re.search(r"^s3 .* drift ", wide, re.M), wide)
        self.assertEqual(1, wide.count("is another key"), wide)
        for words in ((), ("s1", "s3")):
            result = self.run_cli(lab, "diff", *words, code=3)
            self.assertIn(f"aescbc key 2 ({self.name}) is another key than on s1", result.stdout)
        self.assertIn("The same encryption config", self.run_cli(lab, "diff", "s1", "s2").stdout)
        record = json.loads(self.run_cli(lab, "diff", "-o", "json", code=3).stdout)
        cli_schema.check(record)
        rows = {row["name"]: row for row in record["servers"]}
        self.assertEqual(["other-key"], [d["difference"] for d in rows["s3"]["differences"]])
        self.assertEqual((self.name, 2), (rows["s3"]["differences"][0]["key"], rows["s3"]["differences"][0]["place"]))
        self.assertEqual([True, True, False], [rows[s]["same"] for s in ("s1", "s2", "s3")])
        entry = self.wait_audit(lab, "noticed", 1, SOON)
        say(f"the audit trail has it {(entry['time'] / 1000 - time.time()) + time.monotonic() - began:.2f} s after the change")
        self.assertEqual(("s3", sentence), (entry["what"], entry["why"]))
        self.assertIn("the encryption config of s3 is not the one that it should have", lab.cli("status").stderr)
        labs.wait_for("a pipe that watches has it", lambda: sentence in self.log.read_text(), 10)

    def edited_back(self, lab):
        self.put(self.good)
        labs.wait_for("status is well", lambda: "drift" not in lab.cli("status", "-o", "wide").stdout, SOON * 2, every=0.1)
        self.wait_audit(lab, "gone", 1, GONE)
        self.assertEqual(1, len(self.audit(lab, "noticed")), "it was told more than once")
        self.run_cli(lab, "diff")

    def formatting(self, lab):
        self.put(json.dumps(json.loads(self.good), indent=4).encode())
        entry = self.wait_audit(lab, "noticed", 2, SOON * 2)
        self.assertIn("formatting only", entry["why"])
        self.assertIn("formatting only", self.run_cli(lab, "diff", code=3).stdout)
        self.put(self.good)
        self.wait_audit(lab, "gone", 2, GONE)

    def put_back(self, lab):
        """The file of before, as from a backup of the machine: it was issued, and is not the one that is due."""
        self.put(self.first)
        entry = self.wait_audit(lab, "noticed", 3, SOON * 2)
        self.assertIn(f"aescbc key {self.name} is missing, which is number 2 on s1, s2 and as issued", entry["why"])
        wide = lab.cli("status", "-o", "wide").stdout
        self.assertTrue(re.search(r"^s3 .* not-issued\b", wide, re.M), wide)
        checked = lab.cli("status", "--check")  # it notes that, too, before it says why
        self.assertEqual(3, checked.returncode, checked.stderr)
        self.put(self.good)
        self.wait_audit(lab, "gone", 3, GONE)

    def nobody_else_can_compare(self, lab):
        """What the state store has of a key cannot be had from the key alone."""
        layout = lab.record("servers/s3/report")["layout"]
        self.assertIn(f" {self.name}\n", layout)
        for _, key in files.keys_in(self.good.decode()):
            self.assertNotIn(key[:16], layout)

    def audit(self, lab, result):
        entries = json.loads(lab.cli("audit", "-o", "json").stdout)["entries"]
        return [e for e in entries if e["call"] == "drift" and e["result"] == result]

    def wait_audit(self, lab, result, count, seconds):
        labs.wait_for(f"the audit trail says {result}", lambda: len(self.audit(lab, result)) >= count, seconds, every=0.1)
        return self.audit(lab, result)[-1]

    # ---------- status --watch ----------

    def start_watch(self, lab):
        """One into a file, one on a terminal."""
        self.log = lab.dir / "watch.txt"
        argv = lab.cli_argv("status", "-o", "wide", "--watch")
        with self.log.open("w") as out:
            self.piped = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        self.master, slave = pty.openpty()
        self.shown = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                      env={**os.environ, "TERM": "xterm"})
        os.close(slave)
        self.drawn = bytearray()
        self.reader = threading.Thread(target=self.read_terminal, daemon=True)
        self.reader.start()

    def read_terminal(self):
        """Until the other side is closed: whoever draws must not wait for us."""
        with contextlib.suppress(OSError):
            while text := os.read(self.master, 65536):
                self.drawn += text

    def end_watch(self):
        for child in (self.piped, self.shown):
            child.send_signal(signal.SIGINT)
        codes = [child.wait(10) for child in (self.piped, self.shown)]
        self.reader.join(10)
        os.close(self.master)
        text, drawn = self.log.read_text(), bytes(self.drawn)
        say(f"drawn {drawn.count(HOME)} times on a terminal; {text.count('Encryption Status:')} blocks elsewhere")
        self.assertEqual([0, 0], codes)
        self.assertGreater(drawn.count(HOME), 2, "it was not drawn anew")
        self.assertEqual(1, drawn.count(b"\033[2J"), "it was wiped, not drawn over")
        self.assertIn(b"Odd ones out:", drawn)
        self.assertNotIn("\033", text)
        self.assertLess(text.count("Encryption Status:"), 40, "a block was written without a change")


if __name__ == "__main__":
    support.main()

"""Maintenance windows, a gate on alerts, and a rotation that comes by itself, on two servers. What answers in
Prometheus's place is a stand-in of this test's own: of its HTTP API it has the one reply that is asked for."""
import datetime
import http.server
import json
import os
import struct
import subprocess
import threading
import time
import urllib.parse
from pathlib import Path

import support
from support import LabTest, labs, observe, say

SECRETS, MORE = 40, 10
CLOCK = Path(__file__).resolve().parents[2] / "chaos" / "clock_step.c"
ALL_DAY = {"days": "daily", "from": "00:00", "to": "24:00"}
QUERY = 'ALERTS{severity="critical"}'
HOUR_MS = 3600 * 1000
DAY_MS = 24 * HOUR_MS


class StandIn(http.server.ThreadingHTTPServer):
    """Answers queries with what `firing` names; with an error page while `firing` is None."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Reply)
        self.firing, self.asked = [], []
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def close(self):
        self.shutdown()
        self.server_close()
        self.thread.join()


class Reply(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        parts = urllib.parse.urlsplit(self.path)
        self.server.asked.append((parts.path, urllib.parse.parse_qs(parts.query).get("query")))
        firing = self.server.firing
        result = [{"metric": {"__name__": "ALERTS", "alertname": name}, "value": [0, "1"]} for name in firing or []]
        body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()
        self.send_response(200 if firing is not None else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def later_today():
    """A window that is closed now and for an hour at least."""
    now = datetime.datetime.now(datetime.timezone.utc)
    begin, end = (f"{now + datetime.timedelta(hours=h):%H:%M}" for h in (2, 3))
    return {"days": "daily", "from": begin, "to": end, "time_zone": "UTC"}


class Clock:
    """The wall clock of the lab's programs, ahead of the machine's."""

    def __init__(self, folder):
        self.file, self.library = folder / "clock", folder / "clock_step.so"
        self.file.write_bytes(struct.pack("=q", 0))
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(self.library), str(CLOCK)], check=True, timeout=60)

    def environment(self):
        return {**os.environ, "LD_PRELOAD": str(self.library), "CLOCK_STEP_FILE": str(self.file)}

    def step(self, milliseconds):
        with open(self.file, "r+b") as file:
            file.write(struct.pack("=q", milliseconds))


class MaintenanceTest(LabTest):
    def setUp(self):
        self.prometheus = StandIn()
        self.addCleanup(self.prometheus.close)
        self.settings = {"maintenance_window": [later_today()], "rotate_every": "90d", "key_type": "aesgcm",
                         "alert_gate": {"url": self.prometheus.url, "query": QUERY}}

    def configure(self, lab, **settings):
        """New settings for the coordinators, which are started anew."""
        lab.settings.update(settings)
        for server in lab.servers:
            text = support.files.yaml(support.files.program_config(lab, server))
            support.processes.write_atomic(server.config, text)
        for server in lab.servers:
            server.coordinator.stop()
            server.coordinator.start()
        labs.wait_for("s1 leads again", lambda: lab.leader() == "s1", 60)

    def held(self, lab, what, text):
        op = self.wait_operation(lab, what, lambda op: text in op["why"], 60)
        self.assertEqual(("running", []), (op["state"], lab.restarts()))
        say(f"it waits: {op['why']}")

    def test_maintenance(self):
        with self.lab(servers=2, members=1, settings=self.settings, programs=False) as lab:
            clock = Clock(lab.dir)
            for program in (p for s in lab.servers for p in (s.agent, s.coordinator)):
                program.env = clock.environment()
            lab.need_programs()
            lab.start_programs()
            support.kube.make_secrets(lab.clients(), support.SEED, range(SECRETS))
            self.next_is_shown(lab)
            with observe.Files(lab) as seen:
                self.windows_and_alerts_hold(lab)
                self.assert_rotated(lab, seen, provider="aesgcm")
            self.idle_asks_nobody()
            self.writes_are_counted(lab)
            with observe.Files(lab) as seen:
                old = lab.record("rotation")["write_key"]
                self.is_held_when_due(lab, clock)
                self.is_refused(lab)
                self.comes_by_itself(lab, clock)
                self.assert_rotated(lab, seen, provider="aesgcm", old=old)
            self.assert_readable(lab, SECRETS + MORE)

    def next_is_shown(self, lab):
        record = labs.wait_for("the schedule is there", lambda: lab.record("schedule"), 30)
        days = (record["next_ms"] - time.time() * 1000) / DAY_MS
        self.assertTrue(86.9 < days < 91.1, days)
        text = self.run_cli(lab, "status", "-o", "wide").stdout
        self.assertRegex(text, r"(?m)^Next rotation: \d{4}-\d\d-\d\d \d\d:\d\d UTC \(every 90 days\)$")
        shown = json.loads(self.run_cli(lab, "status", "-o", "json").stdout)["next_rotation"]
        self.assertEqual((record["next_ms"], "every 90 days", ""), (shown["time"], shown["reason"], shown["why"]))
        return record

    def windows_and_alerts_hold(self, lab):
        command = lab.cli_start("rotate-keys")
        self.held(lab, "the window holds it", "outside the maintenance window until")
        self.assertEqual([], self.prometheus.asked, "Prometheus was asked while a window kept closed")
        self.prometheus.firing = ["NodeDown", "EtcdNoLeader"]
        self.configure(lab, maintenance_window=[later_today(), ALL_DAY])
        self.held(lab, "alerts hold it", "alerts NodeDown, EtcdNoLeader are firing")
        self.assertEqual({("/api/v1/query", QUERY)}, {(path, query[0]) for path, query in self.prometheus.asked})
        self.prometheus.firing = None
        self.held(lab, "an error holds it as well", "the alerts cannot be asked: it answers HTTP 503")
        self.prometheus.firing = []
        self.assertRegex(self.ends(lab, command), r"(?m)^keys rotated, reencryption (started|finished)$")
        self.assertEqual(["s1", "s2"] * 3, lab.restarts())

    def idle_asks_nobody(self):
        before = len(self.prometheus.asked)
        time.sleep(12)  # longer than the time between two questions
        self.assertEqual(before, len(self.prometheus.asked))

    def writes_are_counted(self, lab):
        """Those under the key, whatever else the datastore holds; kept for a leader that comes."""
        def record():
            return lab.record("schedule")

        def kept(least):
            return labs.wait_for(f"{least} writes are kept", lambda: (r := record())["writes"] >= least and r, 60)
        count = kept(SECRETS)
        revisions = count["writes_to"] - count["writes_since"]
        say(f"{count['writes']} writes in {revisions} revisions")
        self.assertLess(count["writes"], 3 * SECRETS)
        self.assertLess(count["writes"], revisions)
        self.assertEqual(0, count["writes_guessed"])
        self.assert_readable(lab, SECRETS)  # over new connections: the API servers were restarted
        support.kube.make_secrets(lab.clients(), support.SEED, range(SECRETS, SECRETS + MORE))
        lab.server("s1").coordinator.kill()
        lab.server("s1").coordinator.start()
        count = kept(count["writes"] + MORE)
        self.assertEqual(0, count["writes_guessed"])
        shown = json.loads(self.run_cli(lab, "keys", "-o", "json").stdout)["keys"]
        self.assertIn(record()["writes"], [k.get("writes") for k in shown if k["state"] == "active"])

    def is_held_when_due(self, lab, clock):
        """91 days later by the programs' clock."""
        before = lab.record("rotation")["op"]["id"]
        self.prometheus.firing = ["NodeDown"]
        clock.step(91 * DAY_MS)
        record = labs.wait_for("it is due, and an alert holds it",
                               lambda: (r := lab.record("schedule")) and "NodeDown" in r["held"] and r, 60)
        self.assertIn("was not begun: alert NodeDown is firing",
                      self.run_cli(lab, "status", "-o", "wide").stdout)
        self.assertEqual((before, 0), (lab.record("rotation")["op"]["id"], record["asked_ms"]))

    def is_refused(self, lab):
        """With a silent server the gate says no; that is told, and not asked again for an hour."""
        before = lab.record("rotation")["op"]["id"]
        lab.server("s2").agent.stop()
        labs.wait_for("s2 is silent", lambda: not lab.record("servers/s2/report"), 30)
        self.prometheus.firing = []
        record = labs.wait_for("it is refused", lambda: (r := lab.record("schedule"))["asked_ms"] and r["held"] and r, 60)
        self.assertIn("s2: ", record["held"])
        lab.server("s2").agent.start()
        labs.wait_for("s2 reports again", lambda: lab.record("servers/s2/report"), 30)
        time.sleep(5)  # several looks at the schedule
        again = lab.record("schedule")
        self.assertEqual((before, record["asked_ms"]), (lab.record("rotation")["op"]["id"], again["asked_ms"]))
        self.assertGreaterEqual(again["next_ms"], again["asked_ms"] + HOUR_MS)
        self.assertEqual(record["held"], again["held"])

    def comes_by_itself(self, lab, clock):
        """Somewhat more than an hour after the refusal."""
        before = lab.record("rotation")
        clock.step(91 * DAY_MS + 2 * HOUR_MS)
        op = self.wait_operation(lab, "it begins by itself", lambda op: op["id"] != before["op"]["id"], 60)
        self.assertEqual(("schedule", "rotate-keys"), (op["requested_by"], op["kind"]))
        self.wait_operation(lab, "it ends", lambda op: op["state"] == "finished", 200)
        self.assertNotEqual(before["write_key"], lab.record("rotation")["write_key"])
        record = labs.wait_for("the next one is 90 days later",
                               lambda: (r := lab.record("schedule"))["next_ms"] > op["started_ms"] + 80 * DAY_MS and r, 60)
        self.assertEqual("", record["held"])
        self.assertEqual(["s1", "s2"] * 6, lab.restarts())


if __name__ == "__main__":
    support.main()

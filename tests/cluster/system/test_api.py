"""The cluster through its coordinators' API, by callers who reach nothing else of it: a rotation is run through
coordinators that only stand by, over a wire that is cut, while one of them is killed; the same request twice is one
operation; and the audit trail has it all."""
import json

import api_callers as callers
import support
from support import LabTest, labs, observe, processes, say

SECRETS = 120


class ApiTest(LabTest):
    def test_a_pipeline_with_nothing_but_certificates(self):
        with self.lab(SECRETS, programs=False, members=1, settings={
                "api": callers.settings, "reencrypt": {"max_rate": 60}}) as lab:
            callers.make_certificates(lab)
            lab.start_programs()
            self.lab_, self.anywhere = lab, ",".join(callers.address(s) for s in lab.servers)
            self.same_as_direct(lab)
            self.who_may_what(lab)
            with observe.Files(lab) as seen:
                operation = self.rotate_over_a_cut_wire(lab)
            self.assert_rotated(lab, seen)
            self.the_same_request_again(lab, operation)
            self.locks(lab)
            self.trail(lab, operation)

    def ask(self, who, *args, at=None, code=0):
        result = callers.run(self.lab_, who, at or self.anywhere, *args)
        self.assertEqual(code, result.returncode, result.stdout + result.stderr)
        if code:
            lines = result.stderr.splitlines()
            self.assertEqual(1, len(lines), lines)
        return result

    def same_as_direct(self, lab):
        """What a caller sees is what somebody on a server sees, through whichever coordinator, and by the socket."""
        def quiet(text):
            status = json.loads(text)
            for server in status["servers"]:
                server.pop("age")
            return status

        def same():  # agents may publish between the two
            return quiet(lab.cli("status", "-o", "json").stdout) == quiet(
                self.ask("viewer", "status", "-o", "json").stdout)
        direct = lab.cli("status")
        for server in lab.servers:
            self.assertEqual(direct.stdout, self.ask("viewer", "status", at=callers.address(server)).stdout)
            local = callers.run(lab, "viewer", f"unix:{server.dir}/api/api.sock", "status")
            self.assertEqual((0, direct.stdout), (local.returncode, local.stdout), local.stderr)
        labs.wait_for("the API's status is the state store's", same, 20)
        self.assertEqual(json.loads(lab.cli("explain", "-o", "json").stdout),
                         json.loads(self.ask("viewer", "explain", "-o", "json").stdout))
        self.assertEqual(lab.cli("keys").stdout.split("\n")[0], self.ask("viewer", "keys").stdout.split("\n")[0])

    def who_may_what(self, lab):
        before = lab.record("rotation")
        self.assertIn("needs the role operator", self.ask("viewer", "rotate-keys", code=8).stderr)
        self.assertIn("needs the role admin", self.ask("ci", "disable", code=8).stderr)
        self.assertIn("with --force needs the role admin", self.ask("ci", "rotate", "--force", code=8).stderr)
        self.assertIn("with --skip needs the role admin", self.ask("ci", "reencrypt", "--skip", code=8).stderr)
        self.assertIn("no role", self.ask("nobody", "status", code=8).stderr)
        self.assertIn("run it on a server", self.ask("viewer", "preflight", code=1).stderr)
        self.assertEqual(before, lab.record("rotation"), "somebody without the right changed something")

    def rotate_over_a_cut_wire(self, lab):
        """Through s2 and s3, which stand by, behind wires that are cut; then s2 is killed."""
        _, s2, s3 = lab.servers
        wires = [callers.Wire(s.address, callers.PORT) for s in (s2, s3)]
        argv = callers.argv(lab, "ci", ",".join(w.address for w in wires), "rotate-keys", "--idempotency-key", "run 4711")
        command = processes.Process(lab.dir, "cli-pipeline", argv, lab.dir / "cli-pipeline.log").start()
        self.wait_operation(lab, "the new key is brought to the servers", lambda o: o["phase"] == "append",
                            command=command)
        self.assertEqual("s1", lab.leader())
        # The first look asks; what is told of S1's end has come over the watch.
        labs.wait_for("it is followed", lambda: "prepare: s1 ok" in command.log.read_text(), 60)
        carried = sum(w.carried for w in wires)
        say(f"{sum(w.cut() for w in wires)} connections cut, over which {carried} bytes had gone")
        labs.wait_for("the watch was ended by it", lambda: self.watches(s2, s3) == 1, 10)
        self.wait_operation(lab, "the new key writes", lambda o: o["phase"] == "promote", command=command)
        s2.coordinator.kill()
        say("s2's coordinator killed")
        out = self.ends(lab, command)
        for wire in wires:
            wire.close()
        self.assertIn("keys rotated, reencryption finished", out)
        self.assertIn("lost the coordinator", command.log.read_text())
        s2.coordinator.start()
        operation = lab.record("rotation")["op"]
        self.assertEqual(("rotate-keys", "finished"), (operation["kind"], operation["state"]))
        self.assertTrue(operation["requested_by"].startswith("O=team, CN=ci via "), operation["requested_by"])
        return operation["id"]

    def watches(self, *servers):
        """How many watches have ended."""
        return sum(s.coordinator.log.read_text().count("call=Watch") for s in servers)

    def the_same_request_again(self, lab, operation):
        """A pipeline that is run again under its key finds what it began; the key stands for nothing else."""
        s1 = callers.address(lab.servers[0])
        again = self.ask("ci", "rotate-keys", "--idempotency-key", "run 4711", at=s1)
        self.assertIn("keys rotated, reencryption finished", again.stdout)
        self.assertEqual(operation, lab.record("rotation")["op"]["id"])
        self.assertIn("stood for something else",
                      self.ask("ci", "prepare", "--idempotency-key", "run 4711", at=s1, code=1).stderr)
        self.assertEqual(operation, lab.record("rotation")["op"]["id"])

    def locks(self, lab):
        self.ask("ci", "lock", "--reason", "new disks", "--ttl", "120", at=callers.address(lab.servers[2]))
        self.assertIn("new disks", json.dumps(json.loads(self.ask("viewer", "status", "-o", "json").stdout)["lock"]))
        self.assertNotEqual(0, callers.run(lab, "boss", self.anywhere, "prepare").returncode)
        self.ask("ci", "unlock", at=callers.address(lab.servers[0]))
        self.assertNotIn("lock", json.loads(self.ask("viewer", "status", "-o", "json").stdout))
        self.a_lock_of_somebody_else(lab)

    def a_lock_of_somebody_else(self, lab):
        """Everybody who may look sees its id: that gives nobody the right to it."""
        self.ask("boss", "lock", "--ttl", "120")
        lock = lab.record("lock")["id"].encode()
        caller = callers.Rude(lab, lab.servers[0], "ci").hello()
        caller.call(1, "Unlock")
        caller.message(1, b"\x82\x01" + bytes([len(lock)]) + lock)  # WriteRequest.id
        labs.wait_for("the trail has the refusal", lambda: any(
            (e["who"], e["call"], e["result"]) == ("O=team, CN=ci", "Unlock", "denied") for e in json.loads(
                self.ask("viewer", "audit", "-o", "json").stdout)["entries"]), 20)
        caller.close()
        self.assertEqual(lock.decode(), lab.record("lock")["id"])
        self.ask("boss", "unlock")
        self.assertIsNone(lab.record("lock"))

    def trail(self, lab, operation):
        def entries():
            return json.loads(self.ask("viewer", "audit", "-o", "json").stdout)["entries"]
        found = [(e["who"], e["role"], e["call"], e["what"], e["result"]) for e in entries()]
        for wanted in (("O=look, CN=somebody", "viewer", "Start", "rotate-keys", "refused"),
                       ("O=team, CN=ci", "operator", "Start", "disable", "refused"),
                       ("CN=nobody", "none", "Status", "", "refused"),
                       ("O=team, CN=ci", "operator", "Start", "rotate-keys", "asked"),
                       ("O=team, CN=ci", "operator", "Start", "rotate-keys", "accepted"),
                       ("O=team, CN=ci", "operator", "Start", "prepare", "invalid"),
                       ("CN=boss", "admin", "Start", "prepare", "refused")):
            self.assertIn(wanted, found)
        ours = [e["result"] for e in entries() if operation in e["what"]]
        self.assertIn("started", ours)
        self.assertIn("finished", ours)
        self.assertTrue(all(e["authentic"] for e in entries()))
        self.assertEqual([e["name"] for e in entries()], sorted(e["name"] for e in entries()))
        self.assertEqual(lab.cli("audit").stdout.splitlines()[0], self.ask("viewer", "audit").stdout.splitlines()[0])
        # One that nobody of the cluster signed is told of as such, to those at a distance too.
        lab.etcd.put(f"/secrets-encrypt/{lab.cluster}/~audit/9999999999999-00000000", '{"who": "CN=ci"}')
        last = entries()[-1]
        self.assertEqual((False, ""), (last["authentic"], last["who"]))
        self.assertIn("not to be trusted", last["why"])


if __name__ == "__main__":
    support.main()

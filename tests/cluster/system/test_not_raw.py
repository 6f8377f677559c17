"""A datastore that cannot be read raw: the lab's etcd plays the SQL database, and what the config calls the
datastore is a port that nobody may knock at. An object that cannot be rewritten halts the rotation before the
drop; without it all values end under the new key, and status says which proofs were not made."""
import json
import socket
import threading

import support
from support import CANARIES, LabTest, labs, names, observe, say
import writers

SECRETS = 120
INVALID = "/registry/secrets/default/invalid"
LEFT_BEHIND = "secrets-encrypt-canary-00000000-1"
ENDPOINTS = "/api/v1/namespaces/default/endpoints"
FORGOTTEN = "10.9.8.7"
FENCE = "/registry/secrets-encrypt/"
NOT_MADE = ("Proof not made by decrypting: opens (list): the datastore cannot be read raw",
            "Proof not made by canary: readable (list): not made by canary",
            "Proof not made by canary: written (read): not seen in the datastore",
            "Proof not made by scan: verify (list): values cannot be counted by key: every object was rewritten twice",
            "Proof not made by scan: final (list): values cannot be counted by key")


class Door:
    """A port on loopback that counts who knocks."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.knocks = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                self.socket.accept()[0].close()
            except OSError:
                return
            self.knocks += 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


class NotRawTest(LabTest):
    def test_not_raw(self):
        with Door() as door:
            with socket.create_connection(door.socket.getsockname()):  # it does count
                labs.wait_for("a knock is counted", lambda: door.knocks == 1, 10)
            settings = {"datastore": {"raw": "off", "endpoints": [door.url]},
                        "snapshots": {"enabled": "off"}}
            with self.lab(SECRETS, servers=3, members=1, settings=settings) as lab, observe.Files(lab) as seen:
                self.rotates(lab, seen)
                self.assertEqual([], lab.etcd.range(FENCE))
            self.assertEqual(1, door.knocks, "something asked the datastore")

    def rotates(self, lab, seen):
        self.refused(lab, "--engine datastore is not possible", "rotate-keys", "--engine", "datastore")
        self.forgotten_server_blocks(lab)
        self.halts_before_the_drop(lab)
        s1 = lab.server("s1").kube
        self.assertTrue(s1.ready())  # over a connection that is newer than its restarts
        s1.delete_secret("default", "invalid")
        s1.create_secret("kube-system", LEFT_BEHIND, {"marker": b"0"})
        with writers.Writers(lab.clients()) as users:
            self.assertRegex(self.run_cli(lab, "rotate-keys").stdout,
                             r"(?m)^keys rotated, reencryption (started|finished)$")
        say(f"users: {users.acknowledged}, {users.retries} retries")
        self.assertEqual(([], []), (users.read_errors[:5], users.check()[:5]))
        self.assertEqual(2, lab.record("rotation")["op"]["attempt"])
        name = self.assert_rotated(lab, seen)
        self.assert_status(lab, stage="reencrypt_finished", rows=[(True, "AES-CBC", name)])
        self.assert_readable(lab, SECRETS)
        self.assertEqual(names(lab) * 3, lab.restarts())
        self.assertEqual([], lab.etcd.range(CANARIES))
        self.says_what_was_not_proved(lab)

    def forgotten_server_blocks(self, lab):
        """The API says which API servers are alive; the lab's own keep no such list."""
        s1 = lab.server("s1").kube
        s1.call("POST", ENDPOINTS, {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "kubernetes"},
                                    "subsets": [{"addresses": [{"ip": FORGOTTEN}], "ports": [{"port": 6443}]}]})
        labs.wait_for("status names it", lambda: FORGOTTEN in (lab.record("apis") or {}).get("unknown", ""), 30)
        self.refused(lab, f"{FORGOTTEN} is alive in the Endpoints kubernetes", "rotate-keys")
        s1.call("DELETE", f"{ENDPOINTS}/kubernetes")
        labs.wait_for("status names it no more", lambda: not lab.record("apis")["unknown"], 30)

    def halts_before_the_drop(self, lab):
        """A Secret that no server would take again: of a type that must have what this one lacks."""
        lab.etcd.put(INVALID, json.dumps(
            {"kind": "Secret", "apiVersion": "v1", "type": "kubernetes.io/dockercfg", "data": {"a": "YQ=="},
             "metadata": {"name": "invalid", "namespace": "default", "uid": "1a2b3c4d-0000-4000-8000-000000000000",
                          "creationTimestamp": "2024-01-01T00:00:00Z"}}))
        error = self.run_cli(lab, "rotate-keys", code=7).stderr.splitlines()[-1]
        say(error)
        for part in ("the old key stays", "1 of ", "secrets/default/invalid", "422"):
            self.assertIn(part, error)
        record = lab.record("rotation")
        self.assertEqual(("halted", "verify", "uncertain"), tuple(record["op"][f] for f in ("state", "phase", "row")))
        self.assertEqual(3, record["issued"])
        for server in lab.servers:
            self.assertIn("aescbckey\"", server.encryption_config.read_text())
        self.assertEqual(names(lab) * 2, lab.restarts())
        self.assertIn("Proof failed: verify (list)", self.run_cli(lab, "status", "-o", "wide").stdout)

    def says_what_was_not_proved(self, lab):
        text, explain = self.run_cli(lab, "status", "-o", "wide").stdout, self.run_cli(lab, "explain").stdout
        for line in NOT_MADE:
            self.assertIn(line, text)
            self.assertIn(line, explain)
        proofs = json.loads(self.run_cli(lab, "explain", "-o", "json").stdout)["proofs"]
        found = {p["phase"]: (p["state"], p["method"], p.get("notmadeby")) for p in proofs}
        self.assertEqual({"opens": ("made", "list", "decrypting"), "readable": ("made", "list", "canary"),
                          "written": ("made", "read", "canary"), "verify": ("made", "list", "scan"),
                          "final": ("made", "list", "scan")}, found)
        self.assertNotIn("under another key", text)  # nobody has seen that
        self.assertIn("every object was rewritten twice", text)


if __name__ == "__main__":
    support.main()

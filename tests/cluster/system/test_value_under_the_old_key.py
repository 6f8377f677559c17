"""After the scan had counted zero values under the old key, one is written under it all the same (a server that
nobody knew of, a restored object): raw, into the datastore, while the old key leaves the servers. The key comes
back, the value is rewritten, the rotation finishes, and it is readable everywhere.

Then what is kept for a bad day: the retired key out of escrow, and the snapshot from before the rotation,
restored into an etcd of its own and read by an API server with today's config."""
import hashlib
import re
import stat

import support
from support import SEED, LabTest, kube, observe, say
import etcd
import restored

SECRETS = 80
OLD = "aescbckey"
READY_TIMEOUT = 60
LATE = 7  # number of the Secret that is written under the old key


class OldKeyTest(LabTest):
    def test_value_under_the_old_key(self):
        with self.lab(SECRETS, servers=2, members=1, settings={"ready_timeout": READY_TIMEOUT}) as lab, \
                observe.Availability(lab) as availability:
            key = "/registry/secrets/" + "/".join(kube.place(LATE))
            captured = lab.etcd.get(key)[0].value
            self.assertTrue(captured.startswith(f"k8s:enc:aescbc:v1:{OLD}:".encode()))
            name = self.rotate_with_a_late_value(lab, key, captured)
            self.assertEqual([], availability.overlaps())
            self.keys_are_listed(lab, name)
            self.key_is_restored(lab, name)
            self.restored_snapshot_is_readable(lab)

    def rotate_with_a_late_value(self, lab, key, captured):
        late = f"/api/v1/namespaces/{kube.place(LATE)[0]}/secrets/{kube.place(LATE)[1]}"
        reads = [observe.Reads(client, late) for client in lab.clients()]
        with observe.Files(lab) as seen, observe.Rotation(lab) as rotation, reads[0], reads[1]:
            command = lab.cli_start("rotate-keys")
            operation = self.wait_operation(lab, "the drop is issued", lambda op: op["phase"] == "drop" and op["target"],
                                            240, command)
            self.wait_report(lab, "s1", "dropped", lambda r: r["generation"] == operation["target"])
            lab.etcd.put(key, captured)
            say("a value was written under the old key while it leaves the servers")
            self.wait_operation(lab, "the old key is brought back", lambda op: op["phase"] == "bring_back",
                                READY_TIMEOUT + 90, command)
            say(f"the old key comes back; {lab.restarts()[4:]} were restarted for the drop")
            self.wait_report(lab, "s1", "has the old key again", lambda r: r["generation"] > operation["target"] and
                             r["ready"] and r["loaded_generation"] == r["generation"])
            say("s1 has it again")
            self.assertRegex(self.ends(lab, command), r"(?m)^keys rotated, reencryption (started|finished)$")
        phases = [b["op"]["phase"] for b in rotation.operation("rotate-keys")]
        phases = [p for i, p in enumerate(phases) if i == 0 or phases[i - 1] != p]
        say(f"phases: {phases}; restarts: {lab.restarts()}")
        self.assertIn("bring_back", phases)
        self.assertEqual("rewrite", phases[phases.index("bring_back") + 1])
        for read in reads:
            self.assertIsNone(read.failure)
            say(f"{read.client.name}: that Secret could not be read for {read.window():.1f} s, "
                f"{read.window(ready=True):.1f} s of that through a server that said to be ready")
            # An API server that cannot open a value does not get ready: its agent puts its previous file back.
            self.assertLess(read.window(ready=True), 5)
            self.assertLess(read.window(), READY_TIMEOUT + 60)
        name = self.assert_rotated(lab, seen)
        self.assert_readable(lab, SECRETS)
        return name

    def keys_are_listed(self, lab, name):
        table = self.run_cli(lab, "keys").stdout
        self.assertRegex(table, rf"(?m)^{re.escape(name)} +aescbc +active ")
        self.assertRegex(table, rf"(?m)^{OLD} +aescbc +retired .*20\d\d-\d\d-\d\dT\S+Z$")

    def key_is_restored(self, lab, name):
        """Readable again on every server, through the normal stages; the new key goes on writing."""
        before = lab.restarts()
        self.refused(lab, "no retired key 'nobody' is kept", "keys", "restore", "nobody")
        self.run_cli(lab, "keys", "restore", OLD, "--wait")
        self.assertEqual(before + ["s1", "s2"], lab.restarts())
        self.assert_status(lab, 10, stage="reencrypt_finished", rows=[(True, "AES-CBC", name), (False, "AES-CBC", OLD)])
        self.assertEqual({f"aescbc:{name}": SECRETS}, {k: n for k, n in lab.count_by_key().items() if n})
        self.assertRegex(self.run_cli(lab, "keys").stdout, rf"(?m)^{OLD} +aescbc +readable ")

    def restored_snapshot_is_readable(self, lab):
        """That from before the rotation, in which every value is under the old key, with S1's present config."""
        found = [p for s in lab.servers for p in (s.dir / "state" / "snapshots").glob("*-before-rewrite.db")]
        self.assertEqual(1, len(found), found)
        snapshot, sums = found[0], found[0].with_name(found[0].name + ".sha256")
        self.assertEqual({0o600}, {stat.S_IMODE(p.stat().st_mode) for p in (snapshot, sums)})
        self.assertEqual(0o700, stat.S_IMODE(snapshot.parent.stat().st_mode))
        self.assertEqual(hashlib.sha256(snapshot.read_bytes()).hexdigest(), sums.read_text().split()[0])
        client, store = restored.start(lab, snapshot, lab.servers[0].encryption_config)
        say(f"{snapshot.name} runs in an etcd of its own")
        self.assertEqual({"plain": 0, f"aescbc:{OLD}": SECRETS},
                         etcd.count_by_key(store, "/registry/secrets/", {OLD}))
        self.assertEqual([], kube.read_errors([client], SEED, range(SECRETS))[:5])


if __name__ == "__main__":
    support.main()

"""After the scan had counted zero values under the old key, one is written under it all the same (a server that
nobody knew of, a restored object): raw, into the datastore, while the old key leaves the servers. The key comes
back, the value is rewritten, the rotation finishes, and it is readable everywhere.

Then what is kept for a bad day: the retired key out of escrow, and the snapshot from before the rotation,
restored into an etcd of its own and read by an API server with today's config."""
import hashlib
import re
import stat
import subprocess

import support
from support import SEED, LabTest, files, https, kube, labs, observe, processes, say
import addresses
import etcd

SECRETS = 80
OLD = "aescbckey"
LATE = 7  # number of the Secret that is written under the old key
LATE_AT = ("s1", "s2")  # it is written when S1 has dropped, and again when … see moments()


class OldKeyTest(LabTest):
    def test_value_under_the_old_key(self):
        with self.lab(SECRETS, servers=2, members=1) as lab, observe.Availability(lab) as availability:
            key = "/registry/secrets/" + "/".join(kube.place(LATE))
            captured = lab.etcd.get(key)[0].value
            self.assertTrue(captured.startswith(f"k8s:enc:aescbc:v1:{OLD}:".encode()))
            name = self.rotate_with_a_late_value(lab, key, captured)
            self.assertEqual([], availability.overlaps())
            self.keys_are_listed(lab, name)
            self.restored_snapshot_is_readable(lab)
            self.key_is_restored(lab, name)

    def rotate_with_a_late_value(self, lab, key, captured):
        late = f"/api/v1/namespaces/{kube.place(LATE)[0]}/secrets/{kube.place(LATE)[1]}"
        reads = [observe.Reads(client, late) for client in lab.clients()]
        with observe.Files(lab) as seen, observe.Rotation(lab) as rotation, reads[0], reads[1]:
            command = lab.cli_start("rotate-keys")
            operation = self.wait_operation(lab, "the drop is issued", lambda op: op["phase"] == "drop" and op["target"],
                                            240)
            self.wait_report(lab, "s1", "dropped", lambda r: r["generation"] == operation["target"])
            lab.etcd.put(key, captured)
            say("a value was written under the old key while it leaves the servers")
            self.assertRegex(self.ends(lab, command), r"(?m)^keys rotated, reencryption (started|finished)$")
        phases = [b["op"]["phase"] for b in rotation.operation("rotate-keys")]
        phases = [p for i, p in enumerate(phases) if i == 0 or phases[i - 1] != p]
        say(f"phases: {phases}")
        self.assertIn("bring_back", phases)
        self.assertEqual("rewrite", phases[phases.index("bring_back") + 1])
        for read in reads:
            self.assertIsNone(read.failure)
            say(f"{read.client.name}: that Secret could not be read for {read.window():.1f} s")
            self.assertLess(read.window(), 90)
        name = self.assert_rotated(lab, seen)
        self.assert_readable(lab, SECRETS)
        return name

    def keys_are_listed(self, lab, name):
        table = self.run_cli(lab, "keys").stdout
        self.assertRegex(table, rf"(?m)^{re.escape(name)} +aescbc +active ")
        self.assertRegex(table, rf"(?m)^{OLD} +aescbc +retired .*20\d\d-\d\d-\d\dT\S+Z$")

    def restored_snapshot_is_readable(self, lab):
        """The newest snapshot from before the values were rewritten; every value in it is under the old key."""
        found = [p for s in lab.servers for p in (s.dir / "state" / "snapshots").glob("*-before-rewrite.db")]
        self.assertEqual(1, len(found), found)
        snapshot, sums = found[0], found[0].with_name(found[0].name + ".sha256")
        self.assertEqual({0o600}, {stat.S_IMODE(p.stat().st_mode) for p in (snapshot, sums)})
        self.assertEqual(0o700, stat.S_IMODE(snapshot.parent.stat().st_mode))
        self.assertEqual(hashlib.sha256(snapshot.read_bytes()).hexdigest(), sums.read_text().split()[0])
        with self.fresh_etcd(lab, snapshot) as (url, restored):
            counts = etcd.count_by_key(restored, "/registry/secrets/", {OLD})
            self.assertEqual({"plain": 0, f"aescbc:{OLD}": SECRETS}, counts)
            self.read_from(lab, url)

    def fresh_etcd(self, lab, snapshot):
        return FreshEtcd(lab, snapshot)

    def read_from(self, lab, url):
        """A config of today's keys and the one out of escrow reads every Secret of the snapshot."""
        s1 = lab.server("s1")
        argv = [a.replace(",".join(lab.etcd_urls), url) for a in files.apiserver_argv(lab, s1)]
        raise NotImplementedError(argv)


if __name__ == "__main__":
    support.main()

"""The rotation of the K3s documentation, step by step by hand: prepare, rotate and reencrypt on S1, each
followed by a restart of S1 and then of the others, with the status that K3s shows at every step."""
import support
from support import LabTest, observe, say

SECRETS = 120
OLD = "aescbckey"


class ManualProcedureTest(LabTest):
    def lab_by_hand(self, servers):
        """The operator restarts, so the start script runs `sync`, as an installed unit does."""
        return self.lab(SECRETS, servers=servers, members=1, sync_on_start=True)

    def restart_all(self, lab, stage, rows, one_by_one=False):
        """S1, then the others; the status names the first server that still differs."""
        for i, server in enumerate(lab.servers):
            lab.restart(server.name, wait=i == 0 or one_by_one)
            if i + 1 < len(lab.servers) and (i == 0 or one_by_one):
                say(f"{server.name} restarted")
                self.assert_status(lab, 20, stage=stage, rows=rows, mismatch=f"s1 and s{i + 2}")
        for server in lab.servers:
            lab.wait_ready(server)
        say("all restarted")
        self.assert_status(lab, 20, stage=stage, rows=rows)

    def test_high_availability(self):
        with self.lab_by_hand(3) as lab, observe.Files(lab) as seen:
            first = [(True, "AES-CBC", OLD)]
            self.assert_status(lab, stage="start", rows=first)
            for command in ("rotate", "reencrypt"):
                self.refused(lab, "incorrect stage: start found on node s1", command, "--no-restart")
            untouched = {s.name: s.encryption_config.read_bytes() for s in lab.servers}

            self.said(self.run_cli(lab, "prepare", "--no-restart"), "prepare completed successfully")
            for server in lab.servers[1:]:
                self.assertEqual(untouched[server.name], server.encryption_config.read_bytes())
            new = self.new_name(lab)
            prepared = [(True, "AES-CBC", OLD), (False, "AES-CBC", new)]
            self.assert_status(lab, stage="prepare", rows=prepared, mismatch="s1 and s2")
            self.refused(lab, "hash does not match between s1 and s2", "rotate", "--no-restart")
            self.restart_all(lab, "prepare", prepared, one_by_one=True)
            self.refused(lab, "incorrect stage: prepare found on node s1", "prepare", "--no-restart")
            self.refused(lab, "incorrect stage: prepare found on node s1", "reencrypt", "--no-restart")

            self.said(self.run_cli(lab, "rotate", "--no-restart"), "rotate completed successfully")
            rotated = [(True, "AES-CBC", new), (False, "AES-CBC", OLD)]
            self.assert_status(lab, stage="rotate", rows=rotated, mismatch="s1 and s2")
            self.refused(lab, "hash does not match between s1 and s2", "reencrypt", "--no-restart")
            self.restart_all(lab, "rotate", rotated)
            self.refused(lab, "incorrect stage: rotate found on node s1", "rotate", "--no-restart")

            self.reencrypt_by_hand(lab, new, mismatch="s1 and s2")
            self.refused(lab, "hash does not match between s1 and s2", "prepare", "--no-restart")
            self.restart_all(lab, "reencrypt_finished", [(True, "AES-CBC", new)])
            self.assertEqual(["s1", "s2", "s3"] * 3, lab.restarts(), "only the operator restarts")
            seen.look()
            self.assertEqual(new, self.assert_rotated(lab, seen))
            self.assert_readable(lab, SECRETS)

    def test_single_server(self):
        with self.lab_by_hand(1) as lab, observe.Files(lab) as seen:
            self.assert_status(lab, stage="start", rows=[(True, "AES-CBC", OLD)])
            self.refused(lab, "incorrect stage: start found on node s1", "rotate", "--no-restart")
            self.said(self.run_cli(lab, "prepare", "--no-restart"), "prepare completed successfully")
            new = self.new_name(lab)
            prepared = [(True, "AES-CBC", OLD), (False, "AES-CBC", new)]
            self.assert_status(lab, stage="prepare", rows=prepared)
            self.restart_all(lab, "prepare", prepared)
            self.said(self.run_cli(lab, "rotate", "--no-restart"), "rotate completed successfully")
            rotated = [(True, "AES-CBC", new), (False, "AES-CBC", OLD)]
            self.assert_status(lab, stage="rotate", rows=rotated)
            self.restart_all(lab, "rotate", rotated)
            self.reencrypt_by_hand(lab, new)
            self.restart_all(lab, "reencrypt_finished", [(True, "AES-CBC", new)])
            self.assertEqual(["s1"] * 3, lab.restarts())
            seen.look()
            self.assertEqual(new, self.assert_rotated(lab, seen))
            self.assert_readable(lab, SECRETS)

    def new_name(self, lab):
        found = [n for n, _ in support.files.keys_in(lab.servers[0].encryption_config.read_text()) if n != OLD]
        self.assertEqual(1, len(found), found)
        self.assertRegex(found[0], support.KEY_NAME)
        return found[0]

    def reencrypt_by_hand(self, lab, new, **expected):
        """As K3s's it says that it began; the end shows in the status. Nothing is left under the old key by then."""
        self.said(self.run_cli(lab, "reencrypt", "--no-restart"), "reencryption started")
        self.assert_status(lab, 60, stage="reencrypt_finished", rows=[(True, "AES-CBC", new)], **expected)
        self.assertEqual({"plain": 0, f"aescbc:{new}": SECRETS}, lab.count_by_key())


if __name__ == "__main__":
    support.main()

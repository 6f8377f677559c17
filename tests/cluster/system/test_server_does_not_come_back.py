"""A server whose API server does not start with the new file gets its previous one back, the others are not
touched, the operation halts and names it; once it is mended the same command goes on with the same key."""
import support
from support import LabTest, observe, say

SECRETS = 120


class ServerDoesNotComeBackTest(LabTest):
    def test_halt_and_resume(self):
        with self.lab(SECRETS, servers=3, members=1, sync_on_start=True, settings={"ready_timeout": 25}) as lab, \
                observe.Files(lab) as seen, observe.Availability(lab) as availability:
            s2 = lab.server("s2")
            before = s2.encryption_config.read_bytes()
            for mode in ("exit", "hang"):
                s2.broken(mode, unless_hash=support.hash_of(before.decode()))
                say(f"s2's API server will {mode} with another file than today's")
                self.halted(lab, before)
                self.assertEqual(1, len(seen.new_names()), f"keys that were made: {seen.new_names()}")
            name, = seen.new_names()
            self.assert_status(lab, 20, stage="prepare", mismatch="s1 and s2",
                               rows=[(True, "AES-CBC", "aescbckey"), (False, "AES-CBC", name)])
            s2.broken()
            say("s2 is mended")
            self.said(self.run_cli(lab, "prepare"), "prepare completed successfully")
            self.assert_status(lab, 20, stage="prepare",
                               rows=[(True, "AES-CBC", "aescbckey"), (False, "AES-CBC", name)])
            seen.look()
            self.assertEqual(({name}, set()), (seen.new_names(), seen.differing), "another key was made")
            self.assertEqual({0o600}, seen.modes)
            self.assertEqual(1, len({s.encryption_config.read_bytes() for s in lab.servers}))
            self.assert_readable(lab, SECRETS)
            self.assertEqual([], availability.overlaps())

    def halted(self, lab, before):
        """The command fails and names s2; s2 has its file back, s3 was not touched, all can be used."""
        result = self.run_cli(lab, "prepare", code=7)
        self.assertIn("s2", result.stderr.splitlines()[-1])
        self.assertEqual(before, lab.server("s2").encryption_config.read_bytes(), "s2's previous file is not back")
        self.assertEqual(before, lab.server("s3").encryption_config.read_bytes())
        self.assertNotIn("s3", lab.restarts(), "a server after the broken one was touched")
        operation = lab.record("rotation")["op"]
        self.assertEqual("halted", operation["state"], operation)
        self.assertIn("s2", operation["why"])
        say(f"halted: {operation['why']}")
        for server in lab.servers:
            lab.wait_ready(server, 30)
        self.assert_readable(lab, SECRETS)
        wide = self.run_cli(lab, "status", "-o", "wide").stdout
        self.assertIn("halted", wide)
        self.assertIn("s2", wide)


if __name__ == "__main__":
    support.main()

"""A server whose API server does not start with the new file gets its previous one back, the others are not
touched, the operation halts and names it; once it is mended the same command goes on with the same key."""
import support
from support import LabTest, files, observe, say

SECRETS = 120


class ServerDoesNotComeBackTest(LabTest):
    def test_halt_and_resume(self):
        with self.lab(SECRETS, servers=3, members=1, sync_on_start=True, settings={"ready_timeout": 25}) as lab, \
                observe.Files(lab) as seen, observe.Availability(lab) as availability:
            s2, s3 = lab.server("s2"), lab.server("s3")
            before = s2.encryption_config.read_bytes()
            s2.broken("exit", unless_hash=observe.file_hash(s2))
            say("s2 will not start with another file than today's")
            self.halted(lab, "s2")
            self.assertEqual(before, s2.encryption_config.read_bytes(), "s2's previous file is not back")
            self.assertEqual(before, s3.encryption_config.read_bytes())
            self.assertNotIn("s3", lab.restarts(), "a server after the broken one was touched")
            name, = seen.new_names()
            self.assert_status(lab, 20, stage="prepare", mismatch="s1 and s2",
                               rows=[(True, "AES-CBC", "aescbckey"), (False, "AES-CBC", name)])

            s2.broken()
            s3.broken("hang", unless_writes_with="aescbckey")
            say("s2 is mended; s3 will hang with a file that writes with another key")
            self.halted(lab, "s3")
            self.assertEqual({name}, seen.new_names(), "another key was made")
            self.assertEqual("aescbckey", first_key(s3), "s3's previous file is not back")
            self.assertEqual([name, name], [first_key(s) for s in lab.servers[:2]])
            self.assertEqual({0o600}, seen.modes)

            s3.broken()
            say("s3 is mended")
            self.run_cli(lab, "rotate-keys")
            seen.look()
            self.assertEqual(name, self.assert_rotated(lab, seen))
            self.assert_readable(lab, SECRETS)
            self.assertEqual([], availability.overlaps())

    def halted(self, lab, server):
        """rotate-keys fails, names the server, and everything is as usable as before."""
        result = self.run_cli(lab, "rotate-keys", code=1)
        self.assertIn(server, result.stderr)
        operation = lab.record("rotation")["op"]
        self.assertEqual("halted", operation["state"], operation)
        self.assertIn(server, operation["why"])
        say(f"halted: {operation['why']}")
        for one in lab.servers:
            lab.wait_ready(one, 30)
        self.assert_readable(lab, SECRETS)
        wide = self.run_cli(lab, "status", "-o", "wide")
        self.assertIn("halted", wide.stdout)
        self.assertIn(server, wide.stdout)


def first_key(server):
    return files.keys_in(server.encryption_config.read_text())[0][0]


if __name__ == "__main__":
    support.main()

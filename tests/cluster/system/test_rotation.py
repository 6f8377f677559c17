"""rotate-keys from end to end while users keep writing: one command, every server restarted three times in
order, never two at once, and at the end nothing lost, nothing under the old key, nothing plain."""
import json
import os


import support
from support import STAGES, LabTest, names, observe, say, without_repeats
import writers

SERVERS = int(os.environ.get("SERVERS", "3"))
SECRETS = 200


class RotationTest(LabTest):
    def test_rotate_keys(self):
        # On three servers the start script runs `sync` first, as an installed unit does. Each of three etcd
        # members costs as much as an API server, so that five servers have to share one.
        three = SERVERS == 3
        with self.lab(SECRETS, servers=SERVERS, members=3 if three else 1, sync_on_start=three) as lab:
            with observe.Rotation(lab) as rotation, observe.Files(lab) as seen, \
                    observe.Availability(lab) as availability, writers.Writers(lab.clients()) as users:
                result = self.run_cli(lab, "rotate-keys")
            say(f"users: {users.acknowledged}, {users.retries} retries")
            self.assertRegex(result.stdout, r"(?m)^keys rotated, reencryption (started|finished)$")
            self.assertEqual(names(lab) * 3, lab.restarts())
            self.assertEqual([], availability.overlaps())
            self.assertEqual(STAGES, rotation.stages())
            self.check_states(lab, rotation)
            name = self.assert_rotated(lab, seen)
            self.check_status(lab, name)
            self.assert_readable(lab, SECRETS)
            self.check_users(users)

    def check_states(self, lab, rotation):
        """The operation was one, in its first attempt, and each server was restarted by its own agent."""
        steps = [tuple(b["op"][f] for f in ("id", "kind", "state", "phase", "row"))
                 for b in rotation.operation("rotate-keys")]
        self.assertEqual(1, len({s[0] for s in steps}), "\n".join(map(str, without_repeats(steps))))
        last = rotation.bodies()[-1]["op"]
        self.assertEqual(("finished", 1, "rotate-keys"), (last["state"], last["attempt"], last["kind"]))
        progress = lab.record("reencrypt")
        self.assertEqual(0, progress["failed"], progress)
        self.assertGreaterEqual(progress["done"], SECRETS)
        self.assertEqual((0, 0), (progress["scan_stale"], progress["scan_plain"]))

    def check_status(self, lab, name):
        self.assert_status(lab, stage="reencrypt_finished", rows=[(True, "AES-CBC", name)])
        status = json.loads(self.run_cli(lab, "status", "-o", "json").stdout)
        self.assertEqual(("reencrypt_finished", True, True), (status["stage"], status["enable"], status["hashmatch"]))
        self.assertIn(name, json.dumps(status["activekey"]))
        self.assertNotIn("aescbckey", set(files_names(status.get("inactivekeys"))))

    def check_users(self, users):
        self.assertEqual([], users.read_errors[:5])
        self.assertEqual([], users.check()[:5])
        self.assertGreater(users.acknowledged["update"], 50, "the writers hardly wrote: the test proves nothing")
        self.assertGreater(users.acknowledged["delete"], 5)


def files_names(keys):
    return [k if isinstance(k, str) else k.get("name") for k in keys or []]


if __name__ == "__main__":
    support.main()

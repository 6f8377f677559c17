"""The leading coordinator is killed in every stage of one rotation, and hangs in one (it wakes up deposed, with
a successor at work); each time another server's takes over and goes on with the same key."""
import support
from support import STAGES, LabTest, labs, names, observe, say

SECRETS = 240
HANGS_IN = "rotate"


class CoordinatorKilledTest(LabTest):
    def test_successor_finishes_with_the_same_key(self):
        # The re-encryption is slowed down so that there is a stage to be killed in.
        with self.lab(SECRETS, servers=2, members=1, settings={"reencrypt": {"max_rate": 80}}) as lab:
            with observe.Rotation(lab, every=0.03) as rotation, observe.Files(lab) as seen, \
                    observe.Availability(lab) as availability:
                command = lab.cli_start("rotate-keys")
                self.assertEqual("s1", lab.leader(), "S1 is preferred")
                killed = [self.kill_leader(lab, rotation, stage) for stage in STAGES]
                labs.wait_for("the command ends", lambda: command.exit_code is not None, 240)
            say(f"killed: {killed}")
            self.assertEqual(0, command.exit_code, command.tail())
            self.assertEqual(STAGES, rotation.stages())
            self.assertEqual(names(lab) * 3, lab.restarts())
            self.assertEqual([], availability.overlaps())
            self.assert_rotated(lab, seen)
            self.assert_readable(lab, SECRETS)
            self.assertEqual(1, len({b["op"]["id"] for b in rotation.operation("rotate-keys")}))

    def kill_leader(self, lab, rotation, stage):
        """SIGKILL as soon as the stage is seen; returns (stage, victim, successor)."""
        rotation.wait_stage(stage, "rotate-keys", 200)
        victim = labs.wait_for("a leader", lab.leader, 30)
        coordinator = lab.server(victim).coordinator
        coordinator.pause() if stage == HANGS_IN else coordinator.kill()
        say(f"{'stopped' if stage == HANGS_IN else 'killed'} the coordinator on {victim} in stage {lab.record('rotation')['stage']}, meant for {stage}")
        successor = labs.wait_for("another leader", lambda: lab.leader() not in (None, victim) and lab.leader(), 40)
        say(f"{successor} leads")
        coordinator.resume() if stage == HANGS_IN else coordinator.start()
        return stage, victim, successor


if __name__ == "__main__":
    support.main()

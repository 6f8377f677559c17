"""Agents are killed while they apply a step: before they write, after they wrote, while the API server
restarts and before it is ready. Started again they go on with the same key."""
import time

import support
from support import LabTest, labs, names, observe, say, without_repeats

SECRETS = 60
LEASE = 5

# (server, what is waited for, seconds until the agent is started again), in the order of a rotation
MOMENTS = [("s1", "order", 0.5), ("s2", "file", 0.5), ("s1", "restart", 0.5), ("s2", "process", LEASE + 3),
           ("s1", "file", 0), ("s2", "restart", 0)]


class AgentKilledTest(LabTest):
    def test_agents_resume(self):
        with self.lab(SECRETS, servers=2, members=1, settings={"lease_ttl": LEASE}) as lab:
            with observe.Rotation(lab) as rotation, observe.Files(lab) as seen, \
                    observe.Availability(lab) as availability:
                looks = [self.look_at(lab, lab.server(server), what) for server, what, _ in MOMENTS]
                before = looks[0]()
                command = lab.cli_start("rotate-keys")
                for i, (server, what, pause) in enumerate(MOMENTS):
                    self.kill_when_changed(lab, command, lab.server(server), what, lambda i=i, b=before: looks[i]() != b)
                    # Nothing goes on while that agent is dead: what the next moment changes is as it was.
                    before = looks[i + 1]() if i + 1 < len(looks) else None
                    time.sleep(pause)
                    lab.server(server).agent.start()
                labs.wait_for("the command ends", lambda: command.exit_code is not None, 240)
            self.assertEqual(0, command.exit_code, command.tail())
            self.assertEqual(support.STAGES, rotation.stages())
            # An agent that died does not know whether the restart came about, so that it may do it again.
            self.assertEqual(names(lab) * 3, without_repeats(lab.restarts()))
            self.assertEqual([], availability.overlaps())
            self.assert_rotated(lab, seen)
            self.assert_readable(lab, SECRETS)

    def look_at(self, lab, server, what):
        return {"order": lambda: lab.record(f"orders/{server.name}"),
                "file": server.encryption_config.read_bytes,
                "restart": lambda: lab.restarts().count(server.name),
                "process": lambda: server.entry()["pid"]}[what]

    def kill_when_changed(self, lab, command, server, what, changed):
        def look():
            if command.exit_code is not None:
                raise labs.LabError(f"the command ended with {command.exit_code} before {server.name}'s {what} changed")
            return changed()
        labs.wait_for(f"{server.name}: {what} changes", look, 120, every=0.02)
        server.agent.kill()
        say(f"killed the agent on {server.name} when its {what} changed")


if __name__ == "__main__":
    support.main()

"""One server whose only etcd goes down and comes up with it, as K3s's embedded one does: the command, the
agent and the coordinator wait for it and the rotation goes on."""
import support
from support import LabTest, observe, say
import writers

SECRETS = 100


class StateStoreAwayTest(LabTest):
    def test_rotation_goes_on(self):
        with self.lab(SECRETS, servers=1, members=1, restart_etcd=True) as lab:
            etcd_before = pid_of_etcd(lab)
            with observe.Files(lab) as seen, writers.Writers(lab.clients(), threads=1) as users:
                self.run_cli(lab, "rotate-keys")
            self.assertNotEqual(etcd_before, pid_of_etcd(lab), "etcd was not restarted: the test proves nothing")
            self.assertEqual(["s1"] * 3, lab.restarts())
            self.assert_rotated(lab, seen)
            self.assert_readable(lab, SECRETS)
            self.assertEqual([], users.read_errors[:5])
            self.assertEqual([], users.check()[:5])
            say("agent and coordinator are the same processes as before")
            self.assertTrue(lab.servers[0].agent.alive and lab.servers[0].coordinator.alive)


def pid_of_etcd(lab):
    return support.processes.read_entry(lab.dir, "etcd-1")["pid"]


if __name__ == "__main__":
    support.main()

"""The lab itself: what the other tests build on does what they take for granted."""
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import support
from support import LabTest, files, kube, labs, observe, say
import processes

CHILD = """
import sys, time
sys.path.insert(0, {lab!r})
import lab
with lab.Lab(servers=1, members=1) as one:
    one.start(apiservers=False)
    print(one.dir, flush=True)
    time.sleep(60)
"""


class LabItself(LabTest):
    def test_restarts_counts_and_breakage(self):
        with self.lab(50, programs=False, servers=2, members=1) as lab:
            self.assertEqual({"plain": 0, "aescbc:aescbckey": 50}, lab.count_by_key())
            self.assert_readable(lab, 50)
            self.check_that_a_loss_is_seen(lab)
            s1, s2 = lab.servers
            pids = [s.entry()["pid"] for s in lab.servers]
            with observe.Availability(lab) as availability:
                lab.restart("s2", wait=False)
                lab.restart("s1", wait=False)
                for server in lab.servers:
                    lab.wait_ready(server)
                time.sleep(0.3)
            self.assertEqual(["s2", "s1"], lab.restarts())
            self.assertTrue(availability.overlaps(), "two servers were down and nobody saw it")
            self.assertFalse({s.entry()["pid"] for s in lab.servers} & set(pids))
            self.assertEqual(s1.entry()["pid"], int(s1.pid_file.read_text()))
            self.check_breakage(lab, s2)

    def check_that_a_loss_is_seen(self, lab):
        namespace, name = kube.place(7)
        lab.clients()[0].delete_secret(namespace, name)
        errors = kube.read_errors(lab.clients(), support.SEED, range(50))
        self.assertEqual(2, len(errors), errors)
        lab.clients()[1].create_secret(namespace, name, kube.content("other", 7))
        self.assertEqual(2, len(kube.read_errors(lab.clients(), support.SEED, range(50))))

    def check_breakage(self, lab, server):
        server.broken("exit", unless_hash=observe.file_hash(server))
        lab.restart(server.name)
        say("starts with the file that works")
        text = server.encryption_config.read_text()
        processes.write_atomic(server.encryption_config, text + " ")
        with self.assertRaises(labs.LabError):
            lab.restart(server.name)
        server.broken("hang", unless_writes_with="another")
        lab.restart(server.name, wait=False)
        time.sleep(1)
        self.assertTrue(processes.is_same(server.entry()))
        self.assertFalse(server.kube.ready())
        server.broken()
        lab.restart(server.name)

    def test_files(self):
        entries = [files.entry(["secrets"]), files.entry(["configmaps"], "secretbox", "a:b")]
        for form in ("json", "yaml"):
            text = files.encryption_config(entries, form)
            found = files.keys_in(text)
            self.assertEqual(["aescbckey", "a:b"], [n for n, _ in found])
            self.assertEqual(entries[1]["providers"][0]["secretbox"]["keys"][0]["secret"], found[1][1])
        self.assertNotIn(" ", files.encryption_config(entries), "K3s writes it compact")

    def child(self):
        """Another process with a lab that has only etcd; returns it and the lab's folder."""
        code = CHILD.format(lab=str(labs.HERE))
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        self.addCleanup(child.stdout.close)
        folder = Path(child.stdout.readline().strip())
        entry = processes.read_entry(folder, "etcd-1")
        self.assertTrue(processes.is_same(entry))
        return child, folder, entry

    def test_cleans_up_however_it_ends(self):
        children = {number: self.child() for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)}
        self.assertEqual(3, len({folder for _, folder, _ in children.values()}))
        for number, (child, folder, entry) in children.items():
            os.kill(child.pid, number)
            child.wait(20)
            labs.wait_for(f"{number.name}: the folder is removed", lambda: not folder.exists(), 15)
            self.assertFalse(processes.is_same(entry), "etcd still runs")

    def test_a_pid_of_somebody_else_is_left_alone(self):
        other = subprocess.Popen(["sleep", "60"])
        self.addCleanup(other.wait)
        self.addCleanup(other.kill)
        with labs.Lab(servers=1, members=1) as lab:
            lab.start(apiservers=False)
            entry = {"pid": other.pid, "start": processes.start_time(other.pid) - 1, "argv0": "sleep"}
            processes.write_atomic(processes.entry_path(lab.dir, "agent-s1"), json.dumps(entry))
        self.assertIsNone(other.poll())


if __name__ == "__main__":
    support.main()

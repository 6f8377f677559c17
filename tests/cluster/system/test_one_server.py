"""One server whose only etcd goes down and comes up with it, as K3s's embedded one does: the command, the
agent and the coordinator wait for it, and the rotation goes on while users keep writing.

Afterwards key material is nowhere but in the server's encryption config: not in a log (at level debug), not
in etcd, now or in its history on disk, not in an argument list or an environment, not in another file."""
import base64
import os
import stat
from pathlib import Path

import support
from support import LabTest, observe, processes, say
import writers

SECRETS = 150


class OneServerTest(LabTest):
    def test_rotation_and_its_traces(self):
        with self.lab(SECRETS, servers=1, members=1, restart_etcd=True, settings={"log": {"level": "debug"}}) as lab:
            etcd_before, server = pid_of_etcd(lab), lab.servers[0]
            with observe.Files(lab) as seen, observe.CommandLines(lab) as lines, \
                    writers.Writers(lab.clients(), threads=2) as users:
                self.run_cli(lab, "rotate-keys")
            say(f"users: {users.acknowledged}, {users.retries} retries")
            self.assertNotEqual(etcd_before, pid_of_etcd(lab), "etcd was not restarted: the test proves nothing")
            self.assertEqual(["s1"] * 3, lab.restarts())
            self.assertTrue(server.agent.alive and server.coordinator.alive, "a program ended with its etcd")
            self.assert_rotated(lab, seen)
            self.assert_readable(lab, SECRETS)
            self.assertEqual(([], []), (users.read_errors[:5], users.check()[:5]))
            self.check_traces(lab, lines, forms(seen.keys))

    def check_traces(self, lab, lines, needles):
        self.assertIsNone(lines.failure)
        programs = {text.split(b"\0")[0].rpartition(b"/")[2] for part, text in lines.seen if part == "cmdline"}
        self.assertTrue({b"secrets-encrypt-agent", b"secrets-encrypt-coordinator"} <= programs, programs)
        say(f"{len(lines.seen)} argument lists and environments")
        for part, text in lines.seen:
            self.assertEqual([], found_in(text, needles), f"a key in {part} of {text.split(bytes(1))[0]}")
        self.check_state_store(lab, needles)
        self.check_files(lab, needles)

    def check_state_store(self, lab, needles):
        values = lab.etcd.range("/secrets-encrypt/")
        self.assertTrue(any("/bundles/" in kv.key for kv in values), "no bundle: where is the key durable?")
        for kv in values:
            self.assertEqual([], found_in(kv.value, needles), f"a key in {kv.key}")

    def check_files(self, lab, needles):
        """Everything under the lab's folder, etcd's log and database (so its whole history) among them."""
        size = 0
        for path in walk(lab.dir):
            data = path.read_bytes()
            size += len(data)
            hits = found_in(data, needles)
            if path.name == "encryption-config.json":
                self.assertNotEqual([], hits, f"{path}: the search finds nothing even here")
            elif hits:  # the agent may keep the previous file, as closely as the file itself
                mode = stat.S_IMODE(path.stat().st_mode)
                self.assertEqual((lab.servers[0].dir / "state", 0o600), (path.parent, mode), f"{hits} in {path}")
        say(f"{size >> 20} MiB of files searched for {len(needles)} forms of keys")


def pid_of_etcd(lab):
    return processes.read_entry(lab.dir, "etcd-1")["pid"]


def forms(keys):
    """{what: bytes} of every form in which a key could leak; halves of the text too, for lines that wrap."""
    needles = {}
    for name, secret in keys.items():
        raw = base64.b64decode(secret)
        needles |= {f"{name} raw": raw, f"{name} base64": secret.encode(), f"{name} hex": raw.hex().encode(),
                    f"{name} HEX": raw.hex().upper().encode(), f"{name} base64, first half": secret[:20].encode(),
                    f"{name} hex, first half": raw[:12].hex().encode()}
    return needles


def found_in(data, needles):
    return [what for what, needle in needles.items() if needle in data]


def walk(folder):
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent) / name
            if path.is_file() and not path.is_symlink():
                yield path


if __name__ == "__main__":
    support.main()

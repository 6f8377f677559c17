"""Key material is nowhere but in the servers' encryption configs: not in a log (at level debug), not in
etcd, now or in its history on disk, not in an argument list or an environment, not in another file."""
import base64
import os
import stat
from pathlib import Path

import support
from support import LabTest, observe, say

SECRETS = 40


class NoPlainKeysTest(LabTest):
    def test_after_a_rotation(self):
        with self.lab(SECRETS, servers=2, members=1, settings={"log_level": "debug"}) as lab:
            with observe.Files(lab) as seen, observe.CommandLines(lab) as lines:
                self.run_cli(lab, "rotate-keys")
            self.assertIsNone(lines.failure)
            self.assert_rotated(lab, seen)
            self.assertEqual(2, len(seen.keys))
            needles = forms(seen.keys)
            self.check_command_lines(lines, needles)
            self.check_state_store(lab, needles)
            self.check_files(lab, needles)

    def check_command_lines(self, lines, needles):
        programs = {text.split(b"\0")[0].rpartition(b"/")[2] for part, text in lines.seen if part == "cmdline"}
        self.assertTrue({b"secrets-encrypt-agent", b"secrets-encrypt-coordinator"} <= programs, programs)
        say(f"{len(lines.seen)} argument lists and environments")
        for part, text in lines.seen:
            self.assertEqual([], found_in(text, needles), f"a key in {part} of {text.split(bytes(1))[0]}")

    def check_state_store(self, lab, needles):
        values = lab.etcd.range("/secrets-encrypt/")
        self.assertIn(lab.key("rotation"), [kv.key for kv in values])
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
            if path.parent.parent == lab.dir and path.name == "encryption-config.json":
                self.assertNotEqual([], hits, f"{path}: the search finds nothing even here")
            elif hits:
                mode = stat.S_IMODE(path.stat().st_mode)
                self.assertTrue(path.is_relative_to(lab.dir / path.relative_to(lab.dir).parts[0] / "state") and
                                mode == 0o600, f"{hits} in {path}, mode {mode:o}")
        say(f"{size >> 20} MiB of files searched for {len(needles)} forms of keys")


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

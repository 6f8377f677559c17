"""Types the book's own commands (plan.py) on a cluster of three real API servers, as they stand there: through a shell,
with the programs in PATH and S1's configuration. Names that stand for something (NAME, SERVER, <cluster>, addresses of
the examples) are replaced by what this cluster has; each ends with the exit code that it should."""
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "cluster" / "system")]
import api_callers as callers  # noqa: E402
import plan  # noqa: E402
import support  # noqa: E402
from support import LabTest, files, labs, names, processes, say  # noqa: E402

SECRETS = 40
OLD = "aescbckey"


class CommandsTest(LabTest):
    def test_commands_of_the_book(self):
        with self.lab(SECRETS, programs=False, members=1, settings={"api": callers.settings}) as lab:
            self.lab_ = lab
            self.folder = self.desk(lab)
            callers.make_certificates(lab)
            for name, pem in (("api-ca.crt", "ca.crt"), ("ci.crt", "ci.crt"), ("ci.key", "ci.key")):
                (self.folder / name).symlink_to(lab.dir / "certs" / pem)
            lab.start_programs()
            self.good = lab.servers[0].encryption_config.read_bytes()
            self.exports = []
            for step in plan.STEPS:
                self.take(step)
            self.assert_readable(lab, SECRETS)

    def desk(self, lab):
        """A folder to type in, with the programs in PATH, and nothing of this machine's own configuration."""
        folder = lab.dir / "desk"
        folder.mkdir()
        pki = lab.dir / "certs"
        self.env = {"PATH": f"{lab.bin}:{os.environ['PATH']}", "HOME": str(folder), "LC_ALL": "C.UTF-8", "PIPELINE_ID": "4711",
                    "SECRETS_ENCRYPT_CONFIG": str(lab.servers[0].config),
                    "ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": ",".join(lab.etcd_urls), "ETCDCTL_CACERT": str(pki / "ca.crt"),
                    "ETCDCTL_CERT": str(pki / "client.crt"), "ETCDCTL_KEY": str(pki / "client.key")}
        return folder

    def here(self, text):
        """The command for this cluster."""
        lab = self.lab_
        for number, server in enumerate(lab.servers, 1):
            text = text.replace(f"10.0.0.{number}:{callers.PORT}", callers.address(server))
        for word, instead in (("<cluster>", lab.cluster), ("<server>", "s2"), ("127.0.0.1:9449", f"{lab.servers[0].address}:9449")):
            text = text.replace(word, instead)
        return re.sub(r"\b(SERVER|NAME)\b(?!_)", lambda m: {"SERVER": "s2", "NAME": OLD}[m.group(0)], text)

    def take(self, step):
        if step.before:
            getattr(self, step.before)()
        text = self.here(step.text) if not step.text.startswith("export ") else self.here_export(step.text)
        if step.text.startswith("export "):
            self.exports.append(text)  # for the commands behind it in its block
            return
        script = " && ".join([*self.exports, text])
        self.exports = []
        began = time.monotonic()
        result = subprocess.run(["bash", "-c", script], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                                timeout=300, cwd=self.folder, env=self.env)
        say(f"$ {text} -> {result.returncode}, {time.monotonic() - began:.1f} s")
        self.assertEqual(step.code, result.returncode, f"$ {text}\n{result.stdout}{result.stderr}")
        if step.after:
            getattr(self, step.after)(result)

    def here_export(self, text):
        """Of these the values alone: the names have words of ours in them."""
        return re.sub(r"=(\S+)", lambda m: "=" + self.here(m.group(1)), text)

    # --- what the cluster is like before ---

    def edit(self, name):
        """Somebody adds a key by hand."""
        server = self.lab_.server(name)
        self.wait_report(self.lab_, name, "knows the generation of its file", lambda r: r["loaded_generation"] > 0)
        text = json.loads(server.encryption_config.read_bytes())
        text["resources"][0]["providers"][0]["aescbc"]["keys"].append(files.new_key("by-hand"))
        self.good = server.encryption_config.read_bytes()
        self.edited = server
        processes.write_atomic(server.encryption_config, json.dumps(text))
        odd = f"Odd ones out:\n  {name}: "
        labs.wait_for(f"{name} is named as the odd one", lambda: odd in self.lab_.cli("status", "-o", "wide").stdout, 60)

    def s3_edited(self):
        self.edit("s3")

    def s2_edited(self):
        self.edit("s2")

    def settled(self):
        """No operation runs any more, and every server is as it should be."""
        lab = self.lab_

        def well():
            return lab.cli("rotate-keys", "--dry-run").returncode == 0
        labs.wait_for("a rotation could begin", well, 60, 0.3)

    def paused_rotation(self):
        self.settled()
        issued = self.lab_.record("rotation")["issued"]
        self.run_cli(self.lab_, "rotate-keys", "--no-wait")
        self.wait_order(self.lab_, "s1", issued + 1)
        self.run_cli(self.lab_, "pause")

    # --- what came of a command ---

    def shows_our_keys(self, result):
        self.assertIn("/secrets-encrypt/lab/servers/s2/report", result.stdout)

    def says_ok(self, result):
        self.assertEqual("ok", result.stdout.strip())

    def repaired(self, _):
        labs.wait_for("the issued file is back", lambda: self.edited.encryption_config.read_bytes() == self.good, 60)
        self.settled()

    def followed(self, _):
        """It returned at once; the next one can begin when it has ended."""
        self.assertEqual(0, self.run_cli(self.lab_, "wait").returncode)
        self.all_restarted(_)

    def all_restarted(self, _):
        self.assertEqual(names(self.lab_), self.lab_.restarts()[-3:])
        self.settled()

    def rotated(self, result):
        self.assertIn("keys rotated, reencryption finished", result.stdout)
        counts = self.lab_.count_by_key()
        counts.pop("plain")
        self.assertEqual([SECRETS], list(counts.values()), counts)
        self.settled()

    def a_key_is_retired(self, result):
        self.assertRegex(result.stdout, rf"(?m)^{OLD} .*retired")

    def restored(self, _):
        self.run_cli(self.lab_, "wait")
        self.assertIn(OLD, self.lab_.key_names())


if __name__ == "__main__":
    support.main()

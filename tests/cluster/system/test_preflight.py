"""`preflight` on a healthy lab; then one thing broken at a time: each is named, with its remedy, on the server that has
it, and is gone from the list once it is mended. Nothing but the agents' own records is written meanwhile."""
import json
import shutil
import signal
import subprocess

import support
from support import LabTest, files, labs, say
import certs

SOON = 40  # seconds: a round by itself every 30 s while something fails; SIGHUP asks for one at once
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


class PreflightTest(LabTest):
    def test_preflight(self):
        with self.lab(servers=3, members=3) as lab:
            self.all_well(lab)
            before = self.ours(lab)
            self.others_can_read(lab)
            self.restart_command_gone(lab)
            self.folder_that_takes_no_file(lab)
            self.certificate_expired(lab)
            self.disk_full(lab)
            self.webhook(lab)
            self.first_round(lab)
            self.api_server_down(lab)
            self.etcd_member_down(lab)
            self.agent_stopped(lab)
            self.all_well(lab)
            self.assertEqual(before, self.ours(lab), "something was written")
            self.assertEqual([], lab.restarts(), "nothing here restarts an API server")

    # --- helpers ---

    def ours(self, lab):
        """Keys of this cluster that no agent writes, and their revisions; the list of API servers says a time."""
        return {kv.key: kv.mod_revision for kv in lab.etcd.range("/secrets-encrypt/")
                if "/servers/" not in kv.key and "/leader/" not in kv.key and not kv.key.endswith("/apis")}

    def look(self, lab, *args):
        """The command's exit code, and its checks as {(server, name): check}."""
        result = lab.cli("preflight", "-o", "json", *args)
        report = json.loads(result.stdout)
        self.assertEqual(report["failed"], sum(c["result"] == "fail" for c in report["checks"]))
        self.assertEqual(report["warnings"], sum(c["result"] == "warn" for c in report["checks"]))
        self.assertEqual(report["ready"], report["failed"] == 0)
        self.assertEqual(0 if report["ready"] else 1, result.returncode, result.stderr)
        for check in report["checks"]:
            self.assertEqual(check["result"] == "ok", check["remedy"] == "", check)
        return result.returncode, {(c["server"], c["name"]): c for c in report["checks"]}

    def look_again(self, lab, check, what):
        """Asks the agents for a new round, and waits until `check` holds of what preflight says."""
        for server in lab.servers:
            if server.agent.alive and lab.record(f"servers/{server.name}/report"):  # one that starts looks by itself
                server.agent.signal(signal.SIGHUP)
        last = {}

        def looked():
            code, checks = self.look(lab)
            last.update(code=code, bad=[c for c in checks.values() if c["result"] != "ok"])
            return (code, checks) if check(code, checks) else None
        try:
            return labs.wait_for(what, looked, SOON, 0.3)
        except labs.LabError as error:
            self.fail(f"{error}: {last}")

    def named(self, lab, server, name, result, *words):
        """The check is bad, alone among the failures but for `operation` and its like; text and remedy hold the words."""
        def bad(_, checks):
            return checks.get((server, name), {}).get("result") == result
        code, checks = self.look_again(lab, bad, f"{server or 'the cluster'}: {name} says {result}")
        found = checks[(server, name)]
        for word in words:
            self.assertIn(word, found["text"] + " -> " + found["remedy"])
        self.assertEqual(1 if result == "fail" else 0, code)
        say(f"{server or 'cluster'}: {found['text']} -> {found['remedy']}")
        # A round of checks may come between the two: then both are asked once more.
        labs.wait_for(f"the text says the same of {name}", lambda: self.told_alike(lab, server, name), SOON, 0.3)
        return checks

    def told_alike(self, lab, server, name):
        found, text = self.look(lab)[1].get((server, name)), lab.cli("preflight").stdout
        return found and found["text"] in text and "-> " + found["remedy"] in text

    def mended(self, lab):
        return self.look_again(lab, lambda code, checks: code == 0, "all is well again")[1]

    # --- what is broken ---

    def all_well(self, lab):
        """The clock of the machine that tests run on may not be synchronised: the one warning that is allowed."""
        def well(_, checks):  # the other coordinators may just have been started
            return all(c["result"] == "ok" or c["name"] == "clock" for c in checks.values())
        checks = self.look_again(lab, well, "all is well")[1]
        for server in lab.servers:
            mine = {name for s, name in checks if s == server.name}
            self.assertLessEqual({"agent", "encryption-config", "encryption-config-content", "encryption-config-used",
                                  "encryption-config-folder", "state-folder", "cluster-token", "restart",
                                  "state-store-certificates", "kubernetes-login", "disk-config", "disk-state",
                                  "disk-snapshots", "clock", "api-server", "state-store"}, mine)
        self.assertLessEqual({"servers", "hashes", "agent-versions", "clocks", "coordinator", "api-servers", "datastore-members",
                              "datastore-alarms", "datastore-room", "webhooks", "operation"},
                             {name for s, name in checks if s == ""})
        say(f"all is well: {len(checks)} checks")

    def others_can_read(self, lab):
        path = lab.server("s2").encryption_config
        path.chmod(0o644)
        checks = self.named(lab, "s2", "encryption-config", "fail", "mode 0644", f"chmod 600 {path}")
        self.assertEqual("ok", checks[("s1", "encryption-config")]["result"])
        path.chmod(0o600)
        self.mended(lab)

    def restart_command_gone(self, lab):
        command = lab.dir / "restart"
        command.rename(lab.dir / "restart.away")
        checks = self.named(lab, "s1", "restart", "fail", str(command), "driver")
        self.assertEqual("fail", checks[("s3", "restart")]["result"])
        (lab.dir / "restart.away").rename(command)
        self.mended(lab)

    def folder_that_takes_no_file(self, lab):
        """The encryption config's folder is read-only: root's rights do not help."""
        folder = lab.server("s3").dir
        subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
        try:
            subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
            checks = self.named(lab, "s3", "encryption-config-folder", "fail", "Read-only", str(folder))
            self.assertEqual("fail", checks[("s3", "state-folder")]["result"])
        finally:
            subprocess.run(["umount", "-l", str(folder)], check=True)
        self.mended(lab)

    def certificate_expired(self, lab):
        server = lab.server("s2")
        certs.make_expired(lab.dir / "certs", "old")
        good = server.config.read_text()
        settings = files.program_config(lab, server)
        settings["kubernetes"].update(cert_file=str(lab.dir / "certs" / "old.crt"),
                                      key_file=str(lab.dir / "certs" / "old.key"))
        self.restart_agent(server, files.yaml(settings))
        self.named(lab, "s2", "kubernetes-login", "fail", "old.crt", "expired at 2021-01-01", "renew it")
        self.restart_agent(server, good)
        self.mended(lab)

    def restart_agent(self, server, text):
        self.assertEqual(0, server.agent.stop())
        support.processes.write_atomic(server.config, text)
        server.agent.start()

    def disk_full(self, lab):
        """A state folder of 8 MiB, which is then filled up."""
        server = lab.server("s3")
        state, copy = server.dir / "state", server.dir / "state.copy"
        self.assertEqual(0, server.agent.stop())
        shutil.copytree(state, copy)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs", str(state)], check=True)
        try:
            shutil.copytree(copy, state, dirs_exist_ok=True)
            server.agent.start()
            self.named(lab, "s3", "disk-state", "fail", str(state), "64 MiB are needed", "make room")
            with open(state / "ballast", "wb", buffering=0) as ballast:
                try:
                    while True:
                        ballast.write(b"\0" * 65536)
                except OSError:
                    pass
            self.named(lab, "s3", "state-folder", "fail", "No space left on device", "make room")
            (state / "ballast").unlink()
            self.assertEqual(0, server.agent.stop())
        finally:
            server.agent.kill()
            subprocess.run(["umount", "-l", str(state)], check=True)
        shutil.rmtree(copy)
        server.agent.start()
        self.mended(lab)

    def first_round(self, lab):
        """An agent that reports, and has not published its checks yet, is waited for; not for ever."""
        key, agent = lab.key("servers/s2/checks"), lab.server("s2").agent
        agent.pause()  # its lease stands for some seconds
        lab.etcd.delete(key)
        asked = lab.cli_start("preflight")
        labs.wait_for("preflight says what it waits for", lambda: "the checks of s2's agent" in asked.log.read_text(), 20)
        agent.resume()
        agent.signal(signal.SIGHUP)
        labs.wait_for("preflight ends", lambda: asked.exit_code is not None, 30)
        self.assertEqual(0, asked.exit_code, asked.log.read_text())
        agent.pause()
        lab.etcd.delete(key)
        _, checks = self.look(lab)
        agent.resume()
        self.assertIn("has not published its checks", checks[("s2", "agent")]["text"])
        self.mended(lab)
        say("an agent's first round is waited for")

    def webhook(self, lab):
        rule = {"operations": ["UPDATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["secrets"]}
        hook = {"name": "deny.example.org", "failurePolicy": "Fail", "sideEffects": "None", "rules": [rule],
                "admissionReviewVersions": ["v1"],
                "clientConfig": {"service": {"namespace": "policy", "name": "gone", "path": "/"}}}
        client = lab.clients()[0]
        client.call("POST", WEBHOOKS, {"apiVersion": "admissionregistration.k8s.io/v1",
                                       "kind": "ValidatingWebhookConfiguration", "metadata": {"name": "policy"},
                                       "webhooks": [hook]})
        self.named(lab, "", "webhooks", "warn", "validating webhook deny.example.org", "service policy/gone",
                   "updates of secrets", "--engine datastore")
        client.call("DELETE", f"{WEBHOOKS}/policy")
        self.look_again(lab, lambda _, checks: checks[("", "webhooks")]["result"] == "ok", "the webhook is gone")

    def api_server_down(self, lab):
        server = lab.server("s3")
        support.processes.end(server.entry(), 10)
        checks = self.named(lab, "s3", "api-server", "fail", "s3", "API server's log")
        self.assertEqual("ok", checks[("s1", "api-server")]["result"])
        self.named(lab, "s3", "encryption-config-used", "fail", "pid", "start the API server")
        lab._run_restart("s3", "--start")
        lab.wait_ready(server)
        self.mended(lab)

    def etcd_member_down(self, lab):
        entry = support.processes.read_entry(lab.dir, "etcd-3")
        support.processes.end(entry, 10)
        self.named(lab, "", "datastore-members", "fail", "2 of 3 members are well", lab.etcd_urls[2])
        checks = self.look_again(lab, lambda _, c: c[("s1", "state-store")]["result"] == "warn", "s1 sees it too")[1]
        self.assertIn("2 of 3 endpoints answer", checks[("s1", "state-store")]["text"])
        lab.start_etcd()
        self.mended(lab)

    def agent_stopped(self, lab):
        server = lab.server("s2")
        self.assertEqual(0, server.agent.stop())
        checks = self.named(lab, "s2", "agent", "fail", "silent", "start secrets-encrypt-agent on s2")
        self.assertEqual([("s2", "agent")], [key for key in checks if key[0] == "s2"], "its old checks are gone")
        server.agent.start()
        self.mended(lab)
        result = lab.cli("preflight")
        self.assertEqual(0, result.returncode)
        self.assertIn("checks on 3 servers and the cluster: ", result.stdout.splitlines()[-1])


if __name__ == "__main__":
    support.main()

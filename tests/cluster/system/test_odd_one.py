"""Three booted machines with real kube-apiservers, and s3's encryption config edited by hand, its second key: terminal,
page (in Chromium), metric and alert (in a real Prometheus, by the rules and the example of deploy/prometheus, over TLS
with a client certificate) each name s3 and say that its second key is another one; and each stops when the file is
edited back."""
import concurrent.futures
import contextlib
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[2]
sys.path[:0] = [str(TOP / "tests" / "machines"), str(TOP / "tests" / "page"), str(TOP / "deploy" / "lab")]
import certs  # noqa: E402
import chromium  # noqa: E402
import cluster as clusters  # noqa: E402
import files  # noqa: E402
import lab as labs  # noqa: E402
import namespaces  # noqa: E402
import processes  # noqa: E402
from machines import image  # noqa: E402

PAGE_PORT, TLS_PORT, PROMETHEUS_PORT = 9449, 9450, 9090
EDITS = 5
SOON = 2.0  # seconds until everybody says it, by the median of the edits: other tests take the processors meanwhile
HARD = 30.0
NOTES = "document.getElementById('notes').textContent"
PKI = clusters.INSIDE / "certs"
SETTINGS = {
    "api": {"cert_file": str(PKI / "server.crt"), "key_file": str(PKI / "server.key"),
            "client_ca_file": str(PKI / "ca.crt"), "roles": [{"role": "viewer", "group": "monitoring"}]},
    "http": lambda server: {"tls_listen": [f"{server.address}:{TLS_PORT}"]},
}


class Prometheus:
    """On loopback of the test's network namespace, with deploy/prometheus as it stands but for names and paths."""

    def __init__(self, folder, pki, targets):
        self.folder = folder / "prometheus"
        self.folder.mkdir()
        (self.folder / "prometheus.yml").write_text(self._configuration(pki, targets))
        self._log = open(self.folder / "log", "wb")
        self._child = subprocess.Popen(
            ["prometheus", f"--config.file={self.folder}/prometheus.yml", f"--storage.tsdb.path={self.folder}/data",
             f"--web.listen-address=127.0.0.1:{PROMETHEUS_PORT}"],
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)

    @staticmethod
    def _configuration(pki, targets):
        text = (TOP / "deploy" / "prometheus" / "scrape.yml").read_text()
        listed = "".join(f"          - {t}\n" for t in targets)
        text, count = re.subn(r"(- targets:.*\n)(?: +- \S+\n)+", lambda m: m[1] + listed, text, count=1)
        assert count == 1, "scrape.yml has no targets"
        text = text.replace("/etc/prometheus/secrets-encrypt/ca.crt", f"{pki}/ca.crt")
        text = re.sub(r"/etc/prometheus/secrets-encrypt/client\.(crt|key)", rf"{pki}/prometheus.\1", text)
        return text.replace("/usr/share/secrets-encrypt/prometheus/", f"{TOP}/deploy/prometheus/")

    def _get(self, path):
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            with urllib.request.urlopen(f"http://127.0.0.1:{PROMETHEUS_PORT}/api/v1/{path}", timeout=5) as answer:
                return json.load(answer)["data"]
        return {}

    def series(self, promql):
        return [r["metric"] for r in self._get("query?" + urllib.parse.urlencode({"query": promql})).get("result", [])]

    def firing(self, name):
        return [a for a in self._get("alerts").get("alerts", [])
                if a["state"] == "firing" and a["labels"]["alertname"] == name]

    def close(self):
        self._child.send_signal(signal.SIGTERM)
        try:
            self._child.wait(20)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._log.close()


class OddOneTest(unittest.TestCase):
    folder = None

    def test_second_key(self):
        with clusters.Cluster(self.folder, os.environ["SECRETS_ENCRYPT_BIN"], settings=SETTINGS) as cluster:
            try:
                cluster.start()
                self.check(cluster)
            except BaseException:
                for server in cluster.servers:
                    print(server.name, server.machine.journal("-u", "secrets-encrypt-*", "-n", "30"), flush=True)
                raise

    def check(self, cluster):
        prepared = cluster.cli("prepare", timeout=300)
        self.assertEqual(0, prepared.returncode, prepared.stdout + prepared.stderr)
        self.cluster, self.s3 = cluster, cluster.server("s3")
        self.good = self.s3.encryption_config.read_bytes()
        self.key = files.keys_in(self.good.decode())[1][0]
        self.sentence = f"aescbc key 2 ({self.key}) is another key than on s1, s2 and as issued"
        certs.make_certificate(cluster.dir / "certs", "prometheus", "prometheus", organisation="monitoring")
        with contextlib.ExitStack() as stack:
            self.prometheus = Prometheus(cluster.dir, cluster.dir / "certs",
                                         [f"{s.address}:{TLS_PORT}" for s in cluster.servers])
            stack.callback(self.prometheus.close)
            # As who has a shell on s1, or a tunnel to it, sees it.
            browser = stack.enter_context(chromium.Browser(inside=("ip", "netns", "exec", "s1")))
            self.page = browser.page()
            self.page.go(f"http://127.0.0.1:{PAGE_PORT}/")
            self.log = cluster.dir / "watch.txt"
            out = stack.enter_context(self.log.open("w"))
            watch = cluster.server("s2").machine.enter(
                "/usr/bin/secrets-encrypt", "--config", str(clusters.INSIDE / "config.yaml"), "status", "-o", "wide",
                "--watch", stdout=out, stderr=subprocess.STDOUT)
            stack.callback(watch.kill)
            self.all_is_well()
            took = [self.edit() for _ in range(EDITS)]
        self.told(took)

    def told(self, took):
        for who in took[0]:
            each = sorted(t[who] for t in took)
            print(f"{who}: s3 and its second key named after {', '.join(f'{t:.2f}' for t in each)} s", flush=True)
        for who in took[0]:
            each = [t[who] for t in took]
            self.assertLess(statistics.median(each), SOON, who)

    # --- who says it: each returns whether it does now ---

    def terminal(self):
        return f"s3: {self.sentence}" in self.cluster.cli("status", "-o", "wide", server=self.cluster.server("s1")).stdout

    def watched(self):
        with open(self.log, encoding="utf-8") as log:
            log.seek(self.read)
            return f"s3: {self.sentence}" in log.read()

    def shown(self):
        return f"s3 is the odd one out: {self.sentence}" in (self.page.run(NOTES) or "")

    def metric(self):
        found = self.prometheus.series("secrets_encrypt_server_difference_info")
        self.assertLessEqual({s["server"] for s in found}, {"s3"})
        return {(s["server"], s["difference"], s["provider"], s["key"], s["place"]) for s in found} == {
            ("s3", "other-key", "aescbc", self.key, "2")}

    def alert(self):
        fired = self.prometheus.firing("SecretsEncryptDrift")
        self.assertLessEqual({a["labels"]["server"] for a in fired}, {"s3"})
        return any(a["annotations"]["summary"] ==
                   f"s3: its encryption config is not the one that was issued: aescbc key 2 ({self.key}) is another key"
                   for a in fired)

    # --- the edits ---

    def put(self, content):
        """As an editor does: another file in its place."""
        processes.write_atomic(self.s3.encryption_config, content)
        return time.monotonic()

    def edit(self):
        changed = json.loads(self.good)
        changed["resources"][0]["providers"][0]["aescbc"]["keys"][1]["secret"] = files.new_key("x")["secret"]
        self.read = self.log.stat().st_size
        began = self.put(json.dumps(changed).encode())
        sayers = {"status -o wide": self.terminal, "status --watch": self.watched, "page": self.shown,
                  "metric": self.metric, "alert": self.alert}

        def wait(who):
            labs.wait_for(f"{who} names s3 and its second key", sayers[who], HARD, every=0.02)
            return time.monotonic() - began
        with concurrent.futures.ThreadPoolExecutor(len(sayers)) as pool:
            took = dict(zip(sayers, pool.map(wait, sayers)))
        result = self.cluster.cli("diff")
        self.assertEqual((3, True), (result.returncode, f"aescbc key 2 ({self.key}) is another key" in result.stdout))
        self.put(self.good)
        self.all_is_well()
        return took

    def all_is_well(self):
        """Nobody is odd, by anybody's word."""
        for server in self.cluster.servers:
            query = f'up{{instance="{server.address}:{TLS_PORT}"}} == 1'
            labs.wait_for(f"Prometheus has {server.name}'s page", lambda q=query: self.prometheus.series(q), HARD, 0.1)
        labs.wait_for("no metric", lambda: self.prometheus.series("secrets_encrypt_drift == 0") and
                      not self.prometheus.series("secrets_encrypt_server_difference_info"), HARD, 0.1)
        labs.wait_for("no alert", lambda: not self.prometheus.firing("SecretsEncryptDrift"), HARD, 0.1)
        self.page.wait("nobody is odd", f"document.body.dataset.revision && !{NOTES}.includes('odd')", HARD)
        labs.wait_for("status is well", lambda: "drift" not in self.cluster.cli("status", "-o", "wide").stdout, HARD, 0.1)


if __name__ == "__main__":
    if not shutil.which("prometheus"):
        raise SystemExit("prometheus is missing (deploy/lab/install-packages.sh test)")
    if namespaces.VARIABLE not in os.environ:
        image()
    OddOneTest.folder = namespaces.enter()
    unittest.main(verbosity=2, warnings="ignore")

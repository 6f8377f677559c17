"""A real Prometheus with the example's configuration and the alerts: it scrapes pages of the program, and names S3 at
once when S3's file is edited. All on loopback."""
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

PROMETHEUS = Path(__file__).resolve().parents[3] / "deploy" / "prometheus"
CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
DEADLINE_S = 60
SOON_S = 20  # 2 s on a machine that has time: a scrape a second, a look at the rules a second


def page(name):
    return subprocess.run([os.environ["SECRETS_ENCRYPT_PAGES"], name], stdin=subprocess.DEVNULL, capture_output=True,
                          check=True, timeout=30).stdout


def hold_port(cleanup):
    """A port that nobody else is given, on which a server that sets SO_REUSEADDR (Prometheus does) can listen."""
    s = socket.socket()
    cleanup(s.close)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", 0))
    return s.getsockname()[1]


class Coordinator(http.server.ThreadingHTTPServer):
    """Serves whatever page it has at present."""
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.page = b""
        self.asked = []  # what each scrape said that it takes
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Accept", "")))
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(self.server.page)))
        self.end_headers()
        self.wfile.write(self.server.page)

    def log_message(self, *args):
        pass


def configuration(coordinators):
    """The example, with other targets and without TLS."""
    text = (PROMETHEUS / "scrape.yml").read_text(encoding="utf-8")
    targets = "".join(f"          - 127.0.0.1:{c.server_port}\n" for c in coordinators)
    text = re.sub(r"(- targets:.*\n)(?: +- \S+\n)+", lambda m: m[1] + targets, text)
    text = re.sub(r" +scheme: https\n +tls_config:\n(?: {6}\w+: .*\n)+", "", text)
    return text.replace("/usr/share/secrets-encrypt/prometheus/", f"{PROMETHEUS}/")


class ScrapeTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="secrets-encrypt-scrape-")
        cls.addClassCleanup(folder.cleanup)
        cls.coordinators = [Coordinator(), Coordinator()]
        for c in cls.coordinators:
            c.page = page("healthy")
            cls.addClassCleanup(c.server_close)
            cls.addClassCleanup(c.shutdown)
        config = Path(folder.name) / "prometheus.yml"
        config.write_text(configuration(cls.coordinators), encoding="utf-8")
        cls.port = hold_port(cls.addClassCleanup)
        cls.log = open(Path(folder.name) / "log", "wb+")
        cls.addClassCleanup(cls.log.close)
        cls.process = subprocess.Popen(
            ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder.name}/data",
             f"--web.listen-address=127.0.0.1:{cls.port}"],
            stdin=subprocess.DEVNULL, stdout=cls.log, stderr=cls.log)
        cls.addClassCleanup(cls.end)
        cls.wait(lambda: cls.query("up") is not None and len(cls.query('up{job="secrets-encrypt"} == 1')) == 2,
                 DEADLINE_S, "both are scraped")

    @classmethod
    def end(cls):
        cls.process.send_signal(signal.SIGTERM)
        try:
            cls.process.wait(20)
        except subprocess.TimeoutExpired:
            cls.process.kill()
            cls.process.wait()

    @classmethod
    def api(cls, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{cls.port}/api/v1/{path}", timeout=5) as answer:
                return json.load(answer)["data"]
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return None  # it is starting

    @classmethod
    def query(cls, promql):
        data = cls.api("query?" + urllib.parse.urlencode({"query": promql}))
        return None if data is None else data["result"]

    @classmethod
    def firing(cls):
        """Without the alert that the clocks of these pages, which stand still, bring after a minute."""
        alerts = [a for a in (cls.api("alerts") or {"alerts": []})["alerts"] if a["state"] == "firing"]
        told = {(a["labels"]["alertname"], a["labels"].get("server", "")) for a in alerts}
        return told - {("SecretsEncryptStateStoreDown", "")}

    @classmethod
    def wait(cls, ready, seconds, what):
        """The event is asked for every 50 ms: Prometheus tells nobody. Returns how long it took."""
        begun = time.monotonic()
        while not ready():
            if time.monotonic() - begun > seconds:
                cls.log.seek(0)
                raise AssertionError(f"not within {seconds} s: {what}\n{cls.log.read().decode()[-3000:]}")
            time.sleep(0.05)
        return time.monotonic() - begun

    def show(self, name):
        for c in self.coordinators:
            c.page = page(name)

    def test_it_asks_for_openmetrics(self):
        for c in self.coordinators:
            self.assertTrue(c.asked)
            self.assertEqual("/metrics", c.asked[0][0])
            self.assertIn("application/openmetrics-text", c.asked[0][1])

    def test_every_sample_is_stored(self):
        self.show("healthy")
        samples = sum(not line.startswith(b"#") for line in page("healthy").splitlines())
        query = f'scrape_samples_post_metric_relabeling{{job="secrets-encrypt"}} == {samples}'
        self.wait(lambda: len(self.query(query)) == 2, SOON_S, query)
        self.assertEqual(1, len(self.query('secrets_encrypt_key_info{key="aescbckey",cluster="prod",instance=~".+%d"}'
                                           % self.coordinators[0].server_port)))

    def test_every_query_of_the_dashboard_finds_something(self):
        """In one of the situations: some show what another one has not."""
        dashboard = json.loads((PROMETHEUS.parent / "grafana" / "secrets-encrypt.json").read_text(encoding="utf-8"))
        queries = {t["expr"] for p in dashboard["panels"] for t in p.get("targets", ())}
        for name in ("rewriting", "in-trouble"):
            self.show(name)
            before = [len(c.asked) for c in self.coordinators]
            # When it asks for the next ones, the first two are stored: rates need two.
            self.wait(lambda: all(len(c.asked) > n + 3 for c, n in zip(self.coordinators, before)), SOON_S, name)
            queries -= {q for q in queries if self.query(q.replace("$cluster", "prod").replace("$__rate_interval", "1m"))}
        self.assertEqual(set(), queries)
        self.show("healthy")

    def test_a_large_cluster_is_scraped_in_time(self):
        self.show("large")
        query = 'scrape_samples_post_metric_relabeling{job="secrets-encrypt"} > 10000 and up{job="secrets-encrypt"} == 1'
        self.wait(lambda: len(self.query(query)) == 2, SOON_S, query)
        self.show("healthy")

    def test_a_file_that_is_edited_is_known_at_once(self):
        self.show("healthy")
        self.wait(lambda: not self.firing(), SOON_S, "nothing is told")
        self.show("drifted")
        took = self.wait(lambda: ("SecretsEncryptDrift", "s3") in self.firing(), SOON_S, "S3 is named")
        print(f"S3 was named {took:.2f} s after its page said so", flush=True)
        self.assertEqual({("SecretsEncryptDrift", "s3")}, self.firing())
        self.show("healthy")
        self.wait(lambda: not self.firing(), SOON_S, "it is over")


if __name__ == "__main__":
    unittest.main(verbosity=2)

"""The coordinator's page in Chromium, on every server, while a rotation runs: whatever it shows at a revision is what
the state store holds at that revision. With PAGE_PICTURES=<folder> pictures of it are put there (docs/page.md).
"""
import json
import os
import signal
import socket
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import api_callers as callers
import support
from support import LabTest, labs, observe, say

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "page"))
import chromium  # noqa: E402

SECRETS = 300
PORT, TLS_PORT = 9449, 9450
# What an eye sees, of the elements themselves; the hash is shown in part, and whole as the cell's title.
LOOK = """(() => {
  const fact = (name) => [...document.querySelectorAll("#facts div")].find((d) => d.children[0].textContent === name).children[1].textContent;
  const text = (id) => document.getElementById(id).hidden ? "" : document.getElementById(id).textContent;
  if (!document.body || !document.body.dataset.revision) return null;
  return {revision: Number(document.body.dataset.revision), stage: fact("Stage"), leader: fact("Leader"), configs: fact("Configs"),
    operation: text("operation"), waits: text("waits"), stale: text("stale"), progress: text("reencrypt"), notes: text("notes"),
    phases: [...document.querySelectorAll("#timeline li")].map((i) => [i.dataset.phase, i.className]),
    servers: [...document.querySelectorAll("#servers tbody tr")].map((r) => [r.cells[1].textContent, r.cells[3].textContent, r.cells[4].title, r.cells[4].textContent]),
    keys: [...document.querySelectorAll("#keys tbody tr")].map((r) => [r.cells[0].textContent, r.cells[2].textContent])};
})()"""


class Looker(threading.Thread):
    """Looks at a page again and again, and keeps one look of each revision."""

    def __init__(self, page, pictures):
        super().__init__(daemon=True)
        self.page, self.pictures = page, pictures
        self.looks, self.failure, self._stop_it = {}, None, threading.Event()

    def run(self):
        try:
            while not self._stop_it.wait(0.1):
                look = self.page.run(LOOK)
                if look and look["revision"] not in self.looks:
                    self.looks[look["revision"]] = look
                    self.pictures.look(self.page, look)
        except Exception as error:  # kept for the main thread
            self.failure = error

    def stop(self):
        self._stop_it.set()
        self.join(60)
        if self.failure:
            raise self.failure
        return self.looks


class Pictures:
    """One of the page at each stage, where they are wanted."""

    def __init__(self):
        self.folder, self.taken = os.environ.get("PAGE_PICTURES"), set()

    def take(self, page, name):
        if self.folder and name not in self.taken:
            self.taken.add(name)
            page.picture(Path(self.folder) / f"page-{name}.png")

    def look(self, page, look):
        if "running" not in look["operation"]:
            return
        name = {"prepare": "2-prepare", "rotate": "3-rotate", "reencrypt_active": "4-reencrypt"}.get(look["stage"])
        if name and (name != "4-reencrypt" or " left" in look["progress"]):
            self.take(page, name)


class PageTest(LabTest):
    def setUp(self):
        browser = chromium.Browser()
        self.addCleanup(browser.close)
        self.browser, self.pictures = browser, Pictures()

    def open(self, server):
        page = self.browser.page()
        page.size(1100, 900)
        page.go(f"http://{server.address}:{PORT}/")
        page.wait(f"the page of {server.name}", LOOK)
        return page

    def get(self, server, path):
        try:
            with urllib.request.urlopen(f"http://{server.address}:{PORT}{path}", timeout=10) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except urllib.error.URLError as error:  # not open yet
            return 0, str(error)

    def test_rotation(self):
        with self.lab(SECRETS, settings={"reencrypt": {"max_rate": 60}}) as lab:
            self.check_paths(lab)
            pages = [self.open(s) for s in lab.servers]
            self.pictures.take(pages[0], "1-start")
            lookers = [Looker(p, self.pictures if i == 0 else NoPictures()) for i, p in enumerate(pages)]
            for looker in lookers:
                looker.start()
            with observe.Rotation(lab) as rotation:
                self.run_cli(lab, "rotate-keys")
            self.wait_finished(pages)
            for server, page, looker in zip(lab.servers, pages, lookers):
                self.check_looks(lab, server, looker.stop(), rotation)
                self.assertEqual([], page.complaints())
                foreign = [u for u in page.requests() if not u.startswith(f"http://{server.address}:{PORT}/")]
                self.assertEqual([], foreign)
            self.pictures.take(pages[0], "5-finished")
            self.check_no_keys(lab)

    def test_trouble(self):
        """A file that was edited by hand, and a state store that is away."""
        with self.lab(members=1) as lab:
            pages = [self.open(s) for s in lab.servers]
            self.check_drift(lab, pages)
            self.other_pictures(pages[0])
            self.check_store_away(lab, pages)

    def check_paths(self, lab):
        for server in lab.servers:
            labs.wait_for(f"{server.name}'s page is ready", lambda s=server: self.get(s, "/readyz")[0] == 200, 20)
            self.assertEqual((200, "ok\n"), self.get(server, "/healthz"))
            status, text = self.get(server, "/metrics")
            self.assertEqual((200, True), (status, text.endswith("# EOF\n")))
            for other in lab.servers:  # what each agent found when it looked whether a rotation would go through
                line = f'secrets_encrypt_preflight_checks{{server="{other.name}",result="fail"}} 0\n'
                labs.wait_for(f"{server.name} tells of {other.name}'s checks",
                              lambda s=server, wanted=line: wanted in self.get(s, "/metrics")[1], 60)

    def wait_finished(self, pages):
        for page in pages:
            page.wait("the page says that it finished",
                      f"({LOOK}).operation.startsWith('rotate-keys finished') && ({LOOK}).stage === 'reencrypt_finished'", 30)

    def record_at(self, lab, name, revision):
        found, _ = lab.etcd.get(lab.key(name), revision=revision)
        return found

    def check_looks(self, lab, server, looks, rotation):
        seen = []
        for revision, look in sorted(looks.items()):
            self.check_look(lab, revision, look)
            if look["stage"] not in seen:
                seen.append(look["stage"])
        say(f"the page of {server.name}: {len(looks)} revisions were looked at, stages {seen}")
        self.assertGreater(len(looks), 20)
        for stage in ("prepare", "rotate", "reencrypt_active", "reencrypt_finished"):
            self.assertIn(stage, seen)
        self.assertTrue(any("Waits" in k["waits"] for k in looks.values()))
        self.assertTrue(any("a second" in k["progress"] for k in looks.values()))

    def check_look(self, lab, revision, look):
        """Against the state store as it was at that very revision."""
        where = f"revision {revision}: {json.dumps(look)}"
        for name, stage, whole, short in look["servers"]:
            found = self.record_at(lab, f"servers/{name}/hash", revision)
            self.assertEqual(found.value.decode(), f"{stage}-{whole}", where)
            self.assertEqual(whole[:12], short, where)
        self.assertEqual([s.name for s in lab.servers], [name for name, *_ in look["servers"]], where)
        published = {tuple(s[1:3]) for s in look["servers"]}
        self.assertEqual(len(published) == 1, look["configs"] == "all hashes match", where)
        holder = self.record_at(lab, "leader/holder", revision)
        self.assertEqual(holder.value.decode() if holder else "none", look["leader"], where)
        record = self.record_at(lab, "rotation", revision)
        if record:
            self.check_operation(record.body()["op"], look, where)
        keys = self.record_at(lab, "keys", revision)
        wanted = {(k["name"], k["state"]) for k in keys.body()["keys"]} if keys else set()
        self.assertEqual(wanted, {tuple(k) for k in look["keys"]}, where)

    def check_operation(self, op, look, where):
        if not op["id"]:
            return
        self.assertTrue(look["operation"].startswith(f"{op['kind']} {op['state']}"), where)
        present = [phase for phase, state in look["phases"] if state in ("now", "halted", "paused")]
        self.assertEqual([] if op["state"] == "finished" else [op["phase"]], present, where)
        if op["state"] == "running" and op["why"]:
            self.assertIn(op["why"], look["waits"], where)
            self.assertIn(op["row"], look["waits"], where)

    def other_pictures(self, page):
        page.dark()
        self.pictures.take(page, "dark")
        page.dark(False)
        page.size(390, 844, phone=True)
        self.pictures.take(page, "phone")
        page.size(1100, 900)

    def check_no_keys(self, lab):
        """The page has names, never keys."""
        _, text = self.get(lab.servers[0], "/state.json")
        for server in lab.servers:
            for name, secret in support.files.keys_in(server.encryption_config.read_text()):
                self.assertIn(name, text)
                self.assertNotIn(secret, text)

    def check_drift(self, lab, pages):
        """S3's file, edited by hand: every server's page names it."""
        for page in pages:
            page.wait("nobody is odd", f"({LOOK}).configs === 'all hashes match' && !({LOOK}).notes.includes('odd')", 30)
        config = lab.servers[2].encryption_config
        good, began = config.read_text(), time.monotonic()
        config.write_text(good.rstrip("\n") + "\n\n")
        for page in pages:
            page.wait("s3 is named", f"({LOOK}).notes.includes('s3 is the odd one out')", 30)
        say(f"S3's change is on all pages after {time.monotonic() - began:.1f} s")
        self.pictures.take(pages[0], "odd")
        config.write_text(good)
        for page in pages:
            page.wait("all is well", f"({LOOK}).configs === 'all hashes match'", 30)

    def signal_etcd(self, lab, number):
        for i in range(len(lab.etcd_urls)):
            entry = support.processes.read_entry(lab.dir, f"etcd-{i + 1}")
            if entry and support.processes.is_same(entry):
                support.processes.send(entry, number)

    def check_store_away(self, lab, pages):
        """No state store: not ready, alive, and the page says that what it shows is old."""
        self.addCleanup(self.signal_etcd, lab, signal.SIGCONT)
        self.signal_etcd(lab, signal.SIGSTOP)
        for server, page in zip(lab.servers, pages):
            page.wait("it says that it is old", f"({LOOK}).stale !== ''", 40)
            self.assertIn("What is shown is as it was", page.run(LOOK)["stale"])
            status, why = self.get(server, "/readyz")
            self.assertEqual((503, 1), (status, why.count("\n")), why)
            self.assertIn("has not answered", why)
            self.assertEqual(200, self.get(server, "/healthz")[0])
        self.signal_etcd(lab, signal.SIGCONT)
        for page in pages:
            page.wait("it is new again", f"({LOOK}).stale === ''", 60)


def settings(server):
    """One plain address for both servers: the second finds it taken. TLS has an address each."""
    return {"listen": f"{server.lab.servers[0].address}:{PORT}", "tls_listen": [f"{server.address}:{TLS_PORT}"]}


class WaysInTest(LabTest):
    """TLS and its callers, and a port that is taken."""

    def test_ways_in(self):
        with self.lab(servers=2, members=1, programs=False,
                      settings={"api": callers.settings, "http": settings}) as lab:
            callers.make_certificates(lab)
            lab.start_programs()
            for server in lab.servers:
                self.check_tls(lab, server)
            self.check_taken(lab)

    def connect(self, lab, server, who, offers=("h2", "http/1.1")):
        pki = lab.dir / "certs"
        context = ssl.create_default_context(cafile=pki / "ca.crt")
        context.set_alpn_protocols(list(offers))
        if who:
            context.load_cert_chain(pki / f"{who}.crt", pki / f"{who}.key")
        plain = socket.create_connection((server.address, TLS_PORT), timeout=20)
        return context.wrap_socket(plain, server_hostname=server.address)

    def ask(self, lab, server, who, path="/state.json", until=None):
        """The reply, "" where there is none."""
        try:
            with self.connect(lab, server, who) as tls:
                self.assertEqual("http/1.1", tls.selected_alpn_protocol())
                tls.sendall(f"GET {path} HTTP/1.1\r\nHost: {server.name}\r\nConnection: close\r\n\r\n".encode())
                reply = b""
                while (piece := tls.recv(65536)) and not (until and until in reply + piece):
                    reply += piece
                return (reply + piece).decode()
        except (ssl.SSLError, ConnectionError):
            return ""

    def check_tls(self, lab, server):
        labs.wait_for(f"{server.name} serves over TLS",
                      lambda: "200 OK" in self.ask(lab, server, "viewer"), 20)
        self.assertIn(f'"server":"{server.name}"', self.ask(lab, server, "viewer"))
        self.assertIn("event: state", self.ask(lab, server, "ci", "/events", b"event: state"))
        for who in ("nobody", "stranger", "expired", None):
            self.assertEqual("", self.ask(lab, server, who), who)

    def check_taken(self, lab):
        s1, s2 = lab.servers

        def says():
            try:
                with urllib.request.urlopen(f"http://{s1.address}:{PORT}/state.json", timeout=10) as reply:
                    return json.load(reply)["server"]
            except OSError:
                return None
        self.assertEqual("s1", says())
        s1.coordinator.stop()
        labs.wait_for("s2 has the port, once it is free", lambda: says() == "s2", 30)
        lines = [line for line in s2.coordinator.log.read_text().splitlines() if "the page is not open" in line]
        self.assertEqual(1, len(lines), lines)
        self.assertIn("is in use by another process", lines[0])
        s1.coordinator.start()


class NoPictures:
    def look(self, *_):
        """Of this page none are wanted."""


if __name__ == "__main__":
    support.main()

"""The page in Chromium, with documents made by hand: hostile names, staleness, keyboard, screen readers, phones, size."""
import json
import os
import signal
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import chromium  # noqa: E402
import documents  # noqa: E402

SERVE = os.environ["PAGE_SERVE"]
NASTY = "<img src=x onerror=\"window.stolen=1\"><script>window.stolen=1</script>"
SMALL_MS = 500  # for drawing a document of 100 servers, on a machine that does other things too


class Served:
    """The page's server; put() puts a document up."""

    def __init__(self):
        self.child = subprocess.Popen([SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.child.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}/"

    def put(self, document):
        self.child.stdin.write(json.dumps(document) + "\n")
        self.child.stdin.flush()

    def close(self):
        if self.child.poll() is None:
            self.child.stdin.close()
            self.child.wait(timeout=20)
        self.child.stdout.close()


class PageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = chromium.Browser()

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()

    def setUp(self):
        self.served = Served()
        self.addCleanup(self.served.close)
        self.page = self.browser.page()
        self.page.size(1280, 900)

    def open(self, document):
        self.served.put(document)
        self.page.go(self.served.url)
        self.shown(document)

    def shown(self, document):
        self.page.wait("the document", f"document.body && document.body.dataset.revision === '{document['revision']}'")

    def text(self, selector):
        return self.page.run(f"document.querySelector({json.dumps(selector)}).textContent")

    def test_what_it_shows(self):
        document = documents.document()
        document["servers"][2].update(hash=documents.OTHER, odd="not-issued", oddwhy="its second key differs")
        self.open(document)
        rows = self.page.run("[...document.querySelectorAll('#servers tbody tr')].map(r => [...r.cells].map(c => c.textContent))")
        self.assertEqual(["1", "s1", "ready", "reencrypt_active", documents.HASH[:12], "3"], rows[0][:6])
        self.assertEqual(("3", "s3", documents.OTHER[:12]), (rows[2][0], rows[2][1], rows[2][4]))
        self.assertIn("odd one out: its second key differs", rows[2][8])
        self.assertIn("s3 is the odd one out", self.text("#notes"))
        self.assertEqual("rotate-keys running, step 3 of 4: re-encrypting every value", self.text("#operation"))
        self.assertIn("12,480 of 50,000 objects · 780 a second · about 48s left", self.text("#progress-text"))
        self.assertEqual("reencrypt: now", self.text("#timeline li.now"))
        self.assertIn("root@s1", self.text("#audit tbody"))
        self.assertEqual([], self.page.complaints())
        self.assertEqual([], [u for u in self.page.requests() if not u.startswith(self.served.url)])

    def test_servers_without_an_api_server_are_not_counted(self):
        document = documents.document()
        document["servers"].append({**document["servers"][0], "name": "etcd1", "apiserver": False})
        document["servers"].append({**document["servers"][0], "name": "stranger", "inspec": False})
        self.open(document)
        facts = self.page.run("Object.fromEntries([...document.querySelectorAll('#facts div')].map(d => [...d.children].map(c => c.textContent)))")
        self.assertEqual("3 of 3", facts["Servers ready"])

    def test_names_are_texts(self):
        document = documents.document()
        document["servers"][0].update(name=NASTY, odd="drift", oddwhy=NASTY, why=NASTY, hash=NASTY, stage=NASTY)
        document["keys"][0].update(name=NASTY, provider=NASTY, state=NASTY)
        document["audit"][0].update(who=NASTY, what=NASTY, why=NASTY, result=NASTY)
        document["operation"].update(kind=NASTY, why=NASTY, on=NASTY, row=NASTY, doing=NASTY)
        document["operation"]["timeline"][0].update(word=NASTY, claim=NASTY, phase=NASTY)
        document.update(cluster=NASTY, leader=NASTY, server=NASTY, version=NASTY, unknown=NASTY, stale=NASTY, blocked=NASTY,
                        mismatch=NASTY, match=False, lock={"holder": NASTY, "reason": NASTY, "since": 1}, auditwhy=NASTY)
        self.open(document)
        self.assertEqual(NASTY, self.text("#servers tbody th"))
        self.assertEqual(NASTY, self.text("#keys tbody th"))
        self.assertIsNone(self.page.run("window.stolen"))
        self.assertEqual(0, self.page.run("document.querySelectorAll('img').length + document.scripts.length - 1"))
        # And were there a hole, the policy would stop it.
        self.page.run("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.stolen=2\">')")
        self.page.wait("the policy's word", "document.images.length === 1")
        self.page.run("document.images[0].dispatchEvent(new Event('error'))")
        self.assertIsNone(self.page.run("window.stolen"))

    def test_live(self):
        self.open(documents.document())
        document = documents.document(revision=5000, operation=documents.operation(7, doing="dropping the old key"))
        self.served.put(document)
        self.shown(document)
        self.assertEqual("drop old key: now", self.text("#timeline li.now"))
        halted = documents.operation(7, state="halted", why="s2 did not come back")
        halted["timeline"][7]["state"] = "halted"
        document = documents.document(revision=5001, operation=halted)
        self.served.put(document)
        self.shown(document)
        self.assertIn("is halted at drop: s2 did not come back", self.text("#operation"))

    def test_says_when_it_is_old(self):
        document = documents.document()
        self.open(document)
        self.assertTrue(self.page.run("document.getElementById('stale').hidden"))
        stale = documents.document(revision=4712, stale="the state store has not answered for 12 s")
        self.served.put(stale)
        self.shown(stale)
        self.assertIn("as it was at", self.text("#stale"))
        self.assertIn("has not answered for 12 s", self.text("#stale"))
        self.served.put(documents.document(revision=4713))
        self.page.wait("it is new again", "document.getElementById('stale').hidden")
        self.served.close()
        self.page.wait("the connection is lost", "!document.getElementById('stale').hidden")
        self.assertIn("No word from the coordinator", self.text("#stale"))
        self.assertEqual("old", self.page.run("document.body.className"))

    def test_silence(self):
        """A stream that is open and silent is no less old; its clock is put forward here."""
        self.open(documents.document())
        self.page.run("(() => { const real = Date.now; Date.now = () => real() + 31000; })()")
        self.page.wait("it says so", "!document.getElementById('stale').hidden", 5)
        self.assertIn("No word from the coordinator for 3", self.text("#stale"))

    def test_keyboard_and_screen_reader(self):
        self.open(documents.document())
        self.page.key("Tab", "Tab", 9)
        self.assertEqual("Skip to the servers", self.page.run("document.activeElement.textContent"))
        self.page.key("Tab", "Tab", 9)
        self.assertEqual("region", self.page.run("document.activeElement.getAttribute('role')"))
        tree = self.page.ask("Accessibility.getFullAXTree")["nodes"]
        roles = [n["role"]["value"] for n in tree if not n.get("ignored")]
        for role in ("banner", "main", "contentinfo", "table", "columnheader", "rowheader", "progressbar", "list"):
            self.assertIn(role, roles)
        live = self.page.run("[...document.querySelectorAll('[aria-live]')].map(e => e.id + ':' + e.ariaLive)")
        self.assertEqual(["operation:polite"], live)
        names = [n.get("name", {}).get("value") for n in tree if n["role"]["value"] == "region"]
        self.assertIn("Servers, in restart order", names)

    def test_contrast(self):
        """4.5 : 1 for every text, in both schemes."""
        contrast = """(() => {
          const light = (c) => c.map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
            .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
          const parse = (s) => { const m = s.match(/[\\d.]+/g).map(Number); return m.length > 3 && m[3] === 0 ? null : m.slice(0, 3); };
          const back = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c) return c; } return [255, 255, 255]; };
          const bad = [];
          for (const e of document.querySelectorAll('body *')) {
            if (!e.checkVisibility() || ![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
            const a = light(parse(getComputedStyle(e).color)), b = light(back(e));
            const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            if (ratio < 4.5) bad.push(`${e.tagName}.${e.className} ${e.textContent.slice(0, 20)} ${ratio.toFixed(2)}`);
          }
          return bad;
        })()"""
        document = documents.document(blocked="a reason", stale="away")
        document["servers"][1].update(ready=False, odd="drift", oddwhy="changed by hand")
        for dark in (False, True):
            self.page.dark(dark)
            self.open(document)
            self.page.run("document.body.className = ''")  # what is old is faint on purpose
            self.assertEqual([], self.page.run(contrast), f"dark: {dark}")

    def test_phone(self):
        self.page.size(360, 740, phone=True)
        document = documents.document()
        document["keys"][0]["name"] = "k" * 200
        document["servers"][0].update(why="w" * 300)
        self.open(document)
        self.assertLessEqual(self.page.run("document.documentElement.scrollWidth"), 360)
        label = "getComputedStyle(document.querySelector('#servers td[data-label=Health]'), '::before').content"
        self.assertRegex(self.page.run(label), "Health|data-label")
        tree = self.page.ask("Accessibility.getFullAXTree")["nodes"]
        roles = {n["role"]["value"] for n in tree if not n.get("ignored")}
        self.assertIn("rowheader", roles)

    def test_many_servers(self):
        document = documents.document(100)
        self.open(document)
        self.assertEqual(100, self.page.run("document.querySelectorAll('#servers tbody tr').length"))
        took = self.page.run("""(() => {
          const began = performance.now();
          for (let i = 0; i < 10; i++) {
            state.servers.forEach((v) => { v.time -= 5000; v.hash = String(Math.random()).padEnd(64, "0"); });
            draw();
            document.body.offsetHeight; // laid out
          }
          return (performance.now() - began) / 10;
        })()""")
        print(f"a document of 100 servers ({len(json.dumps(document))} bytes) is drawn in {took:.1f} ms", flush=True)
        self.assertLess(took, SMALL_MS)
        # A reader's place stays when news come.
        self.page.run("window.scrollTo(0, 1500); window.row = document.querySelectorAll('#servers tbody tr')[50]")
        before = self.page.run("window.scrollY")
        news = documents.document(100, revision=5002)
        self.served.put(news)
        self.shown(news)
        self.assertEqual(before, self.page.run("window.scrollY"))
        self.assertTrue(self.page.run("window.row === document.querySelectorAll('#servers tbody tr')[50]"))


if __name__ == "__main__":
    def too_late(*_):
        raise TimeoutError("the test took too long")
    signal.signal(signal.SIGALRM, too_late)
    signal.alarm(int(os.environ.get("PAGE_TEST_SECONDS", "270")))
    unittest.main(verbosity=2, warnings="ignore")

"""Chromium without a window, driven by its DevTools protocol over a pair of pipes: no port, no library, no network.

    with chromium.Browser() as browser:
        page = browser.page()
        page.go("http://127.0.0.1:9449/")
        page.wait("the table", "document.querySelector('tbody tr')")
"""
import base64
import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

PLACES = ("/usr/lib/chromium/chromium", "chromium", "chromium-browser")
FLAGS = ("--headless=new", "--remote-debugging-pipe", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
         "--disable-default-apps", "--no-default-browser-check", "--mute-audio", "--hide-scrollbars",
         "--force-color-profile=srgb", "--password-store=basic")
ANSWER_SECONDS = 60


def find():
    for place in PLACES:
        found = place if os.access(place, os.X_OK) else shutil.which(place)
        if found:
            return found
    return None


class Browser:
    def __init__(self, inside=()):
        """`inside`: what runs it elsewhere, as ("ip", "netns", "exec", "s1")."""
        program = find()
        if not program:
            raise FileNotFoundError("there is no Chromium: install the package chromium")
        self._home = tempfile.mkdtemp(prefix="secrets-encrypt-chromium-")
        to_read, self._to = os.pipe()
        self._from, to_write = os.pipe()

        def place():
            # As far away from 3 and 4 as need be first: one of them may be the other's place.
            a, b = os.dup(to_read), os.dup(to_write)
            while a in (3, 4):
                a = os.dup(a)
            while b in (3, 4):
                b = os.dup(b)
            os.dup2(a, 3)
            os.dup2(b, 4)
        argv = [*inside, program, *FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else []), f"--user-data-dir={self._home}",
                "about:blank"]
        self._child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL, close_fds=False, preexec_fn=place,
                                       env={**os.environ, "HOME": self._home})
        os.close(to_read)
        os.close(to_write)
        self._number, self._answers, self._lock = 0, {}, threading.Lock()
        self.events = []  # (session, method, params)
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _listen(self):
        rest = b""
        while True:
            try:
                piece = os.read(self._from, 1 << 16)
            except OSError:
                return
            if not piece:
                return
            *whole, rest = (rest + piece).split(b"\0")
            for text in whole:
                message = json.loads(text)
                if "id" in message:
                    self._answers[message["id"]].put(message)
                else:
                    self.events.append((message.get("sessionId"), message["method"], message.get("params", {})))

    def ask(self, method, session=None, **params):
        with self._lock:
            self._number += 1
            number = self._number
            self._answers[number] = queue.Queue()
            message = {"id": number, "method": method, "params": params, **({"sessionId": session} if session else {})}
            data = json.dumps(message).encode() + b"\0"
            while data:
                data = data[os.write(self._to, data):]
        try:
            answer = self._answers[number].get(timeout=ANSWER_SECONDS)
        except queue.Empty:
            raise TimeoutError(f"Chromium has not answered {method} in {ANSWER_SECONDS} s") from None
        del self._answers[number]
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def page(self):
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        return Page(self, self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])

    def close(self):
        if not self._child:
            return
        try:
            self.ask("Browser.close")
            self._child.wait(timeout=20)
        except Exception:  # it is ended in any case
            self._child.kill()
            self._child.wait()
        self._child = None
        os.close(self._to)
        os.close(self._from)
        shutil.rmtree(self._home, ignore_errors=True)


class Page:
    def __init__(self, browser, session):
        self.browser, self.session = browser, session
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            self.ask(f"{domain}.enable")

    def ask(self, method, **params):
        return self.browser.ask(method, session=self.session, **params)

    def size(self, width, height, phone=False):
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)

    def dark(self, on=True):
        self.ask("Emulation.setEmulatedMedia",
                 features=[{"name": "prefers-color-scheme", "value": "dark" if on else "light"}])

    def go(self, url):
        self.ask("Page.navigate", url=url)

    def run(self, expression):
        """The value of an expression of JavaScript in the page."""
        result = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def wait(self, what, expression, seconds=30):
        deadline = time.monotonic() + seconds
        while True:
            value = self.run(expression)
            if value:
                return value
            if time.monotonic() >= deadline:
                raise TimeoutError(f"{what}: not within {seconds} s; the page: {self.run('document.body.innerText')}")
            time.sleep(0.05)

    def key(self, key, code, number):
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=code, windowsVirtualKeyCode=number)

    def picture(self, path, whole=True):
        data = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        Path(path).write_bytes(base64.b64decode(data))

    def events(self, method):
        return [p for session, m, p in self.browser.events if session == self.session and m == method]

    def complaints(self):
        """What the console, the log (refusals by the Content-Security-Policy are there) and exceptions say."""
        console = [str([a.get("value", a.get("description")) for a in p["args"]])
                   for p in self.events("Runtime.consoleAPICalled") if p["type"] in ("error", "warning", "assert")]
        log = [p["entry"]["text"] for p in self.events("Log.entryAdded") if p["entry"]["level"] in ("error", "warning")]
        thrown = [str(p["exceptionDetails"].get("exception", {}).get("description")) for p in
                  self.events("Runtime.exceptionThrown")]
        return console + log + thrown

    def requests(self):
        return [p["request"]["url"] for p in self.events("Network.requestWillBeSent")]

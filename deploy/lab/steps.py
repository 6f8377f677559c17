"""Numbered steps on a terminal: one line each, with its time; a long one shows that it lives."""
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

EVERY = 15  # seconds between two lines of life where the output is no terminal


class Failed(Exception):
    """A step did not work; the text is for the reader, with the log's end where there is one."""


class Step:
    """What is said about one step while it runs and when it ends."""

    def __init__(self, number, title):
        self.number, self.title, self.detail, self.result = number, title, "", ""

    def tick(self, done, total):
        self.detail = f"{done} of {total}"


class Steps:
    """The steps of a run."""

    def __init__(self, first=1, out=sys.stdout):
        self.number, self.out, self.live = first - 1, out, out.isatty()

    def _line(self, step, text):
        return f" {step.number:2}  {step.title:<44} {text}"

    def say(self, text=""):
        print(text, file=self.out, flush=True)

    @contextlib.contextmanager
    def step(self, title, quiet=False):
        """Runs a block as a step. `quiet`: it prints by itself, so that no clock is shown beside it."""
        self.number += 1
        step, began, over = Step(self.number, title), time.monotonic(), threading.Event()
        clock = threading.Thread(target=self._clock, args=(step, began, over), daemon=True)
        if quiet:
            self.say(self._line(step, "").rstrip())
        else:
            clock.start()
        worked = False
        try:
            yield step
            worked = True
        finally:
            over.set()
            if not quiet:
                clock.join()
            if self.live and not quiet:
                self.out.write("\r\033[K")
            seconds = f"{time.monotonic() - began:.1f} s"
            if worked and not quiet:
                self.say(self._line(step, f"{step.result}, {seconds}" if step.result else seconds))

    def _clock(self, step, began, over):
        told = began
        while not over.wait(0.2 if self.live else 1):
            now = time.monotonic()
            text = f"{step.detail + ', ' if step.detail else ''}{now - began:.0f} s"
            if self.live:
                self.out.write("\r\033[K" + self._line(step, text))
                self.out.flush()
            elif now - told >= EVERY:
                told = now
                self.say(self._line(step, f"… {text}"))

    def run(self, argv, what, folder=None):
        """Runs a command with its output kept aside; its last lines are shown when it fails."""
        with tempfile.TemporaryFile() as log:
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                                     cwd=folder, start_new_session=True)
            try:
                out = child.stdout.read()
                code = child.wait()
            except BaseException:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGTERM)
                child.wait()
                raise
            if code == 0:
                return out.decode()
            log.seek(0)
            lines = (out + log.read()).decode(errors="replace").splitlines()[-25:]
            raise Failed("\n".join(lines + [f"{what} failed, see above"]))

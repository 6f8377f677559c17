"""The log, in the form of K3s's."""
import sys
import time


def stamp():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _line(level, text):
    quoted = str(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    print(f'time="{stamp()}" level={level} msg="{quoted}"', file=sys.stderr, flush=True)


def info(text):
    _line("info", text)


def warning(text):
    _line("warning", text)


def error(text):
    _line("error", text)


class Fatal(Exception):
    """The process ends with this text in its log."""


def fatal(text):
    _line("fatal", text)

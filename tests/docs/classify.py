"""Says of each command of the book who runs it: the lab of test_commands.py, another test (elsewhere.txt), nobody for a
reason that stands there, or, of our own programs, at least the program that reads the words."""
import fnmatch
import os
import re
import shlex
import subprocess
from collections import namedtuple
from pathlib import Path

import book
import plan

HERE = Path(__file__).resolve().parent
Entry = namedtuple("Entry", "pattern who file text")
OUR_PROGRAMS = ("secrets-encrypt", "secrets-encrypt-agent", "secrets-encrypt-coordinator")

# What stands for something in a command of the book, and what is typed in its place to see whether it can be read.
# It is asked of a configuration that is not there, so that nothing is done.
PLACEHOLDERS = [("[FLAGS]", ""), ("HOST:PORT,…", "127.0.0.1:1"), ("COMMAND…", "true"), ("COMMAND", "status"),
                ("FILE", "/nonexistent/file"), ("SECONDS", "60"), ("<server>", "s2"), ("<newer>", "1"), ("…", "")]


def elsewhere():
    entries = []
    for number, line in enumerate((HERE / "elsewhere.txt").read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = re.split(r" \| ", line)
        if len(parts) == 3 and parts[1] == "nobody":
            parts.append("")
        if len(parts) != 4:
            raise ValueError(f"elsewhere.txt:{number}: not four columns: {line}")
        entries.append(Entry(*parts))
    return entries


def fits(entry, text):
    """Only * means something in a pattern."""
    return fnmatch.fnmatchcase(text, re.sub(r"([\[?])", r"[\1]", entry.pattern))


def is_synopsis(text):
    """What shows how commands are written, and is none itself."""
    return bool(re.search(r"\[|\||…|\bFILE\b|\bCOMMAND\b", text))


def example_of(text):
    """A command as one could type it, for one as the book writes it: the first of several words, all that may be there."""
    text = re.sub(r"\[-- ", "-- ", text)
    for word, instead in PLACEHOLDERS:
        text = text.replace(word, instead)
    text = re.sub(r"([\w<>-]+)(?:\|[\w<>-]+)+", r"\1", text)
    words = shlex.split(text.replace("[", " ").replace("]", " "))
    return [re.sub(r"^([A-Z]|SERVER|NAME|OPERATION)$", lambda m: "5" if m.group(0) == "N" else "s2", w) for w in words]


def programs():
    return Path(os.environ.get("SECRETS_ENCRYPT_BIN", book.TOP / "build" / "debug" / "bin"))


def parse_error(words):
    """What the program says when it does not know a command's words; None: it reads them."""
    argv = [str(programs() / words[0]), *words[1:]]
    if words[1:2] == ["init"]:
        argv.append("--help")  # it needs no configuration, and would look at this machine
    env = {"PATH": "/usr/bin:/bin", "SECRETS_ENCRYPT_CONFIG": "/nonexistent/config.yaml"}
    result = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=20, env=env)
    if result.returncode == 2:
        return result.stderr.strip().splitlines()[0]
    return None if result.returncode in (0, 1, 9) else f"exit {result.returncode}: {result.stderr.strip()}"


def who_runs(text, entries):
    """"lab", an entry of elsewhere.txt, "parsed", or None."""
    if text in plan.texts():
        return "lab"
    for entry in entries:
        if fits(entry, text):
            return entry
    if text.split()[0] in OUR_PROGRAMS and is_synopsis(text):
        return "parsed"
    return None

"""Looking for keys where none may be: every form in which one could have got there, and the places."""
import base64
import json
import mmap
import os
import subprocess
import threading
import time
import urllib.parse
from pathlib import Path

import observe
import processes

WRITABLE = (os.O_WRONLY, os.O_RDWR)


def at_any_offset(raw):
    """Base64 of data in which `raw` stands somewhere: what all of them have in common, for each offset of three."""
    found = []
    for offset in range(3):
        text = base64.b64encode(bytes(offset) + raw)
        first = (0, 2, 3)[offset]  # characters that depend on what stands in front
        last = len(text) - (4 if (offset + len(raw)) % 3 else 0)  # and behind
        found.append(text[first:last])
    return found


def c_escaped(raw):
    """As C programs print bytes: octal where they are not printable."""
    named = {9: b"\\t", 10: b"\\n", 13: b"\\r", 34: b'\\"', 39: b"\\'", 92: b"\\\\"}
    return b"".join(named.get(c) or (bytes([c]) if 32 <= c < 127 else b"\\%03o" % c) for c in raw)


def forms_of(name, secret):
    """{what: bytes} for one key, `secret` being its base64 as it stands in the config."""
    raw, text = base64.b64decode(secret), secret.encode()
    forms = {"raw": raw, "base64": text, "base64url": base64.urlsafe_b64encode(raw).rstrip(b"="),
             "hex": raw.hex().encode(), "HEX": raw.hex().upper().encode(),
             "hex, spaced": raw.hex(" ").encode(), "HEX, spaced": raw.hex(" ").upper().encode(),
             "hex, colons": raw.hex(":").encode(), "HEX, colons": raw.hex(":").upper().encode(),
             "base64 as hex": text.hex().encode(), "base64 as hex, spaced": text.hex(" ").encode(),
             "C": c_escaped(raw), "JSON": text.replace(b"/", b"\\/"),
             "URL, base64": urllib.parse.quote(text, safe="").encode(),
             "url, base64": urllib.parse.quote(text, safe="").lower().encode(),
             "URL, raw": urllib.parse.quote(raw, safe="").encode(),
             "URL, all": b"".join(b"%%%02X" % c for c in raw), "url, all": b"".join(b"%%%02x" % c for c in raw),
             # Lines wrap, and dumps are cut into pieces: halves are as bad.
             "raw, first half": raw[:16], "raw, second half": raw[16:],
             "base64, first half": text[:22], "hex, first half": raw[:16].hex().encode()}
    forms |= {f"base64 at offset {i}": one for i, one in enumerate(at_any_offset(raw))}
    forms |= {f"base64 of the base64 at offset {i}": one for i, one in enumerate(at_any_offset(text))}
    return {f"{name}: {what}": needle for what, needle in forms.items()}


def forms(keys):
    """The same for {name: base64}."""
    return {what: needle for name, secret in keys.items() for what, needle in forms_of(name, secret).items()}


def found_in(data, needles):
    """Names of what stands in `data` (bytes or a mapping of a file)."""
    return [what for what, needle in needles.items() if data.find(needle) >= 0]


def found_in_file(path, needles):
    """The same for a file of any size, and its size; a file that went meanwhile holds nothing."""
    try:
        with open(path, "rb") as source:
            size = os.fstat(source.fileno()).st_size
            if not size:
                return [], 0
            with mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return found_in(data, needles), size
    except FileNotFoundError:
        return [], 0


def walk(folder):
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent) / name
            if path.is_file() and not path.is_symlink():
                yield path


class Family(observe.Watcher):
    """Argument lists, environments and open files of this process's descendants and of everything that the lab wrote
    down, with theirs: of agents, coordinators, commands, restart scripts, servers."""

    def __init__(self, lab, every=0.05):
        super().__init__(every)
        self.lab = lab
        self.seen = set()  # (part, bytes)
        self.written = set()  # paths of regular files that our programs had open for writing
        self.programs = set()

    def look(self):
        for pid in self._pids():
            for part in ("cmdline", "environ"):
                try:
                    self.seen.add((part, Path(f"/proc/{pid}/{part}").read_bytes()))
                except OSError:
                    continue
            self._files(pid)

    def _pids(self):
        parents = {}
        for folder in os.listdir("/proc"):
            if folder.isdigit():
                try:
                    stat = Path(f"/proc/{folder}/stat").read_bytes()
                except OSError:
                    continue
                parents[int(folder)] = int(stat.rpartition(b")")[2].split()[1])
        roots = {os.getpid()}
        for path in self.lab.dir.glob("processes/*.json"):
            entry = processes.read_entry(self.lab.dir, path.name[: -len(".json")])
            if entry and processes.is_same(entry):
                roots.add(entry["pid"])
        family = set(roots)
        while True:
            more = {pid for pid, parent in parents.items() if parent in family} - family
            if not more:
                return family - {os.getpid()}
            family |= more

    def _files(self, pid):
        try:
            program = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
            if not program.startswith("secrets-encrypt"):
                return
            self.programs.add(program)
            for fd in os.listdir(f"/proc/{pid}/fd"):
                path = os.readlink(f"/proc/{pid}/fd/{fd}")
                flags = int(Path(f"/proc/{pid}/fdinfo/{fd}").read_text().split("flags:")[1].split()[0], 8)
                if path.startswith("/") and not path.startswith(("/dev/", "/proc/")) and flags & 3 in WRITABLE:
                    self.written.add(path.removesuffix(" (deleted)"))
        except OSError:
            return


class Memory(observe.Watcher):
    """What a core of our daemons would hold: their memory without the parts that are left out of dumps."""

    def __init__(self, lab, every=0.5):
        super().__init__(every)
        self.lab, self.looks, self.bytes, self.pages = lab, 0, 0, {}
        self.hits = set()  # (program, what, mapping)
        self.needles = {}  # to be set before it begins; may grow

    def look(self):
        needles = dict(self.needles)
        for program in [p for s in self.lab.servers for p in (s.agent, s.coordinator)]:
            if program.alive:
                self._look_into(program, needles)
        self.looks += 1

    def _look_into(self, program, needles):
        try:
            regions = dumped_regions(program.pid)
            with open(f"/proc/{program.pid}/mem", "rb", buffering=0) as memory:
                for begin, end, name in regions:
                    data = resident(program.pid, memory, begin, end)
                    self.bytes += len(data)
                    self.hits |= {(program.name, what, name) for what in found_in(data, needles)}
        except (ProcessLookupError, FileNotFoundError, ValueError):
            return
        except OSError as error:
            if error.errno not in (3, 5):  # gone, or a mapping that went
                raise


def resident(pid, memory, begin, end):
    """The pages of a mapping that were ever written, one behind the other: of stacks and the like that is little."""
    page, parts = os.sysconf("SC_PAGESIZE"), []
    with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as source:
        source.seek(begin // page * 8)
        entries = source.read((end - begin) // page * 8)
    there = [bool(entries[i + 7] & 0xc0) for i in range(0, len(entries), 8)]  # present, or swapped
    at = 0
    while at < len(there):
        until = at
        while until < len(there) and there[until]:
            until += 1
        if until > at:
            memory.seek(begin + at * page)
            parts.append(memory.read((until - at) * page) or b"")
        at = until + 1
    return b"".join(parts)


def dumped_regions(pid):
    """(begin, end, name) of the writable mappings of a process that go into its core."""
    regions, current = [], None
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        head = line.split()
        if "-" in head[0] and not head[0].endswith(":"):
            begin, end = (int(part, 16) for part in head[0].split("-"))
            current = begin, end, head[5] if len(head) > 5 else "anonymous", head[1]
        elif head[0] == "VmFlags:" and current:
            begin, end, name, mode = current
            if "w" in mode and "r" in mode and "dd" not in head[1:] and not name.startswith(("[vvar", "[vsyscall")):
                regions.append((begin, end, name))
    return regions


class History:
    """Every revision of every key of etcd from now on and before: etcd's own watch from revision 1."""

    def __init__(self, lab, folder):
        pki = lab.dir / "certs"
        self.lab, self.path = lab, Path(folder) / "history.json"
        argv = ["etcdctl", "--endpoints", ",".join(lab.etcd_urls), "--cacert", pki / "ca.crt", "--cert",
                pki / "client.crt", "--key", pki / "client.key", "watch", "", "--prefix", "--rev", "1", "-w", "json"]
        with open(self.path, "wb") as out:
            self.child = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=out,
                                          env={**os.environ, "ETCDCTL_API": "3"})

    def upto_now(self, seconds=60):
        """Returns [(key, revision, value)] of everything up to this moment, which a key of ours marks."""
        mark = f"/leak-test/mark-{time.monotonic_ns()}"
        self.lab.etcd.put(mark, "x")
        sought, deadline = base64.b64encode(mark.encode()), time.monotonic() + seconds
        while sought not in self.path.read_bytes():
            if self.child.poll() is not None or time.monotonic() >= deadline:
                raise TimeoutError(f"etcd's history does not come up to now (etcdctl: {self.child.poll()})")
            threading.Event().wait(0.1)
        return [(base64.b64decode(e["kv"]["key"]), e["kv"]["mod_revision"], base64.b64decode(e["kv"].get("value", "")))
                for line in self.path.read_text().splitlines() if line.endswith("}")
                for e in json.loads(line).get("Events") or []]

    def stop(self):
        self.child.terminate()
        self.child.wait(10)

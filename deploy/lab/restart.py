#!/usr/bin/python3
"""Restarts the API server of one server of a lab, as `systemctl restart` does on a real one.

    restart.py LAB SERVER            stop (SIGTERM, SIGKILL after 10 s), start anew, detached
    restart.py LAB SERVER --start    start only; not counted as a restart

Like a unit with `ExecStartPre=-secrets-encrypt-agent sync` it runs that first where the lab says so, and
where the lab's only etcd lives and dies with the server (as K3s's embedded one does) it restarts that too.
Each restart is one line "<time> <server>" in <lab>/restarts.log.

<lab>/<server>/broken makes the start fail: {"mode": "exit" | "hang", "unless_hash": <SHA-256 of the one
encryption config that works>} or {"mode": …, "unless_writes_with": <name of the first key that works>}.

{"mode": "stale", "file": PATH} makes it start with another file than the one that everybody sees: in a mount
namespace of its own PATH lies over the encryption config. Its argument list and its pid are the usual ones.
"""
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import processes  # noqa: E402

HANG = "import signal; signal.pause()"
BEHIND_THE_BACK = 'mount --bind "$0" "$1" && shift && exec "$@"'


def breakage(folder, server, settings):
    """How this start shall go wrong: the flag, or {}."""
    try:
        flag = json.loads((folder / server / "broken").read_text())
    except (OSError, ValueError):
        return {}
    text = Path(settings["encryption_config"]).read_bytes()
    if flag.get("unless_hash") == hashlib.sha256(text).hexdigest():
        return {}
    first = re.search(rb'"?name"?:\s*"?([^",\s}]+)', text)
    if first and flag.get("unless_writes_with") == first.group(1).decode():
        return {}
    return flag


def start_etcd(folder, lab):
    for member in lab["etcd"]:
        if not processes.is_same(processes.read_entry(folder, member["name"])):
            processes.spawn(folder, member["name"], member["argv"], member["log"])


def sync(server, settings):
    """The agent's one shot before a start; a failure is ignored, as systemd does after "=-"."""
    with open(settings["log"], "ab") as log:
        try:
            result = subprocess.run(settings["sync"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                    timeout=30, check=False)
            log.write(f"-- {server}: sync ended with {result.returncode}\n".encode())
        except (OSError, subprocess.TimeoutExpired) as error:
            log.write(f"-- {server}: sync failed: {error}\n".encode())


def start_apiserver(folder, server, settings):
    argv = settings["argv"]
    flag = breakage(folder, server, settings)
    mode = flag.get("mode")
    if mode == "exit":
        argv = [settings["argv"][0], "--this-start-is-broken-on-purpose"]
    elif mode == "hang":
        argv = [sys.executable, "-c", HANG, *settings["argv"]]
    elif mode == "stale":
        argv = ["unshare", "--mount", "sh", "-c", BEHIND_THE_BACK, flag["file"], settings["encryption_config"],
                *settings["argv"]]
    # Half of a start is garbage collection: with more room it takes a fifth less of the processor.
    processes.spawn(folder, f"kube-apiserver-{server}", argv, settings["log"], settings["pid_file"],
                    env={**os.environ, "GOGC": "200"})


def main(argv):
    if len(argv) not in (3, 4) or (len(argv) == 4 and argv[3] != "--start"):
        print("usage: restart.py LAB SERVER [--start]", file=sys.stderr)
        return 2
    folder, server, start_only = Path(argv[1]).resolve(), argv[2], len(argv) == 4
    lab = json.loads((folder / "lab.json").read_text())
    if server not in lab["servers"]:
        print(f"restart.py: no server {server} in {folder}", file=sys.stderr)
        return 1
    settings = lab["servers"][server]
    flags = lab["flags"]
    # The agent that runs this may be killed; the lab still has to find us.
    processes.write_down(folder, f"restart-{server}-{os.getpid()}", os.getpid(), sys.argv[0])
    with processes.locked(folder / server / "restart.lock"):
        if not start_only:
            with open(folder / "restarts.log", "a", encoding="utf-8") as log:
                log.write(f"{time.time():.3f} {server}\n")
            processes.end(processes.read_entry(folder, f"kube-apiserver-{server}"), 10)
            if flags["restart_etcd"]:
                for member in lab["etcd"]:
                    processes.end(processes.read_entry(folder, member["name"]), 10)
        start_etcd(folder, lab)
        if flags["sync_on_start"] and not start_only:
            sync(server, settings)
        start_apiserver(folder, server, settings)
    processes.entry_path(folder, f"restart-{server}-{os.getpid()}").unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv))
    except (OSError, processes.Stopping) as error:
        print(f"restart.py: {error}", file=sys.stderr)
        sys.exit(1)

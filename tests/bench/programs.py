"""gate, overhead, idle, servers: agents and coordinators as the quickstart's lab runs them."""
import os
import time
from pathlib import Path

import cluster as clusters
import kube
import lab as labs
from cluster import SEED, Wrong

SIMULATED = (3, 16, 100, 1000)
PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")


# --- one rotation, from the state store's own events ---

class History:
    """Events of the state store in the order of their revisions, each with the time at which one process saw it."""

    def __init__(self, lab, lines):
        self.events = [line for line in lines if line.get("put")]
        for event in self.events:
            event["name"] = event["key"].removeprefix(lab.key(""))
            if isinstance(event["value"], dict):
                event["value"] = event["value"].get("body", event["value"])

    def of(self, prefix):
        return [e for e in self.events if e["name"].startswith(prefix)]

    def hashes(self):
        return [e for e in self.of("servers/") if e["name"].endswith("/hash")]


def gates(history):
    """Milliseconds from the hash that completed one server's step to the order for the next server.

    Within a phase: the two orders bring the same generation, and the hash is the last one that was published
    between them, by the server that the earlier order was for."""
    found, orders = [], history.of("orders/")
    for before, order in zip(orders, orders[1:]):
        if before["value"].get("generation") != order["value"].get("generation") or before["name"] == order["name"]:
            continue
        server = before["name"].partition("/")[2]
        done = [e for e in history.hashes() if before["revision"] < e["revision"] < order["revision"] and
                e["name"] == f"servers/{server}/hash"]
        if done:
            found.append((order["us"] - done[-1]["us"]) / 1000)
    return found


def phases(history):
    """(phase, microseconds that it took) in order, and when the operation began and ended."""
    entered = []
    for event in history.of("rotation"):
        op = event["value"].get("op", {})
        if op.get("kind") != "rotate-keys":
            continue
        phase = "end" if op.get("state") == "finished" else op.get("phase")
        if not entered or entered[-1][0] != phase:
            entered.append((phase, event["us"]))
        if phase == "end":
            break
    if not entered or entered[-1][0] != "end":
        raise Wrong(f"the rotation's end was not seen: {[name for name, _ in entered]}")
    return [(name, after[1] - at) for (name, at), after in zip(entered, entered[1:])], entered[0][1], entered[-1][1]


def restarting(history):
    """Microseconds between each order and the hash with which its server answered it (both as seen): the agent writes
    the file, restarts the API server, and waits until it is ready."""
    spans, orders = [], history.of("orders/")
    for order in orders:
        server = order["name"].partition("/")[2]
        later = [o["revision"] for o in orders if o["revision"] > order["revision"]]
        until = min(later) if later else 1 << 62
        done = [e for e in history.hashes() if e["name"] == f"servers/{server}/hash" and
                order["revision"] < e["revision"] <= until]
        if done:
            spans.append(done[-1]["us"] - order["us"])
    return spans


def edges(history, phase):
    """Microseconds from the phase's beginning to its first order, and from the last hash that answered an order to
    its end; None for a phase without orders."""
    times = [(e["us"], e["value"]["op"].get("phase"), e["value"]["op"].get("state")) for e in history.of("rotation")
             if e["value"].get("op", {}).get("kind") == "rotate-keys"]
    inside = [us for us, name, state in times if name == phase and state != "finished"]
    after = [us for us, name, state in times if us > inside[-1] and (name != phase or state == "finished")]
    end = after[0] if after else inside[-1]
    orders = [e["us"] for e in history.of("orders/") if inside[0] <= e["us"] <= end]
    hashes = [e["us"] for e in history.hashes() if orders and orders[-1] < e["us"] <= end]
    return (orders[0] - inside[0], end - hashes[-1]) if hashes else None


def rotation(lab, program, secrets):
    """One rotate-keys while a process follows the state store; its History."""
    follow = clusters.Background(lab, [str(program), "follow", "--config", str(lab.servers[0].config)])
    try:
        follow.wait_line("connected")
        result = lab.cli("rotate-keys")
        time.sleep(1)
    finally:
        lines = follow.stop()
    if result.returncode != 0:
        raise Wrong(f"rotate-keys ended with {result.returncode}: {result.stderr[-500:]}")
    counts = lab.count_by_key()
    if sum(1 for values in counts.values() if values) != 1 or counts.get("plain"):
        raise Wrong(f"after the rotation the values stand under {counts}")
    errors = kube.read_errors(lab.clients(), SEED, range(secrets))
    if errors:
        raise Wrong(f"{len(errors)} read errors after the rotation, first: {errors[0]}")
    return History(lab, lines)


def quantile(values, part):
    values = sorted(values)
    return values[min(int(len(values) * part), len(values) - 1)]


def add_rotation(report, where, wanted, history):
    if "gate" in wanted:
        found = gates(history)
        if not found:
            raise Wrong("no gate was seen in the history")
        for value in found:
            report.add("gate", where, "hash to order", "ms", value)
    if "overhead" in wanted:
        steps, begun, ended = phases(history)
        rewrite = sum(us for name, us in steps if name == "rewrite")
        restarts = sum(restarting(history))
        report.add("overhead", where, "rotation", "s", (ended - begun) / 1e6)
        report.add("overhead", where, "restarts", "s", restarts / 1e6)
        report.add("overhead", where, "re-encryption", "s", rewrite / 1e6)
        report.add("overhead", where, "overhead", "s", (ended - begun - restarts - rewrite) / 1e6)
        for name, us in steps:
            report.add("overhead", where, f"phase {name}", "s", us / 1e6)
            found = edges(history, name)
            if found:
                report.add("overhead", where, f"phase {name}: to its first order", "s", found[0] / 1e6)
                report.add("overhead", where, f"phase {name}: after its last hash", "s", found[1] / 1e6)


# --- idle ---

def usage(pid):
    """(processor seconds, resident MB)"""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    return (int(stat[11]) + int(stat[12])) / TICKS, resident / 1e6


def idle(lab, report, where, seconds):
    programs = {f"{role}, {s.name}": getattr(s, role) for s in lab.servers for role in ("agent", "coordinator")}
    before = {name: usage(p.pid)[0] for name, p in programs.items()}
    time.sleep(seconds)
    for name, program in programs.items():
        used, resident = usage(program.pid)
        role = name.partition(",")[0]
        report.add("idle", where, f"{role}: memory", "MB", resident)
        report.add("idle", where, f"{role}: CPU", "% of a core", (used - before[name]) / seconds * 100)


def measure(report, wanted, runs, say, seconds, secrets, count):
    where = f"{count} servers, {secrets} Secrets"
    with labs.Lab(count, 3, kube_apiserver=os.environ.get("KUBE_APISERVER")) as lab:
        program = clusters.find_program()
        lab.start()
        lab.start_programs()
        kube.make_secrets(lab.clients(), SEED, range(secrets))
        if "idle" in wanted:
            say(f"idle, {seconds} s")
            time.sleep(3)
            idle(lab, report, where, seconds)
        for turn in range(runs if {"gate", "overhead"} & set(wanted) else 0):
            say(f"rotation {turn + 1} of {runs}")
            add_rotation(report, where, wanted, rotation(lab, program, secrets))
        gate = report.rows.get(("gate", where, "hash to order"))
        if gate:  # over all rotations together: each has six
            report.add("gate", where, "hash to order, p99", "ms", quantile(gate.values, 0.99))


# --- servers ---

def servers(cluster, report, runs, say):
    for count in SIMULATED:
        name = f"{count} servers"
        for _ in range(runs):
            say(f"{name}, simulated")
            try:
                found = cluster.run("planner", "--count", count)
            except Wrong as error:
                if "at most" not in str(error):
                    raise
                report.note(f"servers: {name}: not possible: {str(error).rpartition(': ')[2]}")
                break
            report.add("servers", cluster.name, f"{name}: look and decision p50", "ms", found["p50_ms"])
            report.add("servers", cluster.name, f"{name}: look and decision p99", "ms", found["p99_ms"])
            report.add("servers", cluster.name, f"{name}: peak memory", "MB", found["rss_kb"] / 1024)

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

    def orders(self):
        """(order, when its agent wrote the file and began to restart, when it was done): an agent's report stands
        in the same revision as the hash that it publishes with it."""
        for order in self.of("orders/"):
            server = order["name"].partition("/")[2]
            reports = [e for e in self.of(f"servers/{server}/report") if e["value"]["order_id"] == order["value"]["id"]]
            first = {}
            for event in reports:
                first.setdefault(event["value"]["order_state"], event["us"])
            if "done" not in first:
                raise Wrong(f"order {order['value']['id']} for {server} was not seen done")
            yield order, first.get("restarting", first["done"]), first["done"]


def gates(history):
    """Milliseconds from the hash that completed one server's step to the order for the next server, within a phase."""
    orders = list(history.orders())
    return [(after["us"] - done) / 1000 for (before, _, done), (after, _, _) in zip(orders, orders[1:])
            if before["value"]["generation"] == after["value"]["generation"]]


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


def edges(history, phase):
    """Microseconds from the phase's beginning to its first order, and from its last order's end to its own; None for a
    phase without orders."""
    times = [(e["us"], e["value"]["op"].get("phase"), e["value"]["op"].get("state")) for e in history.of("rotation")
             if e["value"].get("op", {}).get("kind") == "rotate-keys"]
    inside = [us for us, name, state in times if name == phase and state != "finished"]
    end = min([us for us, name, _ in times if us > inside[-1] and name != phase] or [inside[-1]])
    orders = [(order["us"], done) for order, _, done in history.orders() if inside[0] <= order["us"] <= end]
    return (orders[0][0] - inside[0], end - orders[-1][1]) if orders else None


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
        restarts = sum(done - began for _, began, done in history.orders())
        taking = sum(began - order["us"] for order, began, _ in history.orders())
        report.add("overhead", where, "rotation", "s", (ended - begun) / 1e6)
        report.add("overhead", where, "restarts, until ready", "s", restarts / 1e6)
        report.add("overhead", where, "re-encryption", "s", rewrite / 1e6)
        report.add("overhead", where, "overhead", "s", (ended - begun - restarts - rewrite) / 1e6)
        report.add("overhead", where, "of it: orders read, files written", "s", taking / 1e6)
        for name, us in steps:
            report.add("overhead", where, f"phase {name}", "s", us / 1e6)
            found = edges(history, name)
            if found:
                report.add("overhead", where, f"phase {name}: to its first order", "s", found[0] / 1e6)
                report.add("overhead", where, f"phase {name}: after its last server", "s", found[1] / 1e6)


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
            report.add("servers", cluster.name, f"{name}: the first look, which reads all", "ms", found["first_ms"])
            report.add("servers", cluster.name, f"{name}: look and decision p50", "ms", found["p50_ms"])
            report.add("servers", cluster.name, f"{name}: look and decision p99", "ms", found["p99_ms"])
            report.add("servers", cluster.name, f"{name}: memory", "MB", found["resident_kb"] / 1024)
            report.add("servers", cluster.name, f"{name}: peak memory", "MB", found["rss_kb"] / 1024)

"""harm: what clients of the API servers feel while values are rewritten, by us at the default pace and by peers."""
from cluster import BATCH
from engines import PEERS, RATE, peer_args

WORST = max
CONTROL = "batches (control)"


def collect(report, where, name, found):
    """The worst of the servers for latencies, the sum for what went wrong."""
    servers = found["servers"]
    for what in ("get", "list", "lag"):
        for part in ("p50", "p99"):
            report.add("harm", where, f"{name}: {what} {part}", "ms", WORST(s[what][part] for s in servers))
    for what in ("closed", "expired", "missed", "errors"):
        report.add("harm", where, f"{name}: {what}", "", sum(s[what] for s in servers))


def probed(cluster, report, name, work):
    """Runs work() while the probe measures; returns what it returned."""
    probe = cluster.background("probe", "--count", cluster.count)
    probe.wait_line("started")
    try:
        result = work()
    finally:
        found = probe.stop()[-1]
    collect(report, cluster.name, name, found)
    return result


def verify(cluster, done):
    """All of it where it came to its end; else everything opens and is right, under one key or the other."""
    if done >= cluster.count:
        cluster.check()
        return
    found = cluster.run("check", "--first", 0, "--count", cluster.count)
    cluster.check(found["first_key"])


def rewriting(cluster, report, name, argv, seconds):
    def run():
        cluster.all_old()

        def work():
            job = cluster.background(*argv, "--seconds", seconds)
            return job.wait(seconds + 60)
        lines = probed(cluster, report, name, work)
        report.add("harm", cluster.name, f"{name}: rate", RATE, lines[-1]["per_second"])
        late = [line["rate"] for line in lines if "rate" in line][-20:]
        if late:
            report.add("harm", cluster.name, f"{name}: rate at the end", RATE, sum(late) / len(late))
        held = sorted({line["held_by"] for line in lines if line.get("held_by")})
        if held:
            report.note(f"harm, {cluster.name}, {name}: held back by " + "; ".join(held[:5]))
        verify(cluster, lines[-1]["done"])
    return run


def idle(cluster, report, seconds):
    def run():
        cluster.settle()
        found = cluster.run("probe", "--count", cluster.count, "--seconds", seconds)
        collect(report, cluster.name, "idle", found)
    return run


def batched(cluster, report):
    """The control: batches of values in one transaction while API servers are attached, which no engine does. Clients
    whose watch is cut in the middle of one miss the rest of it, and the probe has to see that."""
    def run():
        cluster.all_old()
        found = probed(cluster, report, CONTROL,
                       lambda: cluster.run("txns", "--batch", BATCH, "--window", 1))
        report.add("harm", cluster.name, f"{CONTROL}: rate", RATE, found["per_second"])
        cluster.check()
    return run


def harm(cluster, report, runs, say, seconds, peers):
    variants = {"idle": idle(cluster, report, seconds)}
    for name, engine in (("API engine", "api"), ("datastore engine", "datastore")):
        variants[name] = rewriting(cluster, report, name,
                                   ("job", "--kind", "rewrite", "--engine", engine, "--paced"), seconds)
    for name in peers:
        variants[name] = rewriting(cluster, report, name, ("peer", *peer_args(name, cluster.count)), seconds)
    variants[CONTROL] = batched(cluster, report)
    for turn in range(runs):
        for name, run in variants.items():
            say(f"harm, {cluster.name}: {name}, {turn + 1} of {runs}")
            run()
    for name in list(variants)[1:]:
        for what in ("get", "list"):
            report.ratio("harm", cluster.name, f"{name}: {what} p99 against idle", f"{name}: {what} p99",
                         f"idle: {what} p99")

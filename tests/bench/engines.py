"""api, live, offline, scan, peers, objects: how fast, against the limit, and against other tools."""
from cluster import BATCH, IN_FLIGHT, WINDOW, Cluster, Wrong

RATE = "objects/s"

# (connections, streams on each)
LEVELS = {1: ((1, 16), (1, 32), (1, 64), (2, 16), (4, 8), (4, 16), (8, 8), (16, 4), (32, 2), (64, 1)),
          3: ((3, 8), (3, 16), (3, 32), (6, 8), (12, 4), (24, 2), (48, 1), (63, 1))}
LEVELS_QUICK = {1: ((1, 16), (4, 4)), 3: ((3, 8), (12, 2))}

# name: (page, workers, updates a second; 0: as many as it does)
PEERS = {"K3s's loop": (20, 1, 200), "serial migrator": (500, 1, 0), "ten workers, 30/s": (500, 10, 30),
         "ten workers, 100/s": (500, 10, 100)}


def interleave(cluster, runs, variants, say):
    """Each variant once, then each once more, …; before each, all values stand under the old key."""
    for turn in range(runs):
        for name, run in variants.items():
            say(f"{cluster.name}: {name}, {turn + 1} of {runs}")
            cluster.all_old()
            run()


def engine(cluster, report, section, name, *args):
    """A run of a job; counts only when everything was read back."""
    def run():
        found = cluster.run("job", "--kind", "rewrite", *args)
        cluster.check()
        report.add(section, cluster.name, name, RATE, found["per_second"])
        report.add(section, cluster.name, f"{name}: peak memory", "MB", found["rss_kb"] / 1024)
        report.add(section, cluster.name, f"{name}: own CPU", "us/object", found["cpu_ms"] * 1e3 / max(found["done"], 1))
    return run


def bare(cluster, report, section, *args):
    def run():
        found = cluster.run("txns", *args)
        cluster.check()
        report.add(section, cluster.name, "limit", RATE, found["per_second"])
    return run


# --- api ---

def best_levels(cluster, levels, say):
    """The two combinations of connections and streams that do best on a share of the objects each."""
    share, found = max(cluster.count // len(levels), 1), []
    cluster.all_old()
    for i, (connections, streams) in enumerate(levels):
        say(f"{cluster.name}: bare requests, {connections} connections of {streams} streams")
        got = cluster.run("hammer", "--connections", connections, "--streams", streams, "--first", i * share, "--count",
                          share)
        found.append((got["per_second"], connections, streams))
    cluster.check(share * len(levels))
    return found, sorted(found, reverse=True)[:2]


def hammer(cluster, report, connections, streams):
    name = f"bare, {connections} x {streams}"

    def run():
        found = cluster.run("hammer", "--connections", connections, "--streams", streams, "--count", cluster.count)
        cluster.check()
        report.add("api", cluster.name, name, RATE, found["per_second"])
    return name, run


def api(cluster, report, runs, say, quick):
    tried, best = best_levels(cluster, (LEVELS_QUICK if quick else LEVELS)[cluster.attached], say)
    report.note(f"api, {cluster.name}: bare requests tried over (connections x streams: objects/s) " +
                ", ".join(f"{c} x {s}: {rate:.0f}" for rate, c, s in tried))
    variants = {"API engine": engine(cluster, report, "api", "API engine", "--engine", "api")}
    variants.update(hammer(cluster, report, c, s) for _, c, s in best)
    interleave(cluster, runs, variants, say)
    limits = [report.rows["api", cluster.name, f"bare, {c} x {s}"] for _, c, s in best]
    for value in max(limits, key=lambda f: f.median).values:
        report.add("api", cluster.name, "limit", RATE, value)
    report.ratio("api", cluster.name, "ratio", "API engine", "limit")


# --- live, offline ---

def live(cluster, report, runs, say):
    interleave(cluster, runs, {
        "datastore engine": engine(cluster, report, "live", "datastore engine", "--engine", "datastore"),
        "limit": bare(cluster, report, "live", "--batch", 1, "--window", IN_FLIGHT)}, say)
    report.ratio("live", cluster.name, "ratio", "datastore engine", "limit")


def offline(cluster, report, runs, say):
    interleave(cluster, runs, {
        "datastore engine": engine(cluster, report, "offline", "datastore engine", "--engine", "datastore", "--offline"),
        "limit": bare(cluster, report, "offline", "--batch", BATCH, "--window", WINDOW)}, say)
    report.ratio("offline", cluster.name, "ratio", "datastore engine", "limit")


# --- scan ---

def scan(cluster, report, runs, say):
    cluster.all_old()
    cluster.run("txns", "--batch", BATCH, "--window", WINDOW)
    for turn in range(runs):
        say(f"{cluster.name}: scan, {turn + 1} of {runs}")
        found = cluster.run("job", "--kind", "scan")
        if found["done"] < cluster.count or found["stale"]:
            raise Wrong(f"{cluster.name}: the scan saw {found['done']} values, {found['stale']} of them stale")
        report.add("scan", cluster.name, "proof 3", "keys/s", found["per_second"])
    cluster.check()


# --- peers ---

def peer_args(name, count):
    page, workers, rate = PEERS[name]
    return ["--page", page, "--workers", workers, "--rate", rate, "--count", count]


def peer(cluster, report, name, count):
    def run():
        found = cluster.run("peer", *peer_args(name, count))
        cluster.check(min(found["done"], cluster.count))
        report.add("peers", cluster.name, name, RATE, found["per_second"])
    return run


def peers(cluster, report, runs, say, seconds):
    """Each peer works for about so many seconds; ours through everything."""
    variants = {"API engine": engine(cluster, report, "peers", "API engine", "--engine", "api")}
    for name, (_, _, rate) in PEERS.items():
        variants[name] = peer(cluster, report, name, min(int((rate or 150) * seconds), cluster.count))
    interleave(cluster, runs, variants, say)
    for name in PEERS:
        report.ratio("peers", cluster.name, f"API engine against {name}", "API engine", name)


def factors(report, members):
    """What the offline engine did against the peers, where both were measured on as many members."""
    for (section, where, name) in list(report.order):
        if section != "peers" or name not in PEERS or not where.startswith(f"{members} etcd"):
            continue
        fast = report.median("offline", f"{members} etcd, offline", "datastore engine")
        if fast and report.median("peers", where, name):
            report.add("peers", where, f"offline engine against {name}", "", fast / report.median("peers", where, name))


# --- objects ---

def objects(report, counts, runs, say, members=1):
    """Rate and memory of each engine over more and more objects."""
    for attached in (0, 1):
        for count in counts:
            with Cluster(members, attached, count=count) as cluster:
                name = f"{count:,} objects"
                engines = {"api": ["--engine", "api"], "live": ["--engine", "datastore"]} if attached else \
                    {"offline": ["--engine", "datastore", "--offline"]}
                interleave(cluster, runs if count <= 100000 else 1, {
                    f"{e}, {name}": engine(cluster, report, "objects", f"{e}, {name}", *args)
                    for e, args in engines.items()}, say)
        for e in engines:
            first, last = f"{e}, {counts[0]:,} objects", f"{e}, {counts[-1]:,} objects"
            report.ratio("objects", cluster.name, f"{e}: rate at {counts[-1]:,} against {counts[0]:,}", last, first)

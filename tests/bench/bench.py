"""See run.sh."""
import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import cluster as clusters  # noqa: E402
import engines  # noqa: E402
import harm as harms  # noqa: E402
import programs  # noqa: E402
from figures import Report  # noqa: E402

SECTIONS = ("api", "live", "offline", "scan", "peers", "harm", "gate", "overhead", "servers", "objects", "idle")
ATTACHED = ("api", "live", "peers")


class Run:
    """One run: which sections, on which clusters, how much of each."""

    def __init__(self, args):
        self.args, self.report, self.quick = args, Report(), args.quick
        self.runs = args.runs or (1 if args.quick else 5)
        self.count = args.objects or (300 if args.quick else 10000)
        self.sizes = args.topologies or ([1] if args.quick else [1, 3])
        self.only = args.only

    def say(self, text):
        print(f"[{time.time() - self.report.started:6.0f} s] {text}", file=sys.stderr, flush=True)

    def guarded(self, what, work, *args):
        """A section; what goes wrong in it does not stop the others."""
        try:
            self.say(what)
            work(*args)
        except clusters.ERRORS as error:
            self.report.wrong.append(f"{what}: {error}")
            self.say(f"WRONG: {what}: {error}")

    # --- clusters with API servers ---

    def attached(self, size):
        with clusters.Cluster(size, size, self.args.provider, count=self.count) as c:
            for section in (s for s in ATTACHED if s in self.only):
                self.guarded(f"{section}, {c.name}", getattr(self, f"run_{section}"), c)

    def run_api(self, c):
        engines.api(c, self.report, self.runs, self.say, self.quick)

    def run_live(self, c):
        engines.live(c, self.report, self.runs, self.say)

    def run_peers(self, c):
        engines.peers(c, self.report, self.runs, self.say, 0.3 if self.quick else 10)

    # --- without ---

    def offline(self, size):
        with clusters.Cluster(size, 0, self.args.provider, count=self.count) as c:
            if "offline" in self.only:
                self.guarded(f"offline, {c.name}", engines.offline, c, self.report, self.runs, self.say)
            if "scan" in self.only:
                self.guarded(f"scan, {c.name}", engines.scan, c, self.report, self.runs, self.say)
            if not self.args.no_read_back:
                c.attach()
                c.read_back()

    def harm(self, size):
        count = self.args.objects or (300 if self.quick else 20000)
        with clusters.Cluster(size, size, self.args.provider, count=count) as c:
            harms.harm(c, self.report, min(self.runs, 3), self.say, self.args.seconds or (3 if self.quick else 60),
                       engines.PEERS if not self.quick else list(engines.PEERS)[:1])

    def programs(self):
        wanted = [s for s in ("gate", "overhead", "idle") if s in self.only]
        seconds = 10 if self.quick else 60
        programs.measure(self.report, wanted, self.runs, self.say, seconds, 50 if self.quick else 500,
                         2 if self.quick else 3)

    def servers(self):
        with clusters.Cluster(1 if self.quick else 3, 0) as c:
            programs.servers(c, self.report, self.runs, self.say)

    def objects(self):
        counts = [100, 200] if self.quick else [10000, 100000] + ([1000000] if self.args.large else [])
        engines.objects(self.report, counts, min(self.runs, 3), self.say)

    def all(self):
        for size in self.sizes:
            if set(self.only) & set(ATTACHED):
                self.guarded(f"{size} members, {size} API servers", self.attached, size)
            if set(self.only) & {"offline", "scan"}:
                self.guarded(f"{size} members, offline", self.offline, size)
            engines.factors(self.report, size)
            if "harm" in self.only:
                self.guarded(f"harm, {size} members, {size} API servers", self.harm, size)
        if set(self.only) & {"gate", "overhead", "idle"}:
            self.guarded("gate, overhead, idle", self.programs)
        if "servers" in self.only:
            self.guarded("servers", self.servers)
        if "objects" in self.only:
            self.guarded("objects", self.objects)


def machine():
    """What the figures were measured on."""
    cpu = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
           if line.startswith("model name")]
    etcd = subprocess.run(["etcd", "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return {"cpu": cpu[0] if cpu else "?", "cores": len(os.sched_getaffinity(0)), "kernel": os.uname().release,
            "etcd": etcd.stdout.splitlines()[0] if etcd.stdout else "?", "load": os.getloadavg()[0],
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def numbers(text):
    return [int(part) for part in text.split(",")]


def sections(text):
    found = text.split(",")
    unknown = [s for s in found if s not in SECTIONS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no section {unknown[0]}; there are {', '.join(SECTIONS)}")
    return found


def main():
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("--report", required=True)
    parser.add_argument("--only", type=sections, default=list(SECTIONS), help=f"of {','.join(SECTIONS)}")
    parser.add_argument("--runs", type=int, help="of each figure; default 5")
    parser.add_argument("--large", action="store_true", help="objects: 1 M as well")
    parser.add_argument("--quick", action="store_true", help="tiny counts: does the harness work?")
    parser.add_argument("--objects", type=int, help="Secrets in api, live, offline, scan, peers, harm")
    parser.add_argument("--topologies", type=numbers, help="etcd members (and as many API servers); default 1,3")
    parser.add_argument("--provider", default="aescbc", choices=("aescbc", "aesgcm", "secretbox"))
    parser.add_argument("--seconds", type=int, help="harm: of each measurement; default 60")
    parser.add_argument("--no-read-back", action="store_true",
                        help="offline: the benchmark's own reader only, no API server afterwards")
    args = parser.parse_args()
    args.report = os.path.abspath(args.report)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run, begun = Run(args), machine()
    try:
        run.all()
    except KeyboardInterrupt:
        run.report.wrong.append("interrupted")
    print(run.report.table())
    Path(args.report).write_text(json.dumps({"machine": begun, "quick": args.quick, **run.report.json()}, indent=2) + "\n")
    return 1 if run.report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())

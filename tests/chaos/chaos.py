#!/usr/bin/python3
"""Rotations under faults; see run.sh for the flags and docs/testing.md for what is checked."""
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "machines"))
sys.path.insert(0, str(HERE.parents[1] / "deploy" / "lab"))
sys.path.insert(0, str(HERE))
import namespaces  # noqa: E402

import argparse  # noqa: E402
import contextlib  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import random  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402

import cluster as clusters  # noqa: E402
import etcd  # noqa: E402
import faults  # noqa: E402
import invariants  # noqa: E402
import kube  # noqa: E402
import lab as labs  # noqa: E402
import machines  # noqa: E402
import processes  # noqa: E402
import users  # noqa: E402

BEGAN = time.monotonic()
SEED_OF_SECRETS = "chaos"
READ_BACK_TRIES = 5
STUCK = 600  # seconds after which a rotation counts as stuck
SETTLE = 180  # seconds for everything to be well again after the last fault of a rotation
COUNTED = ("read_errors", "lost_updates", "undone_deletes", "two_down", "two_leaders", "unready_restarts", "stuck",
           "problems")


def say(text):
    print(f"[{time.monotonic() - BEGAN:7.1f} s] {text}", flush=True)


class Stuck(Exception):
    """A rotation did not end, or the cluster did not become well again; the text says where it stands."""


class Rotation:
    """One rotation, from the first time that it is asked for to the end, whatever becomes of those who asked."""

    def __init__(self, run, number, plan):
        self.run, self.cluster, self.number, self.plan = run, run.cluster, number, list(plan)
        self.before = self._operation().get("id", "")
        self.child, self.asked = None, 0
        self.phase_at = 0
        self.since = [None] * len(faults.PHASES)
        self.said = None

    def _operation(self):
        """The operation of the rotation record, {} while the state store does not answer."""
        try:
            return (self.cluster.record("rotation") or {}).get("op") or {}
        except (etcd.EtcdError, AttributeError, ValueError):
            return {}

    def _ask(self):
        """Starts the CLI on some machine that is on; it follows the operation until it ends or the CLI does."""
        on = [s for s in self.cluster.servers if s.machine.on and s.machine.init]
        if not on:
            return
        self.asked += 1
        try:
            self.child = self.cluster.cli_start(self.run.dice.choice(on), "rotate-keys")
        except (machines.MachineError, OSError):
            self.child = None

    def _due(self, phase):
        """Strikes the faults whose phase was reached (or passed) long enough ago."""
        now = time.monotonic()
        if phase in faults.PHASES:
            at = faults.PHASES.index(phase)
            for i in range(at + 1):
                self.since[i] = self.since[i] or now
        waiting = []
        for fault in self.plan:
            since = self.since[faults.PHASES.index(fault.phase)]
            if since and now >= since + fault.delay:
                say(f"  in {phase}: {fault}")
                self.run.injector.strike(fault)
            else:
                waiting.append(fault)
        self.plan = waiting

    def go(self):
        """Returns the faults that did not come up: they are for the next rotation."""
        began, mended_since = time.monotonic(), None
        self._ask()
        while True:
            operation = self._operation()
            ours = operation.get("id") not in (None, "", self.before) and operation.get("kind") == "rotate-keys"
            state = operation.get("state")
            if ours and state == "finished":
                break
            if ours:
                self._due(operation.get("phase"))
                self._tell(operation)
            asking = self.child is not None and self.child.poll() is None
            if ours and state == "halted":
                # Mend first (faults mend themselves), then ask again, as the runbook says.
                well = self.run.injector.active == 0 and self.run.readiness.all()
                mended_since = (mended_since or time.monotonic()) if well else None
                if mended_since and time.monotonic() - mended_since > 2 and not asking:
                    self.run.halt(self.number, operation)
                    self._ask()
                    mended_since = None
            elif operation and not ours and not asking:
                self._ask()  # refused (a server was away), or the one who asked is gone
                time.sleep(1)
            if time.monotonic() - began > STUCK:
                raise Stuck(f"rotation {self.number}: {operation.get('state')} in {operation.get('phase')}: "
                            f"{operation.get('why')}")
            time.sleep(0.3)
        self._end_asking()
        return self.plan

    def _tell(self, operation):
        text = (operation.get("phase"), operation.get("state"))
        if text != self.said:
            self.said = text
            why = f": {operation.get('why')}" if operation.get("state") != "running" else ""
            say(f"  {operation.get('phase')} {operation.get('state')}{why}")

    def _end_asking(self):
        """Whoever still follows is told the end soon; one that is not was cut off for good."""
        if self.child:
            try:
                if self.child.wait(20) != 0:
                    self.run.cli_lost += 1
            except clusters.subprocess.TimeoutExpired:
                self.run.cli_lost += 1
                self.child.kill()
                self.child.wait(10)


class Run:
    """All rotations of a run, and what is reported about them."""

    def __init__(self, cluster, args, injector, readiness, watch, judge, dice):
        self.cluster, self.args, self.injector, self.readiness = cluster, args, injector, readiness
        self.watch, self.judge, self.dice = watch, judge, dice
        self.seconds, self.halts, self.stuck, self.problems, self.cli_lost, self.asked = [], [], [], [], 0, 0

    def halt(self, number, operation):
        self.halts.append(f"rotation {number}: {operation.get('phase')}: {operation.get('why')}")

    def settle(self):
        """Waits until nothing is broken, everybody is ready, and the servers' files are the same."""
        deadline, what = time.monotonic() + SETTLE, ""
        if not self.injector.wait_mended(SETTLE):
            raise Stuck("a fault was not mended in time")
        while time.monotonic() < deadline:
            try:
                texts = {s.encryption_config.read_text() for s in self.cluster.servers}
                ready, published = self.readiness.all(), self.cluster.published()
                what = f"ready: {ready}, different files: {len(texts)}, published: {published}"
                if ready and published and len(texts) == 1:
                    return
            except (etcd.EtcdError, OSError) as error:
                what = str(error)
            time.sleep(0.5)
        raise Stuck(f"not well again within {SETTLE} s after the last fault: {what}")

    def verify(self, number):
        """What must hold after each rotation; a difference is a problem or a read error."""
        rotation = self.cluster.record("rotation")
        counts = self.cluster.count_by_key()
        plain, written = counts.pop("plain"), f"{rotation['write_provider']}:{rotation['write_key']}"
        if plain or list(counts) != [written]:
            self.problems.append(f"rotation {number}: stored values: {counts}, {plain} plain; the key is {written}")
        if rotation["stage"] != "reencrypt_finished" or rotation["op"]["state"] != "finished":
            self.problems.append(f"rotation {number}: {rotation['stage']}, {rotation['op']['state']}")
        keys = [self.cluster.key(f"servers/{s.name}/stage") for s in self.cluster.servers]
        published = {self.cluster.etcd.get(key)[0].value for key in keys}
        if published != {b"reencrypt_finished"}:
            self.problems.append(f"rotation {number}: published stages: {published}")
        for server in self.cluster.servers:
            for error in self._read_back(server):
                self.judge.error(f"after rotation {number}: {error}")
        self.judge.read(3 * self.args.secrets)
        self.watch.judge_restarts()
        try:
            labs.wait_for("every canary is gone", lambda: not self._canaries(), 20, 1)
        except labs.LabError as error:
            self.problems.append(f"rotation {number}: {error}: {self._canaries()}")

    def _read_back(self, server):
        """What one server does not give back as it was written. Errors count when the API server was ready before and
        after, in the same process; one that a fault has just struck is read again once it is back."""
        for _ in range(READ_BACK_TRIES):
            process = server.pid(faults.APISERVER)
            errors = kube.read_errors([server.kube], SEED_OF_SECRETS, range(self.args.secrets))
            if not errors or (process and process == server.pid(faults.APISERVER) and server.kube.ready(5) is True):
                return errors
            say(f"  {server.name} was struck while it was read: once more")
            self.settle()
        return errors

    def _canaries(self):
        return [kv.key for kv in self.cluster.etcd.range("/registry/secrets/kube-system/secrets-encrypt-canary",
                                                         keys_only=True)]

    def go(self, plan):
        left = []
        for number, fresh in enumerate(plan, 1):
            began = time.monotonic()
            if self.args.minutes and began - BEGAN > 60 * self.args.minutes:
                say(f"the time is up after {number - 1} rotations")
                return
            rotation = Rotation(self, number, sorted([*left, *fresh], key=faults.order))
            say(f"rotation {number} of {len(plan)}, {len(rotation.plan)} faults")
            try:
                left = rotation.go()
                if number == len(plan):  # the last one takes what is left
                    for fault in left:
                        self.injector.strike(fault)
                    left = []
                self.settle()
                self.verify(number)
            except Stuck as error:
                self.stuck.append(str(error))
                say(f"STUCK {error}")
                return
            except (etcd.EtcdError, OSError, kube.KubeError, ValueError, TypeError, AttributeError) as error:
                self.problems.append(f"rotation {number}: {type(error).__name__}: {error}")
                say(f"PROBLEM {self.problems[-1]}")
            finally:
                self.asked += rotation.asked
            self.seconds.append(round(time.monotonic() - began, 1))
            say(f"rotation {number} done in {self.seconds[-1]} s, {self.injector.total} faults so far, "
                f"{self.judge.reads} reads, {len(self.judge.errors)} read errors")

    def report(self, writers, differences):
        lost = [d for d in differences if "lost an update" in d or "is gone" in d]
        undone = [d for d in differences if "back after its deletion" in d]
        other = [d for d in differences if d not in lost and d not in undone]
        lists = {"read_errors": self.judge.errors, "lost_updates": lost, "undone_deletes": undone,
                 "two_down": self.watch.two_down, "two_leaders": self.watch.two_leaders,
                 "unready_restarts": self.watch.unready_restarts, "stuck": self.stuck,
                 "problems": self.problems + self.injector.problems + other}
        acknowledged = writers.acknowledged
        return {
            "rotations": len(self.seconds), "faults": self.injector.total,
            **{name: len(lists[name]) for name in COUNTED}, "seed": self.args.seed,
            "seconds": round(time.monotonic() - BEGAN, 1), "reads": self.judge.reads,
            "writes": sum(acknowledged[what] for what in ("create", "update", "delete")),
            "writes_by_kind": acknowledged, "reads_while_unavailable": self.judge.unavailable,
            "faults_by_kind": dict(sorted(self.injector.struck.items())), "faults_missed": self.injector.missed,
            "halts": len(self.halts), "asked": self.asked, "repairs": self.injector.repairs,
            "leaders": self.watch.leaders, "restarts_on_order": self.watch.restarts,
            "events_watched": self.watch.events,
            "watch_gaps": self.watch.gaps, "rotation_seconds": self.seconds, "halted_why": self.halts,
            "what": {name: found[:20] for name, found in lists.items() if found}}


def check_users(writers, cluster):
    """What differs from what was acknowledged, once all servers answer."""
    for attempt in range(10):
        try:
            return writers.check()
        except (kube.KubeError, kube.https.Unreachable, kube.https.Broken) as error:
            last = error
            time.sleep(2)
    return [f"the users' Secrets could not be listed: {last}"]


def stepped_clock(folder):
    """The library that lets the wall clock of our programs be stepped."""
    library = folder / "clock_step.so"
    namespaces.command("cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(HERE / "clock_step.c"))
    return library


def run(args, folder):
    dice = random.Random(args.seed)
    say(f"seed {args.seed}: {args.rotations} rotations, {args.faults_per_rotation} faults in each, "
        f"{args.secrets} Secrets")
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(clusters.Cluster(folder, args.bin, clock=stepped_clock(folder)))
        plan = faults.draw(dice, args.rotations, args.faults_per_rotation, [s.name for s in cluster.servers],
                           args.only)
        try:
            cluster.start()
            say("three machines are up")
            kube.make_secrets(cluster.clients(), SEED_OF_SECRETS, range(args.secrets))
            judge = users.Judge()
            readiness = stack.enter_context(invariants.Readiness(cluster))
            watch = stack.enter_context(invariants.Watch(cluster, readiness, lambda text: say(f"    {text}")))
            injector = faults.Injector(cluster, lambda text: say(f"    > {text}"))
            whole = Run(cluster, args, injector, readiness, watch, judge, random.Random(f"{args.seed}/cli"))
            writers = users.Writers([cluster.client(s) for s in cluster.servers], judge)
            readers = users.Readers([cluster.client(s) for s in cluster.servers], judge, SEED_OF_SECRETS,
                                    range(args.secrets))
            with writers, readers:
                whole.go(plan)
            report = whole.report(writers, check_users(writers, cluster))
        except Exception:
            keep(args, cluster)
            raise
        if args.report:
            processes.write_atomic(args.report, json.dumps(report, indent=2) + "\n", 0o644)
        shown = {k: v for k, v in report.items() if k not in ("what", "halted_why", "rotation_seconds")}
        say(json.dumps(shown))
        for text in report["halted_why"]:
            say(f"halted: {text}")
        for name, found in report["what"].items():
            for text in found:
                say(f"{name}: {text}")
        enough = report["rotations"] == args.rotations or (args.minutes and report["rotations"] > 0)
        good = enough and not any(report[name] for name in COUNTED)
        if not good or args.keep:
            keep(args, cluster)
        return 0 if good else 1


def keep(args, cluster):
    """Journals and records, outside of what is cleaned up."""
    target = Path(tempfile.mkdtemp(prefix=f"secrets-encrypt-chaos-{args.seed}-"))
    cluster.save_journals(target)
    say(f"journals, consoles and records are kept in {target}")


def main():
    parser = argparse.ArgumentParser(prog="tests/chaos/run.sh", description="Rotations under faults on machines.")
    parser.add_argument("--rotations", type=int, default=2, metavar="N")
    parser.add_argument("--report", metavar="FILE", help="JSON with what was counted")
    parser.add_argument("--seed", type=int, help="of the faults; default: a fresh one, printed")
    parser.add_argument("--faults-per-rotation", type=float, default=5.5, metavar="K")
    parser.add_argument("--secrets", type=int, default=200, metavar="M")
    parser.add_argument("--only", metavar="KIND,…", help=f"only these faults, of: {', '.join(faults.KINDS)}",
                        type=lambda text: tuple(text.split(",")), default=tuple(faults.KINDS))
    parser.add_argument("--minutes", type=float, default=0, metavar="M",
                        help="no rotation begins later than this; what was done is reported all the same")
    parser.add_argument("--keep", action="store_true", help="keep the journals also when all went well")
    built = os.environ.get("SECRETS_ENCRYPT_BIN") or str(labs.TOP / "build" / "release" / "bin")
    parser.add_argument("--bin", default=built, help="folder with the programs")
    args = parser.parse_args()
    if args.rotations < 1 or args.faults_per_rotation < 0 or args.secrets < 1:
        parser.error("--rotations and --secrets are at least 1, --faults-per-rotation is not negative")
    if set(args.only) - set(faults.KINDS):
        parser.error(f"--only: no such fault: {', '.join(sorted(set(args.only) - set(faults.KINDS)))}")
    if args.seed is None:
        args.seed = int.from_bytes(os.urandom(4), "big")
        sys.argv += ["--seed", str(args.seed)]
    try:
        folder = namespaces.enter()
        return run(args, folder)
    except (namespaces.NamespaceError, machines.MachineError, labs.LabError, OSError) as error:
        print(f"chaos: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())

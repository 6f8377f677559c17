"""Somebody can write the state store and has no token. Whatever they put there: no server's file changes, no API
server is restarted, no agent takes an order; and what people see says what is wrong, where it can be seen at all."""
import contextlib
import json
import os

import hostile
import support
from support import LabTest, labs, say


def body_of(value):
    return json.loads(value)["body"]


def signed_wrong(body):
    """A record as whoever has no token can make it."""
    return json.dumps({"mac": "0" * 64, "body": body}, separators=(",", ":"))


def changed(value, **members):
    """A real record with other contents under the old signature."""
    record = json.loads(value)
    record["body"].update(members)
    return json.dumps(record, separators=(",", ":"))


def orders(bench, server, **like):
    """Orders that a server was really given, oldest first."""
    return bench.attacker.values(f"orders/{server}", lambda b: all(b[k] == v for k, v in like.items()))


# --- the attacks: each takes the bench ---

def forged_order(b):
    genuine = orders(b, "s1")[-1]
    b.attacker.put("orders/s1", changed(genuine, id=body_of(genuine)["id"] + 1))


def forged_order_of_any_shape(b):
    b.attacker.put("orders/s1", "restart now")


def order_replayed(b):
    b.attacker.put("orders/s2", orders(b, "s2")[-1])


def old_order_replayed(b):
    b.attacker.put("orders/s2", orders(b, "s2", kind="apply")[0])


def order_of_another_operation(b):
    b.attacker.put("orders/s3", orders(b, "s3", kind="apply")[-1])


def order_of_another_server(b):
    b.attacker.put("orders/s2", orders(b, "s3")[-1])


def order_of_a_deposed_coordinator(b):
    last = body_of(orders(b, "s2")[-1])
    key = b.lab.key("orders/s2")
    b.attacker.put("orders/s2", b.signer.sign(key, {**last, "id": last["id"] + 100, "fence": last["fence"] - 1}))


def order_with_a_known_id(b):
    last = body_of(orders(b, "s2")[-1])
    b.attacker.put("orders/s2", b.signer.sign(b.lab.key("orders/s2"), {**last, "generation": 2}))


def order_back_to_an_older_generation(b):
    old, last = body_of(orders(b, "s2", kind="apply")[0]), body_of(orders(b, "s2")[-1])
    b.attacker.put("orders/s2", b.signer.sign(b.lab.key("orders/s2"), {**old, "id": last["id"] + 100}))


def order_of_another_cluster(b):
    last = body_of(orders(b, "s1")[-1])
    other = hostile.Signer((b.lab.dir / "token").read_text().strip(), "other")
    b.attacker.put("orders/s1", other.sign(b.lab.key("orders/s1"), {**last, "id": last["id"] + 100}))


def request_forged(b):
    key, genuine = b.attacker.of_kind("requests/", lambda r: r["kind"] == "restart" and r["answer"] == "none")[-1]
    b.attacker.delete(key)
    b.attacker.put(key.replace(key[-4:], "beef"), changed(genuine, id=key.rpartition("/")[2][:-4] + "beef"))


def request_replayed(b):
    """As it was before it was answered."""
    key, genuine = b.attacker.of_kind("requests/", lambda r: r["kind"] == "restart" and r["answer"] == "none")[-1]
    b.attacker.put(key, genuine)


def request_replayed_after_its_end(b):
    key, genuine = b.attacker.of_kind("requests/", lambda r: r["kind"] == "rotate-keys" and r["answer"] == "none")[-1]
    b.attacker.delete(key)
    b.attacker.put(key, genuine)


def rotation_forged(b):
    b.attacker.put("rotation", changed(b.attacker.now()["rotation"], generation=1))


def rotation_replayed(b):
    """In the middle of its way to the second generation."""
    b.attacker.put("rotation", b.attacker.values(
        "rotation", lambda r: r["op"]["phase"] == "append" and r["op"]["target"] == 2)[0])


def rotation_replayed_before_the_drop(b):
    b.attacker.put("rotation", b.attacker.values("rotation", lambda r: r["op"]["phase"] == "drop")[0])


def rotation_deleted(b):
    b.attacker.delete("rotation")


def everything_replayed(b):
    """The whole store as it was in the middle of the rotation, leases apart: every record of an earlier revision comes
    back, and what came later goes."""
    at = next(r for r, v in b.attacker.past["rotation"] if body_of(v)["op"]["phase"] == "promote"
              and body_of(v)["op"]["target"] == 3)
    old = {kv.key.removeprefix(b.attacker.root): kv.value for kv in b.attacker.range_at(at)}
    for key in b.attacker.now().keys() - old.keys():
        if not key.startswith(("servers/", "leader/")):
            b.attacker.delete(key)
    for key, value in old.items():
        if not key.startswith(("servers/", "leader/", "~audit/")):
            b.attacker.put(key, value)


def everything_deleted(b):
    for key in b.attacker.now():
        if not key.startswith("leader/"):
            b.attacker.delete(key)


def bundle_of_another_generation(b):
    b.attacker.put("bundles/%020d" % 4, b.attacker.now()["bundles/%020d" % 2])


def bundle_forged(b):
    b.attacker.put("bundles/%020d" % 4, changed(b.attacker.now()["bundles/%020d" % 4], hash="0" * 64))


def bundle_of_another_cluster(b):
    key = "bundles/%020d" % 4
    other = hostile.Signer((b.lab.dir / "token").read_text().strip(), "other")
    b.attacker.put(key, other.sign(b.lab.key(key), body_of(b.attacker.now()[key])))


def bundle_with_weak_parameters(b):
    key = "bundles/%020d" % 4
    body = body_of(b.attacker.now()[key])
    weak = {"v": 1, "kdf": "scrypt", "n": 2, "r": 8, "p": 1, **{k: body["box"][k] for k in ("salt", "nonce", "box")}}
    b.attacker.put(key, changed(b.attacker.now()[key], box=weak))


def hash_that_lies(b):
    b.attacker.put("servers/s2/hash", "start-" + "0" * 64)


def stage_that_lies(b):
    b.attacker.put("servers/s2/stage", "prepare")


def report_forged(b):
    b.attacker.put("servers/s2/report", changed(b.attacker.now()["servers/s2/report"], ready=False))


def report_of_another_server(b):
    b.attacker.put("servers/s2/report", b.attacker.now()["servers/s3/report"])


def lock_forged(b):
    b.attacker.put("lock", signed_wrong({"id": "x", "holder": "mallory", "reason": "", "since_ms": 1, "lease": "1",
                                         "ttl_s": 60}))


def spec_forged(b):
    b.attacker.put("spec", changed(b.attacker.now()["spec"], servers=[]))


def keys_and_proofs_forged(b):
    for name in ("keys", "proofs", "reencrypt", "apis", "schedule"):
        b.attacker.put(name, signed_wrong({}))


def audit_forged(b):
    b.attacker.put("~audit/1795848067761-deadbeef", signed_wrong({"who": "mallory", "what": "nothing to see"}))


def holder_forged(b):
    b.attacker.put("leader/holder", "s9")


def holder_deleted(b):
    b.attacker.delete("leader/holder")


def candidate_forged(b):
    for name in ("s0", "zz", "s9"):
        b.attacker.put(f"leader/candidates/{name}", "2026-11-28T06:41:07Z")


def many_unknown_keys(b):
    b.attacker.fill("unknown/x", 20000)


def many_keys_of_ours(b):
    for prefix in ("orders/x", "requests/x", "escrow/x", "leader/candidates/x"):
        b.attacker.fill(prefix, 2000)


def nothing(_):
    """So that the bench itself is seen to say nothing of a healthy cluster."""


def oversized(*keys):
    def attack(b):
        for key in keys:
            b.attacker.put(key, "x" * hostile.VALUE_MAX)
    attack.__name__ = f"oversized {' '.join(keys)}"
    return attack


def replay_then_ask(*command):
    """An operator does what they are told to do, in a store that was rolled back."""
    def attack(b):
        everything_replayed(b)
        b.said = b.lab.cli(*command, timeout=120)
    attack.__name__ = f"everything replayed, then {' '.join(command)}"
    return attack


FORGED = "its signature is not this cluster token's"
UNDECIDED = {"coordinators": "nothing may be decided", "explain": FORGED}
IGNORED = "order is not authentic, ignored"
LATER = "a later order was taken before"
OLDER = "the state store was restored from an older backup, or put back"
DRIFT = {"explain": OLDER, "status -o wide": OLDER}
GONE = "the state store has lost its records"
LOST = {"explain": GONE, "status -o wide": GONE, "coordinators": GONE}
COPY = {"coordinators": "it is a copy of a request that was made before", "audit": "it is a copy of a request"}
WELL = {"explain": "A rotation could start now"}

# (attack, where it is seen and with which words: an agent by its server's name, the coordinators' logs, or a command of
# the CLI). Where nothing is to be seen, the cluster goes on as if nothing had been.
ATTACKS = [
    (nothing, WELL),
    (forged_order, {"s1": IGNORED}),
    (forged_order_of_any_shape, {"s1": "this is no signed record"}),
    (order_replayed, WELL),
    (old_order_replayed, {"s2": LATER}),
    (order_of_another_operation, {"s3": LATER}),
    (order_of_another_server, {"s2": IGNORED}),
    (order_of_a_deposed_coordinator, {"s2": "it was given by a coordinator that has been replaced since"}),
    (order_with_a_known_id, {"s2": "an order with this id but other content was taken before"}),
    (order_back_to_an_older_generation, {"s2": "this server already has a newer generation"}),
    (order_of_another_cluster, {"s1": IGNORED}),
    (request_forged, WELL),
    (request_replayed, COPY),
    (request_replayed_after_its_end, COPY),
    (rotation_forged, UNDECIDED),
    (rotation_replayed, DRIFT),
    (rotation_replayed_before_the_drop, DRIFT),
    (rotation_deleted, LOST),
    (everything_replayed, DRIFT),
    (replay_then_ask("repair", "s1"), {"said": OLDER}),
    (replay_then_ask("repair", "s1", "--force"), {"said": OLDER}),
    (replay_then_ask("abort"), DRIFT),
    (everything_deleted, LOST),
    (bundle_of_another_generation, UNDECIDED),
    (bundle_forged, UNDECIDED),
    (bundle_of_another_cluster, UNDECIDED),
    (bundle_with_weak_parameters, UNDECIDED),
    (hash_that_lies, {"status -o wide": "its stage and hash keys differ"}),
    (stage_that_lies, {"status -o wide": "its stage and hash keys differ"}),
    (report_forged, {"s2": "waiting for the lease of an earlier report to end",
                     "explain": "s2: its report is not signed with this cluster's token"}),
    (report_of_another_server, {"explain": "s2: its report is not signed with this cluster's token"}),
    (lock_forged, {"explain": "? holds the cluster's lock: its record cannot be read"}),
    (spec_forged, UNDECIDED),
    (keys_and_proofs_forged, WELL),
    (audit_forged, WELL),
    (holder_forged, WELL),  # the key's create revision counts, and stays
    (holder_deleted, {"coordinators": "msg=leading"}),
    (candidate_forged, WELL),
    (many_unknown_keys, {"status": "over the limit"}),
    (many_keys_of_ours, WELL),
    (oversized("unknown", "escrow/aescbc-00", "requests/00", "servers/s2/checks", "leader/candidates/s9"), WELL),
    (oversized("keys", "proofs", "reencrypt", "apis", "schedule", "~audit/1795848067761-00"), WELL),
    (oversized("orders/s1"), {"s1": IGNORED}),
    (oversized("servers/s2/hash", "servers/s2/stage", "servers/s2/report"), {"explain": "s2: its report is not signed"}),
    (oversized("lock"), {"explain": "its record cannot be read"}),
    (oversized("spec"), UNDECIDED),
    (oversized("rotation"), UNDECIDED),
    (oversized("bundles/%020d" % 4, "bundles/%020d" % 9), UNDECIDED),
]
AGAIN = (hash_that_lies, stage_that_lies)  # the agent mends it with its next report


class HostileStoreTest(LabTest):
    """One cluster that all of them are tried on, one after the other."""

    @contextlib.contextmanager
    def bench(self):
        with labs.Lab(servers=3, members=1, settings=hostile.SETTINGS, kube_apiserver=str(hostile.FAKE)) as lab:
            try:
                lab.need_programs()
                yield hostile.Bench(lab)
            except BaseException:
                print(lab.diagnosis(), flush=True)
                raise

    def see(self, b, attack, where, words, began):
        """Waits until it is seen."""
        def look():
            if attack in AGAIN:
                attack(b)
            if where in began:
                return words in b.new(where, began[where])
            if where == "said":
                return words in b.said.stdout + b.said.stderr
            result = b.lab.cli(*where.split(), timeout=60)
            return words in result.stdout + result.stderr
        labs.wait_for(f"{where} says {words!r}", look, 30, every=0.1)

    def try_one(self, b, attack, seen):
        before, store = b.untouched(), b.attacker.now()
        began = {place: b.logs(place) for place in ("s1", "s2", "s3", "coordinators")}
        attack(b)
        silent = [s.name for s in b.lab.servers if f"servers/{s.name}/report" in b.attacker.touched]
        for where, words in seen.items():
            self.see(b, attack, where, words, began)
        b.all_have_looked(silent)
        self.assertEqual(before, b.untouched())
        for name in ("s1", "s2", "s3"):
            self.assertNotIn("order taken", b.new(name, began[name]))
        b.undo(store)
        self.assertEqual(before, b.untouched())

    def test_attacks(self):
        only, first = os.environ.get("ATTACKS", ""), int(os.environ.get("FIRST_ATTACK", "0"))
        with self.bench() as b:
            for number, (attack, seen) in enumerate(ATTACKS):
                name = f"{number} {attack.__name__.replace('_', ' ')}"
                if only not in name or number < first:
                    continue
                say(name)
                self.try_one(b, attack, seen)
            say("the cluster still does what its operators ask for")
            b.cli("rotate-keys")


if __name__ == "__main__":
    support.main()

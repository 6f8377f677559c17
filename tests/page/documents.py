"""Documents as the coordinator makes them, for a page without a cluster."""
import time

HASH = "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"
OTHER = "9a271f2a916b0b6ee6cecb2426f0b3206ef074578be55d9bc94f6f3fe3ab86aa"
PHASES = [("opens", "check"), ("append", "prepare"), ("readable", "prove readable"), ("promote", "rotate"),
          ("written", "prove written"), ("rewrite", "reencrypt"), ("verify", "verify"), ("drop", "drop old key"),
          ("final", "last check")]


def now():
    return int(time.time() * 1000)


def server(number, **more):
    return {"name": f"s{number}", "inspec": True, "apiserver": True, "reports": True, "stage": "reencrypt_active",
            "hash": HASH, "generation": 3, "loadedgeneration": 3, "ready": True, "time": now() - 2000, "restarts": 2,
            "process": "pid 4711", "odd": "", "oddwhy": "", "why": "", **more}


def operation(at=5, **more):
    states = ["done"] * at + ["now"] + ["next"] * (len(PHASES) - at - 1)
    return {"id": "op-1", "kind": "rotate-keys", "state": "running", "phase": PHASES[at][0],
            "doing": "re-encrypting every value", "until": "every value is under the new key", "step": 3, "steps": 4,
            "attempt": 1, "requestedby": "root@s1", "started": now() - 90000, "ended": 0, "phasesince": now() - 30000,
            "row": "rewrite-running", "rowsince": now() - 30000, "on": "", "why": "12,480 of 50,000 objects rewritten",
            "timeline": [{"phase": p, "word": w, "state": s, "claim": "a claim"} for (p, w), s in zip(PHASES, states)],
            **more}


def document(servers=3, **more):
    return {"schema": "secrets-encrypt/v1", "kind": "page", "cluster": "prod", "server": "s1", "version": "0.1.0",
            "revision": 4711, "time": now(), "stale": "", "stage": "reencrypt_active", "match": True, "mismatch": "",
            "leader": "s1", "unknown": "", "underway": True,
            "servers": [server(i + 1) for i in range(servers)], "operation": operation(),
            "reencrypt": {"operation": "op-1", "state": "running", "engine": "api", "done": 12480, "total": 50000,
                          "failed": 0, "rate": 780, "left": 48000, "limit": -1, "updated": now(), "heldby": "", "why": ""},
            "keys": [{"name": "aescbckey-2026-11-28T06:00:00Z", "provider": "aescbc", "state": "active",
                      "generation": 2, "created": now() - 95000, "since": now() - 60000, "values": 12480},
                     {"name": "aescbckey", "provider": "aescbc", "state": "readable", "generation": 1,
                      "since": now() - 60000, "values": 37520}],
            "audit": [{"name": "1", "authentic": True, "time": now() - 90000, "who": "root@s1", "call": "operation",
                       "what": "rotate-keys", "result": "started", "why": ""}],
            "auditwhy": "", **more}

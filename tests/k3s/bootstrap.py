"""The bootstrap data: what servers share through the datastore, here the encryption config and its state.

Saved after each change, read when a server starts, and only then. K3s encrypts it with AES-GCM under the token; the
standard library has no cipher, so here it is masked with a stream made from the token, for the one purpose that keys
are not plain text in a datastore that tests search for them."""
import base64
import hashlib
import hmac
import json
import os
from datetime import datetime, timezone

import encryption_config
import say

SKEW = 10  # seconds by which a file has to be newer than the datastore's copy to count as newer
FILES = (("EncryptionConfig", "config"), ("EncryptionHash", "state"))
SALT = 16


def key_of(token):
    return "/bootstrap/" + hashlib.sha256(token.encode()).hexdigest()[:12]


def _mask(token, salt, data):
    stream = hashlib.shake_256(salt + token.encode()).digest(len(data))
    return bytes(a ^ b for a, b in zip(data, stream))


def seal(token, data):
    salt = os.urandom(SALT)
    body = _mask(token, salt, data)
    return salt + hmac.new(token.encode(), salt + body, "sha256").digest() + body


def unseal(token, data):
    salt, tag, body = data[:SALT], data[SALT:SALT + 32], data[SALT + 32:]
    if not hmac.compare_digest(tag, hmac.new(token.encode(), salt + body, "sha256").digest()):
        raise say.Fatal("bootstrap data already found and encrypted with different token")
    return _mask(token, salt, body)


def _time_text(ns):
    whole = datetime.fromtimestamp(ns // 10**9, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{ns % 10**9:09d}Z"


def _time_ns(text):
    whole, _, fraction = text.rstrip("Z").partition(".")
    seconds = int(datetime.fromisoformat(whole + "+00:00").timestamp())
    return seconds * 10**9 + int(fraction.ljust(9, "0"))


def read_disk(paths):
    """The files as they stand on this server's disk."""
    data = {}
    for name, attribute in FILES:
        path = getattr(paths, attribute)
        data[name] = {"Timestamp": _time_text(path.stat().st_mtime_ns),
                      "Content": base64.b64encode(path.read_bytes()).decode()}
    return data


def save(etcd, token, paths):
    """Puts the files as they stand on this server's disk into the datastore, whatever is there."""
    etcd.put(key_of(token), seal(token, json.dumps(read_disk(paths)).encode()))
    say.info("Saving cluster bootstrap data to datastore")


def load(etcd, token):
    """The datastore's copy, None when there is none yet."""
    found, _ = etcd.get(key_of(token))
    return json.loads(unseal(token, found.value)) if found else None


def _compare(path, entry):
    """(to be written, newer on disk) for one file."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        say.warning(f"{path} doesn't exist. continuing...")
        return True, False
    if content == base64.b64decode(entry["Content"]):
        return False, False
    if int(path.stat().st_mtime) - _time_ns(entry["Timestamp"]) // 10**9 >= SKEW:
        return True, True
    say.warning(f"{path} will be updated from the datastore.")
    return True, False


def differs(data, paths):
    """Whether the encryption config on the disk is another than the datastore's."""
    content = base64.b64decode(data["EncryptionConfig"]["Content"])
    return not paths.config.exists() or paths.config.read_bytes() != content


def reconcile(data, paths):
    """Brings the disk to what the datastore has; ends the start when the disk is newer."""
    say.info("Reconciling bootstrap data between datastore and disk")
    update, newer = False, []
    for name, attribute in FILES:
        if name not in data:
            continue
        path = getattr(paths, attribute)
        differs, is_newer = _compare(path, data[name])
        update = update or differs
        newer += [str(path)] if is_newer else []
    if newer:
        raise say.Fatal(f"{', '.join(newer)} newer than datastore and could cause cluster outage. Remove the "
                        "file from disk and restart to be recreated from datastore.")
    if update:
        say.warning("Updating bootstrap data on disk from datastore")
        _write(data, paths)


def _write(data, paths):
    for name, attribute in FILES:
        if name in data:
            path = getattr(paths, attribute)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            encryption_config.write_file(path, base64.b64decode(data[name]["Content"]))
            ns = _time_ns(data[name]["Timestamp"])
            os.utime(path, ns=(ns, ns))

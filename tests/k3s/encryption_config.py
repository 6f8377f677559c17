"""The encryption config as K3s reads and writes it: compact JSON, one entry for Secrets, at most three providers."""
import base64
import hashlib
import json
import os
import time

import say

KEY_SIZE = 32
TYPES = {"aescbc": "AES-CBC", "secretbox": "XSalsa20-POLY1305"}


class ConfigError(Exception):
    """The config is none that K3s works with."""


def providers(paths):
    return json.loads(paths.config.read_text())["resources"][0]["providers"]


def keys(paths):
    """{"aescbc": [key, …], "secretbox": [key, …]}"""
    found = providers(paths)
    if len(found) > 3:
        raise ConfigError(f"more than 3 providers ({len(found)}) found in secrets encryption")
    result = {"aescbc": [], "secretbox": []}
    for provider in found:
        for kind, body in provider.items():
            if kind in ("aesgcm", "kms"):
                raise ConfigError("unsupported encryption keys found")
            if kind in result:
                result[kind] += body["keys"]
    return result


def _entry(kind, its_keys):
    return {kind: {"keys": [{"name": k["name"], "secret": k["secret"]} for k in its_keys]}}


def text_of(all_keys, kind, enable):
    """The file's text with `kind` as the provider that writes, or with identity first."""
    other = "secretbox" if kind == "aescbc" else "aescbc"
    first, identity = _entry(kind, all_keys[kind]), {"identity": {}}
    if not enable:
        ordered = [identity, first]
    elif all_keys[other]:
        ordered = [first, _entry(other, all_keys[other]), identity]
    else:
        ordered = [first, identity]
    return json.dumps({"kind": "EncryptionConfiguration", "apiVersion": "apiserver.config.k8s.io/v1",
                       "resources": [{"resources": ["secrets"], "providers": ordered}]}, separators=(",", ":"))


def write_file(path, text):
    """0600 and in one piece."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(text if isinstance(text, bytes) else text.encode())
        out.flush()
        os.fsync(out.fileno())
    os.replace(temporary, path)


def write(paths, all_keys, kind, enable):
    write_file(paths.config, text_of(all_keys, kind, enable))


def new_key(kind, name=None):
    """A key as `prepare` makes it. K3s logs its name together with its secret; this does not."""
    secret = base64.b64encode(os.urandom(KEY_SIZE)).decode()
    name = name or f"{kind}key-{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}"
    say.info(f"Adding secrets-encryption key: {name}")
    return {"name": name, "secret": secret}


def hash_of(paths):
    return hashlib.sha256(paths.config.read_bytes()).hexdigest()


def make_if_missing(paths, kind):
    """On a start: the first config, and the state file that goes with a config."""
    if not paths.config.exists() or paths.config.stat().st_size == 0:
        paths.config.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        first = {"aescbc": [], "secretbox": []}
        first[kind] = [new_key(kind, f"{kind}key")]
        write(paths, first, kind, True)
        write_file(paths.state, f"start-{hash_of(paths)}")
    elif not paths.state.exists():
        write_file(paths.state, f"start-{hash_of(paths)}")
